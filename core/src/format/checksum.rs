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
    pub(super) fn crc32(so_far: u32, data: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new_with_initial(so_far);
        hasher.update(data);
        hasher.finalize()
    }

    pub(super) fn crc32c(so_far: u32, data: &[u8]) -> u32 {
        crc32c::crc32c_append(so_far, data)
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
            assert_eq!(kind.extend(kind.of(b"1234"), b"56789"), kind.of(b"123456789"));
        }
    }
}
