//! Values as people read them.

use std::fmt;
use std::path::Path;

use jiff::Timestamp;

/// A number of bytes in a unit that suits it.
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = self.0 as f64;
        let mut units = ["KiB", "MiB", "GiB", "TiB"].into_iter();
        let mut unit = "B";
        while value >= 1024.0
            && let Some(next) = units.next()
        {
            (value, unit) = (value / 1024.0, next);
        }
        let digits = usize::from(unit != "B");
        f.pad(&format!("{value:.digits$} {unit}"))
    }
}

/// So many of something that is named in the singular.
pub(crate) struct Count(pub(crate) u64, pub(crate) &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Count(count, one) = self;
        match (count, one.strip_suffix('y')) {
            (1, _) => write!(f, "1 {one}"),
            (_, Some(stem)) => write!(f, "{count} {stem}ies"),
            _ if one.ends_with("sh") => write!(f, "{count} {one}es"),
            _ => write!(f, "{count} {one}s"),
        }
    }
}

/// Nanoseconds since the Unix epoch as a date; 0 is what files have that know none.
pub(crate) struct Time(pub(crate) u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_nanosecond(i128::from(self.0)) {
            _ if self.0 == 0 => f.pad("-"),
            Ok(time) => f.pad(&format!("{time:.3}")),
            Err(_) => f.pad(&format!("{} ns", self.0)),
        }
    }
}

/// Bytes as text in which nothing can move the cursor or look like something else: what is not
/// printable is escaped, and no more than so many characters are shown.
pub(crate) struct Shown<'a>(pub(crate) &'a [u8], pub(crate) usize);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A character takes 4 bytes at most.
        let head = self.0.get(..self.1.saturating_mul(4)).unwrap_or(self.0);
        let (mut shown, mut used) = (0, 0);
        for chunk in head.utf8_chunks() {
            for character in chunk.valid().chars() {
                if shown == self.1 {
                    return f.write_str("…");
                }
                match character {
                    '\\' => f.write_str("\\\\")?,
                    character => write_safely(f, character)?,
                }
                shown += 1;
                used += character.len_utf8();
            }
            for byte in chunk.invalid() {
                // Only half of a character may be left where the text was cut.
                if shown == self.1 || used >= self.0.len() {
                    break;
                }
                write!(f, "\\x{byte:02x}")?;
                shown += 1;
                used += 1;
            }
        }
        if used < self.0.len() { f.write_str("…") } else { Ok(()) }
    }
}

/// What the core says, in which the bytes of keys are escaped already; no more than so many characters
/// are shown.
pub(crate) struct Said<'a>(pub(crate) &'a str, pub(crate) usize);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = self.0.chars();
        characters.by_ref().take(self.1).try_for_each(|character| write_safely(f, character))?;
        if characters.next().is_some() { f.write_str("…") } else { Ok(()) }
    }
}

fn write_safely(f: &mut fmt::Formatter<'_>, character: char) -> fmt::Result {
    match character {
        c if c.is_ascii_control() => write!(f, "\\x{:02x}", u32::from(c)),
        c if is_unsafe(c) => write!(f, "\\u{{{:x}}}", u32::from(c)),
        c => write!(f, "{c}"),
    }
}

/// Controls beyond ASCII, and what turns the direction of writing or takes no place.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c), 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x2069 | 0xfeff)
}

/// A path as an argument on a command line.
pub(crate) fn argument(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%,=".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// A share of 0 to 1 as a percentage.
pub(crate) fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_in_fitting_units() {
        let shown: Vec<String> =
            [0, 1023, 1024, 1536, 5 << 30].map(|bytes| Bytes(bytes).to_string()).into();
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "5.0 GiB"]);
    }

    #[test]
    fn counts_in_words() {
        let shown: Vec<String> = [(1, "flush"), (2, "flush"), (0, "body"), (3, "round")]
            .map(|(count, one)| Count(count, one).to_string())
            .into();
        assert_eq!(shown, ["1 flush", "2 flushes", "0 bodies", "3 rounds"]);
    }

    #[test]
    fn nothing_that_is_shown_can_act_on_a_terminal() {
        assert_eq!(Shown(b"plain", 80).to_string(), "plain");
        assert_eq!(Shown(b"\0key\x1b[31m\\", 80).to_string(), "\\x00key\\x1b[31m\\\\");
        assert_eq!(Shown(&[b'a', 0xff, 0xc3], 80).to_string(), "a\\xff\\xc3");
        assert_eq!(Shown("\u{202e}\u{9b}x".as_bytes(), 80).to_string(), "\\u{202e}\\u{9b}x");
        assert_eq!(Shown("äöüß".as_bytes(), 2).to_string(), "äö…");
        assert_eq!(Shown("äöüß".as_bytes(), 4).to_string(), "äöüß");
    }

    #[test]
    fn what_is_said_is_escaped_once() {
        assert_eq!(Said("document \"\\x00k\"", 80).to_string(), "document \"\\x00k\"");
        assert_eq!(Said("\x1b\u{202e}äöü", 4).to_string(), "\\x1b\\u{202e}äö…");
        assert_eq!(Said("äöü", 3).to_string(), "äöü");
    }

    #[test]
    fn arguments_can_be_pasted() {
        assert_eq!(argument(Path::new("data/0.couch.1")), "data/0.couch.1");
        assert_eq!(argument(Path::new("it's here")), r"'it'\''s here'");
    }
}
