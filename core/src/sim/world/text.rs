//! Actions as text: how each is written, and how it is read back.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

use super::action::{Action, Change, Compact, Failing, Survivors, Turn, Until, Value};
use super::settings::DeviceModel;
use crate::error::IoOp;
use crate::event::{Actor, Event, Phase};
use crate::sim::disk::Kept;

/// Longest generated value, in bytes.
const GENERATED_MAX: usize = 1 << 20;

/// A line that is no action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAction(pub String);

impl fmt::Display for NoAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoAction {}

/// Names of the phases, for `until`.
const PHASES: [(&str, Phase); 10] = [
    ("copy", Phase::CopyDocuments),
    ("ids", Phase::CopyIds),
    ("local", Phase::CopyLocal),
    ("commit", Phase::CommitCopy),
    ("catch-up", Phase::CatchUp),
    ("wait", Phase::WaitForLock),
    ("last-tail", Phase::LastTail),
    ("validate", Phase::Validate),
    ("swap", Phase::Swap),
    ("unlink", Phase::Unlink),
];

/// Names of the operations, for `fail`.
const OPERATIONS: [(&str, IoOp); 11] = [
    ("open", IoOp::Open),
    ("length", IoOp::Length),
    ("create", IoOp::Create),
    ("read", IoOp::Read),
    ("write", IoOp::Write),
    ("truncate", IoOp::Truncate),
    ("sync", IoOp::Sync),
    ("rename", IoOp::Rename),
    ("remove", IoOp::Remove),
    ("list", IoOp::List),
    ("sync-directory", IoOp::SyncDirectory),
];

/// Names of those whose turn it can be.
const TURNS: [(&str, Turn); 4] = [
    ("disk", Turn::Disk),
    ("flusher", Turn::Machine(Actor::Flusher)),
    ("compactor", Turn::Machine(Actor::Compactor)),
    ("operator", Turn::Machine(Actor::Operator)),
];

