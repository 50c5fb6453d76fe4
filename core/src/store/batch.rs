//! Saving a batch: bodies, then by-id, then by-seq, then local documents (format, section 3).
//! Nothing is visible before the commit that follows.

use bytes::Bytes;

use super::step::{Budget, Step};
use super::writer::Store;
use crate::btree::{Change, Keys, TreeUpdate};
use crate::canary::{Canary, planted};
use crate::error::{Damage, Error, Result};
use crate::event::Content;
use crate::format::docinfo::{COMPRESSED, DocInfo, DocInfoRef, SEQ_LEN, encode_seq};
use crate::format::pointer::TreeKind;
use crate::format::snappy;
use crate::limits::{BODY_LEN_MAX, ID_LEN_MAX, SEQ_MAX};

/// Bytes of a body handed on in one piece, at most.
const PIECE: usize = 256 << 10;

/// Changes to save together.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Documents, in the order in which they get sequence numbers. Of several changes to one id the
    /// last wins.
    pub documents: Vec<DocUpdate>,
    /// Local documents. Of several changes to one id the last wins.
    pub locals: Vec<LocalUpdate>,
}

/// A change of one document.
#[derive(Clone, Debug)]
pub struct DocUpdate {
    /// Document id, 1 to 4095 bytes.
    pub id: Vec<u8>,
    /// Sequence number, from 1 on; `None` for the next one.
    pub seq: Option<u64>,
    /// Revision.
    pub rev_seq: RevSeq,
    /// Whether this makes the document a tombstone, with or without a body.
    pub deleted: bool,
    /// What the body is. [`Body::Compress`] sets the compression bit itself.
    pub content_meta: u8,
    /// The application's metadata.
    pub rev_meta: Vec<u8>,
    /// The body.
    pub body: Body,
}

/// Body of a document to save.
#[derive(Clone, Debug)]
pub enum Body {
    /// No body at all; distinct from an empty one.
    None,
    /// Stored as it is.
    Stored(Bytes),
    /// Compressed with Snappy before it is stored, unless it then is too long to be.
    Compress(Bytes),
}

/// Revision of a document to save.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevSeq {
    /// This one.
    Given(u64),
    /// One more than that of the document it replaces; 1 for a new one.
    Next,
}

/// A change of one local document.
#[derive(Clone, Debug)]
pub struct LocalUpdate {
    /// Id, by convention beginning with `_local/`.
    pub id: Vec<u8>,
    /// New value; `None` deletes it.
    pub value: Option<Vec<u8>>,
}

/// A document of the batch, or one to forget.
#[derive(Debug)]
struct Item {
    info: DocInfo,
    rev_seq: RevSeq,
    body: Body,
    /// Take the document out, leaving no tombstone, if it still has this sequence number.
    forget: bool,
}

/// A batch being saved, step by step. At its end the store's working state holds it; a commit makes
/// it durable and visible. After an error the store must [go back](super::GoBack).
#[derive(Debug)]
pub struct BatchSave {
    items: Vec<Item>,
    locals: Vec<LocalUpdate>,
    update_seq: u64,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Begin,
    Bodies { next: usize, rest: Bytes, by_id: ById },
    ById { by_id: ById, replaced: Vec<u64> },
    BySeq { update: TreeUpdate, items: Vec<Option<usize>> },
    Locals { update: TreeUpdate, order: Vec<usize> },
    Done,
}

/// Changes of the by-id tree. Begun before bodies are written, so that its nodes can be read meanwhile.
#[derive(Debug)]
struct ById {
    update: TreeUpdate,
    /// Which item each key is of.
    order: Vec<usize>,
}

