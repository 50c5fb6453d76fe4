//! Input that is not what it should be: what the command says, and how it exits.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;

use support::{Ran, TAILSWAP, file, folder, golden, tailswap, tailswap_with, text};

/// Every command that reads couchstore files, on a file.
fn readers(path: &str) -> Vec<Vec<&str>> {
    vec![
        vec!["info", path],
        vec!["headers", path],
        vec!["dump", path],
        vec!["get", path, "key-0000000002"],
        vec!["check", path],
        vec!["compact", path, "never-made.couch"],
    ]
}

#[test]
fn missing_files() {
    for arguments in readers("no/such/file") {
        tailswap(&arguments).failed(3, "no/such/file: no such file");
    }
    tailswap(&["load", "x.couch", "--input", "no/such"]).failed(3, "no/such: no such file");
    tailswap(&["run", "x", "--input", "no/such"]).failed(3, "no/such: no such file");
}

#[test]
fn directories() {
    let folder = folder();
    for (names, hint) in [(&[][..], ""), (&["7.couch.1", "0.couch.12"], "/0.couch.12, or ")] {
        for name in names {
            file(&folder, name, fs::read(golden("one_doc.couch")).unwrap());
        }
        for arguments in
            [readers(text(folder.path())), vec![vec!["load", text(folder.path())]]].concat()
        {
            let ran = tailswap(&arguments);
            ran.failed(3, "is a directory, not a file");
            assert_eq!(ran.stderr.contains("hint: name a file in it: "), !hint.is_empty());
            assert!(ran.stderr.contains(hint), "{ran:?}");
        }
    }
}

#[test]
fn empty_files() {
    let folder = folder();
    let path = file(&folder, "empty.couch", "");
    for arguments in readers(text(&path)) {
        tailswap(&arguments).failed(3, "no header found: not a couchstore file, or nothing was");
    }
    tailswap(&["load", text(&path)]).failed(3, "no header found");
}

#[test]
fn text_files() {
    let folder = folder();
    for (name, lines) in [("short.txt", 1), ("long.txt", 5000)] {
        let path = file(&folder, name, "Not a couchstore file.\n".repeat(lines));
        for arguments in readers(text(&path)) {
            let ran = tailswap(&arguments);
            assert!(ran.stderr.contains(name), "{ran:?}");
            match lines {
                1 => ran.failed(3, "no header found"),
                // Nothing in it could be recovered, and so nobody is told to try.
                _ if arguments[0] == "check" => ran.failed(3, "unknown block type"),
                _ => {
                    ran.failed(3, "unknown block type");
                    assert!(ran.stderr.contains("hint: there is no sound header"), "{ran:?}");
                }
            }
        }
        let before = fs::read(&path).unwrap();
        assert_eq!(tailswap(&["load", text(&path)]).code, Some(3));
        assert_eq!(fs::read(&path).unwrap(), before, "load must not touch it");
    }
}

#[test]
fn what_may_not_be_opened() {
    let folder = folder();
    let path = file(&folder, "secret.couch", fs::read(golden("one_doc.couch")).unwrap());
    // Where nobody else may be asked to run the test, it runs as a user whom permissions bind.
    let binary = folder.path().join("tailswap");
    fs::copy(TAILSWAP, &binary).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let run = |arguments: &[&str]| {
        let mut command = match is_root {
            false => Command::new(&binary),
            true => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&binary);
                command
            }
        };
        Ran::of(command.args(arguments).output().unwrap())
    };
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    for command in ["trace", "load"].map(|command| vec![command, text(&path)]) {
        run(&command).failed(3, "secret.couch: permission to read it is denied");
    }
    for arguments in readers(text(&path)) {
        run(&arguments).failed(3, "secret.couch: permission to read it is denied");
    }

    // To read it is allowed, to write to it or beside it is not.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let [new, data] = ["new.couch", "data"].map(|name| folder.path().join(name));
    let golden = golden("one_doc.couch");
    for arguments in [
        &["load", text(&path)][..],
        &["load", text(&new)],
        &["compact", text(&path), text(&new)],
        &["run", text(&data), "--input", text(&golden)],
    ] {
        run(arguments).failed(3, "Permission denied");
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(support::names(folder.path()), ["secret.couch", "tailswap"]);
}

