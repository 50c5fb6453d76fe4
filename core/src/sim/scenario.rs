//! Scenarios: a small text that says what is done to a world and what is expected then. Tests, the
//! command line and the page read the same files.
//!
//! ```text
//! # What follows this sign is for people.
//! world device=sata stall=5ms
//! create
//! flush a=1 b=2
//! compact until copy
//! flush a=3 -b
//! compact
//! expect a=3 -b
//! ```
//!
//! A line does something ([`Action`]):
//!
//! | line | what is done |
//! |---|---|
//! | `create`, `drop` | the vbucket comes into being, or is deleted |
//! | `queue a=1 b=@300:2 -c`, `flush a=1` | mutations are queued; and flushed. `@300:2` is 300 made-up bytes, others for another number; `-c` deletes |
//! | `local x=1 -y` | local documents are saved and deleted |
//! | `compact [purge SEQ] [stall TIME] [until PHASE]` | a compaction begins, or goes on, to its end or until it is in a phase or past it: `copy`, `ids`, `local`, `commit`, `catch-up`, `wait`, `last-tail`, `validate`, `swap`, `unlink` |
//! | `cancel`, `rollback SEQ` | the compaction is told to stop; the vbucket goes back |
//! | `begin create`, `begin compact [purge SEQ] [stall TIME]`, `begin rollback SEQ`, `begin drop`, `begin local x=1 -y` | it only begins; turns go on with it |
//! | `turn flusher\|compactor\|operator\|disk [N]` | one of them has its turn; the disk's completes a sync |
//! | `step [N]`, `run until EVENT [N]`, `settle`, `wait TIME` | turns by the clock: so many, until an event, until nobody has anything to do; time passes |
//! | `read NAME`, `close NAME` | a reader takes a snapshot; reads it once more and lets it go |
//! | `crash`, `crash everything`, `crash SEED` | power is lost: nothing unsynced survives, everything, or what the seed says |
//! | `crash keep 1 3:2` | of the changes that are not synced, oldest first, the first survives, of the third its first two sectors, and nothing else |
//! | `die` | the process dies, and another takes over |
//! | `fail-sync N`, `fail OPERATION [N] [sticky] [after BYTES]`, `capacity BYTES`, `heal` | the Nth sync loses what it was for; an operation fails, a write after so many of its bytes; the disk is that large; all is well again |
//! | `flip FILE BYTE BIT` | a bit of a file, 0 to 7, turns over on the disk |
//! | `end` | what must hold at the end of any world |
//!
//! or expects something:
//!
//! | line | what must hold |
//! |---|---|
//! | `expect a=1 b=@300:2 -c` | the newest durable state has these values, and no `c` |
//! | `expect local x=1 -y` | its local documents |
//! | `expect reader NAME a=1 -b` | what a reader sees |
//! | `expect documents N`, `expect tombstones N` | how many there are |
//! | `expect update-seq N`, `expect purge-seq N`, `expect persisted N` | sequence numbers |
//! | `expect vbucket`, `expect no vbucket` | whether there is one |
//! | `expect swaps N` | compactions that swapped |
//! | `expect revision N`, `expect files NAME ...` | the file in charge; all files |
//! | `expect phase NAME`, `expect phase none` | where the compaction stands |
//! | `expect holder flusher`, ... `nobody` | who holds the lock |
//! | `expect event NAME N`, `expect no event NAME` | it came (N times) since the last such line |
//! | `expect error WORDS`, `expect no error` | what the engine said to the last action; if it said anything, the first of these must follow |
//!
//! `world` comes first, if at all: `names=posix|journaled` (what a crash can do to names), `sector=512|4096`,
//! `device=nvme|sata|disk|network`, `bytes=N` and `entries=N` (of a turn), `stall=TIME`,
//! `commits=two-syncs|one-sync`; see [`Settings::parse`]. A TIME has a unit: `20ms`, with `ns`, `us`, `ms` or `s`. An EVENT is named as in its
//! JSON ([`Event`](crate::event::Event)): `flush_finished`, `renamed`. OPERATION is `any`, `open`, `create`,
//! `length`, `read`, `write`, `truncate`, `sync`, `rename`, `remove`, `list` or `sync-directory`. Values of local
//! documents are taken as they are written.

use std::fmt;
use std::str::FromStr;

use super::expectation::Expectation;
use super::world::{Action, Failure, Settings, World};

/// A scenario that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// What the world is made of.
    pub settings: Settings,
    /// What is done and expected.
    pub lines: Vec<Line>,
}

/// A line of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number in the text, counted from 1.
    pub number: usize,
    /// What it says.
    pub what: What,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Something is done.
    Do(Action),
    /// Something must hold.
    Expect(Expectation),
}

/// Why a scenario failed.
#[derive(Clone, Debug)]
pub struct ScenarioError {
    /// The line, counted from 1.
    pub line: usize,
    /// Why.
    pub why: Why,
}

