//! What happened in a run, whoever made it, and what can be asked of every moment of it without
//! the world in which it happened.

use tailswap::event::{Actor, Event, Outcome};
use tailswap::format::names::file_name;
use tailswap::limits::BLOCK_SIZE;
use tailswap::sim::world::{Checks, Stamped, phase_name};

use crate::files::Files;
use crate::recovery::Recovery;

/// What was measured after an action.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Nanoseconds on the world's clock.
    pub at_ns: u64,
    /// Mutations queued, those that a flush has taken among them.
    pub queued: u64,
    /// The queue has no room for another document.
    pub is_full: bool,
    /// How often what must hold was checked so far.
    pub checks: Checks,
}

/// Something that must hold, and did not.
#[derive(Clone, Debug)]
pub struct Violated {
    /// Which: `I1` to `I15`.
    pub invariant: &'static str,
    /// What broke, and the events before it.
    pub what: String,
    /// The action, counted from 1.
    pub action: usize,
}

/// A writer that came with mutations.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// When, in nanoseconds.
    pub at_ns: u64,
    /// The queue had no room for them.
    pub is_refused: bool,
}

/// A snapshot that a reader held.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The reader.
    pub name: String,
    /// When it took its snapshot, in nanoseconds.
    pub from_ns: u64,
    /// When it let it go; `None` while it has it.
    pub to_ns: Option<u64>,
    /// Which of the files it reads.
    pub file: Option<usize>,
    /// Byte offset of the header that it holds.
    pub position: u64,
}

impl Reading {
    pub(crate) fn end(&mut self, at_ns: u64) {
        self.to_ns.get_or_insert(at_ns);
    }
}

/// What pictures and words are made of.
#[derive(Debug, Default)]
pub struct History {
    pub(crate) events: Vec<Stamped>,
    /// What every byte of every file held.
    pub files: Files,
    /// One for each action that let time pass or queued something.
    pub samples: Vec<Sample>,
    /// When writers came with something.
    pub arrivals: Vec<Arrival>,
    /// Every snapshot that was held.
    pub readings: Vec<Reading>,
    /// From an event on, another process; whether power was lost before it.
    pub(crate) restarts: Vec<(usize, bool)>,
    /// From an event on, this file is in charge.
    pub in_charge: Vec<(usize, usize)>,
    /// What was found after each crash, or death of the process.
    pub recoveries: Vec<Recovery>,
    /// What did not hold: nothing more can come of the run then.
    pub violated: Option<Violated>,
    /// When it ends, in nanoseconds.
    pub(crate) end_ns: u64,
}

impl History {
    /// Notes which file is in charge from an event on, if the event says so.
    pub(crate) fn take_charge(&mut self, index: usize, event: &Event) {
        if let Event::VBucketCreated { vbucket, revision, .. }
        | Event::VBucketOpened { vbucket, revision, .. }
        | Event::Published { vbucket, revision, .. } = event
            && let Some(file) = self.files.named(&file_name(*vbucket, *revision), index)
        {
            self.in_charge.push((index, file));
        }
    }

    /// Whether another process took over since the run began.
    pub fn was_restarted(&self, event: usize) -> bool {
        self.restarts.first().is_some_and(|(from, _)| *from <= event)
    }

    /// Whether it was for a loss of power that the process of an event began.
    pub fn was_power_lost(&self, event: usize) -> bool {
        self.restarts.iter().rev().find(|(from, _)| *from <= event).is_some_and(|(_, was)| *was)
    }

    /// The file that was in charge right after an event.
    pub fn in_charge_at(&self, event: usize) -> Option<usize> {
        let known = self.in_charge.partition_point(|(from, _)| *from <= event);
        self.in_charge.get(known.checked_sub(1)?).map(|(_, file)| *file)
    }

    /// All events so far.
    pub fn events(&self) -> &[Stamped] {
        &self.events
    }

    /// When the run ends, in nanoseconds.
    pub fn end_ns(&self) -> u64 {
        self.end_ns
    }

    /// When an event happened, in nanoseconds.
    pub fn time_of(&self, event: usize) -> u64 {
        self.events.get(event).map_or(self.end_ns(), |stamped| stamped.at_ns)
    }

    /// The last event up to a time.
    pub fn event_at(&self, ns: u64) -> usize {
        self.events.partition_point(|stamped| stamped.at_ns <= ns).saturating_sub(1)
    }

