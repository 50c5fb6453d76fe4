//! The building half of a copy: writes bodies and trees into the target.

use super::items::CopyItem;
use super::options::CompactionOptions;
use super::table::{Fate, SeqTable};
use crate::btree::BulkBuilder;
use crate::canary::{Canary, planted};
use crate::device::Volume;
use crate::error::{Damage, Error, Result};
use crate::event::{Content, Event, Events, FileName};
use crate::format::checksum::Checksum;
use crate::format::docinfo::{DocInfo, DocInfoRef, encode_seq};
use crate::format::pointer::TreeKind;
use crate::store::{Snapshot, Store};
use std::sync::Arc;

/// Ending of the name of the file that the table of new positions goes to, beyond its memory.
const TABLE_SUFFIX: &str = ".table";

/// Writes the target of a copy. Its bytes depend on the items alone.
#[derive(Debug)]
pub(super) struct CopyBuilder {
    vbucket: u16,
    source: FileName,
    /// Header position of the source, for messages.
    source_position: u64,
    source_checksum: Checksum,
    store: Store,
    by_seq: Option<BulkBuilder>,
    by_id: Option<BulkBuilder>,
    locals: Option<BulkBuilder>,
    table: SeqTable,
    kept: u64,
    matched: u64,
    /// Highest sequence number of a tombstone left behind.
    purged_seq: u64,
    /// A document whose body is not all there yet.
    partial: Option<Partial>,
    /// An encoded value, in memory that is used again.
    value: Vec<u8>,
    pub(super) documents: u64,
    pub(super) dropped: u64,
}

#[derive(Debug)]
struct Partial {
    info: DocInfo,
    from: u64,
    rest: usize,
    /// The whole body, where its checksum has to be made anew before it can be written.
    gathered: Option<Vec<u8>>,
}

impl CopyBuilder {
    /// Creates the target `name`. `vbucket` is for events.
    pub(super) fn new(
        volume: Arc<dyn Volume>,
        name: &str,
        source: &Snapshot,
        options: &CompactionOptions,
        vbucket: u16,
        events: Events,
    ) -> Result<Self> {
        let mut store = Store::create_bare(volume.as_ref(), name, events.clone())?;
        let header = source.header();
        let working = store.working_mut();
        working.update_seq = header.update_seq;
        working.purge_seq = header.purge_seq;
        let table_name = FileName::from(format!("{name}{TABLE_SUFFIX}"));
        Ok(CopyBuilder {
            vbucket,
            source: source.file().name.clone(),
            source_position: source.position(),
            source_checksum: source.file().checksum,
            store,
            by_seq: Some(BulkBuilder::new(TreeKind::BySeq)),
            by_id: Some(BulkBuilder::new(TreeKind::ById)),
            locals: Some(BulkBuilder::new(TreeKind::Local)),
            table: SeqTable::new(volume, table_name, options.table_memory, events),
            kept: 0,
            matched: 0,
            purged_seq: 0,
            partial: None,
            value: Vec::new(),
            documents: 0,
            dropped: 0,
        })
    }

    /// Takes the next item. Returns how many bytes it appended.
    pub(super) fn accept(&mut self, item: CopyItem<'_>) -> Result<u64> {
        let before = self.store.writer().end();
        match item {
            CopyItem::Dropped { seq, deleted } => {
                self.dropped += 1;
                if deleted {
                    self.purged_seq = self.purged_seq.max(seq);
                }
                let vbucket = self.vbucket;
                let events = self.store.writer().events();
                events.emit(|| Event::DocumentDropped { vbucket, seq });
                self.table.push(seq, Fate::Dropped)?;
            }
            CopyItem::Document { info, checksum, length, body } => {
                self.document(info, checksum, length, body)?;
            }
            CopyItem::Piece(piece) => self.more_body(piece)?,
            CopyItem::DocumentsEnd => {
                let root = finish(&mut self.by_seq, &mut self.store)?;
                self.store.working_mut().by_seq = root;
            }
            CopyItem::Id { info, leaf } => self.id(info, leaf)?,
            CopyItem::IdsEnd => self.finish_ids()?,
            CopyItem::Local { id, value } => {
                if let Some(builder) = &mut self.locals {
                    builder.push(id, value, self.store.writer_mut())?;
                }
            }
        }
        Ok(self.store.writer().end() - before)
    }

    /// The target as far as it is written.
    pub(super) fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    /// Completes the target's working state and returns its store, nothing being committed yet.
    pub(super) fn finish(mut self) -> Result<Store> {
        let root = finish(&mut self.locals, &mut self.store)?;
        let working = self.store.working_mut();
        working.local = root;
        if !planted(Canary::PurgeSeqNotRaised) {
            working.purge_seq = working.purge_seq.max(self.purged_seq);
        }
        Ok(self.store)
    }

