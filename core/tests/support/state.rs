//! What a file should hold, as plain maps, and the comparison of a snapshot with it.

use std::collections::BTreeMap;

use bytes::Bytes;
use tailswap::btree::Token;
use tailswap::event::FileName;
use tailswap::format::docinfo::{COMPRESSED, DocInfo};
use tailswap::format::pointer::{Reduce, TreeKind};
use tailswap::format::vbstate::VBSTATE_ID;
use tailswap::store::check::{Severity, check};
use tailswap::store::{Batch, Body, DocUpdate, OpenMode, RevSeq, Snapshot};

use super::random::Random;

/// Bodies by id, in their order; `None` for a tombstone.
pub(crate) type Bodies = BTreeMap<Vec<u8>, Option<Bytes>>;

/// A batch that writes them all, with so many bytes of metadata each.
pub(crate) fn batch_of(bodies: &Bodies, rev_meta_len: usize) -> Batch {
    let update = |(id, body): (&Vec<u8>, &Option<Bytes>)| DocUpdate {
        id: id.clone(),
        seq: None,
        rev_seq: RevSeq::Next,
        deleted: body.is_none(),
        content_meta: 0,
        rev_meta: vec![1; rev_meta_len],
        body: body.clone().map_or(Body::None, Body::Stored),
    };
    Batch { documents: bodies.iter().map(update).collect(), locals: Vec::new() }
}

/// A document. Its body is uncompressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doc {
    pub(crate) seq: u64,
    pub(crate) rev_seq: u64,
    pub(crate) deleted: bool,
    pub(crate) content_meta: u8,
    pub(crate) rev_meta: Vec<u8>,
    pub(crate) body: Option<Bytes>,
}

/// One state of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) docs: BTreeMap<Vec<u8>, Doc>,
    /// Without the vbucket's state.
    pub(crate) locals: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) update_seq: u64,
    pub(crate) purge_seq: u64,
}

impl State {
    /// Saves a batch: of several changes to one id the last wins.
    pub(crate) fn apply(&mut self, batch: &Batch) {
        for (index, update) in batch.documents.iter().enumerate() {
            if batch.documents[index + 1..].iter().any(|later| later.id == update.id) {
                continue;
            }
            let seq = update.seq.unwrap_or(self.update_seq + 1);
            self.update_seq = seq;
            let old_rev = self.docs.get(&update.id).map_or(0, |old| old.rev_seq);
            let (body, compressed) = match &update.body {
                Body::None => (None, 0),
                Body::Stored(body) => (Some(body.clone()), 0),
                Body::Compress(body) => (Some(body.clone()), COMPRESSED),
            };
            let doc = Doc {
                seq,
                rev_seq: match update.rev_seq {
                    RevSeq::Given(rev_seq) => rev_seq,
                    RevSeq::Next => old_rev + 1,
                },
                deleted: update.deleted,
                content_meta: update.content_meta | compressed,
                rev_meta: update.rev_meta.clone(),
                body,
            };
            self.docs.insert(update.id.clone(), doc);
        }
        for update in &batch.locals {
            match &update.value {
                Some(value) => self.locals.insert(update.id.clone(), value.clone()),
                None => self.locals.remove(&update.id),
            };
        }
    }

    /// The documents in sequence order.
    pub(crate) fn by_seq(&self) -> Vec<(&Vec<u8>, &Doc)> {
        let mut docs: Vec<_> = self.docs.iter().collect();
        docs.sort_by_key(|(_, doc)| doc.seq);
        docs
    }

