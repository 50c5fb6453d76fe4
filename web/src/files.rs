//! What every byte of every file held, at every moment of a run.
//!
//! Which bytes were appended as what is told by events; which of them a state still uses is found by
//! walking the trees of its header with the engine's own walk. A tree node or body that one header no
//! longer reaches is reached by no later one, so one number says for how long it lived; only a rollback
//! brings back what was dead.

use std::collections::BTreeSet;
use std::sync::Arc;

use tailswap::Result;
use tailswap::btree::Token;
use tailswap::device::{Access, BlockDevice, Volume};
use tailswap::error::{Error, IoOp};
use tailswap::event::{Content, Event, FileName};
use tailswap::format::docinfo::DocInfoRef;
use tailswap::format::names::{file_name, parse_file_name};
use tailswap::format::pointer::TreeKind;
use tailswap::limits::BLOCK_SIZE;
use tailswap::sim::world::Stamped;
use tailswap::store::{OpenMode, Snapshot, at_offset, find_newest};

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
}

impl Class {
    /// All of them, in the order of their numbers.
    pub const ALL: [Class; 8] = [
        Class::Header,
        Class::LiveBody,
        Class::DeadBody,
        Class::BySeqNode,
        Class::ByIdNode,
        Class::LocalNode,
        Class::DeadNode,
        Class::Slack,
    ];

