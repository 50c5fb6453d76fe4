//! Where each document went: sequence number → new position, or left behind.
//!
//! Built in sequence order while bodies are copied, and asked in id order while by-id is built, so
//! that by-id needs no sort (ARCHITECTURE.md, Copying without a sort). Columns of whole bytes, as few as
//! a block needs: about 4 bytes a document, and a lookup decodes the one entry it is for. What is beyond
//! the memory given goes to a file of the volume.

use std::sync::Arc;

use crate::device::{BlockDevice, Volume};
use crate::error::{Error, IoOp, Result};
use crate::event::{Events, FileName};
use crate::store::remove;

/// Documents in a block, whose entries are differences from the block's least.
const BLOCK_ENTRIES: usize = 64;

/// What became of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was left behind.
    Dropped,
    /// It was copied.
    Kept {
        /// Byte offset of its body's chunk in the target; 0 without a body.
        position: u64,
        /// Disk size of the chunk, in bytes.
        size: u64,
    },
}

/// The table. Sequence numbers must be added in rising order.
#[derive(Debug)]
pub(super) struct SeqTable {
    /// Of each block, apart from the rest because lookups search through them.
    first_seqs: Vec<u64>,
    blocks: Vec<Block>,
    /// The columns behind `spilled` bytes that are in the file.
    data: Vec<u8>,
    spilled: u64,
    memory: usize,
    spill: Spill,
    /// Entries of the block to come.
    open: Vec<(u64, Fate)>,
    /// The block asked for last, from the file.
    cached: Option<(usize, Vec<u8>)>,
}

/// One block: a column of sequence numbers, as differences from the first; then one of positions, from
/// the least on, after [`DROPPED`] and [`NO_BODY`]; then one of sizes, from the least on.
#[derive(Debug)]
struct Block {
    start: u64,
    least_position: u64,
    least_size: u64,
    entries: u8,
    /// Bytes of a number, for each column. Consecutive sequence numbers need none.
    widths: [u8; 3],
}

/// In the column of positions: what was left behind.
const DROPPED: u64 = 0;
/// In the column of positions: what has no body.
const NO_BODY: u64 = 1;
/// In the column of positions: the least that there is.
const FIRST_POSITION: u64 = 2;

impl Block {
    /// Number `index` of a column.
    fn number(&self, bytes: &[u8], column: usize, index: usize) -> u64 {
        let entries = usize::from(self.entries);
        let before: usize = self.widths[..column].iter().map(|w| usize::from(*w) * entries).sum();
        let width = usize::from(self.widths[column]);
        let bytes = bytes.get(before + index * width..).unwrap_or_default();
        let mut word = [0; 8];
        match bytes.first_chunk() {
            // Nearly always: more than is wanted, without a loop.
            Some(eight) => word = *eight,
            None => word[..bytes.len()].copy_from_slice(bytes),
        }
        let unwanted = 64 - 8 * u32::from(self.widths[column]);
        u64::from_le_bytes(word) & u64::MAX.checked_shr(unwanted).unwrap_or(0)
    }

