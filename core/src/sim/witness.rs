//! Writes down, from the events of a vbucket's machines, which states it was to have: the model
//! that what is there is compared with.
//!
//! The order of states is that in which the lock was taken. Nothing is learned from the files.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use litemap::LiteMap;

use super::contents::Contents;
use super::history::History;
use super::volume::CrashVolume;
use crate::event::{Actor, Event, EventSink, FileName, Phase};
use crate::flusher::queue::Mutation;

/// What an operator is about to do under the lock.
#[derive(Clone, Debug)]
pub enum Plan {
    /// Go back to a sequence number, under a new identity.
    Rollback {
        /// Where to.
        seq: u64,
        /// The new identity.
        uuid: u64,
    },
    /// Delete the vbucket.
    Delete,
    /// Save local documents; `None` deletes one.
    Locals(Vec<(Vec<u8>, Option<Vec<u8>>)>),
}

/// Listens to one vbucket.
#[derive(Debug)]
pub struct Witness {
    volume: CrashVolume,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    history: History,
    queued: LiteMap<Vec<u8>, (u64, Mutation)>,
    in_flight: Vec<(u64, Mutation)>,
    plan: Option<Plan>,
    /// The version that the holder of the lock, or a creation, is making.
    making: Option<usize>,
    /// Versions that failed, and may still be there.
    doubtful: Vec<usize>,
    poisoned: bool,
    going_back: bool,
    /// Headers of the file in charge that its newest one's history has: position and state.
    headers: Vec<(u64, Contents)>,
    /// The same before a rollback that is not through.
    before_rollback: Option<Vec<(u64, Contents)>>,
    compaction: Option<Compaction>,
    /// What every header committed so far stands for, by file and position.
    known: KnownHeaders,
    events: Vec<(usize, Event)>,
}

/// The states that headers stand for, by file and position.
pub(super) type KnownHeaders = LiteMap<(FileName, u64), Contents>;

#[derive(Debug)]
struct Compaction {
    target: FileName,
    /// Position of the source's header whose state the target has once it commits.
    done: u64,
    /// States of the source, by header position.
    source: Vec<(u64, Contents)>,
    headers: Vec<(u64, Contents)>,
    purged: Vec<(Vec<u8>, u64)>,
    swap: Option<usize>,
    /// The swap failed so that either file may be in charge.
    uncertain: bool,
}

impl Witness {
    /// Watches a vbucket on this volume, which has none yet.
    pub fn new(volume: CrashVolume) -> Arc<Self> {
        Arc::new(Witness { volume, seen: Mutex::default() })
    }

    /// Watches a vbucket that was found with these contents. `headers` are those of its file, oldest
    /// first; `known` is what [`known_headers`](Self::known_headers) said before.
    pub(super) fn resume(
        &self,
        contents: Contents,
        headers: &[(FileName, u64)],
        known: KnownHeaders,
    ) {
        let mut seen = self.seen();
        seen.history = History::from_contents(contents.clone());
        seen.known = known;
        if let Some(newest) = headers.last() {
            seen.known.insert(newest.clone(), contents);
        }
        seen.headers = headers
            .iter()
            .filter_map(|header| Some((header.1, seen.known.get(header)?.clone())))
            .collect();
    }

    /// What every header committed so far stands for.
    pub(super) fn known_headers(&self) -> KnownHeaders {
        self.seen().known.clone()
    }

    /// What a header of the file in charge stands for that was there before anybody watched.
    pub(super) fn learn(&self, file: &FileName, position: u64, contents: Contents) {
        let mut seen = self.seen();
        if seen.known.contains_key(&(file.clone(), position)) {
            return;
        }
        seen.known.insert((file.clone(), position), contents.clone());
        let place = seen.headers.partition_point(|(other, _)| *other < position);
        seen.headers.insert(place, (position, contents));
    }

    /// The states so far.
    pub fn history(&self) -> History {
        self.seen().history.clone()
    }

    /// What the newest acknowledged state holds.
    pub fn acknowledged(&self) -> Option<Contents> {
        self.seen().history.acknowledged().and_then(|version| version.contents.clone())
    }

