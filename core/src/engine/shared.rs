//! What the engine's threads and its callers share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::compactors::Request;
use super::metrics::Recorder;
use super::options::EngineOptions;
use crate::chunklog::NodeCache;
use crate::device::{Host, Volume};
use crate::error::{Error, Result};
use crate::event::Events;
use crate::flusher::{Dirty, Flusher, Stamp};
use crate::sync::{Condvar, Mutex, MutexGuard, Rank};
use crate::vbucket::VBucket;

/// A vbucket of the engine.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) vbucket: VBucket,
    pub(super) dirty: Dirty,
    /// Its flusher; whoever flushes holds this.
    pub(super) flusher: Mutex<Flusher>,
}

/// Everything shared. No lock of a vbucket is ever taken while `state` is locked, nor is anybody called
/// back.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) volume: Arc<dyn Volume>,
    pub(super) host: Arc<dyn Host>,
    pub(super) nodes: NodeCache,
    pub(super) options: EngineOptions,
    pub(super) events: Events,
    pub(super) recorder: Arc<Recorder>,
    /// One change of which vbuckets there are, or of their history, at a time.
    pub(super) admin: Mutex<()>,
    state: Mutex<State>,
    /// There is something to flush, or to compact, or it is time to stop.
    pub(super) work: Condvar,
    /// Something became durable, or can not, or a queue has room again.
    pub(super) changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) members: BTreeMap<u16, MemberState>,
    /// Vbuckets to flush, in the order in which their turn comes.
    pub(super) to_flush: VecDeque<u16>,
    pub(super) to_compact: VecDeque<Request>,
    /// Revision with which a vbucket that was deleted would begin again, so that a name never comes
    /// twice while the engine runs.
    pub(super) next_revisions: BTreeMap<u16, u64>,
    pub(super) stage: Stage,
    /// Where CAS values come from.
    pub(super) stamp: Stamp,
    last_history: u64,
}

/// How far the engine's shutting down is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is not.
    #[default]
    Running,
    /// No mutations are taken any more; what is queued is flushed.
    Draining,
    /// Threads end.
    Stopped,
}

/// A vbucket as the threads see it.
#[derive(Debug)]
pub(super) struct MemberState {
    pub(super) member: Arc<Member>,
    pub(super) flush: FlushState,
    /// Why the last flush failed, until one succeeds.
    pub(super) failing: Option<String>,
    /// Flushes that failed since one succeeded.
    pub(super) failures: u32,
    /// Length of the file, in bytes, below which no automatic compaction is tried: after one that
    /// failed the file must first have grown by a quarter.
    pub(super) compact_from: u64,
    /// Changes with each rollback, and is another for each incarnation: who waits for a change of an
    /// older history is told so.
    pub(super) history: u64,
}

/// Whether a vbucket's turn to be flushed is coming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlushState {
    Idle,
    Scheduled,
    /// A thread is at it; there may be more to flush afterwards.
    Running,
    /// It failed and is tried again at this time, in the host's nanoseconds.
    Retrying {
        not_before_ns: u64,
    },
    /// It panicked, and would perhaps again: what is queued is kept, and nothing is flushed until the
    /// vbucket is opened again.
    GivenUp,
}

impl Shared {
    pub(super) fn new(
        volume: Arc<dyn Volume>,
        host: Arc<dyn Host>,
        options: EngineOptions,
        recorder: Arc<Recorder>,
    ) -> Self {
        Shared {
            volume,
            host,
            nodes: NodeCache::new(options.node_cache_bytes),
            options,
            events: Events::to(recorder.clone()),
            recorder,
            admin: Mutex::new(Rank::Operators, ()),
            state: Mutex::new(Rank::Engine, State::default()),
            work: Condvar::default(),
            changed: Condvar::default(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// A vbucket that is there.
    pub(super) fn member(&self, vbucket: u16) -> Result<Arc<Member>> {
        let state = self.state();
        let member = state.members.get(&vbucket).map(|member| member.member.clone());
        member.ok_or_else(|| no_such(vbucket))
    }
}

impl MemberState {
    pub(super) fn new(member: Arc<Member>, history: u64) -> Self {
        let (flush, failing, failures) = (FlushState::Idle, None, 0);
        MemberState { member, flush, failing, failures, compact_from: 0, history }
    }
}

impl State {
    /// Whether room can be given back slowly: not while the engine ends, nor while a flush fails, which may
    /// be for lack of it.
    pub(super) fn has_time(&self) -> bool {
        let fails = self.members.values().any(|member| member.failing.is_some());
        self.stage == Stage::Running && !fails
    }

    /// A number for a vbucket's history that no other has.
    pub(super) fn new_history(&mut self) -> u64 {
        self.last_history += 1;
        self.last_history
    }

    /// Sees to it that a vbucket is flushed.
    pub(super) fn schedule_flush(&mut self, vbucket: u16, work: &Condvar) {
        if let Some(member) = self.members.get_mut(&vbucket)
            && member.flush == FlushState::Idle
        {
            member.flush = FlushState::Scheduled;
            self.to_flush.push_back(vbucket);
            work.notify_all();
        }
    }
}

pub(super) fn no_such(vbucket: u16) -> Error {
    Error::Invalid(format!("there is no vbucket {vbucket}"))
}
