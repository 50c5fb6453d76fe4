//! What a scenario expects of its world.

use std::fmt;
use std::str::FromStr;

use super::contents::Contents;
use super::world::{Change, World, phase_name, phase_named};
use crate::event::{Actor, Event, Phase};

/// Something that is so at a moment of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// Values of documents in the newest durable state; without a value: it is not there.
    Documents(Vec<Change>),
    /// Values of local documents.
    Locals(Vec<Change>),
    /// Values that a reader sees.
    Reader(String, Vec<Change>),
    /// A number.
    Count(Counted, u64),
    /// Whether there is a vbucket.
    VBucket(bool),
    /// All files.
    Files(Vec<String>),
    /// Where the compaction stands.
    Phase(Option<Phase>),
    /// Who holds the lock.
    Holder(Option<Actor>),
    /// An event, and how often it came since the last expectation of this kind; `None`: at all.
    Event(String, Option<u64>),
    /// What the engine said to the last action has these words in it; `None`: nothing.
    Error(Option<String>),
}

/// What can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Documents that are not deleted.
    Documents,
    /// Tombstones.
    Tombstones,
    /// The highest sequence number.
    UpdateSeq,
    /// The highest one that was purged.
    PurgeSeq,
    /// Up to where the flusher told that all is durable.
    Persisted,
    /// Revision of the file in charge.
    Revision,
    /// Swaps since the world began.
    Swaps,
}

const COUNTED: [(&str, Counted); 7] = [
    ("documents", Counted::Documents),
    ("tombstones", Counted::Tombstones),
    ("update-seq", Counted::UpdateSeq),
    ("purge-seq", Counted::PurgeSeq),
    ("persisted", Counted::Persisted),
    ("revision", Counted::Revision),
    ("swaps", Counted::Swaps),
];

const HOLDERS: [(&str, Option<Actor>); 4] = [
    ("nobody", None),
    ("flusher", Some(Actor::Flusher)),
    ("compactor", Some(Actor::Compactor)),
    ("operator", Some(Actor::Operator)),
];

impl FromStr for Expectation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let changes = |words: &[&str]| {
            let read = |word: &&str| word.parse::<Change>().map_err(|error| error.to_string());
            words.iter().map(read).collect::<Result<Vec<Change>, String>>()
        };
        let number = |word: &str| {
            word.parse::<u64>().map_err(|_| format!("{word:?} is no number that fits here"))
        };
        match words.as_slice() {
            ["local", changed @ ..] => Ok(Expectation::Locals(changes(changed)?)),
            ["reader", name, changed @ ..] => {
                Ok(Expectation::Reader((*name).to_owned(), changes(changed)?))
            }
            ["vbucket"] => Ok(Expectation::VBucket(true)),
            ["no", "vbucket"] => Ok(Expectation::VBucket(false)),
            ["files", names @ ..] => {
                Ok(Expectation::Files(names.iter().map(|name| (*name).to_owned()).collect()))
            }
            ["phase" | "holder", _, more, ..] => Err(format!("what is {more:?}?")),
            ["phase", "none"] => Ok(Expectation::Phase(None)),
            ["phase", name] => {
                let phase = phase_named(name).map_err(|error| error.to_string())?;
                Ok(Expectation::Phase(Some(phase)))
            }
            ["holder", name] => match HOLDERS.iter().find(|(known, _)| known == name) {
                Some((_, holder)) => Ok(Expectation::Holder(*holder)),
                None => Err(format!("{name:?} is nobody who holds the lock")),
            },
            ["event", name, ..] | ["no", "event", name] if !Event::is_name(name) => {
                Err(format!("there are no events called {name:?}"))
            }
            ["event", name] => Ok(Expectation::Event((*name).to_owned(), None)),
            ["event", name, count] => {
                Ok(Expectation::Event((*name).to_owned(), Some(number(count)?)))
            }
            ["no", "event", name] => Ok(Expectation::Event((*name).to_owned(), Some(0))),
            ["no", "error"] => Ok(Expectation::Error(None)),
            ["error", said @ ..] if !said.is_empty() => {
                Ok(Expectation::Error(Some(said.join(" "))))
            }
            [] => Err("nothing is expected".to_owned()),
            [what, rest @ ..] => match (COUNTED.iter().find(|(known, _)| known == what), rest) {
                (Some((_, counted)), [count]) => Ok(Expectation::Count(*counted, number(count)?)),
                _ => Ok(Expectation::Documents(changes(&words)?)),
            },
        }
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |changes: &[Change]| {
            let words: Vec<String> = changes.iter().map(ToString::to_string).collect();
            words.join(" ")
        };
        match self {
            Expectation::Documents(changes) => f.write_str(&join(changes)),
            Expectation::Locals(changes) => write!(f, "local {}", join(changes)),
            Expectation::Reader(name, changes) => write!(f, "reader {name} {}", join(changes)),
            Expectation::Count(counted, count) => {
                let name = COUNTED.iter().find(|(_, known)| known == counted);
                write!(f, "{} {count}", name.map_or("?", |(name, _)| name))
            }
            Expectation::VBucket(true) => f.write_str("vbucket"),
            Expectation::VBucket(false) => f.write_str("no vbucket"),
            Expectation::Files(names) => write!(f, "files {}", names.join(" ")),
            Expectation::Phase(phase) => write!(f, "phase {}", phase.map_or("none", phase_name)),
            Expectation::Holder(holder) => {
                let name = HOLDERS.iter().find(|(_, known)| known == holder);
                write!(f, "holder {}", name.map_or("?", |(name, _)| name))
            }
            Expectation::Event(name, Some(0)) => write!(f, "no event {name}"),
            Expectation::Event(name, Some(count)) => write!(f, "event {name} {count}"),
            Expectation::Event(name, None) => write!(f, "event {name}"),
            Expectation::Error(Some(words)) => write!(f, "error {words}"),
            Expectation::Error(None) => f.write_str("no error"),
        }
    }
}

