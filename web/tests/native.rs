//! The scenario that `web.rs` runs in a browser, natively.
#![allow(clippy::unwrap_used)]
#![cfg(not(target_arch = "wasm32"))]

mod scenario;

use tailswap_web::recording::{Parameters, Recording};

#[test]
fn the_same_bytes_and_events_come_out_here() {
    assert_eq!(scenario::run().unwrap(), scenario::expected());
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
