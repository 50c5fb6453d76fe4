//! What a disk holds: what is durable, and the changes that are not yet, each of which a crash may
//! keep or lose.
//!
//! The rules (`F1` to `F5` of `core/FAULTS.md`):
//!
//! - A sync of a file makes its bytes and its length durable, not its name; a sync of the directory
//!   makes names durable.
//! - Until then a write survives in any subset of its sectors, in any order with others; how long
//!   the file is survives apart from its bytes, so that an append can be short or full of zeros.
//! - Names: see [`Profile`].
//! - After a sync that failed, what it should have made durable may or may not have reached the disk,
//!   and no later sync changes that.

mod image;
mod pieces;
mod rules;
mod selections;
mod unsynced;

pub use image::{Image, Selection, Torn, Unit};
pub use pieces::FileBytes;
pub use rules::{DiskRules, Profile};
pub use selections::{Depth, selections};
pub use unsynced::{Kept, Unsynced, UnsyncedKind};

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use litemap::LiteMap;

use crate::format::checksum::Checksum;

/// Number of a file on a disk, whatever its names.
pub type FileId = usize;

/// A disk at one moment.
#[derive(Clone, Debug)]
pub struct Disk {
    rules: DiskRules,
    /// Durable bytes of each file.
    files: Vec<Arc<FileBytes>>,
    /// Durable names.
    names: LiteMap<Arc<str>, FileId>,
    /// What is not durable, oldest first.
    pending: Vec<Pending>,
    last_number: u64,
}

/// A change that is not durable for certain.
#[derive(Clone, Debug)]
struct Pending {
    number: u64,
    change: Change,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The next sync makes it durable.
    Waiting,
    /// A sync of it failed: no later one makes it durable.
    Dropped,
    /// Durable, but something before it is not.
    Durable,
}

#[derive(Clone, Debug)]
enum Change {
    Write {
        file: FileId,
        offset: u64,
        data: Arc<[u8]>,
        lengthens: bool,
    },
    Truncate {
        file: FileId,
        length: u64,
    },
    AddName {
        name: Arc<str>,
        file: FileId,
    },
    RemoveName {
        name: Arc<str>,
        file: FileId,
    },
    Rename {
        from: Arc<str>,
        to: Arc<str>,
        file: FileId,
    },
    /// A file's space is given back, as its last name is removed.
    Free {
        file: FileId,
    },
    /// Bits turn over on the medium: durable at once. It stays pending, with all that follows it, so
    /// that the disk can be looked at without it.
    Flip {
        file: FileId,
        offset: u64,
        mask: u8,
    },
}

impl Change {
    /// The file whose sync makes it durable; `None` for the directory's.
    fn synced_with(&self) -> Option<FileId> {
        match self {
            Change::Write { file, .. }
            | Change::Truncate { file, .. }
            | Change::Flip { file, .. } => Some(*file),
            _ => None,
        }
    }
}

/// What a sync that was issued covers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Covered {
    pub(super) file: Option<FileId>,
    up_to: u64,
}

impl Disk {
    /// An empty disk.
    pub fn new(rules: DiskRules) -> Self {
        let (files, names, pending) = (Vec::new(), LiteMap::new(), Vec::new());
        Disk { rules, files, names, pending, last_number: 0 }
    }

    /// A disk that durably holds these files.
    pub fn holding(image: &Image, rules: DiskRules) -> Self {
        let mut disk = Disk::new(rules);
        for (name, bytes) in image.shared() {
            disk.names.insert(Arc::from(name), disk.files.len());
            disk.files.push(bytes);
        }
        disk
    }

    /// Its rules.
    pub fn rules(&self) -> DiskRules {
        self.rules
    }

    /// Whether everything is durable.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// What is not durable, oldest first, in words.
    pub fn pending(&self) -> Vec<String> {
        self.pending.iter().map(ToString::to_string).collect()
    }

