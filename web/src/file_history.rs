//! What every byte of one file holds, and held at every moment of its life.
//!
//! Moments are counted: in a run they are its events, in a file from elsewhere its headers.

use std::cell::OnceCell;

use tailswap::event::{Content, Event, FileName};

/// Stands for "not in this run" where the index of an event is expected.
pub const NEVER: usize = usize::MAX;

/// What a byte holds. The numbers are those of the block map that the page is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Class {
    Header,
    LiveBody,
    DeadBody,
    BySeqNode,
    ByIdNode,
    LocalNode,
    DeadNode,
    Slack,
    Unknown,
}

impl Class {
    /// All of them, in the order of their numbers.
    pub const ALL: [Class; 9] = [
        Class::Header,
        Class::LiveBody,
        Class::DeadBody,
        Class::BySeqNode,
        Class::ByIdNode,
        Class::LocalNode,
        Class::DeadNode,
        Class::Slack,
        Class::Unknown,
    ];

    pub(crate) fn of(chunk: &Chunk, is_live: bool) -> Self {
        if chunk.is_damaged {
            return Class::Unknown;
        }
        match (chunk.content, is_live) {
            (Content::Header, _) => Class::Header,
            (Content::Slack, _) => Class::Slack,
            (Content::Body { .. }, true) => Class::LiveBody,
            (Content::Body { .. }, false) => Class::DeadBody,
            (Content::BySeqNode, true) => Class::BySeqNode,
            (Content::ByIdNode, true) => Class::ByIdNode,
            (Content::LocalNode, true) => Class::LocalNode,
            (_, false) => Class::DeadNode,
        }
    }
}

/// For each class its bytes, in the order of [`Class::ALL`].
pub type ClassBytes = [u64; Class::ALL.len()];

/// Bytes that were appended as one thing. Events are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chunk {
    /// Where they begin.
    pub start: u64,
    /// Where they end.
    pub end: u64,
    /// What they are.
    pub content: Content,
    /// The event that appended them.
    pub born: usize,
    /// The event from which on no newest header reaches it.
    pub died: usize,
    /// The event from which on it is no part of the file: it was cut off, or a crash took it.
    pub(crate) cut: usize,
    /// Its bytes are not what they should be, or nobody knows what they are.
    pub is_damaged: bool,
}

impl Chunk {
    /// Sound bytes that are part of the file, and used, from an event on.
    pub(crate) fn new(start: u64, end: u64, content: Content, born: usize) -> Self {
        Chunk { start, end, content, born, died: NEVER, cut: NEVER, is_damaged: false }
    }
}

/// A committed header.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct HeaderMark {
    pub position: u64,
    pub end: u64,
    pub previous: Option<u64>,
    pub update_seq: u64,
    /// The event that committed it.
    pub event: usize,
    /// Part of the file that its state does not use, 0 to 1, where its trees were walked.
    pub fragmentation: Option<f64>,
}

/// A chunk that was dead for some time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Revived {
    start: u64,
    pub(crate) died: usize,
    pub(crate) again: usize,
}

/// One file from its creation on.
#[derive(Debug)]
pub struct FileHistory {
    names: Vec<(usize, FileName)>,
    /// The event with which its name went away.
    pub removed: usize,
    /// Once it is asked for, what each class had of it then.
    pub(crate) last_bytes: OnceCell<ClassBytes>,
    pub(crate) chunks: Vec<Chunk>,
    headers: Vec<HeaderMark>,
    /// From an event on, bytes up to an end have left the writer's buffer.
    written: Vec<(usize, u64)>,
    /// What a rollback brought back, by where it begins.
    revived: Vec<Revived>,
    /// As long as it ever was, in bytes.
    pub longest: u64,
    /// Ends of what syncs that were issued cover.
    syncs_issued: Vec<u64>,
    /// From an event on, bytes up to an end are durable.
    syncs: Vec<(usize, u64)>,
}

