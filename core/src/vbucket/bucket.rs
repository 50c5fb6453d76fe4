//! The vbucket itself: its file in charge behind the lock, and the state that readers see.

use std::sync::Arc;
use std::task::Waker;

use super::directory::{highest_revision, remove_all, superfluous};
use super::lock::VbLock;
use crate::canary::{Canary, planted};
use crate::chunklog::{FileNodes, NodeCache};
use crate::device::{Host, Volume};
use crate::error::{Error, Result};
use crate::event::{Event, Events, FileName};
use crate::format::names::{compact_name, file_name};
use crate::format::pointer::TreeKind;
use crate::format::vbstate::{VBSTATE_ID, VbState};
use crate::store::{DirectorySync, LocalUpdate, Opening, PassedOver, Snapshot, Step, Store};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, MutexGuard, Rank};

/// What the vbucket's lock protects: which file is in charge, and appending to it.
#[derive(Debug)]
pub struct Charge {
    store: Option<Store>,
    /// Revision of the file in charge.
    revision: u64,
    /// Why there is no file in charge.
    gone: Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gone {
    Deleted,
    SwapUncertain,
}

impl Charge {
    /// The file in charge.
    ///
    /// # Errors
    /// [`Error::Cancelled`] when the vbucket was deleted; [`Error::Poisoned`] when a swap failed so
    /// that only a reopening can tell which file is in charge.
    pub fn store(&mut self) -> Result<&mut Store> {
        match (&mut self.store, self.gone) {
            (Some(store), _) => Ok(store),
            (None, Gone::Deleted) => Err(Error::Cancelled),
            (None, Gone::SwapUncertain) => {
                let file = format!("vbucket file, revision {}", self.revision);
                Err(Error::Poisoned { file: FileName::from(file) })
            }
        }
    }

    /// Revision of the file in charge.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Puts another file in charge, which is committed to as the one before was.
    pub(crate) fn replace(&mut self, mut store: Store, revision: u64) {
        if let Some(before) = &self.store {
            store.commit_as(before);
        }
        self.store = Some(store);
        self.revision = revision;
    }

    /// No file is in charge any more: the vbucket is deleted.
    pub(super) fn delete(&mut self) {
        self.store = None;
        self.gone = Gone::Deleted;
    }

    /// A write to the file in charge is given up half-way: the next writer must go back first.
    pub(super) fn abandon_write(&mut self) {
        if let Some(store) = &mut self.store {
            store.poison();
        }
    }

    /// No file is in charge until a reopening has settled which one is.
    pub(crate) fn lose(&mut self) {
        self.store = None;
        self.gone = Gone::SwapUncertain;
    }
}

/// How fast a flusher may go, so that catch-up converges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Bytes appended a second.
    pub bytes_per_second: u64,
    /// Mutations in one flush: what the last tail can be longer by than was foreseen.
    pub batch_mutations: u64,
    /// Nanoseconds to wait between two flushes, at most: a batch from before the pace was set may
    /// have been long, but the next ones are not. Also how much of rest a burst can be ahead of the pace.
    pub wait_max_ns: u64,
}

/// Tells a compaction to stop.
#[derive(Clone, Debug, Default)]
pub struct CancelFlag(Arc<AtomicBool>);

impl CancelFlag {
    /// Asks for the stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether a stop was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// The right to compact a vbucket, of which there is one; given back when dropped.
#[derive(Debug)]
pub struct CompactionSlot {
    vbucket: VBucket,
    /// Set when the compaction is to stop.
    pub cancel: CancelFlag,
    /// The state to begin with.
    pub start: Snapshot,
    /// Revision of the file that it is in.
    pub revision: u64,
}

impl Drop for CompactionSlot {
    fn drop(&mut self) {
        self.vbucket.control().compaction = None;
    }
}

/// One incarnation of a vbucket. Clones are the same vbucket; one that is deleted and created again
/// is another, so that nothing meant for the former can touch the latter.
#[derive(Clone, Debug)]
pub struct VBucket {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    id: u16,
    volume: Arc<dyn Volume>,
    host: Arc<dyn Host>,
    events: Events,
    lock: VbLock<Charge>,
    control: Mutex<Control>,
}

/// What changes together: going back to an older state cancels the compaction that began with a
/// newer one, and no compaction can begin in between.
#[derive(Debug)]
struct Control {
    published: Option<Snapshot>,
    revision: u64,
    /// Tree nodes of that revision's file that are kept in memory.
    nodes: Option<FileNodes>,
    compaction: Option<CancelFlag>,
    pace: Option<Pace>,
    /// Who waits because of the pace.
    paced: Option<Waker>,
}

impl VBucket {
    /// Opens the highest revision of a vbucket in the volume. Only when that is found sound are
    /// leftovers and older revisions removed: a damaged one never makes an older file take over.
    /// `None` when the vbucket has no file.
    ///
    /// # Errors
    /// As [`Store::open`]; [`Error::NoVBucket`] when the file has no vbucket state.
    pub fn open(
        volume: Arc<dyn Volume>,
        host: Arc<dyn Host>,
        id: u16,
        opening: impl Into<Opening>,
        events: Events,
    ) -> Result<Option<(Self, Vec<PassedOver>)>> {
        let opened = Self::open_highest(volume, host, id, opening.into(), events.clone());
        if let Err(error) = &opened {
            events.emit(|| Event::OpeningFailed { vbucket: id, error: error.to_string() });
        }
        opened
    }

