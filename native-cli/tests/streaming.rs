//! `run` and `load`: mutations in, durable documents out.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::io::Write;
use std::path::Path;

use serde_json::Value;
use support::{
    Ran, acknowledged, assert_sound, contents, file, folder, model, names, only_file, spawn,
    tailswap, tailswap_with, text, update_seq, wait_until,
};

#[test]
fn a_generated_workload_through_several_swaps() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let ran = tailswap(&[
        "run",
        text(&at("data")),
        "--workload",
        "documents=2000,sizes=50..900,deletes=10,duration=3s",
        "--min-size",
        "512KiB",
        "--queue-bytes",
        "256KiB",
        "--json",
        "--record",
        text(&at("record")),
        "--acks",
        text(&at("acks")),
        "--trace",
        text(&at("trace")),
    ]);
    let ran = ran.fine();
    let summary = &ran.json()[0];
    assert_eq!(ran.stdout.lines().count(), 1, "{ran:?}");
    assert!(summary["compactions"].as_u64().unwrap() >= 3, "{summary}");
    let mutations = summary["mutations"].as_u64().unwrap();
    let record = fs::read_to_string(at("record")).unwrap();
    assert_eq!(record.lines().count() as u64, mutations);
    // Everything was made durable at the end, and that is what the acknowledgements say.
    assert_eq!(acknowledged(&at("acks")), mutations);
    let file = only_file(&at("data"));
    assert_sound(&file);
    assert_eq!(update_seq(&file), mutations);
    assert!(contents(&file) == model(&record, mutations), "the documents are not the model's");
    for field in [
        "flushes",
        "seconds",
        "rounds_max",
        "locked_ms_max",
        "locked_ms_max_without_syncs",
        "stall_ms_p99",
        "flush_ms_p50",
        "flush_ms_p99",
        "flush_ms_p99_while_compacting",
        "bytes_written",
    ] {
        assert!(summary[field].is_number(), "{field}: {summary}");
    }
    let trace = tailswap(&["trace", text(&at("trace"))]).fine();
    assert_trace(&trace.stdout, summary);
}

/// That a trace is one of all that happened, in order.
fn assert_trace(trace: &str, summary: &Value) {
    let mut published = 0;
    let mut last = 0;
    for line in trace.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let t_ns = line["t_ns"].as_u64().unwrap();
        assert!(t_ns >= last, "time goes back: {line}");
        last = t_ns;
        published += u64::from(line["event"] == "published");
    }
    assert_eq!(summary["compactions"], published);
}

#[test]
fn a_trace_that_was_cut_short_is_printed_up_to_there() {
    let folder = folder();
    let (data, trace) = (folder.path().join("data"), folder.path().join("trace"));
    let workload = "documents=50,mutations=200";
    tailswap(&["run", text(&data), "--workload", workload, "--trace", text(&trace)]).fine();
    let whole = tailswap(&["trace", text(&trace)]).fine().stdout;
    let bytes = fs::read(&trace).unwrap();
    fs::write(&trace, &bytes[..bytes.len() - 1]).unwrap();
    let cut = tailswap(&["trace", text(&trace)]);
    assert_eq!(cut.code, Some(0), "{cut:?}");
    assert!(cut.stderr.contains("ends within an event, at offset"), "{cut:?}");
    let all: Vec<&str> = whole.lines().collect();
    assert_eq!(cut.stdout.lines().collect::<Vec<_>>(), all[..all.len() - 1]);
    fs::write(&trace, [&bytes[..40], &[0; 40]].concat()).unwrap();
    tailswap(&["trace", text(&trace)]).failed(3, "damaged at offset ");
    tailswap(&["trace", "nowhere"]).failed(3, "nowhere: no such file");
}

