//! Where each document went: sequence number → new position, or left behind.
//!
//! Built in sequence order while bodies are copied, and asked in id order while by-id is built, so
//! that by-id needs no sort (ARCHITECTURE.md, Copying without a sort). Delta-coded, about 4 bytes a
//! document; what is beyond the memory given goes to a file of the volume.

use std::sync::Arc;

use crate::device::{BlockDevice, Volume};
use crate::error::{Error, IoOp, Result};
use crate::event::{Events, FileName};
use crate::store::remove;

/// Documents in a block, within which entries are deltas.
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
    blocks: Vec<Block>,
    /// The encoded entries behind `spilled` bytes that are in the file.
    data: Vec<u8>,
    spilled: u64,
    memory: usize,
    spill: Spill,
    entries: usize,
    last: (u64, u64, u64),
    /// The block asked for last, from the file.
    cached: Option<(usize, Vec<u8>)>,
}

#[derive(Debug)]
struct Block {
    first_seq: u64,
    first_position: u64,
    first_size: u64,
    start: u64,
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
            blocks: Vec::new(),
            data: Vec::new(),
            spilled: 0,
            memory,
            spill: Spill { volume, name, device: None, events },
            entries: 0,
            last: (0, 0, 0),
            cached: None,
        }
    }

    /// Adds a document; its sequence number must be above all before.
    pub(super) fn push(&mut self, seq: u64, fate: Fate) -> Result<()> {
        if self.entries.is_multiple_of(BLOCK_ENTRIES) {
            if self.data.len() > self.memory {
                self.spill_data()?;
            }
            let start = self.spilled + self.data.len() as u64;
            let (_, first_position, first_size) = self.last;
            self.blocks.push(Block { first_seq: seq, first_position, first_size, start });
            self.last.0 = seq;
        }
        self.entries += 1;
        let (last_seq, last_position, last_size) = self.last;
        let delta = (seq - last_seq) << 2;
        match fate {
            Fate::Dropped => put_varint(&mut self.data, delta),
            Fate::Kept { position: 0, .. } => put_varint(&mut self.data, delta | 1),
            Fate::Kept { position, size } => {
                let same_size = u64::from(size == last_size);
                put_varint(&mut self.data, delta | 2 | same_size);
                put_varint(&mut self.data, position - last_position);
                if size != last_size {
                    put_varint(&mut self.data, size);
                }
                (self.last.1, self.last.2) = (position, size);
            }
        }
        self.last.0 = seq;
        Ok(())
    }

    /// What became of a document; `None` for a sequence number that was never added.
    pub(super) fn find(&mut self, seq: u64) -> Result<Option<Fate>> {
        let Some(index) = self.blocks.partition_point(|b| b.first_seq <= seq).checked_sub(1) else {
            return Ok(None);
        };
        let block = &self.blocks[index];
        let mut entry = (block.first_seq, block.first_position, block.first_size);
        let end = self.blocks.get(index + 1).map(|next| next.start);
        let end = end.unwrap_or(self.spilled + self.data.len() as u64);
        if block.start < self.spilled && self.cached.as_ref().is_none_or(|(i, _)| *i != index) {
            let bytes = self.read_spilled(block.start, end)?;
            self.cached = Some((index, bytes));
        }
        let mut bytes = match &self.cached {
            Some((cached, bytes)) if *cached == index => bytes.as_slice(),
            _ => {
                let start = (self.blocks[index].start - self.spilled) as usize;
                self.data.get(start..(end - self.spilled) as usize).unwrap_or_default()
            }
        };
        while let Some(word) = take_varint(&mut bytes) {
            entry.0 += word >> 2;
            let fate = match word & 3 {
                0 => Fate::Dropped,
                1 => Fate::Kept { position: 0, size: 0 },
                kind => {
                    entry.1 += take_varint(&mut bytes).unwrap_or_default();
                    if kind == 2 {
                        entry.2 = take_varint(&mut bytes).unwrap_or_default();
                    }
                    Fate::Kept { position: entry.1, size: entry.2 }
                }
            };
            if entry.0 == seq {
                return Ok(Some(fate));
            }
            if entry.0 > seq {
                break;
            }
        }
        Ok(None)
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

    fn read_spilled(&self, start: u64, end: u64) -> Result<Vec<u8>> {
        let Spill { device, name, .. } = &self.spill;
        let mut bytes = vec![0; (end - start) as usize];
        let read = device.as_ref().map_or(Ok(0), |device| device.read_at(start, &mut bytes));
        let short = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        let failed = |source| Error::io(IoOp::Read, name, start, source);
        match read.map_err(failed)? == bytes.len() {
            true => Ok(bytes),
            false => Err(failed(short())),
        }
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    // Nearly all are so short, and a lookup passes many.
    match **bytes {
        [a, ref rest @ ..] if a < 0x80 => {
            *bytes = rest;
            return Some(u64::from(a));
        }
        [a, b, ref rest @ ..] if b < 0x80 => {
            *bytes = rest;
            return Some(u64::from(a & 0x7f) | u64::from(b) << 7);
        }
        _ => {}
    }
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
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
            let seqs: Vec<u64> = (1..1000).map(|n| n * (1 + n % 3)).collect();
            let rising: std::collections::BTreeSet<u64> = seqs.into_iter().collect();
            for seq in &rising {
                table.push(*seq, fate(*seq)).unwrap();
            }
            for seq in 0..3100 {
                let expected = rising.contains(&seq).then(|| fate(seq));
                assert_eq!(table.find(seq).unwrap(), expected, "{seq} with {memory} bytes");
            }
            drop(table);
            assert!(volume.list().unwrap().is_empty(), "the file goes with the table");
        }
    }
}
