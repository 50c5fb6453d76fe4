//! What a flush writes: documents as a Couchbase node would write them, and the vbucket's state.

use super::queue::{Mutation, Queued};
use crate::format::docinfo::{CONTENT_JSON, CONTENT_UNCHECKED};
use crate::format::rev_meta::{DATATYPE_JSON, DATATYPE_SNAPPY, DATATYPE_XATTR, RevMeta};
use crate::format::vbstate::VbState;
use crate::store::{Body, DocUpdate, RevSeq};

/// The change of a document that a mutation comes to.
pub fn doc_update(queued: &Queued) -> DocUpdate {
    let Mutation { id, value, deleted, cas, expiry, flags, datatype, .. } = &queued.mutation;
    let rev_meta = RevMeta {
        cas: *cas,
        expiry: *expiry,
        flags: *flags,
        deleted_by_expiry: false,
        datatype: *datatype,
    };
    let body = match value {
        None => Body::None,
        // An empty body gains nothing, and one that the client compressed is compressed already.
        Some(value) if value.is_empty() || datatype & DATATYPE_SNAPPY != 0 => {
            Body::Stored(value.clone())
        }
        Some(value) => Body::Compress(value.clone()),
    };
    let json = datatype & DATATYPE_JSON != 0;
    DocUpdate {
        id: id.clone(),
        seq: Some(queued.seq),
        rev_seq: RevSeq::Next,
        deleted: *deleted,
        content_meta: if json { CONTENT_JSON } else { CONTENT_UNCHECKED },
        rev_meta: rev_meta.encode(),
        body,
    }
}

/// The vbucket's state after a batch, which is not empty.
pub fn advance_state(state: &mut VbState, batch: &[Queued]) {
    let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return };
    state.snap_start = first.seq;
    state.snap_end = last.seq;
    state.max_visible_seqno = last.seq;
    if state.hlc_epoch < 0 {
        state.hlc_epoch = i64::try_from(first.seq).unwrap_or(i64::MAX);
    }
    for Queued { seq, mutation, .. } in batch {
        state.max_cas = state.max_cas.max(mutation.cas);
        state.might_contain_xattrs |= mutation.datatype & DATATYPE_XATTR != 0;
        if mutation.deleted {
            state.max_deleted_seqno = state.max_deleted_seqno.max(*seq);
        }
    }
}
