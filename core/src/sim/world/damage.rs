//! Bits that turn over on the disk, and what of that explains what the engine says.
//!
//! Damage explains an error that names the file and a place in the chunk that it hit, and nothing
//! else. So whatever is found is compared with what the same disk would hold had no bit turned over.

use std::ops::Range;

use super::World;
use crate::device::{Access, Volume as _};
use crate::error::Error;
use crate::event::{Event, FileName};
use crate::format::block;
use crate::format::header::{Header, POINTS_BACK_FROM};
use crate::format::names::file_name;
use crate::limits::BLOCK_SIZE;
use crate::sim::contents::Contents;
use crate::sim::disk::{FileId, Image};
use crate::sim::invariants::Violation;
use crate::sim::machines::VBUCKET;
use crate::sim::volume::CrashVolume;
use crate::store::{CommitStyle, HeadersBack, OpenMode, find_newest};

/// A byte of which bits turned over.
#[derive(Clone, Debug)]
pub(super) struct Damaged {
    file: FileId,
    byte: u64,
    mask: u8,
    /// The chunk that it is part of.
    chunk: Range<u64>,
    /// Whether it is the type byte of a header, which may be hidden by it.
    hides_header: bool,
    /// Whether it looks like what a crash left of the newest commit, to the process that opened the file
    /// last.
    costs_newest: bool,
}

impl World {
    pub(super) fn flip(&mut self, name: &str, byte: u64, bit: u8) {
        let mask = 1 << bit;
        let files = self.files();
        let mut from_there = [0; BLOCK_SIZE as usize];
        let there = files.bytes(name).map(|bytes| bytes.read_at(byte as usize, &mut from_there));
        let Some((before, rest)) = from_there[..there.unwrap_or(0)].split_first() else {
            self.refuse(format!("{name} has no byte {byte}"));
            return;
        };
        let is_boundary = byte.is_multiple_of(BLOCK_SIZE);
        if is_boundary && before ^ mask == block::HEADER && is_written_header(rest, byte) {
            // Nobody could tell it from one that the engine committed.
            self.refuse("that would commit a header that is written already");
            return;
        }
        let Some(file) = self.machines.volume.flip(name, byte, mask) else { return };
        self.damaged.push(Damaged {
            file,
            byte,
            mask,
            chunk: self.chunk_at(name, byte),
            hides_header: is_boundary && *before == block::HEADER,
            costs_newest: false,
        });
        // What is published is read once more.
        self.looked_at = None;
    }

    /// The bytes that were appended together with this one; outside of all its block up to it, and all up
    /// to it in a file that was there from the beginning: nobody saw what it is made of.
    fn chunk_at(&self, name: &str, byte: u64) -> Range<u64> {
        let mut named = FileName::from(name);
        for stamped in self.trace.events_from(0).into_iter().rev() {
            match stamped.event {
                Event::Renamed { from, to } if to == named => named = from,
                Event::Appended { file, position, end, .. }
                    if file == named && (position..end).contains(&byte) =>
                {
                    return position..end;
                }
                Event::Created { file } if file == named => {
                    return byte - byte % BLOCK_SIZE..byte + 1;
                }
                _ => {}
            }
        }
        0..byte + 1
    }

    /// Damage that programs see.
    fn seen_damage(&self) -> impl Iterator<Item = &Damaged> {
        let volume = &self.machines.volume;
        self.damaged.iter().filter(|damaged| volume.is_damaged(damaged.file, damaged.byte))
    }

    /// Whether a file that still has a name is damaged.
    pub(super) fn is_damaged(&self) -> bool {
        let files = self.machines.volume.disk().visible_names();
        self.seen_damage().any(|damaged| files.values().any(|file| *file == damaged.file))
    }

    /// Whether damage is the reason for an error.
    pub(super) fn explains(&self, error: &Error) -> bool {
        let is_of = |damaged: &Damaged, name: &FileName| {
            self.machines.volume.name_of(damaged.file).is_some_and(|known| *known == **name)
        };
        match (error.damaged_place(), error) {
            (Some((name, offset)), _) => self
                .seen_damage()
                .any(|damaged| is_of(damaged, name) && damaged.chunk.contains(&offset)),
            (None, Error::NoHeader { file }) => {
                self.seen_damage().any(|damaged| damaged.hides_header && is_of(damaged, file))
            }
            _ => false,
        }
    }

