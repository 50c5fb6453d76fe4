//! What took how long: spans for the lanes, one list for a whole run.

use tailswap::event::{Actor, Event, Phase};

use crate::history::History;

/// A lane, from top to bottom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Lane {
    Writers,
    Flusher,
    Compactor,
    Lock,
    Disk,
    Readers,
}

impl Lane {
    /// All of them with their names.
    pub const ALL: [(Lane, &str); 6] = [
        (Lane::Writers, "writers"),
        (Lane::Flusher, "flusher"),
        (Lane::Compactor, "compactor"),
        (Lane::Lock, "THE LOCK"),
        (Lane::Disk, "disk syncs"),
        (Lane::Readers, "readers"),
    ];
}

/// What a span is, for its colour and hatching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Doing {
    Queueing,
    TurnedAway,
    Flushing,
    Copying,
    CatchingUp,
    Waiting,
    Swapping,
    Unlinking,
    Held(Actor),
    Syncing,
    DirectorySync,
    Reading,
    /// Power was lost, and the vbucket opened again.
    Recovering,
}

/// Something that took time.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Where it is drawn.
    pub lane: Lane,
    /// Row within the lane, for what overlaps.
    pub row: usize,
    /// What it is.
    pub doing: Doing,
    /// When it began, in nanoseconds.
    pub from_ns: u64,
    /// When it ended.
    pub to_ns: u64,
    /// Written on it where there is room.
    pub label: String,
}

/// Builds spans from events that open and close them.
struct Builder {
    spans: Vec<Span>,
    end_ns: u64,
}

impl Builder {
    fn add(&mut self, lane: Lane, doing: Doing, from_ns: u64, to_ns: u64, label: &str) {
        let row = 0;
        self.spans.push(Span { lane, row, doing, from_ns, to_ns, label: label.to_owned() });
    }

    /// Adds what was open since a time, if anything was.
    fn close(&mut self, open: &mut Option<(Doing, u64, String)>, lane: Lane, at_ns: u64) {
        if let Some((doing, since, label)) = open.take() {
            self.add(lane, doing, since, at_ns, &label);
        }
    }
}

/// All spans of a run, in no order.
pub fn spans(history: &History) -> Vec<Span> {
    let mut builder = Builder { spans: Vec::new(), end_ns: history.end_ns() };
    for arrival in &history.arrivals {
        let doing = if arrival.is_refused { Doing::TurnedAway } else { Doing::Queueing };
        builder.add(Lane::Writers, doing, arrival.at_ns, arrival.at_ns, "");
    }
    machines(history, &mut builder);
    syncs(history, &mut builder);
    let mut rows: Vec<u64> = Vec::new();
    for reading in &history.readings {
        let to_ns = reading.to_ns.unwrap_or(builder.end_ns);
        // In the first row that is free.
        let row = rows.iter().position(|end| *end <= reading.from_ns).unwrap_or(rows.len());
        match rows.get_mut(row) {
            Some(end) => *end = to_ns,
            None => rows.push(to_ns),
        }
        let file = reading.file.and_then(|file| history.files.all().get(file));
        let file = file.map_or("", |file| file.name(history.event_at(reading.from_ns)));
        builder.spans.push(Span {
            lane: Lane::Readers,
            row,
            doing: Doing::Reading,
            from_ns: reading.from_ns,
            to_ns,
            label: format!("{} of {file}", reading.name),
        });
    }
    builder.spans
}

