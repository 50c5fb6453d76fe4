//! What a world is made of, and how long its device takes.

use std::fmt;

use super::text::{NoAction, duration, number};
use crate::device::Operation;
use crate::error::IoOp;
use crate::sim::disk::{DiskRules, Profile};
use crate::store::{Budget, CommitStyle};

/// Nanoseconds that handling one entry takes the processor.
const ENTRY_NS: u64 = 1_000;
/// Nanoseconds that handing a byte to the operating system takes: memory at some GB/s.
const BYTES_PER_COPY_NS: u64 = 4;

/// How long a device takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceModel {
    /// Its name.
    pub name: &'static str,
    /// Nanoseconds before the first byte of a read arrives.
    pub read_ns: u64,
    /// Bytes a second, reading and writing.
    pub bytes_per_second: u64,
    /// Nanoseconds of a sync, whatever there is to write.
    pub sync_ns: u64,
}

impl DeviceModel {
    /// A solid-state disk on the bus.
    pub const NVME: DeviceModel = DeviceModel {
        name: "nvme",
        read_ns: 80_000,
        bytes_per_second: 2_000_000_000,
        sync_ns: 1_000_000,
    };
    /// A solid-state disk behind an old cable.
    pub const SATA: DeviceModel = DeviceModel {
        name: "sata",
        read_ns: 150_000,
        bytes_per_second: 500_000_000,
        sync_ns: 3_000_000,
    };
    /// A disk that turns.
    pub const DISK: DeviceModel = DeviceModel {
        name: "disk",
        read_ns: 8_000_000,
        bytes_per_second: 150_000_000,
        sync_ns: 15_000_000,
    };
    /// A disk on the other side of a network.
    pub const NETWORK: DeviceModel = DeviceModel {
        name: "network",
        read_ns: 1_000_000,
        bytes_per_second: 250_000_000,
        sync_ns: 8_000_000,
    };
    /// All presets.
    pub const ALL: [DeviceModel; 4] = [Self::NVME, Self::SATA, Self::DISK, Self::NETWORK];

    /// The preset of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn named(name: &str) -> Result<Self, NoAction> {
        let found = Self::ALL.into_iter().find(|device| device.name == name);
        found.ok_or_else(|| {
            let known = Self::ALL.map(|device| device.name).join(", ");
            NoAction(format!("{name:?} is no device; known: {known}"))
        })
    }

    /// Nanoseconds that who asks for an operation has to wait for it. Writes go to the page cache,
    /// and cost the sync that follows.
    pub fn operation_ns(&self, operation: &Operation) -> u64 {
        let length = operation.length.unwrap_or(0);
        match operation.op {
            IoOp::Read => self.read_ns.saturating_add(self.transfer_ns(length)),
            IoOp::Write => length / BYTES_PER_COPY_NS,
            IoOp::Open | IoOp::Create | IoOp::Rename | IoOp::Remove => self.read_ns,
            _ => 0,
        }
    }

    /// Nanoseconds of a sync that has so many bytes to write.
    pub fn sync_ns(&self, bytes: u64) -> u64 {
        self.sync_ns.saturating_add(self.transfer_ns(bytes))
    }

    fn transfer_ns(&self, bytes: u64) -> u64 {
        let ns = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second.max(1));
        u64::try_from(ns).unwrap_or(u64::MAX)
    }
}

/// What a world is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What a crash can do.
    pub disk: DiskRules,
    /// How long the device takes.
    pub device: DeviceModel,
    /// How much a machine does in one turn.
    pub budget: Budget,
    /// How long a compaction may hold writers up, in nanoseconds.
    pub max_stall_ns: u64,
    /// How flushes, rollbacks and local documents are made durable.
    pub commits: CommitStyle,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            disk: DiskRules::new(Profile::Posix),
            device: DeviceModel::NVME,
            budget: Budget { bytes: 4096, entries: 1 },
            max_stall_ns: 20_000_000,
            commits: CommitStyle::Flip,
        }
    }
}

impl Settings {
    /// Nanoseconds of processor time that a turn takes at least.
    pub(super) fn turn_ns(&self) -> u64 {
        self.budget.entries.clamp(1, 64) * ENTRY_NS
    }

    /// Reads settings, written as [`Display`](fmt::Display) writes them; what is not named is as in
    /// the default.
    ///
    /// # Errors
    /// A word that is none of them.
    pub fn parse(text: &str) -> Result<Self, NoAction> {
        let mut settings = Settings::default();
        for word in text.split_whitespace() {
            let unknown = || NoAction(format!("{word:?} is no setting of a world"));
            let (name, value) = word.split_once('=').ok_or_else(unknown)?;
            match (name, value) {
                ("device", _) => settings.device = DeviceModel::named(value)?,
                ("bytes", _) => settings.budget.bytes = number::<u64>(value)?.max(1),
                ("entries", _) => settings.budget.entries = number::<u64>(value)?.max(1),
                ("stall", _) => settings.max_stall_ns = duration(value)?,
                ("commits", _) => {
                    settings.commits = CommitStyle::named(value).ok_or_else(unknown)?;
                }
                _ if settings.disk.set(name, value) => {}
                _ => return Err(unknown()),
            }
        }
        Ok(settings)
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { disk, device, budget, max_stall_ns, commits } = self;
        write!(
            f,
            "{disk} device={} bytes={} entries={} stall={max_stall_ns}ns",
            device.name, budget.bytes, budget.entries
        )?;
        match commits {
            CommitStyle::Flip => Ok(()),
            CommitStyle::Direct => write!(f, " commits={}", commits.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_back_from_their_text() {
        let mut settings = Settings::default();
        for device in DeviceModel::ALL {
            settings.device = device;
            settings.disk = DiskRules { profile: Profile::Journaled, sector: 4096 };
            settings.budget = Budget { bytes: 17, entries: 3 };
            for commits in CommitStyle::ALL {
                settings.commits = commits;
                assert_eq!(Settings::parse(&settings.to_string()), Ok(settings));
            }
        }
        assert!(Settings::parse("device=drum").is_err());
        assert!(Settings::parse("sector=513").is_err());
        assert!(Settings::parse("commits=three-syncs").is_err());
    }

    #[test]
    fn a_bigger_sync_takes_longer_and_a_write_waits_for_none() {
        let disk = DeviceModel::DISK;
        assert!(disk.sync_ns(150_000_000) >= disk.sync_ns(0) + 1_000_000_000);
        let operation = |op| Operation {
            op,
            file: String::new(),
            to: None,
            offset: Some(0),
            length: Some(4096),
            error: None,
        };
        let (read, write) = (operation(IoOp::Read), operation(IoOp::Write));
        assert!(disk.operation_ns(&read) > disk.operation_ns(&write));
    }
}
