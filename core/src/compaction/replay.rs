//! Catch-up: brings a target from one state of the source to a later one, by the difference of their
//! trees.
//!
//! That is exact for documents, tombstones and local documents, deletions included, whatever their
//! sequence numbers are, and costs what the difference costs (ARCHITECTURE.md, The swap).

use bytes::Bytes;

use crate::btree::{Delta, DeltaStep, Difference};
use crate::canary::{Canary, planted};
use crate::chunklog::{ChunkPieces, ChunkReader};
use crate::error::{Error, Result};
use crate::format::docinfo::DocInfoRef;
use crate::format::pointer::TreeKind;
use crate::format::rev_meta::RevMeta;
use crate::format::vbstate::VBSTATE_ID;
use crate::store::{
    Batch, BatchSave, Body, Budget, DocUpdate, LocalUpdate, RevSeq, Snapshot, Step, Store,
};

/// Documents saved together, at most.
const BATCH_DOCUMENTS: usize = 16384;
/// Bytes saved together, roughly.
const BATCH_BYTES: u64 = 8 << 20;

/// One round of catch-up, up to its commit.
#[derive(Debug)]
pub(super) struct Replay {
    from: Snapshot,
    to: Snapshot,
    bodies: ChunkReader,
    gathered: Gathered,
    phase: Phase,
    pub(super) documents: u64,
    pub(super) bytes: u64,
}

#[derive(Debug)]
enum Phase {
    Documents(Delta),
    Body {
        delta: Delta,
        pieces: ChunkPieces,
        body: Vec<u8>,
        update: DocUpdate,
    },
    Locals(Delta),
    /// What is gathered is to be saved.
    Save {
        then: Option<Delta>,
    },
    Saving {
        save: BatchSave,
        then: Option<Delta>,
    },
    Done,
}

/// Changes for the next batch.
#[derive(Debug, Default)]
struct Gathered {
    batch: Batch,
    forget: Vec<(Vec<u8>, u64)>,
    bytes: u64,
}

impl Replay {
    /// Replays what `to` has and `from`, an earlier state of the same file, has not.
    pub(super) fn new(from: Snapshot, to: Snapshot) -> Self {
        Replay {
            phase: Phase::Documents(delta(&from, &to, TreeKind::BySeq)),
            bodies: to.reader(ChunkReader::WALK_WINDOW),
            gathered: Gathered::default(),
            from,
            to,
            documents: 0,
            bytes: 0,
        }
    }

    /// Bytes that the source grew by between the two states.
    pub(super) fn tail(&self) -> u64 {
        self.to.end().saturating_sub(self.from.end())
    }

    /// The state replayed from.
    pub(super) fn from(&self) -> &Snapshot {
        &self.from
    }

    /// The state replayed to.
    pub(super) fn to(&self) -> &Snapshot {
        &self.to
    }

    /// Does a part of the work. At `Done` the target's working state is that of `to`, less what the
    /// copy left behind.
    pub(super) fn step(&mut self, target: &mut Store, budget: &mut Budget) -> Result<Step> {
        while !matches!(self.phase, Phase::Done) {
            if budget.is_spent() {
                return Ok(Step::Progress);
            }
            self.advance(target, budget)?;
        }
        Ok(Step::Done)
    }

