//! Planted bugs: each of `core/src/canary.rs` in turn, and the test that is named beside it there
//! must fail.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use wait_timeout::ChildExt;

use crate::command::{cargo, output, program, root, run};

/// What a run with a bug may take: one that takes longer has caught nothing.
const LIMIT: Duration = Duration::from_secs(30);
/// What a run without a bug may take, which comes to its end.
const LIMIT_SOUND: Duration = Duration::from_secs(600);

/// A bug and who is to catch it.
struct Planted {
    name: String,
    suite: String,
    test: String,
}

/// How a run of one test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    /// It ended in another way, or did not end in time: that says nothing.
    Broken,
}

/// Sees to it that each test passes without a bug, and fails with the one that it is to catch.
pub(crate) fn check() -> Result<()> {
    let planted = list()?;
    let suites: BTreeSet<&str> = planted.iter().map(|planted| planted.suite.as_str()).collect();
    let binaries = build(&suites)?;
    let binary = |suite: &str| {
        binaries.get(suite).with_context(|| format!("there is no test binary {suite}"))
    };
    let tests: BTreeSet<(&str, &str)> =
        planted.iter().map(|planted| (planted.suite.as_str(), planted.test.as_str())).collect();
    println!("\nwithout a bug, all {} tests must pass", tests.len());
    for (suite, test) in tests {
        if run_test(binary(suite)?, test, "", LIMIT_SOUND)? != Outcome::Passed {
            bail!("{suite} {test} does not pass even without a bug");
        }
    }
    println!("\n{:<32}{:>8}  caught by", "bug", "seconds");
    let mut missed = Vec::new();
    for Planted { name, suite, test } in &planted {
        let began = Instant::now();
        let outcome = run_test(binary(suite)?, test, name, LIMIT)?;
        let seconds = began.elapsed().as_secs_f64();
        let verdict = match outcome {
            Outcome::Failed => format!("{suite}: {test}"),
            other => format!("NOT CAUGHT ({other:?}) by {suite}: {test}"),
        };
        println!("{name:<32}{seconds:>8.1}  {verdict}");
        if outcome != Outcome::Failed {
            missed.push(name.as_str());
        }
    }
    println!("{} of {} planted bugs were caught", planted.len() - missed.len(), planted.len());
    match missed.is_empty() {
        true => Ok(()),
        false => bail!("not caught: {}", missed.join(", ")),
    }
}

fn list() -> Result<Vec<Planted>> {
    let list = ["--package", "tailswap", "--features", "canary", "--example", "canaries"];
    let lines = output(&mut cargo(&[&["run", "--quiet"], &list[..]].concat()))?;
    let parse = |line: &str| {
        let mut words = line.split(' ').map(str::to_owned);
        let mut word = || words.next().with_context(|| format!("not understood: {line}"));
        Ok(Planted { name: word()?, suite: word()?, test: word()? })
    };
    lines.lines().map(parse).collect()
}

/// Builds these test binaries with the bugs in them; returns where they lie.
fn build(suites: &BTreeSet<&str>) -> Result<BTreeMap<String, PathBuf>> {
    let mut args = vec!["test", "--package", "tailswap", "--features", "canary", "--no-run"];
    args.extend(suites.iter().flat_map(|suite| ["--test", suite]));
    run(&mut cargo(&args))?;
    args.push("--message-format=json");
    let messages = output(cargo(&args).stderr(Stdio::null()))?;
    let mut binaries = BTreeMap::new();
    for line in messages.lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        let (name, file) = (&message["target"]["name"], &message["executable"]);
        if let (Some(name), Some(file)) = (name.as_str(), file.as_str()) {
            binaries.insert(name.to_owned(), PathBuf::from(file));
        }
    }
    Ok(binaries)
}

/// Runs one test with this bug planted; none for the empty name.
fn run_test(binary: &Path, test: &str, canary: &str, limit: Duration) -> Result<Outcome> {
    let mut command: Command = program(binary, &["--exact", test]);
    // As Cargo runs it.
    command.current_dir(root().join("core")).env("TAILSWAP_CANARY", canary);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    // What a failing test prints can be more than a pipe holds.
    let stdout = child.stdout.take().context("there is no output")?;
    let reader = std::thread::spawn(move || -> std::io::Result<String> {
        let (mut stdout, mut bytes) = (stdout, Vec::new());
        stdout.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    });
    let Some(status) = child.wait_timeout(limit)? else {
        child.kill()?;
        child.wait()?;
        return Ok(Outcome::Broken);
    };
    let text = reader.join().unwrap_or_else(|_| Ok(String::new()))?;
    Ok(match status.success() {
        true if text.contains("test result: ok. 1 passed") => Outcome::Passed,
        false if text.contains("test result: FAILED. 0 passed; 1 failed") => Outcome::Failed,
        _ => Outcome::Broken,
    })
}
