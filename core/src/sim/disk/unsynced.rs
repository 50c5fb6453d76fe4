//! Changes that are not durable, one by one, for whoever chooses what of them a crash keeps.

use std::fmt;
use std::str::FromStr;

use super::image::{Part, Selection};
use super::{Change, Disk, Fate, FileId};

/// A change that a crash may lose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsynced {
    /// What it changes.
    pub kind: UnsyncedKind,
    /// A sync that was for it failed: no later one makes it durable.
    pub is_dropped: bool,
}

/// What is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnsyncedKind {
    /// Bytes of a file.
    Write {
        /// The file.
        file: FileId,
        /// Where they begin.
        start: u64,
        /// Where they end.
        end: u64,
        /// How many sectors they touch.
        sectors: u64,
    },
    /// The length of a file.
    Cut {
        /// The file.
        file: FileId,
        /// Its length.
        length: u64,
    },
    /// A name, or what goes with one; in words.
    Name(String),
}

/// A change that survives a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Which of [`Disk::unsynced`], counted from 1.
    pub number: usize,
    /// Of a write so many of its first sectors only, though the file is as long as with all of it.
    pub sectors: Option<u64>,
}

impl Disk {
    /// What a crash may lose, oldest first.
    pub fn unsynced(&self) -> Vec<Unsynced> {
        let uncertain = self.pending.iter().filter(|pending| pending.fate != Fate::Durable);
        let told = |change: &Change| match change {
            Change::Write { file, offset, data, .. } => {
                let (start, end) = (*offset, offset + data.len() as u64);
                let sectors = end.div_ceil(self.rules.sector) - start / self.rules.sector;
                UnsyncedKind::Write { file: *file, start, end, sectors }
            }
            Change::Truncate { file, length } => UnsyncedKind::Cut { file: *file, length: *length },
            name => UnsyncedKind::Name(name.to_string()),
        };
        uncertain
            .map(|pending| Unsynced {
                kind: told(&pending.change),
                is_dropped: pending.fate == Fate::Dropped,
            })
            .collect()
    }
}

impl Selection {
    /// These changes are kept, and nothing else; `None` if there are not so many.
    pub fn keeping(disk: &Disk, chosen: &[Kept]) -> Option<Self> {
        let uncertain: Vec<usize> = (disk.pending.iter().enumerate())
            .filter(|(_, pending)| pending.fate != Fate::Durable)
            .map(|(change, _)| change)
            .collect();
        let mut kept = Vec::new();
        let mut sectors_before = (usize::MAX, 0);
        let known = |kept: &Kept| (1..=uncertain.len()).contains(&kept.number);
        if !chosen.iter().all(known) {
            return None;
        }
        for unit in disk.units() {
            let number = uncertain.partition_point(|change| *change <= unit.change);
            let choice = chosen.iter().find(|kept| kept.number == number);
            if sectors_before.0 != number {
                sectors_before = (number, 0);
            }
            let is_sector = matches!(unit.part, Part::Sector { .. });
            let limit = choice.map(|kept| kept.sectors.unwrap_or(u64::MAX));
            kept.push(limit.is_some_and(|limit| !is_sector || sectors_before.1 < limit));
            sectors_before.1 += u64::from(is_sector);
        }
        Some(Selection { kept, ..Selection::default() })
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sectors {
            None => write!(f, "{}", self.number),
            Some(sectors) => write!(f, "{}:{sectors}", self.number),
        }
    }
}

impl FromStr for Kept {
    type Err = std::num::ParseIntError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let (number, sectors) = match word.split_once(':') {
            None => (word, None),
            Some((number, sectors)) => (number, Some(sectors.parse()?)),
        };
        Ok(Kept { number: number.parse()?, sectors })
    }
}
