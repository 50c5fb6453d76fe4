//! What a vbucket holds, as plain maps: what should be there, and what was read.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;

use litemap::LiteMap;

use crate::error::Result;
use crate::flusher::queue::Mutation;
use crate::format::docinfo::{COMPRESSED, CONTENT_JSON, CONTENT_UNCHECKED, DocInfo};
use crate::format::rev_meta::{DATATYPE_JSON, DATATYPE_XATTR, RevMeta};
use crate::format::vbstate::{VBSTATE_ID, VbState};
use crate::store::Snapshot;

/// A document or a tombstone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Document {
    /// Its sequence number.
    pub seq: u64,
    /// How often its id was written.
    pub rev_seq: u64,
    /// Whether it is a tombstone.
    pub deleted: bool,
    /// What its content is said to be, but for its being compressed.
    pub content_meta: u8,
    /// Compare-and-swap value, expiry, flags and datatype.
    pub meta: RevMeta,
    /// Its body.
    pub body: Option<Bytes>,
}

/// Everything that a state of a vbucket holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Documents and tombstones by id. Shared, because a state is noted in several places, and most of
    /// what it holds was in the one before.
    pub documents: Arc<LiteMap<Arc<[u8]>, Arc<Document>>>,
    /// Local documents by id, but for the vbucket's state.
    pub locals: LiteMap<Vec<u8>, Vec<u8>>,
    /// Highest sequence number.
    pub update_seq: u64,
    /// Highest sequence number of a tombstone that was purged.
    pub purge_seq: u64,
    /// The vbucket's state, with the counters in it.
    pub state: VbState,
}

impl Contents {
    /// A new vbucket, its history having this identity.
    pub fn new(uuid: u64) -> Self {
        Contents {
            documents: Arc::default(),
            locals: LiteMap::new(),
            update_seq: 0,
            purge_seq: 0,
            state: VbState::new_active(uuid),
        }
    }

    /// Reads all of a snapshot.
    ///
    /// # Errors
    /// Damage, or a failure of the device.
    pub fn read(snapshot: &Snapshot) -> Result<Self> {
        let mut contents = Contents::new(0);
        let documents = Arc::make_mut(&mut contents.documents);
        for info in snapshot.documents_by_id(b"", None)? {
            let info = info?;
            let body = snapshot.body(info.as_ref())?.map(Bytes::from);
            let DocInfo { id, seq, rev_seq, deleted, rev_meta, .. } = info;
            // Whether it was worth compressing is the writer's business.
            let content_meta = info.content_meta & !COMPRESSED;
            let meta = RevMeta::decode(&rev_meta).unwrap_or_default();
            let document = Document { seq, rev_seq, deleted, content_meta, meta, body };
            documents.insert(id.into(), Arc::new(document));
        }
        for local in snapshot.locals() {
            let (id, value) = local?;
            contents.locals.insert(id, value);
        }
        let state = contents.locals.remove(VBSTATE_ID);
        contents.state = state.and_then(|json| VbState::decode(&json)).unwrap_or_default();
        contents.update_seq = snapshot.header().update_seq;
        contents.purge_seq = snapshot.header().purge_seq;
        Ok(contents)
    }

    /// The state after a flush of these mutations, in order.
    pub fn flush(&mut self, batch: &[(u64, Mutation)]) {
        let (Some((first, _)), Some((last, _))) = (batch.first(), batch.last()) else { return };
        let state = &mut self.state;
        (state.snap_start, state.snap_end, state.max_visible_seqno) = (*first, *last, *last);
        if state.hlc_epoch < 0 {
            state.hlc_epoch = *first as i64;
        }
        let documents = Arc::make_mut(&mut self.documents);
        for (seq, mutation) in batch {
            state.max_cas = state.max_cas.max(mutation.cas);
            state.might_contain_xattrs |= mutation.datatype & DATATYPE_XATTR != 0;
            if mutation.deleted {
                state.max_deleted_seqno = *seq;
            }
            let rev_seq = documents.get(&*mutation.id).map_or(1, |old| old.rev_seq + 1);
            let Mutation { deleted, cas, expiry, flags, datatype, .. } = *mutation;
            let meta = RevMeta { cas, expiry, flags, deleted_by_expiry: false, datatype };
            let content_meta = match datatype & DATATYPE_JSON {
                0 => CONTENT_UNCHECKED,
                _ => CONTENT_JSON,
            };
            let body = mutation.value.clone();
            let document = Document { seq: *seq, rev_seq, deleted, content_meta, meta, body };
            documents.insert(mutation.id.as_slice().into(), Arc::new(document));
        }
        self.update_seq = *last;
    }

