//! Every maximum in one place (format, section 4), so that no length read from a file is trusted
//! beyond what the format allows.

/// Bytes in a block; the first of them is the block's type.
pub const BLOCK_SIZE: u64 = 4096;
/// Longest document id the encoding can hold, in bytes (a 12-bit length).
pub const ID_LEN_MAX: usize = 4095;
/// Longest key of a tree node, in bytes (a 12-bit length).
pub const KEY_LEN_MAX: usize = 4095;
/// Longest value of a tree node, in bytes (a 28-bit length).
pub const VALUE_LEN_MAX: usize = (1 << 28) - 1;
/// Longest body of a data chunk, in bytes. A body's disk size (8 bytes more) is a 28-bit field.
pub const CHUNK_LEN_MAX: usize = (1 << 28) - 1;
/// Longest document body that can be stored, in bytes, before and after compression: its disk size
/// counts the chunk head too.
pub const BODY_LEN_MAX: usize = CHUNK_LEN_MAX - 8;
/// Longest file header, in bytes, counting its checksum.
pub const HEADER_LEN_MAX: usize = 1024;
/// Longest metadata header of an encrypted file, in bytes, counting its checksum.
pub const METADATA_LEN_MAX: usize = 4096;
/// Longest root pointer kept in a header, in bytes. The longest in use, by-id's, has 28.
pub const ROOT_LEN_MAX: usize = HEADER_LEN_MAX;
/// Largest sequence number: 48 bits.
pub const SEQ_MAX: u64 = (1 << 48) - 1;
/// First position that can no longer be written down: 47 bits.
pub const POSITION_MAX: u64 = (1 << 47) - 1;
/// Largest disk size of a subtree that a pointer can hold, in bytes: 48 bits.
pub const SUBTREE_SIZE_MAX: u64 = (1 << 48) - 1;
/// Uncompressed size of a tree node, in bytes of entries, past which it is cut.
pub const NODE_THRESHOLD: usize = 1279;
/// Longest uncompressed tree node that is inflated, in bytes: one leaf whose few entries are of the
/// largest size (a node is cut once it holds more than three entries).
pub const NODE_LEN_MAX: usize = 1 << 30;
/// Deepest tree that is walked. Children lie before their parents, so that depth is bounded anyway;
/// this bounds the memory of a walk over a file made to be deep.
pub const TREE_DEPTH_MAX: usize = 256;
/// Unlocked catch-up rounds of one compaction, at most.
pub const CATCHUP_ROUNDS_MAX: u32 = 10;

const _: () = assert!(BODY_LEN_MAX + 8 <= CHUNK_LEN_MAX);
const _: () = assert!(HEADER_LEN_MAX < BLOCK_SIZE as usize);
