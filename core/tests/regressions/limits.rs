//! What lies so far back in a file that nothing can point at it.

use std::sync::Arc;

use tailswap::Error;
use tailswap::chunklog::{ChunkWriter, LogFile};
use tailswap::device::MemoryDevice;
use tailswap::event::{Content, Events, FileName};
use tailswap::format::checksum::Checksum;
use tailswap::format::header::Header;
use tailswap::limits::POSITION_MAX;

/// Chunks were refused there, but not the header behind the last one that fitted: the next header
/// could not have said where it was.
#[test]
fn neither_a_chunk_nor_a_header_is_written_behind_the_last_position() {
    let (name, device) = (FileName::from("long"), Arc::new(MemoryDevice::new()));
    let file = LogFile { name, device, checksum: Checksum::Crc32c };
    let mut writer = ChunkWriter::new(file, POSITION_MAX - 100, Events::none());
    writer.append(&[b'x'; 80], Content::Body { seq: 1 }).unwrap();
    let end = writer.end();
    let refused = [
        writer.append(&[b'x'; 80], Content::Body { seq: 2 }).map(drop),
        writer.append_header(&Header::empty(14), 0).map(drop),
    ];
    for result in refused {
        assert!(matches!(result, Err(Error::TooLarge { what: "file length", .. })), "{result:?}");
    }
    assert_eq!(writer.end(), end, "nothing was appended");
}
