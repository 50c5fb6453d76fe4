//! What a header's commit wrote: whether all of it is there, and writing it again.
//!
//! A commit with one sync shows its header before what that points at is known to be on the disk, so
//! a crash can leave the one without the other. Only the newest header of a file can be such a one: a
//! commit begins when the one before is acknowledged, or cut off and the cut synced; and a process
//! that opens the file makes durable what it goes on from before it appends.

use super::open::PassedOver;
use super::snapshot::Snapshot;
use crate::btree::{Token, TreeWalk};
use crate::canary::{Canary, planted};
use crate::chunklog::{ChunkPieces, ChunkReader, LogFile};
use crate::error::{Damage, Error, Result};
use crate::event::{Event, Events};
use crate::format::block;
use crate::format::docinfo::DocInfoRef;
use crate::format::header::POINTS_BACK_FROM;
use crate::format::pointer::TreeKind;

/// Bytes that are written again at a time.
const PIECE: u64 = 256 << 10;

/// Verifies every chunk that a header's commit wrote, and returns where the first of them lies. What
/// its state shares with the one that it came from lies before that one's header, and is not read.
///
/// The first header of a file that was created without one, as a compaction's target is, is taken for
/// whole: its file got its name only after a sync. So are those of versions that do not say what they
/// came from; they are never committed with one sync.
///
/// # Errors
/// Damage, where a chunk is not there as it was written; a failure of the device.
pub(super) fn verify(snapshot: &Snapshot) -> Result<u64> {
    let (header, position) = (snapshot.header(), snapshot.position());
    let since = match header.previous {
        _ if header.disk_version < POINTS_BACK_FROM => return Ok(position),
        // As in every compacted file: created without a header, it has none before this.
        Some(0) if !is_header(snapshot.file(), 0)? => return Ok(position),
        Some(previous) if previous < position => previous,
        // It came from nothing, as after a rollback to before all that the file knows.
        _ => 0,
    };
    if planted(Canary::OpenWithoutVerifying) {
        return Ok(position);
    }
    let (bodies, first) = (snapshot.reader(ChunkReader::WALK_WINDOW), position);
    let (left, piece) = (position - since, Vec::new());
    let mut tail = Tail { snapshot, since, first, left, bodies, piece };
    for tree in [TreeKind::BySeq, TreeKind::ById, TreeKind::Local] {
        tail.verify_tree(tree)?;
    }
    Ok(tail.first)
}

/// Whether a header's block begins at this position, as its type byte says.
fn is_header(file: &LogFile, position: u64) -> Result<bool> {
    let mut first = [block::DATA];
    file.read_at(position, &mut first)?;
    Ok(first == [block::HEADER])
}

struct Tail<'a> {
    snapshot: &'a Snapshot,
    /// Chunks before this are shared.
    since: u64,
    /// The first of the others, as far as they were met.
    first: u64,
    /// Bytes that those not met yet can take: each is met once, whatever a damaged file says.
    left: u64,
    bodies: ChunkReader,
    piece: Vec<u8>,
}

impl Tail<'_> {
    fn verify_tree(&mut self, tree: TreeKind) -> Result<()> {
        let mut walk = self.snapshot.walk(tree);
        loop {
            match walk.peek()? {
                None => return Ok(()),
                Some(Token::Subtree(pointer)) if pointer.position < self.since => walk.skip(),
                Some(Token::Subtree(pointer)) => {
                    let head = walk.reader().head(pointer.position, u64::MAX, "tree node")?;
                    self.meet(pointer.position, head.disk_size())?;
                    walk.descend()?;
                }
                Some(Token::Entry(..)) => {
                    walk.check_order()?;
                    if tree == TreeKind::BySeq {
                        self.verify_body(&walk)?;
                    }
                    walk.skip();
                }
            }
        }
    }

    /// Verifies the body of the document before whose entry a walk stands.
    fn verify_body(&mut self, walk: &TreeWalk) -> Result<()> {
        let Some((key, value)) = walk.entry() else { return Ok(()) };
        let info = DocInfoRef::decode_by_seq(key, value).map_err(|damage| walk.corrupt(damage))?;
        // Where there is no body, the position is 0.
        if info.position == 0 || info.position < self.since {
            return Ok(());
        }
        let (reader, before) = (&mut self.bodies, self.snapshot.position());
        let mut pieces = ChunkPieces::begin(reader, info.position, before, "document body")?;
        while !pieces.is_complete() {
            self.piece.clear();
            pieces.next(reader, &mut self.piece)?;
        }
        self.meet(info.position, pieces.head().disk_size())
    }

    fn meet(&mut self, position: u64, disk_size: u64) -> Result<()> {
        self.first = self.first.min(position);
        let overlap = || {
            let what = "chunks overlap: they take more bytes than there are".to_owned();
            Error::corrupt(&self.snapshot.file().name, position, Damage::Trees(what))
        };
        self.left = self.left.checked_sub(disk_size).ok_or_else(overlap)?;
        Ok(())
    }
}

/// Takes back a header whose commit was cut short: its block holds data from now on. Returns whether
/// there was anything to take back.
pub(super) fn take_back(
    file: &LogFile,
    cut_short: Option<&PassedOver>,
    events: &Events,
) -> Result<bool> {
    let mut taken_back = false;
    if let Some(PassedOver { offset, error }) = cut_short {
        file.write_at(*offset, &[block::DATA], events)?;
        let (file, position, error) = (file.name.clone(), *offset, error.to_string());
        events.emit(|| Event::CommitTakenBack { file, position, error });
        taken_back = true;
    }
    // Of a header that was to follow, a type byte alone may have reached the disk: no opening looks
    // at that, but what is appended would come to lie in its block.
    let last = file.len()?.saturating_sub(1);
    if block::is_boundary(last) && last > 0 && is_header(file, last)? {
        file.write_at(last, &[block::DATA], events)?;
        taken_back = true;
    }
    Ok(taken_back)
}

/// Writes the bytes of a file from `first` on again as they are, and sets its length again: if a sync
/// of them failed, the system takes them for clean, and would sync them no more. That goes for what was
/// taken back behind the newest header too.
pub(super) fn write_again(file: &LogFile, first: u64, events: &Events) -> Result<()> {
    let length = file.len()?;
    // The same length at once would change nothing, and so leave nothing for the sync to do.
    file.truncate(length + 1, events)?;
    file.truncate(length, events)?;
    let mut position = first;
    while position < length {
        let mut piece = vec![0; PIECE.min(length - position) as usize];
        let read = file.read_at(position, &mut piece)?;
        piece.truncate(read);
        if piece.is_empty() {
            let damage = Damage::ShortRead { what: "newest commit" };
            return Err(Error::corrupt(&file.name, position, damage));
        }
        file.write_at(position, &piece, events)?;
        position += piece.len() as u64;
    }
    Ok(())
}
