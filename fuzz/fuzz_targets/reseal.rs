//! Input as the choices of the mutator that damages a golden file under right checksums.
#![no_main]

#[path = "../../core/tests/corruption/exercise.rs"]
mod exercise;
mod input;
#[path = "../../core/tests/corruption/nodes.rs"]
mod nodes;
#[path = "../../core/tests/corruption/reseal.rs"]
mod reseal;

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tailswap::device::MemoryDevice;
use tailswap::event::FileName;
use tailswap::store::{OpenMode, find_newest};

fuzz_target!(|input: &[u8]| {
    let (mut choices, golden) = input::begin(input);
    let device = Arc::new(MemoryDevice::from_bytes(golden.to_vec()));
    let (before, _) = find_newest(&FileName::from("golden"), device, OpenMode::Strict).unwrap();
    let before = exercise::read(&before).unwrap().contents;
    let mut resealed = reseal::reseal(golden, &mut choices).unwrap();
    let bytes = std::mem::take(&mut resealed.bytes);
    let outcome = exercise::exercise(Arc::new(MemoryDevice::from_bytes(bytes)));
    if let Err(why) = outcome.and_then(|outcome| resealed.verify(&before, &outcome)) {
        panic!("{} ({choices}): {why}", resealed.story);
    }
});
