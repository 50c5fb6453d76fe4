//! Traces: events with their times as a stream of bytes, as `docs/trace-format.md` describes it.
//!
//! A trace is written while things happen, so it may end anywhere: whoever reads it takes the whole
//! records that are there, and is told of the rest.

use std::fmt;

use litemap::LiteMap;

use crate::event::{Actor, Content, Event, FileName, Outcome, Phase};

/// What a trace begins with; its version follows, and the end of a line.
const MAGIC: &[u8] = b"tailswap trace ";
/// The version that is written, and read.
const VERSION: &[u8] = b"1\n";
/// The kind of a record that gives a file's name the next number. All others are events.
const NAME: u8 = 0;
/// Bytes of the longest record: a few numbers, and a name or the words of an error.
const RECORD_MAX: usize = 64 << 10;

/// Whether these are the first bytes of a trace, of whatever version.
pub fn is_trace(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Turns events into the bytes of a trace.
#[derive(Debug, Default)]
pub struct TraceWriter {
    names: LiteMap<FileName, u64>,
    /// Records of names that came up with the event that is written.
    new_names: Vec<u8>,
    record: Vec<u8>,
    has_begun: bool,
    at_ns: u64,
}

impl TraceWriter {
    /// Appends an event to `out`, with its time: nanoseconds since whenever, never going back. The
    /// first one comes with the trace's beginning.
    pub fn event(&mut self, at_ns: u64, event: &Event, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.has_begun, true) {
            out.extend_from_slice(MAGIC);
            out.extend_from_slice(VERSION);
        }
        let since = at_ns.saturating_sub(self.at_ns);
        self.at_ns += since;
        self.record.clear();
        self.record.push(kind_of(event));
        since.put(self);
        put_fields(event, self);
        out.append(&mut self.new_names);
        put_record(&self.record, out);
    }
}

/// Why a trace cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceError {
    /// Byte offset of the record, or of what is wrong in it.
    pub offset: usize,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "damaged at offset {}: {}", self.offset, self.what)
    }
}

impl std::error::Error for TraceError {}

/// Reads a trace, event by event.
#[derive(Clone, Debug, Default)]
pub struct TraceReader {
    offset: usize,
    names: Vec<FileName>,
    at_ns: u64,
}

impl TraceReader {
    /// The next event of the same bytes as the last time, with its time in nanoseconds; `None` where
    /// no whole record is left.
    ///
    /// # Errors
    /// The bytes are no trace, or damaged.
    pub fn next(&mut self, bytes: &[u8]) -> Result<Option<(u64, Event)>, TraceError> {
        if self.offset == 0 {
            self.begin(bytes)?;
        }
        while let Some((begin, end)) = self.record(bytes)? {
            let wrong = |offset, what: &str| Err(TraceError { offset, what: what.to_owned() });
            let record = bytes.get(..end).unwrap_or_default();
            let mut input = Input { bytes: record, at: begin, is_wrong: false, names: &self.names };
            let kind = input.byte();
            if kind == NAME {
                let name = FileName::from(input.text());
                if input.is_wrong {
                    return wrong(input.at, "a name that is none");
                }
                self.names.push(name);
            } else if is_known(kind) {
                let since = input.number();
                let event = take_event(kind, &mut input);
                if input.is_wrong || input.at != end {
                    return wrong(input.at, "a record that does not hold its event");
                }
                self.at_ns = self.at_ns.saturating_add(since);
                self.offset = end;
                return Ok(event.map(|event| (self.at_ns, event)));
            }
            self.offset = end;
        }
        Ok(None)
    }

    /// Where the next record lies; `None` if it is not whole.
    fn record(&self, bytes: &[u8]) -> Result<Option<(usize, usize)>, TraceError> {
        let mut input = Input { bytes, at: self.offset, is_wrong: false, names: &self.names };
        // The longest length takes three bytes: of fewer, the rest may be missing.
        let is_at_end = bytes.len() - self.offset.min(bytes.len()) < 3;
        let length = input.number();
        if input.is_wrong && is_at_end {
            return Ok(None);
        }
        if input.is_wrong || !(1..=RECORD_MAX as u64).contains(&length) {
            let what = "no record is that long".to_owned();
            return Err(TraceError { offset: self.offset, what });
        }
        let end = input.at + length as usize;
        Ok((end <= bytes.len()).then_some((input.at, end)))
    }

