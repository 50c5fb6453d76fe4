//! Any bytes as a file: opened strictly and in recovery, read, checked, compacted.
#![no_main]

#[path = "../../core/tests/corruption/exercise.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod exercise;

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tailswap::device::MemoryDevice;

fuzz_target!(|file: Vec<u8>| {
    if let Err(why) = exercise::exercise(Arc::new(MemoryDevice::from_bytes(file))) {
        panic!("{why}");
    }
});
