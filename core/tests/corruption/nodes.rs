//! Nodes and what points at them, put together. Shared with the fuzz targets.

use tailswap::chunklog::Appended;
use tailswap::format::docinfo::{DocInfo, encode_seq};
use tailswap::format::node::{NodeKind, put_entry};
use tailswap::format::pointer::{NodePointer, Reduce, TreeKind};

/// Key and value.
pub(crate) type Entry = (Vec<u8>, Vec<u8>);

pub(crate) fn raw_node(kind_byte: u8, entries: &[Entry]) -> Vec<u8> {
    let mut raw = vec![kind_byte];
    entries.iter().for_each(|(key, value)| put_entry(&mut raw, key, value));
    raw
}

pub(crate) fn pointer_entry(key: &[u8], pointer: &NodePointer) -> Entry {
    let mut value = Vec::new();
    pointer.encode(&mut value);
    (key.to_vec(), value)
}

pub(crate) fn document_entry(tree: TreeKind, info: &DocInfo) -> Entry {
    let mut value = Vec::new();
    match tree {
        TreeKind::BySeq => {
            info.as_ref().encode_by_seq(&mut value);
            (encode_seq(info.seq).to_vec(), value)
        }
        _ => {
            info.as_ref().encode_by_id(&mut value);
            (info.id.clone(), value)
        }
    }
}

pub(crate) fn pointer_to(node: Appended, below: u64, reduce: Reduce) -> NodePointer {
    let subtree_size = below.saturating_add(node.disk_size).min((1 << 48) - 1);
    NodePointer { position: node.position, subtree_size, reduce }
}

pub(crate) fn children_size(tree: TreeKind, entries: &[Entry]) -> u64 {
    let sizes = entries.iter().filter_map(|(_, value)| NodePointer::decode(tree, value).ok());
    sizes.fold(0, |sum, child| sum.saturating_add(child.subtree_size))
}

/// What a parent should say of these entries, as far as they can be read.
pub(crate) fn reduce(tree: TreeKind, kind: NodeKind, entries: &[Entry]) -> Reduce {
    let mut sum = tree.empty_reduce();
    for (key, value) in entries {
        let of_entry = match kind {
            NodeKind::Leaf => tree.reduce_entry(key, value),
            NodeKind::Interior => NodePointer::decode(tree, value).map(|child| child.reduce),
        };
        if let Ok(reduce) = of_entry {
            sum.add(reduce);
        }
    }
    sum
}
