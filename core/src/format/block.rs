//! Blocks: every 4096th byte of a file is the type of the block that it begins (format, section 1).

use crate::limits::BLOCK_SIZE;

/// First byte of a block that holds data.
pub const DATA: u8 = 0;
/// First byte of a block that begins with a file header.
pub const HEADER: u8 = 1;
/// First byte of block 0 of an encrypted file.
pub const METADATA: u8 = 2;

const PAYLOAD: u64 = BLOCK_SIZE - 1;

/// Whether a block begins at this position.
pub fn is_boundary(position: u64) -> bool {
    position.is_multiple_of(BLOCK_SIZE)
}

/// First block boundary at or after `position`.
pub fn next_boundary(position: u64) -> u64 {
    position.next_multiple_of(BLOCK_SIZE)
}

/// Position after `length` payload bytes from `position` on, stepping over type bytes. Where the
/// payload ends with its block, that is the boundary itself, not the byte behind it.
pub fn advance(position: u64, length: u64) -> u64 {
    let begin = position - position % BLOCK_SIZE;
    let before = (position % BLOCK_SIZE).saturating_sub(1);
    let payload = before + length;
    let end = begin + payload / PAYLOAD * BLOCK_SIZE;
    match payload % PAYLOAD {
        0 => end,
        rest => end + 1 + rest,
    }
}

/// Appends to `out` the payload of `raw`, the bytes of a file from `position` on, leaving out the
/// type bytes.
pub fn strip(position: u64, raw: &[u8], out: &mut Vec<u8>) {
    let mut position = position;
    let mut rest = raw;
    while !rest.is_empty() {
        if is_boundary(position) {
            rest = rest.get(1..).unwrap_or_default();
            position += 1;
        }
        let in_block = (BLOCK_SIZE - position % BLOCK_SIZE) as usize;
        let (piece, after) = rest.split_at(in_block.min(rest.len()));
        out.extend_from_slice(piece);
        position += piece.len() as u64;
        rest = after;
    }
}

/// Appends `payload` to `out` as it stands in a file from `position` on, with the type bytes of
/// data blocks put in between. Returns the position after it.
pub fn weave(position: u64, payload: &[u8], out: &mut Vec<u8>) -> u64 {
    let mut position = position;
    let mut rest = payload;
    while !rest.is_empty() {
        if is_boundary(position) {
            out.push(DATA);
            position += 1;
        }
        let in_block = (BLOCK_SIZE - position % BLOCK_SIZE) as usize;
        let (piece, after) = rest.split_at(in_block.min(rest.len()));
        out.extend_from_slice(piece);
        position += piece.len() as u64;
        rest = after;
    }
    position
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weaving_and_stripping_undo_each_other_and_agree_with_advance() {
        for position in (0..20).chain(4080..4110).chain(8190..8195) {
            for length in (0..10).chain(4085..4100).chain(8185..8195).chain([20_000]) {
                let payload: Vec<u8> = (0..length).map(|i| i as u8 | 1).collect();
                let mut raw = Vec::new();
                let end = weave(position, &payload, &mut raw);
                assert_eq!(end - position, raw.len() as u64);
                if length > 0 {
                    assert_eq!(end, advance(position, length), "{position} {length}");
                }
                let mut back = Vec::new();
                strip(position, &raw, &mut back);
                assert_eq!(back, payload);
            }
        }
    }

    #[test]
    fn a_payload_that_fills_its_block_ends_on_the_boundary() {
        assert_eq!(advance(0, 4095), 4096);
        assert_eq!(advance(1, 4095), 4096);
        assert_eq!(advance(4096, 1), 4098);
        assert_eq!(advance(4095, 1), 4096);
        assert_eq!(advance(4095, 2), 4098);
    }
}