#[test]
fn the_same_seed_gives_the_same_mutations() {
    let folder = folder();
    let record = |name: &str, seed: &str| {
        let (data, record) = (folder.path().join(name), folder.path().join(format!("{name}.rec")));
        let workload = "documents=100,mutations=500";
        let arguments = ["run", text(&data), "--workload", workload, "--seed", seed, "--record"];
        tailswap(&[&arguments[..], &[text(&record)]].concat()).fine();
        fs::read_to_string(record).unwrap()
    };
    let first = record("a", "7");
    assert_eq!(first, record("b", "7"));
    assert_ne!(first, record("c", "8"));
    // What was recorded can be streamed in again.
    let data = folder.path().join("d");
    tailswap_with(&["run", text(&data), "--input", "-"], first.as_bytes()).fine();
    assert!(contents(&only_file(&data)) == model(&first, 500));
}

#[test]
fn an_interrupt_flushes_and_ends_well() {
    let folder = folder();
    let (data, acks) = (folder.path().join("data"), folder.path().join("acks"));
    let arguments = ["run", text(&data), "--input", "-", "--json", "--acks", text(&acks)];
    let mut child = spawn(&arguments);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"{\"op\":\"set\",\"key\":\"a\",\"value\":1}\n").unwrap();
    wait_until("the acknowledgement", || acknowledged(&acks) == 1);
    stdin.write_all(b"{\"op\":\"set\",\"key\":\"b\",\"value\":2}\n").unwrap();
    wait_until("the acknowledgement", || acknowledged(&acks) == 2);
    let pid = child.id().to_string();
    let killed = std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(killed.success());
    // Standard input is still open, and nobody waits for it.
    let ran = Ran::of(child.wait_with_output().unwrap()).fine();
    drop(stdin);
    assert_eq!(ran.json()[0]["mutations"], 2);
    assert_eq!(contents(&only_file(&data)).len(), 2);
}

#[test]
fn keys_pick_their_vbucket_unless_the_line_does() {
    let folder = folder();
    let data = folder.path().join("data");
    let mut lines = String::new();
    for n in 0..200 {
        lines.push_str(&format!("{{\"op\":\"set\",\"key\":\"key-{n}\",\"value\":{n}}}\n"));
    }
    lines.push_str("{\"op\":\"set\",\"key\":\"here\",\"value\":0,\"vb\":3}\n");
    let arguments = ["run", text(&data), "--input", "-", "--vbuckets", "4"];
    tailswap_with(&arguments, lines.as_bytes()).fine();
    assert_eq!(names(&data), ["0.couch.1", "1.couch.1", "2.couch.1", "3.couch.1"]);
    let of = |vb: u16| contents(&data.join(format!("{vb}.couch.1")));
    let sizes: Vec<usize> = (0..4).map(|vb| of(vb).len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 201);
    assert!(sizes.iter().all(|size| *size > 20), "{sizes:?}");
    assert!(of(3).contains_key("\0here"));
    let expected = tailswap::format::names::vbucket_of(b"key-17", 4);
    assert!(of(expected).contains_key("\0key-17"));
    let line = b"{\"op\":\"set\",\"key\":\"k\",\"value\":0,\"vb\":4}\n";
    tailswap_with(&["run", text(&data), "--input", "-"], line)
        .failed(3, "standard input: line 1: vb is 4, but there are 4 vbuckets");
}

