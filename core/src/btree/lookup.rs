//! Looking up single keys, and many sorted keys in one descent.

use std::ops::Range;

use super::read_node;
use crate::chunklog::{ChunkReader, KeptNode};
use crate::error::{Damage, Error, Result};
use crate::format::block;
use crate::format::node::{Node, NodeKind};
use crate::format::pointer::{NodePointer, TreeKind};
use crate::limits::TREE_DEPTH_MAX;

/// Bytes of memory that nodes kept at the top of a tree take, at most.
const TOP_BYTES_MAX: usize = 8 << 20;
/// Leaves are kept there too of trees that have so few, at most.
const TOP_LEAVES_MAX: usize = 256;
/// Bytes of memory of a node whose memory is used again, at most: most take a third.
const SPARE_BYTES_MAX: usize = 4096;
/// Nodes passed by whose memory is used again, at most.
const SPARES_MAX: usize = 4;

/// Looks up keys in one tree of one state.
///
/// From one search to the next it may keep the top of the tree: all above the leaves, a fortieth of a tree,
/// as far as that fits into 8 MiB, as of a million documents it does; of small trees the leaves too.
#[derive(Debug)]
pub struct TreeLookup {
    reader: ChunkReader,
    tree: TreeKind,
    root: Option<NodePointer>,
    before: u64,
    top: Option<Box<TopNode>>,
    /// Bytes that may be kept yet.
    room: usize,
    spares: Vec<Node>,
}

/// A node on the way to a key, and those of its children that are kept.
#[derive(Debug)]
struct TopNode {
    node: Reached,
    /// One place for each entry, or none if no child is kept.
    children: Vec<Option<Box<TopNode>>>,
}

/// A node that was read, or that was in memory.
#[derive(Debug)]
enum Reached {
    Read(Node),
    Kept(KeptNode),
}

/// Receives the index of a key and its value, if it has one.
pub type Found<'a> = dyn FnMut(usize, Option<&[u8]>) -> Result<()> + 'a;

impl TreeLookup {
    /// Begins. `before` is the position of the header whose root this is.
    pub fn new(
        reader: ChunkReader,
        tree: TreeKind,
        root: Option<NodePointer>,
        before: u64,
    ) -> Self {
        TreeLookup { reader, tree, root, before, top: None, room: 0, spares: Vec::new() }
    }

    /// Keeps the top of the tree from now on.
    pub fn keeping_top(self) -> Self {
        TreeLookup { room: TOP_BYTES_MAX, ..self }
    }

    /// Value of a key, or `None`.
    pub fn value(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut found = None;
        self.values(&[key], &mut |_, value| {
            found = value.map(<[u8]>::to_vec);
            Ok(())
        })?;
        Ok(found)
    }

    /// Calls `found` with the index and the value of each of `keys`, which must be sorted; each node on
    /// the way is read once. A key that is not in the tree gives `None`.
    pub fn values(&mut self, keys: &[&[u8]], found: &mut Found<'_>) -> Result<()> {
        let Some(root) = self.root else {
            return (0..keys.len()).try_for_each(|index| found(index, None));
        };
        let mut top = self.top.take();
        let place = Place { pointer: root, before: self.before, depth: 0, width: 1 };
        let mut search = Search { lookup: self, keys, found };
        let done = search.descend(&place, Some(&mut top), 0..keys.len());
        self.top = top;
        done
    }

    /// The node at a place. What [`read_node`] refuses because of its place is refused where it is
    /// kept in memory too: it is read then, to say what is wrong.
    fn node(&mut self, place: &Place) -> Result<Reached> {
        let Place { pointer: NodePointer { position, subtree_size, .. }, before, depth, .. } =
            *place;
        let kept = self.reader.nodes().and_then(|nodes| nodes.get(self.tree, position));
        if let Some(kept) = kept.filter(|kept| kept.end() <= before && depth < TREE_DEPTH_MAX) {
            return Ok(Reached::Kept(kept));
        }
        self.reader.expect_node(position, subtree_size, before)?;
        let spare = self.spares.pop();
        let node = read_node(&mut self.reader, self.tree, position, before, depth, spare)?;
        if self.reader.nodes().is_none() {
            return Ok(Reached::Read(node));
        }
        let disk_size = self.reader.head(position, before, "tree node")?.disk_size();
        let Some(kept) = KeptNode::new(&node, block::advance(position, disk_size)) else {
            return Ok(Reached::Read(node));
        };
        if let Some(nodes) = self.reader.nodes() {
            nodes.put(self.tree, position, &kept);
        }
        self.reuse(node);
        Ok(Reached::Kept(kept))
    }