    /// The same for disks that hold the same, durably and not; of two that differ hardly ever. To
    /// compare within one process.
    pub fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for file in &self.files {
            (file.len(), checksums(file.slices())).hash(&mut hasher);
        }
        for pending in &self.pending {
            if let Change::Write { data, .. } = &pending.change {
                (data.len(), checksums([&**data])).hash(&mut hasher);
            }
        }
        self.names.hash(&mut hasher);
        for Pending { number: _, change, fate } in &self.pending {
            // Bytes apart, the words of a change say all of it.
            let lengthens = matches!(change, Change::Write { lengthens: true, .. });
            (change.to_string(), *fate as u8, lengthens).hash(&mut hasher);
        }
        (self.rules.profile as u8, self.rules.sector).hash(&mut hasher);
        hasher.finish()
    }

    pub(super) fn create(&mut self, name: &str) -> FileId {
        let file = self.files.len();
        self.files.push(Arc::default());
        self.push(Change::AddName { name: Arc::from(name), file });
        file
    }

    /// `lengthens` tells whether programs see the file become longer.
    pub(super) fn write(&mut self, file: FileId, offset: u64, data: &[u8], lengthens: bool) {
        self.push(Change::Write { file, offset, data: Arc::from(data), lengthens });
    }

    pub(super) fn truncate(&mut self, file: FileId, length: u64) {
        self.push(Change::Truncate { file, length });
    }

    pub(super) fn rename(&mut self, from: &str, to: &str, file: FileId) {
        let (from, to) = (Arc::from(from), Arc::from(to));
        match self.rules.profile {
            Profile::Journaled => self.push(Change::Rename { from, to, file }),
            Profile::Posix => {
                self.push(Change::RemoveName { name: from, file });
                self.push(Change::AddName { name: to, file });
            }
        }
    }

    pub(super) fn remove(&mut self, name: &str, file: FileId) {
        if self.rules.profile == Profile::Posix {
            self.push(Change::Free { file });
        }
        self.push(Change::RemoveName { name: Arc::from(name), file });
    }

    /// Bits of a byte turn over where it lies.
    pub(super) fn flip(&mut self, file: FileId, offset: u64, mask: u8) {
        self.push(Change::Flip { file, offset, mask });
        if let Some(flip) = self.pending.last_mut() {
            flip.fate = Fate::Durable;
        }
    }

    /// Whether programs see a byte otherwise than it was written.
    pub(in crate::sim) fn is_damaged(&self, of: FileId, at: u64) -> bool {
        let mut flipped = 0;
        for pending in &self.pending {
            match &pending.change {
                Change::Flip { file, offset, mask } if (*file, *offset) == (of, at) => {
                    flipped ^= mask;
                }
                Change::Write { file, offset, data, .. }
                    if *file == of && (*offset..offset + data.len() as u64).contains(&at) =>
                {
                    flipped = 0;
                }
                Change::Truncate { file, length } if *file == of && *length <= at => flipped = 0,
                _ => {}
            }
        }
        flipped != 0
    }

    /// What turned over at a byte counts as a write of what is there now.
    pub(in crate::sim) fn keep_damage(&mut self, of: FileId, at: u64, byte: u8) {
        for pending in &mut self.pending {
            let is_it = matches!(
                pending.change,
                Change::Flip { file, offset, .. } if (file, offset) == (of, at)
            );
            if is_it {
                let data = Arc::from([byte]);
                pending.change = Change::Write { file: of, offset: at, data, lengthens: false };
            }
        }
        self.fold();
    }

    /// The same disk, on which no bit ever turned over.
    pub(in crate::sim) fn without_damage(&self) -> Self {
        let mut disk = self.clone();
        disk.pending.retain(|pending| !matches!(pending.change, Change::Flip { .. }));
        disk
    }

    /// A sync is issued, of a file or of the directory.
    pub(super) fn cover(&self, file: Option<FileId>) -> Covered {
        Covered { file, up_to: self.last_number }
    }

    /// A sync is through.
    pub(super) fn settle(&mut self, covered: Covered) {
        for pending in self.covered_by(covered) {
            pending.fate = Fate::Durable;
        }
        self.forget_cut();
        self.fold();
    }

    /// Holds what is the same in what programs see of a file together with that.
    pub(super) fn share(&mut self, file: FileId, seen: &FileBytes) {
        if let Some(bytes) = self.files.get_mut(file).map(Arc::make_mut) {
            bytes.share(seen);
        }
    }

    /// A sync failed.
    pub(super) fn drop_covered(&mut self, covered: Covered) {
        for pending in self.covered_by(covered) {
            pending.fate = Fate::Dropped;
        }
    }

    fn covered_by(&mut self, covered: Covered) -> impl Iterator<Item = &mut Pending> {
        self.pending.iter_mut().filter(move |pending| {
            pending.number <= covered.up_to
                && pending.change.synced_with() == covered.file
                && pending.fate == Fate::Waiting
        })
    }

    fn push(&mut self, change: Change) {
        self.last_number += 1;
        self.pending.push(Pending { number: self.last_number, change, fate: Fate::Waiting });
    }

    /// What lies wholly behind a later cut that is durable is of no consequence any more.
    fn forget_cut(&mut self) {
        let mut cuts: LiteMap<FileId, u64> = LiteMap::new();
        let mut kept = Vec::with_capacity(self.pending.len());
        for pending in std::mem::take(&mut self.pending).into_iter().rev() {
            match pending.change {
                Change::Truncate { file, length } if pending.fate == Fate::Durable => {
                    let cut = cuts.entry(file).or_insert(length);
                    *cut = length.min(*cut);
                }
                Change::Write { file, offset, .. } | Change::Flip { file, offset, .. }
                    if cuts.get(&file).is_some_and(|cut| *cut <= offset) =>
                {
                    continue;
                }
                _ => {}
            }
            kept.push(pending);
        }
        kept.reverse();
        self.pending = kept;
    }

    /// Makes durable what has nothing uncertain before it.
    fn fold(&mut self) {
        let mut uncertain: Vec<Option<FileId>> = Vec::new();
        let mut rest = Vec::new();
        for pending in std::mem::take(&mut self.pending) {
            let of = pending.change.synced_with();
            let is_flip = matches!(pending.change, Change::Flip { .. });
            if pending.fate == Fate::Durable && !is_flip && !uncertain.contains(&of) {
                self.apply(&pending.change);
            } else {
                uncertain.push(of);
                rest.push(pending);
            }
        }
        self.pending = rest;
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Write { file, offset, data, .. } => {
                if let Some(bytes) = self.files.get_mut(*file).map(Arc::make_mut) {
                    bytes.write_at(*offset as usize, data);
                }
            }
            Change::Truncate { file, length } => {
                if let Some(bytes) = self.files.get_mut(*file).map(Arc::make_mut) {
                    bytes.resize(*length as usize);
                }
            }
            Change::Free { file } => {
                if let Some(bytes) = self.files.get_mut(*file) {
                    *bytes = Arc::default();
                }
            }
            change => apply_name(&mut self.names, change),
        }
    }
}