#[test]
fn load_writes_what_run_writes() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let mut lines = String::new();
    for n in 0..500 {
        let (key, cas) = (n % 70, 1_700_000_000_000_000_000_u64 + n);
        lines.push_str(&match n % 9 {
            4 => format!(
                "{{\"op\":\"delete\",\"key\":\"k{key}\",\"cas\":{cas},\"expiry\":1700000000}}\n"
            ),
            _ => format!(
                "{{\"op\":\"set\",\"key\":\"k{key}\",\"value\":[{n}],\"cas\":{cas},\"flags\":{n}}}\n"
            ),
        });
    }
    let lines = lines.as_bytes();
    tailswap_with(&["load", text(&at("0.couch.1")), "--batch", "100"], lines).fine();
    tailswap_with(&["load", text(&at("plain.couch")), "--batch", "7"], lines).fine();
    tailswap_with(&["run", text(&at("data")), "--input", "-"], lines).fine();
    let documents = |path: &Path| {
        let mut lines = tailswap(&["dump", "--json", text(path)]).fine().json();
        for line in &mut lines {
            // Revisions count what was flushed; batches are cut elsewhere.
            for field in ["position", "rev_seq"] {
                line.as_object_mut().unwrap().remove(field);
            }
        }
        lines
    };
    let loaded = documents(&at("0.couch.1"));
    assert!(loaded == documents(&at("plain.couch")));
    assert!(loaded == documents(&only_file(&at("data"))));
    // Only a vbucket's file has a vbucket's state, and it is what makes it one.
    let locals = |path: &Path| tailswap(&["dump", "--local", "--json", text(path)]).fine().json();
    assert_eq!(locals(&at("plain.couch")).len(), 0);
    let state: Value =
        serde_json::from_str(locals(&at("0.couch.1"))[0]["value"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&state["snap_end"], &state["max_cas"]),
        (&Value::from("500"), &Value::from("1700000000000000499"))
    );
    let more = b"{\"op\":\"set\",\"key\":\"more\",\"value\":1}\n";
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::rename(at("0.couch.1"), other.join("0.couch.1")).unwrap();
    tailswap_with(&["run", text(&other), "--input", "-"], more).fine();
    tailswap_with(&["load", text(&other.join("0.couch.1"))], more).fine();
    assert_eq!(update_seq(&only_file(&other)), 502);
    assert_sound(&only_file(&other));
}