    /// Leaves a node's memory for the next one.
    fn reuse(&mut self, node: Node) {
        if self.spares.len() < SPARES_MAX && node.memory() <= SPARE_BYTES_MAX {
            self.spares.push(node);
        }
    }

    /// A node to keep at the top, if there is room for it.
    fn keep(&mut self, width: usize, node: Reached) -> Result<Box<TopNode>, Reached> {
        let places = match node.kind() {
            NodeKind::Interior => node.entry_count(),
            NodeKind::Leaf => 0,
        };
        let bytes =
            node.memory() + size_of::<TopNode>() + places * size_of::<Option<Box<TopNode>>>();
        if bytes > self.room || (places == 0 && width > TOP_LEAVES_MAX) {
            return Err(node);
        }
        self.room -= bytes;
        let mut children = Vec::new();
        children.resize_with(places, || None);
        Ok(Box::new(TopNode { node, children }))
    }

    fn corrupt(&self, position: u64, damage: Damage) -> Error {
        Error::corrupt(&self.reader.file().name, position, damage)
    }
}

impl Reached {
    fn kind(&self) -> NodeKind {
        match self {
            Reached::Read(node) => node.kind(),
            Reached::Kept(node) => node.kind(),
        }
    }

    fn entry_count(&self) -> usize {
        match self {
            Reached::Read(node) => node.entry_count(),
            Reached::Kept(node) => node.entry_count(),
        }
    }

    fn memory(&self) -> usize {
        match self {
            Reached::Read(node) => node.memory(),
            Reached::Kept(node) => node.memory(),
        }
    }

    /// Value of a leaf's key, if it is there.
    fn find(&self, key: &[u8]) -> Option<&[u8]> {
        match self {
            Reached::Read(node) => {
                let (found, value) = node.entry(node.lower_bound(key))?;
                (found == key).then_some(value)
            }
            Reached::Kept(node) => node.find(key),
        }
    }

    /// Index and value of the first entry whose key is `key` or above.
    fn at_or_above(&self, key: &[u8]) -> Option<(usize, &[u8])> {
        let (index, value) = match self {
            Reached::Read(node) => {
                let index = node.lower_bound(key);
                (index, node.entry(index)?.1)
            }
            Reached::Kept(node) => {
                let index = node.lower_bound(key);
                (index, node.value(index)?)
            }
        };
        Some((index, value))
    }

    /// Whether an entry's key is `key` or above.
    fn reaches(&self, index: usize, key: &[u8]) -> bool {
        match self {
            Reached::Read(node) => node.key(index).is_some_and(|found| key <= found),
            Reached::Kept(node) => node.reaches(index, key),
        }
    }
}

/// Where a node is in its tree.
struct Place {
    pointer: NodePointer,
    /// Position of what points at it.
    before: u64,
    /// How many nodes are above it.
    depth: usize,
    /// How many nodes its level has, as far as those above it tell.
    width: usize,
}

struct Search<'a> {
    lookup: &'a mut TreeLookup,
    keys: &'a [&'a [u8]],
    found: &'a mut Found<'a>,
}