fn name_of<T: PartialEq>(names: &[(&'static str, T)], what: &T) -> &'static str {
    names.iter().find(|(_, named)| named == what).map_or("?", |(name, _)| name)
}

fn named<T: Copy>(names: &[(&'static str, T)], kind: &str, name: &str) -> Result<T, NoAction> {
    names.iter().find(|(known, _)| *known == name).map(|(_, what)| *what).ok_or_else(|| {
        let known: Vec<&str> = names.iter().map(|(known, _)| *known).collect();
        NoAction(format!("{name:?} is no {kind}: there are {}", known.join(", ")))
    })
}

/// The name of an operation, as `fail` takes it.
pub(super) fn operation_name(op: IoOp) -> &'static str {
    name_of(&OPERATIONS, &op)
}

/// The name of a phase, as `until` takes it.
pub fn phase_name(phase: Phase) -> &'static str {
    name_of(&PHASES, &phase)
}

/// The phase of this name.
///
/// # Errors
/// There is none.
pub fn phase_named(name: &str) -> Result<Phase, NoAction> {
    named(&PHASES, "phase", name)
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let until = match self {
            Action::Compact(_, until) | Action::Rollback(_, until) => until,
            Action::Create(until) | Action::Drop(until) | Action::Locals(_, until) => until,
            _ => &Until::End,
        };
        if *until == Until::Begun {
            f.write_str("begin ")?;
        }
        f.write_str(self.verb())?;
        match self {
            Action::Queue(changes) | Action::Flush(changes) => {
                changes.iter().try_for_each(|change| write!(f, " {change}"))
            }
            Action::Turn(turn, count) => {
                write!(f, " {}", name_of(&TURNS, turn))?;
                write_count(f, *count)
            }
            Action::Step(count) => write_count(f, *count),
            Action::RunUntil(event, count) => {
                write!(f, " until {event}")?;
                write_count(f, *count)
            }
            Action::Compact(compact, until) => {
                if compact.purge_to > 0 {
                    write!(f, " purge {}", compact.purge_to)?;
                }
                if let Some(ns) = compact.stall_ns {
                    write!(f, " stall {ns}ns")?;
                }
                match until {
                    Until::Phase(phase) => write!(f, " until {}", phase_name(*phase)),
                    Until::Begun | Until::End => Ok(()),
                }
            }
            Action::Rollback(number, _) | Action::FailSync(number) | Action::Capacity(number) => {
                write!(f, " {number}")
            }
            Action::Locals(updates, _) => updates.iter().try_for_each(|(key, value)| match value {
                Some(value) => write!(f, " {key}={value}"),
                None => write!(f, " -{key}"),
            }),
            Action::Read(name) | Action::Close(name) => write!(f, " {name}"),
            Action::Crash(Survivors::Nothing) => Ok(()),
            Action::Crash(Survivors::Everything) => f.write_str(" everything"),
            Action::Crash(Survivors::Seed(seed)) => write!(f, " {seed}"),
            Action::Crash(Survivors::Chosen(kept)) => {
                f.write_str(" keep")?;
                kept.iter().try_for_each(|kept| write!(f, " {kept}"))
            }
            Action::Flip { file, byte, bit } => write!(f, " {file} {byte} {bit}"),
            Action::Wait(ns) => write!(f, " {ns}ns"),
            Action::Device(device) => write!(f, " {}", device.name),
            Action::Fail(Failing { op, nth, sticky, after_bytes }) => {
                let op = op.as_ref().map_or("any", |op| name_of(&OPERATIONS, op));
                write!(f, " {op} {nth}{}", if *sticky { " sticky" } else { "" })?;
                match after_bytes {
                    0 => Ok(()),
                    bytes => write!(f, " after {bytes}"),
                }
            }
            Action::Create(_)
            | Action::Cancel
            | Action::Drop(_)
            | Action::Die
            | Action::Heal
            | Action::Settle
            | Action::End => Ok(()),
        }
    }
}

fn write_count(f: &mut fmt::Formatter<'_>, count: u64) -> fmt::Result {
    if count == 1 { Ok(()) } else { write!(f, " {count}") }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match &self.value {
            None => write!(f, "-{key}"),
            Some(Value::Text(text)) => write!(f, "{key}={text}"),
            Some(Value::Generated { length, tag: 0 }) => write!(f, "{key}=@{length}"),
            Some(Value::Generated { length, tag }) => write!(f, "{key}=@{length}:{tag}"),
        }
    }
}

impl FromStr for Change {
    type Err = NoAction;

    fn from_str(word: &str) -> Result<Self, NoAction> {
        if let Some(key) = word.strip_prefix('-').filter(|key| !key.is_empty()) {
            return Ok(Change { key: key.to_owned(), value: None });
        }
        let Some((key, value)) = word.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            let what = "is neither KEY=VALUE nor -KEY for a deletion";
            return Err(NoAction(format!("{word:?} {what}")));
        };
        let value = match value.strip_prefix('@') {
            None => Value::Text(value.to_owned()),
            Some(generated) => {
                let (length, tag) = generated.split_once(':').unwrap_or((generated, "0"));
                let length: usize = number(length)?;
                if length > GENERATED_MAX {
                    return Err(NoAction(format!("{word:?}: at most {GENERATED_MAX} bytes")));
                }
                Value::Generated { length, tag: number(tag)? }
            }
        };
        Ok(Change { key: key.to_owned(), value: Some(value) })
    }
}

impl FromStr for Action {
    type Err = NoAction;

