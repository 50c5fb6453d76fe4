//! One committed state of a file, for reading.

use std::sync::Arc;

use super::bodies::BodyReader;
use super::lookups::Lookups;
use crate::btree::{TreeLookup, TreeWalk};
use crate::chunklog::{ChunkReader, FileNodes, LogFile, NodeCache};
use crate::error::{Error, Result};
use crate::format::docinfo::{DocInfo, DocInfoRef, encode_seq};
use crate::format::header::Header;
use crate::format::pointer::{Reduce, TreeKind};
use crate::limits::SEQ_MAX;

/// One committed state of a file: a header and the file that it stands in.
///
/// A snapshot stays readable and the same through later commits, compaction, swap and unlink, and
/// never waits for anyone.
#[derive(Clone, Debug)]
pub struct Snapshot {
    file: LogFile,
    header: Arc<Header>,
    position: u64,
    end: u64,
    nodes: Option<FileNodes>,
}

/// How many documents a state holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Documents that are not deleted.
    pub live: u64,
    /// Tombstones.
    pub deleted: u64,
    /// Disk size of all their bodies, in bytes.
    pub body_bytes: u64,
}

impl Snapshot {
    pub(super) fn new(file: LogFile, header: Header, position: u64, end: u64) -> Self {
        Snapshot { file, header: Arc::new(header), position, end, nodes: None }
    }

    /// The file.
    pub fn file(&self) -> &LogFile {
        &self.file
    }

    /// The same state, the file going by another name.
    pub(crate) fn renamed(&self, name: crate::event::FileName) -> Self {
        Snapshot { file: LogFile { name, ..self.file.clone() }, ..self.clone() }
    }

    /// From now on tree nodes that are looked up in this state, and in clones of it, are kept in `cache`.
    pub fn cache_nodes(&mut self, cache: &NodeCache) {
        self.nodes = Some(cache.file());
    }

