//! Names in a Couchbase data directory: files of vbuckets, collection prefixes of ids, and which
//! vbucket a key belongs to (format, section 6).

use super::bytes::Reader;
use super::checksum::Checksum;

/// Collection id of the default collection.
pub const DEFAULT_COLLECTION: u32 = 0;
/// Ending of the file that a compaction writes.
pub const COMPACT_SUFFIX: &str = ".compact";

/// Highest revision that a file's name can have, so that there is always a next one.
pub const REVISION_MAX: u64 = u32::MAX as u64;

/// Name of a vbucket's file of one revision.
pub fn file_name(vbucket: u16, revision: u64) -> String {
    format!("{vbucket}.couch.{revision}")
}

/// Name of the file that compaction of a revision writes.
pub fn compact_name(vbucket: u16, revision: u64) -> String {
    format!("{vbucket}.couch.{revision}{COMPACT_SUFFIX}")
}

/// Ending of the name that a file has until it is complete. Leftovers are swept.
pub const TEMPORARY_SUFFIX: &str = ".creating";

/// Ending of the name that a deleted file has until it is removed. Leftovers are swept.
pub const DELETED_SUFFIX: &str = ".deleted";

/// Whether a name is one that this vbucket's creation, compaction or deletion uses for unfinished
/// work: here, or in the reference, which adds further endings to the compaction's file as this crate does.
pub fn is_leftover(vbucket: u16, name: &str) -> bool {
    let is_ending = |ending: &str| {
        let known = [COMPACT_SUFFIX, TEMPORARY_SUFFIX, DELETED_SUFFIX];
        let mut rests = known.into_iter().filter_map(|suffix| ending.strip_prefix(suffix));
        rests.any(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    name.match_indices('.').any(|(dot, _)| {
        let (data_file, ending) = name.split_at(dot);
        is_ending(ending) && parse_file_name(data_file).is_some_and(|(id, _)| id == vbucket)
    })
}

/// Vbucket and revision of a file's name; `None` when it is no vbucket's data file. Numbers must be
/// spelt as [`file_name`] spells them, so that a name and its reading never part.
pub fn parse_file_name(name: &str) -> Option<(u16, u64)> {
    let (vbucket, ending) = name.split_once('.')?;
    let revision = ending.strip_prefix("couch.")?;
    let (vbucket, revision) = (vbucket.parse().ok()?, revision.parse().ok()?);
    ((1..=REVISION_MAX).contains(&revision) && file_name(vbucket, revision) == name)
        .then_some((vbucket, revision))
}

/// Id of a key in a collection, as kept in the file: unsigned LEB128 prefix, then the key.
pub fn prefixed_id(collection: u32, key: &[u8]) -> Vec<u8> {
    let mut id = Vec::with_capacity(5 + key.len());
    let mut rest = collection;
    while rest >= 0x80 {
        id.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    id.push(rest as u8);
    id.extend_from_slice(key);
    id
}

/// Splits an id into its collection and key; `None` when it has no well-formed prefix.
pub fn split_id(id: &[u8]) -> Option<(u32, &[u8])> {
    let mut reader = Reader(id);
    let mut collection = 0_u64;
    for shift in (0..35).step_by(7) {
        let byte = reader.u8()?;
        collection |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let shortest = byte != 0 || shift == 0;
            let collection = u32::try_from(collection).ok()?;
            return shortest.then_some((collection, reader.0));
        }
    }
    None
}

/// The vbucket that a key (without collection prefix) belongs to, of `vbuckets` in all.
pub fn vbucket_of(key: &[u8], vbuckets: u16) -> u16 {
    let hash = Checksum::Crc32.of(key) >> 16 & 0x7fff;
    (hash % u32::from(vbuckets.max(1))) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_read_back_and_others_are_refused() {
        assert_eq!(parse_file_name(&file_name(1023, 7)), Some((1023, 7)));
        for other in [
            "0.couch.1.compact",
            "0.couch.0",
            "0.couch.18446744073709551615",
            "00.couch.1",
            "a.couch.1",
            "0.couch.+1",
            "x",
        ] {
            assert_eq!(parse_file_name(other), None, "{other}");
        }
    }

    #[test]
    fn keys_belong_to_the_vbuckets_that_clients_send_them_to() {
        let keys = [&b""[..], b"hello", b"user::1"];
        assert_eq!(keys.map(|key| vbucket_of(key, 1024)), [0, 528, 997]);
        assert_eq!(keys.map(|key| vbucket_of(key, 64)), [0, 16, 37]);
        assert_eq!(vbucket_of(b"hello", 0), 0);
    }

    #[test]
    fn collection_prefixes_read_back() {
        for collection in [0, 1, 8, 127, 128, 0xffff, u32::MAX] {
            let id = prefixed_id(collection, b"key");
            assert_eq!(split_id(&id), Some((collection, b"key".as_slice())));
        }
        assert_eq!(split_id(&[0x80, 0x00]), None, "not the shortest form");
        assert_eq!(split_id(&[0xff; 6]), None);
    }
}