impl BatchSave {
    /// Checks a batch and begins to save it.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for an id, a body, a revision or a sequence number that the format cannot
    /// hold;
    /// [`Error::Invalid`] for an empty id, and for a given sequence number that is not above all
    /// before it, as Couchbase insists; [`Error::Poisoned`]. Nothing is written in these cases.
    pub fn new(store: &Store, batch: Batch) -> Result<Self> {
        let mut highest = store.working().update_seq;
        if batch.documents.iter().any(|update| update.seq == Some(0)) {
            return Err(not_above(0, highest));
        }
        let mut save = BatchSave::replay(store, batch, Vec::new())?;
        for item in &mut save.items {
            if item.info.seq == 0 {
                item.info.seq = highest + 1;
            }
            let seq = item.info.seq;
            if seq <= highest {
                return Err(not_above(seq, highest));
            }
            check("sequence number", seq, SEQ_MAX)?;
            highest = seq;
        }
        save.update_seq = highest;
        Ok(save)
    }

    /// As [`new`](Self::new), for documents copied from a consistent state of another file, all with
    /// sequence numbers of their own; `forget` names documents to take out without a trace if they
    /// still have the sequence number given, and are not in the batch.
    pub(crate) fn replay(store: &Store, batch: Batch, forget: Vec<(Vec<u8>, u64)>) -> Result<Self> {
        store.check_writable()?;
        let forget = forget.into_iter().map(|(id, seq)| Item {
            info: DocInfo { seq, ..DocInfo::new(id) },
            rev_seq: RevSeq::Next,
            body: Body::None,
            forget: true,
        });
        let saved = batch.documents.into_iter().map(Item::from);
        let items = last_of_each(forget.chain(saved).collect(), |item| &item.info.id);
        let locals = last_of_each(batch.locals, |update| &update.id);
        items.iter().try_for_each(|item| check_id(&item.info.id))?;
        locals.iter().try_for_each(|update| check_id(&update.id))?;
        for item in &items {
            check("revision", item.info.rev_seq, SEQ_MAX)?;
            if let Body::Stored(body) | Body::Compress(body) = &item.body {
                check("length of a body", body.len() as u64, BODY_LEN_MAX as u64)?;
            }
        }
        let highest = items.iter().filter(|item| !item.forget).map(|item| item.info.seq).max();
        Ok(BatchSave {
            update_seq: store.working().update_seq.max(highest.unwrap_or(0)),
            items,
            locals,
            phase: Phase::Begin,
        })
    }

    /// Does a part of the work.
    pub fn step(&mut self, store: &mut Store, budget: &mut Budget) -> Result<Step> {
        while !matches!(self.phase, Phase::Done) {
            if budget.is_spent() {
                return Ok(Step::Progress);
            }
            let before = store.writer().end();
            self.advance(store, budget.bytes)?;
            budget.spend(store.writer().end() - before);
        }
        Ok(Step::Done)
    }

    /// Writes a piece of a body of at most `bytes`, or handles a tree node.
    fn advance(&mut self, store: &mut Store, bytes: u64) -> Result<()> {
        let BatchSave { items, locals, phase, .. } = self;
        match phase {
            Phase::Begin => self.begin(store),
            Phase::Bodies { rest, .. } if !rest.is_empty() => {
                let piece = rest.split_to(rest.len().min(PIECE).min(bytes.max(1) as usize));
                store.writer_mut().extend(&piece)
            }
            Phase::Bodies { next, rest, .. } => match items.get_mut(*next) {
                Some(item) => {
                    *next += 1;
                    *rest = item.begin_body(store)?;
                    Ok(())
                }
                None => {
                    if let Phase::Bodies { by_id, .. } = std::mem::replace(phase, Phase::Done) {
                        *phase = Phase::ById { by_id, replaced: Vec::new() };
                    }
                    Ok(())
                }
            },
            Phase::ById { by_id, replaced } => {
                let mut change = |index: usize, old: Option<&[u8]>, new: &mut Vec<u8>| {
                    items[by_id.order[index]].change(old, new, replaced)
                };
                if by_id.update.step(store.writer_mut(), &mut change)? {
                    return Ok(());
                }
                store.working_mut().by_id = by_id.update.root();
                let replaced = std::mem::take(replaced);
                self.begin_by_seq(store, replaced)
            }
            Phase::BySeq { update, items: by_key } => {
                let mut change = |index: usize, _: Option<&[u8]>, new: &mut Vec<u8>| {
                    let Some(item) = by_key[index].map(|item| &items[item]) else {
                        return Ok(Change::Remove);
                    };
                    item.info.as_ref().encode_by_seq(new);
                    Ok(Change::Put)
                };
                if update.step(store.writer_mut(), &mut change)? {
                    return Ok(());
                }
                store.working_mut().by_seq = update.root();
                self.begin_locals(store)
            }
            Phase::Locals { update, order } => {
                let mut change = |index: usize, old: Option<&[u8]>, new: &mut Vec<u8>| {
                    Ok(match locals[order[index]].value.take() {
                        Some(value) if old == Some(&value) => Change::Keep,
                        Some(value) => {
                            *new = value;
                            Change::Put
                        }
                        None => Change::Remove,
                    })
                };
                if update.step(store.writer_mut(), &mut change)? {
                    return Ok(());
                }
                let working = store.working_mut();
                working.local = update.root();
                working.update_seq = self.update_seq;
                self.phase = Phase::Done;
                Ok(())
            }
            Phase::Done => Ok(()),
        }
    }

