//! The first pass: the type of every block, and where the headers are.

use std::ops::Range;

use super::super::open::Probe;
use super::report::{Report, Severity};
use crate::chunklog::LogFile;
use crate::error::{Damage, Error, Result};
use crate::format::block;
use crate::format::header::Header;
use crate::limits::{BLOCK_SIZE, HEADER_LEN_MAX};

/// Blocks looked at in one step.
const BLOCKS_PER_STEP: u64 = 64;
/// Blocks of a wrong type that are remembered, so that memory is bounded whatever the file holds.
const ODD_BLOCKS_MAX: usize = 10_000;

/// A scan of a file's blocks under way.
#[derive(Debug)]
pub(super) struct Scan {
    file: LogFile,
    /// Position of the newest header: what lies behind is a crash's tail, or was reported by opening.
    newest: u64,
    length: u64,
    next: u64,
    /// Positions of all headers, ascending, up to the newest.
    pub(super) headers: Vec<u64>,
    /// Blocks before the newest header whose type byte is none or who claim to be headers and are
    /// none, ascending.
    odd: Vec<Odd>,
    /// Stretches between a header and the earlier one that it points back at.
    passed_over: Vec<Range<u64>>,
}

/// A block that is not what it claims to be.
#[derive(Debug)]
struct Odd {
    position: u64,
    damage: Damage,
    /// Whether a chunk that is in use lies across.
    covered: bool,
}

impl Scan {
    pub(super) fn new(file: LogFile, newest: u64) -> Result<Self> {
        let length = file.len()?;
        let (headers, odd, passed_over) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Scan { file, newest, length, next: 0, headers, odd, passed_over })
    }

    /// Byte up to which blocks were looked at.
    pub(super) fn position(&self) -> u64 {
        self.next.min(self.length)
    }

    /// Looks at the next blocks; returns how many bytes those are, 0 at the end.
    pub(super) fn step(&mut self, report: &mut Report) -> Result<u64> {
        if self.next >= self.length {
            return Ok(0);
        }
        let file = self.file.clone();
        let probe = Probe { name: &file.name, device: &file.device };
        let bytes = probe.read(self.next, (BLOCKS_PER_STEP * BLOCK_SIZE) as usize)?;
        for block in bytes.chunks(BLOCK_SIZE as usize) {
            self.look_at(block, &probe, report)?;
            self.next += BLOCK_SIZE;
        }
        if bytes.is_empty() {
            self.next = self.length;
        }
        Ok(bytes.len() as u64)
    }

    fn look_at(&mut self, block: &[u8], probe: &Probe<'_>, report: &mut Report) -> Result<()> {
        let position = self.next;
        if is_unflipped_header(block, position) {
            let what = "a header that was never made one: its commit was cut short between its \
                        two syncs";
            report.add(Severity::Note, position, what);
        }
        // Beyond the newest header, opening has looked already.
        if position > self.newest {
            return Ok(());
        }
        match probe.header_in(block, position) {
            Ok(Some(_)) => self.headers.push(position),
            Ok(None) if block.first() == Some(&block::METADATA) && position != 0 => {
                self.add_odd(position, Damage::BlockType { found: block::METADATA });
            }
            Ok(None) => {}
            Err(Error::Corrupt { .. })
                if position == 0 && block.first() == Some(&block::HEADER) =>
            {
                let what = "block 0 claims to be a header and is none, as compactions of old \
                            libraries left it";
                report.add(Severity::Note, 0, what);
            }
            Err(Error::Corrupt { damage, .. }) => self.add_odd(position, damage),
            Err(error @ (Error::Version { .. } | Error::Encrypted { .. })) => {
                report.add_error(Severity::Problem, position, &error);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn add_odd(&mut self, position: u64, damage: Damage) {
        if self.odd.len() < ODD_BLOCKS_MAX {
            self.odd.push(Odd { position, damage, covered: false });
        }
    }

    /// Notes that the file's history goes from one header straight back to an earlier one.
    pub(super) fn pass_over(&mut self, between: Range<u64>) {
        self.passed_over.push(between);
    }

    fn is_passed_over(&self, position: u64) -> bool {
        self.passed_over.iter().any(|between| between.contains(&position))
    }

    /// Notes that a chunk that is in use lies there.
    pub(super) fn cover(&mut self, chunk: Range<u64>) {
        let first = self.odd.partition_point(|odd| odd.position < chunk.start);
        for odd in self.odd[first..].iter_mut().take_while(|odd| odd.position < chunk.end) {
            odd.covered = true;
        }
    }

    /// Reports the odd blocks, once it is known what lies across them. A header that is damaged
    /// takes a state with it. A type byte inside a chunk that is in use harms nothing yet, but it is
    /// damage, and would end the search for a header. Elsewhere nothing was lost.
    pub(super) fn finish(&mut self, report: &mut Report) {
        for Odd { position, damage, covered } in std::mem::take(&mut self.odd) {
            let (severity, place) = match damage {
                Damage::BlockType { .. } if !covered => (Severity::Warning, "in unused space"),
                _ if covered => (Severity::Problem, "inside a chunk that is in use"),
                // Going back from header to header passes it over: a recovery gave it up.
                _ if self.is_passed_over(position) => (Severity::Note, "given up by a recovery"),
                _ => (Severity::Problem, "an older state cannot be reached"),
            };
            report.add(severity, position, format!("{damage}: {place}"));
        }
    }
}

/// Whether a data block begins as a commit leaves it before it turns the type byte.
fn is_unflipped_header(block: &[u8], position: u64) -> bool {
    let Some((&[block::DATA, 0, 0, high, low], _)) = block.split_first_chunk() else {
        return false;
    };
    // Most data blocks are done with here.
    if usize::from(u16::from_be_bytes([high, low])) > HEADER_LEN_MAX {
        return false;
    }
    let mut flipped = block.get(..block.len().min(HEADER_LEN_MAX + 5)).unwrap_or_default().to_vec();
    if let Some(first) = flipped.first_mut() {
        *first = block::HEADER;
    }
    Header::decode_block(&flipped, position).is_ok()
}
