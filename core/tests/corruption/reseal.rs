//! Damage under right checksums: a state is committed behind a sound file's newest one that shares
//! its trees, but for one thing that is wrong. Shared with the fuzz targets.

use std::sync::Arc;

use tailswap::chunklog::{Appended, ChunkWriter};
use tailswap::device::MemoryDevice;
use tailswap::event::{Content, Events, FileName};
use tailswap::format::checksum::Checksum;
use tailswap::format::docinfo::{DocInfo, DocInfoRef};
use tailswap::format::header::Header;
use tailswap::format::node::{Node, NodeKind, kind_byte};
use tailswap::format::pointer::{NodePointer, Reduce, TreeKind};
use tailswap::format::snappy;
use tailswap::sim::Choices;
use tailswap::store::{OpenMode, Snapshot, find_newest};

use super::exercise::{Contents, Outcome, Reading};
use super::nodes::{
    Entry, children_size, document_entry, pointer_entry, pointer_to, raw_node, reduce,
};

const BLOCK: usize = 4096;
/// Longest node that is made to inflate to much, in bytes before compression.
const BOMB_MAX: usize = 1 << 20;

/// A damaged file.
pub(crate) struct Resealed {
    pub(crate) bytes: Vec<u8>,
    /// What was done, in words.
    pub(crate) story: String,
    /// Whether documents, or local ones, may have come to be others without anything being wrong:
    /// nothing but their tree tells what local documents should be.
    other_documents: bool,
    other_locals: bool,
}

/// A node on the way down to the one that is damaged.
struct Level {
    kind: NodeKind,
    entries: Vec<Entry>,
    /// The child that the way leads through.
    child: usize,
}

impl Resealed {
    /// What is wrong was found, or the file holds what the sound one held.
    pub(crate) fn verify(&self, was: &Contents, outcome: &Outcome) -> Result<(), String> {
        let (Ok(Reading { contents: is, .. }), true) = (&outcome.strict, outcome.is_sound()) else {
            return Ok(());
        };
        let locals = self.other_locals || is.locals == was.locals;
        let documents = self.other_documents || (is.by_seq, is.by_id) == (was.by_seq, was.by_id);
        match locals && documents {
            true => Ok(()),
            false => Err("check finds nothing, but it holds something else".to_owned()),
        }
    }
}

struct Mutator<'a> {
    choices: &'a mut Choices,
    snapshot: Snapshot,
    writer: ChunkWriter,
    story: Vec<String>,
}

/// Damages a copy of a sound file.
///
/// # Errors
/// When the file is not sound.
pub(crate) fn reseal(bytes: &[u8], choices: &mut Choices) -> tailswap::Result<Resealed> {
    let device = Arc::new(MemoryDevice::from_bytes(bytes.to_vec()));
    let name = FileName::from("seed");
    let (snapshot, _) = find_newest(&name, device.clone(), OpenMode::Recovery)?;
    let writer = ChunkWriter::new(snapshot.file().clone(), bytes.len() as u64, Events::none());
    let mut mutator = Mutator { choices, snapshot, writer, story: Vec::new() };
    let mut header = mutator.snapshot.header().clone();
    header.previous = Some(mutator.snapshot.position());
    let (mut other_documents, mut other_locals) = (false, false);
    match mutator.choices.choose(12) {
        0 => {
            // Two documents with one short body are as good as any.
            other_documents = true;
            header = mutator.shared_body(header)?;
        }
        1 => {}
        choice => {
            let tree = [TreeKind::BySeq, TreeKind::ById, TreeKind::Local][choice % 3];
            other_locals = tree == TreeKind::Local;
            let root = mutator.damage_tree(tree)?;
            match tree {
                TreeKind::BySeq => header.by_seq = root,
                TreeKind::ById => header.by_id = root,
                TreeKind::Local => header.local = root,
            }
        }
    }
    mutator.append_header(header)?;
    let story = mutator.story.join("; ");
    let mut bytes = device.to_bytes();
    if mutator.choices.happens(1, 16) {
        bytes[0] = 1;
    }
    Ok(Resealed { bytes, story, other_documents, other_locals })
}

