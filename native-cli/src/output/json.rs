//! JSON, one object a line.

use std::fmt;
use std::io::Write;

use serde::{Serialize, Serializer};

use crate::exit::Outcome;

/// Writes one object and ends its line.
pub(crate) fn line(out: &mut impl Write, value: &impl Serialize) -> Outcome<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")?;
    Ok(())
}

/// Bytes in lower-case hexadecimal.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // In pieces, so that long bodies need no second copy.
        let mut text = [0; 1024];
        for bytes in self.0.chunks(text.len() / 2) {
            let text = &mut text[..2 * bytes.len()];
            data_encoding::HEXLOWER.encode_mut(bytes, text);
            f.write_str(std::str::from_utf8(text).map_err(|_| fmt::Error)?)?;
        }
        Ok(())
    }
}

impl Serialize for Hex<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

/// Bytes as text where they are UTF-8, else as hexadecimal: one of the two is `Some`.
pub(crate) fn text_or_hex(bytes: &[u8]) -> (Option<&str>, Option<Hex<'_>>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text), None),
        Err(_) => (None, Some(Hex(bytes))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_of_any_length() {
        assert_eq!(Hex(&[]).to_string(), "");
        assert_eq!(Hex(&[0, 0xab]).to_string(), "00ab");
        assert_eq!(Hex(&[0x5a; 2000]).to_string(), "5a".repeat(2000));
    }
}
