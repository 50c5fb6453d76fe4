//! Looking up single keys, and many sorted keys in one descent.

use super::read_node;
use crate::chunklog::ChunkReader;
use crate::error::{Error, Result};
use crate::format::node::NodeKind;
use crate::format::pointer::{NodePointer, TreeKind};

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
        Some(root) => search.descend(root.position, before, 0..keys.len(), 0),
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
    /// Looks for the keys of a range below the node at `position`.
    fn descend(
        &mut self,
        position: u64,
        before: u64,
        range: std::ops::Range<usize>,
        depth: usize,
    ) -> Result<()> {
        let node = read_node(self.reader, self.tree, position, before, depth)?;
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
                    self.descend(child.position, position, next..stop, depth + 1)?;
                    next = stop;
                }
            }
        }
        self.absent(next..range.end)
    }

    fn absent(&mut self, mut range: std::ops::Range<usize>) -> Result<()> {
        range.try_for_each(|index| (self.found)(index, None))
    }
}
