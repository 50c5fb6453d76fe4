//! What is told of a run that failed: how to bring it back, why it failed, and its shortest form.

use std::fs;
use std::io::Write;
use std::path::Path;

use tailswap::sim::scenario::Scenario;
use tailswap::sim::shrink::FailingRun;
use tailswap::sim::world::{Action, Settings};

use crate::exit::{Failure, Outcome};
use crate::output::{self, style};

/// Runs that are tried to make a failing one shorter.
const TRIES: usize = 2000;

/// Tells of a run that fails, and writes it to `path` as short as it gets.
pub(super) fn tell(
    settings: Settings,
    actions: &[Action],
    again: &str,
    path: &Path,
    quiet: bool,
) -> Outcome<()> {
    let Some(found) = FailingRun::find(settings, actions) else {
        // The same actions lead to the same world: a difference is a bug of the simulation (I14).
        let what = "a run failed, and did not when it was given the same actions again";
        return Err(Failure::refused(format_args!("I14: {what}: {again}")));
    };
    let (long, bad, mut out) = (found.actions.len(), style::BAD, output::styled());
    if !quiet {
        let invariant = found.failure.violation.invariant;
        writeln!(out, "{bad}failed{bad:#} at action {long} ({invariant}); again: {again}")?;
        out.flush()?;
    }
    let short = found.shrink(TRIES);
    if !quiet {
        writeln!(out, "{} of its actions bring it about: {}", short.actions.len(), short.failure)?;
        out.flush()?;
    }
    let scenario = Scenario::of_run(settings, &short.actions);
    let violation = &short.failure.violation;
    let text = format!("# {again}\n# {}\n{scenario}", violation.to_string().replace('\n', "\n# "));
    fs::write(path, text).map_err(|error| {
        Failure::opening(&error, format_args!("{}: cannot write: {error}", path.display()))
    })?;
    if !quiet {
        writeln!(out, "to play it: tailswap sim --replay {}", path.display())?;
        out.flush()?;
    }
    Ok(())
}
