//! What `web.rs` runs in a browser, natively.
#![allow(clippy::unwrap_used)]
#![cfg(not(target_arch = "wasm32"))]

mod hosts;
mod scenario;

use std::fs;
use std::path::Path;

use tailswap_web::parameters::Parameters;
use tailswap_web::recording::Recording;

#[test]
fn the_same_bytes_and_events_come_out_here() {
    assert_eq!(scenario::run().unwrap(), scenario::expected());
}

#[test]
fn worlds_are_the_same_here() {
    let differences = hosts::differences(&hosts::outcomes().unwrap());
    assert!(differences.is_empty(), "not as in tests/hosts/expected.txt:{differences}");
}

#[test]
fn every_scenario_is_played() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/scenarios");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<_> =
        files.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    names.sort();
    let played: Vec<&str> = hosts::SCENARIOS.iter().map(|(name, _)| *name).collect();
    assert_eq!(played, names, "tests/hosts/scenarios.rs against core/scenarios");
}

/// See `hosts` for when to run this.
#[test]
#[ignore = "writes what the others compare with"]
fn write_expected() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts/expected.txt");
    fs::write(file, hosts::outcomes().unwrap()).unwrap();
}

#[test]
fn the_pages_run_is_the_same_here() {
    let parameters = Parameters::named(1.0, "nvme", "many").unwrap();
    let mut recording = Recording::new(parameters);
    while recording.advance(1000).unwrap() {}
    let world = recording.world();
    let hashes = (format!("{:016x}", world.trace_hash()), format!("{:016x}", world.state_hash()));
    assert_eq!(hashes, (scenario::RUN_TRACE.to_owned(), scenario::RUN_STATE.to_owned()));
}
