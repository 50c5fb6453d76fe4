//! Trying many ways to damage a file, and what may come of each.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use tailswap::device::MemoryDevice;
use tailswap::sim::Choices;

use super::damage::Damage;
use super::exercise::{Contents, Outcome, Reading, exercise};
use super::reseal::reseal;
use super::seeds::Seed;

/// Bytes that are allocated beyond four times the file's length, at most, whatever is wrong with it:
/// the windows that files are read and written through have a fixed size.
const FIXED_BYTES: u64 = 1 << 20;

/// Bytes that are allocated beyond that for each byte of a file whose checksums are right and whose
/// nodes inflate to as much as Snappy can make of it: 22 times, and not quite as much again for the
/// index of its entries.
const INFLATED: u64 = 2 * 22;

/// The long forms take a while: how many are tried from one sign of life to the next.
const PROGRESS_EVERY: usize = 5_000;

/// How many more are tried after a failure: its neighbours show what it is about.
const TRIED_AFTER_A_FAILURE: usize = 100;

/// Checks what came of damage.
fn verify(seed: &Seed, damage: Damage, outcome: &Outcome) -> Result<(), String> {
    let newest = &seed.newest().reading;
    let moved = damage.moves_blocks();
    let without_bodies = |of: Contents| Contents { by_seq: 0, by_id: 0, ..of };
    let same = |is: Contents, was: Contents| match moved && seed.bodies_fill_blocks {
        true => without_bodies(is) == without_bodies(was),
        false => is == was,
    };
    let known = |is: &Reading| {
        let mut states = seed.states.iter().map(|state| &state.reading);
        states.any(|was| same(is.contents, was.contents) && (moved || is.position == was.position))
    };
    for (mode, read) in [("strict", &outcome.strict), ("recovery", &outcome.recovery)] {
        if let Ok(reading) = read
            && !known(reading)
        {
            return Err(format!("{mode}: reads what was never committed: {reading:?}"));
        }
    }
    match &outcome.strict {
        Ok(reading) if !same(reading.contents, newest.contents) && !damage.may_hide(newest) => {
            Err(format!("strict: the newest state is gone without a word: {reading:?}"))
        }
        _ => Ok(()),
    }
}

/// Tries each damage of a file, and fails with a line for each of some that did not end well.
pub(crate) fn try_all(suite: &str, seed: &Seed, all: &[Damage]) {
    let name = &seed.name;
    on_all_processors(&format!("{suite}, {name}"), all.len(), |index| {
        let damage = all[index];
        let mut bytes = seed.bytes.clone();
        damage.apply(&mut bytes);
        let bound = 4 * bytes.len() as u64 + FIXED_BYTES;
        let verdict = measured(bytes, bound).and_then(|(outcome, peak)| {
            verify(seed, damage, &outcome)?;
            Ok(Tried { refused: outcome.strict.is_err(), peak })
        });
        verdict.map_err(|why| format!("seed={name} {damage:?}: {why}"))
    });
}

/// Tries what the mutator makes of a file for each of these numbers.
pub(crate) fn try_resealed(seed: &Seed, numbers: Range<u64>) {
    let (name, first) = (&seed.name, numbers.start);
    let count = (numbers.end - first) as usize;
    on_all_processors(&format!("resealed, {name}"), count, |index| {
        let mut choices = Choices::seeded(first + index as u64);
        let mut resealed = reseal(&seed.bytes, &mut choices).unwrap();
        let bytes = std::mem::take(&mut resealed.bytes);
        let bound = (4 + INFLATED) * bytes.len() as u64 + FIXED_BYTES;
        let verdict = measured(bytes, bound).and_then(|(outcome, peak)| {
            resealed.verify(&seed.newest().reading.contents, &outcome)?;
            Ok(Tried { refused: outcome.strict.is_err(), peak })
        });
        verdict.map_err(|why| format!("seed={name} {choices} ({}): {why}", resealed.story))
    });
}

/// What came of trying one damage.
struct Tried {
    refused: bool,
    peak: u64,
}

fn measured(bytes: Vec<u8>, bound: u64) -> Result<(Outcome, u64), String> {
    let device = Arc::new(MemoryDevice::from_bytes(bytes));
    let mut outcome = Err("it panicked, as told above".to_owned());
    let allocated = allocation_counter::measure(|| {
        // Without this nobody is told which damage it was.
        if let Ok(done) = catch_unwind(AssertUnwindSafe(|| exercise(device))) {
            outcome = done;
        }
    });
    match allocated.bytes_max {
        peak if peak > bound => Err(format!("{peak} bytes were allocated, more than {bound}")),
        peak => Ok((outcome?, peak)),
    }
}

/// Tries so many. Each that does not end well is told at once, and soon ends the others.
fn on_all_processors(
    what: &str,
    count: usize,
    try_one: impl Fn(usize) -> Result<Tried, String> + Sync,
) {
    let began = Instant::now();
    let (next, end) = (AtomicUsize::new(0), AtomicUsize::new(count));
    let totals = Mutex::new((0, 0, Vec::new()));
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= end.load(Ordering::Relaxed) {
                return;
            }
            if index > 0 && index.is_multiple_of(PROGRESS_EVERY) {
                println!("{what}: {index} of {count}, {:.0} s", began.elapsed().as_secs_f64());
            }
            let tried = try_one(index);
            let (refused, peak, failures) = &mut *totals.lock().unwrap();
            match tried {
                Ok(tried) => {
                    *refused += usize::from(tried.refused);
                    *peak = tried.peak.max(*peak);
                }
                Err(failure) => {
                    eprintln!("{what}: {failure}");
                    failures.push(failure);
                    end.fetch_min(index + 1 + TRIED_AFTER_A_FAILURE, Ordering::Relaxed);
                }
            }
        }
    };
    let threads = thread::available_parallelism().map_or(2, |count| count.get());
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let (refused, peak, failures) = totals.into_inner().unwrap();
    println!(
        "{what}: {} of {count} tried, {refused} not read by a strict opening, {peak} bytes \
         allocated at most, {:.1} s",
        end.into_inner(),
        began.elapsed().as_secs_f64()
    );
    assert!(failures.is_empty(), "{} failed, the first: {}", failures.len(), failures[0]);
}
