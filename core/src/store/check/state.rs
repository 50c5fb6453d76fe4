//! Checking one state of a file: its three trees against the state after it, and by-seq against
//! by-id.

use std::collections::VecDeque;

use super::super::snapshot::Snapshot;
use super::report::{Report, Severity};
use super::scan::Scan;
use crate::btree::TreeWalk;
use crate::btree::verify::{CheckVisitor, Side, TreeCheck};
use crate::chunklog::ChunkReader;
use crate::error::Error;
use crate::format::docinfo::{DocInfo, DocInfoRef};
use crate::format::pointer::{Reduce, TreeKind};

const TREES: [TreeKind; 3] = [TreeKind::BySeq, TreeKind::ById, TreeKind::Local];

/// Sums over the entries of a by-seq or by-id tree: equal where the trees hold the same documents,
/// whatever their order. They are carried from one state to the next by what differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// Hashes of the entries that can be read.
    hash: u64,
    /// Subtrees that cannot.
    unreadable: u64,
}

/// What is known of both trees of the state checked last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TreeSums {
    by_seq: Sums,
    by_id: Sums,
}

impl TreeSums {
    fn of(&mut self, tree: TreeKind) -> Option<&mut Sums> {
        match tree {
            TreeKind::BySeq => Some(&mut self.by_seq),
            TreeKind::ById => Some(&mut self.by_id),
            TreeKind::Local => None,
        }
    }

    /// By how much the trees differ; `None` where some of either cannot be read.
    pub(super) fn difference(&self) -> Option<u64> {
        let readable = self.by_seq.unreadable == 0 && self.by_id.unreadable == 0;
        readable.then(|| self.by_seq.hash.wrapping_sub(self.by_id.hash))
    }
}

/// Sizes that were kept as others count them, to be reported as one note.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OtherSizes {
    count: u64,
    first: u64,
}

impl OtherSizes {
    pub(super) fn add(&mut self, position: u64) {
        if self.count == 0 {
            self.first = position;
        }
        self.count += 1;
    }

    pub(super) fn report(&self, report: &mut Report) {
        if self.count > 0 {
            let what = format!(
                "{} sizes are kept as older libraries count (with the type bytes of blocks) or as \
                 they were before the file was encrypted or decrypted; here is the first",
                self.count
            );
            report.add(Severity::Note, self.first, what);
        }
    }
}

/// What the parts of a check share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) report: Report,
    pub(super) scan: Scan,
    pub(super) sums: TreeSums,
    pub(super) sizes: OtherSizes,
    /// Bodies that are to be checked next: those of one leaf, at most.
    pub(super) bodies: VecDeque<DocInfo>,
}

/// One state being checked.
#[derive(Debug)]
pub(super) struct StateCheck {
    pub(super) snapshot: Snapshot,
    newer: Option<Snapshot>,
    /// Disk size of the bodies checked in it.
    pub(super) body_bytes: u64,
    trees: std::array::IntoIter<TreeKind, 3>,
    current: Option<(TreeKind, TreeCheck)>,
}

impl StateCheck {
    /// A check of `snapshot`, whose trees share what they do with those of `newer`, checked before.
    pub(super) fn new(snapshot: Snapshot, newer: Option<Snapshot>) -> Self {
        StateCheck { snapshot, newer, body_bytes: 0, trees: TREES.into_iter(), current: None }
    }

    /// Reads a node or passes an entry; returns the bytes verified, or `None` at the end.
    pub(super) fn step(&mut self, shared: &mut Shared) -> crate::Result<Option<u64>> {
        if self.current.is_none() {
            self.current = self.trees.next().map(|tree| (tree, self.begin(tree)));
        }
        let Some((tree, check)) = &mut self.current else { return Ok(None) };
        let mut visitor = Visitor { tree: *tree, snapshot: &self.snapshot, shared, bytes: 0 };
        if check.step(&mut visitor)? {
            return Ok(Some(visitor.bytes));
        }
        self.current = None;
        Ok(Some(0))
    }

    fn begin(&self, tree: TreeKind) -> TreeCheck {
        let newer = match &self.newer {
            Some(newer) => newer.walk(tree),
            None => {
                let reader = self.snapshot.reader(ChunkReader::LOOKUP_WINDOW);
                TreeWalk::new(reader, tree, None, 0)
            }
        };
        TreeCheck::new(tree, self.snapshot.walk(tree), newer)
    }

    /// Compares the counts in both roots.
    pub(super) fn check_counts(&self, report: &mut Report) {
        let counts = self.snapshot.counts();
        let by_seq = match self.snapshot.header().by_seq.map(|root| root.reduce) {
            Some(Reduce::BySeq { count }) => count,
            _ => 0,
        };
        if by_seq != counts.live + counts.deleted {
            let what = format!(
                "the by-seq tree counts {by_seq} documents, the by-id tree {} live and {} deleted",
                counts.live, counts.deleted
            );
            report.add(Severity::Problem, self.snapshot.position(), what);
        }
    }
}

/// Takes in what a tree check comes across.
struct Visitor<'a> {
    tree: TreeKind,
    snapshot: &'a Snapshot,
    shared: &'a mut Shared,
    bytes: u64,
}

impl CheckVisitor for Visitor<'_> {
    fn node(&mut self, position: u64, end: u64, disk_size: u64) {
        self.shared.report.nodes += 1;
        self.shared.report.bytes += disk_size;
        self.bytes += disk_size;
        self.shared.scan.cover(position..end);
    }

    fn damage(&mut self, error: Error) {
        self.shared.report.add_error(Severity::Problem, self.snapshot.position(), &error);
    }

    fn size_as_others_count(&mut self, position: u64) {
        self.shared.sizes.add(position);
    }

    fn unreadable(&mut self, side: Side) {
        if let Some(sums) = self.shared.sums.of(self.tree) {
            sums.unreadable = match side {
                Side::Checked => sums.unreadable.wrapping_add(1),
                Side::Newer => sums.unreadable.wrapping_sub(1),
            };
        }
    }

    fn entry(&mut self, side: Side, position: u64, key: &[u8], value: &[u8]) {
        let info = match self.tree {
            TreeKind::BySeq => DocInfoRef::decode_by_seq(key, value),
            TreeKind::ById => DocInfoRef::decode_by_id(key, value),
            TreeKind::Local => return,
        };
        // What does not decode was reported with its node.
        let Ok(info) = info else { return self.unreadable(side) };
        let hash = info.fingerprint();
        if let Some(sums) = self.shared.sums.of(self.tree) {
            sums.hash = match side {
                Side::Checked => sums.hash.wrapping_add(hash),
                Side::Newer => sums.hash.wrapping_sub(hash),
            };
        }
        if self.tree == TreeKind::BySeq && side == Side::Checked {
            self.shared.report.documents += 1;
            let highest = self.snapshot.header().update_seq;
            if info.seq > highest || info.seq == 0 {
                let what = format!("sequence number {} where 1 to {highest} are in use", info.seq);
                self.shared.report.add(Severity::Problem, position, what);
            }
            self.shared.bodies.push_back(info.to_owned());
        }
    }
}
