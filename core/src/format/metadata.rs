//! Block 0 of an encrypted file: which key it needs (format, section 5).

use super::block;
use super::bytes::Reader;
use super::checksum::Checksum;
use super::header::framed_body;
use crate::error::Damage;
use crate::limits::METADATA_LEN_MAX;

/// Name of the key that an encrypted file needs, from what the file holds from offset 0 on; empty
/// when the file has metadata but is not encrypted. Damage when block 0 is no metadata header.
pub fn key_id(block: &[u8]) -> Result<String, Damage> {
    let what = "metadata header";
    let (body, stored) = framed_body(block, block::METADATA, METADATA_LEN_MAX, what)?;
    let computed = Checksum::Crc32c.of(body);
    if computed != stored {
        return Err(Damage::Checksum { what, stored, computed });
    }
    let mut reader = Reader(body);
    let id = reader.u8().and_then(|_version| reader.u8()).and_then(|n| reader.take(n.into()));
    let id = id.ok_or(Damage::Length { what, length: body.len() as u64 })?;
    Ok(String::from_utf8_lossy(id).into_owned())
}