    fn open_highest(
        volume: Arc<dyn Volume>,
        host: Arc<dyn Host>,
        id: u16,
        opening: Opening,
        events: Events,
    ) -> Result<Option<(Self, Vec<PassedOver>)>> {
        let Some(mut revision) = highest_revision(volume.as_ref(), id)? else {
            return Ok(None);
        };
        if planted(Canary::AdoptUnfinished) {
            let (from, to) = (compact_name(id, revision), file_name(id, revision + 1));
            revision += u64::from(volume.rename(&from, &to).is_ok());
        }
        if planted(Canary::SweepBeforeValidating) {
            let superfluous = superfluous(volume.as_ref(), id, Some(revision))?;
            remove_all(volume.as_ref(), &superfluous, &events)?;
        }
        let name = file_name(id, revision);
        let accept = |snapshot: &Snapshot| {
            for tree in [TreeKind::BySeq, TreeKind::ById, TreeKind::Local] {
                snapshot.walk(tree).descend()?;
            }
            vbstate_of(snapshot).map(drop)
        };
        let (store, passed_over) =
            Store::open_if(volume.as_ref(), &name, opening, events.clone(), &accept)?;
        let snapshot = store.snapshot()?;
        let superfluous = superfluous(volume.as_ref(), id, Some(revision))?;
        if !superfluous.is_empty() {
            // Opening has made the name of this revision durable: no crash can leave neither file.
            remove_all(volume.as_ref(), &superfluous, &events)?;
            sync_directory(volume.as_ref(), &snapshot.file().name, &events)?;
        }
        events.emit(|| Event::VBucketOpened {
            vbucket: id,
            revision,
            position: snapshot.position(),
        });
        let vbucket = VBucket::adopt(volume, host, id, store, revision, events)?;
        Ok(Some((vbucket, passed_over)))
    }

    /// A vbucket whose file is already open.
    pub(super) fn adopt(
        volume: Arc<dyn Volume>,
        host: Arc<dyn Host>,
        id: u16,
        store: Store,
        revision: u64,
        events: Events,
    ) -> Result<Self> {
        let published = Some(store.snapshot()?);
        let charge = Charge { store: Some(store), revision, gone: Gone::Deleted };
        let control =
            Control { published, revision, nodes: None, compaction: None, pace: None, paced: None };
        let lock = VbLock::new(id, charge, events.clone());
        let control = Mutex::new(Rank::Published, control);
        Ok(VBucket { shared: Arc::new(Shared { id, volume, host, events, lock, control }) })
    }

    /// Its number.
    pub fn id(&self) -> u16 {
        self.shared.id
    }

    /// Its lock.
    pub fn lock(&self) -> &VbLock<Charge> {
        &self.shared.lock
    }

    /// Where its files are.
    pub fn volume(&self) -> &Arc<dyn Volume> {
        &self.shared.volume
    }

    /// Where time and randomness come from.
    pub fn host(&self) -> &Arc<dyn Host> {
        &self.shared.host
    }

    /// Where events go.
    pub fn events(&self) -> &Events {
        &self.shared.events
    }

    /// The newest durable state. Never waits for a flush, a compaction or a swap.
    ///
    /// # Errors
    /// [`Error::Cancelled`] when the vbucket was deleted.
    pub fn snapshot(&self) -> Result<Snapshot> {
        self.control().published.clone().ok_or(Error::Cancelled)
    }

