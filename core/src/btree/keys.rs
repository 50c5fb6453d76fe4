//! Keys of a batch.

/// Keys to change, one behind the other in one piece of memory.
#[derive(Debug, Default)]
pub struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Keys {
    /// No keys, and memory for `count` of `bytes` bytes altogether.
    pub fn with_capacity(count: usize, bytes: usize) -> Self {
        Keys { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(count) }
    }

    /// Adds a key, which must be above all before.
    pub fn push(&mut self, key: &[u8]) {
        debug_assert!(self.ends.is_empty() || self.get(self.len() - 1) < Some(key));
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A key, if there are so many.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.bytes.get(start..*self.ends.get(index)?)
    }

    /// Index of the first key at `from` or behind, and before `end`, that is above `key`; `end` when
    /// there is none.
    pub(super) fn first_above(&self, key: &[u8], from: usize, end: usize) -> usize {
        let (mut low, mut high) = (from, end);
        while low < high {
            let middle = (low + high) / 2;
            match self.get(middle) > Some(key) {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        low
    }
}
