//! `tailswap sim`: the engine in simulated worlds.

mod exhaustive;
mod failing;
mod one_schedule;
mod playing;
mod seeds;

use std::ops::Range;
use std::path::PathBuf;
use std::thread;

use clap::{ArgGroup, ValueEnum};
use tailswap::sim::schedule::Schedule;
use tailswap::sim::swarm::{self, Life};

use crate::exit::Outcome;

/// Run the engine in simulated worlds, with crashes and faults, and check what must hold
#[derive(Debug, clap::Args)]
#[command(
    group = ArgGroup::new("what")
        .args(["seed", "seeds", "scenario", "replay", "schedule", "exhaustive"]),
    after_help = "\
Every seed is a life of its own: what is written and deleted, when a compaction runs beside the
flusher, what the device does, which syncs fail, when power is lost and what survives that. Whatever
happens, everything that was acknowledged must be there, and nothing else; `core/FAULTS.md` has the
whole list. Without --seed or --seeds, fresh seeds run for --minutes (one, if that is not given).

On a failure the exit code is 1. One line that brings it back is printed, the run is made as short as
it gets, and written as a scenario: a text that can be read, edited, and played with --replay.

Examples:
  tailswap sim --seeds 0..1000
  tailswap sim --minutes 60 --jobs 2
  tailswap sim --scenario core/scenarios/catch-up-replays-the-tail.scenario
  tailswap sim --exhaustive small"
)]
pub(crate) struct Sim {
    /// Run the life of one seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Run the lives of the seeds from A up to, but not including, B
    #[arg(long, value_name = "A..B", value_parser = parse_range)]
    seeds: Option<Range<u64>>,
    /// Play a scenario, and check what it expects
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Play the trace that an earlier failure left
    #[arg(long, value_name = "TRACE")]
    replay: Option<PathBuf>,
    /// Run one schedule of flusher and compaction, as a failure printed it, and crash it everywhere:
    /// `switches=3 control=rollback@5 choices=0,1,0,2`, say; what is left out is as usual
    #[arg(long, value_name = "LINE")]
    schedule: Option<Schedule>,
    /// Try every crash and every schedule of small runs instead of random ones
    #[arg(long, value_name = "SIZE")]
    exhaustive: Option<exhaustive::Size>,
    /// Which faults there may be
    #[arg(long, value_enum, default_value_t = Faults::All, conflicts_with_all = PLAYED)]
    faults: Faults,
    /// Actions in a life, turns of the machines not counted
    #[arg(long, value_name = "N", default_value_t = swarm::ACTIONS, conflicts_with_all = PLAYED)]
    actions: usize,
    /// Run fresh seeds for so long
    #[arg(long, value_name = "M", conflicts_with = "what", value_parser = parse_minutes)]
    minutes: Option<f64>,
    /// Threads [default: as many as there are processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Where the trace of a failure goes [default: sim-SEED.scenario]
    #[arg(long, value_name = "FILE", conflicts_with_all = PLAYED)]
    trace: Option<PathBuf>,
    /// Print a line of JSON for each run
    #[arg(long, conflicts_with_all = ["exhaustive", "schedule"])]
    json: bool,
}

/// What is no random life, to which some options mean nothing.
const PLAYED: [&str; 4] = ["scenario", "replay", "schedule", "exhaustive"];

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Faults {
    /// Crashes, and operations that fail
    All,
    /// Loss of power, and death of the process
    Crashes,
    /// Operations and syncs that fail, and full disks
    Errors,
    /// None
    None,
}

impl Faults {
    fn allowed(self) -> swarm::Faults {
        swarm::Faults {
            crashes: matches!(self, Faults::All | Faults::Crashes),
            errors: matches!(self, Faults::All | Faults::Errors),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Faults::All => "all",
            Faults::Crashes => "crashes",
            Faults::Errors => "errors",
            Faults::None => "none",
        }
    }
}

impl Sim {
    pub(crate) fn run(&self) -> Outcome {
        if let Some(path) = &self.scenario {
            return playing::play(path, self);
        }
        if let Some(path) = &self.replay {
            return playing::replay(path, self);
        }
        if let Some(schedule) = &self.schedule {
            return one_schedule::run(schedule);
        }
        if let Some(size) = self.exhaustive {
            return exhaustive::run_all(size, self.jobs());
        }
        seeds::run(self)
    }

    fn life(&self, seed: u64) -> Life {
        Life::new(seed, self.faults.allowed(), self.actions)
    }

    fn jobs(&self) -> usize {
        let processors = || thread::available_parallelism().map_or(1, |count| count.get());
        self.jobs.map_or_else(processors, usize::from)
    }

    /// The command that runs a seed again.
    fn again(&self, seed: u64) -> String {
        let mut again = format!("tailswap sim --seed {seed}");
        if !matches!(self.faults, Faults::All) {
            again += &format!(" --faults {}", self.faults.name());
        }
        if self.actions != swarm::ACTIONS {
            again += &format!(" --actions {}", self.actions);
        }
        again
    }
}

fn parse_minutes(text: &str) -> Result<f64, String> {
    let minutes: f64 = text.parse().map_err(|error| format!("{error}"))?;
    let sensible = (0.0..=1e6).contains(&minutes);
    if sensible { Ok(minutes) } else { Err("write a number of minutes, up to 1000000".to_owned()) }
}

fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("write A..B")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    let range = number(from)?..number(to)?;
    if range.is_empty() { Err("there is no seed in this range".to_owned()) } else { Ok(range) }
}
