//! Big-endian integers of any width, read from a slice front to back.

/// Takes integers off the front of a byte slice; `None` as soon as one is cut short.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(front)
    }

    /// An unsigned integer of `width` bytes, 8 at most.
    pub(super) fn uint(&mut self, width: usize) -> Option<u64> {
        let mut bytes = [0; 8];
        bytes.get_mut(8_usize.checked_sub(width)?..)?.copy_from_slice(self.take(width)?);
        Some(u64::from_be_bytes(bytes))
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        Some(self.uint(2)? as u16)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        Some(self.uint(4)? as u32)
    }
}

/// Appends the low `width` bytes of `value`, big-endian.
pub(super) fn put_uint(out: &mut Vec<u8>, value: u64, width: usize) {
    out.extend_from_slice(value.to_be_bytes().get(8 - width..).unwrap_or_default());
}