    /// The same state, nodes of whose file are kept here.
    pub(crate) fn with_nodes(self, nodes: Option<FileNodes>) -> Self {
        Snapshot { nodes, ..self }
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Byte offset of the header.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Byte offset behind the header.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// A reader of the file's chunks with a window of so many bytes.
    pub fn reader(&self, window_size: usize) -> ChunkReader {
        ChunkReader::new(self.file.clone(), window_size)
    }

    pub(super) fn lookup(&self, tree: TreeKind) -> TreeLookup {
        let reader = ChunkReader::for_lookups(self.file.clone(), self.nodes.clone());
        TreeLookup::new(reader, tree, self.header.root(tree), self.position)
    }

    /// A walk over one of the trees.
    pub fn walk(&self, tree: TreeKind) -> TreeWalk {
        let reader = self.reader(ChunkReader::WALK_WINDOW);
        TreeWalk::new(reader, tree, self.header.root(tree), self.position)
    }

    /// Document counts, from the by-id tree's root.
    pub fn counts(&self) -> Counts {
        match self.header.by_id.map(|root| root.reduce) {
            Some(Reduce::ById { live, deleted, size }) => {
                Counts { live, deleted, body_bytes: size }
            }
            _ => Counts::default(),
        }
    }

    /// Bytes that this state uses: its bodies and its tree nodes.
    pub fn space_used(&self) -> u64 {
        let roots = [self.header.by_seq, self.header.by_id, self.header.local];
        let nodes = roots.iter().flatten().map(|root| root.subtree_size);
        nodes.fold(self.counts().body_bytes, u64::saturating_add)
    }

    /// Part of the file that this state does not use, 0 to 1: (length − space used) / length.
    pub fn fragmentation(&self) -> Result<f64> {
        let length = self.file.len()?;
        let unused = length.saturating_sub(self.space_used());
        Ok(if length == 0 { 0.0 } else { unused as f64 / length as f64 })
    }

    /// What is known of a document; `None` when there is no such id. Tombstones are found too.
    pub fn get(&self, id: &[u8]) -> Result<Option<DocInfo>> {
        let mut found = None;
        self.get_many(&[id], |_, info| found = info)?;
        Ok(found)
    }

    /// Looks up many ids, which must be sorted, and passes the index of each and what is known of
    /// it to `found`. Each node on the way is read once.
    pub fn get_many(
        &self,
        ids: &[&[u8]],
        mut found: impl FnMut(usize, Option<DocInfo>),
    ) -> Result<()> {
        self.lookup(TreeKind::ById).values(ids, &mut |index, value| {
            let info = value.map(|value| self.by_id(ids[index], value)).transpose()?;
            found(index, info.map(DocInfoRef::to_owned));
            Ok(())
        })
    }

    pub(crate) fn by_id<'a>(&self, id: &'a [u8], value: &'a [u8]) -> Result<DocInfoRef<'a>> {
        DocInfoRef::decode_by_id(id, value)
            .map_err(|damage| Error::corrupt(&self.file.name, self.position, damage))
    }

    /// For looking up many documents, one after another or together.
    pub fn lookups(&self) -> Lookups {
        Lookups::new(self)
    }

    /// A reader of bodies with a window of so many bytes: a small one for single documents, a
    /// [large one](ChunkReader::WALK_WINDOW) for many that lie one behind the other.
    pub fn bodies(&self, window_size: usize) -> BodyReader {
        BodyReader::new(self, window_size)
    }

    /// Body of a document as stored, compressed if its content meta says so; `None` when it has none.
    pub fn raw_body(&self, info: DocInfoRef<'_>) -> Result<Option<Vec<u8>>> {
        self.read_raw_body(&mut self.reader(ChunkReader::LOOKUP_WINDOW), info)
    }

    /// Body of a document, inflated if it is stored compressed; `None` when it has none.
    pub fn body(&self, info: DocInfoRef<'_>) -> Result<Option<Vec<u8>>> {
        let mut bodies = self.bodies(ChunkReader::LOOKUP_WINDOW);
        Ok(bodies.body(info)?.map(<[u8]>::to_vec))
    }

    /// As [`raw_body`](Self::raw_body), through a reader that the caller keeps.
    pub fn read_raw_body(
        &self,
        reader: &mut ChunkReader,
        info: DocInfoRef<'_>,
    ) -> Result<Option<Vec<u8>>> {
        if info.position == 0 {
            return Ok(None);
        }
        reader.expect(info.position, info.physical_size, self.position)?;
        let body = reader.chunk(info.position, self.position, "document body")?;
        Ok(Some(body.to_vec()))
    }

    /// Documents whose last change has sequence number `since` or above, in that order.
    pub fn changes_since(&self, since: u64) -> Result<Documents> {
        let mut walk = self.walk(TreeKind::BySeq);
        // What is beyond 48 bits has no key.
        let place = if since > SEQ_MAX { Place::Ended } else { Place::BeforeNext };
        walk.seek(&encode_seq(since))?;
        Ok(Documents { walk, by_seq: true, end: None, place })
    }

    /// Documents by id, from `first` on, up to but without `end` if there is one.
    pub fn documents_by_id(&self, first: &[u8], end: Option<Vec<u8>>) -> Result<Documents> {
        let mut walk = self.walk(TreeKind::ById);
        walk.seek(first)?;
        Ok(Documents { walk, by_seq: false, end, place: Place::BeforeNext })
    }

    /// Value of a local document; `None` when there is none of that id.
    pub fn local(&self, id: &[u8]) -> Result<Option<Vec<u8>>> {
        self.lookup(TreeKind::Local).value(id)
    }

    /// All local documents: id and value, by id. Ends after the first error.
    pub fn locals(&self) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>)>> {
        let mut walk = self.walk(TreeKind::Local);
        let mut ended = false;
        std::iter::from_fn(move || {
            if ended {
                return None;
            }
            let there = walk.to_entry();
            ended = !matches!(there, Ok(true));
            let entry = walk.entry().map(|(key, value)| (key.to_vec(), value.to_vec()));
            walk.skip();
            there.map(|_| entry).transpose()
        })
    }
}

/// Documents of one state, in the order of one of its trees. Ends after the first error.
#[derive(Debug)]
pub struct Documents {
    walk: TreeWalk,
    by_seq: bool,
    end: Option<Vec<u8>>,
    place: Place,
}

/// Where an iteration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    BeforeNext,
    OnReturned,
    Ended,
}

impl Documents {
    /// Byte offset of the tree node that holds the document returned last.
    pub fn node_position(&self) -> Option<u64> {
        self.walk.node_position().filter(|_| self.place == Place::OnReturned)
    }

    /// The next document, borrowed from its node; `None` at the end.
    pub fn next_ref(&mut self) -> Result<Option<DocInfoRef<'_>>> {
        match self.place {
            Place::BeforeNext => {}
            Place::OnReturned => self.walk.skip(),
            Place::Ended => return Ok(None),
        }
        self.place = Place::Ended;
        if !self.walk.to_entry()? {
            return Ok(None);
        }
        let Some((key, value)) = self.walk.entry() else { return Ok(None) };
        if self.end.as_ref().is_some_and(|end| key >= end.as_slice()) {
            return Ok(None);
        }
        let info = match self.by_seq {
            true => DocInfoRef::decode_by_seq(key, value),
            false => DocInfoRef::decode_by_id(key, value),
        };
        let info = info.map_err(|damage| self.walk.corrupt(damage))?;
        self.place = Place::OnReturned;
        Ok(Some(info))
    }
}

impl Iterator for Documents {
    type Item = Result<DocInfo>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_ref().map(|info| info.map(DocInfoRef::to_owned)).transpose()
    }
}