    /// Asserts that a snapshot holds exactly this: documents by id and by sequence number with their
    /// bodies, local documents, counts, reduces, and the space that it uses.
    pub(crate) fn assert_is(&self, snapshot: &Snapshot, context: &str) {
        let header = snapshot.header();
        assert_eq!(header.update_seq, self.update_seq, "update_seq, {context}");
        assert_eq!(header.purge_seq, self.purge_seq, "purge_seq, {context}");
        let infos: Vec<DocInfo> =
            snapshot.documents_by_id(b"", None).unwrap().collect::<Result<_, _>>().unwrap();
        let ids: Vec<_> = infos.iter().map(|info| &info.id).collect();
        assert_eq!(ids, self.docs.keys().collect::<Vec<_>>(), "ids, {context}");
        let mut bodies = snapshot.bodies(64 << 10);
        let (mut live, mut body_bytes) = (0, 0);
        for (info, doc) in infos.iter().zip(self.docs.values()) {
            let disk_size =
                bodies.raw(info.as_ref()).unwrap().map_or(0, |raw| raw.len() as u64 + 8);
            let body = bodies.body(info.as_ref()).unwrap();
            let found = Doc {
                seq: info.seq,
                rev_seq: info.rev_seq,
                deleted: info.deleted,
                content_meta: info.content_meta,
                rev_meta: info.rev_meta.clone(),
                body: body.map(Bytes::copy_from_slice),
            };
            assert!(found == *doc, "{:?}, {context}:\n{found:?}\n{doc:?}", info.id);
            assert_eq!(info.physical_size, disk_size, "{:?}, {context}", info.id);
            body_bytes += disk_size;
            live += u64::from(!info.deleted);
        }
        let mut by_seq = infos;
        by_seq.sort_by_key(|info| info.seq);
        let changes: Vec<DocInfo> =
            snapshot.changes_since(0).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(changes, by_seq, "both trees, {context}");
        let locals: BTreeMap<_, _> =
            snapshot.locals().map(Result::unwrap).filter(|(id, _)| id != VBSTATE_ID).collect();
        assert!(locals == self.locals, "locals, {context}: {locals:?}, {:?}", self.locals);

        let counts = snapshot.counts();
        let all = self.docs.len() as u64;
        assert_eq!((counts.live, counts.deleted), (live, all - live), "counts, {context}");
        assert_eq!(counts.body_bytes, body_bytes, "size of bodies, {context}");
        let count = header.by_seq.map(|root| root.reduce);
        let expected = (all > 0).then_some(Reduce::BySeq { count: all });
        assert_eq!(count, expected, "count by seq, {context}");
        assert_eq!(snapshot.space_used(), body_bytes + node_bytes(snapshot), "space, {context}");
    }

    /// Asserts that partial reads find what they should: since a sequence number, a range of ids,
    /// some ids of which some are not there, single local documents.
    pub(crate) fn assert_partial_reads(
        &self,
        snapshot: &Snapshot,
        random: &mut Random,
        context: &str,
    ) {
        let since = random.below(self.update_seq + 2);
        let found: Vec<u64> =
            snapshot.changes_since(since).unwrap().map(|info| info.unwrap().seq).collect();
        let expected: Vec<u64> =
            self.by_seq().iter().map(|(_, doc)| doc.seq).filter(|seq| *seq >= since).collect();
        assert_eq!(found, expected, "since {since}, {context}");

        let mut ids: Vec<Vec<u8>> =
            self.docs.keys().filter(|_| random.chance(1, 3)).cloned().collect();
        for id in ids.clone().iter().filter(|_| random.chance(1, 3)) {
            ids.push([id.as_slice(), b"\0"].concat());
        }
        ids.push(b"\xff\xff".to_vec());
        ids.sort();
        ids.dedup();
        let (first, end) = (random.pick(&ids).clone(), random.pick(&ids).clone());
        let range = snapshot.documents_by_id(&first, Some(end.clone())).unwrap();
        let found: Vec<_> = range.map(|info| info.unwrap().id).collect();
        let inside = |id: &&Vec<u8>| **id >= first && **id < end;
        let expected: Vec<_> = self.docs.keys().filter(inside).cloned().collect();
        assert_eq!(found, expected, "from {first:?} to {end:?}, {context}");

        let keys: Vec<&[u8]> = ids.iter().map(Vec::as_slice).collect();
        let mut found = vec![None; keys.len()];
        snapshot.get_many(&keys, |index, info| found[index] = info.map(|info| info.seq)).unwrap();
        let expected: Vec<_> = ids.iter().map(|id| self.docs.get(id).map(|doc| doc.seq)).collect();
        assert_eq!(found, expected, "many, {context}");
        for (id, value) in &self.locals {
            assert_eq!(snapshot.local(id).unwrap().as_ref(), Some(value), "local, {context}");
            let absent = [id.as_slice(), b"-"].concat();
            assert_eq!(snapshot.local(&absent).unwrap(), self.locals.get(&absent).cloned());
        }
    }
}

/// Asserts that the whole file passes `check`, older headers included.
pub(crate) fn assert_sound(snapshot: &Snapshot, context: &str) {
    let name = FileName::from("checked");
    let report = check(&name, snapshot.file().device.clone(), OpenMode::Strict).unwrap();
    let bad: Vec<_> = report.of(Severity::Problem).chain(report.of(Severity::Warning)).collect();
    assert!(bad.is_empty(), "{context}: {bad:?}");
}

/// Disk size of all nodes of all trees.
fn node_bytes(snapshot: &Snapshot) -> u64 {
    let mut reader = snapshot.reader(64 << 10);
    let mut sum = 0;
    for tree in [TreeKind::BySeq, TreeKind::ById, TreeKind::Local] {
        let mut walk = snapshot.walk(tree);
        while let Some(token) = walk.peek().unwrap() {
            let Token::Subtree(pointer) = token else {
                walk.skip();
                continue;
            };
            let head = reader.head(pointer.position, snapshot.position(), "node").unwrap();
            sum += head.disk_size();
            walk.descend().unwrap();
        }
    }
    sum
}
