//! `_local/vbstate`: what Couchbase keeps of a vbucket beside its documents (format, section 6).

use std::str::FromStr;

use json_event_parser::{JsonEvent, SliceJsonParser, WriterJsonSerializer};
use litemap::LiteMap;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VbState {
    /// `active`, `replica`, `pending` or `dead`.
    pub state: String,
    /// Version of this document.
    pub version: u32,
    /// Highest CAS ever persisted.
    pub max_cas: u64,
    /// First sequence number of the last persisted range.
    pub snap_start: u64,
    /// Last sequence number of the last persisted range.
    pub snap_end: u64,
    /// Highest sequence number of a deletion ever persisted.
    pub max_deleted_seqno: u64,
    /// First sequence number whose CAS is a hybrid clock; negative while there is none.
    pub hlc_epoch: i64,
    /// Highest completed prepare.
    pub completed_seqno: u64,
    /// Highest prepared sequence number.
    pub prepared_seqno: u64,
    /// Highest prepared sequence number known to this node.
    pub high_prepared_seqno: u64,
    /// Highest sequence number that a client can see.
    pub max_visible_seqno: u64,
    /// Prepares on disk.
    pub on_disk_prepares: u64,
    /// Bytes of prepares on disk.
    pub on_disk_prepare_bytes: u64,
    /// Whether any document may have extended attributes.
    pub might_contain_xattrs: bool,
    /// Whether ids have a collection prefix.
    pub namespaces_supported: bool,
    /// `Disk` or `Memory`.
    pub checkpoint_type: String,
    /// The vbucket's history, newest branch first.
    pub failover_table: Vec<FailoverEntry>,
    /// Whatever else the document holds: names, and values as JSON, their numbers as they
    /// stand there.
    pub other: Vec<(String, String)>,
}

/// One branch of a vbucket's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
            other: Vec::new(),
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
        let mut json = SliceJsonParser::new(json);
        let JsonEvent::StartObject = json.parse_next().ok()? else { return None };
        let mut map = members(&mut json)?;
        let JsonEvent::Eof = json.parse_next().ok()? else { return None };
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
        state.other = map.into_tuple_vec();
        Some(state)
    }

    /// The local document.
    pub fn encode(&self) -> Vec<u8> {
        let number = |number: u64| format!("\"{number}\"");
        let truth = |truth| if truth { "true" } else { "false" }.to_owned();
        let branch =
            |entry: &FailoverEntry| format!(r#"{{"id":{},"seq":{}}}"#, entry.id, entry.seq);
        let branches = self.failover_table.iter().map(branch).collect::<Vec<_>>().join(",");
        let known = [
            ("state", quoted(&self.state)),
            ("version", self.version.to_string()),
            ("max_cas", number(self.max_cas)),
            ("snap_start", number(self.snap_start)),
            ("snap_end", number(self.snap_end)),
            ("max_deleted_seqno", number(self.max_deleted_seqno)),
            ("hlc_epoch", format!("\"{}\"", self.hlc_epoch)),
            ("completed_seqno", number(self.completed_seqno)),
            ("prepared_seqno", number(self.prepared_seqno)),
            ("high_prepared_seqno", number(self.high_prepared_seqno)),
            ("max_visible_seqno", number(self.max_visible_seqno)),
            ("on_disk_prepares", number(self.on_disk_prepares)),
            ("on_disk_prepare_bytes", number(self.on_disk_prepare_bytes)),
            ("might_contain_xattrs", truth(self.might_contain_xattrs)),
            ("namespaces_supported", truth(self.namespaces_supported)),
            ("checkpoint_type", quoted(&self.checkpoint_type)),
            ("failover_table", format!("[{branches}]")),
        ];
        let known = known.iter().map(|(name, value)| (*name, value));
        let other = self.other.iter().map(|(name, value)| (name.as_str(), value));
        let members = known.chain(other).map(|(name, value)| [&*quoted(name), value].join(":"));
        ["{", &members.collect::<Vec<_>>().join(","), "}"].concat().into_bytes()
    }
}

/// What is left of an object that was begun: its members by name, each with its value's text.
fn members(json: &mut SliceJsonParser<'_>) -> Option<LiteMap<String, String>> {
    let mut members = LiteMap::new();
    loop {
        match json.parse_next().ok()? {
            JsonEvent::ObjectKey(name) => {
                members.insert(name.into_owned(), value(json)?);
            }
            JsonEvent::EndObject => return Some(members),
            _ => return None,
        }
    }
}

/// The text of the next value.
fn value(json: &mut SliceJsonParser<'_>) -> Option<String> {
    let mut text = WriterJsonSerializer::new(Vec::new());
    let mut depth = 0_u32;
    loop {
        let event = json.parse_next().ok()?;
        match event {
            JsonEvent::StartObject | JsonEvent::StartArray => depth += 1,
            JsonEvent::EndObject | JsonEvent::EndArray => depth = depth.checked_sub(1)?,
            JsonEvent::Eof => return None,
            _ => {}
        }
        text.serialize_event(event).ok()?;
        if depth == 0 {
            return String::from_utf8(text.finish().ok()?).ok();
        }
    }
}