impl Mutator<'_> {
    fn tell(&mut self, what: String) {
        self.story.push(what);
    }

    /// One node of a tree with something wrong, and the way to it written again.
    fn damage_tree(&mut self, tree: TreeKind) -> tailswap::Result<Option<NodePointer>> {
        let Some(root) = self.snapshot.header().root(tree) else { return Ok(None) };
        let mut levels = self.way_down(tree, root)?;
        let Some(damaged) = levels.pop() else { return Ok(Some(root)) };
        self.tell(format!("{} tree, node of depth {}", tree.name(), levels.len()));
        let honest = self.choices.happens(1, 2);
        let below = below(tree, &damaged);
        let (mut pointer, mut last_key) = self.damage_node(tree, damaged, below)?;
        self.damage_pointer(&mut pointer);
        while let Some(mut level) = levels.pop() {
            let (key, value) = &mut level.entries[level.child];
            let former = NodePointer::decode(tree, value);
            if let (Ok(former), false) = (&former, honest) {
                pointer.reduce = former.reduce;
            }
            value.clear();
            pointer.encode(value);
            if let (Some(last_key), true) = (last_key.take(), honest) {
                *key = last_key;
            }
            last_key = level.entries.last().map(|(key, _)| key.clone());
            let below = self::below(tree, &level);
            let reduce = reduce(tree, level.kind, &level.entries);
            let raw = raw_node(kind_byte(level.kind), &level.entries);
            let node = self.append_node(&raw)?;
            pointer = pointer_to(node, below, reduce);
        }
        Ok(Some(pointer))
    }

    fn way_down(&mut self, tree: TreeKind, root: NodePointer) -> tailswap::Result<Vec<Level>> {
        let mut reader = self.snapshot.reader(BLOCK);
        let (mut levels, mut position) = (Vec::new(), root.position);
        loop {
            let before = self.snapshot.position();
            let body = reader.chunk(position, before, "node")?;
            let Ok(node) = Node::inflate(body, None) else { return Ok(levels) };
            let entries: Vec<Entry> =
                node.entries().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
            let child = self.choices.choose(entries.len());
            let next = NodePointer::decode(tree, &entries[child].1);
            let kind = node.kind();
            levels.push(Level { kind, entries, child });
            match next {
                Ok(next) if kind == NodeKind::Interior && self.choices.happens(2, 3) => {
                    position = next.position;
                }
                _ => return Ok(levels),
            }
        }
    }

    /// Appends a node that is damaged; returns what points at it, and its largest key.
    fn damage_node(
        &mut self,
        tree: TreeKind,
        level: Level,
        below: u64,
    ) -> tailswap::Result<(NodePointer, Option<Vec<u8>>)> {
        let Level { kind, mut entries, .. } = level;
        let mut kind_byte = kind_byte(kind);
        let kind_of_damage = self.choices.choose(16);
        let at = self.choices.choose(entries.len());
        let what = match kind_of_damage {
            0 => {
                entries.remove(at);
                "an entry is missing"
            }
            1 => {
                entries.insert(at, entries[at].clone());
                "an entry twice"
            }
            2 => {
                let other = self.choices.choose(entries.len());
                entries.swap(at, other);
                "two entries swapped"
            }
            3 => {
                kind_byte = [1 - kind_byte, 2, 255][self.choices.choose(3)];
                "another kind"
            }
            4 => {
                let length = self.choices.choose(entries[at].1.len() + 1);
                entries[at].1.truncate(length);
                "a value cut short"
            }
            5 => {
                let length = entries[at].1.len() + 1 + self.choices.choose(3000);
                entries[at].1.resize(length, 0);
                "a value too long"
            }
            6 | 7 => {
                let (key, value) = &mut entries[at];
                let bytes = if kind_of_damage == 6 { value } else { key };
                if !bytes.is_empty() {
                    let byte = self.choices.choose(bytes.len());
                    bytes[byte] = self.choices.choose(256) as u8;
                }
                "a byte of an entry"
            }
            8 => {
                let length = [0, 1, 5, 7, 4095][self.choices.choose(5)];
                entries[at].0.resize(length, 0);
                "a key of another length"
            }
            9 if kind == NodeKind::Interior => {
                self.damage_child(tree, &mut entries[at].1);
                "a pointer to elsewhere"
            }
            9 => {
                self.damage_document(tree, &mut entries[at]);
                "a document's fields"
            }
            10 => return self.bomb(tree, kind_byte),
            11 => return self.deep(tree, &entries, kind, below),
            12 => return self.many_parents(tree, &entries, kind, below),
            13 => return self.not_snappy(tree, &raw_node(kind_byte, &entries)),
            _ => return self.raw_damage(tree, kind_byte, &entries, below),
        };
        self.tell(what.to_owned());
        let below = if kind == NodeKind::Leaf { 0 } else { children_size(tree, &entries) };
        let reduce = reduce(tree, kind, &entries);
        let node = self.append_node(&raw_node(kind_byte, &entries))?;
        Ok((pointer_to(node, below, reduce), entries.pop().map(|(key, _)| key)))
    }

    /// A pointer to a child says something else.
    fn damage_child(&mut self, tree: TreeKind, value: &mut Vec<u8>) {
        let Ok(mut child) = NodePointer::decode(tree, value) else { return };
        child.position = self.any_position();
        value.clear();
        child.encode(value);
    }

    /// Somewhere in the file, or beyond: the beginning, a header, a root, the node being written.
    fn any_position(&mut self) -> u64 {
        let header = self.snapshot.header();
        let roots = [header.by_seq, header.by_id, header.local];
        let root = roots[self.choices.choose(3)].map_or(0, |root| root.position);
        let end = self.writer.end();
        let anywhere = self.choices.choose(end as usize) as u64;
        let ahead = end + self.choices.choose(BLOCK) as u64;
        let places =
            [0, 1, self.snapshot.position(), root, end, ahead, anywhere, (1 << 47) - 1, 1 << 47];
        places[self.choices.choose(places.len())]
    }

    fn damage_document(&mut self, tree: TreeKind, (key, value): &mut Entry) {
        let info = match tree {
            TreeKind::BySeq => DocInfoRef::decode_by_seq(key, value),
            TreeKind::ById => DocInfoRef::decode_by_id(key, value),
            TreeKind::Local => return,
        };
        let Ok(mut info) = info.map(DocInfoRef::to_owned) else { return };
        match self.choices.choose(6) {
            0 => info.position = self.any_position() & ((1 << 47) - 1),
            1 => info.physical_size = self.choices.choose(1 << 28) as u64,
            2 => info.deleted = !info.deleted,
            3 => info.content_meta ^= 0x80,
            4 => (info.position, info.physical_size) = (0, 0),
            _ => info.seq = self.choices.choose(1 << 20) as u64,
        }
        (*key, *value) = document_entry(tree, &info);
    }

    /// What a parent, or the header, says of the damaged node.
    fn damage_pointer(&mut self, pointer: &mut NodePointer) {
        match self.choices.choose(8) {
            0 => pointer.subtree_size = [0, 1, (1 << 48) - 1][self.choices.choose(3)],
            1 => match &mut pointer.reduce {
                Reduce::BySeq { count } => *count = (1 << 40) - 1,
                Reduce::ById { live, size, .. } => (*live, *size) = (*live ^ 1, *size + 1),
                Reduce::Local => {}
            },
            _ => return,
        }
        self.tell("what points at it is wrong".to_owned());
    }

    /// A node that inflates to as much as its chunk allows.
    fn bomb(
        &mut self,
        tree: TreeKind,
        kind_byte: u8,
    ) -> tailswap::Result<(NodePointer, Option<Vec<u8>>)> {
        let length = BOMB_MAX >> self.choices.choose(8);
        self.tell(format!("a node that inflates to {length} bytes of empty entries"));
        let mut raw = vec![0; length - length % 5 + 1];
        raw[0] = kind_byte;
        let node = self.append_node(&raw)?;
        Ok((pointer_to(node, 0, tree.empty_reduce()), None))
    }

    /// A long chain of nodes above one.
    fn deep(
        &mut self,
        tree: TreeKind,
        entries: &[Entry],
        kind: NodeKind,
        mut below: u64,
    ) -> tailswap::Result<(NodePointer, Option<Vec<u8>>)> {
        let depth = [10, 250, 600][self.choices.choose(3)];
        self.tell(format!("{depth} nodes above it with one child each"));
        let reduce = reduce(tree, kind, entries);
        let key = entries.last().map(|(key, _)| key.clone()).unwrap_or_default();
        let mut raw = raw_node(kind_byte(kind), entries);
        for _ in 0..depth {
            let node = self.append_node(&raw)?;
            below += node.disk_size;
            let pointer = NodePointer { position: node.position, subtree_size: below, reduce };
            raw = raw_node(0, &[pointer_entry(&key, &pointer)]);
        }
        let node = self.append_node(&raw)?;
        Ok((pointer_to(node, below, reduce), Some(key)))
    }

    /// So many ways to one node that walking them all would never end.
    fn many_parents(
        &mut self,
        tree: TreeKind,
        entries: &[Entry],
        kind: NodeKind,
        below: u64,
    ) -> tailswap::Result<(NodePointer, Option<Vec<u8>>)> {
        let levels = 1 + self.choices.choose(40);
        self.tell(format!("2^{levels} ways to it"));
        let key = entries.last().map(|(key, _)| key.clone()).unwrap_or_default();
        let node = self.append_node(&raw_node(kind_byte(kind), entries))?;
        let mut pointer = pointer_to(node, below, reduce(tree, kind, entries));
        for _ in 0..levels {
            let entry = pointer_entry(&key, &pointer);
            let node = self.append_node(&raw_node(0, &[entry.clone(), entry]))?;
            let mut reduce = pointer.reduce;
            reduce.add(pointer.reduce);
            pointer = pointer_to(node, pointer.subtree_size.saturating_mul(2), reduce);
        }
        Ok((pointer, Some(key)))
    }

    /// A chunk whose checksum is right and that does not inflate to what it claims.
    fn not_snappy(
        &mut self,
        tree: TreeKind,
        raw: &[u8],
    ) -> tailswap::Result<(NodePointer, Option<Vec<u8>>)> {
        let mut body = snappy::deflate(raw, "node").unwrap_or_default();
        match self.choices.choose(3) {
            // A length of almost 4 GiB.
            0 => body = [&[0xff, 0xff, 0xff, 0xff, 0x0f], body.as_slice()].concat(),
            1 => body.truncate(self.choices.choose(body.len())),
            _ => {
                let at = self.choices.choose(body.len());
                body[at] ^= 1 << self.choices.choose(8);
            }
        }
        self.tell("Snappy data that is none".to_owned());
        let node = self.writer.append(&body, Content::LocalNode)?;
        Ok((pointer_to(node, 0, tree.empty_reduce()), None))
    }

    /// Bytes of a node changed, whatever they are: lengths of keys and values, too.
    fn raw_damage(
        &mut self,
        tree: TreeKind,
        kind_byte: u8,
        entries: &[Entry],
        below: u64,
    ) -> tailswap::Result<(NodePointer, Option<Vec<u8>>)> {
        let mut raw = raw_node(kind_byte, entries);
        match self.choices.choose(4) {
            0 => raw.truncate(self.choices.choose(raw.len())),
            1 => raw.extend((0..=self.choices.choose(8)).map(|byte| byte as u8)),
            _ => {
                for _ in 0..=self.choices.choose(4) {
                    let at = self.choices.choose(raw.len());
                    raw[at] = self.choices.choose(256) as u8;
                }
            }
        }
        self.tell("bytes of a node".to_owned());
        let kind = if kind_byte == 0 { NodeKind::Interior } else { NodeKind::Leaf };
        let node = self.append_node(&raw)?;
        Ok((pointer_to(node, below, reduce(tree, kind, entries)), None))
    }

    /// Many documents with one body, as both trees agree.
    fn shared_body(&mut self, header: Header) -> tailswap::Result<Header> {
        let count = 2 + self.choices.choose(3000);
        let length = 1 + self.choices.choose(40_000);
        let body = self.writer.append(&vec![b'x'; length], Content::Body { seq: 1 })?;
        let physical_size = [body.disk_size, 9][self.choices.choose(2)];
        self.tell(format!(
            "{count} documents with one body of {length} bytes, kept as {physical_size}"
        ));
        let infos = (0..count as u64).map(|index| DocInfo {
            seq: index + 1,
            rev_seq: 1,
            position: body.position,
            physical_size,
            ..DocInfo::new(format!("document-{index:06}").into_bytes())
        });
        let infos: Vec<DocInfo> = infos.collect();
        let mut root = |tree| {
            let entries: Vec<Entry> = infos.iter().map(|info| document_entry(tree, info)).collect();
            let node = self.append_node(&raw_node(kind_byte(NodeKind::Leaf), &entries))?;
            Ok(Some(pointer_to(node, 0, reduce(tree, NodeKind::Leaf, &entries))))
        };
        let (by_seq, by_id) = (root(TreeKind::BySeq)?, root(TreeKind::ById)?);
        Ok(Header { by_seq, by_id, update_seq: count as u64, ..header })
    }

    fn append_node(&mut self, raw: &[u8]) -> tailswap::Result<Appended> {
        let body = snappy::deflate(raw, "node").unwrap_or_default();
        self.writer.append(&body, Content::LocalNode)
    }

    /// Commits, with a header that may be wrong itself.
    fn append_header(&mut self, mut header: Header) -> tailswap::Result<()> {
        let position = self.writer.end().next_multiple_of(BLOCK as u64);
        let mut body = header.encode();
        if self.choices.happens(1, 3) {
            let roots = |header: &Header| [header.by_seq, header.by_id, header.local];
            match self.choices.choose(10) {
                0 => header.update_seq /= 2,
                1 => header.previous = Some(self.any_position() & ((1 << 46) - 1)),
                2 => header.previous = Some(position),
                3 => header.has_metadata = true,
                4 => header.purge_ptr = self.any_position(),
                5 => [header.by_id, header.by_seq, header.local] = roots(&header),
                6 => {
                    let position = self.any_position().min((1 << 47) - 1);
                    let roots = [&mut header.by_seq, &mut header.by_id, &mut header.local];
                    if let Some(Some(root)) = roots.into_iter().nth(self.choices.choose(3)) {
                        root.position = position;
                    }
                }
                7 => header.disk_version = [11, 12, 13, 15, 0][self.choices.choose(5)],
                _ => {}
            }
            body = header.encode();
            match self.choices.choose(6) {
                0 => body.truncate(self.choices.choose(body.len())),
                1 => body.extend([0; 7]),
                2 => {
                    let at = self.choices.choose(body.len());
                    body[at] = self.choices.choose(256) as u8;
                }
                _ => {}
            }
            self.tell("the header is wrong".to_owned());
        }
        // Put together here, so that it can be one that nobody would write.
        let mut block = vec![1];
        block.extend((body.len() as u32 + 4).to_be_bytes());
        block.extend(Checksum::of_version(header.disk_version).of(&body).to_be_bytes());
        block.extend(&body);
        self.writer.flush()?;
        self.snapshot.file().write_at(position, &block, &Events::none())
    }
}

/// Sizes of a node's children, as it says.
fn below(tree: TreeKind, level: &Level) -> u64 {
    match level.kind {
        NodeKind::Leaf => 0,
        NodeKind::Interior => children_size(tree, &level.entries),
    }
}
