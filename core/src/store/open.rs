//! Finding the header that is current (format, section 2).

use super::commit::CommitStyle;
use super::snapshot::Snapshot;
use super::tail;
use crate::canary::{Canary, planted};
use crate::chunklog::LogFile;
use crate::device::BlockDevice;
use crate::error::{Damage, Error, IoOp, Result};
use crate::event::FileName;
use crate::format::block;
use crate::format::checksum::Checksum;
use crate::format::header::{Header, HeaderFault};
use crate::format::metadata;
use crate::limits::{BLOCK_SIZE, METADATA_LEN_MAX};
use std::sync::Arc;

/// What to do about damage between the end of the file and the newest good header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Refuse: the error names the offset.
    Strict,
    /// Pass it over and go back to the newest good header.
    Recovery,
}

/// How a file is opened for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// What to do about damage.
    pub mode: OpenMode,
    /// How commits are made durable from now on, and may have been so far. A file that was committed
    /// to with one sync is to be opened so again: of a header whose commit a crash cut short that
    /// takes one back, in either mode. Without that a strict opening takes it for damage.
    ///
    /// Damage of another kind looks no different, if it is in what the newest commit wrote: that
    /// commit is given up then, and named among what was passed over.
    pub commits: CommitStyle,
}

impl From<OpenMode> for Opening {
    fn from(mode: OpenMode) -> Self {
        Opening { mode, commits: CommitStyle::Flip }
    }
}

/// A header, or another damaged block, that was passed over.
#[derive(Debug)]
pub struct PassedOver {
    /// Byte offset of the block.
    pub offset: u64,
    /// What is wrong with it.
    pub error: Error,
}

/// Blocks passed over that are named, the newest ones, at most: a file can be nothing but damage.
const PASSED_OVER_MAX: usize = 1000;
/// Commits that a recovery gives up, at most: each that is damaged was read first, and a file can be
/// made of headers that all commit the same damage.
const GIVEN_UP_MAX: usize = 16;
/// Blocks whose types are read at a time.
const BLOCKS_PER_READ: u64 = 64;

/// Finds the newest header of a file and returns the state that it commits, with what had to be
/// passed over (nothing in strict mode).
///
/// # Errors
/// [`Error::NoHeader`] where there is none; [`Error::Corrupt`] in strict mode for the first damaged
/// header or unknown block type on the way; [`Error::Version`] for a header of an unknown version,
/// in either mode; [`Error::Encrypted`] for an encrypted file.
pub fn find_newest(
    name: &FileName,
    device: Arc<dyn BlockDevice>,
    mode: OpenMode,
) -> Result<(Snapshot, Vec<PassedOver>)> {
    let mut passed_over = Vec::new();
    let probe = Probe { name, device: &device };
    match probe.search_back(probe.last_block()?, mode, &mut passed_over)? {
        Some(snapshot) => Ok((snapshot, passed_over)),
        None => Err(no_header(name)),
    }
}

/// The newest state of a file of which all is there.
pub(super) struct Whole {
    pub(super) newest: Snapshot,
    /// Where what its commit wrote begins.
    pub(super) written_from: u64,
    pub(super) passed_over: Vec<PassedOver>,
    /// Whether the first of them is a header whose commit was cut short, and which is to be taken back.
    pub(super) cut_short: bool,
}

/// Finds the newest header for whom writes behind it: what its commit wrote must all be there.
pub(super) fn find_whole(
    name: &FileName,
    device: Arc<dyn BlockDevice>,
    opening: Opening,
) -> Result<Whole> {
    let Opening { mode, commits } = opening;
    let (mut passed_over, mut cut_short, mut given_up) = (Vec::new(), false, 0);
    let probe = Probe { name, device: &device };
    let mut last = probe.last_block()?;
    loop {
        // What a crash may have cut short is looked at here, a header that was torn itself too.
        let first = passed_over.is_empty();
        let search = if first && commits == CommitStyle::Direct { OpenMode::Strict } else { mode };
        let (position, error) = match probe.search_back(last, search, &mut passed_over) {
            Ok(None) => return Err(why_nothing(name, given_up, passed_over)),
            Ok(Some(newest)) => match tail::verify(&newest) {
                // To go back to nothing at all is no recovery, but of a first commit cut short.
                Ok(_) if holds_nothing(&newest) && commits == CommitStyle::Flip && given_up > 0 => {
                    return Err(why_nothing(name, given_up, passed_over));
                }
                Ok(written_from) => {
                    return Ok(Whole { newest, written_from, passed_over, cut_short });
                }
                Err(error) => (newest.position(), error),
            },
            Err(Error::Corrupt { file, offset, damage }) => {
                (offset, Error::Corrupt { file, offset, damage })
            }
            Err(error) => return Err(error),
        };
        // A crash cuts one commit short, and writes no type of block that there is not.
        let by_crash = commits == CommitStyle::Direct
            && first
            && !matches!(error, Error::Corrupt { damage: Damage::BlockType { .. }, .. });
        let goes_on = by_crash || mode == OpenMode::Recovery && given_up < GIVEN_UP_MAX;
        if !error.is_damage() || !goes_on {
            return Err(error);
        }
        cut_short |= by_crash;
        given_up += 1;
        passed_over.push(PassedOver { offset: position, error });
        last = position.checked_sub(BLOCK_SIZE);
    }
}

