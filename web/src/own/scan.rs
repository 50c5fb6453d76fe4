//! What lies where in a file, found by going through its bytes: chunks follow on one another, and each
//! says how long it is. No tree is asked, so it works however damaged they are; what is live, and what
//! exactly a chunk is, trees tell later.

use tailswap::event::Content;
use tailswap::format::block;
use tailswap::format::checksum::Checksum;
use tailswap::format::chunk::{ChunkHead, HEAD_LEN};
use tailswap::format::header::{Header, HeaderFault};
use tailswap::limits::{BLOCK_SIZE, HEADER_LEN_MAX};
use tailswap::store::check::{Finding, Severity};

use super::bytes::HeldBytes;
use crate::file_history::Chunk;

/// Bytes of a header's block before what its length counts.
const HEADER_HEAD: u64 = 5;
/// How many findings are kept: a file can be nothing but damage.
const FINDINGS_MAX: usize = 1000;
/// Bytes of an uncompressed node before its first key: its kind, and the entry's lengths.
const NODE_HEAD: usize = 6;

/// A header that was committed.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct FoundHeader {
    pub position: u64,
    pub end: u64,
    pub header: Header,
}

/// What a file's bytes are.
#[derive(Debug)]
pub(super) struct Scan {
    /// From the first byte to the last, without a gap. Moments are counted by headers: a chunk is born
    /// with the first one behind it.
    pub chunks: Vec<Chunk>,
    /// In the order in which they lie in the file.
    pub headers: Vec<FoundHeader>,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    bytes: HeldBytes,
    length: u64,
    checksum: Checksum,
}

impl Scan {
    /// Goes through a whole file.
    pub(super) fn of(bytes: &HeldBytes) -> Scan {
        let length = bytes.all().len() as u64;
        // One kind for the whole file; that of version 11 was another.
        let mut blocks = (0..length).step_by(BLOCK_SIZE as usize);
        let version = blocks.find_map(|at| Some(header_at(bytes, at)?.ok()?.0.disk_version));
        let mut scan = Scan {
            chunks: Vec::new(),
            headers: Vec::new(),
            findings: Vec::new(),
            bytes: bytes.clone(),
            length,
            checksum: version.map_or(Checksum::Crc32c, Checksum::of_version),
        };
        let mut at = 0;
        while at < length {
            at = scan.step(at);
        }
        scan
    }

    /// Tells what begins at `at`; returns where that ends.
    fn step(&mut self, at: u64) -> u64 {
        let header = header_at(&self.bytes, at);
        if let Some(Ok((header, length))) = header {
            let end = at + length;
            self.push(at, end, Content::Header, false);
            self.headers.push(FoundHeader { position: at, end, header });
            return end;
        }
        if let Some(end) = self.uncommitted_header(at) {
            self.push(at, end, Content::Header, false);
            return end;
        }
        // No chunk begins with the file's first byte, which is the type of a block.
        let start = at.max(1);
        if let Some(FoundChunk { end, body, is_right }) =
            chunk_at(&self.bytes, self.checksum, start)
            && (is_right || self.is_followed(end))
        {
            if start > at {
                self.push(at, start, Content::Slack, false);
            }
            self.push(start, end, self.guess(body, end), !is_right);
            if !is_right {
                self.find(start, "the checksum is not that of the chunk's body".to_owned());
            }
            let wrong = wrong_types(&self.bytes, start, end).next();
            if let Some(at) = wrong {
                self.find(at, "the type of a block within a chunk is none of data".to_owned());
            }
            return end;
        }
        match header {
            Some(Err(fault)) => self.bad_header(at, &fault),
            _ => self.nothing(at),
        }
    }

    fn push(&mut self, start: u64, end: u64, content: Content, is_damaged: bool) {
        let born = self.headers.len();
        let chunk = Chunk { is_damaged, died: born, ..Chunk::new(start, end, content, born) };
        match self.chunks.last_mut() {
            Some(last) if content == Content::Slack && chunk == Chunk { start, end, ..*last } => {
                last.end = end;
            }
            _ => self.chunks.push(chunk),
        }
    }