    fn from_str(line: &str) -> Result<Self, NoAction> {
        let mut words = Words(line.split_whitespace().collect());
        let mut verb = words.required("an action")?;
        let mut until = Until::End;
        if verb == "begin" {
            until = Until::Begun;
            verb = words.required("what begins")?;
        }
        let action = match verb {
            "create" => Action::Create(until),
            "queue" => Action::Queue(words.changes()?),
            "flush" => Action::Flush(words.changes()?),
            "turn" => {
                let turn = named(&TURNS, "machine", words.required("whose turn it is")?)?;
                Action::Turn(turn, words.count()?)
            }
            "step" => Action::Step(words.count()?),
            "run" => {
                if !words.next_is("until") {
                    return Err(NoAction("write `run until EVENT`".to_owned()));
                }
                let event = words.required("an event")?.to_owned();
                if !Event::is_name(&event) {
                    return Err(NoAction(format!("there are no events called {event:?}")));
                }
                Action::RunUntil(event, words.count()?)
            }
            "compact" => {
                let mut compact = Compact::default();
                while let Some(word) = words.next() {
                    match word {
                        "purge" => compact.purge_to = number(words.required("a number")?)?,
                        "stall" => compact.stall_ns = Some(duration(words.required("a time")?)?),
                        "until" => until = Until::Phase(phase_named(words.required("a phase")?)?),
                        _ => return Err(NoAction(format!("compact: what is {word:?}?"))),
                    }
                }
                Action::Compact(compact, until)
            }
            "cancel" => Action::Cancel,
            "rollback" => Action::Rollback(number(words.required("a sequence number")?)?, until),
            "drop" => Action::Drop(until),
            "local" => Action::Locals(words.locals()?, until),
            "read" => Action::Read(words.required("a reader's name")?.to_owned()),
            "close" => Action::Close(words.required("a reader's name")?.to_owned()),
            "crash" => Action::Crash(match words.next() {
                None | Some("nothing") => Survivors::Nothing,
                Some("everything") => Survivors::Everything,
                Some("keep") => Survivors::Chosen(words.kept()?),
                Some(seed) => Survivors::Seed(number(seed)?),
            }),
            "die" => Action::Die,
            "wait" => Action::Wait(duration(words.required("a time")?)?),
            "device" => Action::Device(DeviceModel::named(words.required("a device")?)?),
            "fail-sync" => Action::FailSync(words.count()?.max(1)),
            "fail" => {
                let op = match words.required("an operation")? {
                    "any" => None,
                    name => Some(named(&OPERATIONS, "operation", name)?),
                };
                let mut failing = Failing { op, nth: 1, sticky: false, after_bytes: 0 };
                while let Some(word) = words.next() {
                    match word {
                        "sticky" => failing.sticky = true,
                        "after" if matches!(op, None | Some(IoOp::Write)) => {
                            failing.after_bytes = number(words.required("bytes")?)?;
                        }
                        "after" => return Err(NoAction("only a write fails part-way".to_owned())),
                        nth => failing.nth = number::<u64>(nth)?.max(1),
                    }
                }
                Action::Fail(failing)
            }
            "capacity" => Action::Capacity(number(words.required("bytes")?)?),
            "flip" => {
                let file = words.required("a file's name")?.to_owned();
                let byte = number(words.required("a byte's offset")?)?;
                let bit = number(words.required("a bit")?)?;
                if bit > 7 {
                    return Err(NoAction(format!("a byte has bits 0 to 7, and no bit {bit}")));
                }
                Action::Flip { file, byte, bit }
            }
            "heal" => Action::Heal,
            "settle" => Action::Settle,
            "end" => Action::End,
            other => return Err(NoAction(format!("{other:?} is no action"))),
        };
        let may_begin = matches!(verb, "create" | "compact" | "rollback" | "drop" | "local");
        if until == Until::Begun && !may_begin {
            return Err(NoAction(format!("{verb:?} has no beginning of its own")));
        }
        match words.next() {
            None => Ok(action),
            Some(word) => Err(NoAction(format!("{verb}: what is {word:?}?"))),
        }
    }
}