impl FileHistory {
    /// An empty file that an event created.
    pub(crate) fn new(event: usize, name: FileName) -> Self {
        FileHistory {
            names: vec![(event, name)],
            removed: NEVER,
            last_bytes: OnceCell::new(),
            chunks: Vec::new(),
            headers: Vec::new(),
            written: Vec::new(),
            revived: Vec::new(),
            longest: 0,
            syncs_issued: Vec::new(),
            syncs: Vec::new(),
        }
    }

    /// A file of which nothing is known but how long it was when something was told of it first.
    pub(crate) fn told_later(event: usize, name: FileName, length: u64) -> Self {
        let mut file = FileHistory::new(event, name);
        if length > 0 {
            let unknown = Chunk::new(0, length, Content::Slack, event);
            file.chunks.push(Chunk { is_damaged: true, ..unknown });
            file.longest = length;
        }
        file
    }

    /// A durable file that is there from the beginning: its chunks in their order, without a gap.
    pub(crate) fn found(name: FileName, chunks: Vec<Chunk>, headers: Vec<HeaderMark>) -> Self {
        let longest = chunks.last().map_or(0, |chunk| chunk.end);
        let durable = vec![(0, longest)];
        let (written, syncs) = (durable.clone(), durable);
        FileHistory { chunks, headers, longest, written, syncs, ..FileHistory::new(0, name) }
    }

    /// The same as it was at a moment, being so before anything else happens.
    pub(crate) fn frozen(mut self, moment: usize) -> Self {
        let dead: Vec<bool> =
            self.chunks.iter().map(|chunk| self.dead_since(chunk, moment).is_some()).collect();
        for (chunk, is_dead) in self.chunks.iter_mut().zip(dead) {
            (chunk.born, chunk.died) = (0, if is_dead { 0 } else { NEVER });
        }
        self.headers.iter_mut().for_each(|header| header.event = 0);
        self.revived.clear();
        self
    }

    /// The event that created it.
    pub fn created(&self) -> usize {
        self.names.first().map_or(NEVER, |(event, _)| *event)
    }

    /// Its name right after an event; the last one that it had once it was removed.
    pub fn name(&self, event: usize) -> &str {
        let known = self.names.partition_point(|(from, _)| *from <= event);
        self.names.get(known.saturating_sub(1)).map_or("", |(_, name)| name)
    }

    /// Bytes handed to it up to an event.
    pub fn length(&self, event: usize) -> u64 {
        self.known(event).iter().rev().find(|chunk| chunk.cut > event).map_or(0, |chunk| chunk.end)
    }

    /// What was appended up to an event.
    pub(crate) fn known(&self, event: usize) -> &[Chunk] {
        let known = self.chunks.partition_point(|chunk| chunk.born <= event);
        self.chunks.get(..known).unwrap_or_default()
    }

    fn append(&mut self, event: usize, start: u64, end: u64, content: Content) {
        self.longest = self.longest.max(end);
        self.chunks.push(Chunk::new(start, end, content, event));
    }

    /// What reaches beyond a length is no part of it any more.
    fn cut(&mut self, event: usize, length: u64) {
        for chunk in self.chunks.iter_mut().filter(|chunk| chunk.end > length) {
            chunk.cut = chunk.cut.min(event);
        }
    }

    /// Bytes that a crash right after an event would have left for sure.
    pub fn durable(&self, event: usize) -> u64 {
        let through = self.syncs.partition_point(|(from, _)| *from <= event);
        through.checked_sub(1).and_then(|last| self.syncs.get(last)).map_or(0, |(_, end)| *end)
    }

    /// Whether some of what was there right after an event was cut off later.
    pub fn is_cut_after(&self, event: usize) -> bool {
        self.known(event).iter().any(|chunk| event < chunk.cut && chunk.cut != NEVER)
    }