    /// Whether a failure left the end of the file in charge in doubt.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.seen().poisoned
    }

    /// Whether a compaction had something to replay under the lock.
    pub fn saw_last_tail(&self) -> bool {
        let is = |event: &Event| matches!(event, Event::RoundStarted { locked: true, .. });
        self.seen().events.iter().any(|(_, event)| is(event))
    }

    /// All events, each with the number of operations on the disk before it.
    pub fn events(&self) -> Vec<(usize, Event)> {
        self.seen().events.clone()
    }

    /// A mutation was queued.
    pub fn queued(&self, seq: u64, mutation: Mutation) {
        self.seen().queued.insert(mutation.id.clone(), (seq, mutation));
    }

    /// Whatever is queued or in flight was given up.
    pub fn forget_queue(&self) {
        let mut seen = self.seen();
        seen.queued.clear();
        seen.in_flight.clear();
    }

    /// What the operator does when it next has the lock.
    pub fn plan(&self, plan: Plan) {
        self.seen().plan = Some(plan);
    }

    /// A vbucket is about to be created.
    pub fn creating(&self, uuid: u64) {
        let at = self.volume.operations();
        let mut seen = self.seen();
        seen.forget_vbucket();
        seen.issue("creation".to_owned(), Some(Contents::new(uuid)), at);
    }

    /// A compaction is about to begin that purges tombstones up to this sequence number.
    pub fn compacting(&self, purge_to: u64) {
        let mut seen = self.seen();
        let source = seen.published_headers().clone();
        let Some((done, start)) = source.last().cloned() else { return };
        seen.compaction = Some(Compaction {
            target: FileName::from(""),
            done,
            source,
            headers: Vec::new(),
            purged: start.tombstones(purge_to),
            swap: None,
            uncertain: false,
        });
    }

    /// What was planned is durable; for plans that no event tells the end of.
    pub fn carried_out(&self) {
        let at = self.volume.operations();
        self.seen().plan_ends(at);
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventSink for Witness {
    fn event(&self, event: Event) {
        let at = self.volume.operations();
        let mut seen = self.seen();
        seen.take_in(&event, at);
        seen.events.push((at, event));
    }
}

impl Seen {
    fn take_in(&mut self, event: &Event, at: usize) {
        match event {
            Event::FlushStarted { .. } => {
                self.in_flight.clear();
                // Too few for a sort of their own to be worth its code.
                for (_, queued) in std::mem::take(&mut self.queued) {
                    let place = self.in_flight.partition_point(|(seq, _)| *seq < queued.0);
                    self.in_flight.insert(place, queued);
                }
            }
            Event::LockTaken { actor: Actor::Flusher, .. } => self.flush_begins(at),
            Event::LockTaken { actor: Actor::Operator, .. } => self.plan_begins(at),
            Event::LockReleased { actor: Actor::Flusher, .. } => {
                for (seq, mutation) in std::mem::take(&mut self.in_flight) {
                    self.queued.entry(mutation.id.clone()).or_insert((seq, mutation));
                }
                // A flusher that finds the vbucket gone gives up nothing of the deletion's.
                if !matches!(self.plan, Some(Plan::Delete)) {
                    self.give_up(at);
                }
            }
            // A deletion is through only once the directory is synced.
            Event::LockReleased { actor: Actor::Operator, .. }
                if !matches!(self.plan, Some(Plan::Delete)) =>
            {
                self.plan = None;
                if let Some(headers) = self.before_rollback.take() {
                    self.headers = headers;
                }
                self.give_up(at);
            }
            Event::FlushFinished { .. } => {
                self.in_flight.clear();
                self.acknowledge(at);
            }
            Event::RolledBack { .. } | Event::VBucketDeleted { .. } => self.plan_ends(at),
            Event::VBucketCreated { .. } => self.acknowledge(at),
            Event::Poisoned { file } if !self.is_target(file) => {
                self.poisoned = true;
                // While a swap holds the lock, nobody else poisons anything.
                if let Some(compaction) = &mut self.compaction {
                    compaction.uncertain = compaction.swap.is_some();
                }
            }
            Event::WentBack { file, .. } if !self.is_target(file) => self.going_back = true,
            Event::SyncCompleted { file }
                if self.going_back && self.poisoned && !self.is_target(file) =>
            {
                (self.poisoned, self.going_back) = (false, false);
                self.doubtful.extend(self.making.take());
                for version in std::mem::take(&mut self.doubtful) {
                    self.history.withdraw(version, at);
                }
            }
            Event::HeaderCommitted { file, position, .. } => self.committed(file, *position),
            Event::Renamed { from, to } => {
                // Under both names: a crash may lose the renaming.
                let of_it = self.known.iter().filter(|((file, _), _)| file == from);
                let renamed: Vec<_> = of_it
                    .map(|((_, at), contents)| ((to.clone(), *at), contents.clone()))
                    .collect();
                for (header, contents) in renamed {
                    self.known.insert(header, contents);
                }
            }
            Event::CompactionStarted { target, .. } => {
                if let Some(compaction) = &mut self.compaction {
                    compaction.target = target.clone();
                }
            }
            Event::RoundStarted { to, .. } => {
                let headers = self.published_headers().clone();
                if let Some(compaction) = &mut self.compaction {
                    (compaction.done, compaction.source) = (*to, headers);
                }
            }
            Event::PhaseChanged { phase: Phase::Swap, .. } => self.swap_begins(at),
            Event::Published { .. } => {
                let Some(compaction) = self.compaction.take() else { return };
                if let Some(version) = compaction.swap {
                    self.history.acknowledge(version, at);
                }
                self.headers = compaction.headers;
                // What was in doubt stays behind with the old file.
                (self.poisoned, self.going_back) = (false, false);
                for version in std::mem::take(&mut self.doubtful) {
                    self.history.withdraw(version, at);
                }
            }
            Event::CompactionEnded { .. } => {
                let compaction = self.compaction.take().filter(|compaction| !compaction.uncertain);
                if let Some(version) = compaction.and_then(|compaction| compaction.swap) {
                    self.history.withdraw(version, at);
                }
            }
            _ => {}
        }
    }

    /// Headers up to the published one: a rollback that is not through changes nothing of that.
    fn published_headers(&self) -> &Vec<(u64, Contents)> {
        self.before_rollback.as_ref().unwrap_or(&self.headers)
    }

    fn is_target(&self, file: &FileName) -> bool {
        self.compaction.as_ref().is_some_and(|compaction| compaction.target == *file)
    }

    fn issue(&mut self, label: String, contents: Option<Contents>, at: usize) {
        self.making = Some(self.history.issue(label, contents, at));
    }

    fn flush_begins(&mut self, at: usize) {
        let Some(mut contents) = self.history.newest().cloned() else { return };
        let [(first, _), ..] = self.in_flight.as_slice() else { return };
        let label = format!("flush from seq {first}");
        contents.flush(&self.in_flight);
        self.issue(label, Some(contents), at);
    }

    fn plan_begins(&mut self, at: usize) {
        match self.plan.clone() {
            None => {}
            Some(Plan::Delete) => self.issue("deletion".to_owned(), None, at),
            Some(Plan::Locals(updates)) => {
                let Some(mut contents) = self.history.newest().cloned() else { return };
                for (id, value) in updates {
                    match value {
                        Some(value) => contents.locals.insert(id, value),
                        None => contents.locals.remove(&id),
                    };
                }
                self.issue("local documents".to_owned(), Some(contents), at);
            }
            Some(Plan::Rollback { seq, uuid }) => {
                self.before_rollback = Some(self.headers.clone());
                while self.headers.last().is_some_and(|(_, state)| state.update_seq > seq) {
                    self.headers.pop();
                }
                let contents = match self.headers.last() {
                    Some((_, older)) => {
                        let mut contents = older.clone();
                        contents.state.begin_branch(uuid, contents.update_seq);
                        contents
                    }
                    None => Contents::new(uuid),
                };
                self.issue(format!("rollback to seq {seq}"), Some(contents), at);
            }
        }
    }

    fn swap_begins(&mut self, at: usize) {
        // What a failed sync left in doubt was not replayed.
        let Some(mut contents) = self.history.newest_but(&self.doubtful).cloned() else { return };
        if let Some(compaction) = &mut self.compaction {
            contents.purge(&compaction.purged);
            let version = self.history.issue("swap".to_owned(), Some(contents), at);
            compaction.swap = Some(version);
        }
    }

    fn committed(&mut self, file: &FileName, position: u64) {
        if let Some(compaction) = &mut self.compaction
            && compaction.target == *file
        {
            let of_source =
                compaction.source.iter().rev().find(|(source, _)| *source == compaction.done);
            if let Some((_, contents)) = of_source {
                let mut contents = contents.clone();
                contents.purge(&compaction.purged);
                self.known.insert((file.clone(), position), contents.clone());
                compaction.headers.push((position, contents));
            }
            return;
        }
        let version = self.making.and_then(|version| self.history.versions().get(version));
        if let Some(contents) = version.and_then(|version| version.contents.clone()) {
            self.known.insert((file.clone(), position), contents.clone());
            self.headers.push((position, contents));
        }
    }

    fn acknowledge(&mut self, at: usize) {
        if let Some(version) = self.making.take() {
            self.history.acknowledge(version, at);
        }
    }

    fn plan_ends(&mut self, at: usize) {
        (self.plan, self.before_rollback) = (None, None);
        self.acknowledge(at);
    }

    /// Whoever held the lock gave it back; what it was making and did not acknowledge failed.
    fn give_up(&mut self, at: usize) {
        let Some(version) = self.making.take() else { return };
        match self.poisoned {
            true => self.doubtful.push(version),
            false => self.history.withdraw(version, at),
        }
    }

    fn forget_vbucket(&mut self) {
        let Seen { queued, in_flight, headers, doubtful, compaction, .. } = self;
        queued.clear();
        in_flight.clear();
        headers.clear();
        doubtful.clear();
        *compaction = None;
        (self.poisoned, self.going_back, self.plan) = (false, false, None);
    }
}
