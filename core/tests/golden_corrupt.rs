//! Opening the damaged golden files: refusing where the reference refuses, landing on the header
//! that it lands on.
#![allow(clippy::unwrap_used)]

mod support;

use tailswap::Error;
use tailswap::store::{OpenMode, find_newest};

/// What the reference answers: the header that a strict open lands on, or `None` where it refuses;
/// and the one that recovery lands on, or `None` for an unknown version.
const EXPECTED: [(&str, Option<u64>, Option<u64>); 30] = [
    ("body_bitflip", Some(73728), Some(73728)),
    ("body_crc_field", Some(73728), Some(73728)),
    ("body_len_past_eof", Some(73728), Some(73728)),
    ("garbage_next_block_01", None, Some(86016)),
    ("garbage_next_block_ab", None, Some(86016)),
    ("garbage_same_block", Some(86016), Some(86016)),
    ("hdr_blocktype_0", Some(81920), Some(81920)),
    ("hdr_blocktype_7", None, Some(81920)),
    ("hdr_body_bitflip", None, Some(81920)),
    ("hdr_length_highbit", None, Some(81920)),
    ("hdr_length_huge", None, Some(81920)),
    ("hdr_prev_is_data", Some(73728), Some(73728)),
    ("hdr_prev_is_self", Some(73728), Some(73728)),
    ("hdr_purgeptr_past", None, Some(57344)),
    ("hdr_root_past_header", None, Some(57344)),
    ("hdr_roots_swapped", Some(73728), Some(73728)),
    ("hdr_rootsize_mismatch", None, Some(57344)),
    ("hdr_version_10", None, None),
    ("hdr_version_15", None, None),
    ("node_byid_leaf_bitflip", Some(73728), Some(73728)),
    ("node_byid_root_bitflip", Some(73728), Some(73728)),
    ("node_byseq_leaf_bitflip", Some(73728), Some(73728)),
    ("node_byseq_root_bitflip", Some(73728), Some(73728)),
    ("node_len_highbit_clear", Some(73728), Some(73728)),
    ("node_local_bitflip", Some(73728), Some(73728)),
    ("one_byte_01_at_block", Some(86016), Some(86016)),
    ("torn_header_zeros", None, Some(81920)),
    ("trunc_before_header", Some(81920), Some(81920)),
    ("trunc_mid_header", None, Some(81920)),
    ("zeros_appended", Some(86016), Some(86016)),
];

#[test]
fn opening_refuses_and_lands_where_the_reference_does() {
    for (name, strict, recovery) in EXPECTED {
        for (mode, expected) in [(OpenMode::Strict, strict), (OpenMode::Recovery, recovery)] {
            let (file, device) = support::in_memory(name, support::corrupt(name));
            match (find_newest(&file, device, mode), expected) {
                (Ok((snapshot, passed_over)), Some(position)) => {
                    assert_eq!(snapshot.position(), position, "{name}, {mode:?}");
                    let refused = strict.is_none();
                    assert_eq!(!passed_over.is_empty(), refused, "{name}, {mode:?}");
                }
                (Err(error), None) => {
                    assert!(error.is_damage(), "{name}, {mode:?}: {error}");
                    let version = matches!(error, Error::Version { .. });
                    assert_eq!(version, recovery.is_none(), "{name}, {mode:?}: {error}");
                }
                (result, _) => panic!("{name}, {mode:?}: {result:?}"),
            }
        }
    }
}

#[test]
fn a_strict_refusal_names_the_place_and_the_damage() {
    let at = |name: &str| {
        let (file, device) = support::in_memory(name, support::corrupt(name));
        find_newest(&file, device, OpenMode::Strict).unwrap_err().to_string()
    };
    let cases = [
        ("hdr_body_bitflip", "hdr_body_bitflip: damaged at offset 86016: header: checksum is"),
        ("hdr_length_huge", "damaged at offset 86016: header: impossible length 8388607"),
        ("hdr_blocktype_7", "damaged at offset 86016: unknown block type 7"),
        ("trunc_mid_header", "damaged at offset 86016: the file ends inside the header"),
        ("garbage_next_block_ab", "damaged at offset 90112: unknown block type 171"),
        ("hdr_version_15", "header at offset 73728 has disk version 15; 11 to 14 can be read"),
        ("hdr_root_past_header", "damaged at offset 73728: root pointer of the header points at"),
        ("hdr_purgeptr_past", "damaged at offset 73728: purge pointer of the header points at"),
        ("hdr_rootsize_mismatch", "damaged at offset 73728: header: impossible length"),
    ];
    for (name, message) in cases {
        assert!(at(name).contains(message), "{name}: {}", at(name));
    }
}
