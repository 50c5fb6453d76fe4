//! Naming the entries in which by-seq and by-id differ, once it is known that they do.

use super::super::snapshot::{Documents, Snapshot};
use super::body::name;
use super::report::{Report, Severity};
use crate::btree::TreeLookup;
use crate::chunklog::ChunkReader;
use crate::error::Result;
use crate::format::docinfo::{DocInfo, DocInfoRef, encode_seq};
use crate::format::pointer::TreeKind;

/// Differences named for one state, at most.
const NAMED_MAX: u64 = 100;

/// A comparison under way: each document of one tree is looked up in the other.
#[derive(Debug)]
pub(super) struct Comparison {
    snapshot: Snapshot,
    by_seq: TreeLookup,
    by_id: TreeLookup,
    documents: Documents,
    side: TreeKind,
    named: u64,
}

impl Comparison {
    pub(super) fn new(snapshot: &Snapshot) -> Result<Self> {
        let lookup = |tree| {
            let reader = snapshot.reader(ChunkReader::LOOKUP_WINDOW);
            let (root, before) = (snapshot.header().root(tree), snapshot.position());
            TreeLookup::new(reader, tree, root, before).keeping_top()
        };
        Ok(Comparison {
            snapshot: snapshot.clone(),
            by_seq: lookup(TreeKind::BySeq),
            by_id: lookup(TreeKind::ById),
            documents: snapshot.changes_since(0)?,
            side: TreeKind::BySeq,
            named: 0,
        })
    }

    /// Looks up one document; `false` at the end.
    pub(super) fn step(&mut self, report: &mut Report) -> Result<bool> {
        if self.named >= NAMED_MAX {
            let what = "by-seq and by-id differ in more documents than are named here";
            report.add(Severity::Problem, self.snapshot.position(), what);
            return Ok(false);
        }
        let Some(info) = self.documents.next().transpose()? else {
            if self.side == TreeKind::ById {
                return Ok(false);
            }
            self.side = TreeKind::ById;
            self.documents = self.snapshot.documents_by_id(b"", None)?;
            return Ok(true);
        };
        match (self.side, self.counterpart(&info)?) {
            (_, Some(other)) if other == info => {}
            // Both differ in the same document: named once.
            (TreeKind::ById, Some(_)) => {}
            (_, Some(other)) => {
                let (id, seq) = (name(&info), other.seq);
                let what = format!("{id}: by-id holds other metadata for it (seq {seq})");
                self.name_one(what, report);
            }
            (TreeKind::BySeq, None) => {
                let what = format!("{}: in by-seq, but not in by-id", name(&info));
                self.name_one(what, report);
            }
            (_, None) => {
                let what = format!("{}: in by-id, but not in by-seq", name(&info));
                self.name_one(what, report);
            }
        }
        Ok(true)
    }

    /// The document in the other tree.
    fn counterpart(&mut self, info: &DocInfo) -> Result<Option<DocInfo>> {
        let seq = encode_seq(info.seq);
        let value = match self.side {
            TreeKind::BySeq => self.by_id.value(&info.id)?,
            _ => self.by_seq.value(&seq)?,
        };
        // What does not decode is no counterpart.
        Ok(value.and_then(|value| {
            let other = match self.side {
                TreeKind::BySeq => DocInfoRef::decode_by_id(&info.id, &value),
                _ => DocInfoRef::decode_by_seq(&seq, &value),
            };
            other.ok().map(DocInfoRef::to_owned)
        }))
    }

    /// Names a document at the offset of the node that holds it.
    fn name_one(&mut self, what: String, report: &mut Report) {
        let offset = self.documents.node_position().unwrap_or(self.snapshot.position());
        report.add(Severity::Problem, offset, what);
        self.named += 1;
    }
}
