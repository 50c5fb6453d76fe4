//! The scenario that `web.rs` runs in a browser, natively.
#![allow(clippy::unwrap_used)]
#![cfg(not(target_arch = "wasm32"))]

mod scenario;

#[test]
fn the_same_bytes_and_events_come_out_here() {
    assert_eq!(scenario::run().unwrap(), scenario::expected());
}