    fn begin(&mut self, store: &mut Store) -> Result<()> {
        let ids: Vec<&[u8]> = self.items.iter().map(|item| &*item.info.id).collect();
        let order = in_order(&ids);
        let update = begin_update(store, TreeKind::ById, keys_of(&ids, &order))?;
        let by_id = ById { update, order };
        self.phase = Phase::Bodies { next: 0, rest: Bytes::new(), by_id };
        Ok(())
    }

    fn begin_by_seq(&mut self, store: &mut Store, replaced: Vec<u64>) -> Result<()> {
        // Items are counted from 1 here, and 0 is none: what else sorts numbers by positions or sequence
        // numbers sorts these pairs too, so that there is one sort of them.
        let mut keys: Vec<(u64, usize)> = replaced.into_iter().map(|seq| (seq, 0)).collect();
        let saved = (1..).zip(&self.items).filter(|(_, item)| !item.forget);
        keys.extend(saved.map(|(number, item)| (item.info.seq, number)));
        keys.sort_unstable();
        // What is saved under a number takes the place of what is replaced under it.
        keys.dedup_by(|later, first| {
            let same = later.0 == first.0;
            if same {
                *first = *later;
            }
            same
        });
        let items = keys.iter().map(|(_, number)| number.checked_sub(1)).collect();
        let mut seqs = Keys::with_capacity(keys.len(), keys.len() * SEQ_LEN);
        keys.iter().for_each(|(seq, _)| seqs.push(&encode_seq(*seq)));
        let update = begin_update(store, TreeKind::BySeq, seqs)?;
        self.phase = Phase::BySeq { update, items };
        Ok(())
    }

    fn begin_locals(&mut self, store: &mut Store) -> Result<()> {
        let ids: Vec<&[u8]> = self.locals.iter().map(|update| &*update.id).collect();
        let order = in_order(&ids);
        let update = begin_update(store, TreeKind::Local, keys_of(&ids, &order))?;
        self.phase = Phase::Locals { update, order };
        Ok(())
    }
}

impl Item {
    /// Begins to write the body, and returns what is still to be written of it.
    fn begin_body(&mut self, store: &mut Store) -> Result<Bytes> {
        let body = match std::mem::replace(&mut self.body, Body::None) {
            Body::None => return Ok(Bytes::new()),
            Body::Stored(body) => body,
            Body::Compress(body) => match deflate_within(&body, BODY_LEN_MAX) {
                Some(deflated) => {
                    self.info.content_meta |= COMPRESSED;
                    deflated
                }
                None => body,
            },
        };
        let checksum = store.file().checksum.of(&body);
        let content = Content::Body { seq: self.info.seq };
        let appended = store.writer_mut().begin(body.len(), checksum, content)?;
        self.info.position = appended.position;
        self.info.physical_size = appended.disk_size;
        Ok(body)
    }

