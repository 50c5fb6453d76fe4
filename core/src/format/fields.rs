//! What bytes mean, field by field: headers, chunk heads and nodes as whoever looks into a file wants
//! to see them. Nothing is decided by it, so it takes damage as it comes: fields always follow on
//! one another without a gap, and bytes that fit no field are one of their own.

use serde::Serialize;

use super::docinfo::{COMPRESSED, DELETED};
use super::header::{NO_PREVIOUS, POINTS_BACK_FROM};
use super::node::ENTRY_HEAD_LEN;
use super::pointer::TreeKind;
use super::rev_meta::DELETED_BY_EXPIRY;

/// Bytes that mean one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    /// Where it begins, in bytes from the beginning of what was looked at.
    pub start: u64,
    /// Where it ends.
    pub end: u64,
    /// What it is part of: a root, an entry; empty for what stands by itself.
    pub part_of: String,
    /// Its name.
    pub name: &'static str,
    /// Its value, as text.
    pub value: String,
    /// The byte offset in the file that it points at.
    pub points_at: Option<u64>,
}

/// The fields of a header, from its block's type byte on (format, section 2).
pub fn header_fields(chunk: &[u8]) -> Vec<Field> {
    let mut frame = Frame::of(chunk);
    let _ = frame.header();
    frame.finish()
}

/// The fields of a chunk's head (format, section 1).
pub fn chunk_head_fields(head: &[u8]) -> Vec<Field> {
    let mut frame = Frame::of(head);
    let is_marked = |word: u64| if word >> 31 == 1 { "marked, " } else { "not marked as one, " };
    let length = |word: u64| format!("{}{} bytes of body", is_marked(word), word & 0x7fff_ffff);
    let _ = frame.number(4, "chunk", &length).and_then(|_| frame.number(4, "checksum", &hex));
    frame.finish()
}

/// The fields of an uncompressed node of a tree (format, section 3).
pub fn node_fields(node: &[u8], tree: TreeKind) -> Vec<Field> {
    let mut frame = Frame::of(node);
    let _ = frame.node(tree);
    frame.finish()
}

fn plain(value: u64) -> String {
    value.to_string()
}

fn hex(value: u64) -> String {
    format!("{value:08x}")
}

/// Bytes as text, with a dot for what cannot be seen.
pub fn text(bytes: &[u8]) -> String {
    let seen = |letter: char| if letter.is_control() { '·' } else { letter };
    String::from_utf8_lossy(bytes).chars().map(seen).collect()
}

fn document(word: u64) -> String {
    let position = match word & !DELETED {
        0 => "no body".to_owned(),
        position => format!("body at {position}"),
    };
    position + if word & DELETED != 0 { ", deleted" } else { "" }
}

fn content(meta: u64) -> String {
    let is_compressed = meta & u64::from(COMPRESSED) != 0;
    let kind = meta & !u64::from(COMPRESSED);
    format!("{kind}{}", if is_compressed { ", body compressed" } else { "" })
}

/// Bytes, and the fields that were found in them so far.
struct Frame<'a> {
    bytes: &'a [u8],
    at: usize,
    part_of: String,
    fields: Vec<Field>,
}

