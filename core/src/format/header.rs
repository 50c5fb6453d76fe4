//! File headers: the root of everything a file holds at one commit (format, section 2).

use super::block;
use super::bytes::{Reader, put_uint};
use super::checksum::Checksum;
use super::pointer::{NodePointer, TreeKind};
use crate::error::Damage;
use crate::limits::{BLOCK_SIZE, HEADER_LEN_MAX};

/// Oldest disk version that is read.
pub const VERSION_MIN: u8 = 11;
/// Newest disk version that is read, and the one that new files get.
pub const VERSION_MAX: u8 = 14;
/// First version whose headers point at the one before.
pub const POINTS_BACK_FROM: u8 = 14;
/// Value of the previous-header field that means there is none: 47 bits, all one.
pub(super) const NO_PREVIOUS: u64 = (1 << 47) - 1;
/// Bytes of a header block before the header's body: type, length, checksum.
const BLOCK_HEAD: usize = 9;

/// A file header: one committed state of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Disk version, 11 to 14.
    pub disk_version: u8,
    /// Highest sequence number ever saved.
    pub update_seq: u64,
    /// Highest sequence number that was purged (or, from the reference's plain drop-deletes, a count).
    pub purge_seq: u64,
    /// Unused; 0 in every file seen.
    pub purge_ptr: u64,
    /// Nanoseconds since the Unix epoch, from the application; 0 before version 13.
    pub timestamp_ns: u64,
    /// Byte offset of the previous header. `Some(0)` means "look at block 0"; `None` before version
    /// 14 and where there is none.
    pub previous: Option<u64>,
    /// Whether block 0 holds the metadata of an encrypted file.
    pub has_metadata: bool,
    /// Root of the by-seq tree; `None` when it is empty.
    pub by_seq: Option<NodePointer>,
    /// Root of the by-id tree; `None` when it is empty.
    pub by_id: Option<NodePointer>,
    /// Root of the tree of local documents; `None` when it is empty.
    pub local: Option<NodePointer>,
}

/// Why a block that claims to be a header is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderFault {
    /// The bytes are damaged; recovery passes them over.
    Damage(Damage),
    /// The disk version is not known; nothing in the file can be trusted.
    Version(u8),
}

impl From<Damage> for HeaderFault {
    fn from(damage: Damage) -> Self {
        HeaderFault::Damage(damage)
    }
}

impl Header {
    /// Header of a file that holds nothing.
    pub fn empty(disk_version: u8) -> Self {
        Header {
            disk_version,
            update_seq: 0,
            purge_seq: 0,
            purge_ptr: 0,
            timestamp_ns: 0,
            previous: None,
            has_metadata: false,
            by_seq: None,
            by_id: None,
            local: None,
        }
    }

    /// Root of one of the trees.
    pub fn root(&self, tree: TreeKind) -> Option<NodePointer> {
        match tree {
            TreeKind::BySeq => self.by_seq,
            TreeKind::ById => self.by_id,
            TreeKind::Local => self.local,
        }
    }

    /// Decodes a header's body; `position` is the byte offset of its block.
    pub fn decode(body: &[u8], position: u64) -> Result<Self, HeaderFault> {
        let short = Damage::Length { what: "header", length: body.len() as u64 };
        let mut reader = Reader(body);
        let version = reader.u8().ok_or(short.clone())?;
        if !(VERSION_MIN..=VERSION_MAX).contains(&version) {
            return Err(HeaderFault::Version(version));
        }
        let mut header = Header::empty(version);
        let lengths = header.decode_fixed(&mut reader).ok_or(short.clone())?;
        if reader.0.len() != lengths.iter().map(|n| usize::from(*n)).sum::<usize>() {
            return Err(short.into());
        }
        if header.purge_ptr > position {
            let pointer = header.purge_ptr;
            return Err(Damage::Pointer { what: "purge pointer of the header", pointer }.into());
        }
        let [by_seq, by_id, local] = lengths;
        let mut root = |tree, length: u16| -> Result<Option<NodePointer>, Damage> {
            let bytes = reader.take(usize::from(length)).ok_or(short.clone())?;
            let root = NodePointer::decode_root(tree, bytes)?;
            match root {
                Some(NodePointer { position: pointer, .. }) if pointer >= position => {
                    Err(Damage::Pointer { what: "root pointer of the header", pointer })
                }
                _ => Ok(root),
            }
        };
        header.by_seq = root(TreeKind::BySeq, by_seq)?;
        header.by_id = root(TreeKind::ById, by_id)?;
        header.local = root(TreeKind::Local, local)?;
        Ok(header)
    }

