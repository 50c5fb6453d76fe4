//! Flusher and compaction of one vbucket in every order of their turns, with readers that look after
//! each, and with one thing more that happens at any moment.
//!
//! Numbers are printed with `--nocapture`; nothing depends on time.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use tailswap::sim::schedule::{Bounds, Control, run_all};

/// Context switches in schedules without a control operation.
const SWITCHES: usize = 5;
/// Context switches beside a control operation.
const SWITCHES_CONTROLLED: usize = 3;

#[test]
fn in_every_order_nothing_is_lost_and_readers_see_what_was_acknowledged() {
    let began = Instant::now();
    let all = run_all(Bounds { switches: SWITCHES, control: None });
    let all = all.unwrap_or_else(|failed| panic!("{failed}"));
    let turns = all.iter().map(|ran| ran.turns);
    let (shortest, longest) = (turns.clone().min().unwrap(), turns.max().unwrap());
    println!(
        "{} schedules of {shortest} to {longest} turns with up to {SWITCHES} switches, {:.1} s",
        all.len(),
        began.elapsed().as_secs_f64()
    );
    assert!(all.iter().all(|ran| ran.swapped));
    assert!(all.len() >= 1000, "only {} schedules", all.len());
}

#[test]
fn whatever_else_happens_at_any_moment() {
    let began = Instant::now();
    let next = Mutex::new(Control::ALL.iter());
    let failures = Mutex::new(Vec::new());
    let total = Mutex::new(0);
    let work = || {
        loop {
            let Some(control) = next.lock().unwrap().next() else { return };
            let (mut schedules, mut swapped, mut positions) = (0, 0, 0);
            for turn in 0.. {
                let bounds =
                    Bounds { switches: SWITCHES_CONTROLLED, control: Some((*control, turn)) };
                let all = match run_all(bounds) {
                    Ok(all) => all,
                    Err(failed) => {
                        failures.lock().unwrap().push(failed.to_string());
                        break;
                    }
                };
                let controlled = all.iter().filter(|ran| ran.controlled);
                if controlled.clone().count() == 0 {
                    break;
                }
                positions += 1;
                schedules += controlled.clone().count();
                swapped += controlled.filter(|ran| ran.swapped).count();
            }
            *total.lock().unwrap() += schedules;
            println!(
                "{control:18?} {positions:3} positions {schedules:6} schedules, {swapped:6} swapped"
            );
        }
    };
    let threads = thread::available_parallelism().map_or(2, |count| count.get());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let total = total.into_inner().unwrap();
    println!("all: {total} schedules, {:.1} s", began.elapsed().as_secs_f64());
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} controls failed:\n{}", failures.len(), failures.join("\n\n"));
}
