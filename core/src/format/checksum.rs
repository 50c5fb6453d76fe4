//! The two checksums of the format: CRC-32 in version 11, CRC-32C from version 12 on.

/// Which checksum a file uses; one kind per file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// CRC-32 as in zlib: version 11.
    Crc32,
    /// CRC-32C: versions 12 and later.
    Crc32c,
}

impl Checksum {
    /// The kind that files of a disk version use.
    pub fn of_version(disk_version: u8) -> Self {
        if disk_version < 12 { Checksum::Crc32 } else { Checksum::Crc32c }
    }

    /// Checksum of `data`.
    pub fn of(self, data: &[u8]) -> u32 {
        self.extend(0, data)
    }

    /// Checksum of some bytes whose checksum is `so_far`, followed by `data`.
    pub fn extend(self, so_far: u32, data: &[u8]) -> u32 {
        match self {
            Checksum::Crc32 => implementation::crc32(so_far, data),
            Checksum::Crc32c => implementation::crc32c(so_far, data),
        }
    }
}

/// With the processor's instructions, where it has any.
#[cfg(not(target_arch = "wasm32"))]
mod implementation {
    use crc_fast::{CrcAlgorithm, Digest};

    pub(super) fn crc32(so_far: u32, data: &[u8]) -> u32 {
        match so_far {
            0 => crc_fast::crc32_iso_hdlc(data),
            _ => extend(CrcAlgorithm::Crc32IsoHdlc, so_far, data),
        }
    }

    pub(super) fn crc32c(so_far: u32, data: &[u8]) -> u32 {
        match so_far {
            0 => crc_fast::crc32_iscsi(data),
            _ => extend(CrcAlgorithm::Crc32Iscsi, so_far, data),
        }
    }

    fn extend(algorithm: CrcAlgorithm, so_far: u32, data: &[u8]) -> u32 {
        // What goes on is the inverse of what came out.
        let mut digest = Digest::new_with_init_state(algorithm, u64::from(!so_far));
        digest.update(data);
        digest.finalize() as u32
    }
}

/// With tables that are made at their first use, so that nobody has to download them.
#[cfg(target_arch = "wasm32")]
mod implementation {
    use std::sync::LazyLock;

    use crc::{Algorithm, CRC_32_ISCSI, CRC_32_ISO_HDLC, Crc, Table};

    type Tables = LazyLock<Crc<u32, Table<16>>>;

    static CRC32: Tables = LazyLock::new(|| tables(&CRC_32_ISO_HDLC));
    static CRC32C: Tables = LazyLock::new(|| tables(&CRC_32_ISCSI));

    pub(super) fn crc32(so_far: u32, data: &[u8]) -> u32 {
        extend(&CRC32, so_far, data)
    }

    pub(super) fn crc32c(so_far: u32, data: &[u8]) -> u32 {
        extend(&CRC32C, so_far, data)
    }

    fn tables(algorithm: &'static Algorithm<u32>) -> Crc<u32, Table<16>> {
        Crc::<u32, Table<16>>::new(algorithm)
    }

    fn extend(tables: &Tables, so_far: u32, data: &[u8]) -> u32 {
        // What goes on is the inverse of what came out, and counts its bits from the other end.
        let mut digest = tables.digest_with_initial((!so_far).reverse_bits());
        digest.update(data);
        digest.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(Checksum::Crc32.of(b"123456789"), 0xcbf4_3926);
        assert_eq!(Checksum::Crc32c.of(b"123456789"), 0xe306_9283);
        for kind in [Checksum::Crc32, Checksum::Crc32c] {
            let bytes: Vec<u8> = (0..=255).cycle().take(9000).collect();
            for at in [0, 4, 100, 8191] {
                let (first, rest) = bytes.split_at(at);
                assert_eq!(kind.extend(kind.of(first), rest), kind.of(&bytes));
            }
        }
    }
}
