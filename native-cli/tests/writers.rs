//! Writing where one may not: names that are taken, other writers, disks that are full.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use support::{
    Ran, TAILSWAP, acknowledged, assert_sound, contents, file, folder, golden, model, names,
    only_file, spawn, tailswap, tailswap_with, text, update_seq, wait_until,
};

const LINE: &[u8] = b"{\"op\":\"set\",\"key\":\"k\",\"value\":1}\n";

#[test]
fn nothing_is_overwritten() {
    let folder = folder();
    let target = file(&folder, "there", "precious");
    let source = golden("one_doc.couch");
    tailswap(&["compact", text(&source), text(&target)]).failed(4, "there: already exists");
    assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    tailswap(&["compact", text(&source), text(&source)]).failed(4, "already exists");
    assert_eq!(names(folder.path()), ["there"]);
}

#[test]
fn paths_that_lead_nowhere() {
    let folder = folder();
    let taken = file(&folder, "there", "precious");
    let (source, nowhere) = (golden("one_doc.couch"), folder.path().join("no/such"));
    let (source, taken, nowhere) = (text(&source), text(&taken), text(&nowhere));
    tailswap(&["compact", source, nowhere]).failed(3, "/no: no such directory");
    tailswap(&["load", nowhere]).failed(3, "/no: no such directory");
    let below = format!("{taken}/0.couch.1");
    tailswap(&["compact", source, &below]).failed(3, "/there: is not a directory");
    tailswap(&["load", &below]).failed(3, "/there: is not a directory");
    tailswap(&["run", taken, "--input", "-"]).failed(3, "is not a directory");
    let data = folder.path().join("data");
    for option in ["--trace", "--acks"] {
        tailswap(&["run", text(&data), "--input", "-", option, nowhere])
            .failed(3, "/no/such: cannot ");
    }
    let made = ["run", text(&data), "--workload", "mutations=1", "--record", nowhere];
    tailswap(&made).failed(3, "/no/such: cannot ");
    assert_eq!(names(folder.path()), ["there"]);
}

#[test]
fn a_data_directory_has_one_writer() {
    let folder = folder();
    let (data, acks) = (folder.path().join("data"), folder.path().join("acks"));
    let mut child = spawn(&["run", text(&data), "--input", "-", "--acks", text(&acks)]);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(LINE).unwrap();
    wait_until("the acknowledgement", || acknowledged(&acks) == 1);

    let locked = "open for writing elsewhere; only one writer at a time is possible";
    let file = only_file(&data);
    tailswap(&["run", text(&data), "--input", "-"]).failed(4, &format!("data: {locked}"));
    tailswap_with(&["load", text(&file)], LINE).failed(4, locked);
    let source = golden("one_doc.couch");
    // Onto the file in charge, and as one that would be in charge after the next start.
    for target in ["0.couch.1", "0.couch.2", "7.couch.1"] {
        let target = data.join(target);
        tailswap(&["compact", text(&source), text(&target)]).failed(4, locked);
    }
    assert_eq!(names(&data), ["0.couch.1"]);

    // Readers are let in.
    assert_eq!(contents(&file).len(), 1);
    assert_sound(&file);
    tailswap(&["compact", text(&file), text(&folder.path().join("copy"))]).fine();

    drop(stdin);
    Ran::of(child.wait_with_output().unwrap()).fine();
    tailswap_with(&["load", text(&file)], LINE).fine();
}

#[test]
fn a_file_has_one_writer() {
    let folder = folder();
    let path = folder.path().join("x.couch");
    tailswap_with(&["load", text(&path)], LINE).fine();
    let mut child = spawn(&["load", text(&path), "--batch", "1"]);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(LINE).unwrap();
    wait_until("the first commit", || update_seq(&path) == 2);
    tailswap_with(&["load", text(&path)], LINE).failed(4, "x.couch: open for writing elsewhere");
    drop(stdin);
    Ran::of(child.wait_with_output().unwrap()).fine();
    assert_eq!(update_seq(&path), 2);
}

#[test]
fn a_directory_that_cannot_be_written() {
    // On every kernel there is a file system on which nobody can create anything, root neither.
    let ran = tailswap_with(&["load", "/proc/new.couch"], LINE);
    ran.failed(3, "/proc/new.couch");
    let source = golden("one_doc.couch");
    tailswap(&["compact", text(&source), "/proc/new.couch"]).failed(3, "/proc/new.couch");
    tailswap(&["run", "/proc/new", "--input", "-"]).failed(3, "/proc/new: cannot make");
}

#[test]
fn standard_output_that_is_full() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let path = golden("multilevel.couch");
    let mut command = Command::new(TAILSWAP);
    let output = command.args(["dump", text(&path)]).stdout(full).output().unwrap();
    Ran::of(output).failed(4, "standard output: cannot write: No space left on device");
}

/// Runs a script with a small file system at `$disk`, which is there for the script alone. `None`
/// where the system lets nobody mount one.
fn on_small_disk(folder: &Path, kilobytes: u32, script: &str) -> Option<Ran> {
    let disk = folder.join("disk");
    fs::create_dir_all(&disk).unwrap();
    let mount = format!("mount -t tmpfs -o size={kilobytes}k tmpfs \"$disk\"");
    let shell = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-c", script]);
        command.env("disk", &disk).env("folder", folder).env("tailswap", TAILSWAP);
        command.output().ok()
    };
    let possible = shell(&mount).is_some_and(|output| output.status.success());
    if !possible {
        println!("no file system can be mounted here; the test with a size limit remains");
        return None;
    }
    shell(&format!("{mount} && {script}")).map(Ran::of)
}