    fn find(&mut self, offset: u64, what: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { severity: Severity::Warning, offset, what });
        }
    }

    /// Where a header ends that was written and never committed: its block is still one of data.
    fn uncommitted_header(&self, at: u64) -> Option<u64> {
        if !block::is_boundary(at) {
            return None;
        }
        let (kind, length) = self.bytes.between(at, at + HEADER_HEAD).split_first()?;
        let length = u64::from(u32::from_be_bytes(length.try_into().ok()?));
        if *kind != block::DATA || length > HEADER_LEN_MAX as u64 {
            return None;
        }
        let mut flipped = self.bytes.between(at, at + HEADER_HEAD + length).to_vec();
        *flipped.first_mut()? = block::HEADER;
        Header::decode_block(&flipped, at).ok().map(|(_, length)| at + length)
    }

    /// Whether something follows there that bears out that a chunk ends there.
    fn is_followed(&self, end: u64) -> bool {
        let boundary = block::next_boundary(end).min(self.length);
        let is_slack = self.bytes.between(end, boundary).iter().all(|byte| *byte == 0);
        let is_end = || boundary == self.length || header_at(&self.bytes, boundary).is_some();
        (is_slack && is_end())
            || chunk_at(&self.bytes, self.checksum, end).is_some_and(|chunk| chunk.is_right)
    }

    /// A node, or the body of a document: which of the two mostly shows at the beginning.
    fn guess(&self, body: u64, end: u64) -> Content {
        let begins = payload(&self.bytes, body, block::advance(body, 16).min(end));
        match first_key_length(&begins) {
            None => Content::Body { seq: 0 },
            Some(6) => Content::BySeqNode,
            Some(_) => Content::ByIdNode,
        }
    }

    /// A block says that it begins with a header, and there is none.
    fn bad_header(&mut self, at: u64, fault: &HeaderFault) -> u64 {
        self.find(
            at,
            match fault {
                HeaderFault::Damage(damage) => damage.to_string(),
                HeaderFault::Version(version) => format!("a header of disk version {version}"),
            },
        );
        let length = self.bytes.between(at + 1, at + HEADER_HEAD).try_into();
        let length = length.map_or(0, |bytes| u64::from(u32::from_be_bytes(bytes)));
        let length = if length > HEADER_LEN_MAX as u64 { 0 } else { length };
        let end = (at + HEADER_HEAD + length).min(self.length);
        self.push(at, end, Content::Header, true);
        end
    }

    /// What is left of a block is nothing, or nobody knows what. Old libraries left some bytes free
    /// between two chunks.
    fn nothing(&mut self, at: u64) -> u64 {
        let end = block::next_boundary(at + 1).min(self.length);
        let left = self.bytes.between(at, end);
        let empty = left.iter().position(|byte| *byte != 0).unwrap_or(left.len()) as u64;
        if empty > 0 {
            self.push(at, at + empty, Content::Slack, false);
            return at + empty;
        }
        let goes_on = self.chunks.last().is_some_and(|last| {
            last.is_damaged && last.content == Content::Slack && last.born == self.headers.len()
        });
        if !goes_on {
            self.find(at, "bytes that are no chunk".to_owned());
        }
        self.push(at, end, Content::Slack, true);
        end
    }
}

/// A chunk, as it says itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct FoundChunk {
    pub(super) end: u64,
    /// Where its body begins.
    body: u64,
    /// Whether its checksum is.
    pub(super) is_right: bool,
}

/// The chunk that begins there; `None` if it cannot be one.
pub(super) fn chunk_at(bytes: &HeldBytes, checksum: Checksum, start: u64) -> Option<FoundChunk> {
    let body = block::advance(start, HEAD_LEN as u64);
    let head = ChunkHead::decode(payload(bytes, start, body).as_slice().try_into().ok()?).ok()?;
    let end = block::advance(start, head.disk_size());
    // One wrong type of a block may be damage; several, and it is no chunk that lies across them.
    if end > bytes.all().len() as u64 || wrong_types(bytes, start, end).nth(1).is_some() {
        return None;
    }
    let (mut sum, mut at) = (0, body);
    while at < end {
        at += u64::from(block::is_boundary(at));
        let stop = block::next_boundary(at).min(end);
        sum = checksum.extend(sum, bytes.between(at, stop));
        at = stop;
    }
    Some(FoundChunk { end, body, is_right: sum == head.checksum })
}

/// Bytes without the types of blocks.
fn payload(bytes: &HeldBytes, start: u64, end: u64) -> Vec<u8> {
    let mut payload = Vec::new();
    block::strip(start, bytes.between(start, end), &mut payload);
    payload
}

/// Blocks that begin within a chunk and are not of data.
fn wrong_types(bytes: &HeldBytes, start: u64, end: u64) -> impl Iterator<Item = u64> {
    let blocks = (block::next_boundary(start)..end).step_by(BLOCK_SIZE as usize);
    blocks.filter(|at| bytes.between(*at, at + 1) != [block::DATA])
}

/// The header in a block that says that there is one.
fn header_at(bytes: &HeldBytes, at: u64) -> Option<Result<(Header, u64), HeaderFault>> {
    let is_header = block::is_boundary(at) && bytes.between(at, at + 1) == [block::HEADER];
    is_header.then(|| Header::decode_block(bytes.between(at, at + BLOCK_SIZE), at))
}

/// How long the first key is of what begins as the compressed node of a tree does: how long it
/// becomes, then bytes that are copied as they are, of which the first say the node's kind and how
/// long the first key and value are.
fn first_key_length(compressed: &[u8]) -> Option<u64> {
    let width = compressed.iter().take(5).position(|byte| byte & 0x80 == 0)? + 1;
    let (varint, rest) = compressed.split_at(width);
    let length = varint.iter().rev().fold(0, |all, byte| all << 7 | u64::from(byte & 0x7f));
    let (tag, rest) = rest.split_first()?;
    // Of long literals the length follows.
    let skipped = usize::from(tag >> 2).saturating_sub(59);
    let (literal, rest) = (tag & 3 == 0, rest.get(skipped..)?);
    let (kind, lengths) = rest.first_chunk::<NODE_HEAD>()?.split_first()?;
    let lengths = lengths.iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
    let (key, value) = (lengths >> 28, lengths & 0x0fff_ffff);
    (literal && *kind <= 1 && NODE_HEAD as u64 + key + value <= length).then_some(key)
}
