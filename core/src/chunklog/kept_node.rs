//! A tree node in the form in which it is kept in memory: short, and with little of it to touch.
//!
//! What a cache holds is mostly in none of the processor's own, so that looking a key up is waiting for
//! memory. A binary search among a leaf's keys waits at every step; here a byte of each key's hash lies
//! in front, and only keys whose byte is the right one are looked at. What all keys begin with is there
//! once (prefix truncation: Bayer and Unterauer, Prefix B-Trees, 1977).
//!
//! ```text
//! 8 where its chunk ends | 1 leaf | 2 entries | 2 length of the prefix
//! of a leaf: 1 of each key's hash
//! 2 where each entry begins, and 2 where the last one ends
//! prefix
//! entries: 2 length of the rest of the key | rest of the key | value
//! ```

use std::cmp::Ordering;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

use foldhash::quality::FixedState;

use crate::format::node::{Node, NodeKind};

/// Where the parts of it are whose length is the same in all.
const END: Range<usize> = 0..8;
const LEAF: usize = 8;
const COUNT: usize = 9;
const PREFIX_LEN: usize = 11;
const FIXED_LEN: usize = 13;
/// Of all of it, as places have two bytes.
const LEN_MAX: usize = 1 << 16;

/// A verified node whose keys are in order. Clones are the same node.
#[derive(Clone, Debug)]
pub(crate) struct KeptNode(Arc<[u8]>);

impl KeptNode {
    /// The kept form of a node whose chunk ends at byte `end` of its file. `None` if it is out of order,
    /// so that it is met as it is on the file each time, or longer than nearly all are.
    pub(crate) fn new(node: &Node, end: u64) -> Option<Self> {
        let count = node.entry_count();
        let (first, last) = (node.key(0)?, node.key(count - 1)?);
        let same = first.iter().zip(last).take_while(|(a, b)| a == b).count();
        let (prefix, leaf) = (first.get(..same)?, node.kind() == NodeKind::Leaf);
        let fixed = FIXED_LEN + if leaf { 3 * count } else { 2 * count } + 2 + prefix.len();
        let mut out = Vec::with_capacity((fixed + node.raw().len()).min(LEN_MAX));
        out.extend(end.to_le_bytes());
        out.push(leaf.into());
        out.extend(u16::try_from(count).ok()?.to_le_bytes());
        out.extend(u16::try_from(prefix.len()).ok()?.to_le_bytes());
        if leaf {
            out.extend(node.entries().map(|(key, _)| print(key)));
        }
        let (mut start, mut before) = (fixed, None);
        for (key, value) in node.entries() {
            if before.is_some_and(|before| before >= key) {
                return None;
            }
            before = Some(key);
            out.extend(u16::try_from(start).ok()?.to_le_bytes());
            // One out of order may lack what the first and the last one begin with.
            start += 2 + key.strip_prefix(prefix)?.len() + value.len();
        }
        out.extend(u16::try_from(start).ok()?.to_le_bytes());
        out.extend(prefix);
        for (key, value) in node.entries() {
            let rest = key.strip_prefix(prefix)?;
            out.extend(u16::try_from(rest.len()).ok()?.to_le_bytes());
            out.extend(rest);
            out.extend(value);
        }
        Some(KeptNode(out.into()))
    }

    /// Where its chunk ends in its file: what points at it must lie behind.
    pub(crate) fn end(&self) -> u64 {
        self.0.get(END).and_then(|end| end.try_into().ok()).map_or(u64::MAX, u64::from_le_bytes)
    }

    /// Leaf or interior.
    pub(crate) fn kind(&self) -> NodeKind {
        match self.0.get(LEAF) {
            Some(1) => NodeKind::Leaf,
            _ => NodeKind::Interior,
        }
    }

    /// How many entries there are.
    pub(crate) fn entry_count(&self) -> usize {
        self.short(COUNT)
    }

    /// Value of an entry, if there are so many.
    pub(crate) fn value(&self, index: usize) -> Option<&[u8]> {
        Some(self.entry(index)?.1)
    }

    /// Value of a leaf's key, if it is there.
    pub(crate) fn find(&self, key: &[u8]) -> Option<&[u8]> {
        let (wanted, rest) = (print(key), key.strip_prefix(self.prefix())?);
        let prints = self.0.get(FIXED_LEN..FIXED_LEN + self.entry_count())?;
        let alike = prints.iter().enumerate().filter(|(_, print)| **print == wanted);
        let mut alike = alike.filter_map(|(index, _)| self.entry(index));
        Some(alike.find(|(found, _)| *found == rest)?.1)
    }