    /// Since which event a chunk is dead, if it is right after one.
    pub fn dead_since(&self, chunk: &Chunk, event: usize) -> Option<usize> {
        let is_then = |revived: &&Revived| revived.died <= event && event < revived.again;
        let earlier = self.revived_at(chunk.start).iter().find(is_then);
        let died = earlier.map_or(chunk.died, |revived| revived.died);
        Some(died).filter(|died| *died <= event && *died != NEVER)
    }

    /// When the chunk that begins there was brought back.
    pub(crate) fn revived_at(&self, start: u64) -> &[Revived] {
        let from = self.revived.partition_point(|revived| revived.start < start);
        let of_it = self.revived.get(from..).unwrap_or_default();
        of_it.split(|revived| revived.start != start).next().unwrap_or_default()
    }

    /// Bytes that had left the writer's buffer right after an event.
    pub fn written(&self, event: usize) -> u64 {
        let known = self.written.partition_point(|(from, _)| *from <= event);
        known.checked_sub(1).and_then(|last| self.written.get(last)).map_or(0, |(_, end)| *end)
    }

    /// Headers committed up to an event, oldest first.
    pub fn headers(&self, event: usize) -> &[HeaderMark] {
        let known = self.headers.partition_point(|header| header.event <= event);
        self.headers.get(..known).unwrap_or_default()
    }

    /// Where headers were appended, committed or not, up to an event.
    pub fn header_chunks(&self, event: usize) -> impl Iterator<Item = u64> {
        let headers = move |chunk: &&Chunk| chunk.content == Content::Header && chunk.cut > event;
        self.known(event).iter().filter(headers).map(|chunk| chunk.start)
    }

    /// With the event and the length of each growth, oldest first.
    pub fn growth(&self) -> impl Iterator<Item = (usize, u64)> {
        self.chunks.iter().map(|chunk| (chunk.born, chunk.end))
    }

    /// What the bytes from 0 to the file's length are part of right after an event, without a gap.
    /// What lies between chunks is slack, and came with what follows.
    fn stretches(&self, event: usize) -> impl Iterator<Item = Chunk> {
        let mut end = 0;
        self.known(event).iter().filter(move |chunk| chunk.cut > event).flat_map(move |chunk| {
            let gap = Chunk {
                start: end,
                end: chunk.start,
                content: Content::Slack,
                is_damaged: false,
                ..*chunk
            };
            end = chunk.end;
            [gap, *chunk].into_iter().filter(|stretch| stretch.start < stretch.end)
        })
    }

    /// What the bytes from 0 to the file's length hold right after an event: start, end and class,
    /// without a gap.
    pub fn segments(&self, event: usize) -> impl Iterator<Item = (u64, u64, Class)> {
        self.stretches(event).map(move |chunk| {
            let is_live = self.dead_since(&chunk, event).is_none();
            (chunk.start, chunk.end, Class::of(&chunk, is_live))
        })
    }

    /// What a byte is part of right after an event.
    pub fn chunk_at(&self, byte: u64, event: usize) -> Option<Chunk> {
        self.stretches(event).find(|chunk| byte < chunk.end)
    }

    /// A header was committed: what its state does not reach, and was appended before, is dead.
    pub(crate) fn take_state(&mut self, reached: Option<&[u64]>, header: HeaderMark) {
        let event = header.event;
        self.headers.push(header);
        let Some(reached) = reached else { return };
        let is_known = |chunk: &Chunk| chunk.content != Content::Header && chunk.cut == NEVER;
        let mut revived = Vec::new();
        for chunk in self.chunks.iter_mut().filter(|chunk| is_known(chunk)) {
            match (reached.binary_search(&chunk.start).is_ok(), chunk.died) {
                (false, NEVER) => chunk.died = event,
                (true, died) if died != NEVER => {
                    revived.push(Revived { start: chunk.start, died, again: event });
                    chunk.died = NEVER;
                }
                _ => {}
            }
        }
        self.add_revived(revived);
    }

