//! Snappy in its raw block format: tree nodes always, document bodies when flagged.

use crate::error::Damage;

/// Snappy's densest element, a copy of 64 bytes, takes 3: no input can inflate further than this,
/// so a larger claim is a lie and is not allocated for.
const RATIO_MAX: usize = 22;

/// Inflates `data` to at most `max` bytes. Damage, which names `what`, when it is not well-formed or
/// claims to be longer.
pub fn inflate(data: &[u8], max: usize, what: &'static str) -> Result<Vec<u8>, Damage> {
    let mut out = Vec::new();
    inflate_into(data, max, what, &mut out)?;
    Ok(out)
}

/// As [`inflate`], into memory that was used before.
pub fn inflate_into(
    data: &[u8],
    max: usize,
    what: &'static str,
    out: &mut Vec<u8>,
) -> Result<(), Damage> {
    let length = snap::raw::decompress_len(data).map_err(|_| Damage::Snappy { what })?;
    if length > data.len().saturating_mul(RATIO_MAX).min(max) {
        return Err(Damage::Length { what, length: length as u64 });
    }
    match out.capacity() < length {
        // Fresh memory may be zero already.
        true => *out = vec![0; length],
        false => out.resize(length, 0),
    }
    match snap::raw::Decoder::new().decompress(data, out) {
        Ok(n) if n == length => Ok(()),
        _ => Err(Damage::Snappy { what }),
    }
}

/// Compresses `data`; it can grow. Damage only when it is longer than Snappy takes, 4 GiB.
pub fn deflate(data: &[u8], what: &'static str) -> Result<Vec<u8>, Damage> {
    snap::raw::Encoder::new().compress_vec(data).map_err(|_| Damage::Snappy { what })
}

/// Bytes of output that are kept for the next call, at most.
const KEPT_MAX: usize = 64 << 10;

/// Compresses one input after another, with the same tables and into the same memory.
#[derive(Debug)]
pub struct Deflater {
    // Its tables are too long to be moved about.
    encoder: Box<snap::raw::Encoder>,
    out: Vec<u8>,
}

impl Default for Deflater {
    fn default() -> Self {
        Deflater { encoder: Box::new(snap::raw::Encoder::new()), out: Vec::new() }
    }
}

impl Deflater {
    /// As [`deflate`].
    pub fn deflate(&mut self, data: &[u8], what: &'static str) -> Result<&[u8], Damage> {
        let longest = snap::raw::max_compress_len(data.len());
        if self.out.len() < longest || self.out.len() > KEPT_MAX {
            self.out.resize(longest, 0);
            self.out.shrink_to(KEPT_MAX);
        }
        let length = self.encoder.compress(data, &mut self.out);
        length.ok().and_then(|length| self.out.get(..length)).ok_or(Damage::Snappy { what })
    }
}