    fn advance(&mut self, target: &mut Store, budget: &mut Budget) -> Result<()> {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Documents(mut delta) => {
                budget.spend(0);
                match delta.step()? {
                    DeltaStep::Moved => Phase::Documents(delta),
                    DeltaStep::Found(difference) => match self.document(difference)? {
                        Some((update, pieces)) => {
                            Phase::Body { delta, pieces, body: Vec::new(), update }
                        }
                        None => self.after_document(delta),
                    },
                    DeltaStep::End => {
                        Phase::Locals(self::delta(&self.from, &self.to, TreeKind::Local))
                    }
                }
            }
            Phase::Body { delta, mut pieces, mut body, mut update } => {
                let before = body.len();
                pieces.next(&mut self.bodies, &mut body)?;
                budget.spend((body.len() - before) as u64);
                if pieces.is_complete() {
                    self.bytes += body.len() as u64;
                    self.gathered.bytes += body.len() as u64;
                    update.body = Body::Stored(Bytes::from(body));
                    self.gathered.batch.documents.push(update);
                    self.after_document(delta)
                } else {
                    Phase::Body { delta, pieces, body, update }
                }
            }
            Phase::Locals(mut delta) => {
                budget.spend(0);
                match delta.step()? {
                    DeltaStep::Moved => Phase::Locals(delta),
                    DeltaStep::Found(difference) => {
                        let (id, value) = match difference {
                            Difference::Removed { key, .. } => (key, None),
                            Difference::Added { key, new }
                            | Difference::Changed { key, new, .. } => (key, Some(new)),
                        };
                        let skipped = planted(Canary::SkipLocalDelete) && value.is_none()
                            || planted(Canary::VbstateOfTheCopy) && id == VBSTATE_ID;
                        if !skipped {
                            self.gathered.batch.locals.push(LocalUpdate { id, value });
                        }
                        Phase::Locals(delta)
                    }
                    DeltaStep::End => Phase::Save { then: None },
                }
            }
            Phase::Save { then } => {
                let Gathered { batch, forget, .. } = std::mem::take(&mut self.gathered);
                Phase::Saving { save: BatchSave::replay(target, batch, forget)?, then }
            }
            Phase::Saving { mut save, then } => match (save.step(target, budget)?, then) {
                (Step::Done, Some(delta)) => Phase::Documents(delta),
                (Step::Done, None) => {
                    let header = self.to.header();
                    let working = target.working_mut();
                    working.update_seq = header.update_seq;
                    // What this compaction purged counts too: purge_seq never goes down.
                    working.purge_seq = match planted(Canary::PurgeSeqFromSource) {
                        true => header.purge_seq,
                        false => working.purge_seq.max(header.purge_seq),
                    };
                    Phase::Done
                }
                (_, then) => Phase::Saving { save, then },
            },
            Phase::Done => Phase::Done,
        };
        Ok(())
    }

    /// Takes up a difference. A document with a body comes back, its body still to be read.
    fn document(&mut self, difference: Difference) -> Result<Option<(DocUpdate, ChunkPieces)>> {
        let corrupt = |damage| Error::corrupt(&self.to.file().name, self.to.position(), damage);
        match difference {
            Difference::Removed { key, old } => {
                // Replaced, as a rule, and then it comes again under its new sequence number. If it
                // does not, it was taken out without a trace.
                let info = DocInfoRef::decode_by_seq(&key, &old).map_err(corrupt)?;
                self.gathered.bytes += info.id.len() as u64;
                self.gathered.forget.push((info.id.to_vec(), info.seq));
            }
            Difference::Added { key, new } | Difference::Changed { key, new, .. } => {
                let info = DocInfoRef::decode_by_seq(&key, &new).map_err(corrupt)?;
                self.documents += 1;
                self.gathered.bytes += (info.id.len() + info.rev_meta.len()) as u64;
                let mut rev_meta = info.rev_meta.to_vec();
                if planted(Canary::ReplayForgetsFlags) {
                    let mut meta = RevMeta::decode(&rev_meta).unwrap_or_default();
                    meta.flags = 0;
                    rev_meta = meta.encode();
                }
                let update = DocUpdate {
                    id: info.id.to_vec(),
                    seq: Some(info.seq),
                    rev_seq: RevSeq::Given(info.rev_seq),
                    deleted: info.deleted && !planted(Canary::TombstoneToLive),
                    content_meta: info.content_meta,
                    rev_meta,
                    body: Body::None,
                };
                if info.position != 0 {
                    let (before, what) = (self.to.position(), "document body");
                    let (reader, position) = (&mut self.bodies, info.position);
                    let pieces = ChunkPieces::begin(reader, position, before, what)?;
                    return Ok(Some((update, pieces)));
                }
                self.gathered.batch.documents.push(update);
            }
        }
        Ok(None)
    }

    fn after_document(&self, delta: Delta) -> Phase {
        match self.gathered.is_full() {
            true => Phase::Save { then: Some(delta) },
            false => Phase::Documents(delta),
        }
    }
}

impl Gathered {
    fn is_full(&self) -> bool {
        self.batch.documents.len() + self.forget.len() >= BATCH_DOCUMENTS
            || self.bytes >= BATCH_BYTES
    }
}

fn delta(from: &Snapshot, to: &Snapshot, tree: TreeKind) -> Delta {
    Delta::new(from.walk(tree), to.walk(tree))
}