    /// Index of the first entry whose key is `key` or above; the number of entries if none is.
    pub(crate) fn lower_bound(&self, key: &[u8]) -> usize {
        let prefix = self.prefix();
        let (head, rest) = key.split_at(prefix.len().min(key.len()));
        let (mut low, mut high) = match head.cmp(prefix) {
            Ordering::Less => (0, 0),
            Ordering::Equal => (0, self.entry_count()),
            Ordering::Greater => (self.entry_count(), self.entry_count()),
        };
        while low < high {
            let middle = (low + high) / 2;
            match self.entry(middle) {
                Some((found, _)) if found < rest => low = middle + 1,
                _ => high = middle,
            }
        }
        low
    }

    /// Whether an entry's key is `key` or above.
    pub(crate) fn reaches(&self, index: usize, key: &[u8]) -> bool {
        let prefix = self.prefix();
        let (head, rest) = key.split_at(prefix.len().min(key.len()));
        let entry = self.entry(index);
        entry.is_some_and(|(found, _)| head.cmp(prefix).then_with(|| rest.cmp(found)).is_le())
    }

    /// Bytes of memory that it takes.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>() + self.0.len()
    }

    /// What is left of an entry's key behind the prefix, and its value.
    fn entry(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let place = self.starts() + 2 * index;
        let (start, end) = (self.short(place), self.short(place + 2));
        let (rest, value) = (start + 2, start + 2 + self.short(start));
        let there = index < self.entry_count();
        Some((self.0.get(rest..value)?, self.0.get(value..end)?)).filter(|_| there)
    }

    /// Where the places of entries begin.
    fn starts(&self) -> usize {
        match self.kind() {
            NodeKind::Leaf => FIXED_LEN + self.entry_count(),
            NodeKind::Interior => FIXED_LEN,
        }
    }

    fn prefix(&self) -> &[u8] {
        let start = self.starts() + 2 * (self.entry_count() + 1);
        self.0.get(start..start + self.short(PREFIX_LEN)).unwrap_or_default()
    }

    /// The number in the two bytes at `at`.
    fn short(&self, at: usize) -> usize {
        let bytes = self.0.get(at..at + 2).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u16::from_le_bytes).unwrap_or_default().into()
    }
}

/// The byte of a key's hash by which it is told from others of its leaf.
fn print(key: &[u8]) -> u8 {
    FixedState::default().hash_one(key) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::node::{kind_byte, put_entry};

    fn node(kind: NodeKind, keys: &[&str]) -> Node {
        let mut raw = vec![kind_byte(kind)];
        for key in keys {
            put_entry(&mut raw, key.as_bytes(), format!("value of {key}").as_bytes());
        }
        Node::decode(raw).unwrap()
    }

    const KEYS: [&str; 7] =
        ["user", "user::", "user::1", "user::12", "user::2", "user::21", "usev"];

    #[test]
    fn a_kept_node_answers_as_the_node_does() {
        for (kind, from) in [NodeKind::Leaf, NodeKind::Interior].into_iter().zip(0..) {
            for keys in (from..KEYS.len()).map(|start| &KEYS[start..]) {
                let node = node(kind, keys);
                let kept = KeptNode::new(&node, 77).unwrap();
                assert_eq!((kept.end(), kept.kind()), (77, kind));
                assert_eq!(kept.entry_count(), node.entry_count());
                assert!(kept.value(keys.len()).is_none());
                let others = ["", "u", "use", "user:", "user::11", "user::3", "usew", "v"];
                for key in KEYS.into_iter().chain(others).map(str::as_bytes) {
                    assert_eq!(kept.lower_bound(key), node.lower_bound(key), "{key:?} in {keys:?}");
                    for index in 0..=keys.len() {
                        let reaches = node.key(index).is_some_and(|found| key <= found);
                        assert_eq!(kept.reaches(index, key), reaches, "{key:?} in {keys:?}");
                        assert_eq!(kept.value(index), node.entry(index).map(|(_, value)| value));
                    }
                    let value = node.entries().find(|(found, _)| *found == key);
                    if kind == NodeKind::Leaf {
                        assert_eq!(kept.find(key), value.map(|(_, value)| value), "{key:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_out_of_order_or_too_long_is_not_kept() {
        let longer_at_both_ends = ["document 1", "z", "document 2"];
        for keys in [&["b", "a"][..], &["a", "a"], &longer_at_both_ends] {
            assert!(KeptNode::new(&node(NodeKind::Leaf, keys), 0).is_none(), "{keys:?}");
        }
        let mut raw = vec![kind_byte(NodeKind::Leaf)];
        put_entry(&mut raw, b"a", &[7; 1 << 16]);
        assert!(KeptNode::new(&Node::decode(raw).unwrap(), 0).is_none());
    }

    #[test]
    fn keys_whose_bytes_of_the_hash_are_alike_are_told_apart() {
        let keys: Vec<String> = (0..600).map(|number| format!("key {number:04}")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let kept = KeptNode::new(&node(NodeKind::Leaf, &keys), 0).unwrap();
        for key in &keys {
            assert_eq!(kept.find(key.as_bytes()), Some(format!("value of {key}").as_bytes()));
        }
        assert_eq!(kept.find(b"key 0600"), None);
    }
}
