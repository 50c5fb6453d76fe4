//! A trace that is played: the history of a run of which nothing but the events is known.

use tailswap::event::Event;
use tailswap::sim::world::{Checks, Stamped};
use tailswap::trace::{TraceError, TraceReader};

use crate::history::{History, Sample};

/// Longest file that can be shown, in bytes.
const LENGTH_MAX: u64 = 1 << 32;
/// Scripts have no whole numbers from here on.
const NUMBER_MAX: u64 = 1 << 53;

/// A trace, as far as it was read.
#[derive(Debug)]
pub struct Traced {
    bytes: Vec<u8>,
    reader: TraceReader,
    /// Vbuckets that the trace tells of, as far as it was read.
    pub vbuckets: Vec<u16>,
    /// The one that is shown.
    pub vbucket: u16,
    /// Why it is not shown to its end.
    pub problem: Option<String>,
    history: History,
}

impl Traced {
    /// A trace that was not read yet. Of several vbuckets that one is shown, or the first that was
    /// compacted, or the first at all.
    ///
    /// # Errors
    /// The bytes do not begin as a trace, or tell of nothing.
    pub fn new(bytes: Vec<u8>, vbucket: Option<u16>) -> Result<Self, TraceError> {
        let mut scout = TraceReader::default();
        let (mut first, mut compacted) = (None::<u16>, None);
        let mut next = scout.next(&bytes)?;
        if next.is_none() {
            let what = "it ends before its first event".to_owned();
            return Err(TraceError { offset: scout.offset(), what });
        }
        // What is damaged later is told when it is come to.
        while let (None, None, Some((_, event))) = (vbucket, compacted, next) {
            next = scout.next(&bytes).unwrap_or_default();
            let Some(of) = vbucket_of(&event) else { continue };
            first = Some(first.map_or(of, |first| first.min(of)));
            compacted = matches!(event, Event::CompactionStarted { .. }).then_some(of);
        }
        let vbucket = vbucket.or(compacted).or(first).unwrap_or(0);
        let (reader, history) = (TraceReader::default(), History::default());
        Ok(Traced { bytes, reader, vbuckets: Vec::new(), vbucket, problem: None, history })
    }

    /// Reads up to so many more events; whether there are more. What is damaged is where it ends.
    pub fn advance(&mut self, events: usize) -> bool {
        for _ in 0..events {
            let offset = self.reader.offset();
            match self.reader.next(&self.bytes) {
                Ok(Some((at_ns, event))) => {
                    self.history.end_ns = at_ns;
                    let of = vbucket_of(&event);
                    if let Some(of) = of
                        && let Err(place) = self.vbuckets.binary_search(&of)
                    {
                        self.vbuckets.insert(place, of);
                    }
                    if of.is_none_or(|of| of == self.vbucket)
                        && let Err(what) = self.take(at_ns, event)
                    {
                        self.problem = Some(TraceError { offset, what }.to_string());
                        return self.end();
                    }
                }
                Ok(None) => {
                    let rest = self.bytes.len().saturating_sub(self.reader.offset());
                    self.problem = (rest > 0).then(|| {
                        format!("it ends within an event, at offset {}", self.reader.offset())
                    });
                    return self.end();
                }
                Err(error) => {
                    self.problem = Some(error.to_string());
                    return self.end();
                }
            }
        }
        true
    }

    /// What is known so far.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The bytes are of no use any more.
    fn end(&mut self) -> bool {
        self.bytes = Vec::new();
        false
    }