#[test]
fn one_bad_file_does_not_hide_the_others() {
    let good = golden("one_doc.couch");
    for command in ["info", "check"] {
        let ran = tailswap(&[command, "no/such", text(&good)]);
        ran.failed(3, "no such file");
        assert!(ran.stdout.contains("one_doc.couch"), "{ran:?}");
    }
}

#[test]
fn a_damaged_newest_header_and_the_way_on() {
    let path = golden("corrupt/hdr_body_bitflip.couch");
    for arguments in readers(text(&path)) {
        if arguments[0] == "check" {
            continue;
        }
        let ran = tailswap(&arguments);
        ran.failed(3, "damaged at offset 86016: header: checksum is");
        let hint = format!("hint: `tailswap {} --recovery ", arguments[0]);
        assert!(ran.stderr.contains(&hint), "{ran:?}");
        assert!(ran.stderr.contains("at offset 81920"), "{ran:?}");
    }
    let recovered = tailswap(&["dump", "--json", "--recovery", text(&path)]);
    assert_eq!((recovered.code, recovered.json().len()), (Some(0), 30), "{recovered:?}");
    let note = "recovered the state of the header at offset 81920 (sequence number 108); given up: \
                1 damaged block and all 4.0 KiB behind that header";
    assert!(recovered.stderr.contains(note), "{recovered:?}");
}

#[test]
fn unknown_versions_are_not_recovered_from() {
    let path = golden("corrupt/hdr_version_15.couch");
    for arguments in [&["dump", text(&path)][..], &["dump", "--recovery", text(&path)]] {
        let ran = tailswap(arguments);
        ran.failed(3, "has disk version 15; 11 to 14 can be read");
        assert!(!ran.stderr.contains("--recovery"), "{ran:?}");
    }
}

#[test]
fn check_names_problems_and_passes_crash_tails() {
    for (name, offset, code) in [
        ("node_byid_leaf_bitflip", 59783, 1),
        ("node_byseq_leaf_bitflip", 65027, 1),
        ("body_bitflip", 3251, 1),
        ("hdr_body_bitflip", 86016, 1),
        ("hdr_blocktype_0", 86016, 0),
        ("zeros_appended", 86121, 0),
        ("hdr_prev_is_self", 73728, 0),
    ] {
        let path = golden(&format!("corrupt/{name}.couch"));
        let ran = tailswap(&["check", "--json", text(&path)]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(code), ""), "{name}: {ran:?}");
        let report = &ran.json()[0];
        assert_eq!(report["sound"], code == 0, "{name}");
        let findings = report["findings"].as_array().unwrap();
        let severity = match (code, name) {
            (1, _) => "problem",
            (_, "hdr_prev_is_self") => "warning",
            _ => "note",
        };
        let named = |finding: &serde_json::Value| {
            finding["offset"] == offset && finding["severity"] == severity
        };
        assert!(findings.iter().any(named), "{name}: {findings:?}");
        let people = tailswap(&["check", text(&path)]).stdout;
        assert!(people.contains(&format!("{severity} at offset {offset}: ")), "{people}");
    }
}

