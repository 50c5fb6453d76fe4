//! One schedule again, as a failure of `--exhaustive`, or of a test, prints it.

use std::io::Write;

use tailswap::sim::Choices;
use tailswap::sim::crash::{CrashChecker, KnownImages};
use tailswap::sim::disk::Depth;
use tailswap::sim::schedule::{Schedule, record};

use crate::exit::{Failure, Outcome, Status};
use crate::output::{self, style};

/// Runs it, and crashes it after each of its operations.
pub(super) fn run(schedule: &Schedule) -> Outcome {
    let Schedule { bounds, rules, choices } = schedule;
    let mut choices = Choices::replayed(choices.clone());
    let run = record(*bounds, *rules, &mut choices).map_err(Failure::refused)?;
    let known = KnownImages::default();
    let mut checker = CrashChecker::new(&run.recording, &known, Depth::Full);
    checker.check_all().map_err(Failure::refused)?;
    let (good, tally, mut out) = (style::GOOD, checker.tally(), output::styled());
    writeln!(
        out,
        "{good}holds{good:#}: {} turns, {} operations, {} crashes",
        run.ran.turns, tally.operations, tally.images
    )?;
    out.flush()?;
    Ok(Status::Fine)
}