    /// From now on tree nodes that are looked up in states that readers are given are kept in `cache`.
    pub fn cache_nodes(&self, cache: &NodeCache) {
        let mut control = self.control();
        let nodes = Some(cache.file());
        control.published =
            control.published.take().map(|snapshot| snapshot.with_nodes(nodes.clone()));
        control.nodes = nodes;
    }

    /// Revision of the file that readers and writers use; of a deleted vbucket the last one.
    pub fn revision(&self) -> u64 {
        self.control().revision
    }

    /// Makes a durable state, of the file of this revision, the one that readers see.
    pub(crate) fn publish(&self, snapshot: Snapshot, revision: u64) {
        let mut control = self.control();
        if control.revision != revision {
            control.nodes = control.nodes.as_ref().map(FileNodes::of_another_file);
        }
        control.published = Some(snapshot.with_nodes(control.nodes.clone()));
        control.revision = revision;
    }

    /// As [`publish`](Self::publish), where the state is not a successor of the published one, or
    /// there is none any more: a running compaction must stop.
    pub(super) fn publish_break(&self, snapshot: Option<Snapshot>) {
        let mut control = self.control();
        let nodes = control.nodes.clone();
        control.published = snapshot.map(|snapshot| snapshot.with_nodes(nodes));
        if let Some(cancel) = &control.compaction
            && !planted(Canary::RollbackKeepsCompaction)
        {
            cancel.cancel();
        }
    }

    /// Takes the right to compact, and the state to begin with.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the vbucket is being compacted already; [`Error::Cancelled`] when it
    /// was deleted.
    pub fn begin_compaction(&self) -> Result<CompactionSlot> {
        let mut control = self.control();
        if control.compaction.is_some() {
            let id = self.id();
            return Err(Error::Invalid(format!("vbucket {id} is being compacted already")));
        }
        let start = control.published.clone().ok_or(Error::Cancelled)?;
        let cancel = CancelFlag::default();
        control.compaction = Some(cancel.clone());
        let revision = control.revision;
        Ok(CompactionSlot { vbucket: self.clone(), cancel, start, revision })
    }

    /// Tells the running compaction, if any, to stop; it does so at its next step, unless its swap
    /// is through already.
    pub fn cancel_compaction(&self) {
        if let Some(cancel) = &self.control().compaction {
            cancel.cancel();
        }
    }

    /// Whether a compaction is running.
    pub fn is_compacting(&self) -> bool {
        self.control().compaction.is_some()
    }

    /// What the flusher should keep to, while catch-up needs it.
    pub fn pace(&self) -> Option<Pace> {
        self.control().pace
    }

    /// Slows the flusher down, or lets it go: it is woken if it waits.
    pub fn set_pace(&self, pace: Option<Pace>) {
        let mut control = self.control();
        control.pace = pace;
        let paced = control.paced.take();
        drop(control);
        if let Some(waker) = paced {
            Rank::Callback.assert_free();
            waker.wake();
        }
    }

    /// Wakes `waker` once, when the pace changes.
    pub fn wake_on_pace(&self, waker: Waker) {
        let replaced = self.control().paced.replace(waker);
        drop(replaced); // May run foreign code.
    }

    fn control(&self) -> MutexGuard<'_, Control> {
        self.shared.control.lock()
    }
}

/// The vbucket's state as a snapshot has it.
///
/// # Errors
/// [`Error::NoVBucket`] when there is none.
pub(crate) fn vbstate_of(snapshot: &Snapshot) -> Result<VbState> {
    let missing = |what| Error::NoVBucket { file: snapshot.file().name.clone(), what };
    let json = snapshot.local(VBSTATE_ID)?.ok_or_else(|| missing("missing"))?;
    VbState::decode(&json).ok_or_else(|| missing("not readable"))
}

/// The change that saves a vbucket's state.
pub(crate) fn vbstate_update(state: &VbState) -> LocalUpdate {
    LocalUpdate { id: VBSTATE_ID.to_vec(), value: Some(state.encode()) }
}

fn sync_directory(volume: &dyn Volume, name: &FileName, events: &Events) -> Result<()> {
    let mut sync = DirectorySync::default();
    while sync.step(volume, name, events)? != Step::Done {}
    Ok(())
}