/// The words of a line that were not looked at yet.
struct Words<'a>(VecDeque<&'a str>);

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        self.0.pop_front()
    }

    fn next_is(&mut self, word: &str) -> bool {
        let is = self.0.front() == Some(&word);
        if is {
            self.0.pop_front();
        }
        is
    }

    fn required(&mut self, what: &str) -> Result<&'a str, NoAction> {
        self.next().ok_or_else(|| NoAction(format!("the line ends where {what} should be")))
    }

    /// A count at the end of a line; 1 if there is none.
    fn count(&mut self) -> Result<u64, NoAction> {
        self.next().map_or(Ok(1), number)
    }

    fn changes(&mut self) -> Result<Vec<Change>, NoAction> {
        self.0.drain(..).map(str::parse).collect()
    }

    fn kept(&mut self) -> Result<Vec<Kept>, NoAction> {
        let kept = |word: &str| {
            word.parse::<Kept>()
                .map_err(|_| NoAction(format!("{word:?} is neither N nor N:SECTORS")))
        };
        self.0.drain(..).map(kept).collect()
    }

    fn locals(&mut self) -> Result<Vec<(String, Option<String>)>, NoAction> {
        let update = |word: &str| match (word.strip_prefix('-'), word.split_once('=')) {
            (Some(key), _) if !key.is_empty() => Ok((key.to_owned(), None)),
            (None, Some((key, value))) if !key.is_empty() => {
                Ok((key.to_owned(), Some(value.to_owned())))
            }
            _ => Err(NoAction(format!("{word:?} is neither KEY=VALUE nor -KEY"))),
        };
        self.0.drain(..).map(update).collect()
    }
}

/// Reads a number.
pub(crate) fn number<T: FromStr>(word: &str) -> Result<T, NoAction> {
    word.parse().map_err(|_| NoAction(format!("{word:?} is no number that fits here")))
}

/// Reads a time with its unit into nanoseconds.
pub(crate) fn duration(word: &str) -> Result<u64, NoAction> {
    let split = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    let (digits, unit) = word.split_at(split);
    let factor: u64 = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        _ => {
            return Err(NoAction(format!("{word:?} is no time: write 20ms, with ns, us, ms or s")));
        }
    };
    let amount: u64 = number(digits)?;
    amount.checked_mul(factor).ok_or_else(|| NoAction(format!("{word:?} is too long")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_read_back_from_its_line() {
        for line in [
            "create",
            "begin create",
            "queue a=1 b=@300 c=@300:7 -d e=",
            "flush",
            "turn compactor 3",
            "turn disk",
            "step 100",
            "run until sync_issued 2",
            "begin compact purge 5 stall 20000000ns",
            "compact until catch-up",
            "compact",
            "cancel",
            "begin rollback 3",
            "rollback 0",
            "begin drop",
            "drop",
            "local a=1 -b",
            "begin local a=1",
            "read r",
            "close r",
            "crash",
            "crash everything",
            "crash 17",
            "crash keep",
            "crash keep 1 3:2",
            "die",
            "wait 5ns",
            "device network",
            "fail-sync 2",
            "fail any 3 sticky",
            "fail write 1 after 100",
            "fail any 2 sticky after 1",
            "fail sync-directory 1",
            "capacity 100000",
            "flip 7.couch.1 4096 7",
            "heal",
            "settle",
            "end",
        ] {
            let action: Result<Action, NoAction> = line.parse();
            assert_eq!(action.map(|action| action.to_string()), Ok(line.to_owned()));
        }
    }

    #[test]
    fn a_line_that_is_none_says_why() {
        for (line, why) in [
            ("", "the line ends where an action should be"),
            ("dance", "\"dance\" is no action"),
            ("turn writer", "is no machine: there are disk, flusher"),
            ("compact until", "the line ends where a phase should be"),
            ("compact until lunch", "is no phase: there are copy, ids"),
            ("queue a", "neither KEY=VALUE nor -KEY"),
            ("queue a=@9999999999", "at most"),
            ("wait 5", "is no time"),
            ("device drum", "no device; known: nvme"),
            ("begin flush", "has no beginning of its own"),
            ("crash 1 2", "what is \"2\"?"),
            ("fail read after 7", "only a write fails part-way"),
            ("fail write after", "the line ends where bytes should be"),
            ("fail write soon", "\"soon\" is no number"),
        ] {
            let action: Result<Action, NoAction> = line.parse();
            let said = action.map_err(|error| error.to_string());
            assert!(said.as_ref().is_err_and(|said| said.contains(why)), "{line}: {said:?}");
        }
    }
}