/// Why a line failed.
#[derive(Clone, Debug)]
pub enum Why {
    /// It cannot be read.
    Syntax(String),
    /// Something that must always hold does not.
    Failure(Box<Failure>),
    /// What was expected is not so.
    Unmet(String),
    /// The engine refused an action, or failed at it, with these words, and that was not expected.
    Refused(String),
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match &self.why {
            Why::Syntax(why) | Why::Unmet(why) => f.write_str(why),
            Why::Failure(failure) => write!(f, "{failure}"),
            Why::Refused(said) => {
                write!(f, "the engine said: {said} (if that is meant, an `expect error` follows)")
            }
        }
    }
}

impl std::error::Error for ScenarioError {}

impl FromStr for Scenario {
    type Err = ScenarioError;

    fn from_str(text: &str) -> Result<Self, ScenarioError> {
        let mut scenario = Scenario { settings: Settings::default(), lines: Vec::new() };
        let mut world_is_said = false;
        for (number, line) in (1..).zip(text.lines()) {
            let line = without_comment(line).trim();
            let syntax = |why: String| ScenarioError { line: number, why: Why::Syntax(why) };
            let what = if line.is_empty() {
                continue;
            } else if let Some(settings) = after_word(line, "world") {
                if !scenario.lines.is_empty() || std::mem::replace(&mut world_is_said, true) {
                    return Err(syntax("what the world is made of comes first".to_owned()));
                }
                scenario.settings =
                    Settings::parse(settings).map_err(|error| syntax(error.to_string()))?;
                continue;
            } else if let Some(expected) = after_word(line, "expect") {
                What::Expect(expected.parse().map_err(syntax)?)
            } else {
                let action = line.parse::<Action>();
                What::Do(action.map_err(|error| syntax(error.to_string()))?)
            };
            scenario.lines.push(Line { number, what });
        }
        Ok(scenario)
    }
}

/// A line up to its comment: a `#` at the beginning or behind a space.
fn without_comment(line: &str) -> &str {
    let begins = |(at, _): &(usize, &str)| {
        line.get(..*at).is_some_and(|before| before.is_empty() || before.ends_with([' ', '\t']))
    };
    let comment = line.match_indices('#').find(begins);
    comment.and_then(|(at, _)| line.get(..at)).unwrap_or(line)
}

/// What follows this word, if a line begins with it.
fn after_word<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(word)?;
    (rest.is_empty() || rest.starts_with(' ')).then_some(rest)
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "world {}", self.settings)?;
        self.lines.iter().try_for_each(|line| match &line.what {
            What::Do(action) => writeln!(f, "{action}"),
            What::Expect(expectation) => writeln!(f, "expect {expectation}"),
        })
    }
}

impl Scenario {
    /// A run as a scenario, without any expectation: a trace.
    pub fn of_run(settings: Settings, actions: &[Action]) -> Self {
        let line =
            |(number, action): (usize, &Action)| Line { number, what: What::Do(action.clone()) };
        Scenario { settings, lines: (2..).zip(actions).map(line).collect() }
    }

    /// What is done in it.
    pub fn actions(&self) -> Vec<Action> {
        let action = |line: &Line| match &line.what {
            What::Do(action) => Some(action.clone()),
            What::Expect(_) => None,
        };
        self.lines.iter().filter_map(action).collect()
    }

    /// Plays it. What holds at the end of any world is checked only if it says `end`.
    ///
    /// # Errors
    /// As [`play`](Self::play).
    pub fn run(&self) -> Result<World, ScenarioError> {
        let mut world = World::new(self.settings);
        self.play(&mut world, Refusals::Expected)?;
        Ok(world)
    }

    /// Plays it in a new world of its [`settings`](Self::settings).
    ///
    /// # Errors
    /// The first line that fails, with what is wrong.
    pub fn play(&self, world: &mut World, refusals: Refusals) -> Result<(), ScenarioError> {
        let mut events_seen = 0;
        let mut refused = None;
        for Line { number, what } in &self.lines {
            let failed = |why| ScenarioError { line: *number, why };
            match what {
                What::Do(action) => {
                    refused.map_or(Ok(()), Err)?;
                    world.act(action).map_err(|failure| failed(Why::Failure(failure)))?;
                    let said = world.last_error().filter(|_| refusals == Refusals::Expected);
                    refused = said.map(|said| failed(Why::Refused(said.to_owned())));
                }
                What::Expect(expected) => {
                    let checked = expected.check(world, &mut events_seen);
                    checked.map_err(|why| failed(Why::Unmet(why)))?;
                    if matches!(expected, Expectation::Error(Some(_))) {
                        refused = None;
                    }
                }
            }
        }
        refused.map_or(Ok(()), Err)
    }
}

/// What to make of actions that the engine refuses or fails at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusals {
    /// An `expect error` must follow.
    Expected,
    /// They happen, as in random lives.
    Allowed,
}
