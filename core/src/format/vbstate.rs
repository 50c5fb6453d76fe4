//! `_local/vbstate`: what Couchbase keeps of a vbucket beside its documents (format, section 6).

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Id of the local document.
pub const VBSTATE_ID: &[u8] = b"_local/vbstate";
/// Version that Couchbase writes today.
const VBSTATE_VERSION: u32 = 4;
/// Branches of history that are remembered, as in Couchbase.
const FAILOVER_ENTRIES_MAX: usize = 25;
/// What `hlc_epoch` is before the first document with such a CAS.
const HLC_EPOCH_NONE: i64 = -2;

/// State of a vbucket, as kept in its file. Fields that are missing read as their defaults, and ones
/// that are not known here are kept as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VbState {
    /// `active`, `replica`, `pending` or `dead`.
    pub state: String,
    /// Version of this document.
    pub version: u32,
    /// Highest CAS ever persisted.
    #[serde(with = "as_string")]
    pub max_cas: u64,
    /// First sequence number of the last persisted range.
    #[serde(with = "as_string")]
    pub snap_start: u64,
    /// Last sequence number of the last persisted range.
    #[serde(with = "as_string")]
    pub snap_end: u64,
    /// Highest sequence number of a deletion ever persisted.
    #[serde(with = "as_string")]
    pub max_deleted_seqno: u64,
    /// First sequence number whose CAS is a hybrid clock; negative while there is none.
    #[serde(with = "as_string")]
    pub hlc_epoch: i64,
    /// Highest completed prepare.
    #[serde(with = "as_string")]
    pub completed_seqno: u64,
    /// Highest prepared sequence number.
    #[serde(with = "as_string")]
    pub prepared_seqno: u64,
    /// Highest prepared sequence number known to this node.
    #[serde(with = "as_string")]
    pub high_prepared_seqno: u64,
    /// Highest sequence number that a client can see.
    #[serde(with = "as_string")]
    pub max_visible_seqno: u64,
    /// Prepares on disk.
    #[serde(with = "as_string")]
    pub on_disk_prepares: u64,
    /// Bytes of prepares on disk.
    #[serde(with = "as_string")]
    pub on_disk_prepare_bytes: u64,
    /// Whether any document may have extended attributes.
    pub might_contain_xattrs: bool,
    /// Whether ids have a collection prefix.
    pub namespaces_supported: bool,
    /// `Disk` or `Memory`.
    pub checkpoint_type: String,
    /// The vbucket's history, newest branch first.
    pub failover_table: Vec<FailoverEntry>,
    /// Whatever else the document holds.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

/// One branch of a vbucket's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailoverEntry {
    /// Identity of the branch: 48 random bits.
    pub id: u64,
    /// Sequence number at which it begins.
    pub seq: u64,
}

impl Default for VbState {
    fn default() -> Self {
        VbState {
            state: "active".to_owned(),
            version: VBSTATE_VERSION,
            max_cas: 0,
            snap_start: 0,
            snap_end: 0,
            max_deleted_seqno: 0,
            hlc_epoch: HLC_EPOCH_NONE,
            completed_seqno: 0,
            prepared_seqno: 0,
            high_prepared_seqno: 0,
            max_visible_seqno: 0,
            on_disk_prepares: 0,
            on_disk_prepare_bytes: 0,
            might_contain_xattrs: false,
            namespaces_supported: true,
            checkpoint_type: "Memory".to_owned(),
            failover_table: Vec::new(),
            other: serde_json::Map::new(),
        }
    }
}

impl VbState {
    /// State of a vbucket that comes into being; `uuid` is the identity of its history.
    pub fn new_active(uuid: u64) -> Self {
        let mut state = VbState::default();
        state.begin_branch(uuid, 0);
        state
    }

    /// The history up to `seq` goes on under another identity: what came after it is given up.
    pub fn begin_branch(&mut self, uuid: u64, seq: u64) {
        let id = uuid & ((1 << 48) - 1);
        self.failover_table.retain(|entry| entry.seq < seq || (entry.seq == 0 && seq > 0));
        self.failover_table.insert(0, FailoverEntry { id, seq });
        self.failover_table.truncate(FAILOVER_ENTRIES_MAX);
    }

    /// Reads the local document; `None` when it is not one of this kind.
    pub fn decode(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// The local document.
    pub fn encode(&self) -> Vec<u8> {
        // Maps with string keys and integers always serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// 64-bit numbers stand as strings in JSON, whose numbers are doubles; older files have plain ones.
mod as_string {
    use std::fmt::Display;
    use std::str::FromStr;

    use super::*;

    pub(super) fn serialize<T: Display, S: Serializer>(
        value: &T,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        out.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display> + Deserialize<'de>,
        D: Deserializer<'de>,
    {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Number<T> {
            Text(String),
            Plain(T),
        }
        match Number::deserialize(from)? {
            Number::Plain(value) => Ok(value),
            Number::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}