impl<'a> Frame<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Frame { bytes, at: 0, part_of: String::new(), fields: Vec::new() }
    }

    /// The next `length` bytes as one field; `None` if there are fewer.
    fn take(
        &mut self,
        length: usize,
        name: &'static str,
        value: &dyn Fn(&[u8]) -> String,
    ) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let bytes = self.bytes.get(self.at..end)?;
        if length > 0 {
            let (part_of, value) = (self.part_of.clone(), value(bytes));
            let (start, end) = (self.at as u64, end as u64);
            self.fields.push(Field { start, end, part_of, name, value, points_at: None });
        }
        self.at = end;
        Some(bytes)
    }

    /// The next `width` bytes, 8 at most, as a number.
    fn number(
        &mut self,
        width: usize,
        name: &'static str,
        value: &dyn Fn(u64) -> String,
    ) -> Option<u64> {
        let of = |bytes: &[u8]| bytes.iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
        Some(of(self.take(width, name, &|bytes| value(of(bytes)))?))
    }

    /// The last field points there.
    fn points_at(&mut self, position: Option<u64>) {
        if let Some(field) = self.fields.last_mut() {
            field.points_at = position;
        }
    }

    fn finish(mut self) -> Vec<Field> {
        self.part_of.clear();
        let rest = self.bytes.len() - self.at;
        let _ = self.take(rest, "not understood", &|bytes| format!("{} bytes", bytes.len()));
        self.fields
    }

    fn header(&mut self) -> Option<()> {
        let kind = |kind: u64| match kind {
            1 => "1: a header begins here".to_owned(),
            kind => format!("{kind}: not a header's"),
        };
        self.number(1, "type of the block", &kind)?;
        self.number(4, "length", &|length| format!("{length} bytes, the checksum among them"))?;
        self.number(4, "checksum", &hex)?;
        let version = self.number(1, "disk version", &plain)?;
        self.number(6, "highest sequence number", &plain)?;
        self.number(6, "highest purged sequence number", &plain)?;
        self.number(6, "purge pointer", &|_| "unused".to_owned())?;
        let length = |length: u64| format!("{length} bytes");
        let by_seq = self.number(2, "length of the by-seq root", &length)?;
        let by_id = self.number(2, "length of the by-id root", &length)?;
        let local = self.number(2, "length of the local root", &length)?;
        if version >= 13 {
            self.number(8, "time of the commit", &|ns| format!("{ns} ns since 1970"))?;
        }
        if version >= u64::from(POINTS_BACK_FROM) {
            self.previous_header()?;
        }
        for (tree, length) in
            [(TreeKind::BySeq, by_seq), (TreeKind::ById, by_id), (TreeKind::Local, local)]
        {
            self.part_of = format!("{} root", tree.name());
            if length > 0 {
                self.pointer(tree, Some((length as usize).checked_sub(12)?))?;
            }
        }
        Some(())
    }

    /// 47 bits of position, and whether the file has a block of metadata.
    fn previous_header(&mut self) -> Option<()> {
        let value = |word: u64| {
            let metadata = if word & 1 == 1 { ", encrypted file" } else { "" };
            match word >> 1 {
                NO_PREVIOUS => format!("none{metadata}"),
                previous => format!("at {previous}{metadata}"),
            }
        };
        let word = self.number(6, "previous header", &value)?;
        self.points_at(Some(word >> 1).filter(|previous| *previous != NO_PREVIOUS));
        Some(())
    }

    /// A pointer to a node. How long its summary is it says itself in a node, and not in a header.
    fn pointer(&mut self, tree: TreeKind, summary: Option<usize>) -> Option<()> {
        let position = self.number(6, "node", &|position| format!("at {position}"))?;
        self.points_at(Some(position));
        self.number(6, "size below", &|size| format!("{size} bytes"))?;
        let length = |length: u64| format!("{length} bytes");
        let summary = match summary {
            Some(summary) => summary,
            None => self.number(2, "length of the summary", &length)? as usize,
        };
        match (tree, summary) {
            (TreeKind::BySeq, 5) => {
                self.number(5, "documents below", &plain)?;
            }
            (TreeKind::ById, 16) => {
                self.number(5, "documents below", &plain)?;
                self.number(5, "tombstones below", &plain)?;
                self.number(6, "bodies below", &|size| format!("{size} bytes"))?;
            }
            (_, length) => {
                self.take(length, "summary", &|bytes| format!("{} bytes", bytes.len()))?;
            }
        }
        Some(())
    }

    fn node(&mut self, tree: TreeKind) -> Option<()> {
        let kind = |kind: u64| match kind {
            0 => "0: interior, entries are children".to_owned(),
            1 => "1: leaf".to_owned(),
            kind => format!("{kind}: unknown"),
        };
        let kind = self.number(1, "kind of the node", &kind)?;
        let mut index = 0_u64;
        while self.at < self.bytes.len() && kind <= 1 {
            self.part_of = format!("{} {index}", if kind == 0 { "child" } else { "entry" });
            self.entry(tree, kind == 1)?;
            index += 1;
        }
        Some(())
    }

    fn entry(&mut self, tree: TreeKind, is_leaf: bool) -> Option<()> {
        let lengths = |word: u64| ((word >> 28) as usize, (word & 0x0fff_ffff) as usize);
        let say = |word: u64| format!("{} of key, {} of value", lengths(word).0, lengths(word).1);
        let (key, value) = lengths(self.number(ENTRY_HEAD_LEN, "lengths", &say)?);
        // The value's own fields must not run over its end.
        let end = self.at.checked_add(key)?.checked_add(value)?;
        let whole = self.bytes;
        self.bytes = whole.get(..end)?;
        let understood = match tree {
            TreeKind::BySeq if key == 6 => self.number(6, "sequence number", &plain).map(|_| ()),
            _ => self.take(key, "id", &text).map(|_| ()),
        };
        let _ = understood.and_then(|()| match (is_leaf, tree) {
            (false, _) => self.pointer(tree, None),
            (true, TreeKind::BySeq) => self.by_seq_value(),
            (true, TreeKind::ById) => self.by_id_value(),
            (true, TreeKind::Local) => self.take(value, "value", &text).map(|_| ()),
        });
        self.take(end - self.at, "not understood", &|bytes| format!("{} bytes", bytes.len()))?;
        self.bytes = whole;
        Some(())
    }

    fn by_seq_value(&mut self) -> Option<()> {
        let sizes =
            |word: u64| format!("{} of id, {} of body on disk", word >> 28, word & 0x0fff_ffff);
        let id = self.number(5, "sizes", &sizes)? >> 28;
        self.common()?;
        self.take(id as usize, "id", &text)?;
        self.metadata()
    }

    fn by_id_value(&mut self) -> Option<()> {
        self.number(6, "sequence number", &plain)?;
        self.number(4, "size on disk", &|size| format!("{size} bytes"))?;
        self.common()?;
        self.metadata()
    }

    /// What both trees have of a document alike.
    fn common(&mut self) -> Option<()> {
        let word = self.number(6, "body", &document)?;
        self.points_at(Some(word & !DELETED).filter(|position| *position != 0));
        self.number(6, "revision", &plain)?;
        self.number(1, "content", &content)?;
        Some(())
    }

    /// Couchbase's metadata, in its newest form as far as there is any of it (format, section 6).
    fn metadata(&mut self) -> Option<()> {
        if self.bytes.len() - self.at < 16 {
            let rest = self.bytes.len() - self.at;
            return self
                .take(rest, "metadata", &|bytes| format!("{} bytes", bytes.len()))
                .map(|_| ());
        }
        self.number(8, "compare-and-swap value", &plain)?;
        self.number(4, "expiry", &|at| if at == 0 { "never".to_owned() } else { plain(at) })?;
        self.number(4, "flags", &hex)?;
        let by = |flex: u64| match flex & u64::from(DELETED_BY_EXPIRY) {
            0 => "-".to_owned(),
            _ => "deleted by expiry".to_owned(),
        };
        self.number(1, "how it was deleted", &by)?;
        self.number(1, "datatype", &|bits| format!("{bits:03b} (attributes, snappy, JSON)"))?;
        Some(())
    }
}