#[test]
fn a_key_that_check_names_is_escaped_once() {
    let folder = folder();
    let path = folder.path().join("0.couch.1");
    let value = "0123456789abcdefghijkl";
    let line = format!("{{\"op\":\"set\",\"key\":\"k4\",\"value\":\"{value}\"}}");
    tailswap_with(&["load", text(&path)], line.as_bytes()).fine();
    let mut bytes = fs::read(&path).unwrap();
    let body = bytes.windows(value.len()).position(|window| window == value.as_bytes()).unwrap();
    bytes[body] ^= 1;
    let damaged = file(&folder, "damaged.couch", &bytes);
    let checked = tailswap(&["check", text(&damaged)]);
    assert!(checked.stdout.contains(r#"document "\x00k4" (seq 1)"#), "{checked:?}");
}

#[test]
fn files_cut_anywhere() {
    let folder = folder();
    let whole = fs::read(golden("compact_src.couch")).unwrap();
    let (mut states, mut refusals) = (0, 0);
    let around_headers = [24576, 40960, 57344, 73728].into_iter().flat_map(|at| at - 1..at + 3);
    for length in (1..whole.len()).step_by(1709).chain(around_headers).chain([73728 + 30]) {
        let path = file(&folder, "cut.couch", &whole[..length]);
        let ran = tailswap(&["dump", "--json", text(&path)]);
        match ran.code {
            Some(0) => states += 1,
            _ => {
                ran.failed(3, "cut.couch: ");
                refusals += 1;
            }
        }
        // Every header that is whole, and all before it, can be recovered.
        let recovered = tailswap(&["dump", "--json", "--recovery", text(&path)]);
        let expected = if length > 48 { Some(0) } else { Some(3) };
        assert_eq!(recovered.code, expected, "cut to {length}: {recovered:?}");
        let checked = tailswap(&["check", text(&path)]).code;
        assert!(matches!(checked, Some(0 | 1 | 3)), "cut to {length}: {checked:?}");
    }
    assert!(states > 20 && refusals > 3, "{states} states, {refusals} refusals");
}

#[test]
fn bits_flipped_anywhere() {
    let folder = folder();
    let whole = fs::read(golden("compact_src.couch")).unwrap();
    let mut found = 0;
    for (index, offset) in (0..whole.len()).step_by(1201).enumerate() {
        let mut bytes = whole.clone();
        bytes[offset] ^= 1 << (index % 8);
        let path = file(&folder, "flipped.couch", &bytes);
        let dumped = tailswap(&["dump", "--json", text(&path)]);
        if dumped.code != Some(0) {
            dumped.failed(3, "flipped.couch: ");
        }
        // Whatever `dump` stumbles over, `check` finds too.
        let checked = tailswap(&["check", text(&path)]);
        assert!(matches!(checked.code, Some(0 | 1 | 3)), "{offset}: {checked:?}");
        assert!(dumped.code == Some(0) || checked.code != Some(0), "{offset}: {checked:?}");
        found += u32::from(checked.code != Some(0));
    }
    assert!(found > 20, "{found}");
}

#[test]
fn damage_in_the_middle_ends_a_compaction_and_leaves_nothing() {
    let folder = folder();
    for name in ["body_bitflip", "node_byseq_leaf_bitflip", "node_byid_leaf_bitflip"] {
        let source = golden(&format!("corrupt/{name}.couch"));
        let target = folder.path().join("target.couch");
        tailswap(&["compact", text(&source), text(&target)])
            .failed(3, &format!("{name}.couch: damaged at offset"));
        assert!(support::names(folder.path()).is_empty(), "{name}");
    }
}

#[test]
fn a_data_directory_with_a_damaged_file() {
    let folder = folder();
    let bytes = fs::read(golden("corrupt/hdr_body_bitflip.couch")).unwrap();
    file(&folder, "0.couch.7", &bytes);
    file(&folder, "0.couch.6", fs::read(golden("one_doc.couch")).unwrap());
    let ran = tailswap(&["run", text(folder.path()), "--input", "/dev/null"]);
    ran.failed(3, "0.couch.7: damaged at offset 86016");
    assert!(ran.stderr.contains("--recovery") && ran.stderr.contains("--one-sync"), "{ran:?}");
    // The older file neither takes over nor goes away.
    assert_eq!(support::names(folder.path()), ["0.couch.6", "0.couch.7"]);
    assert_eq!(fs::read(folder.path().join("0.couch.7")).unwrap(), bytes);
}

#[test]
fn a_data_directory_with_a_file_of_no_vbucket() {
    let folder = folder();
    file(&folder, "0.couch.1", fs::read(golden("one_doc.couch")).unwrap());
    let ran = tailswap(&["run", text(folder.path()), "--input", "/dev/null"]);
    ran.failed(3, "0.couch.1: _local/vbstate is missing");
    assert!(ran.stderr.contains("hint: it was not written as a vbucket's"), "{ran:?}");
}

/// No crash writes a block of a type that there is not, so that option takes nothing back here.
#[test]
fn one_sync_is_advised_only_where_it_may_help() {
    let folder = folder();
    let path =
        file(&folder, "0.couch.7", fs::read(golden("corrupt/hdr_blocktype_7.couch")).unwrap());
    let torn = file(&folder, "torn", fs::read(golden("corrupt/hdr_body_bitflip.couch")).unwrap());
    let (path, directory, torn) = (text(&path), text(folder.path()), text(&torn));
    for (arguments, advised) in [
        (&["run", directory, "--input", "/dev/null"][..], false),
        (&["load", path], false),
        (&["load", torn], true),
        (&["dump", torn], false),
    ] {
        let ran = tailswap(arguments);
        ran.failed(3, "damaged at offset 86016");
        assert!(ran.stderr.contains("--recovery"), "{ran:?}");
        assert_eq!(ran.stderr.contains("--one-sync"), advised, "{ran:?}");
    }
    tailswap(&["run", "--one-sync", directory, "--input", "/dev/null"]).failed(3, "block type 7");
    tailswap(&["load", "--one-sync", torn]).failed(0, "recovered the state of the header");
}

/// Where the right thing cannot be read the machine is at fault, and trying again may help.
#[test]
fn a_machine_that_cannot_read() {
    // There is nothing at the first address of a process, so its memory cannot be read there.
    tailswap(&["trace", "/proc/self/mem"]).failed(4, "/proc/self/mem: cannot read: ");
    tailswap(&["sim", "--replay", "/proc/self/mem"]).failed(4, "/proc/self/mem: cannot read: ");
    let path = golden("one_doc.couch");
    for arguments in readers(text(&path)) {
        let mut command = Command::new("sh");
        command.args(["-c", r#"ulimit -n 4; exec "$0" "$@""#, TAILSWAP]).args(&arguments);
        let ran = Ran::of(command.output().unwrap());
        ran.failed(4, "one_doc.couch: cannot read: Too many open files");
    }
}

#[test]
fn links_that_lead_in_a_circle_and_sockets() {
    let folder = folder();
    let [circle, socket] = ["circle", "socket"].map(|name| folder.path().join(name));
    symlink(&circle, &circle).unwrap();
    let _listening = UnixListener::bind(&socket).unwrap();
    for path in [circle, socket] {
        for arguments in readers(text(&path)) {
            tailswap(&arguments).failed(3, ": cannot read: ");
        }
        tailswap(&["trace", text(&path)]).failed(3, ": cannot read: ");
    }
}

/// As a crash leaves it that comes before the only sync of a commit: the header is there, a body is not.
#[test]
fn a_commit_that_was_cut_short_and_the_way_on() {
    let line = |value: &str| {
        let value = value.repeat(2000);
        format!("{{\"op\":\"set\",\"key\":\"k\",\"value\":\"{value}\"}}\n").into_bytes()
    };
    let (folder, copies) = (folder(), folder());
    let path = folder.path().join("0.couch.1");
    for value in ["1", "2"] {
        tailswap_with(&["load", "--one-sync", text(&path)], &line(value)).fine();
    }
    let mut bytes = fs::read(&path).unwrap();
    let header = (0..bytes.len()).step_by(4096).rfind(|block| bytes[*block] == 1).unwrap();
    let before = (0..header).step_by(4096).rfind(|block| bytes[*block] == 1).unwrap();
    bytes[before + 300..before + 310].fill(0);

    let damaged = file(&copies, "0.couch.1", &bytes);
    let refused = tailswap_with(&["load", text(&damaged)], &line("3"));
    refused.failed(3, "0.couch.1: damaged at offset ");
    assert!(refused.stderr.contains("--one-sync"), "{refused:?}");
    assert_eq!(fs::read(&damaged).unwrap(), bytes, "a refused file is left alone");
    assert_eq!(tailswap(&["check", text(&damaged)]).code, Some(1));

    for way in ["--one-sync", "--recovery"] {
        let damaged = file(&copies, "0.couch.1", &bytes);
        let loaded = tailswap_with(&["load", way, text(&damaged)], b"");
        assert_eq!(loaded.code, Some(0), "{loaded:?}");
        let note =
            format!("recovered the state of the header at offset {before} (sequence number 1)");
        assert!(loaded.stderr.contains(&note), "{loaded:?}");
        // Only with the option is it known for a commit that nobody was told of, and taken back.
        let checked = tailswap(&["check", text(&damaged)]);
        assert_eq!(checked.code, Some(i32::from(way == "--recovery")), "{way}: {checked:?}");
        let loaded = tailswap_with(&["load", way, text(&damaged)], &line("3"));
        assert_eq!(loaded.code, Some(0), "{way}: {loaded:?}");
        let newest = tailswap(&["get", text(&damaged), "k"]).fine();
        assert!(newest.stdout.contains("3333"), "{way}: {newest:?}");
    }
}