    /// Byte offset up to which the trace was read. What follows is the beginning of a record that
    /// nobody came to finish.
    pub fn offset(&self) -> usize {
        self.offset
    }

    fn begin(&mut self, bytes: &[u8]) -> Result<(), TraceError> {
        let wrong = |offset, what: &str| Err(TraceError { offset, what: what.to_owned() });
        let Some(rest) = bytes.strip_prefix(MAGIC) else {
            return wrong(0, "this is no trace: it does not begin as one");
        };
        if !rest.starts_with(VERSION) {
            return wrong(MAGIC.len(), "a trace of another version than 1");
        }
        self.offset = MAGIC.len() + VERSION.len();
        Ok(())
    }
}

/// The bytes of one record. What is wrong in it is noted, and asked for once at its end.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
    is_wrong: bool,
    names: &'a [FileName],
}

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let byte = self.bytes.get(self.at).copied();
        self.at += usize::from(byte.is_some());
        self.is_wrong |= byte.is_none();
        byte.unwrap_or_default()
    }

    /// Seven bits a byte, the lowest first.
    fn number(&mut self) -> u64 {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte();
            let bits = u64::from(byte & 0x7f);
            self.is_wrong |= bits.leading_zeros() < shift;
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return number;
            }
        }
        self.is_wrong = true;
        0
    }

    fn text(&mut self) -> &str {
        let length = usize::try_from(self.number()).unwrap_or(usize::MAX);
        let end = self.at.saturating_add(length);
        let text = self.bytes.get(self.at..end).and_then(|text| std::str::from_utf8(text).ok());
        self.is_wrong |= text.is_none();
        let text = text.unwrap_or_default();
        self.at += text.len();
        text
    }

    /// One of a few, by its number.
    fn one_of<T: Clone>(&mut self, all: &[T]) -> Option<T> {
        let number = usize::try_from(self.number()).unwrap_or(usize::MAX);
        let one = all.get(number).cloned();
        self.is_wrong |= one.is_none();
        one
    }

    fn fitting<T: TryFrom<u64> + Default>(&mut self) -> T {
        let number = T::try_from(self.number());
        self.is_wrong |= number.is_err();
        number.unwrap_or_default()
    }
}