impl Expectation {
    /// Whether it is so. `events_seen` is how many events earlier expectations have looked at.
    ///
    /// # Errors
    /// What is, instead.
    pub fn check(&self, world: &World, events_seen: &mut usize) -> Result<(), String> {
        match self {
            Expectation::Documents(changes) => {
                let contents = contents(world)?;
                compare(changes, |key| contents.value(key))
            }
            Expectation::Locals(changes) => {
                let contents = contents(world)?;
                let local = |key: &str| format!("_local/{key}").into_bytes();
                compare(changes, |key| contents.locals.get(&local(key)).map(Vec::as_slice))
            }
            Expectation::Reader(name, changes) => {
                let mut readers = world.readers();
                let reader = readers.find(|(known, _)| known == name);
                let (_, contents) = reader.ok_or_else(|| format!("there is no reader {name}"))?;
                compare(changes, |key| contents.value(key))
            }
            Expectation::Count(counted, expected) => {
                equal("the number", *expected, count(world, *counted)?)
            }
            Expectation::VBucket(expected) => {
                equal("that there is a vbucket", *expected, world.machines().vbucket.is_some())
            }
            Expectation::Files(expected) => {
                let files = world.files();
                let names: Vec<String> = files.files().map(|(name, _)| name.to_owned()).collect();
                equal("the files", expected.clone(), names)
            }
            Expectation::Phase(expected) => {
                let name = |phase: Option<Phase>| phase.map_or("none", phase_name);
                equal("the phase", name(*expected), name(world.phase()))
            }
            Expectation::Holder(expected) => {
                let vbucket = world.machines().vbucket.as_ref();
                let holder = vbucket.and_then(|vbucket| vbucket.lock().holder());
                equal("who holds the lock", *expected, holder)
            }
            Expectation::Event(name, expected) => {
                let events = world.events_from(*events_seen);
                *events_seen = world.event_count();
                let is = |event: &Event| event.name() == *name;
                let count = events.iter().filter(|stamped| is(&stamped.event)).count() as u64;
                match expected {
                    Some(expected) => equal(&format!("how often {name} came"), *expected, count),
                    None if count == 0 => Err(format!("there was no {name}")),
                    None => Ok(()),
                }
            }
            Expectation::Error(None) => match world.last_error() {
                None => Ok(()),
                Some(said) => Err(format!("the engine said: {said}")),
            },
            Expectation::Error(Some(words)) => match world.last_error() {
                Some(said) if said.contains(words.as_str()) => Ok(()),
                Some(said) => Err(format!("the engine said: {said}")),
                None => Err("the engine did what it was told".to_owned()),
            },
        }
    }
}

fn equal<T: PartialEq + fmt::Debug>(what: &str, expected: T, found: T) -> Result<(), String> {
    match expected == found {
        true => Ok(()),
        false => Err(format!("{what} is {found:?}, not {expected:?}")),
    }
}

fn contents(world: &World) -> Result<Contents, String> {
    let snapshot = world.machines().vbucket().and_then(|vbucket| vbucket.snapshot());
    let contents = snapshot.and_then(|snapshot| Contents::read(&snapshot));
    contents.map_err(|error| format!("there is nothing to read: {error}"))
}

fn compare<'a>(changes: &[Change], value: impl Fn(&str) -> Option<&'a [u8]>) -> Result<(), String> {
    for Change { key, value: expected } in changes {
        let expected = expected.as_ref().map(|expected| expected.bytes());
        let found = value(key);
        if found != expected.as_deref() {
            let words = |value: Option<&[u8]>| value.map_or("not there".to_owned(), brief);
            let (found, expected) = (words(found), words(expected.as_deref()));
            return Err(format!("{key} is {found}; expected: {expected}"));
        }
    }
    Ok(())
}

fn brief(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) if text.len() <= 40 => format!("{text:?}"),
        _ => format!("{} bytes", value.len()),
    }
}

fn count(world: &World, counted: Counted) -> Result<u64, String> {
    Ok(match counted {
        Counted::Persisted => world.machines().dirty.persisted_seq(),
        Counted::Revision => world.machines().vbucket.as_ref().map_or(0, |v| v.revision()),
        Counted::Swaps => world.progress().swaps,
        Counted::UpdateSeq => contents(world)?.update_seq,
        Counted::PurgeSeq => contents(world)?.purge_seq,
        Counted::Documents | Counted::Tombstones => {
            let contents = contents(world)?;
            let wanted = counted == Counted::Tombstones;
            contents.documents.values().filter(|document| document.deleted == wanted).count() as u64
        }
    })
}
