//! Snappy in its raw block format: tree nodes always, document bodies when flagged.

use crate::error::Damage;
use crate::limits::NODE_LEN_MAX;

/// Snappy's densest element, a copy of 64 bytes, takes 3: no input can inflate further than this,
/// so a larger claim is a lie and is not allocated for.
const RATIO_MAX: usize = 22;

/// Inflates `data`. Damage, which names `what`, when it is not well-formed.
pub fn inflate(data: &[u8], what: &'static str) -> Result<Vec<u8>, Damage> {
    let length = snap::raw::decompress_len(data).map_err(|_| Damage::Snappy { what })?;
    if length > data.len().saturating_mul(RATIO_MAX).min(NODE_LEN_MAX) {
        return Err(Damage::Length { what, length: length as u64 });
    }
    let mut out = vec![0; length];
    match snap::raw::Decoder::new().decompress(data, &mut out) {
        Ok(n) if n == length => Ok(out),
        _ => Err(Damage::Snappy { what }),
    }
}

/// Compresses `data`; it can grow. Damage only when it is longer than Snappy takes, 4 GiB.
pub fn deflate(data: &[u8], what: &'static str) -> Result<Vec<u8>, Damage> {
    snap::raw::Encoder::new().compress_vec(data).map_err(|_| Damage::Snappy { what })
}

/// Checks that compressed data would inflate, without inflating it: takes the data in pieces and
/// holds none of it, so that a body of any length can be checked.
#[derive(Debug, Default)]
pub struct Scan {
    /// Length that the data claims to inflate to, once all of it was read.
    claimed: Option<u64>,
    /// Length that the elements so far inflate to.
    produced: u64,
    /// Bytes of the current literal still to come.
    literal: u64,
    /// First bytes of an element, or of the claimed length, that are not all there yet.
    held: Vec<u8>,
}

impl Scan {
    /// Takes the next piece. Damage, which names `what`, as soon as the data cannot be well-formed.
    pub fn feed(&mut self, mut piece: &[u8], what: &'static str) -> Result<(), Damage> {
        while let Some((first, rest)) = piece.split_first() {
            if self.literal > 0 {
                let passed = self.literal.min(piece.len() as u64);
                self.literal -= passed;
                piece = piece.get(passed as usize..).unwrap_or_default();
                continue;
            }
            piece = rest;
            self.held.push(*first);
            self.take_held().ok_or(Damage::Snappy { what })?;
        }
        Ok(())
    }

    /// Ends the data; returns the length that it inflates to.
    pub fn finish(self, what: &'static str) -> Result<u64, Damage> {
        let whole = self.literal == 0 && self.held.is_empty();
        match self.claimed {
            Some(claimed) if whole && claimed == self.produced => Ok(claimed),
            _ => Err(Damage::Snappy { what }),
        }
    }

    /// Makes what is held count if it is complete; `None` when it cannot be.
    fn take_held(&mut self) -> Option<()> {
        let Some(claimed) = self.claimed else { return self.take_claimed() };
        let (tag, extra) = self.held.split_first()?;
        let high = u64::from(tag >> 2);
        // How many bytes follow the tag: of a length where a literal is long, else of an offset.
        let needed = match tag & 3 {
            0 => (high.saturating_sub(59)) as usize,
            1 => 1,
            2 => 2,
            _ => 4,
        };
        if extra.len() < needed {
            return Some(());
        }
        let number = extra.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
        let (length, offset) = match tag & 3 {
            0 => (1 + if needed > 0 { number } else { high }, None),
            1 => (4 + (high & 7), Some(u64::from(tag >> 5) << 8 | number)),
            _ => (1 + high, Some(number)),
        };
        // A copy reaches back into what is there already.
        if offset.is_some_and(|offset| offset == 0 || offset > self.produced) {
            return None;
        }
        self.literal = if offset.is_none() { length } else { 0 };
        self.produced += length;
        self.held.clear();
        (self.produced <= claimed).then_some(())
    }

    /// The claimed length stands first: 7 bits a byte, the lowest first, 32 bits in all.
    fn take_claimed(&mut self) -> Option<()> {
        if self.held.last().is_some_and(|byte| byte & 0x80 != 0) {
            return (self.held.len() < 5).then_some(());
        }
        let bits = |value, byte: &u8| value << 7 | u64::from(byte & 0x7f);
        let claimed = self.held.iter().rev().fold(0, bits);
        self.claimed = Some(claimed);
        self.held.clear();
        (claimed <= u64::from(u32::MAX)).then_some(())
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn scan(data: &[u8], piece: usize) -> Result<u64, Damage> {
        let mut scan = Scan::default();
        data.chunks(piece).try_for_each(|piece| scan.feed(piece, "test"))?;
        scan.finish("test")
    }

    /// Repeats near and far, and stretches that do not compress.
    fn sample() -> Vec<u8> {
        let mut word = 1_u32;
        let mut noise = Vec::new();
        for _ in 0..1000 {
            word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            noise.push((word >> 24) as u8);
        }
        [vec![7; 3000], noise.clone(), noise[..500].to_vec(), b"short".to_vec(), noise].concat()
    }

    #[test]
    fn the_scan_accepts_what_inflates_whatever_the_pieces() {
        for data in [Vec::new(), b"a".to_vec(), sample()] {
            let compressed = deflate(&data, "test").unwrap();
            for piece in [1, 2, 3, 7, 4096, 100_000] {
                assert_eq!(scan(&compressed, piece), Ok(data.len() as u64));
            }
        }
    }

    #[test]
    fn the_scan_refuses_exactly_what_does_not_inflate() {
        let compressed = deflate(&sample(), "test").unwrap();
        let (mut refused, mut accepted) = (0, 0);
        for at in 0..compressed.len() {
            for flip in [1, 0x10, 0x80] {
                let mut data = compressed.clone();
                data[at] ^= flip;
                let inflated = snap::raw::Decoder::new().decompress_vec(&data);
                assert_eq!(scan(&data, 64).ok(), inflated.ok().map(|d| d.len() as u64), "{at}");
                if scan(&data, 64).is_ok() { accepted += 1 } else { refused += 1 }
            }
            assert!(scan(&compressed[..at], 64).is_err(), "cut at {at}");
        }
        assert!(refused > 10 && accepted > 10);
    }
}