fn put_record(record: &[u8], out: &mut Vec<u8>) {
    put_number(record.len() as u64, out);
    out.extend_from_slice(record);
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    // Nobody gives a file a longer name, and of an error's words these are enough.
    let text = text.get(..text.floor_char_boundary(RECORD_MAX / 2)).unwrap_or_default();
    put_number(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

fn put_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A field of an event, as a record has it.
trait Field: Sized {
    fn put(&self, out: &mut TraceWriter);
    fn take(input: &mut Input<'_>) -> Self;
}

impl Field for u64 {
    fn put(&self, out: &mut TraceWriter) {
        put_number(*self, &mut out.record);
    }

    fn take(input: &mut Input<'_>) -> Self {
        input.number()
    }
}

impl Field for u32 {
    fn put(&self, out: &mut TraceWriter) {
        u64::from(*self).put(out);
    }

    fn take(input: &mut Input<'_>) -> Self {
        input.fitting()
    }
}

impl Field for u16 {
    fn put(&self, out: &mut TraceWriter) {
        u64::from(*self).put(out);
    }

    fn take(input: &mut Input<'_>) -> Self {
        input.fitting()
    }
}

impl Field for bool {
    fn put(&self, out: &mut TraceWriter) {
        u64::from(*self).put(out);
    }

    fn take(input: &mut Input<'_>) -> Self {
        input.number() != 0
    }
}

impl Field for String {
    fn put(&self, out: &mut TraceWriter) {
        put_text(self, &mut out.record);
    }

    fn take(input: &mut Input<'_>) -> Self {
        input.text().to_owned()
    }
}

/// The number of a name, counted from 0.
impl Field for FileName {
    fn put(&self, out: &mut TraceWriter) {
        let next = out.names.len() as u64;
        let number = out.names.get(self).copied();
        if number.is_none() {
            out.names.insert(self.clone(), next);
            let mut record = vec![NAME];
            put_text(self, &mut record);
            put_record(&record, &mut out.new_names);
        }
        number.unwrap_or(next).put(out);
    }

    fn take(input: &mut Input<'_>) -> Self {
        input.one_of(input.names).unwrap_or_default()
    }
}

impl Field for Content {
    fn put(&self, out: &mut TraceWriter) {
        let number: u64 = match self {
            Content::Body { seq } => {
                0_u64.put(out);
                *seq
            }
            Content::BySeqNode => 1,
            Content::ByIdNode => 2,
            Content::LocalNode => 3,
            Content::Header => 4,
            Content::Slack => 5,
        };
        number.put(out);
    }

    fn take(input: &mut Input<'_>) -> Self {
        match input.number() {
            0 => Content::Body { seq: input.number() },
            1 => Content::BySeqNode,
            2 => Content::ByIdNode,
            3 => Content::LocalNode,
            4 => Content::Header,
            other => {
                input.is_wrong |= other != 5;
                Content::Slack
            }
        }
    }
}

impl Field for Outcome {
    fn put(&self, out: &mut TraceWriter) {
        match self {
            Outcome::Swapped => 0_u64.put(out),
            Outcome::Cancelled => 1_u64.put(out),
            Outcome::Failed(why) => {
                2_u64.put(out);
                why.put(out);
            }
        }
    }

    fn take(input: &mut Input<'_>) -> Self {
        match input.number() {
            0 => Outcome::Swapped,
            2 => Outcome::Failed(Field::take(input)),
            other => {
                input.is_wrong |= other != 1;
                Outcome::Cancelled
            }
        }
    }
}

/// What is one of a few, by its number in a list that only grows.
macro_rules! numbered {
    ($kind:ident: $($variant:ident)*) => {
        impl Field for $kind {
            fn put(&self, out: &mut TraceWriter) {
                let all = [$($kind::$variant),*];
                let number = all.iter().position(|one| one == self);
                (number.unwrap_or_default() as u64).put(out);
            }

            fn take(input: &mut Input<'_>) -> Self {
                let all = [$($kind::$variant),*];
                input.one_of(&all).unwrap_or(all[0])
            }
        }
    };
}

numbered!(Actor: Flusher Compactor Operator);
numbered!(
    Phase: CopyDocuments CopyIds CopyLocal CommitCopy CatchUp WaitForLock LastTail Validate Swap Unlink
);

/// Kinds of records, each with the event that it holds and that event's fields in their order. A kind
/// never changes: what else is to be told is a new one.
macro_rules! events {
    ($($kind:literal $event:ident { $($field:ident),* })*) => {
        fn kind_of(event: &Event) -> u8 {
            match event {
                $(Event::$event { .. } => $kind,)*
            }
        }

        fn is_known(kind: u8) -> bool {
            [$($kind),*].contains(&kind)
        }

        fn put_fields(event: &Event, out: &mut TraceWriter) {
            match event {
                $(Event::$event { $($field),* } => { $($field.put(out);)* })*
            }
        }

        fn take_event(kind: u8, input: &mut Input<'_>) -> Option<Event> {
            Some(match kind {
                $($kind => Event::$event { $($field: Field::take(input)),* },)*
                _ => return None,
            })
        }
    };
}

events! {
    1 Appended { file, position, end, content }
    2 Written { file, position, end }
    3 SyncIssued { file }
    4 SyncCompleted { file }
    5 HeaderCommitted { file, position, update_seq }
    6 Truncated { file, length }
    7 Created { file }
    8 Renamed { from, to }
    9 Removed { file }
    10 DirectorySyncIssued {}
    11 DirectorySyncCompleted {}
    12 Poisoned { file }
    13 WentBack { file, position }
    14 LockAsked { vbucket, actor }
    15 LockTaken { vbucket, actor }
    16 LockReleased { vbucket, actor }
    17 FlushStarted { vbucket, mutations, bytes }
    18 FlushFinished { vbucket, seq }
    19 FlushFailed { vbucket, error }
    20 Paced { vbucket, nanoseconds }
    21 CompactionStarted { vbucket, source, target, position }
    22 PhaseChanged { vbucket, phase }
    23 DocumentCopied { vbucket, seq, from, to }
    24 DocumentDropped { vbucket, seq }
    25 RoundStarted { vbucket, round, from, to, tail, locked }
    26 RoundFinished { vbucket, round, documents, bytes }
    27 StallTargetMissed { vbucket, nanoseconds }
    28 Published { vbucket, revision }
    29 CompactionEnded { vbucket, outcome }
    30 VBucketCreated { vbucket, revision }
    31 VBucketOpened { vbucket, revision, position }
    32 RolledBack { vbucket, seq }
    33 VBucketDeleted { vbucket }
    34 OpeningFailed { vbucket, error }
    35 CommitTakenBack { file, position, error }
}
