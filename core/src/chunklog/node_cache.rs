//! Tree nodes kept in memory, inflated, within a number of bytes.
//!
//! Only lookups in committed states use it. What a committed header reaches never changes and is never
//! cut off, so nothing that is kept can become wrong; and what was read was verified before it is
//! kept, so nothing that is damaged passes for sound.

pub use implementation::NodeCache;
pub(crate) use implementation::{FileNodes, KeptNode};

#[cfg(not(target_arch = "wasm32"))]
mod implementation {
    use std::hash::BuildHasherDefault;
    use std::sync::Arc;

    use quick_cache::Weighter;
    use quick_cache::sync::{Cache, DefaultLifecycle};
    use siphasher::sip::SipHasher13;

    pub(crate) use super::super::kept_node::KeptNode;
    use crate::format::pointer::TreeKind;
    use crate::sync::atomic::{AtomicU64, Ordering};

    /// Bytes of most nodes, from which the number of them is guessed.
    const USUAL_NODE_BYTES: usize = 1024;
    /// Bytes counted for a node beside its own: its places in the cache's tables, of nodes that it
    /// remembers to have evicted too, and what allocating takes.
    const OVERHEAD: usize = 128;

    /// Nodes of any number of files. Clones are the same cache.
    #[derive(Clone, Debug)]
    pub struct NodeCache(Arc<Shared>);

    #[derive(Debug)]
    struct Shared {
        nodes: Cache<Place, KeptNode, Weight, BuildHasherDefault<SipHasher13>>,
        /// How many files have a number.
        files: AtomicU64,
    }

    /// Number of a file, and byte offset of a node in it with the tree in two more bits: a node is
    /// verified as one of its tree.
    type Place = (u64, u64);

    #[derive(Clone, Debug)]
    struct Weight;

    impl Weighter<Place, KeptNode> for Weight {
        fn weight(&self, _: &Place, kept: &KeptNode) -> u64 {
            (kept.memory() + OVERHEAD) as u64
        }
    }

    impl NodeCache {
        /// A cache of up to `bytes` bytes; of none for 0.
        pub fn new(bytes: usize) -> Self {
            let (nodes, hasher) = (bytes / USUAL_NODE_BYTES, BuildHasherDefault::default());
            let lifecycle = DefaultLifecycle::default();
            let nodes = Cache::with(nodes, bytes as u64, Weight, hasher, lifecycle);
            NodeCache(Arc::new(Shared { nodes, files: AtomicU64::new(0) }))
        }

        /// Bytes that nodes take now.
        pub fn bytes(&self) -> u64 {
            self.0.nodes.weight()
        }

        /// The part of it that keeps nodes of one file, of which nothing is kept yet.
        pub(crate) fn file(&self) -> FileNodes {
            FileNodes { cache: self.clone(), file: self.0.files.fetch_add(1, Ordering::Relaxed) }
        }
    }

    /// What a [`NodeCache`] keeps of one file.
    #[derive(Clone, Debug)]
    pub(crate) struct FileNodes {
        cache: NodeCache,
        file: u64,
    }

    impl FileNodes {
        /// The same cache's part for another file.
        pub(crate) fn of_another_file(&self) -> Self {
            self.cache.file()
        }

        pub(crate) fn get(&self, tree: TreeKind, position: u64) -> Option<KeptNode> {
            self.cache.0.nodes.get(&self.place(tree, position))
        }

        pub(crate) fn put(&self, tree: TreeKind, position: u64, kept: &KeptNode) {
            self.cache.0.nodes.insert(self.place(tree, position), kept.clone());
        }

        fn place(&self, tree: TreeKind, position: u64) -> Place {
            (self.file, position << 2 | tree as u64)
        }
    }
}

/// Pages keep their files in memory anyway: nobody can make a cache, and none keeps anything.
#[cfg(target_arch = "wasm32")]
mod implementation {
    use crate::format::node::{Node, NodeKind};
    use crate::format::pointer::TreeKind;

    /// There is none here.
    #[derive(Clone, Debug)]
    pub struct NodeCache(());

    impl NodeCache {
        pub(crate) fn file(&self) -> FileNodes {
            FileNodes
        }
    }

    #[derive(Clone, Debug)]
    pub(crate) struct FileNodes;

    impl FileNodes {
        pub(crate) fn of_another_file(&self) -> Self {
            FileNodes
        }

        pub(crate) fn get(&self, _: TreeKind, _: u64) -> Option<KeptNode> {
            None
        }

        pub(crate) fn put(&self, _: TreeKind, _: u64, _: &KeptNode) {}
    }

    /// There is none here, so nobody asks it anything.
    #[derive(Clone, Debug)]
    pub(crate) enum KeptNode {}

    impl KeptNode {
        pub(crate) fn new(_: &Node, _: u64) -> Option<Self> {
            None
        }

        pub(crate) fn end(&self) -> u64 {
            match *self {}
        }

        pub(crate) fn kind(&self) -> NodeKind {
            match *self {}
        }

        pub(crate) fn entry_count(&self) -> usize {
            match *self {}
        }

        pub(crate) fn value(&self, _: usize) -> Option<&[u8]> {
            match *self {}
        }

        pub(crate) fn find(&self, _: &[u8]) -> Option<&[u8]> {
            match *self {}
        }

        pub(crate) fn lower_bound(&self, _: &[u8]) -> usize {
            match *self {}
        }

        pub(crate) fn reaches(&self, _: usize, _: &[u8]) -> bool {
            match *self {}
        }

        pub(crate) fn memory(&self) -> usize {
            match *self {}
        }
    }
}
