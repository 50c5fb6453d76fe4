//! A small file that inflates to much.

use std::sync::Arc;

use tailswap::chunklog::{ChunkWriter, LogFile};
use tailswap::device::MemoryDevice;
use tailswap::event::{Content, Events, FileName};
use tailswap::format::checksum::Checksum;
use tailswap::format::header::Header;
use tailswap::format::pointer::{NodePointer, Reduce};
use tailswap::format::snappy;
use tailswap::store::{OpenMode, find_newest};

/// The index of a node's entries took five times as much as the inflated node, which itself is
/// 22 times as long as its chunk can be.
#[test]
fn the_index_of_a_node_is_smaller_than_the_node() {
    let name = FileName::from("bomb");
    let device = Arc::new(MemoryDevice::new());
    let file = LogFile { name: name.clone(), device: device.clone(), checksum: Checksum::Crc32c };
    let mut writer = ChunkWriter::new(file, 0, Events::none());
    writer.append_header(&Header::empty(14), 1).unwrap();
    // An inner node, and nothing but entries without key and value.
    let raw = vec![0; 1 + 5 * 1_500_000];
    let node = writer.append(&snappy::deflate(&raw, "node").unwrap(), Content::LocalNode).unwrap();
    let (position, subtree_size) = (node.position, node.disk_size);
    let root = NodePointer { position, subtree_size, reduce: Reduce::Local };
    writer.append_header(&Header { local: Some(root), ..Header::empty(14) }, 1).unwrap();
    writer.flush().unwrap();

    let (snapshot, _) = find_newest(&name, device, OpenMode::Strict).unwrap();
    let allocated = allocation_counter::measure(|| {
        let error = snapshot.locals().next().unwrap().unwrap_err();
        assert!(error.to_string().contains("pointer to a child"), "{error}");
    });
    let bound = 2 * raw.len() as u64 + 4 * node.disk_size + (1 << 20);
    assert!(allocated.bytes_max <= bound, "{} bytes, {bound} expected", allocated.bytes_max);
}
