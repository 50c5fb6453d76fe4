//! Flusher and compaction of one vbucket in every order of their turns, with readers that look after
//! each, and with one thing more that happens at any moment.
//!
//! Numbers are printed with `--nocapture`; nothing depends on time.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use tailswap::sim::schedule::{Bounds, Control, run_all};
use tailswap::store::CommitStyle;

/// Context switches in schedules without a control operation.
const SWITCHES: usize = 5;
/// Context switches beside a control operation.
const SWITCHES_CONTROLLED: usize = 3;

/// With nothing left to do under the lock, and with a last tail.
const STALLS: [u64; 2] = [0, u64::MAX];

fn stalls_and_commits() -> impl Iterator<Item = (u64, CommitStyle)> {
    STALLS.into_iter().flat_map(|stall| CommitStyle::ALL.map(|commits| (stall, commits)))
}

#[test]
fn in_every_order_nothing_is_lost_and_readers_see_what_was_acknowledged() {
    for (max_stall_ns, commits) in stalls_and_commits() {
        let began = Instant::now();
        let all = run_all(Bounds {
            switches: SWITCHES,
            control: None,
            max_stall_ns,
            commits,
            ..Bounds::default()
        });
        let all = all.unwrap_or_else(|failed| panic!("{failed}"));
        let turns = all.iter().map(|ran| ran.turns);
        let (shortest, longest) = (turns.clone().min().unwrap(), turns.max().unwrap());
        let tails = all.iter().filter(|ran| ran.last_tail).count();
        println!(
            "{} schedules of {shortest} to {longest} turns with up to {SWITCHES} switches, \
             {tails} with a last tail, {} a commit, {:.1} s",
            all.len(),
            commits.name(),
            began.elapsed().as_secs_f64()
        );
        assert!(all.iter().all(|ran| ran.swapped));
        let least = if commits == CommitStyle::Flip { 1000 } else { 400 };
        assert!(all.len() >= least, "only {} schedules", all.len());
        assert!(max_stall_ns == 0 || tails > 0, "there is never a last tail");
    }
}

#[test]
fn whatever_else_happens_at_any_moment() {
    let began = Instant::now();
    let next = Mutex::new(Control::ALL.iter());
    let failures = Mutex::new(Vec::new());
    let total = Mutex::new(0);
    let work = || {
        // After a failure nothing more is begun.
        while failures.lock().unwrap().is_empty() {
            let Some(control) = next.lock().unwrap().next() else { return };
            let (mut schedules, mut swapped, mut positions) = (0, 0, 0);
            for turn in 0.. {
                let run = |(max_stall_ns, commits)| {
                    let control = Some((*control, turn));
                    run_all(Bounds {
                        switches: SWITCHES_CONTROLLED,
                        control,
                        max_stall_ns,
                        commits,
                        ..Bounds::default()
                    })
                };
                let all = match stalls_and_commits().map(run).collect::<Result<Vec<_>, _>>() {
                    Ok(all) => all.concat(),
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
