//! What several test files need: the golden files beside their listings.
#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod host;
pub(crate) mod random;
pub(crate) mod script;
pub(crate) mod state;
pub(crate) mod world;

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tailswap::btree::Token;
use tailswap::device::{BlockDevice, MemoryDevice};
use tailswap::event::FileName;
use tailswap::format::node::{Node, NodeKind};
use tailswap::format::pointer::{NodePointer, TreeKind};
use tailswap::store::{OpenMode, Snapshot, find_newest};

pub(crate) const TREES: [TreeKind; 3] = [TreeKind::BySeq, TreeKind::ById, TreeKind::Local];

/// A golden file, and what the reference says of it.
pub(crate) struct Golden {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    /// `NAME.jsonl`: header, documents by seq and by id, local documents, counts.
    pub(crate) listing: Vec<Value>,
    /// `NAME.headers.jsonl`: headers backwards.
    pub(crate) headers: Vec<Value>,
    /// `NAME.tree.jsonl`: nodes, parents before their children.
    pub(crate) tree: Vec<Value>,
}

impl Golden {
    /// A golden file by name.
    pub(crate) fn load(name: &str) -> Golden {
        let lines = |suffix: &str| -> Vec<Value> {
            let text = std::fs::read_to_string(folder().join(format!("{name}.{suffix}"))).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        Golden {
            name: name.to_owned(),
            bytes: std::fs::read(folder().join(format!("{name}.couch"))).unwrap(),
            listing: lines("jsonl"),
            headers: lines("headers.jsonl"),
            tree: lines("tree.jsonl"),
        }
    }

    /// All files that are not encrypted.
    pub(crate) fn plain() -> Vec<Golden> {
        let names = names().into_iter().filter(|name| !is_encrypted(name));
        names.map(|name| Golden::load(&name)).collect()
    }

    /// The newest state, strictly opened.
    pub(crate) fn open(&self) -> Snapshot {
        let (name, device) = in_memory(&self.name, self.bytes.clone());
        find_newest(&name, device, OpenMode::Strict).unwrap().0
    }

    /// Lines of the listing of one type.
    pub(crate) fn listed(&self, kind: &str) -> Vec<&Value> {
        self.listing.iter().filter(|line| line["type"] == kind).collect()
    }
}

/// A file of that name and content, for the functions that take both.
pub(crate) fn in_memory(name: &str, bytes: Vec<u8>) -> (FileName, Arc<dyn BlockDevice>) {
    (FileName::from(name), Arc::new(MemoryDevice::from_bytes(bytes)))
}

/// Names of all golden files, without their ending.
pub(crate) fn names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| Some(name.strip_suffix(".couch")?.to_owned()))
        .collect();
    names.sort();
    assert!(names.len() > 40, "the golden files are there");
    names
}

/// Whether a golden file is encrypted. The name of one that was decrypted begins alike.
pub(crate) fn is_encrypted(name: &str) -> bool {
    name.starts_with("encrypted_") && name != "encrypted_decrypted_by_compact"
}

/// A damaged golden file.
pub(crate) fn corrupt(name: &str) -> Vec<u8> {
    std::fs::read(folder().join("corrupt").join(format!("{name}.couch"))).unwrap()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Lower-case hexadecimal, as in the listings.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// A pointer's reduce in hexadecimal.
pub(crate) fn reduce_hex(pointer: &NodePointer) -> String {
    let mut root = Vec::new();
    pointer.encode_root(&mut root);
    hex(&root[12..])
}

/// Calls `node` for every node of a tree, parents first, with its depth and the pointer to it.
pub(crate) fn for_each_node(
    snapshot: &Snapshot,
    tree: TreeKind,
    node: &mut dyn FnMut(usize, NodePointer, &Node),
) {
    let mut walk = snapshot.walk(tree);
    while let Some(token) = walk.peek().unwrap() {
        let Token::Subtree(pointer) = token else {
            walk.skip();
            continue;
        };
        // Leaving a finished node takes its level off, so the depth is that of the way down.
        let depth = walk.depth();
        walk.descend().unwrap();
        node(depth, pointer, walk.node().unwrap());
    }
}

/// A state's nodes as `NAME.tree.jsonl` lists them.
pub(crate) fn tree_lines(snapshot: &Snapshot) -> Vec<Value> {
    let mut lines = Vec::new();
    for (tree, name) in TREES.into_iter().zip(["by_seq", "by_id", "local"]) {
        let mut reader = snapshot.reader(4096);
        for_each_node(snapshot, tree, &mut |depth, pointer, node| {
            let head = reader.head(pointer.position, snapshot.position(), "node").unwrap();
            lines.push(json!({
                "type": "node",
                "tree": name,
                "depth": depth,
                "pos": pointer.position,
                "kind": if node.kind() == NodeKind::Leaf { "kv" } else { "kp" },
                "chunk_len": head.length,
                "raw_len": node.raw().len(),
                "ptr_subtree": pointer.subtree_size,
                "ptr_reduce": reduce_hex(&pointer),
                "items": node.entry_count(),
                "first_key": hex(node.key(0).unwrap()),
                "last_key": hex(node.key(node.entry_count() - 1).unwrap()),
            }));
        });
    }
    lines
}