    /// What is damaged once a crash has left `image`, which had been `sound` without: the same bits
    /// turn over on `volume`, which holds that.
    pub(super) fn damage_after_crash(
        &self,
        image: &Image,
        sound: &Image,
        volume: &CrashVolume,
    ) -> Vec<Damaged> {
        let after = |damaged: &Damaged| {
            let name = self.machines.volume.name_of(damaged.file)?;
            let byte = |image: &Image| {
                image.bytes(&name).and_then(|bytes| bytes.get(damaged.byte as usize))
            };
            if byte(image) == byte(sound) {
                return None;
            }
            let file = volume.flip(&name, damaged.byte, damaged.mask)?;
            Some(Damaged { file, ..damaged.clone() })
        };
        self.damaged.iter().filter_map(after).collect()
    }

    /// What the newest commit of the file with this revision is to a process that opens it and looks for
    /// commits cut short; `sound` is what it would find without damage.
    pub(super) fn newest_commit(&self, sound: &CrashVolume, revision: u64) -> Option<NewestCommit> {
        let looks = self.settings.commits == CommitStyle::Direct && !self.damaged.is_empty();
        looks.then(|| NewestCommit::of(sound, file_name(VBUCKET, revision)))?
    }

    /// A process is about to open what is damaged: whether that may hide a header from it, and the state
    /// that may be there if it takes the `newest` commit for one cut short.
    pub(super) fn weigh_damage(
        &mut self,
        newest: Option<NewestCommit>,
    ) -> (bool, Option<Contents>) {
        let volume = &self.machines.volume;
        for damaged in &mut self.damaged {
            damaged.costs_newest = newest.as_ref().is_some_and(|newest| {
                volume.name_of(damaged.file).as_ref() == Some(&newest.file)
                    && newest.bytes.contains(&damaged.byte)
            });
        }
        let is_hidden = self.seen_damage().any(|damaged| damaged.hides_header);
        let is_lost = self.seen_damage().any(|damaged| damaged.costs_newest);
        (is_hidden, newest.filter(|_| is_lost).and_then(|newest| newest.before))
    }

    /// A new process opened a damaged file, which holds `expected` apart from that: it finds the same,
    /// or says where it cannot, or an older state that `may_be` there. Returns what there is.
    pub(super) fn check_damaged(
        &mut self,
        expected: Contents,
        may_be: impl FnOnce(&Contents) -> bool,
    ) -> Result<Contents, Violation> {
        let snapshot = self.machines.vbucket().and_then(|vbucket| vbucket.snapshot());
        let found = match snapshot.and_then(|snapshot| Contents::read(&snapshot)) {
            Ok(found) => found,
            Err(error) if self.explains(&error) => return Ok(expected),
            Err(error) => {
                return Err(Violation::new("I5", format!("what is open cannot be read: {error}")));
            }
        };
        if found == expected {
            return Ok(found);
        }
        if !may_be(&found) {
            return Err(Violation::new("I2", expected.difference(&found)));
        }
        // The engine goes on from there, so that nothing is as it would be without the damage.
        let volume = &self.machines.volume;
        self.damaged.retain(|damaged| {
            let is_kept = damaged.hides_header || damaged.costs_newest;
            if is_kept {
                volume.keep_damage(damaged.file, damaged.byte);
            }
            !is_kept
        });
        Ok(found)
    }
}

/// A file's newest commit, which an opening with one sync looks at (`core/FAULTS.md`).
#[derive(Debug)]
pub(super) struct NewestCommit {
    file: String,
    /// Damage here costs the commit.
    bytes: Range<u64>,
    /// The state without it.
    before: Option<Contents>,
}

impl NewestCommit {
    fn of(sound: &CrashVolume, file: String) -> Option<Self> {
        let device = sound.open(&file, Access::Write).ok()?;
        let name = FileName::from(file.as_str());
        let newest = match find_newest(&name, device.clone(), OpenMode::Strict) {
            Ok((newest, _)) => newest,
            // Cut short itself: that is the one that is taken back, and no other.
            Err(_) => return None,
        };
        let (position, end) = (newest.position(), newest.end());
        let from = match newest.header().disk_version {
            // All that it points at was durable before it could be seen.
            ..POINTS_BACK_FROM => position,
            _ => match HeadersBack::from(newest).nth(1) {
                Some(Ok(came_from)) => came_from.end(),
                // No more is excused than is known to be.
                Some(Err(_)) => position,
                None => 0,
            },
        };
        device.truncate(position).ok()?;
        let before = find_newest(&name, device, OpenMode::Strict)
            .and_then(|(before, _)| Contents::read(&before));
        Some(NewestCommit { file, bytes: from..end, before: before.ok() })
    }
}

/// Whether what follows the byte of a block's type makes a whole header with it.
fn is_written_header(rest: &[u8], position: u64) -> bool {
    let block = [&[block::HEADER], rest].concat();
    Header::decode_block(&block, position).is_ok()
}
