//! `_local/vbstate`: what Couchbase keeps of a vbucket beside its documents (format, section 6).

use std::str::FromStr;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VbState {
    /// `active`, `replica`, `pending` or `dead`.
    pub state: String,
    /// Version of this document.
    pub version: u32,
    /// Highest CAS ever persisted.
    #[serde(serialize_with = "as_string")]
    pub max_cas: u64,
    /// First sequence number of the last persisted range.
    #[serde(serialize_with = "as_string")]
    pub snap_start: u64,
    /// Last sequence number of the last persisted range.
    #[serde(serialize_with = "as_string")]
    pub snap_end: u64,
    /// Highest sequence number of a deletion ever persisted.
    #[serde(serialize_with = "as_string")]
    pub max_deleted_seqno: u64,
    /// First sequence number whose CAS is a hybrid clock; negative while there is none.
    #[serde(serialize_with = "as_string")]
    pub hlc_epoch: i64,
    /// Highest completed prepare.
    #[serde(serialize_with = "as_string")]
    pub completed_seqno: u64,
    /// Highest prepared sequence number.
    #[serde(serialize_with = "as_string")]
    pub prepared_seqno: u64,
    /// Highest prepared sequence number known to this node.
    #[serde(serialize_with = "as_string")]
    pub high_prepared_seqno: u64,
    /// Highest sequence number that a client can see.
    #[serde(serialize_with = "as_string")]
    pub max_visible_seqno: u64,
    /// Prepares on disk.
    #[serde(serialize_with = "as_string")]
    pub on_disk_prepares: u64,
    /// Bytes of prepares on disk.
    #[serde(serialize_with = "as_string")]
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
    pub other: Map<String, Value>,
}

/// One branch of a vbucket's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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
            other: Map::new(),
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
        let Value::Object(mut map) = serde_json::from_slice(json).ok()? else { return None };
        let mut state = VbState::default();
        for (name, field) in [
            ("max_cas", &mut state.max_cas),
            ("snap_start", &mut state.snap_start),
            ("snap_end", &mut state.snap_end),
            ("max_deleted_seqno", &mut state.max_deleted_seqno),
            ("completed_seqno", &mut state.completed_seqno),
            ("prepared_seqno", &mut state.prepared_seqno),
            ("high_prepared_seqno", &mut state.high_prepared_seqno),
            ("max_visible_seqno", &mut state.max_visible_seqno),
            ("on_disk_prepares", &mut state.on_disk_prepares),
            ("on_disk_prepare_bytes", &mut state.on_disk_prepare_bytes),
        ] {
            take(&mut map, name, field, number)?;
        }
        take(&mut map, "version", &mut state.version, number)?;
        take(&mut map, "hlc_epoch", &mut state.hlc_epoch, number)?;
        take(&mut map, "state", &mut state.state, text)?;
        take(&mut map, "checkpoint_type", &mut state.checkpoint_type, text)?;
        take(&mut map, "might_contain_xattrs", &mut state.might_contain_xattrs, truth)?;
        take(&mut map, "namespaces_supported", &mut state.namespaces_supported, truth)?;
        take(&mut map, "failover_table", &mut state.failover_table, branches)?;
        state.other = map;
        Some(state)
    }

    /// The local document.
    pub fn encode(&self) -> Vec<u8> {
        // Maps with string keys and integers always serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Takes a field out of the document, if it has it; `None` when it is not what it should be.
fn take<T>(
    map: &mut Map<String, Value>,
    name: &str,
    field: &mut T,
    read: impl Fn(Value) -> Option<T>,
) -> Option<()> {
    if let Some(value) = map.remove(name) {
        *field = read(value)?;
    }
    Some(())
}

/// 64-bit numbers stand as strings in JSON, whose numbers are doubles; older files have plain ones.
fn number<T: FromStr>(value: Value) -> Option<T> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.to_string().parse().ok(),
        _ => None,
    }
}

fn text(value: Value) -> Option<String> {
    if let Value::String(text) = value { Some(text) } else { None }
}

fn truth(value: Value) -> Option<bool> {
    value.as_bool()
}

fn branches(value: Value) -> Option<Vec<FailoverEntry>> {
    let Value::Array(entries) = value else { return None };
    let entry = |entry: Value| {
        Some(FailoverEntry { id: entry.get("id")?.as_u64()?, seq: entry.get("seq")?.as_u64()? })
    };
    entries.into_iter().map(entry).collect()
}

fn as_string<T: ToString, S: Serializer>(value: &T, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&value.to_string())
}
