//! What can go wrong, with the file and the offset where it did.

use std::fmt;
use std::io;

use crate::event::FileName;

/// Result of every fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Error of any operation of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The device or the volume failed.
    #[error("{file}: cannot {op}{}: {source}", At(.offset))]
    Io {
        /// What was being done.
        op: IoOp,
        /// The file it was done to.
        file: FileName,
        /// Byte offset in the file, where the operation has one.
        offset: Option<u64>,
        /// What the operating system or the device said.
        source: io::Error,
    },
    /// The file holds something that the format does not allow.
    #[error("{file}: damaged at offset {offset}: {damage}")]
    Corrupt {
        /// The damaged file.
        file: FileName,
        /// Byte offset of the damaged block, chunk or field.
        offset: u64,
        /// What is wrong there.
        damage: Damage,
    },
    /// The file has no header: nothing was ever committed to it, or it is not a couchstore file.
    #[error("{file}: no header found: not a couchstore file, or nothing was ever committed to it")]
    NoHeader {
        /// The file.
        file: FileName,
    },
    /// The header's disk version is not one of 11 to 14.
    #[error("{file}: header at offset {offset} has disk version {version}; 11 to 14 can be read")]
    Version {
        /// The file.
        file: FileName,
        /// Byte offset of the header.
        offset: u64,
        /// The version found.
        version: u8,
    },
    /// The file is encrypted, which is not supported yet.
    #[error("{file}: the file is encrypted (key \"{key_id}\"); encrypted files cannot be read yet")]
    Encrypted {
        /// The file.
        file: FileName,
        /// Name of the key it needs.
        key_id: String,
    },
    /// The file is sound, but was not written as a vbucket's.
    #[error("{file}: _local/vbstate is {what}")]
    NoVBucket {
        /// The file.
        file: FileName,
        /// What is the matter with the vbucket's state, a local document.
        what: &'static str,
    },
    /// Another process or handle has the file or directory open for writing.
    #[error("{file}: open for writing elsewhere; only one writer at a time is possible")]
    Locked {
        /// The file or directory.
        file: FileName,
    },
    /// A file of that name is already there, and nothing is ever overwritten.
    #[error("{file}: already exists")]
    Exists {
        /// The file.
        file: FileName,
    },
    /// A sync failed earlier, so that what reached the disk is unknown. Reopen to go on.
    #[error(
        "{file}: an earlier failure left its end uncertain; it must be reopened before writing"
    )]
    Poisoned {
        /// The file.
        file: FileName,
    },
    /// A caller's value does not fit the format.
    #[error("{what} is {value}, more than the {max} that the format can hold")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size or value.
        value: u64,
        /// The limit it passes.
        max: u64,
    },
    /// A caller's request cannot be carried out as asked.
    #[error("{0}")]
    Invalid(String),
    /// Flushes of a vbucket fail. What is queued is kept and tried again.
    #[error("vbucket {vbucket} cannot be flushed: {reason}")]
    FlushFailing {
        /// The vbucket.
        vbucket: u16,
        /// Why the last flush failed.
        reason: String,
    },
    /// The operation was cancelled: vbucket deleted, rolled back, or the engine shut down.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// An I/O error with its place.
    pub fn io(
        op: IoOp,
        file: &FileName,
        offset: impl Into<Option<u64>>,
        source: io::Error,
    ) -> Self {
        let offset = offset.into();
        let file = file.clone();
        match (op, source.kind()) {
            (IoOp::Create | IoOp::Rename, io::ErrorKind::AlreadyExists) => Error::Exists { file },
            (IoOp::Open | IoOp::Create, io::ErrorKind::WouldBlock) => Error::Locked { file },
            _ => Error::Io { op, file, offset, source },
        }
    }

    /// Damage with its place.
    pub fn corrupt(file: &FileName, offset: u64, damage: Damage) -> Self {
        Error::Corrupt { file: file.clone(), offset, damage }
    }

    /// Whether there was no room to write to.
    pub fn is_storage_full(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Error::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }

    /// The file and the byte offset of what is damaged, where damage has a place.
    pub fn damaged_place(&self) -> Option<(&FileName, u64)> {
        match self {
            Error::Corrupt { file, offset, .. } | Error::Version { file, offset, .. } => {
                Some((file, *offset))
            }
            _ => None,
        }
    }

    /// Whether the file's content is at fault, not the device or the caller.
    pub fn is_damage(&self) -> bool {
        matches!(self, Error::Corrupt { .. } | Error::NoHeader { .. } | Error::Version { .. })
    }
}

/// What was being done when the device or the volume failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum IoOp {
    Open,
    Create,
    Read,
    Write,
    Truncate,
    Sync,
    Length,
    Rename,
    Remove,
    List,
    SyncDirectory,
}

impl fmt::Display for IoOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IoOp::Open => "open",
            IoOp::Create => "create",
            IoOp::Read => "read",
            IoOp::Write => "write",
            IoOp::Truncate => "truncate",
            IoOp::Sync => "sync",
            IoOp::Length => "find the length",
            IoOp::Rename => "rename",
            IoOp::Remove => "remove",
            IoOp::List => "list",
            IoOp::SyncDirectory => "sync the directory",
        })
    }
}

/// What is wrong with a piece of a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Damage {
    #[error("the file ends inside the {what}")]
    ShortRead { what: &'static str },
    #[error("unknown block type {found}")]
    BlockType { found: u8 },
    #[error("{what}: checksum is {computed:08x}, {stored:08x} is stored")]
    Checksum { what: &'static str, stored: u32, computed: u32 },
    #[error("{what}: impossible length {length}")]
    Length { what: &'static str, length: u64 },
    #[error("a data chunk was expected, but the length has no chunk mark")]
    ChunkMark,
    #[error("{what} points at {pointer}, which does not lie before it")]
    Pointer { what: &'static str, pointer: u64 },
    #[error("{what}: Snappy data cannot be inflated")]
    Snappy { what: &'static str },
    #[error("tree node: {what}")]
    Node { what: &'static str },
    #[error("document info: {what}")]
    DocInfo { what: &'static str },
    #[error("{0}")]
    Trees(String),
}

/// Writes " at offset N" when there is an offset.
struct At<'a>(&'a Option<u64>);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(offset) => write!(f, " at offset {offset}"),
            None => Ok(()),
        }
    }
}