/// Two checksums of bytes, which hardly ever are the same for others.
fn checksums<'a>(slices: impl IntoIterator<Item = &'a [u8]>) -> (u32, u32) {
    slices.into_iter().fold((0, 0), |(crc32c, crc32), slice| {
        (Checksum::Crc32c.extend(crc32c, slice), Checksum::Crc32.extend(crc32, slice))
    })
}

/// Carries out a change of names; others are left alone.
fn apply_name(names: &mut LiteMap<Arc<str>, FileId>, change: &Change) {
    match change {
        Change::AddName { name, file } => {
            names.insert(name.clone(), *file);
        }
        Change::RemoveName { name, file } => {
            if names.get(name) == Some(file) {
                names.remove(name);
            }
        }
        Change::Rename { from, to, file } => {
            if names.get(from) == Some(file) {
                names.remove(from);
            }
            names.insert(to.clone(), *file);
        }
        Change::Write { .. }
        | Change::Truncate { .. }
        | Change::Free { .. }
        | Change::Flip { .. } => {}
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Write { file, offset, data, .. } => {
                write!(f, "file {file}: write {offset}..{}", offset + data.len() as u64)
            }
            Change::Truncate { file, length } => write!(f, "file {file}: truncate to {length}"),
            Change::AddName { name, file } => write!(f, "name {name} for file {file}"),
            Change::RemoveName { name, .. } => write!(f, "name {name} gone"),
            Change::Rename { from, to, .. } => write!(f, "name {from} becomes {to}"),
            Change::Free { file } => write!(f, "file {file}: emptied by its removal"),
            Change::Flip { file, offset, mask } => {
                write!(f, "file {file}: byte {offset} flipped by {mask:#04x}")
            }
        }
    }
}

impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pending { number, change, fate } = self;
        write!(f, "#{number} {change}")?;
        match fate {
            Fate::Waiting => Ok(()),
            Fate::Dropped => f.write_str(" (dropped by a failed sync)"),
            Fate::Durable => f.write_str(" (durable)"),
        }
    }
}
