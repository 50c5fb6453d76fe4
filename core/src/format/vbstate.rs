//! `_local/vbstate`: what Couchbase keeps of a vbucket beside its documents (format, section 6).

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Id of the local document.
pub const VBSTATE_ID: &[u8] = b"_local/vbstate";
/// Version that Couchbase writes today.
const VBSTATE_VERSION: u32 = 4;

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
    /// First sequence number whose CAS is a hybrid clock.
    #[serde(with = "as_string")]
    pub hlc_epoch: u64,
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
            hlc_epoch: 0,
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
        let id = uuid & ((1 << 48) - 1);
        VbState { failover_table: vec![FailoverEntry { id, seq: 0 }], ..VbState::default() }
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
    use super::*;

    pub(super) fn serialize<S: Serializer>(value: &u64, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Number {
            Text(String),
            Plain(u64),
        }
        match Number::deserialize(from)? {
            Number::Plain(value) => Ok(value),
            Number::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}
