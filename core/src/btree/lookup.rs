//! Looking up single keys, and many sorted keys in one descent.

use std::ops::Range;
use std::sync::Arc;

use super::read_node;
use crate::chunklog::{ChunkReader, KeptNode};
use crate::error::{Damage, Error, Result};
use crate::format::block;
use crate::format::node::{Node, NodeKind};
use crate::format::pointer::{NodePointer, TreeKind};
use crate::limits::TREE_DEPTH_MAX;

/// Nodes of a level that are kept at the top of a tree, at most.
const TOP_WIDTH_MAX: usize = 256;
/// Nodes that are kept at the top of a tree, at most.
const TOP_NODES_MAX: usize = 2 * TOP_WIDTH_MAX;
/// Bytes of memory of a node that is kept, there or to be used again, at most: most take a third.
const NODE_BYTES_MAX: usize = 4096;
/// Nodes passed by whose memory is used again, at most.
const SPARES_MAX: usize = 4;

/// Looks up keys in one tree of one state.
///
/// From one search to the next it may keep the nodes nearest to the root: levels of up to 256 nodes,
/// half a megabyte as a rule, 2 MiB at most. Of 100 000 documents that is all but the leaves.
#[derive(Debug)]
pub struct TreeLookup {
    reader: ChunkReader,
    tree: TreeKind,
    root: Option<NodePointer>,
    before: u64,
    top: Option<TopNode>,
    /// How many nodes may be kept yet.
    room: usize,
    spares: Vec<Node>,
}

/// A node on the way to a key, and those of its children that are kept.
#[derive(Debug)]
struct TopNode {
    kept: Arc<KeptNode>,
    /// One place for each entry, or none if no child is kept.
    children: Vec<Option<TopNode>>,
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
        TreeLookup { room: TOP_NODES_MAX, ..self }
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
    fn node(&mut self, place: &Place) -> Result<Arc<KeptNode>> {
        let Place { pointer: NodePointer { position, subtree_size, .. }, before, depth, .. } =
            *place;
        let kept = self.reader.nodes().and_then(|nodes| nodes.get(self.tree, position));
        if let Some(kept) = kept.filter(|kept| kept.end <= before && depth < TREE_DEPTH_MAX) {
            return Ok(kept);
        }
        self.reader.expect_node(position, subtree_size, before)?;
        let spare = self.spares.pop();
        let node = read_node(&mut self.reader, self.tree, position, before, depth, spare)?;
        let disk_size = self.reader.head(position, before, "tree node")?.disk_size();
        let kept = Arc::new(KeptNode { node, end: block::advance(position, disk_size) });
        if let Some(nodes) = self.reader.nodes() {
            nodes.put(self.tree, position, kept.clone());
        }
        Ok(kept)
    }

    fn has_room(&self, node: &Node) -> bool {
        self.room > 0 && is_usual(node)
    }

    /// A node to keep at the top, with places for its children if their level is narrow enough.
    fn keep(&mut self, place: &Place, kept: Arc<KeptNode>) -> TopNode {
        self.room -= 1;
        let interior = kept.node.kind() == NodeKind::Interior;
        let count = kept.node.entry_count();
        let narrow = interior && place.width.saturating_mul(count) <= TOP_WIDTH_MAX;
        let mut children = Vec::new();
        children.resize_with(if narrow { count } else { 0 }, || None);
        TopNode { kept, children }
    }

    fn corrupt(&self, position: u64, damage: Damage) -> Error {
        Error::corrupt(&self.reader.file().name, position, damage)
    }
}

/// Whether a node takes no more than may be kept of each: how few there are says nothing of their bytes.
fn is_usual(node: &Node) -> bool {
    node.memory() <= NODE_BYTES_MAX
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
        top: Option<&mut Option<TopNode>>,
        range: Range<usize>,
    ) -> Result<()> {
        let mut passing = None;
        let TopNode { kept, children } = match top {
            Some(Some(node)) => node,
            top => {
                let kept = self.lookup.node(place)?;
                match top.filter(|_| self.lookup.has_room(&kept.node)) {
                    Some(top) => top.insert(self.lookup.keep(place, kept)),
                    None => passing.insert(TopNode { kept, children: Vec::new() }),
                }
            }
        };
        let (node, position) = (&kept.node, place.pointer.position);
        let mut next = range.start;
        while let Some(key) = self.keys.get(next).filter(|_| next < range.end) {
            let index = node.lower_bound(key);
            let Some((largest, value)) = node.entry(index) else { break };
            match node.kind() {
                NodeKind::Leaf => {
                    (self.found)(next, (largest == *key).then_some(value))?;
                    next += 1;
                }
                NodeKind::Interior => {
                    let pointer = NodePointer::decode(self.lookup.tree, value)
                        .map_err(|damage| self.lookup.corrupt(position, damage))?;
                    let rest = self.keys.get(next..range.end).unwrap_or_default();
                    // At least one, so that a node out of order cannot hold the search up.
                    let stop = next + rest.partition_point(|key| *key <= largest).max(1);
                    let width = place.width.saturating_mul(node.entry_count());
                    let depth = place.depth + 1;
                    let child = Place { pointer, before: position, depth, width };
                    self.descend(&child, children.get_mut(index), next..stop)?;
                    next = stop;
                }
            }
        }
        self.absent(next..range.end)?;
        let passed = passing.and_then(|passed| Arc::into_inner(passed.kept));
        self.lookup.spares.extend(passed.map(|passed| passed.node).filter(is_usual));
        self.lookup.spares.truncate(SPARES_MAX);
        Ok(())
    }

    fn absent(&mut self, mut range: Range<usize>) -> Result<()> {
        range.try_for_each(|index| (self.found)(index, None))
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use crate::chunklog::{ChunkWriter, LogFile, NodeCache};
    use crate::device::MemoryDevice;
    use crate::event::{Content, Events};
    use crate::format::checksum::Checksum;
    use crate::format::node::{NodeKind, kind_byte, put_entry};
    use crate::format::snappy;

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
