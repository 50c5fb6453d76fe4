//! What the tests of the command share: running it, golden files, a model of what was streamed in.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The binary under test.
pub(crate) const TAILSWAP: &str = env!("CARGO_BIN_EXE_tailswap");

/// What a run of the command came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Ran {
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// That it ended with this code, after saying this on standard error.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, message: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.stderr.contains(message), "{message:?} is missing: {self:?}");
        assert!(self.stderr.starts_with("tailswap: "), "{self:?}");
    }

    /// That all went well, without a word on standard error.
    #[track_caller]
    pub(crate) fn fine(self) -> Ran {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{}", self.stdout);
        self
    }

    /// The lines of standard output, as JSON.
    pub(crate) fn json(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Runs the command.
pub(crate) fn tailswap<S: AsRef<OsStr>>(arguments: &[S]) -> Ran {
    tailswap_with(arguments, b"")
}

/// Runs the command with this on standard input.
pub(crate) fn tailswap_with<S: AsRef<OsStr>>(arguments: &[S], input: &[u8]) -> Ran {
    let mut child = spawn(arguments);
    let mut stdin = child.stdin.take().unwrap();
    // A command that does not want it all, or none of it, is what some tests are about.
    let _ = stdin.write_all(input);
    drop(stdin);
    Ran::of(child.wait_with_output().unwrap())
}

/// Starts the command with pipes on all three.
pub(crate) fn spawn<S: AsRef<OsStr>>(arguments: &[S]) -> Child {
    let mut command = Command::new(TAILSWAP);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// A directory that goes away by itself.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Where a golden file lies.
pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/golden").join(name)
}

/// A file with this content, in `folder`.
pub(crate) fn file(folder: &TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    path
}

/// Names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Waits until something is the case; fails after a long while.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what} never came");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The last complete line of a file of acknowledgements; 0 when there is none.
pub(crate) fn acknowledged(acks: &Path) -> u64 {
    let text = fs::read_to_string(acks).unwrap_or_default();
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let line = complete.lines().next_back().unwrap_or(r#"{"seq":0}"#);
    serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap()
}

/// The only file of vbucket 0 in a directory.
pub(crate) fn only_file(directory: &Path) -> PathBuf {
    let names = names(directory);
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(names[0].starts_with("0.couch."), "{names:?}");
    directory.join(&names[0])
}

/// A document as the model has it: sequence number, and the body unless it is deleted.
pub(crate) type Expected = (u64, Option<String>);

/// What the first `count` mutations of a stream for one new vbucket come to, by id as stored.
pub(crate) fn model(lines: &str, count: u64) -> BTreeMap<String, Expected> {
    let mut documents = BTreeMap::new();
    for (index, line) in lines.lines().enumerate().take(usize::try_from(count).unwrap()) {
        let mutation: Value = serde_json::from_str(line).unwrap();
        let value = (mutation["op"] == "set").then(|| mutation["value"].to_string());
        let key = format!("\0{}", mutation["key"].as_str().unwrap());
        documents.insert(key, (index as u64 + 1, value));
    }
    documents
}

/// What a file holds, in the form of the model. Bodies are compared as JSON values are printed.
pub(crate) fn contents(file: &Path) -> BTreeMap<String, Expected> {
    let dumped = tailswap(&["dump", "--json", text(file)]).fine();
    let document = |line: Value| {
        let id = line["id"].as_str().unwrap().to_owned();
        let body = line["body"]
            .as_str()
            .map(|body| serde_json::from_str::<Value>(body).unwrap().to_string());
        assert_eq!(body.is_none(), line["deleted"] == true, "{line}");
        (id, (line["seq"].as_u64().unwrap(), body))
    };
    dumped.json().into_iter().map(document).collect()
}

/// The highest sequence number of a file's newest header.
pub(crate) fn update_seq(file: &Path) -> u64 {
    let info = tailswap(&["info", "--json", text(file)]).fine().json();
    info[0]["update_seq"].as_u64().unwrap()
}

/// Fails unless `check` finds a file sound.
#[track_caller]
pub(crate) fn assert_sound(file: &Path) {
    let checked = tailswap(&["check", text(file)]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
}