    /// Adds what was brought back, in the order in which it lies in the file.
    fn add_revived(&mut self, revived: Vec<Revived>) {
        let mut earlier = std::mem::take(&mut self.revived).into_iter().peekable();
        for later in revived {
            while let Some(earlier) = earlier.next_if(|earlier| earlier.start <= later.start) {
                self.revived.push(earlier);
            }
            self.revived.push(later);
        }
        self.revived.extend(earlier);
    }

    /// Whether what was appended last at a position was cut off since.
    pub(crate) fn is_cut_off(&self, position: u64) -> bool {
        let last = self.chunks.iter().rev().find(|chunk| chunk.start == position);
        last.is_some_and(|chunk| chunk.cut != NEVER)
    }

    /// A header was committed, and what its state reaches is not known.
    pub(crate) fn take_header(&mut self, event: usize, position: u64, update_seq: u64) {
        let chunk = self.chunks.iter().rev().find(|chunk| chunk.start == position);
        self.headers.push(HeaderMark {
            position,
            end: chunk.map_or(position, |chunk| chunk.end),
            previous: self.headers.last().map(|last| last.position),
            update_seq,
            event,
            fragmentation: None,
        });
    }

    /// It was opened at a header: all behind that is gone, and all up to it durable.
    pub(crate) fn take_opening(&mut self, event: usize, position: u64) {
        let header = self.chunks.iter().rev().find(|chunk| chunk.start == position);
        let end = header.map_or(position, |chunk| chunk.end);
        self.recover(event, end, end);
        if self.headers.last().is_none_or(|last| last.position != position) {
            self.take_header(event, position, 0);
        }
    }

    /// At an event a state was in charge that used nothing of what is live behind it but what is used
    /// for sure: the rest was dead then, and came back with a later event.
    pub(crate) fn dead_at(&mut self, event: usize, is_used: &[bool]) {
        let mut revived = Vec::new();
        let known = self.chunks.partition_point(|chunk| chunk.born <= event);
        for (chunk, is_used) in self.chunks.iter().take(known).zip(is_used) {
            let is_live = chunk.died > event && chunk.content != Content::Header;
            if *is_used || !is_live {
                continue;
            }
            let from = self.revived.partition_point(|revived| revived.start < chunk.start);
            let of_it = self.revived.iter_mut().skip(from);
            let mut of_it = of_it.take_while(|revived| revived.start == chunk.start);
            match of_it.find(|revived| revived.died == event + 1) {
                Some(later) => later.died = event,
                None => {
                    revived.push(Revived { start: chunk.start, died: event, again: event + 1 });
                }
            }
        }
        self.add_revived(revived);
    }

    /// A crash left so many bytes, and the state in charge ends earlier. What lies behind that state is
    /// whatever happened to survive.
    pub(crate) fn recover(&mut self, event: usize, length: u64, state_end: u64) {
        self.cut(event, state_end);
        self.written.push((event, length));
        if length > state_end {
            self.append(event, state_end, length, Content::Slack);
        }
        self.syncs_issued.clear();
        self.syncs.push((event, length));
    }

    /// Something happened to it.
    pub(crate) fn note(&mut self, index: usize, event: &Event) {
        match event {
            Event::Appended { position, end, content, .. } => {
                self.append(index, *position, *end, *content);
            }
            Event::Written { end, .. } => self.written.push((index, self.written(index).max(*end))),
            Event::Truncated { length, .. } => {
                self.written.push((index, *length));
                self.cut(index, *length);
            }
            // Whatever was being synced is not durable for it.
            Event::Poisoned { .. } => self.syncs_issued.clear(),
            Event::SyncIssued { .. } => self.syncs_issued.push(self.length(index)),
            Event::SyncCompleted { .. } if !self.syncs_issued.is_empty() => {
                self.syncs.push((index, self.syncs_issued.remove(0)));
            }
            Event::Removed { .. } => self.removed = index,
            Event::Renamed { to, .. } => self.names.push((index, to.clone())),
            _ => {}
        }
    }
}
