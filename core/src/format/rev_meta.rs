//! Couchbase's own metadata of a document, kept in `rev_meta` (format, section 6).

use super::bytes::{Reader, put_uint};

/// Datatype bit: the body is JSON.
pub const DATATYPE_JSON: u8 = 1;
/// Datatype bit: the body was compressed with Snappy by the client.
pub const DATATYPE_SNAPPY: u8 = 2;
/// Datatype bit: the body begins with extended attributes.
pub const DATATYPE_XATTR: u8 = 4;

/// Low bits of the 17th byte, always one: servers up to 7.6 reject anything else.
const FLEX_META: u8 = 0x7f;
const DELETED_BY_EXPIRY: u8 = 0x80;

/// What Couchbase keeps for each document beside its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RevMeta {
    /// Compare-and-swap value: a hybrid clock in nanoseconds.
    pub cas: u64,
    /// Seconds since the epoch at which the document expires, 0 for never; of a tombstone the time
    /// of its deletion.
    pub expiry: u32,
    /// The client's flags, exactly as sent.
    pub flags: u32,
    /// Whether a tombstone comes from an expiry.
    pub deleted_by_expiry: bool,
    /// Datatype bits; 0 in the 16-byte form, which has none.
    pub datatype: u8,
}

impl RevMeta {
    /// Reads any of the forms with 16 bytes or more; `None` for what Couchbase did not write.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let (cas, expiry, flags) = (reader.uint(8)?, reader.u32()?, reader.u32()?);
        let mut meta = RevMeta { cas, expiry, flags, ..RevMeta::default() };
        if let (Some(flex), Some(datatype)) = (reader.u8(), reader.u8()) {
            meta.deleted_by_expiry = flex & DELETED_BY_EXPIRY != 0;
            meta.datatype = datatype;
        }
        Some(meta)
    }

    /// The 18-byte form that Couchbase writes today.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(18);
        put_uint(&mut out, self.cas, 8);
        put_uint(&mut out, u64::from(self.expiry), 4);
        put_uint(&mut out, u64::from(self.flags), 4);
        out.push(FLEX_META | if self.deleted_by_expiry { DELETED_BY_EXPIRY } else { 0 });
        out.push(self.datatype);
        out
    }
}
