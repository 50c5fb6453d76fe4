//! The layering of the modules, checked: imports go downwards only, and only the native host's
//! parts touch the operating system.
//!
//! The sources are read as tokens, so that comments and strings don't count, and paths inside
//! macros do.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of this is a test")]

mod checker;
mod paths;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use paths::{Found, Source, references};

/// From the bottom up. A module may import from the layers below its own, not from its neighbours.
const LAYERS: &[&[&str]] = &[
    &["device", "format", "trace"],
    &["chunklog"],
    &["btree"],
    &["store"],
    &["vbucket"],
    &["flusher", "compaction"],
    &["engine", "sim"],
];

/// For all layers; they import only each other.
const COMMON: &[&str] = &["canary", "error", "event", "limits", "sync"];

/// What touches the operating system beside `engine`: real files, the machine as a host, and what is
/// in test builds only.
const NATIVE_FILES: &[&str] = &["canary.rs", "device/file.rs", "device/host.rs"];

/// What of `std` belongs to the operating system.
const AMBIENT: &[&str] = &["env", "fs", "net", "os", "process", "thread"];

/// What of `std::time` is a clock. The module as a whole counts too: it hides what is used of it.
const CLOCKS: &[&str] = &["*", "Instant", "SystemTime"];

#[test]
fn imports_go_downwards_only() {
    let crate_ = Crate::read(&manifest_dir().join("src"));
    assert!(crate_.sources.len() >= 4, "the sources were not found");
    assert_eq!(import_violations(&crate_), Vec::<String>::new());
}

#[test]
fn only_the_native_parts_touch_the_operating_system() {
    let crate_ = Crate::read(&manifest_dir().join("src"));
    assert_eq!(ambient_violations(&crate_), Vec::<String>::new());
}

#[test]
fn the_hosts_use_the_public_api() {
    // Privacy is the compiler's work; what it can't see is a host that compiles the core's files.
    for host in ["native-cli", "web", "xtask"] {
        for (path, text) in read_sources(&manifest_dir().join("..").join(host)) {
            // What a crate's own build script wrote is no file of the core's.
            let text = text.replace("include!(concat!(env!(\"OUT_DIR\")", "");
            for trick in ["#[path", "include!("] {
                assert!(!text.contains(trick), "{path}: {trick} can reach into the core");
            }
        }
    }
}

/// The sources of a crate, parsed.
struct Crate {
    sources: Vec<Source>,
    /// Names that the root re-exports, and the module that each is from.
    reexports: BTreeMap<String, String>,
}

impl Crate {
    fn read(src: &Path) -> Crate {
        let files = read_sources(src);
        Crate::parse(files.iter().map(|(path, text)| (path.as_str(), text.as_str())))
    }

    fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Crate {
        let sources: Vec<Source> =
            files.into_iter().map(|(path, text)| Source::parse(path, text)).collect();
        let mut reexports = BTreeMap::new();
        for source in sources.iter().filter(|source| source.module().is_none()) {
            let found = references(source);
            for reference in found.iter().filter(|reference| reference.reexport) {
                if let [module, .., name] = reference.path.as_slice() {
                    reexports.insert(name.clone(), module.clone());
                }
            }
        }
        Crate { sources, reexports }
    }

    /// Everything that a top-level module refers to, with its file. Tests that lie in a file of
    /// their own are told from the `#[cfg(test)]` on their declaration.
    fn references(&self) -> Vec<(&Source, Found)> {
        let tests: BTreeSet<Vec<String>> =
            self.sources.iter().flat_map(|source| source.test_modules()).collect();
        let mut all = Vec::new();
        for source in &self.sources {
            let in_test_file = (1..=source.path.len()).any(|n| tests.contains(&source.path[..n]));
            for mut found in references(source) {
                found.test |= in_test_file;
                all.push((source, found));
            }
        }
        all
    }
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn import_violations(crate_: &Crate) -> Vec<String> {
    let mut violations = Vec::new();
    for (source, found) in crate_.references() {
        // The root only declares and re-exports.
        let Some(module) = source.module() else { continue };
        let Some(first) = found.path.first().filter(|first| *first != "std") else { continue };
        let used = crate_.reexports.get(first).unwrap_or(first).as_str();
        let place = format!("{}:{}", source.file, found.line);
        if let Some(problem) = import_problem(module, used) {
            violations.push(format!("{place}: {problem}"));
        }
    }
    violations
}

fn import_problem(module: &str, used: &str) -> Option<String> {
    if used == module || COMMON.contains(&used) {
        return None;
    }
    if COMMON.contains(&module) {
        return Some(format!("`{module}` is used by all layers and must not use `{used}`"));
    }
    let Some(own) = layer(module) else {
        return Some(format!("`{module}` has no place in the layers"));
    };
    match layer(used) {
        None => Some(format!("`{used}` has no place in the layers")),
        Some(other) if other < own => None,
        Some(other) if other == own => Some(format!("`{module}` must not use its peer `{used}`")),
        Some(_) => Some(format!("`{module}` must not use `{used}`, which lies above it")),
    }
}

fn ambient_violations(crate_: &Crate) -> Vec<String> {
    let mut violations = Vec::new();
    for (source, found) in crate_.references() {
        let native =
            source.module() == Some("engine") || NATIVE_FILES.contains(&source.file.as_str());
        let ["std", rest @ ..] = &found.path.iter().map(String::as_str).collect::<Vec<_>>()[..]
        else {
            continue;
        };
        let ambient = match rest {
            [] | ["*", ..] => true,
            ["time"] => true,
            ["time", clock, ..] => CLOCKS.contains(clock),
            [first, ..] => AMBIENT.contains(first),
        };
        if ambient && !native && !found.test {
            let path = found.path.join("::");
            violations.push(format!("{}:{}: {path} is the host's", source.file, found.line));
        }
    }
    violations
}

fn manifest_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below a folder, with their paths relative to it, sorted.
fn read_sources(folder: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
                files.push((name.replace('\\', "/"), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}
