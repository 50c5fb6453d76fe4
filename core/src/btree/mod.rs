//! Copy-on-write B-trees over a chunk log (format, section 3).
//!
//! All three trees of a file are this one structure; a [`TreeKind`] says what the
//! values mean. Children lie before their parents in the file, and every walk insists on it: that
//! bounds its depth and rules out cycles, whatever a damaged file claims.

mod build;
mod delta;
mod descent;
mod keys;
mod lookup;
mod update;
pub mod verify;
mod walk;

pub use build::BulkBuilder;
pub use delta::{Delta, DeltaStep, Difference};
pub use descent::{Descent, Visit, VisitBatch, VisitSource};
pub use keys::Keys;
pub use lookup::{Found, TreeLookup};
pub use update::{Change, Decide, TreeUpdate};
pub use walk::{Token, TreeWalk};

use crate::chunklog::ChunkReader;
use crate::error::{Damage, Error, Result};
use crate::event::Content;
use crate::format::docinfo::decode_seq;
use crate::format::node::Node;
use crate::format::pointer::TreeKind;
use crate::limits::TREE_DEPTH_MAX;

/// What a chunk of this tree's nodes is, for events.
fn content_of(tree: TreeKind) -> Content {
    match tree {
        TreeKind::BySeq => Content::BySeqNode,
        TreeKind::ById => Content::ByIdNode,
        TreeKind::Local => Content::LocalNode,
    }
}

/// Reads the node at `position`, whose chunk must end at or before `before`: its parent's position,
/// or its header's. `depth` is the number of nodes above it; the memory of `spare` is used again.
fn read_node(
    reader: &mut ChunkReader,
    tree: TreeKind,
    position: u64,
    before: u64,
    depth: usize,
    spare: Option<Node>,
) -> Result<Node> {
    if depth >= TREE_DEPTH_MAX {
        let damage = Damage::Node { what: "the tree is deeper than any writer makes it" };
        return Err(Error::corrupt(&reader.file().name, position, damage));
    }
    let what = match tree {
        TreeKind::BySeq => "by-seq node",
        TreeKind::ById => "by-id node",
        TreeKind::Local => "local-document node",
    };
    let node = Node::inflate(reader.chunk(position, before, what)?, spare);
    let corrupt = |damage| Error::corrupt(&reader.file().name, position, damage);
    let node = node.map_err(corrupt)?;
    // Whoever seeks would pass over a child whose key is cut short, documents and all.
    let is_seq = |index| node.key(index).is_some_and(|key| decode_seq(key).is_ok());
    if tree == TreeKind::BySeq && !(0..node.entry_count()).all(is_seq) {
        return Err(corrupt(Damage::Node { what: "a by-seq key is not of 6 bytes" }));
    }
    Ok(node)
}
