//! Playing one scenario, or the trace of a failure.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde::Serialize;
use tailswap::sim::scenario::{Line, Refusals, Scenario, ScenarioError, What, Why};
use tailswap::sim::world::{Action, World};

use super::Sim;
use crate::exit::{Failure, Outcome, Status};
use crate::input::cannot_read;
use crate::output::{self, json, style};

#[derive(Serialize)]
struct JsonPlayed {
    lines: usize,
    expectations: usize,
    refused: u64,
    virtual_ns: u64,
    trace_hash: String,
    state_hash: String,
    failure: Option<String>,
}

/// Plays a scenario to its end, expectations and all.
pub(super) fn play(path: &Path, sim: &Sim) -> Outcome {
    let mut scenario = read(path)?;
    let lines = scenario.lines.len();
    // What holds at the end of every world holds at the end of this one.
    if scenario.actions().last() != Some(&Action::End) {
        scenario = with_end(scenario);
    }
    tell(path, lines, &scenario, Refusals::Expected, sim)
}

/// Plays a trace up to the failure that it leads to.
pub(super) fn replay(path: &Path, sim: &Sim) -> Outcome {
    let scenario = read(path)?;
    tell(path, scenario.lines.len(), &scenario, Refusals::Allowed, sim)
}

fn with_end(scenario: Scenario) -> Scenario {
    let Scenario { settings, mut lines } = scenario;
    let number = lines.last().map_or(1, |line| line.number + 1);
    lines.push(Line { number, what: What::Do(Action::End) });
    Scenario { settings, lines }
}

fn read(path: &Path) -> Outcome<Scenario> {
    let text = fs::read_to_string(path).map_err(|error| cannot_read(path, &error))?;
    let scenario: Scenario = text.parse().map_err(|error: ScenarioError| {
        Failure::input(format_args!("{}: {error}", path.display()))
    })?;
    if scenario.lines.is_empty() {
        // It would hold, whatever is wrong with the engine.
        let path = path.display();
        return Err(Failure::input(format_args!("{path}: there is nothing to play in it")));
    }
    Ok(scenario)
}

fn tell(path: &Path, lines: usize, scenario: &Scenario, refusals: Refusals, sim: &Sim) -> Outcome {
    let mut world = World::new(scenario.settings);
    let played = scenario.play(&mut world, refusals);
    let is_expectation = |line: &&Line| matches!(line.what, What::Expect(_));
    let expectations = scenario.lines.iter().filter(is_expectation).count();
    let path = path.display();
    if sim.json {
        let mut out = output::raw();
        for stamped in world.events_from(0) {
            json::line(&mut out, &stamped)?;
        }
        let line = JsonPlayed {
            lines,
            expectations,
            refused: world.refused(),
            virtual_ns: world.now_ns(),
            trace_hash: format!("{:016x}", world.trace_hash()),
            state_hash: format!("{:016x}", world.state_hash()),
            failure: played.as_ref().err().map(ToString::to_string),
        };
        json::line(&mut out, &line)?;
        out.flush()?;
    }
    match played {
        Ok(()) => {
            if !sim.json {
                let (good, now) = (style::GOOD, world.now_ns() as f64 / 1e6);
                let mut out = output::styled();
                writeln!(
                    out,
                    "{path}: {good}holds{good:#}: {lines} lines, {expectations} expectations, \
                     {} refused, {} events in {now:.1} ms of its time, trace {:016x}",
                    world.refused(),
                    world.event_count(),
                    world.trace_hash()
                )?;
                out.flush()?;
            }
            Ok(Status::Fine)
        }
        Err(error) => match error.why {
            Why::Syntax(_) => Err(Failure::input(format_args!("{path}: {error}"))),
            Why::Failure(_) | Why::Unmet(_) | Why::Refused(_) => {
                Err(Failure::refused(format_args!("{path}, {error}")))
            }
        },
    }
}
