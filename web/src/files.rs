//! What every byte of every file held, at every moment of a run.
//!
//! Which bytes were appended as what is told by events; which of them a state still uses is found by
//! walking the trees of its header with the engine's own walk. A tree node or body that one header no
//! longer reaches is reached by no later one, so one number says for how long it lived; only a rollback
//! brings back what was dead.

use std::sync::Arc;

use tailswap::Result;
use tailswap::btree::Token;
use tailswap::device::{Access, BlockDevice, Volume};
use tailswap::error::{Error, IoOp};
use tailswap::event::{Event, FileName};
use tailswap::format::docinfo::DocInfoRef;
use tailswap::format::names::{file_name, parse_file_name};
use tailswap::format::pointer::TreeKind;
use tailswap::sim::world::Stamped;
use tailswap::store::{OpenMode, Snapshot, at_offset, find_newest};

use crate::file_history::{FileHistory, HeaderMark, NEVER};

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

    /// A file that is there before anything happens.
    pub(crate) fn begin_with(&mut self, file: FileHistory) {
        self.files.push(file);
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
            take_state(file, index, &at_offset(&newest(volume, &name)?, position)?)?;
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
            recover(file, first, volume)?;
        }
        Ok(())
    }

    /// Takes in an event of files whose bytes are not there, only what events tell of them. What was in
    /// a file before they began is not known.
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
            self.files.push(FileHistory::told_later(index, name.clone(), length));
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
        self.files.get_mut(found)?.note(index, event);
        Some(found)
    }
}

/// A crash left so much of a file, and its newest state is in charge.
fn recover(file: &mut FileHistory, event: usize, volume: &dyn Volume) -> Result<()> {
    let name = FileName::from(file.name(event));
    let length = open(volume, &name)?.len();
    let length = length.map_err(|source| Error::io(IoOp::Length, &name, None, source))?;
    // A file under a name for unfinished work, which could not be removed, promises nothing; of one that
    // could not be opened nothing changed.
    let state = match newest(volume, &name) {
        _ if parse_file_name(&name).is_none() => None,
        Err(error) if error.is_damage() => {
            file.recover(event, length, length);
            return Ok(());
        }
        state => Some(state?),
    };
    // Nobody was told of a header that the crash came upon before its sync was through.
    let last = file.headers(event).last().map(|last| last.position);
    let known = file.length(event).min(length);
    file.recover(event, length, state.as_ref().map_or(known, Snapshot::end));
    match state.filter(|state| last != Some(state.position())) {
        Some(state) => take_state(file, event, &state),
        None => Ok(()),
    }
}

fn take_state(file: &mut FileHistory, event: usize, state: &Snapshot) -> Result<()> {
    let mark = HeaderMark {
        position: state.position(),
        end: state.end(),
        previous: state.header().previous,
        update_seq: state.header().update_seq,
        event,
        fragmentation: Some(state.fragmentation()?),
    };
    let reached = match reached(state) {
        // What lies behind damage nobody knows: it counts as what it was.
        Err(error) if error.is_damage() => None,
        reached => Some(reached?),
    };
    file.take_state(reached.as_deref(), mark);
    Ok(())
}

/// Positions of the bodies and nodes that a state uses, rising.
fn reached(snapshot: &Snapshot) -> Result<Vec<u64>> {
    // In pairs, as the engine sorts what has positions: another sort would take a kilobyte of the download.
    let mut reached: Vec<(u64, usize)> = Vec::new();
    for tree in [TreeKind::BySeq, TreeKind::ById, TreeKind::Local] {
        let mut walk = snapshot.walk(tree);
        while let Some(token) = walk.peek()? {
            match token {
                Token::Subtree(pointer) => {
                    reached.push((pointer.position, 0));
                    walk.descend()?;
                }
                Token::Entry(key, value) => {
                    if tree == TreeKind::BySeq {
                        let info = DocInfoRef::decode_by_seq(key, value);
                        let info = info.map_err(|damage| walk.corrupt(damage))?;
                        reached.push((info.position, 0));
                    }
                    walk.skip();
                }
            }
        }
    }
    reached.sort_unstable();
    Ok(reached.into_iter().map(|(position, _)| position).collect())
}

fn open(volume: &dyn Volume, name: &FileName) -> Result<Arc<dyn BlockDevice>> {
    volume.open(name, Access::Read).map_err(|source| Error::io(IoOp::Open, name, None, source))
}

/// The newest state in a file.
fn newest(volume: &dyn Volume, name: &FileName) -> Result<Snapshot> {
    Ok(find_newest(name, open(volume, name)?, OpenMode::Strict)?.0)
}