    /// Mutations queued at a time.
    pub fn queued_at(&self, ns: u64) -> u64 {
        let known = self.samples.partition_point(|sample| sample.at_ns <= ns);
        let last = known.checked_sub(1).and_then(|last| self.samples.get(last));
        last.map_or(0, |sample| sample.queued)
    }

    /// The next event of a kind behind `event`, or the one before it; the run's end or beginning if
    /// there is none.
    pub fn seek(&self, event: usize, stride: Stride, forward: bool) -> usize {
        let last = self.events.len().saturating_sub(1);
        let is = |index: &usize| self.ends(*index, stride);
        let found = match forward {
            true => (event + 1..=last).find(is),
            false => (0..event.min(last + 1)).rev().find(is),
        };
        found.unwrap_or(if forward { last } else { 0 })
    }

    /// Whether a step of this kind ends at an event.
    fn ends(&self, index: usize, stride: Stride) -> bool {
        let Some(stamped) = self.events.get(index) else { return false };
        match (stride, &stamped.event) {
            (Stride::Event, _) => true,
            (Stride::Block, Event::Appended { position, end, .. }) => {
                position / BLOCK_SIZE != end.saturating_sub(1) / BLOCK_SIZE
                    || position % BLOCK_SIZE <= 1
            }
            (Stride::Header, Event::HeaderCommitted { .. }) => true,
            (
                Stride::Phase,
                Event::CompactionStarted { .. }
                | Event::PhaseChanged { .. }
                | Event::RoundStarted { .. }
                | Event::CompactionEnded { .. },
            ) => true,
            _ => false,
        }
    }

    /// The event that a path leads to: the name of a turning point, or of an event, and each of those
    /// behind it, such as `start > header_committed*3 > written`.
    pub fn find(&self, path: &str) -> Option<usize> {
        let turning_points = self.turning_points();
        let mut found = None;
        for part in path.split('>').map(str::trim) {
            let (name, times) = part.split_once('*').unwrap_or((part, "1"));
            for _ in 0..times.parse().unwrap_or(1_usize) {
                let from = found.map_or(0, |found| found + 1);
                let turned =
                    turning_points.iter().find(|(event, known)| *event >= from && known == name);
                let happened = || {
                    let behind = self.events.get(from..)?;
                    let next = behind.iter().position(|stamped| stamped.event.name() == name);
                    next.map(|next| from + next)
                };
                found = Some(turned.map(|(event, _)| *event).or_else(happened)?);
            }
        }
        found
    }

    /// Events at which the compaction or a part of it begins or ends, each with its name.
    pub fn turning_points(&self) -> Vec<(usize, String)> {
        let named = self.events.iter().enumerate().filter_map(|(index, stamped)| {
            let name = match &stamped.event {
                Event::CompactionStarted { .. } => "start".to_owned(),
                Event::PhaseChanged { phase, .. } => phase_name(*phase).to_owned(),
                Event::RoundStarted { round, locked: false, .. } => format!("round {round}"),
                Event::Published { .. } => "published".to_owned(),
                Event::Removed { .. } => "unlinked".to_owned(),
                Event::CompactionEnded { outcome: Outcome::Failed(_), .. } => "failed".to_owned(),
                Event::CompactionEnded { .. } => "end".to_owned(),
                Event::FlushFailed { .. } => "flush failed".to_owned(),
                Event::VBucketOpened { .. } if self.was_restarted(index) => "opened".to_owned(),
                Event::OpeningFailed { .. } => "not opened".to_owned(),
                _ => return None,
            };
            Some((index, name))
        });
        // A vbucket's creation publishes and removes, too.
        let matters = |name: &str| !matches!(name, "published" | "unlinked");
        named.skip_while(|(_, name)| !matters(name)).collect()
    }
}

/// How far a step goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stride {
    /// To the next event.
    Event,
    /// To the next event that begins a block of a file.
    Block,
    /// To the next phase of the compaction, or round of its catch-up.
    Phase,
    /// To the next header that is committed.
    Header,
}

/// Who holds the lock, in a word.
pub fn actor_name(actor: Actor) -> &'static str {
    match actor {
        Actor::Flusher => "flusher",
        Actor::Compactor => "compactor",
        Actor::Operator => "operator",
    }
}