#[test]
fn a_file_system_that_is_read_only() {
    let folder = folder();
    let script = r#"
        "$tailswap" run "$disk/data" --workload mutations=10 >/dev/null &&
        mount -o remount,ro "$disk" || exit 99
        source="$disk/data/0.couch.1"
        "$tailswap" check "$source" >/dev/null || exit 98
        echo '{"op":"delete","key":"k"}' >"$folder/line"
        for command in "load $source" "load $disk/new" "compact $source $disk/new" \
            "run $disk/data" "run $disk/new" "run $folder/new --trace $disk/new"; do
            case $command in compact*) input= ;; *) input="--input $folder/line" ;; esac
            "$tailswap" $command $input
            echo "$?: $command"
        done"#;
    let Some(ran) = on_small_disk(folder.path(), 1000, script) else { return };
    ran.failed(0, "Read-only file system");
    let refused = ran.stdout.lines().filter(|line| line.starts_with("3: ")).count();
    assert_eq!((refused, ran.stdout.lines().count()), (6, 6), "{ran:?}");
}

#[test]
fn a_disk_that_fills_up_while_flushing() {
    let folder = folder();
    let script = r#"
        "$tailswap" run "$disk/data" --compactors 0 --workload documents=5000,mutations=100000 \
            --record "$folder/record" --acks "$folder/acks"
        code=$?
        cp -r "$disk/data" "$folder/data"
        exit $code"#;
    let Some(ran) = on_small_disk(folder.path(), 3000, script) else { return };
    ran.failed(4, "vbucket 0: a flush failed, trying again: 0.couch.1: cannot ");
    assert!(ran.stderr.contains("No space left on device"), "{ran:?}");
    let acknowledged = acknowledged(&folder.path().join("acks"));
    let hint = format!("hint: what was acknowledged is intact: vbucket 0 up to {acknowledged}\n");
    assert!(ran.stderr.contains(&hint), "{ran:?}");
    let file = only_file(&folder.path().join("data"));
    assert_sound(&file);
    // A flush is all or nothing.
    assert_eq!(update_seq(&file), acknowledged);
    assert!(acknowledged > 1000, "{acknowledged}");
    let record = fs::read_to_string(folder.path().join("record")).unwrap();
    assert!(contents(&file) == model(&record, acknowledged));
}

#[test]
fn a_disk_that_fills_up_while_compacting() {
    let folder = folder();
    // 2.2 MB of documents, and 1.5 MB of room however long the file has become: too little for a
    // second copy, but enough for every flush to write its paths anew.
    let script = r#"
        "$tailswap" run "$disk/data" --compactors 0 --json --record "$folder/first" \
            --workload documents=4000,sizes=1000..1001,updates=20,deletes=0,mutations=5000 &&
        room=$(df -k --output=avail "$disk" | tail -n 1) &&
        head -c $(( (room - 1500) * 1024 )) /dev/zero >"$disk/ballast" &&
        "$tailswap" run "$disk/data" --min-size 1k --fragmentation 1 --record "$folder/second" \
            --workload documents=100,sizes=1000,deletes=10,mutations=200,rate=400 --json
        code=$?
        "$tailswap" compact "$disk/data/0.couch.1" "$disk/copy" && code=99
        rm "$disk/ballast"
        ls "$disk"
        cp -r "$disk/data" "$folder/data"
        exit $code"#;
    let Some(ran) = on_small_disk(folder.path(), 12000, script) else { return };
    ran.failed(0, "vbucket 0: a compaction failed, its file stays in use: ");
    assert!(ran.stderr.contains("No space left on device"), "{ran:?}");
    assert!(ran.stderr.contains("copy.creating: cannot write"), "{ran:?}");
    assert!(ran.stdout.ends_with("}\ndata\n"), "neither leaves anything behind: {ran:?}");
    let file = only_file(&folder.path().join("data"));
    assert!(file.ends_with("0.couch.1"));
    assert_sound(&file);
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let record = read("first") + &read("second");
    assert!(contents(&file) == model(&record, 5200));
}

#[test]
fn a_file_that_may_not_grow() {
    let folder = folder();
    let (data, acks) = (folder.path().join("data"), folder.path().join("acks"));
    let line = |n: u64| format!("{{\"op\":\"set\",\"key\":\"k{}\",\"value\":{n}}}\n", n % 500);
    let lines: String = (0..50_000).map(line).collect();
    let input = file(&folder, "input", &lines);
    // Blocks of 512 bytes. The signal is ignored, so that writing fails instead.
    let script = r#"trap '' XFSZ; ulimit -f 1000; exec "$0" "$@""#;
    let mut command = Command::new("sh");
    command.args(["-c", script, TAILSWAP, "run", text(&data), "--compactors", "0"]);
    command.args(["--queue-bytes", "64k", "--input", text(&input), "--acks", text(&acks)]);
    let ran = Ran::of(command.output().unwrap());
    ran.failed(4, "cannot be flushed");
    assert!(ran.stderr.contains("File too large"), "{ran:?}");
    let file = only_file(&data);
    assert_sound(&file);
    assert_eq!(update_seq(&file), acknowledged(&acks));
    assert!(contents(&file) == model(&lines, acknowledged(&acks)));
}
