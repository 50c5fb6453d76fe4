//! Appending chunks and headers through a buffer.

use super::LogFile;
use crate::error::{Error, Result};
use crate::event::{Content, Event, Events};
use crate::format::block;
use crate::format::chunk::{ChunkHead, HEAD_LEN};
use crate::format::header::Header;
use crate::limits::{CHUNK_LEN_MAX, POSITION_MAX};

/// Bytes gathered before they go to the device in one write.
const BUFFER_SIZE: usize = 256 << 10;

/// Where an appended chunk lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Byte offset of the chunk, as pointers to it say.
    pub position: u64,
    /// Head and body, in bytes, without the type bytes of blocks.
    pub disk_size: u64,
}

/// Appends to one file. What was appended reaches the device in large pieces, at the latest with
/// [`flush`](Self::flush); after an error the caller goes back with [`reset`](Self::reset).
#[derive(Debug)]
pub struct ChunkWriter {
    file: LogFile,
    events: Events,
    buffer: Vec<u8>,
    buffer_start: u64,
}

impl ChunkWriter {
    /// A writer that goes on at byte `end` of the file, its length.
    pub fn new(file: LogFile, end: u64, events: Events) -> Self {
        ChunkWriter { file, events, buffer: Vec::new(), buffer_start: end }
    }

    /// The file that is written.
    pub fn file(&self) -> &LogFile {
        &self.file
    }

    /// Where events go.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Position of the next byte appended: the file's length once the buffer is flushed.
    pub fn end(&self) -> u64 {
        self.buffer_start + self.buffer.len() as u64
    }

    /// First byte that is still in the buffer only. Chunks [appended](Self::append) before it are
    /// on the device whole.
    pub fn flushed(&self) -> u64 {
        self.buffer_start
    }

    /// Appends a chunk, which goes to the device as a whole: a tree node can be asked for before the
    /// next flush.
    pub fn append(&mut self, body: &[u8], content: Content) -> Result<Appended> {
        let checksum = self.file.checksum.of(body);
        let appended = self.begin(body.len(), checksum, content)?;
        block::weave(self.end(), body, &mut self.buffer);
        self.flush_if_full()?;
        Ok(appended)
    }

    /// Begins a chunk whose body follows through [`extend`](Self::extend), in pieces. Does not write.
    pub fn begin(&mut self, length: usize, checksum: u32, content: Content) -> Result<Appended> {
        if length > CHUNK_LEN_MAX {
            let (what, max) = ("length of a chunk", CHUNK_LEN_MAX as u64);
            return Err(Error::TooLarge { what, value: length as u64, max });
        }
        let position = self.end();
        let end = block::advance(position, (HEAD_LEN + length) as u64);
        check_length(end)?;
        let head = ChunkHead { length: length as u32, checksum };
        self.events.emit(|| Event::Appended {
            file: self.file.name.clone(),
            position,
            end,
            content,
        });
        block::weave(self.end(), &head.encode(), &mut self.buffer);
        Ok(Appended { position, disk_size: head.disk_size() })
    }

    /// Appends payload bytes of the chunk that was begun.
    pub fn extend(&mut self, payload: &[u8]) -> Result<()> {
        for piece in payload.chunks(BUFFER_SIZE) {
            block::weave(self.end(), piece, &mut self.buffer);
            self.flush_if_full()?;
        }
        Ok(())
    }

    fn flush_if_full(&mut self) -> Result<()> {
        if self.buffer.len() >= BUFFER_SIZE { self.flush() } else { Ok(()) }
    }

    /// Appends a header at the next block boundary, its block's type byte being `block_type`.
    /// Returns its position.
    pub fn append_header(&mut self, header: &Header, block_type: u8) -> Result<u64> {
        let position = block::next_boundary(self.end());
        let block = header.encode_block(block_type);
        check_length(position + block.len() as u64)?;
        let slack = (position - self.end()) as usize;
        self.buffer.resize(self.buffer.len() + slack, 0);
        self.buffer.extend_from_slice(&block);
        self.events.emit(|| Event::Appended {
            file: self.file.name.clone(),
            position,
            end: self.end(),
            content: Content::Header,
        });
        Ok(position)
    }

    /// Hands everything appended so far to the device.
    pub fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.file.write_at(self.buffer_start, &self.buffer, &self.events)?;
        self.buffer_start += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Forgets what is in the buffer and goes on at byte `end`.
    pub fn reset(&mut self, end: u64) {
        self.buffer.clear();
        self.buffer_start = end;
    }
}

/// What lies behind the largest position cannot be pointed at.
fn check_length(end: u64) -> Result<()> {
    match end > POSITION_MAX {
        true => Err(Error::TooLarge { what: "file length", value: end, max: POSITION_MAX }),
        false => Ok(()),
    }
}
