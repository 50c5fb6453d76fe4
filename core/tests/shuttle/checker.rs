//! How scenarios are run, and a failing one again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::env;

use shuttle::scheduler::{
    PctScheduler, RandomScheduler, ReplayScheduler, Scheduler,
    UncontrolledNondeterminismCheckScheduler,
};
use shuttle::{Config, MaxSteps, Runner};

/// Holds a failing schedule, as printed, to be run instead of those that a test makes.
const REPLAY: &str = "TAILSWAP_SCHEDULE";
const SEED: u64 = 0x7a11;
/// Changes of who comes first: most bugs need two or three.
const PCT_DEPTH: usize = 3;
/// A scenario takes some thousand; one that takes so many does not come to its end.
const STEPS_MAX: usize = 200_000;
const STACK_BYTES: usize = 512 << 10;

/// What schedules came to, and how often.
pub(crate) type Outcomes = BTreeMap<&'static str, usize>;

std::thread_local! {
    /// Of the test that runs. (All threads of a scenario are one to the operating system.)
    static CAME_TO: RefCell<Outcomes> = const { RefCell::new(BTreeMap::new()) };
}

/// Notes what a schedule came to.
pub(crate) fn came_to(outcome: &'static str) {
    CAME_TO.with_borrow_mut(|outcomes| *outcomes.entry(outcome).or_default() += 1);
}

/// Whether one schedule is run instead of many.
pub(crate) fn is_replay() -> bool {
    env::var_os(REPLAY).is_some()
}

/// Says how to come back to a failure.
struct Reproduce(&'static str);

impl Drop for Reproduce {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Reproduce(test) = self;
            let command = "cargo test -p tailswap --features shuttle --test shuttle";
            eprintln!("reproduce: {command} {test} -- --exact");
            eprintln!("that schedule alone: the same with {REPLAY}='<failing schedule>'");
        }
    }
}

/// In schedules where any thread may go on at any point.
pub(crate) fn random(test: &'static str, executions: usize, scenario: fn()) -> Outcomes {
    run(test, RandomScheduler::new_from_seed(SEED, executions), scenario);
    CAME_TO.take()
}

/// In schedules where one thread goes on as far as it can, but for a few changes.
pub(crate) fn pct(test: &'static str, executions: usize, scenario: fn()) -> Outcomes {
    run(test, PctScheduler::new_from_seed(SEED, PCT_DEPTH, executions), scenario);
    CAME_TO.take()
}

/// Each schedule twice: a second run that differs would mean that failures cannot be replayed.
pub(crate) fn twice(test: &'static str, executions: usize, scenario: fn()) {
    let random = RandomScheduler::new_from_seed(SEED, executions);
    run(test, UncontrolledNondeterminismCheckScheduler::new(random), scenario);
}

/// Runs a scenario, or, if one is given, the schedule that failed. Returns how many schedules ran.
pub(crate) fn run(
    test: &'static str,
    scheduler: impl Scheduler + 'static,
    scenario: fn(),
) -> usize {
    let _reproduce = Reproduce(test);
    CAME_TO.take();
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    // Atomic operations are checked in one order of them all; the engine uses no weaker one.
    config.silence_warnings = true;
    match env::var(REPLAY) {
        Ok(schedule) => {
            let mut replay = ReplayScheduler::new_from_encoded(&schedule);
            // It ends where the scenario failed.
            replay.set_allow_incomplete();
            Runner::new(replay, config).run(scenario)
        }
        Err(_) => Runner::new(scheduler, config).run(scenario),
    }
}