impl Search<'_> {
    /// Looks for the keys of a range in a node and below it. `top` is where the node is kept, if it is.
    fn descend(
        &mut self,
        place: &Place,
        top: Option<&mut Option<Box<TopNode>>>,
        range: Range<usize>,
    ) -> Result<()> {
        let mut passing = None;
        let TopNode { node, children } = match top {
            Some(Some(top)) => top,
            top => match (top, self.lookup.node(place)?) {
                (Some(top), node) => match self.lookup.keep(place.width, node) {
                    Ok(kept) => top.insert(kept),
                    Err(node) => passing.insert(TopNode { node, children: Vec::new() }),
                },
                (None, node) => passing.insert(TopNode { node, children: Vec::new() }),
            },
        };
        let position = place.pointer.position;
        let mut next = range.start;
        while let Some(key) = self.keys.get(next).filter(|_| next < range.end) {
            if node.kind() == NodeKind::Leaf {
                (self.found)(next, node.find(key))?;
                next += 1;
                continue;
            }
            let Some((index, value)) = node.at_or_above(key) else { break };
            let pointer = NodePointer::decode(self.lookup.tree, value)
                .map_err(|damage| self.lookup.corrupt(position, damage))?;
            let rest = self.keys.get(next..range.end).unwrap_or_default();
            // At least one, so that a node out of order cannot hold the search up.
            let stop = next + rest.partition_point(|key| node.reaches(index, key)).max(1);
            let width = place.width.saturating_mul(node.entry_count());
            let child = Place { pointer, before: position, depth: place.depth + 1, width };
            self.descend(&child, children.get_mut(index), next..stop)?;
            next = stop;
        }
        (next..range.end).try_for_each(|index| (self.found)(index, None))?;
        if let Some(TopNode { node: Reached::Read(node), .. }) = passing {
            self.lookup.reuse(node);
        }
        Ok(())
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use super::*;
    use crate::btree::BulkBuilder;
    use crate::chunklog::{ChunkWriter, LogFile, NodeCache};
    use crate::device::MemoryDevice;
    use crate::event::{Content, Events};
    use crate::format::checksum::Checksum;
    use crate::format::node::{NodeKind, kind_byte, put_entry};
    use crate::format::snappy;

    /// A tree of so many entries, in a file of its own.
    fn tree(entries: u32) -> (LogFile, NodePointer, u64) {
        let device = Arc::new(MemoryDevice::new());
        let file = LogFile { name: "tree".into(), device, checksum: Checksum::Crc32c };
        let mut writer = ChunkWriter::new(file.clone(), 1, Events::none());
        let mut builder = BulkBuilder::new(TreeKind::Local);
        for number in 0..entries {
            builder.push(&number.to_be_bytes(), &[7; 40], &mut writer).unwrap();
        }
        let root = builder.finish(&mut writer).unwrap().unwrap();
        writer.flush().unwrap();
        (file, root, writer.end())
    }

    /// Bytes, and leaves, that are kept at the top of a tree.
    fn kept(top: Option<&TopNode>) -> (usize, usize) {
        let Some(TopNode { node, children }) = top else { return (0, 0) };
        let places = children.len() * size_of::<Option<Box<TopNode>>>();
        let own = node.memory() + size_of::<TopNode>() + places;
        let first = (own, usize::from(node.kind() == NodeKind::Leaf));
        children
            .iter()
            .map(|child| kept(child.as_deref()))
            .fold(first, |sum, below| (sum.0 + below.0, sum.1 + below.1))
    }

    #[test]
    fn what_is_kept_at_the_top_fits_into_its_room_and_has_leaves_only_where_they_are_few() {
        for (entries, room) in [(1000, TOP_BYTES_MAX), (20_000, TOP_BYTES_MAX), (20_000, 20_000)] {
            let (file, root, before) = tree(entries);
            let reader = ChunkReader::for_lookups(file, None);
            let lookup = TreeLookup::new(reader, TreeKind::Local, Some(root), before);
            let mut lookup = TreeLookup { room, ..lookup.keeping_top() };
            for _ in 0..2 {
                for number in 0..entries {
                    let value = lookup.value(&number.to_be_bytes()).unwrap();
                    assert_eq!(value.as_deref(), Some([7; 40].as_slice()), "{number} of {entries}");
                }
            }
            let (bytes, leaves) = kept(lookup.top.as_deref());
            assert_eq!(bytes + lookup.room, room, "{entries} entries");
            assert!(bytes > room.min(30_000) / 2, "{bytes} bytes for {entries} entries");
            assert_eq!(leaves > 0, entries == 1000, "{leaves} leaves of {entries} entries");
        }
    }

    #[test]
    fn a_node_that_is_kept_must_lie_before_what_points_at_it_all_the_same() {
        let device = Arc::new(MemoryDevice::new());
        let file = LogFile { name: "crafted".into(), device, checksum: Checksum::Crc32c };
        let mut writer = ChunkWriter::new(file.clone(), 1, Events::none());
        let mut node = vec![kind_byte(NodeKind::Leaf)];
        put_entry(&mut node, b"key", b"value");
        let body = snappy::deflate(&node, "node").unwrap();
        let leaf = writer.append(&body, Content::LocalNode).unwrap();
        writer.flush().unwrap();
        let nodes = Some(NodeCache::new(1 << 20).file());
        let (position, end) = (leaf.position, writer.end());
        let root = NodePointer {
            position,
            subtree_size: leaf.disk_size,
            reduce: TreeKind::Local.empty_reduce(),
        };
        let look = |tree, before| {
            let reader = ChunkReader::for_lookups(file.clone(), nodes.clone());
            TreeLookup::new(reader, tree, Some(root), before).value(b"key")
        };
        assert_eq!(look(TreeKind::Local, end).unwrap().as_deref(), Some(b"value".as_slice()));
        for before in [position, position + 1, end - 1] {
            let refused = look(TreeKind::Local, before);
            let damage = matches!(
                refused,
                Err(Error::Corrupt { damage: Damage::Pointer { .. } | Damage::Length { .. }, .. })
            );
            assert!(damage, "{before}: {refused:?}");
        }
        // Of another tree it is another node: its keys are no sequence numbers.
        assert!(matches!(look(TreeKind::BySeq, end), Err(Error::Corrupt { .. })));
        assert!(look(TreeKind::Local, end).is_ok());
    }
}