/// Takes a field out of the document, if it has it; `None` when it is not what it should be.
fn take<T>(
    map: &mut LiteMap<String, String>,
    name: &str,
    field: &mut T,
    read: impl Fn(&str) -> Option<T>,
) -> Option<()> {
    if let Some(value) = map.remove(name) {
        *field = read(&value)?;
    }
    Some(())
}

/// 64-bit numbers stand as strings in JSON, whose numbers are doubles; older files have plain ones.
fn number<T: FromStr>(value: &str) -> Option<T> {
    let within = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    within.unwrap_or(value).parse().ok()
}

fn text(value: &str) -> Option<String> {
    match SliceJsonParser::new(value.as_bytes()).parse_next().ok()? {
        JsonEvent::String(text) => Some(text.into_owned()),
        _ => None,
    }
}

fn truth(value: &str) -> Option<bool> {
    value.parse().ok()
}

fn branches(value: &str) -> Option<Vec<FailoverEntry>> {
    let mut json = SliceJsonParser::new(value.as_bytes());
    let JsonEvent::StartArray = json.parse_next().ok()? else { return None };
    let mut branches = Vec::new();
    loop {
        match json.parse_next().ok()? {
            JsonEvent::StartObject => {
                let entry = members(&mut json)?;
                let field = |name| entry.get(name)?.parse().ok();
                branches.push(FailoverEntry { id: field("id")?, seq: field("seq")? });
            }
            JsonEvent::EndArray => return Some(branches),
            _ => return None,
        }
    }
}

/// A text as JSON has it, which texts never fail to become.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const WHOLE: &str = r#"{"state":"replica","version":4,"max_cas":"18446744073709551615","snap_start":"1","snap_end":"2","max_deleted_seqno":"3","hlc_epoch":"-2","completed_seqno":"4","prepared_seqno":"5","high_prepared_seqno":"6","max_visible_seqno":"7","on_disk_prepares":"8","on_disk_prepare_bytes":"9","might_contain_xattrs":true,"namespaces_supported":false,"checkpoint_type":"Di\"sk","failover_table":[{"id":281474976710655,"seq":2},{"id":7,"seq":0}],"a\"b":1.50,"transition":{"state":[1e999,null]}}"#;

    fn encoded(state: &VbState) -> String {
        String::from_utf8(state.encode()).unwrap()
    }

    #[test]
    fn what_is_read_is_written_again_whatever_it_is() {
        let state = VbState::decode(WHOLE.as_bytes()).unwrap();
        assert_eq!((state.max_cas, state.hlc_epoch), (u64::MAX, -2));
        assert_eq!(state.checkpoint_type, "Di\"sk");
        assert_eq!(
            state.failover_table.first(),
            Some(&FailoverEntry { id: (1 << 48) - 1, seq: 2 })
        );
        assert_eq!(state.other.first(), Some(&("a\"b".to_owned(), "1.50".to_owned())));
        assert_eq!(encoded(&state), WHOLE);
    }

    #[test]
    fn what_is_missing_is_as_it_is_by_default() {
        assert_eq!(VbState::decode(b"{}"), Some(VbState::default()));
        let state = VbState::new_active(3);
        assert_eq!(VbState::decode(&state.encode()), Some(state));
    }

    #[test]
    fn older_files_have_plain_numbers_and_the_last_of_a_name_counts() {
        let json = br#" { "max_cas" : 12, "hlc_epoch": -1, "max_cas": 13, "x": 1, "x": "y" } "#;
        let state = VbState::decode(json).unwrap();
        assert_eq!((state.max_cas, state.hlc_epoch), (13, -1));
        assert_eq!(state.other, [("x".to_owned(), "\"y\"".to_owned())]);
    }

    #[test]
    fn what_is_no_such_document_is_refused() {
        for wrong in [
            "",
            "null",
            "[]",
            "{",
            "{} {}",
            r#"{"max_cas":1.5}"#,
            r#"{"max_cas":"-1"}"#,
            r#"{"max_cas":null}"#,
            r#"{"state":1}"#,
            r#"{"version":4294967296}"#,
            r#"{"might_contain_xattrs":"true"}"#,
            r#"{"failover_table":{}}"#,
            r#"{"failover_table":[{"id":1}]}"#,
            r#"{"failover_table":[{"id":1,"seq":-1}]}"#,
            r#"{"failover_table":[7]}"#,
            r#"{"other":nothing}"#,
        ] {
            assert_eq!(VbState::decode(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(VbState::decode(b"{\"x\":\"\xff\"}"), None);
    }
}