    /// What becomes of the by-id entry, `old` being what is there; notes the sequence number that
    /// goes out of use.
    fn change(
        &mut self,
        old: Option<&[u8]>,
        new: &mut Vec<u8>,
        replaced: &mut Vec<u64>,
    ) -> Result<Change, Damage> {
        let old = old.map(|value| DocInfoRef::decode_by_id(&self.info.id, value)).transpose()?;
        let old = old.map(|old| (old.seq, old.rev_seq));
        if self.forget {
            let same = old.is_some_and(|(seq, _)| seq == self.info.seq);
            if same {
                replaced.push(self.info.seq);
            }
            return Ok(if same { Change::Remove } else { Change::Keep });
        }
        if let Some((seq, rev_seq)) = old {
            replaced.push(seq);
            if self.rev_seq == RevSeq::Next {
                self.info.rev_seq = rev_seq.saturating_add(1).min(SEQ_MAX);
            }
        }
        self.info.as_ref().encode_by_id(new);
        Ok(Change::Put)
    }
}

impl From<DocUpdate> for Item {
    fn from(update: DocUpdate) -> Self {
        let info = DocInfo {
            // 0 stands for the next one: no document ever has it.
            seq: update.seq.unwrap_or(0),
            rev_seq: match update.rev_seq {
                RevSeq::Given(rev_seq) => rev_seq,
                RevSeq::Next => 1,
            },
            deleted: update.deleted,
            content_meta: update.content_meta,
            rev_meta: update.rev_meta,
            ..DocInfo::new(update.id)
        };
        Item { info, rev_seq: update.rev_seq, body: update.body, forget: false }
    }
}

/// Ids in their order.
fn keys_of(ids: &[&[u8]], order: &[usize]) -> Keys {
    let mut keys = Keys::with_capacity(ids.len(), ids.iter().map(|id| id.len()).sum());
    order.iter().for_each(|index| keys.push(ids[*index]));
    keys
}

fn begin_update(store: &mut Store, tree: TreeKind, keys: Keys) -> Result<TreeUpdate> {
    let (root, join) = (store.working().root(tree), store.join_reading());
    TreeUpdate::begin(tree, root, keys, store.writer_mut(), join)
}

/// Leaves of several items with one id the last, in its place.
fn last_of_each<T>(items: Vec<T>, id: impl Fn(&T) -> &Vec<u8>) -> Vec<T> {
    let ids: Vec<&[u8]> = items.iter().map(|item| &**id(item)).collect();
    let mut superseded = vec![false; items.len()];
    for pair in in_order(&ids).windows(2) {
        if ids[pair[0]] == ids[pair[1]] {
            superseded[pair[usize::from(planted(Canary::FirstOfEachWins))]] = true;
        }
    }
    let mut superseded = superseded.into_iter();
    let mut items = items;
    items.retain(|_| superseded.next() == Some(false));
    items
}

/// Where ids stand, in the order of the ids; equal ones as they stand.
fn in_order(ids: &[&[u8]]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..ids.len()).collect();
    order.sort_unstable_by_key(|index| (ids[*index], *index));
    order
}

/// Compresses a body; `None` when that makes it longer than `max` bytes, or is not possible: what does
/// not compress grows, and a body that can be stored as it is must not fail for that.
fn deflate_within(body: &[u8], max: usize) -> Option<Bytes> {
    let deflated = snappy::deflate(body, "document body").ok()?;
    Some(Bytes::from(deflated)).filter(|deflated| deflated.len() <= max)
}

fn not_above(seq: u64, highest: u64) -> Error {
    Error::Invalid(format!("sequence number {seq} is not above {highest}, the highest so far"))
}

fn check_id(id: &[u8]) -> Result<()> {
    if id.is_empty() {
        return Err(Error::Invalid("an id is empty".to_owned()));
    }
    check("length of an id", id.len() as u64, ID_LEN_MAX as u64)
}

fn check(what: &'static str, value: u64, max: u64) -> Result<()> {
    if value > max { Err(Error::TooLarge { what, value, max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_compression_makes_too_long_is_not_compressed() {
        // No byte comes twice: there is nothing to refer back to.
        let noise: Vec<u8> = (0..=255).collect();
        let deflated = deflate_within(&noise, noise.len());
        assert_eq!(deflated, None, "it fits as it is, and only so");
        assert!(deflate_within(&[b'x'; 1000], 1000).is_some());
    }
}
