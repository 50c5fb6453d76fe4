//! Lives of many seeds, on several threads.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use tailswap::device::{Host, SystemHost};
use tailswap::sim::swarm::live;
use tailswap::sim::world::{Failure, Settings, World};

use super::{Sim, failing};
use crate::commands::interrupt::Interrupt;
use crate::exit::{Failure as Stop, Outcome, Status};
use crate::output::progress::Progress;
use crate::output::text::Count;
use crate::output::{self, json, style};

/// What the life of a seed came to.
struct Lived {
    seed: u64,
    world: World,
    failure: Option<Box<Failure>>,
}

#[derive(Serialize)]
struct JsonLife<'a> {
    seed: u64,
    settings: String,
    actions: usize,
    flushes: u64,
    swaps: u64,
    virtual_ns: u64,
    trace_hash: String,
    failure: Option<JsonFailure<'a>>,
}

#[derive(Serialize)]
struct JsonFailure<'a> {
    invariant: &'a str,
    what: &'a str,
    action: usize,
    again: String,
}

/// Sums over all lives.
#[derive(Default)]
struct Sums {
    seeds: u64,
    actions: u64,
    flushes: u64,
    swaps: Vec<u64>,
    failed: u64,
}

pub(super) fn run(sim: &Sim) -> Outcome {
    let began = Instant::now();
    let until = match (sim.seed, &sim.seeds) {
        (None, None) => Some(began + Duration::from_secs_f64(sim.minutes.unwrap_or(1.0) * 60.0)),
        _ => None,
    };
    let seeds = match (sim.seed, &sim.seeds) {
        (Some(seed), _) => seed..=seed,
        (None, Some(seeds)) => seeds.start..=seeds.end - 1,
        // Far from the fixed ones, and short enough to be typed.
        (None, None) => {
            let host = SystemHost::new()
                .map_err(|error| Stop::io(format_args!("no random seed: {error}")))?;
            let first = (host.random_u64() >> 32) + 1_000_000;
            first..=u64::MAX
        }
    };
    let mut out = output::styled();
    if !sim.json {
        let faults = sim.faults.name();
        writeln!(out, "seeds from {}, faults: {faults}, {} jobs", seeds.start(), sim.jobs())?;
        out.flush()?;
    }
    let interrupt = Interrupt::watch()?;
    let (next, stop) = (Mutex::new(seeds), AtomicBool::new(false));
    let (sender, receiver) = mpsc::sync_channel(sim.jobs());
    let work = |sender: mpsc::SyncSender<Lived>| {
        while !stop.load(Ordering::Relaxed) {
            let seed = next.lock().unwrap_or_else(PoisonError::into_inner).next();
            let in_time = until.is_none_or(|until| Instant::now() < until);
            let Some(seed) = seed.filter(|_| in_time) else {
                return;
            };
            let (world, result) = live(&mut sim.life(seed));
            // Nobody listens any more once the output failed.
            if sender.send(Lived { seed, world, failure: result.err() }).is_err() {
                return;
            }
        }
    };
    let mut sums = Sums::default();
    thread::scope(|scope| {
        for _ in 0..sim.jobs() {
            let sender = sender.clone();
            scope.spawn(|| work(sender));
        }
        drop(sender);
        let progress = Progress::open_ended("seeds");
        let mut result = Ok(());
        for lived in receiver {
            sums.add(&lived);
            progress.set(sums.seeds);
            if interrupt.is_asked() {
                stop.store(true, Ordering::Relaxed);
            }
            if result.is_ok() {
                result = tell(sim, &lived);
            }
            if result.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
        }
        result
    })?;
    if !sim.json {
        sums.tell(began.elapsed())?;
    }
    Ok(if sums.failed == 0 { Status::Fine } else { Status::Refused })
}

fn tell(sim: &Sim, lived: &Lived) -> Outcome<()> {
    let Lived { seed, world, failure } = lived;
    if sim.json {
        let mut out = output::raw();
        let failure = failure.as_ref().map(|failure| JsonFailure {
            invariant: failure.violation.invariant,
            what: &failure.violation.what,
            action: failure.action,
            again: sim.again(*seed),
        });
        let line = JsonLife {
            seed: *seed,
            settings: world.settings().to_string(),
            actions: world.actions().len(),
            flushes: world.progress().flushes,
            swaps: world.progress().swaps,
            virtual_ns: world.now_ns(),
            trace_hash: format!("{:016x}", world.trace_hash()),
            failure,
        };
        json::line(&mut out, &line)?;
        out.flush()?;
    }
    if failure.is_some() {
        let settings: Settings = *world.settings();
        let path = sim.trace.clone().unwrap_or_else(|| format!("sim-{seed}.scenario").into());
        let again = sim.again(*seed);
        failing::tell(settings, world.actions(), &again, &path, sim.json)?;
    }
    Ok(())
}

impl Sums {
    fn add(&mut self, lived: &Lived) {
        self.seeds += 1;
        self.actions += lived.world.actions().len() as u64;
        self.flushes += lived.world.progress().flushes;
        self.swaps.push(lived.world.progress().swaps);
        self.failed += u64::from(lived.failure.is_some());
    }

    fn tell(&mut self, took: Duration) -> Outcome<()> {
        self.swaps.sort_unstable();
        let median = self.swaps.get(self.swaps.len() / 2).copied().unwrap_or(0);
        let swaps: u64 = self.swaps.iter().sum();
        let (style, verdict) = match self.failed {
            0 if self.seeds == 0 => (style::WARNING, "nothing was run".to_owned()),
            0 => (style::GOOD, "all held".to_owned()),
            failed => (style::BAD, format!("{failed} failed")),
        };
        let mut out = output::styled();
        writeln!(
            out,
            "{}, {style}{verdict}{style:#}: {}, {}, {} (median {median}), {:.1} s",
            Count(self.seeds, "seed"),
            Count(self.actions, "action"),
            Count(self.flushes, "flush"),
            Count(swaps, "swap"),
            took.as_secs_f64()
        )?;
        Ok(out.flush()?)
    }
}
