//! Looking up single keys, and many sorted keys in one descent.

use std::sync::Arc;

use super::read_node;
use crate::chunklog::{ChunkReader, KeptNode};
use crate::error::{Error, Result};
use crate::format::block;
use crate::format::node::NodeKind;
use crate::format::pointer::{NodePointer, TreeKind};
use crate::limits::TREE_DEPTH_MAX;

/// Value of a key, or `None`. `before` is the position of the header whose root this is.
pub fn lookup(
    reader: &mut ChunkReader,
    tree: TreeKind,
    root: Option<NodePointer>,
    before: u64,
    key: &[u8],
) -> Result<Option<Vec<u8>>> {
    let mut found = None;
    lookup_many(reader, tree, root, before, &[key], &mut |_, value| {
        found = value.map(<[u8]>::to_vec);
        Ok(())
    })?;
    Ok(found)
}

/// Receives the index of a key and its value, if it has one.
pub type Found<'a> = dyn FnMut(usize, Option<&[u8]>) -> Result<()> + 'a;

/// Calls `found` with the index and the value of each of `keys`, which must be sorted; each node on
/// the way is read once. A key that is not in the tree gives `None`.
pub fn lookup_many(
    reader: &mut ChunkReader,
    tree: TreeKind,
    root: Option<NodePointer>,
    before: u64,
    keys: &[&[u8]],
    found: &mut Found<'_>,
) -> Result<()> {
    let mut search = Search { reader, tree, keys, found };
    match root {
        Some(root) => search.descend(&root, before, 0..keys.len(), 0),
        None => search.absent(0..keys.len()),
    }
}

struct Search<'a> {
    reader: &'a mut ChunkReader,
    tree: TreeKind,
    keys: &'a [&'a [u8]],
    found: &'a mut Found<'a>,
}

impl Search<'_> {
    /// Looks for the keys of a range below a node.
    fn descend(
        &mut self,
        pointer: &NodePointer,
        before: u64,
        range: std::ops::Range<usize>,
        depth: usize,
    ) -> Result<()> {
        let position = pointer.position;
        let kept = self.node(pointer, before, depth)?;
        let node = &kept.node;
        let mut next = range.start;
        while let Some(key) = self.keys.get(next).filter(|_| next < range.end) {
            let Some((largest, value)) = node.entry(node.lower_bound(key)) else { break };
            match node.kind() {
                NodeKind::Leaf => {
                    (self.found)(next, (largest == *key).then_some(value))?;
                    next += 1;
                }
                NodeKind::Interior => {
                    let child = NodePointer::decode(self.tree, value).map_err(|damage| {
                        Error::corrupt(&self.reader.file().name, position, damage)
                    })?;
                    let rest = self.keys.get(next..range.end).unwrap_or_default();
                    // At least one, so that a node out of order cannot hold the search up.
                    let stop = next + rest.partition_point(|key| *key <= largest).max(1);
                    self.descend(&child, position, next..stop, depth + 1)?;
                    next = stop;
                }
            }
        }
        self.absent(next..range.end)
    }

    /// The node that a pointer leads to. What [`read_node`] refuses because of its place is refused
    /// where it is kept in memory too: it is read then, to say what is wrong.
    fn node(&mut self, pointer: &NodePointer, before: u64, depth: usize) -> Result<Arc<KeptNode>> {
        let (tree, position) = (self.tree, pointer.position);
        let kept = self.reader.nodes().and_then(|nodes| nodes.get(tree, position));
        if let Some(kept) = kept.filter(|kept| kept.end <= before && depth < TREE_DEPTH_MAX) {
            return Ok(kept);
        }
        self.reader.expect_node(position, pointer.subtree_size, before)?;
        let node = read_node(self.reader, tree, position, before, depth, None)?;
        let disk_size = self.reader.head(position, before, "tree node")?.disk_size();
        let kept = Arc::new(KeptNode { node, end: block::advance(position, disk_size) });
        if let Some(nodes) = self.reader.nodes() {
            nodes.put(tree, position, kept.clone());
        }
        Ok(kept)
    }

    fn absent(&mut self, mut range: std::ops::Range<usize>) -> Result<()> {
        range.try_for_each(|index| (self.found)(index, None))
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use crate::chunklog::{ChunkWriter, LogFile, NodeCache};
    use crate::device::MemoryDevice;
    use crate::error::Damage;
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
            let mut reader = ChunkReader::for_lookups(file.clone(), nodes.clone());
            lookup(&mut reader, tree, Some(root), before, b"key")
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
