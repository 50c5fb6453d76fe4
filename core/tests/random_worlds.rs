//! Random worlds (S4): every seed is a life of its own, with crashes and faults, and ends with all
//! of it healed and everything coming to its end.
//!
//! Fixed seeds run always; `TAILSWAP_FRESH_SEED=N` adds those from N on, `TAILSWAP_SEEDS=A..B` runs
//! just these. Numbers are printed with `--nocapture`; nothing depends on time.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use tailswap::event::Phase;
use tailswap::sim::swarm::{ACTIONS, Faults, Life, live};
use tailswap::sim::world::{Marks, World};

/// Seeds that always run.
const FIXED: Range<u64> = 0..800;
/// Seeds beside them that nobody has seen before.
const FRESH: u64 = 200;

const PHASES: [Phase; 10] = [
    Phase::CopyDocuments,
    Phase::CopyIds,
    Phase::CopyLocal,
    Phase::CommitCopy,
    Phase::CatchUp,
    Phase::WaitForLock,
    Phase::LastTail,
    Phase::Validate,
    Phase::Swap,
    Phase::Unlink,
];

/// What must have come in every phase.
const VERBS: [&str; 13] = [
    "queue",
    "cancel",
    "rollback",
    "drop",
    "local",
    "read",
    "close",
    "crash",
    "die",
    "fail-sync",
    "fail",
    "capacity",
    "heal",
];

/// What never comes together: there is nothing left to cancel.
const IMPOSSIBLE: [(Phase, &str); 1] = [(Phase::Unlink, "cancel")];

/// What many lives came to.
#[derive(Default)]
struct Lives {
    swaps: Vec<u64>,
    actions: u64,
    marks: Marks,
    failures: Vec<String>,
}

fn live_all(seeds: Range<u64>) -> Lives {
    let (next, lives) = (AtomicU64::new(seeds.start), Mutex::new(Lives::default()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let (world, result) = live(&mut Life::new(seed, Faults::ALL, ACTIONS));
            let mut lives = lives.lock().unwrap();
            lives.swaps.push(world.progress().swaps);
            lives.actions += world.actions().len() as u64;
            lives.marks.add(world.marks());
            if let Err(failure) = result {
                let again = format!("seed={seed} {}: tailswap sim --seed {seed}", world.settings());
                lives.failures.push(format!("{again}\n{failure}"));
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, |count| count.get()) {
            scope.spawn(work);
        }
    });
    lives.into_inner().unwrap()
}

fn report(what: &str, seeds: Range<u64>) -> Lives {
    let (began, count) = (Instant::now(), seeds.end - seeds.start);
    println!("{what}: seeds {seeds:?}");
    let mut lives = live_all(seeds);
    lives.swaps.sort_unstable();
    println!(
        "{what}: {count} seeds, {} actions, {} swaps (median {}), {:.1} s",
        lives.actions,
        lives.swaps.iter().sum::<u64>(),
        lives.swaps[lives.swaps.len() / 2],
        began.elapsed().as_secs_f64()
    );
    let failures = &lives.failures;
    assert!(failures.is_empty(), "{} lives failed:\n{}", failures.len(), failures.join("\n\n"));
    lives
}

#[test]
fn whatever_happens_in_a_life_what_must_hold_holds() {
    if let Some(range) = environment("TAILSWAP_SEEDS") {
        let (from, to) = range.split_once("..").unwrap();
        report("as told", from.parse().unwrap()..to.parse().unwrap());
        return;
    }
    if let Some(first) = environment("TAILSWAP_FRESH_SEED") {
        let first: u64 = first.parse().unwrap();
        report("fresh", first..first + FRESH);
    }
    let lives = report("fixed", FIXED);
    println!("{}", lives.marks);
    assert!(lives.swaps[lives.swaps.len() / 2] >= 1, "half of the lives never swap");
    let all = PHASES.into_iter().flat_map(|phase| VERBS.map(|verb| (phase, verb)));
    let missing: Vec<_> = all
        .filter(|pair| !IMPOSSIBLE.contains(pair))
        .filter(|(phase, verb)| lives.marks.actions(Some(*phase), verb) == 0)
        .collect();
    assert!(missing.is_empty(), "never came together: {missing:?}");
    let unfailed = lives.marks.never_failed(1000);
    assert!(unfailed.is_empty(), "operations that never failed: {unfailed:?}");
}

#[test]
#[ignore = "minutes long"]
fn long_lives_of_sixty_thousand_seeds() {
    report("long", 100_000..160_000);
}

#[test]
fn the_same_seed_leads_to_the_same_events_and_bytes() {
    let hashes = |world: &World| (world.trace_hash(), world.state_hash(), world.files().hash());
    for seed in 1000..1020 {
        let (world, result) = live(&mut Life::new(seed, Faults::ALL, 60));
        result.unwrap();
        let (again, _) = live(&mut Life::new(seed, Faults::ALL, 60));
        assert_eq!(hashes(&again), hashes(&world), "seed {seed}");
        let fork = world.fork().unwrap();
        assert_eq!(hashes(&fork), hashes(&world), "a fork of seed {seed}");
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