#[test]
fn documents_are_found_by_their_keys() {
    let folder = folder();
    let path = folder.path().join("x.couch");
    let lines = concat!(
        r#"{"op":"set","key":"user::1","value":{ "name": "Ada", "n": 1.50 }}"#,
        "\n",
        r#"{"op":"set","key":"user::2","value_b64":"AP8="}"#,
        "\n",
        r#"{"op":"set","key":"order::1","value":null}"#,
        "\n"
    );
    tailswap_with(&["load", text(&path)], lines.as_bytes()).fine();
    let file = text(&path);
    assert_eq!(tailswap(&["get", file, "user::1"]).fine().stdout, r#"{"name":"Ada","n":1.50}"#);
    assert_eq!(tailswap(&["get", file, "order::1"]).fine().stdout, "null");
    let hex = data_encoding::HEXLOWER.encode(b"\0user::2");
    let got = tailswap(&["get", "--json", "--hex", file, &hex]).fine().json();
    assert_eq!((&got[0]["body_hex"], &got[0]["size"]), (&Value::from("00ff"), &Value::from(2)));
    assert_eq!(got[0].get("body"), None);
    let users = tailswap(&["dump", "--json", "--by-id", "--id-prefix", "user::", file]).fine();
    assert_eq!(users.json().len(), 2);
}

#[test]
fn compaction_purges_tombstones_by_time_and_by_number() {
    let folder = folder();
    let path = folder.path().join("x.couch");
    let lines: String = (1..=9)
        .map(|n| {
            let expiry = 1_700_000_000 + n * 100;
            format!("{{\"op\":\"delete\",\"key\":\"k{n}\",\"expiry\":{expiry}}}\n")
        })
        .collect();
    let kept = b"{\"op\":\"set\",\"key\":\"live\",\"value\":1}\n";
    tailswap_with(&["load", text(&path)], lines.as_bytes()).fine();
    tailswap_with(&["load", text(&path)], kept).fine();
    for (index, (options, tombstones, purge_seq)) in [
        (&["--purge-before", "1700000500"][..], 5, 4),
        (&["--purge-before", "2023-11-14T22:21:40Z"], 5, 4),
        (&["--purge-to-seq", "6"], 3, 6),
        (&["--purge-to-seq", "2", "--purge-before", "7d"], 7, 2),
        (&[], 9, 0),
    ]
    .into_iter()
    .enumerate()
    {
        let target = folder.path().join(format!("{index}.couch"));
        tailswap(&[&["compact", text(&path), text(&target)], options].concat()).fine();
        let info = &tailswap(&["info", "--json", text(&target)]).fine().json()[0];
        let expected = (Value::from(tombstones), Value::from(1), Value::from(purge_seq));
        let found = (&info["deleted_count"], &info["doc_count"], &info["purge_seq"]);
        assert_eq!(found, (&expected.0, &expected.1, &expected.2), "{options:?}");
        assert_sound(&target);
    }
}

#[test]
fn a_bad_line_ends_it_and_what_came_before_is_durable() {
    let folder = folder();
    let long = "k".repeat(5000);
    for (index, (bad, message)) in [
        ("{\"op\":\"set\"".to_owned(), "line 4: EOF while parsing"),
        ("{\"op\":\"set\",\"key\":\"k\"}".to_owned(), "line 4: a set needs a value"),
        (
            format!("{{\"op\":\"set\",\"key\":\"{long}\",\"value\":1}}"),
            "line 4: document id's length is 5001, more than the 4095 that the format can hold",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut lines = String::new();
        for n in 0..3 {
            lines.push_str(&format!("{{\"op\":\"set\",\"key\":\"k{n}\",\"value\":{n}}}\n"));
        }
        lines.push_str(&bad);
        lines.push_str("\n{\"op\":\"set\",\"key\":\"after\",\"value\":1}\n");
        let input = file(&folder, "input.jsonl", &lines);
        let loaded = folder.path().join(format!("{index}.couch"));
        let data = folder.path().join(index.to_string());
        let from_file = ["load", text(&loaded), "--input", text(&input)];
        let loading = tailswap(&from_file);
        loading.failed(3, &format!("input.jsonl: {message}"));
        let hint = format!("hint: the first 3 mutations are durable in {}\n", loaded.display());
        assert!(loading.stderr.contains(&hint), "{loading:?}");
        let running =
            tailswap_with(&["run", text(&data), "--input", "-", "--json"], lines.as_bytes());
        running.failed(3, &format!("standard input: {message}"));
        let hint = "hint: what was acknowledged is intact: vbucket 0 up to 3\n";
        assert!(running.stderr.contains(hint), "{running:?}");
        for file in [loaded, only_file(&data)] {
            assert!(contents(&file) == model(&lines, 3), "{message}");
            assert_sound(&file);
        }
    }
}

#[test]
fn input_that_begins_with_a_bad_line() {
    let folder = folder();
    let file = folder.path().join("new.couch");
    let ran = tailswap_with(&["load", text(&file)], b"nonsense\n");
    ran.failed(3, "standard input: line 1: ");
    assert!(ran.stderr.contains("hint: nothing is known to be durable\n"), "{ran:?}");
    assert!(!file.exists());
}

#[test]
fn usage() {
    for (arguments, message) in [
        (&["run", "d"][..], "required arguments were not provided"),
        (&["run", "d", "--input", "-", "--workload", "rate=5"], "cannot be used with"),
        (&["run", "d", "--workload", "colour=red"], "colour=red: no such setting"),
        (&["run", "d", "--input", "-", "--vbuckets", "0"], "invalid value '0'"),
        (&["compact", "a", "b", "--purge-before", "soon"], "neither a time"),
        (&["dump"], "required arguments were not provided"),
        (&["dump", "f", "--deleted", "perhaps"], "invalid value 'perhaps'"),
        (&["load", "f", "--batch", "0"], "invalid value '0'"),
    ] {
        let ran = tailswap(arguments);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(message), "{ran:?}");
    }
    assert_eq!(tailswap(&["get", "f", "xyz", "--hex"]).code, Some(2));
}

#[test]
fn the_slowest_rate_is_only_slow() {
    let folder = folder();
    let data = folder.path().join("data");
    let workload = "rate=1e-300,duration=300ms";
    let ran = tailswap(&["run", text(&data), "--workload", workload, "--json"]).fine();
    assert_eq!(ran.json()[0]["mutations"], 1, "{ran:?}");
}

#[test]
fn every_command_has_examples() {
    for command in ["info", "headers", "dump", "get", "check", "compact", "load", "run"] {
        let help = tailswap(&[command, "--help"]).fine().stdout;
        assert!(help.contains("Examples:\n"), "{command}");
        assert!(help.contains("--json"), "{command}");
    }
}
