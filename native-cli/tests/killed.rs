//! `tailswap run` killed again and again, while several vbuckets are flushed and compacted: what it
//! acknowledged on its output is there, and what is there is a state that it was in.
//!
//! The moment is a number of acknowledgements; the seed that draws it is printed.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::thread;

use serde_json::Value;
use support::{Expected, contents, folder, names, spawn, tailswap, text};
use tailswap::sim::Choices;

const SEED: u64 = 8;
const KILLS: usize = 32;
const VBUCKETS: usize = 3;
/// Acknowledgements that are waited for before a kill, at most.
const ACKNOWLEDGEMENTS_MAX: usize = 60;

/// The mutation that gets this sequence number in a vbucket: a key, and its value unless it deletes.
fn mutation(vbucket: usize, seq: u64) -> (String, Option<String>) {
    let key = seq.wrapping_mul(7919).wrapping_add(vbucket as u64) % 300;
    let filler = "x".repeat((seq % 700) as usize);
    let value = (!seq.is_multiple_of(13)).then(|| format!(r#"{{"n":{seq},"t":"{filler}"}}"#));
    (format!("k{key}"), value)
}

fn line(vbucket: usize, seq: u64) -> String {
    match mutation(vbucket, seq) {
        (key, Some(value)) => {
            format!("{{\"op\":\"set\",\"vb\":{vbucket},\"key\":\"{key}\",\"value\":{value}}}\n")
        }
        (key, None) => format!("{{\"op\":\"delete\",\"vb\":{vbucket},\"key\":\"{key}\"}}\n"),
    }
}

/// What a vbucket should hold.
#[derive(Default)]
struct Model {
    high: u64,
    documents: BTreeMap<String, Expected>,
}

impl Model {
    /// Everything up to this sequence number is durable.
    fn advance(&mut self, vbucket: usize, high: u64) {
        for seq in self.high + 1..=high {
            let (key, value) = mutation(vbucket, seq);
            self.documents.insert(format!("\0{key}"), (seq, value));
        }
        self.high = high;
    }
}

/// Runs the command until it has acknowledged so often, and kills it. Returns what it acknowledged
/// for each vbucket.
fn run_and_kill(data: &Path, from: [u64; VBUCKETS], acknowledgements: usize) -> [u64; VBUCKETS] {
    let vbuckets = VBUCKETS.to_string();
    let mut child = spawn(
        &[
            &["run", text(data), "--input", "-", "--acks", "/dev/stdout", "--vbuckets", &vbuckets]
                [..],
            &["--min-size", "200KiB", "--fragmentation", "30", "--queue-bytes", "48KiB"],
        ]
        .concat(),
    );
    let mut input = child.stdin.take().unwrap();
    let feeder = thread::spawn(move || {
        let mut next = from.map(|durable| durable + 1);
        // Until the other side is gone.
        loop {
            for (vbucket, seq) in next.iter_mut().enumerate() {
                if input.write_all(line(vbucket, *seq).as_bytes()).is_err() {
                    return;
                }
                *seq += 1;
            }
        }
    });
    let mut acknowledged = from;
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for (count, line) in lines.enumerate() {
        // A kill can cut the last line short.
        let Ok(line) = serde_json::from_str::<Value>(&line.unwrap()) else { break };
        let vbucket = line["vb"].as_u64().unwrap() as usize;
        acknowledged[vbucket] = line["seq"].as_u64().unwrap();
        if count + 1 == acknowledgements {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    feeder.join().unwrap();
    acknowledged
}

/// The one file of each vbucket, once the directory has been taken up again.
fn reopened(data: &Path) -> [PathBuf; VBUCKETS] {
    tailswap(&["run", text(data), "--input", "/dev/null"]).fine();
    let names = names(data);
    assert_eq!(names.len(), VBUCKETS, "leftovers: {names:?}");
    std::array::from_fn(|vbucket| {
        let mut of_it = names.iter().filter(|name| name.starts_with(&format!("{vbucket}.couch.")));
        data.join(of_it.next().unwrap())
    })
}

#[test]
fn killed_at_any_moment_it_keeps_what_it_acknowledged_and_goes_on() {
    let folder = folder();
    let data = folder.path().join("data");
    let mut choices = Choices::seeded(SEED);
    let mut models: [Model; VBUCKETS] = Default::default();
    let (mut in_compaction, mut swaps) = (0, 0);
    for kill in 1..=KILLS {
        let wait_for = 1 + choices.choose(ACKNOWLEDGEMENTS_MAX);
        let context = format!("{choices} kill={kill} after {wait_for} acknowledgements");
        println!("{context}");
        let from = models.each_ref().map(|model| model.high);
        let acknowledged = run_and_kill(&data, from, wait_for);
        in_compaction += usize::from(names(&data).iter().any(|name| name.contains(".compact")));

        let files = reopened(&data);
        let paths = files.each_ref().map(|path| text(path));
        let checked = tailswap(&[&["check"][..], &paths].concat());
        assert_eq!(checked.code, Some(0), "{context}: {checked:?}");
        let infos = tailswap(&[&["info", "--json"][..], &paths].concat()).fine().json();
        for (vbucket, info) in infos.iter().enumerate() {
            let high = info["update_seq"].as_u64().unwrap();
            let least = acknowledged[vbucket];
            assert!(high >= least, "{context}: vbucket {vbucket} is at {high}, not {least}");
            models[vbucket].advance(vbucket, high);
            assert!(
                contents(&files[vbucket]) == models[vbucket].documents,
                "{context}: vbucket {vbucket} is not in its state {high}"
            );
        }
        swaps = paths.iter().filter(|path| !path.ends_with(".couch.1")).count();
    }
    let mutations: u64 = models.iter().map(|model| model.high).sum();
    println!("{KILLS} kills, {in_compaction} in a compaction, {mutations} mutations");
    assert!(swaps > 0, "no compaction ever swapped");
}