    fn take(&mut self, at_ns: u64, event: Event) -> Result<(), String> {
        if let Event::Appended { position, end, .. } = event
            && position > end
        {
            return Err(format!("nothing is appended from byte {position} to {end}"));
        }
        let (place, number) = greatest(&event);
        if place > LENGTH_MAX {
            return Err(format!("byte {place} of a file is beyond what can be shown"));
        }
        if number.max(at_ns) > NUMBER_MAX {
            return Err(format!("{} is too large a number", number.max(at_ns)));
        }
        let history = &mut self.history;
        let index = history.events.len();
        if matches!(event, Event::VBucketOpened { .. }) && !history.in_charge.is_empty() {
            // Why the one before it ended is not told.
            history.restarts.push((index, false));
        }
        history.files.take_told(index, &event);
        history.take_charge(index, &event);
        // What writers queue is not told, only what a flush takes of it.
        let queued = match event {
            Event::FlushStarted { mutations, .. } => Some(mutations),
            Event::FlushFinished { .. } => Some(0),
            _ => None,
        };
        history.samples.extend(queued.map(|queued| Sample {
            at_ns,
            queued,
            is_full: false,
            checks: Checks::default(),
        }));
        history.events.push(Stamped { at_ns, event });
        Ok(())
    }
}

/// The greatest place in a file that an event tells of, and the greatest of its other numbers.
fn greatest(event: &Event) -> (u64, u64) {
    match *event {
        Event::Appended { end, .. } | Event::Written { end, .. } => (end, 0),
        Event::Truncated { length, .. } => (length, 0),
        Event::HeaderCommitted { position, update_seq, .. } => (position, update_seq),
        Event::WentBack { position, .. }
        | Event::CommitTakenBack { position, .. }
        | Event::CompactionStarted { position, .. } => (position, 0),
        Event::VBucketOpened { position, revision, .. } => (position, revision),
        Event::DocumentCopied { from, to, seq, .. } => (from.max(to), seq),
        Event::RoundStarted { from, to, tail, .. } => (from.max(to), tail),
        Event::RoundFinished { documents, bytes, .. } => (0, documents.max(bytes)),
        Event::FlushStarted { mutations, bytes, .. } => (0, mutations.max(bytes)),
        Event::Paced { nanoseconds, .. } | Event::StallTargetMissed { nanoseconds, .. } => {
            (0, nanoseconds)
        }
        Event::Published { revision, .. } | Event::VBucketCreated { revision, .. } => (0, revision),
        Event::FlushFinished { seq, .. }
        | Event::DocumentDropped { seq, .. }
        | Event::RolledBack { seq, .. } => (0, seq),
        _ => (0, 0),
    }
}

/// The vbucket that an event is about; `None` if it is about all.
fn vbucket_of(event: &Event) -> Option<u16> {
    match event {
        Event::Appended { file, .. }
        | Event::Written { file, .. }
        | Event::SyncIssued { file }
        | Event::SyncCompleted { file }
        | Event::HeaderCommitted { file, .. }
        | Event::Truncated { file, .. }
        | Event::Created { file }
        | Event::Renamed { from: file, .. }
        | Event::Removed { file }
        | Event::Poisoned { file }
        | Event::CommitTakenBack { file, .. }
        | Event::WentBack { file, .. } => file.split('.').next()?.parse().ok(),
        Event::LockAsked { vbucket, .. }
        | Event::LockTaken { vbucket, .. }
        | Event::LockReleased { vbucket, .. }
        | Event::FlushStarted { vbucket, .. }
        | Event::FlushFinished { vbucket, .. }
        | Event::FlushFailed { vbucket, .. }
        | Event::Paced { vbucket, .. }
        | Event::CompactionStarted { vbucket, .. }
        | Event::PhaseChanged { vbucket, .. }
        | Event::DocumentCopied { vbucket, .. }
        | Event::DocumentDropped { vbucket, .. }
        | Event::RoundStarted { vbucket, .. }
        | Event::RoundFinished { vbucket, .. }
        | Event::StallTargetMissed { vbucket, .. }
        | Event::Published { vbucket, .. }
        | Event::CompactionEnded { vbucket, .. }
        | Event::VBucketCreated { vbucket, .. }
        | Event::VBucketOpened { vbucket, .. }
        | Event::OpeningFailed { vbucket, .. }
        | Event::RolledBack { vbucket, .. }
        | Event::VBucketDeleted { vbucket } => Some(*vbucket),
        _ => None,
    }
}
