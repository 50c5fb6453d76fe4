//! The bytes of a simulated file, in pieces: what is visible of a file and what is durable of it share
//! those that are the same, and a file that grows is never copied as a whole.

use std::sync::Arc;

/// Bytes of a piece. A write copies the pieces that it touches where they are shared.
const PIECE: usize = 16 * 1024;

/// The bytes of a file. A clone shares them until one of both is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileBytes {
    /// Full ones, but for the last, which is not empty.
    pieces: Vec<Arc<Vec<u8>>>,
}

impl FileBytes {
    /// How many bytes there are.
    pub fn len(&self) -> usize {
        let full = self.pieces.len().saturating_sub(1) * PIECE;
        self.pieces.last().map_or(0, |last| full + last.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// All of them, in order, in slices.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().map(|piece| piece.as_slice())
    }

    /// All of them, in one place.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len());
        self.slices().for_each(|slice| bytes.extend_from_slice(slice));
        bytes
    }

    /// One of them.
    pub fn get(&self, offset: usize) -> Option<u8> {
        self.pieces.get(offset / PIECE)?.get(offset % PIECE).copied()
    }

    /// Reads from `offset` on as many as there are and `buf` has room for; how many that is.
    pub fn read_at(&self, offset: usize, buf: &mut [u8]) -> usize {
        let mut count = 0;
        for piece in self.pieces.iter().skip(offset / PIECE) {
            let start = (offset + count) % PIECE;
            let there = piece.get(start..).unwrap_or_default();
            let read = there.len().min(buf.len() - count);
            buf[count..count + read].copy_from_slice(&there[..read]);
            count += read;
            if count == buf.len() {
                break;
            }
        }
        count
    }

    /// Writes `data` from `offset` on; what lies between the end and there is zeros.
    pub(in crate::sim) fn write_at(&mut self, offset: usize, mut data: &[u8]) {
        let end = offset + data.len();
        if end > self.len() {
            // What is about to be written need not be filled first.
            self.resize(offset.max(self.len()));
        }
        let mut at = offset;
        while !data.is_empty() {
            let start = at % PIECE;
            let (now, later) = data.split_at(data.len().min(PIECE - start));
            if at / PIECE == self.pieces.len() {
                self.pieces.push(Arc::default());
            }
            let piece = Arc::make_mut(&mut self.pieces[at / PIECE]);
            let (over, new) = now.split_at(now.len().min(piece.len() - start));
            piece[start..start + over.len()].copy_from_slice(over);
            piece.extend_from_slice(new);
            at += now.len();
            data = later;
        }
    }

    /// Cuts off what lies behind `length`, or fills up with zeros.
    pub(in crate::sim) fn resize(&mut self, length: usize) {
        if length == self.len() {
            return;
        }
        let last = length.div_ceil(PIECE);
        self.pieces.truncate(last);
        for index in self.pieces.len().saturating_sub(1)..last {
            if index == self.pieces.len() {
                self.pieces.push(Arc::default());
            }
            Arc::make_mut(&mut self.pieces[index]).resize(PIECE.min(length - index * PIECE), 0);
        }
    }

    /// Holds what is the same in `other` together with it.
    pub(in crate::sim) fn share(&mut self, other: &Self) {
        for (piece, other) in self.pieces.iter_mut().zip(&other.pieces) {
            if !Arc::ptr_eq(piece, other) && piece == other {
                *piece = Arc::clone(other);
            }
        }
    }
}

impl From<&[u8]> for FileBytes {
    fn from(bytes: &[u8]) -> Self {
        FileBytes { pieces: bytes.chunks(PIECE).map(|piece| Arc::new(piece.to_vec())).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same changes of a plain vector lead to the same bytes, whoever shares them.
    #[test]
    fn pieces_are_as_a_vector() {
        let (mut bytes, mut plain) = (FileBytes::default(), Vec::new());
        let mut before = Vec::new();
        for step in 0..400_usize {
            let mixed = step.wrapping_mul(0x9e37_79b9).rotate_left(7);
            let at = mixed % (5 * PIECE);
            match step % 5 {
                0 => {
                    bytes.resize(at);
                    plain.resize(at, 0);
                }
                1 => before.push((bytes.clone(), plain.clone())),
                2 => {
                    if let Some((other, _)) = before.get(mixed % before.len().max(1)) {
                        bytes.share(other);
                    }
                }
                _ => {
                    let data = vec![step as u8; mixed % (2 * PIECE)];
                    let lengthened =
                        plain.len().max(if data.is_empty() { 0 } else { at + data.len() });
                    plain.resize(lengthened, 0);
                    if !data.is_empty() {
                        plain[at..at + data.len()].copy_from_slice(&data);
                        bytes.write_at(at, &data);
                    }
                }
            }
            before.push((bytes.clone(), plain.clone()));
            for (bytes, plain) in before.iter().rev().take(3) {
                assert_eq!(bytes.to_vec(), *plain, "step {step}");
                assert_eq!(bytes.len(), plain.len(), "step {step}");
                let mut buf = vec![0; mixed % (3 * PIECE)];
                let there = plain.get(at..).unwrap_or_default();
                let there = &there[..there.len().min(buf.len())];
                assert_eq!(bytes.read_at(at, &mut buf), there.len(), "step {step}");
                assert_eq!(&buf[..there.len()], there, "step {step}");
                assert_eq!(bytes.get(at), plain.get(at).copied(), "step {step}");
            }
        }
        // What was kept did not change with what came later.
        assert!(before.iter().all(|(bytes, plain)| bytes.to_vec() == *plain));
    }

    #[test]
    fn what_is_the_same_is_held_once() {
        let mut one = FileBytes::from(&[7; 3 * PIECE][..]);
        let mut other = FileBytes::from(&[7; 3 * PIECE][..]);
        other.write_at(PIECE, &[8]);
        one.share(&other);
        let together: Vec<bool> = one
            .pieces
            .iter()
            .zip(&other.pieces)
            .map(|(one, other)| Arc::ptr_eq(one, other))
            .collect();
        assert_eq!(together, [true, false, true]);
    }
}