fn machines(history: &History, builder: &mut Builder) {
    let (mut flush, mut work, mut held) = (None, None, None);
    let mut asked: Vec<(Actor, u64)> = Vec::new();
    for (index, stamped) in history.events().iter().enumerate() {
        let at_ns = stamped.at_ns;
        match &stamped.event {
            Event::FlushFinished { .. } | Event::FlushFailed { .. } => {
                builder.close(&mut flush, Lane::Flusher, at_ns);
            }
            Event::LockAsked { actor, .. } => asked.push((*actor, at_ns)),
            Event::LockTaken { actor, .. } => {
                let place = asked.iter().position(|(asker, _)| asker == actor);
                let since = place.map_or(at_ns, |place| asked.remove(place).1);
                if *actor == Actor::Flusher {
                    if at_ns > since {
                        builder.add(Lane::Flusher, Doing::Waiting, since, at_ns, "waits");
                    }
                    flush = Some((Doing::Flushing, at_ns, "flush".to_owned()));
                }
                let label = if *actor == Actor::Compactor { "compactor" } else { "flusher" };
                held = Some((Doing::Held(*actor), at_ns, label.to_owned()));
            }
            Event::LockReleased { .. } => builder.close(&mut held, Lane::Lock, at_ns),
            Event::PhaseChanged { phase, .. } => {
                builder.close(&mut work, Lane::Compactor, at_ns);
                let (doing, label) = phase_shown(*phase);
                work = Some((doing, at_ns, label.to_owned()));
            }
            Event::RoundStarted { round, locked, .. } => {
                builder.close(&mut work, Lane::Compactor, at_ns);
                work = Some(match locked {
                    true => (Doing::Swapping, at_ns, "last tail".to_owned()),
                    false => (Doing::CatchingUp, at_ns, format!("round {round}")),
                });
            }
            Event::CompactionEnded { .. } => builder.close(&mut work, Lane::Compactor, at_ns),
            Event::VBucketOpened { .. } if history.was_restarted(index) => {
                builder.close(&mut flush, Lane::Flusher, at_ns);
                builder.close(&mut work, Lane::Compactor, at_ns);
                builder.close(&mut held, Lane::Lock, at_ns);
                asked.clear();
                builder.add(Lane::Readers, Doing::Recovering, at_ns, at_ns, "power lost");
            }
            _ => {}
        }
    }
    let end_ns = builder.end_ns;
    builder.close(&mut work, Lane::Compactor, end_ns);
    builder.close(&mut held, Lane::Lock, end_ns);
    builder.spans.retain(|span| {
        span.from_ns < span.to_ns || span.lane == Lane::Writers || span.lane == Lane::Compactor
    });
}

fn phase_shown(phase: Phase) -> (Doing, &'static str) {
    match phase {
        Phase::CopyDocuments => (Doing::Copying, "copy documents"),
        Phase::CopyIds => (Doing::Copying, "by-id"),
        Phase::CopyLocal => (Doing::Copying, "local"),
        Phase::CommitCopy => (Doing::Copying, "commit"),
        Phase::CatchUp => (Doing::CatchingUp, "catch-up"),
        Phase::WaitForLock => (Doing::Waiting, "waits"),
        Phase::LastTail => (Doing::Swapping, "last tail"),
        Phase::Validate => (Doing::Swapping, "validate"),
        Phase::Swap => (Doing::Swapping, "swap"),
        Phase::Unlink => (Doing::Unlinking, "unlink"),
    }
}

fn syncs(history: &History, builder: &mut Builder) {
    let mut files: Vec<(&str, u64)> = Vec::new();
    let mut directory = None;
    for stamped in history.events() {
        let at_ns = stamped.at_ns;
        match &stamped.event {
            Event::SyncIssued { file } => files.push((file, at_ns)),
            Event::SyncCompleted { file } => {
                if let Some(place) = files.iter().position(|(name, _)| **name == **file) {
                    let (name, since) = files.remove(place);
                    let label = if name.ends_with("compact") { "copy" } else { "source" };
                    builder.add(Lane::Disk, Doing::Syncing, since, at_ns, label);
                }
            }
            Event::VBucketOpened { .. } => {
                files.clear();
                directory = None;
            }
            Event::DirectorySyncIssued => directory = Some(at_ns),
            Event::DirectorySyncCompleted => {
                if let Some(since) = directory.take() {
                    builder.add(Lane::Disk, Doing::DirectorySync, since, at_ns, "names");
                }
            }
            _ => {}
        }
    }
    builder.spans.retain(|span| span.lane != Lane::Disk || span.from_ns < span.to_ns);
}
