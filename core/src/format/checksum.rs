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
            Checksum::Crc32 => {
                let mut hasher = crc32fast::Hasher::new_with_initial(so_far);
                hasher.update(data);
                hasher.finalize()
            }
            Checksum::Crc32c => crc32c::crc32c_append(so_far, data),
        }
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
