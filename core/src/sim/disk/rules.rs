//! What a crash can do to a disk, and how that is written.

use std::fmt;

/// How names become durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// Anything that POSIX allows: a renaming is two changes, a removal empties the file and takes
    /// its name away, and until the directory is synced each of them may be lost by itself.
    Posix,
    /// As a journal keeps them: changes of names are whole, and durable in their order.
    Journaled,
}

/// What a crash can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskRules {
    /// How names become durable.
    pub profile: Profile,
    /// Bytes that a write is durable by: 512 or 4096.
    pub sector: u64,
}

impl DiskRules {
    /// Sectors of 512 bytes.
    pub fn new(profile: Profile) -> Self {
        DiskRules { profile, sector: 512 }
    }

    /// Takes up a word of the text that [`Display`](fmt::Display) writes; false when it is none.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> bool {
        match (name, value) {
            ("names", "posix") => self.profile = Profile::Posix,
            ("names", "journaled") => self.profile = Profile::Journaled,
            ("sector", "512") => self.sector = 512,
            ("sector", "4096") => self.sector = 4096,
            _ => return false,
        }
        true
    }
}

impl fmt::Display for DiskRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = match self.profile {
            Profile::Posix => "posix",
            Profile::Journaled => "journaled",
        };
        write!(f, "names={names} sector={}", self.sector)
    }
}