    fn of(content: Content, is_live: bool) -> Self {
        match (content, is_live) {
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
    cut: usize,
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
struct Revived {
    start: u64,
    died: usize,
    again: usize,
}

/// One file from its creation on.
#[derive(Debug)]
pub struct FileHistory {
    names: Vec<(usize, FileName)>,
    /// The event with which its name went away.
    pub removed: usize,
    chunks: Vec<Chunk>,
    headers: Vec<HeaderMark>,
    /// From an event on, bytes up to an end have left the writer's buffer.
    written: Vec<(usize, u64)>,
    /// What a rollback brought back.
    revived: Vec<Revived>,
    /// As long as it ever was, in bytes.
    pub longest: u64,
    /// Ends of what syncs that were issued cover.
    syncs_issued: Vec<u64>,
    /// From an event on, bytes up to an end are durable.
    syncs: Vec<(usize, u64)>,
}

impl FileHistory {
    fn new(event: usize, name: FileName) -> Self {
        FileHistory {
            names: vec![(event, name)],
            removed: NEVER,
            chunks: Vec::new(),
            headers: Vec::new(),
            written: Vec::new(),
            revived: Vec::new(),
            longest: 0,
            syncs_issued: Vec::new(),
            syncs: Vec::new(),
        }
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
    fn known(&self, event: usize) -> &[Chunk] {
        let known = self.chunks.partition_point(|chunk| chunk.born <= event);
        self.chunks.get(..known).unwrap_or_default()
    }

    fn append(&mut self, event: usize, start: u64, end: u64, content: Content) {
        self.longest = self.longest.max(end);
        self.chunks.push(Chunk { start, end, content, born: event, died: NEVER, cut: NEVER });
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
        let is_of_it = |revived: &&Revived| {
            revived.start == chunk.start && revived.died <= event && event < revived.again
        };
        let earlier = self.revived.iter().find(is_of_it);
        let died = earlier.map_or(chunk.died, |revived| revived.died);
        Some(died).filter(|died| *died <= event && *died != NEVER)
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

    /// What the bytes from 0 to the file's length hold right after an event: start, end and class,
    /// without a gap. What lies between chunks is slack.
    pub fn segments(&self, event: usize) -> impl Iterator<Item = (u64, u64, Class)> {
        let mut end = 0;
        self.known(event).iter().filter(move |chunk| chunk.cut > event).flat_map(move |chunk| {
            let gap = (end < chunk.start).then_some((end, chunk.start, Class::Slack));
            end = chunk.end;
            let class = Class::of(chunk.content, self.dead_since(chunk, event).is_none());
            gap.into_iter().chain([(chunk.start, chunk.end, class)])
        })
    }

    /// What a byte is part of right after an event. What lies between chunks came with what follows.
    pub fn chunk_at(&self, byte: u64, event: usize) -> Option<Chunk> {
        let mut before = 0;
        for chunk in self.known(event).iter().filter(|chunk| chunk.cut > event) {
            if byte < chunk.start {
                let gap = (before, chunk.start, Content::Slack);
                return Some(Chunk { start: gap.0, end: gap.1, content: gap.2, ..*chunk });
            }
            if byte < chunk.end {
                return Some(*chunk);
            }
            before = chunk.end;
        }
        None
    }

    /// For each class the bytes that it has right after an event, in the order of [`Class::ALL`].
    pub fn class_bytes(&self, event: usize) -> [u64; 8] {
        let mut bytes = [0; 8];
        for (start, end, class) in self.segments(event) {
            bytes[class as usize] += end - start;
        }
        bytes
    }

    /// Which blocks are not the same right after one event and right after another.
    pub fn changed_blocks(&self, one: usize, other: usize) -> Vec<bool> {
        let (first, last) = (one.min(other), one.max(other));
        let is_between = |event: usize| first < event && event <= last;
        let mut changed = vec![false; self.longest.div_ceil(BLOCK_SIZE) as usize];
        let mut gap_from = 0;
        for chunk in self.known(last) {
            let is_revived = |revived: &Revived| {
                revived.start == chunk.start
                    && (is_between(revived.died) || is_between(revived.again))
            };
            if is_between(chunk.born)
                || is_between(chunk.died)
                || is_between(chunk.cut)
                || self.revived.iter().any(is_revived)
            {
                // With the slack before it.
                for (block, ..) in blocks_of(chunk.start.min(gap_from), chunk.end) {
                    if let Some(is_changed) = changed.get_mut(block as usize) {
                        *is_changed = true;
                    }
                }
            }
            gap_from = chunk.end;
        }
        changed
    }

    /// For each block the class that has most of its bytes right after an event; a header has its
    /// block for itself.
    pub fn block_map(&self, event: usize) -> Vec<u8> {
        self.block_classes(event, |_| true).into_iter().map(|(_, class)| class as u8).collect()
    }

    /// The same, of the blocks that are wanted, each with its number.
    pub fn block_classes(
        &self,
        event: usize,
        is_wanted: impl Fn(u64) -> bool,
    ) -> Vec<(u64, Class)> {
        let mut classes = Vec::new();
        let (mut current, mut bytes) = (None, [0_u64; 8]);
        for (start, end, class) in self.segments(event) {
            for (block, from, to) in blocks_of(start, end).filter(|(block, ..)| is_wanted(*block)) {
                if current != Some(block) {
                    classes.extend(current.map(|before| (before, most(&bytes))));
                    (current, bytes) = (Some(block), [0; 8]);
                }
                bytes[class as usize] += to - from;
            }
        }
        classes.extend(current.map(|last| (last, most(&bytes))));
        classes
    }

    /// Whether what was appended last at a position was cut off since.
    fn is_cut_off(&self, position: u64) -> bool {
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
    fn take_opening(&mut self, event: usize, position: u64) {
        let header = self.chunks.iter().rev().find(|chunk| chunk.start == position);
        let end = header.map_or(position, |chunk| chunk.end);
        self.cut(event, end);
        self.written.push((event, end));
        self.syncs_issued.clear();
        self.syncs.push((event, end));
        if self.headers.last().is_none_or(|last| last.position != position) {
            self.take_header(event, position, 0);
        }
    }

    /// A header was committed: what its state does not reach, and was appended before, is dead.
    fn take_state(&mut self, event: usize, snapshot: &Snapshot) -> Result<()> {
        let reached = reached(snapshot)?;
        let is_known = |chunk: &Chunk| chunk.content != Content::Header && chunk.cut == NEVER;
        for chunk in self.chunks.iter_mut().filter(|chunk| is_known(chunk)) {
            match (reached.contains(&chunk.start), chunk.died) {
                (false, NEVER) => chunk.died = event,
                (true, died) if died != NEVER => {
                    self.revived.push(Revived { start: chunk.start, died, again: event });
                    chunk.died = NEVER;
                }
                _ => {}
            }
        }
        let header = snapshot.header();
        self.headers.push(HeaderMark {
            position: snapshot.position(),
            end: snapshot.end(),
            previous: header.previous,
            update_seq: header.update_seq,
            event,
            fragmentation: Some(snapshot.fragmentation()?),
        });
        Ok(())
    }
}

impl FileHistory {
    /// A crash left so much of it, and its newest state is in charge. What lies behind that state is
    /// whatever happened to survive.
    fn recover(&mut self, event: usize, volume: &dyn Volume) -> Result<()> {
        let name = FileName::from(self.name(event));
        let length = open(volume, &name)?.len();
        let length = length.map_err(|source| Error::io(IoOp::Length, &name, None, source))?;
        // A file under a name for unfinished work, which could not be removed, promises nothing.
        let is_whole = parse_file_name(&name).is_some();
        let state = if is_whole { Some(newest(volume, &name)?) } else { None };
        self.cut(event, state.as_ref().map_or(length, Snapshot::end));
        self.written.push((event, length));
        let known = self.length(event);
        if length > known {
            self.append(event, known, length, Content::Slack);
        }
        self.syncs_issued.clear();
        self.syncs.push((event, length));
        // Nobody was told of a header that the crash came upon before its sync was through.
        let last = self.headers.last().map(|last| last.position);
        match state.filter(|state| last != Some(state.position())) {
            Some(state) => self.take_state(event, &state),
            None => Ok(()),
        }
    }
}

/// Positions of the bodies and nodes that a state uses.
fn reached(snapshot: &Snapshot) -> Result<BTreeSet<u64>> {
    let mut reached = BTreeSet::new();
    for tree in [TreeKind::BySeq, TreeKind::ById, TreeKind::Local] {
        let mut walk = snapshot.walk(tree);
        while let Some(token) = walk.peek()? {
            match token {
                Token::Subtree(pointer) => {
                    reached.insert(pointer.position);
                    walk.descend()?;
                }
                Token::Entry(key, value) => {
                    if tree == TreeKind::BySeq {
                        let info = DocInfoRef::decode_by_seq(key, value);
                        reached.insert(info.map_err(|damage| walk.corrupt(damage))?.position);
                    }
                    walk.skip();
                }
            }
        }
    }
    Ok(reached)
}

/// The class with most bytes; a header's, if it has any.
fn most(bytes: &[u64; 8]) -> Class {
    let most = Class::ALL.into_iter().max_by_key(|class| bytes[*class as usize]);
    match bytes[Class::Header as usize] {
        0 => most.unwrap_or(Class::Slack),
        _ => Class::Header,
    }
}

/// The blocks that bytes lie in, each with where they begin and end in the file.
pub fn blocks_of(start: u64, end: u64) -> impl Iterator<Item = (u64, u64, u64)> {
    (start / BLOCK_SIZE..end.div_ceil(BLOCK_SIZE)).map(move |block| {
        let from = block * BLOCK_SIZE;
        (block, start.max(from), end.min(from + BLOCK_SIZE))
    })
}

/// All files of a run, those that were removed among them.
#[derive(Debug, Default)]
pub struct Files {
    files: Vec<FileHistory>,
}

impl Files {
    /// In the order in which they were created.
    pub fn all(&self) -> &[FileHistory] {
        &self.files
    }

    /// The file of this name right after an event.
    pub fn named(&self, name: &str, event: usize) -> Option<usize> {
        let there = |file: &FileHistory| file.created() <= event && event < file.removed;
        self.files.iter().rposition(|file| there(file) && file.name(event) == name)
    }

    /// Takes in events that have just happened on this volume, counted from `first`.
    ///
    /// # Errors
    /// Those of reading the states that were committed.
    pub fn take_in(&mut self, first: usize, events: &[Stamped], volume: &dyn Volume) -> Result<()> {
        let mut committed = Vec::new();
        for (index, stamped) in (first..).zip(events) {
            let found = self.note(index, &stamped.event);
            if let (Some(found), Event::HeaderCommitted { position, update_seq, .. }) =
                (found, &stamped.event)
            {
                committed.push((index, found, *position, *update_seq));
            }
        }
        // By now a file may have another name than when its header was committed.
        let last = first + events.len();
        for (index, found, position, update_seq) in committed {
            let Some(file) = self.files.get_mut(found) else { continue };
            // What was cut off or removed at once can be looked at no more.
            if file.removed != NEVER || file.is_cut_off(position) {
                file.take_header(index, position, update_seq);
                continue;
            }
            let name = FileName::from(file.name(last));
            file.take_state(index, &at_offset(&newest(volume, &name)?, position)?)?;
        }
        Ok(())
    }

    /// Power was lost or the process died, and a new one opened what it found, with these events.
    /// What that was nobody tells, but it can be seen: only the file in charge is left.
    ///
    /// # Errors
    /// Those of reading its state.
    pub fn take_over(
        &mut self,
        first: usize,
        events: &[Stamped],
        volume: &dyn Volume,
    ) -> Result<()> {
        let left = |name: &str| volume.open(name, Access::Read).is_ok();
        let is_swept = |name: &str| {
            let removes =
                |event: &Event| matches!(event, Event::Removed { file } if **file == *name);
            events.iter().any(|stamped| removes(&stamped.event))
        };
        for file in self.files.iter_mut().filter(|file| file.removed == NEVER) {
            let name = file.name(first).to_owned();
            if !left(&name) && !is_swept(&name) {
                file.removed = first;
            }
        }
        self.take_in(first, events, volume)?;
        for file in self.files.iter_mut().filter(|file| file.removed == NEVER) {
            file.recover(first, volume)?;
        }
        Ok(())
    }

    /// Takes in an event of files whose bytes are not there, only what events tell of them. What was in
    /// a file before they began is slack.
    pub(crate) fn take_told(&mut self, index: usize, event: &Event) {
        let opened = match event {
            Event::VBucketOpened { vbucket, revision, position } => {
                Some((file_name(*vbucket, *revision).into(), *position))
            }
            _ => None,
        };
        let (name, length) = match event {
            Event::Appended { file, position, .. } => (Some(file), *position),
            Event::CompactionStarted { source, position, .. } => (Some(source), *position),
            _ => (opened.as_ref().map(|(name, _)| name), opened.as_ref().map_or(0, |of| of.1)),
        };
        if let Some(name) = name.filter(|name| self.named(name, index).is_none()) {
            let mut file = FileHistory::new(index, name.clone());
            if length > 0 {
                file.append(index, 0, length, Content::Slack);
            }
            self.files.push(file);
        }
        let found = match &opened {
            Some((name, _)) => self.named(name, index),
            None => self.note(index, event),
        };
        let Some(file) = found.and_then(|found| self.files.get_mut(found)) else { return };
        match (event, opened) {
            (Event::HeaderCommitted { position, update_seq, .. }, _) => {
                file.take_header(index, *position, *update_seq);
            }
            (_, Some((_, position))) => file.take_opening(index, position),
            _ => {}
        }
    }

    /// Notes an event; which file it is about, if it is about one.
    fn note(&mut self, index: usize, event: &Event) -> Option<usize> {
        let name = match event {
            Event::Created { file } => {
                self.files.push(FileHistory::new(index, file.clone()));
                return self.files.len().checked_sub(1);
            }
            Event::Appended { file, .. }
            | Event::Written { file, .. }
            | Event::Truncated { file, .. }
            | Event::Poisoned { file }
            | Event::SyncIssued { file }
            | Event::SyncCompleted { file }
            | Event::HeaderCommitted { file, .. }
            | Event::Removed { file }
            | Event::Renamed { from: file, .. } => file,
            _ => return None,
        };
        let found = self.named(name, index)?;
        let file = self.files.get_mut(found)?;
        match event {
            Event::Appended { position, end, content, .. } => {
                file.append(index, *position, *end, *content);
            }
            Event::Written { end, .. } => file.written.push((index, file.written(index).max(*end))),
            Event::Truncated { length, .. } => {
                file.written.push((index, *length));
                file.cut(index, *length);
            }
            // Whatever was being synced is not durable for it.
            Event::Poisoned { .. } => file.syncs_issued.clear(),
            Event::SyncIssued { .. } => file.syncs_issued.push(file.length(index)),
            Event::SyncCompleted { .. } if !file.syncs_issued.is_empty() => {
                file.syncs.push((index, file.syncs_issued.remove(0)));
            }
            Event::Removed { .. } => file.removed = index,
            Event::Renamed { to, .. } => file.names.push((index, to.clone())),
            _ => {}
        }
        Some(found)
    }
}

fn open(volume: &dyn Volume, name: &FileName) -> Result<Arc<dyn BlockDevice>> {
    volume.open(name, Access::Read).map_err(|source| Error::io(IoOp::Open, name, None, source))
}

/// The newest state in a file.
fn newest(volume: &dyn Volume, name: &FileName) -> Result<Snapshot> {
    Ok(find_newest(name, open(volume, name)?, OpenMode::Strict)?.0)
}