    /// Which entry has the sequence number that is so far from the first.
    fn index(&self, bytes: &[u8], difference: u64) -> Option<usize> {
        let entries = usize::from(self.entries);
        if self.widths[0] == 0 {
            return usize::try_from(difference).ok().filter(|index| *index < entries);
        }
        let (mut low, mut high) = (0, entries);
        while low < high {
            let middle = (low + high) / 2;
            match self.number(bytes, 0, middle) < difference {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        (low < entries && self.number(bytes, 0, low) == difference).then_some(low)
    }

    fn fate(&self, bytes: &[u8], index: usize) -> Fate {
        match self.number(bytes, 1, index) {
            DROPPED => Fate::Dropped,
            NO_BODY => Fate::Kept { position: 0, size: 0 },
            position => Fate::Kept {
                position: self.least_position + (position - FIRST_POSITION),
                size: self.least_size + self.number(bytes, 2, index),
            },
        }
    }

    fn len(&self) -> usize {
        self.widths.iter().map(|width| usize::from(*width)).sum::<usize>()
            * usize::from(self.entries)
    }
}

/// The file beyond the memory; removed with the table.
#[derive(Debug)]
struct Spill {
    volume: Arc<dyn Volume>,
    name: FileName,
    device: Option<Arc<dyn BlockDevice>>,
    events: Events,
}

impl Drop for Spill {
    fn drop(&mut self) {
        if self.device.take().is_some() {
            // A leftover is harmless, and swept when the vbucket is opened.
            let _ = remove(self.volume.as_ref(), &self.name, &self.events);
        }
    }
}

impl SeqTable {
    /// An empty table that goes to the file `name` beyond `memory` bytes.
    pub(super) fn new(
        volume: Arc<dyn Volume>,
        name: FileName,
        memory: usize,
        events: Events,
    ) -> Self {
        SeqTable {
            first_seqs: Vec::new(),
            blocks: Vec::new(),
            data: Vec::new(),
            spilled: 0,
            memory,
            spill: Spill { volume, name, device: None, events },
            open: Vec::with_capacity(BLOCK_ENTRIES),
            cached: None,
        }
    }

    /// Adds a document; its sequence number must be above all before.
    pub(super) fn push(&mut self, seq: u64, fate: Fate) -> Result<()> {
        self.open.push((seq, fate));
        match self.open.len() < BLOCK_ENTRIES {
            true => Ok(()),
            false => self.close_block(),
        }
    }

    /// What became of a document; `None` for a sequence number that was never added.
    pub(super) fn find(&mut self, seq: u64) -> Result<Option<Fate>> {
        self.close_block()?;
        let Some(index) = self.first_seqs.partition_point(|first| *first <= seq).checked_sub(1)
        else {
            return Ok(None);
        };
        let (block, first_seq) = (&self.blocks[index], self.first_seqs[index]);
        if block.start < self.spilled && self.cached.as_ref().is_none_or(|(i, _)| *i != index) {
            let bytes = self.read_spilled(block)?;
            self.cached = Some((index, bytes));
        }
        let bytes = match &self.cached {
            Some((cached, bytes)) if *cached == index => bytes.as_slice(),
            _ => {
                let start = block.start.saturating_sub(self.spilled) as usize;
                self.data.get(start..).unwrap_or_default()
            }
        };
        let entry = block.index(bytes, seq - first_seq);
        Ok(entry.map(|entry| block.fate(bytes, entry)))
    }

    /// Writes the entries that are open as a block.
    fn close_block(&mut self) -> Result<()> {
        let [(first_seq, _), ..] = self.open[..] else { return Ok(()) };
        if self.data.len() > self.memory {
            self.spill_data()?;
        }
        let bodies = self.open.iter().filter_map(|(_, fate)| match fate {
            Fate::Kept { position: position @ 1.., size } => Some((*position, *size)),
            _ => None,
        });
        let least = bodies.reduce(|a, b| (a.0.min(b.0), a.1.min(b.1)));
        let (least_position, least_size) = least.unwrap_or_default();
        let mut columns = [[0; BLOCK_ENTRIES]; 3];
        for (index, (seq, fate)) in self.open.iter().enumerate() {
            columns[0][index] = seq - first_seq;
            (columns[1][index], columns[2][index]) = match *fate {
                Fate::Dropped => (DROPPED, 0),
                Fate::Kept { position: 0, .. } => (NO_BODY, 0),
                Fate::Kept { position, size } => {
                    (position - least_position + FIRST_POSITION, size - least_size)
                }
            };
        }
        let entries = self.open.len();
        let mut widths = columns.map(|column| column.into_iter().max().map_or(0, bytes_of));
        if columns[0][entries - 1] == entries as u64 - 1 {
            widths[0] = 0;
        }
        let start = self.spilled + self.data.len() as u64;
        for (column, width) in columns.iter().zip(widths) {
            for number in &column[..entries] {
                self.data.extend_from_slice(&number.to_le_bytes()[..usize::from(width)]);
            }
        }
        self.first_seqs.push(first_seq);
        let entries = entries as u8;
        self.blocks.push(Block { start, least_position, least_size, entries, widths });
        self.open.clear();
        Ok(())
    }

    fn spill_data(&mut self) -> Result<()> {
        let Spill { volume, name, device, .. } = &mut self.spill;
        let device = match device {
            Some(device) => device,
            None => {
                let created = volume.create_new(name);
                let failed = |source| Error::io(IoOp::Create, name, None, source);
                device.insert(created.map_err(failed)?)
            }
        };
        device
            .write_at(self.spilled, &self.data)
            .map_err(|source| Error::io(IoOp::Write, name, self.spilled, source))?;
        self.spilled += self.data.len() as u64;
        self.data.clear();
        Ok(())
    }

    fn read_spilled(&self, block: &Block) -> Result<Vec<u8>> {
        let Spill { device, name, .. } = &self.spill;
        let mut bytes = vec![0; block.len()];
        let read = device.as_ref().map_or(Ok(0), |device| device.read_at(block.start, &mut bytes));
        let short = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        let failed = |source| Error::io(IoOp::Read, name, block.start, source);
        match read.map_err(failed)? == bytes.len() {
            true => Ok(bytes),
            false => Err(failed(short())),
        }
    }
}

/// How many bytes a number needs.
fn bytes_of(number: u64) -> u8 {
    (u64::BITS - number.leading_zeros()).div_ceil(8) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::MemoryVolume;

    #[test]
    fn finds_what_was_added_in_memory_and_in_the_file() {
        for memory in [0, 700, 1 << 20] {
            let volume = MemoryVolume::new();
            let name = FileName::from("table");
            let mut table = SeqTable::new(Arc::new(volume.clone()), name, memory, Events::none());
            let fate = |seq: u64| match seq % 7 {
                0 => Fate::Dropped,
                1 => Fate::Kept { position: 0, size: 0 },
                2 => Fate::Kept { position: seq * 1000, size: 300 + seq },
                _ => Fate::Kept { position: seq * 1000, size: 300 },
            };
            let seqs = (1..1000).map(|n| n * (1 + n % 3));
            // A run without gaps, too, and positions and sequence numbers as far apart as there are.
            let seqs = seqs.chain(1500..1700).chain([1 << 24, 1 << 40, (1 << 48) - 1]);
            let rising: std::collections::BTreeSet<u64> = seqs.collect();
            for seq in &rising {
                table.push(*seq, fate(*seq)).unwrap();
            }
            for seq in 0..3100 {
                let expected = rising.contains(&seq).then(|| fate(seq));
                assert_eq!(table.find(seq).unwrap(), expected, "{seq} with {memory} bytes");
            }
            for seq in rising {
                assert_eq!(table.find(seq).unwrap(), Some(fate(seq)), "{seq} with {memory} bytes");
            }
            drop(table);
            assert!(volume.list().unwrap().is_empty(), "the file goes with the table");
        }
    }
}
