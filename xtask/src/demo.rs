//! `cargo xtask demo --native`: the main job on a realistic stream, and a look at what came of it.

use std::env;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::command::{cargo, program, root, run};
use crate::tools::target_folder;

/// Swaps to see before the stream ends.
const SWAPS: u64 = 3;
/// Orders that the stream is about.
const ORDERS: u64 = 20_000;
/// Mutations after which to give up waiting for the swaps: several times what they take.
const MUTATIONS_MAX: u64 = 5_000_000;
/// Mutations between two looks at the directory.
const LOOK_EVERY: u64 = 5_000;

/// Streams orders into a data directory until its file was swapped often enough, then shows the file.
pub(crate) fn run_demo() -> Result<()> {
    run(&mut cargo(&["build", "--release", "--package", "tailswap-cli"]))?;
    let tailswap = release_binary();
    let directory = root().join("target").join("demo");
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    let file = stream(&tailswap, &directory)?;
    let file = file.to_string_lossy();
    for arguments in [&["info", &file][..], &["headers", &file], &["check", &file]] {
        println!();
        run(&mut program(&tailswap, arguments))?;
    }
    println!("\nThe documents: {} dump {file}", tailswap.display());
    Ok(())
}

fn release_binary() -> PathBuf {
    target_folder().join("release").join(format!("tailswap{}", env::consts::EXE_SUFFIX))
}

/// Pipes the stream through `tailswap run`; returns the file in charge at the end.
fn stream(tailswap: &Path, directory: &Path) -> Result<PathBuf> {
    let target = directory.to_string_lossy();
    let arguments = ["run", &target, "--input", "-", "--min-size", "4194304"];
    println!("\n$ tailswap {} < orders", arguments.join(" "));
    let mut command: Command = program(tailswap, &arguments);
    let mut child = command.stdin(Stdio::piped()).spawn().context("cannot start tailswap")?;
    let written = child.stdin.take().map(|input| write_orders(input, directory));
    let status = child.wait()?;
    if !status.success() {
        bail!("`tailswap run` failed ({status})");
    }
    let mutations = written.context("tailswap has no standard input")??;
    let (file, swaps) = newest(directory)?;
    println!("{mutations} mutations were streamed; {swaps} compactions swapped meanwhile");
    if swaps < SWAPS {
        bail!("only {swaps} compactions, {SWAPS} were expected");
    }
    Ok(file)
}

/// Writes mutations until there were enough swaps; returns how many.
fn write_orders(input: ChildStdin, directory: &Path) -> Result<u64> {
    let mut input = BufWriter::new(input);
    for n in 0..MUTATIONS_MAX {
        // Every so often, so that it stays cheap; before the first flush there is no file yet.
        if n % LOOK_EVERY == 0 && newest(directory).is_ok_and(|(_, swaps)| swaps >= SWAPS) {
            input.flush()?;
            return Ok(n);
        }
        writeln!(input, "{}", order(n))?;
    }
    Ok(MUTATIONS_MAX)
}

/// The n-th mutation: an order comes in, is paid, packed and shipped, and some are deleted.
fn order(n: u64) -> String {
    // Scattered over the orders, as customers are; the same in every run.
    let id = n.wrapping_mul(2_654_435_761) % ORDERS;
    let key = format!("order::{id:06}");
    if n % 20 == 19 {
        return format!(r#"{{"op":"delete","key":"{key}"}}"#);
    }
    let status = ["placed", "paid", "packed", "shipped"][(n / ORDERS % 4) as usize];
    let lines: Vec<String> = (0..1 + id % 5)
        .map(|line| {
            let (item, count, cents) = ((id + line * 37) % 900, 1 + line, 199 + id % 7000);
            format!(r#"{{"item":"sku-{item:04}","count":{count},"cents":{cents}}}"#)
        })
        .collect();
    let (customer, lines) = (id % 3571, lines.join(","));
    format!(
        r#"{{"op":"set","key":"{key}","value":{{"type":"order","status":"{status}","customer":"c-{customer:05}","step":{n},"lines":[{lines}]}}}}"#
    )
}

/// The vbucket's file of the highest revision, and how often it was swapped.
fn newest(directory: &Path) -> Result<(PathBuf, u64)> {
    let mut newest = None;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let revision = name.strip_prefix("0.couch.").and_then(|revision| revision.parse().ok());
        if let Some(revision) = revision.filter(|revision: &u64| *revision > 0) {
            newest = newest.max(Some((revision, path)));
        }
    }
    let (revision, path) = newest.context("no vbucket file")?;
    Ok((path, revision - 1))
}
