//! Damage that leaves checksums as they are. Shared with the fuzz targets.

use super::exercise::Reading;

const BLOCK: usize = 4096;

/// One way to damage a file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Damage {
    /// A byte has another value.
    Byte { offset: usize, value: u8 },
    /// The file is shorter.
    Truncate { length: usize },
    /// A block reads as zeros.
    Blank { block: usize },
    /// Two blocks stand in each other's place.
    Swap { block: usize, with: usize },
    /// A block was written in another's place, too.
    Misdirect { block: usize, to: usize },
}

impl Damage {
    pub(crate) fn apply(self, bytes: &mut Vec<u8>) {
        let range = |block: usize| block * BLOCK..(block + 1) * BLOCK;
        match self {
            Damage::Byte { offset, value } => bytes[offset] = value,
            Damage::Truncate { length } => bytes.truncate(length),
            Damage::Blank { block } => bytes[range(block)].fill(0),
            Damage::Swap { block, with } => {
                let moved = bytes[range(block)].to_vec();
                bytes.copy_within(range(with), block * BLOCK);
                bytes[range(with)].copy_from_slice(&moved);
            }
            Damage::Misdirect { block, to } => bytes.copy_within(range(block), to * BLOCK),
        }
    }

    /// Whether what was committed last may be gone without an error: a state is there only as long
    /// as its header's block says that it is one, and ends before the file does.
    pub(crate) fn may_hide(self, newest: &Reading) -> bool {
        let header = newest.position as usize;
        match self {
            Damage::Byte { offset, .. } => offset == header,
            // The last byte is not looked at: a header is longer.
            Damage::Truncate { length } => length < header + 2,
            Damage::Blank { block } => block * BLOCK == header,
            Damage::Swap { block, with } => block * BLOCK == header || with * BLOCK == header,
            Damage::Misdirect { to, .. } => to * BLOCK == header,
        }
    }

    /// Whether blocks stand where others belong: a header does not say where it belongs, so that an
    /// older state can come back, or one appear in two places.
    pub(crate) fn moves_blocks(self) -> bool {
        matches!(self, Damage::Swap { .. } | Damage::Misdirect { .. })
    }
}