fn holds_nothing(snapshot: &Snapshot) -> bool {
    let header = snapshot.header();
    [header.by_seq, header.by_id, header.local].iter().all(Option::is_none)
}

/// Why there is no state to go on from: the newest damage, if a commit was given up for it.
fn why_nothing(name: &FileName, given_up: usize, passed_over: Vec<PassedOver>) -> Error {
    let newest = passed_over.into_iter().next().filter(|_| given_up > 0);
    newest.map_or_else(|| no_header(name), |passed| passed.error)
}

fn no_header(name: &FileName) -> Error {
    Error::NoHeader { file: name.clone() }
}

/// A file whose checksum is not known yet.
pub(super) struct Probe<'a> {
    pub(super) name: &'a FileName,
    pub(super) device: &'a Arc<dyn BlockDevice>,
}

impl Probe<'_> {
    fn len(&self) -> Result<u64> {
        self.device.len().map_err(|source| Error::io(IoOp::Length, self.name, None, source))
    }

    /// The last block of which there is more than the type byte.
    fn last_block(&self) -> Result<Option<u64>> {
        let end = self.len()?.checked_sub(2);
        Ok(end.map(|end| end - end % BLOCK_SIZE))
    }

    pub(super) fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let read = self
            .device
            .read_at(offset, &mut bytes)
            .map_err(|source| Error::io(IoOp::Read, self.name, offset, source))?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// The newest header at or before block `last`; `None` where there is none.
    pub(super) fn search_back(
        &self,
        last: Option<u64>,
        mode: OpenMode,
        passed_over: &mut Vec<PassedOver>,
    ) -> Result<Option<Snapshot>> {
        let mut end = last.map_or(0, |last| last + BLOCK_SIZE);
        while end > 0 {
            let start = end.saturating_sub(BLOCKS_PER_READ * BLOCK_SIZE);
            let bytes = self.read(start, (end - start) as usize)?;
            let blocks = bytes.chunks(BLOCK_SIZE as usize).enumerate().rev();
            for (index, block) in blocks {
                let position = start + index as u64 * BLOCK_SIZE;
                match self.header_in(block, position) {
                    Ok(Some(snapshot)) => return Ok(Some(snapshot)),
                    Ok(None) => {}
                    Err(error @ (Error::Version { .. } | Error::Encrypted { .. })) => {
                        return Err(error);
                    }
                    // Compactions of old libraries left a stray 1 at offset 0 (MB-38788).
                    Err(Error::Corrupt { .. }) if position == 0 => {}
                    Err(error @ Error::Corrupt { .. })
                        if mode == OpenMode::Recovery || planted(Canary::PassOverDamage) =>
                    {
                        if passed_over.len() < PASSED_OVER_MAX {
                            passed_over.push(PassedOver { offset: position, error });
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
            end = start;
        }
        Ok(None)
    }

    /// The next header at or behind block `first`, whatever stands in between.
    pub(super) fn search_forward(&self, first: u64) -> Result<Option<Snapshot>> {
        let length = self.len()?;
        let mut start = first;
        while start < length {
            let bytes = self.read(start, (BLOCKS_PER_READ * BLOCK_SIZE) as usize)?;
            if bytes.is_empty() {
                break;
            }
            for (index, block) in bytes.chunks(BLOCK_SIZE as usize).enumerate() {
                let position = start + index as u64 * BLOCK_SIZE;
                match self.header_in(block, position) {
                    Ok(Some(snapshot)) => return Ok(Some(snapshot)),
                    Ok(None) | Err(Error::Corrupt { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            start += BLOCKS_PER_READ * BLOCK_SIZE;
        }
        Ok(None)
    }

    /// The header at `position` exactly.
    pub(super) fn header_at(&self, position: u64) -> Result<Option<Snapshot>> {
        let block = self.read(position, BLOCK_SIZE as usize)?;
        self.header_in(&block, position)
    }

    /// Decodes a block: `None` for one that holds no header.
    pub(super) fn header_in(&self, block: &[u8], position: u64) -> Result<Option<Snapshot>> {
        match block.first() {
            None | Some(&(block::DATA | block::METADATA)) => return Ok(None),
            Some(&block::HEADER) => {}
            Some(&found) => {
                return Err(Error::corrupt(self.name, position, Damage::BlockType { found }));
            }
        }
        let (header, length) = match Header::decode_block(block, position) {
            Ok(decoded) => decoded,
            Err(HeaderFault::Damage(damage)) => {
                return Err(Error::corrupt(self.name, position, damage));
            }
            Err(HeaderFault::Version(version)) => {
                let file = self.name.clone();
                return Err(Error::Version { file, offset: position, version });
            }
        };
        if header.has_metadata {
            self.refuse_encryption()?;
        }
        let file = LogFile {
            name: self.name.clone(),
            device: self.device.clone(),
            checksum: Checksum::of_version(header.disk_version),
        };
        Ok(Some(Snapshot::new(file, header, position, position + length)))
    }

    fn refuse_encryption(&self) -> Result<()> {
        let block = self.read(0, METADATA_LEN_MAX)?;
        let key_id =
            metadata::key_id(&block).map_err(|damage| Error::corrupt(self.name, 0, damage))?;
        match key_id.is_empty() {
            true => Ok(()),
            false => Err(Error::Encrypted { file: self.name.clone(), key_id }),
        }
    }
}