    fn document(
        &mut self,
        mut info: DocInfoRef<'_>,
        checksum: u32,
        length: Option<usize>,
        body: &[u8],
    ) -> Result<()> {
        let from = info.position;
        let Some(length) = length else {
            (info.position, info.physical_size) = (0, 0);
            return self.copied(info, from);
        };
        // From version 11, the checksum is of another kind and has to be made anew.
        let target = self.store.file().checksum;
        let same = self.source_checksum == target;
        let is_whole = body.len() >= length;
        let gathered = (!same && !is_whole).then(Vec::new);
        if gathered.is_none() {
            let checksum = if same { checksum } else { target.of(body) };
            self.begin_body(&mut info, length, checksum)?;
        }
        if is_whole {
            self.store.writer_mut().extend(body)?;
            return self.copied(info, from);
        }
        self.partial = Some(Partial { info: info.to_owned(), from, rest: length, gathered });
        self.more_body(body)
    }

    fn begin_body(
        &mut self,
        info: &mut DocInfoRef<'_>,
        length: usize,
        checksum: u32,
    ) -> Result<()> {
        let content = Content::Body { seq: info.seq };
        let appended = self.store.writer_mut().begin(length, checksum, content)?;
        (info.position, info.physical_size) = (appended.position, appended.disk_size);
        Ok(())
    }

    fn more_body(&mut self, piece: &[u8]) -> Result<()> {
        let Some(mut partial) = self.partial.take() else { return Ok(()) };
        partial.rest = partial.rest.saturating_sub(piece.len());
        match &mut partial.gathered {
            Some(gathered) => gathered.extend_from_slice(piece),
            None => self.store.writer_mut().extend(piece)?,
        }
        if partial.rest > 0 {
            self.partial = Some(partial);
            return Ok(());
        }
        let mut info = partial.info.as_ref();
        if let Some(body) = partial.gathered {
            let checksum = self.store.file().checksum.of(&body);
            self.begin_body(&mut info, body.len(), checksum)?;
            self.store.writer_mut().extend(&body)?;
        }
        self.copied(info, partial.from)
    }

    /// A document's body is in the target: its by-seq entry follows.
    fn copied(&mut self, info: DocInfoRef<'_>, from: u64) -> Result<()> {
        let (vbucket, seq, to) = (self.vbucket, info.seq, info.position);
        let events = self.store.writer().events();
        events.emit(|| Event::DocumentCopied { vbucket, seq, from, to });
        self.documents += 1;
        self.kept += 1;
        self.table.push(seq, Fate::Kept { position: to, size: info.physical_size })?;
        self.value.clear();
        info.encode_by_seq(&mut self.value);
        match &mut self.by_seq {
            Some(builder) => builder.push(&encode_seq(seq), &self.value, self.store.writer_mut()),
            None => Ok(()),
        }
    }

    fn id(&mut self, mut info: DocInfoRef<'_>, leaf: u64) -> Result<()> {
        match self.table.find(info.seq)? {
            Some(Fate::Dropped) => return Ok(()),
            Some(Fate::Kept { position, size }) => {
                (info.position, info.physical_size) = (position, size);
            }
            None if planted(Canary::SkipMissing) => return Ok(()),
            None => {
                let what = format!("by-id names sequence number {}, which by-seq lacks", info.seq);
                return Err(Error::corrupt(&self.source, leaf, Damage::Trees(what)));
            }
        }
        self.matched += 1;
        self.value.clear();
        info.encode_by_id(&mut self.value);
        match &mut self.by_id {
            Some(builder) => builder.push(info.id, &self.value, self.store.writer_mut()),
            None => Ok(()),
        }
    }

    fn finish_ids(&mut self) -> Result<()> {
        if self.kept != self.matched {
            let (kept, matched) = (self.kept, self.matched);
            let what = format!("{kept} documents by sequence number, but {matched} by id");
            let damage = Damage::Trees(what);
            return Err(Error::corrupt(&self.source, self.source_position, damage));
        }
        let root = finish(&mut self.by_id, &mut self.store)?;
        self.store.working_mut().by_id = root;
        Ok(())
    }
}

fn finish(
    builder: &mut Option<BulkBuilder>,
    store: &mut Store,
) -> Result<Option<crate::format::pointer::NodePointer>> {
    builder.take().map_or(Ok(None), |builder| builder.finish(store.writer_mut()))
}