    /// Fields before the roots; returns the roots' lengths.
    fn decode_fixed(&mut self, reader: &mut Reader) -> Option<[u16; 3]> {
        self.update_seq = reader.uint(6)?;
        self.purge_seq = reader.uint(6)?;
        self.purge_ptr = reader.uint(6)?;
        let lengths = [reader.u16()?, reader.u16()?, reader.u16()?];
        if self.disk_version >= 13 {
            self.timestamp_ns = reader.uint(8)?;
        }
        if self.disk_version >= POINTS_BACK_FROM {
            let word = reader.uint(6)?;
            self.has_metadata = word & 1 == 1;
            self.previous = Some(word >> 1).filter(|previous| *previous != NO_PREVIOUS);
        }
        Some(lengths)
    }

    /// The header's body as it stands in the file.
    pub fn encode(&self) -> Vec<u8> {
        let roots = [&self.by_seq, &self.by_id, &self.local].map(|root| {
            let mut bytes = Vec::new();
            if let Some(root) = root {
                root.encode_root(&mut bytes);
            }
            bytes
        });
        let mut out = vec![self.disk_version];
        put_uint(&mut out, self.update_seq, 6);
        put_uint(&mut out, self.purge_seq, 6);
        put_uint(&mut out, self.purge_ptr, 6);
        for root in &roots {
            put_uint(&mut out, root.len() as u64, 2);
        }
        if self.disk_version >= 13 {
            put_uint(&mut out, self.timestamp_ns, 8);
        }
        if self.disk_version >= POINTS_BACK_FROM {
            let previous = self.previous.unwrap_or(NO_PREVIOUS);
            put_uint(&mut out, previous << 1 | u64::from(self.has_metadata), 6);
        }
        for root in &roots {
            out.extend_from_slice(root);
        }
        out
    }

    /// The whole header chunk with its block's type byte, which is `block_type`: a commit writes it
    /// as data first and flips that byte once the rest is durable.
    pub fn encode_block(&self, block_type: u8) -> Vec<u8> {
        let body = self.encode();
        let mut out = Vec::with_capacity(BLOCK_HEAD + body.len());
        out.push(block_type);
        put_uint(&mut out, body.len() as u64 + 4, 4);
        let checksum = Checksum::of_version(self.disk_version).of(&body);
        put_uint(&mut out, u64::from(checksum), 4);
        out.extend_from_slice(&body);
        out
    }

    /// Decodes the header in a block of type 1. `block` is what the file holds from the block's type
    /// byte on: up to 4096 bytes, fewer where the file ends. Returns the header and the length of
    /// its chunk in bytes, type byte included.
    pub fn decode_block(block: &[u8], position: u64) -> Result<(Self, u64), HeaderFault> {
        let cut = Damage::ShortRead { what: "header" };
        let (body, stored) = framed_body(block, block::HEADER, HEADER_LEN_MAX, "header")?;
        // Which checksum it is only the version inside tells, so either will do.
        let computed = Checksum::Crc32c.of(body);
        if computed != stored && Checksum::Crc32.of(body) != stored {
            return Err(Damage::Checksum { what: "header", stored, computed }.into());
        }
        let header = Header::decode(body, position)?;
        let length = u64::try_from(BLOCK_HEAD + body.len()).map_err(|_| cut)?;
        Ok((header, length.min(BLOCK_SIZE)))
    }
}

/// Body and stored checksum of a header-like chunk: type byte, u32 length that counts the checksum
/// and has its high bit clear, u32 checksum, body.
pub(super) fn framed_body<'a>(
    block: &'a [u8],
    block_type: u8,
    max: usize,
    what: &'static str,
) -> Result<(&'a [u8], u32), Damage> {
    let cut = Damage::ShortRead { what };
    let mut reader = Reader(block);
    let found = reader.u8().ok_or(cut.clone())?;
    if found != block_type {
        return Err(Damage::BlockType { found });
    }
    let length = reader.u32().ok_or(cut.clone())?;
    if length < 4 || length as usize > max {
        return Err(Damage::Length { what, length: u64::from(length) });
    }
    let stored = reader.u32().ok_or(cut.clone())?;
    let body = reader.take(length as usize - 4).ok_or(cut)?;
    Ok((body, stored))
}
