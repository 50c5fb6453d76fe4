//! The check, checked: it sees what it is there to see, in made-up sources.

use crate::{Crate, ambient_violations, import_violations};

fn imports(files: &[(&str, &str)]) -> Vec<String> {
    import_violations(&Crate::parse(files.iter().copied()))
}

fn ambient(files: &[(&str, &str)]) -> Vec<String> {
    ambient_violations(&Crate::parse(files.iter().copied()))
}

/// Exactly one import is refused, with this message.
fn refused(file: &str, text: &str, message: &str) {
    assert_eq!(imports(&[(file, text)]), [message], "{text}");
}

#[test]
fn downwards_is_allowed() {
    let files = [
        ("lib.rs", "pub mod error; pub use error::{Damage, Error as Failure};"),
        ("store/mod.rs", "use crate::{btree::{self, Cursor}, format::Header, Failure, limits};"),
        ("store/batch.rs", "use super::Snapshot; fn f() { crate::device::sync() }"),
        ("engine/mod.rs", "use crate::{compaction, flusher, vbucket::lock::Guard};"),
        ("event.rs", "use crate::{error, limits};"),
        ("sim.rs", "pub(crate) struct A; pub(in crate::sim) struct B; use crate::sim::C;"),
    ];
    assert_eq!(imports(&files), Vec::<String>::new());
}

#[test]
fn upwards_is_refused_wherever_it_is_written() {
    let message = "btree/mod.rs:1: `btree` must not use `store`, which lies above it";
    for text in [
        "use crate::store::Store;",
        "use crate::store;",
        "pub use crate::store::*;",
        "use crate::{format, chunklog::{Log, Chunk}, store::{self}};",
        "use {crate::format::Header, crate::store};",
        "use super::store::Store;",
        "mod inner { mod deeper { use super::super::super::store; } }",
        "fn f() { crate::store::open() }",
        "fn f() -> Vec<crate::store::Store> { vec![] }",
        "fn f() { let v = Vec::<crate::store::Store>::new(); }",
        "fn f() { println!(\"{}\", crate::store::NAME) }",
        "macro_rules! m { () => { $crate::store::open() } }",
        "#[cfg(test)] mod tests { use crate::store; }",
    ] {
        refused("btree/mod.rs", text, message);
    }
    refused(
        "btree/update/leaf.rs",
        "// the path in the next line leads out of btree\nuse super::super::super::store;",
        "btree/update/leaf.rs:2: `btree` must not use `store`, which lies above it",
    );
}

#[test]
fn comments_and_strings_are_not_code() {
    let text = "//! See [`crate::engine`].\n/// [`crate::sim`]\n// crate::sim::x\n\
        /* use crate::engine; */ const A: &str = \"crate::engine::x\";";
    assert_eq!(imports(&[("device/mod.rs", text)]), Vec::<String>::new());
}

#[test]
fn peers_do_not_know_each_other() {
    for (module, peer) in [
        ("flusher", "compaction"),
        ("compaction", "flusher"),
        ("engine", "sim"),
        ("sim", "engine"),
        ("device", "format"),
        ("format", "device"),
    ] {
        refused(
            &format!("{module}.rs"),
            &format!("use crate::{peer}::X;"),
            &format!("{module}.rs:1: `{module}` must not use its peer `{peer}`"),
        );
    }
}

#[test]
fn what_all_use_uses_only_its_like() {
    refused(
        "error.rs",
        "use crate::device::Access;",
        "error.rs:1: `error` is used by all layers and must not use `device`",
    );
}

#[test]
fn a_detour_through_the_root_is_seen() {
    let files = [("lib.rs", "pub use store::{Store as File};"), ("btree.rs", "\nuse crate::File;")];
    let expected = ["btree.rs:2: `btree` must not use `store`, which lies above it"];
    assert_eq!(imports(&files), expected);
    for text in ["use crate::*;", "use super::*;", "use crate as all;", "use {crate as all};"] {
        refused("btree.rs", text, "btree.rs:1: `*` has no place in the layers");
    }
}

#[test]
fn new_modules_must_find_their_place() {
    refused("util.rs", "use crate::format::X;", "util.rs:1: `util` has no place in the layers");
    refused("store.rs", "use crate::util::X;", "store.rs:1: `util` has no place in the layers");
}

#[test]
fn the_operating_system_is_the_hosts() {
    for (text, path) in [
        ("use std::fs::File;", "std::fs::File"),
        ("use std::{io, fs};", "std::fs"),
        ("use std::{sync::Arc, time::{Duration, Instant}};", "std::time::Instant"),
        ("use std::time::SystemTime as T;", "std::time::SystemTime"),
        ("use std::time;", "std::time"),
        ("use std::time::{self, Duration};", "std::time"),
        ("use std::time::*;", "std::time::*"),
        ("fn f() { std::thread::sleep(x) }", "std::thread::sleep"),
        ("fn f() { ::std::process::exit(1) }", "std::process::exit"),
        ("use std as s;", "std::*"),
        ("#[cfg(not(test))] use std::env;", "std::env"),
        ("#[cfg(test)] mod tests { } use std::net::UdpSocket;", "std::net::UdpSocket"),
        ("#[cfg(test)] mod tests; fn f() { std::fs::read() }", "std::fs::read"),
    ] {
        let expected = [format!("store.rs:1: {path} is the host's")];
        assert_eq!(ambient(&[("store.rs", text)]), expected, "{text}");
        assert_eq!(ambient(&[("engine/clock.rs", text)]), Vec::<String>::new());
        assert_eq!(ambient(&[("device/file.rs", text)]), Vec::<String>::new());
    }
    assert_eq!(ambient(&[("device/mod.rs", "use std::fs;")]).len(), 1);
}

#[test]
fn tests_and_harmless_parts_of_std_are_free() {
    let harmless = "use std::{io, sync::{Arc, Mutex}, time::Duration}; use std::collections::*;";
    let tests = "#[cfg(test)] mod tests { use std::fs; fn f() { std::thread::spawn(g) } }";
    let test = "#[test] fn t() { std::fs::read(x) }";
    for text in [harmless, tests, test] {
        assert_eq!(ambient(&[("store.rs", text)]), Vec::<String>::new(), "{text}");
    }
    let apart = [
        ("store/mod.rs", "#[cfg(test)] mod tests;"),
        ("store/tests.rs", "use std::fs;"),
        ("store/tests/more.rs", "use std::thread;"),
    ];
    assert_eq!(ambient(&apart), Vec::<String>::new());
}
