//! Which chunks of a file the states use that its headers stand for, from the newest backwards.
//!
//! Whatever a state uses that the one behind it does not has died with the latter. A subtree that was
//! seen already is not gone into again, so all states together cost what their nodes cost.

use tailswap::btree::{Token, TreeWalk};
use tailswap::error::Error;
use tailswap::event::Content;
use tailswap::format::checksum::Checksum;
use tailswap::format::docinfo::DocInfoRef;
use tailswap::format::pointer::TreeKind;
use tailswap::store::Snapshot;

use super::bytes::HeldBytes;
use super::scan::chunk_at;
use crate::file_history::{Chunk, FileHistory, NEVER};
use crate::look::TREES;

/// A walk over all trees of one state.
struct Reach<'a> {
    file: &'a mut FileHistory,
    /// Counted from 0, the oldest first.
    header: usize,
    /// From when on what only this state uses is dead.
    died: usize,
    /// For each chunk whether this state uses it; empty where what was seen is not looked at again.
    used: Vec<bool>,
    /// What trees point at and no scan has found, by where it begins.
    missed: Vec<(u64, Content)>,
}

/// Tells of every chunk that a state uses that it does. `header` is which one it is, `is_newest`
/// whether it is the file's newest; a state that was `given_up` by a rollback does not use all that
/// those before and behind it do. Returns what was wrong on the way.
pub(super) fn reach(
    file: &mut FileHistory,
    bytes: &HeldBytes,
    state: &Snapshot,
    header: usize,
    is_newest: bool,
    given_up: bool,
) -> Vec<Error> {
    let died = if is_newest { NEVER } else { header + 1 };
    let used = if given_up { vec![false; file.chunks.len()] } else { Vec::new() };
    let mut reach = Reach { file, header, died, used, missed: Vec::new() };
    let mut errors = Vec::new();
    for tree in TREES {
        let mut walk = state.walk(tree);
        loop {
            match reach.step(tree, &mut walk) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    errors.push(error);
                    walk.skip();
                }
            }
        }
    }
    let Reach { used, missed, .. } = reach;
    if given_up {
        file.dead_at(header, &used);
    }
    carve(file, bytes, state.file().checksum, &missed, died);
    errors
}

impl Reach<'_> {
    /// Goes on with a walk; false at its end. After an error, what the walk stands before is to be
    /// passed over.
    fn step(&mut self, tree: TreeKind, walk: &mut TreeWalk) -> Result<bool, Error> {
        match walk.peek()? {
            None => return Ok(false),
            Some(Token::Subtree(pointer)) => {
                let content = match tree {
                    TreeKind::BySeq => Content::BySeqNode,
                    TreeKind::ById => Content::ByIdNode,
                    TreeKind::Local => Content::LocalNode,
                };
                match self.is_new(pointer.position, content) {
                    true => walk.descend()?,
                    false => walk.skip(),
                }
            }
            Some(Token::Entry(key, value)) => {
                let info = (tree == TreeKind::BySeq).then(|| DocInfoRef::decode_by_seq(key, value));
                if let Some(info) = info.transpose().map_err(|damage| walk.corrupt(damage))?
                    && info.position != 0
                {
                    self.is_new(info.position, Content::Body { seq: info.seq });
                }
                walk.skip();
            }
        }
        Ok(true)
    }

    /// Notes that the state uses a chunk; whether it is seen for the first time.
    fn is_new(&mut self, position: u64, content: Content) -> bool {
        let chunks = &mut self.file.chunks;
        let place = chunks.partition_point(|chunk| chunk.start < position);
        let is_there = |chunk: &&mut Chunk| {
            chunk.start == position && !matches!(chunk.content, Content::Header | Content::Slack)
        };
        let Some(chunk) = chunks.get_mut(place).filter(is_there) else {
            let place = self.missed.binary_search_by_key(&position, |(start, _)| *start);
            let _ = place.map_err(|place| self.missed.insert(place, (position, content)));
            return place.is_err();
        };
        chunk.content = content;
        let was_seen = match self.used.get_mut(place) {
            Some(used) => std::mem::replace(used, true),
            None => chunk.died > self.header,
        };
        chunk.died = chunk.died.max(self.died);
        !was_seen
    }
}

/// What trees point at where nobody knew what lies there becomes chunks of their own, as long as it
/// runs into nothing that is known.
fn carve(
    file: &mut FileHistory,
    bytes: &HeldBytes,
    checksum: Checksum,
    missed: &[(u64, Content)],
    died: usize,
) {
    if missed.is_empty() {
        return;
    }
    let mut carved: Vec<Chunk> = Vec::with_capacity(file.chunks.len() + missed.len());
    for chunk in std::mem::take(&mut file.chunks) {
        let mut rest = chunk;
        let first = missed.partition_point(|(start, _)| *start < chunk.start);
        let there = missed.iter().skip(first).take_while(|(start, _)| *start < chunk.end);
        for (start, content) in there.filter(|_| chunk.content == Content::Slack) {
            let found = chunk_at(bytes, checksum, *start);
            let Some(found) = found.filter(|found| found.end <= rest.end) else { continue };
            if *start < rest.start {
                continue;
            }
            let (end, is_damaged) = (found.end, !found.is_right);
            carved.push(Chunk { end: *start, ..rest });
            carved.push(Chunk { start: *start, end, content: *content, died, is_damaged, ..rest });
            rest.start = end;
        }
        carved.push(rest);
    }
    carved.retain(|chunk| chunk.start < chunk.end);
    file.chunks = carved;
}