    /// Tombstones up to `to_seq`, but for the one with the highest sequence number.
    pub fn tombstones(&self, to_seq: u64) -> Vec<(Vec<u8>, u64)> {
        let purgeable = |document: &Document| {
            document.deleted && document.seq <= to_seq && document.seq != self.update_seq
        };
        let of = self.documents.iter().filter(|(_, document)| purgeable(document));
        of.map(|(id, document)| (id.to_vec(), document.seq)).collect()
    }

    /// The state once these tombstones were purged, as far as they were not replaced meanwhile.
    pub fn purge(&mut self, tombstones: &[(Vec<u8>, u64)]) {
        for (id, seq) in tombstones {
            self.purge_seq = self.purge_seq.max(*seq);
            if self.documents.get(id.as_slice()).is_some_and(|document| document.seq == *seq) {
                Arc::make_mut(&mut self.documents).remove(id.as_slice());
            }
        }
    }

    /// A number that differs for other contents. Only to be compared within one process.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let Contents { documents, locals, update_seq, purge_seq, state } = self;
        (documents, locals, update_seq, purge_seq, state.encode()).hash(&mut hasher);
        hasher.finish()
    }

    /// How `found` differs from this, in words; empty when it does not.
    pub fn difference(&self, found: &Contents) -> String {
        let mut words = String::new();
        let mut say = |what: std::fmt::Arguments<'_>| {
            let _ = write!(words, "{}{what}", if words.is_empty() { "" } else { "; " });
        };
        for (what, expected, found) in [
            ("the highest sequence number", self.update_seq, found.update_seq),
            ("purge_seq", self.purge_seq, found.purge_seq),
        ] {
            if expected != found {
                say(format_args!("{what} is {found}, not {expected}"));
            }
        }
        for (id, document) in self.documents.iter() {
            let id_words = String::from_utf8_lossy(id);
            match found.documents.get(id) {
                None => say(format_args!("{id_words:?} (seq {}) is missing", document.seq)),
                Some(other) if other != document => {
                    let (was, is) = (brief(document), brief(other));
                    say(format_args!("{id_words:?} is {is}, not {was}"));
                }
                Some(_) => {}
            }
        }
        for (id, document) in found.documents.iter() {
            if !self.documents.contains_key(id) {
                let id = String::from_utf8_lossy(id);
                say(format_args!("{id:?} should not be there: {}", brief(document)));
            }
        }
        if self.locals != found.locals {
            say(format_args!("local documents are {:?}, not {:?}", found.locals, self.locals));
        }
        if self.state != found.state {
            say(format_args!("vbstate is {:?}, not {:?}", found.state, self.state));
        }
        words
    }
}

fn brief(document: &Document) -> String {
    let Document { seq, rev_seq, deleted, content_meta, meta, body } = document;
    let RevMeta { cas, expiry, flags, datatype, .. } = meta;
    let kind = if *deleted { "tombstone" } else { "document" };
    let length = body.as_ref().map_or("no body".to_owned(), |body| format!("{} bytes", body.len()));
    let kinds = format!("content {content_meta} datatype {datatype}");
    format!(
        "{kind} seq {seq} rev {rev_seq} cas {cas} expiry {expiry} flags {flags} {kinds} {length}"
    )
}
