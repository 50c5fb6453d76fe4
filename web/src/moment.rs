//! What is so at one moment of a run: the numbers and words beside the pictures.

use serde::Serialize;
use tailswap::event::{Actor, Event, Outcome, Phase};

use crate::file_history::{ClassBytes, FileHistory};
use crate::history::{History, actor_name};
use crate::recovery::Recovery;

/// A moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Moment {
    pub event: usize,
    pub now_ns: u64,
    /// The phase of the running compaction, as events name it.
    pub phase: Option<Phase>,
    /// Whether a compaction was begun and has not ended.
    pub is_compacting: bool,
    /// The catch-up round, the last one under the lock among them; 0 before the first.
    pub round: u32,
    pub rounds: Vec<Round>,
    pub holder: Option<&'static str>,
    pub waiting: Vec<&'static str>,
    /// For how long the first in the queue waits, in nanoseconds.
    pub waits_ns: u64,
    /// The longest that the flusher waited for the lock so far.
    pub longest_stall_ns: u64,
    /// For how long the compaction, this or the last one, held the lock so far.
    pub lock_held_ns: u64,
    pub queued: u64,
    pub flushes: u64,
    pub files: Vec<FileNow>,
    /// When each step of the swap was reached.
    pub swap: Vec<SwapStep>,
    /// Readers that hold a snapshot: name, file, byte offset of its header.
    pub readers: Vec<(String, String, u64)>,
    /// Where the body that was copied last lay in the source.
    pub copied_from: Option<u64>,
    /// Documents copied and replayed so far.
    pub copied: u64,
    /// The header of the source at which compaction began.
    pub began_at: Option<u64>,
    #[serde(skip)]
    pub source: Option<usize>,
    #[serde(skip)]
    pub target: Option<usize>,
    /// The files that are shown: that which writers append to or did, and its copy.
    pub places: [Option<usize>; 2],
    /// When a crash was recovered from, if no compaction began since, in nanoseconds.
    pub recovered_ns: Option<u64>,
    /// Whether power was lost then; else only the process died.
    pub is_power_loss: bool,
    /// What failed last, if nothing succeeded since.
    pub failure: Option<String>,
    /// What was found after the last crash, while nothing has been written since.
    pub recovery: Option<Recovery>,
}

/// A catch-up round.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Round {
    pub round: u32,
    pub locked: bool,
    /// Headers of the source: it replays what lies between.
    pub from: u64,
    pub to: u64,
    /// Bytes of tail that it found.
    pub tail: u64,
    /// Bytes that the flusher added to the source meanwhile, up to the next round.
    pub added: u64,
    pub documents: u64,
    pub from_ns: u64,
    pub to_ns: Option<u64>,
}

/// A file at a moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct FileNow {
    pub index: usize,
    pub name: String,
    pub role: Role,
    pub length: u64,
    pub unsynced: u64,
    pub headers: usize,
    /// Byte offset of its newest header.
    pub newest: Option<u64>,
    /// So many hundredths of it are not in use.
    pub unused_percent: Option<u32>,
    /// Bytes of each class.
    pub classes: ClassBytes,
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Readers and writers use it.
    InCharge,
    /// A compaction writes it.
    Target,
    /// It was replaced, and its name is there still.
    Replaced,
    /// Its name is gone, and a reader holds it.
    HeldByReader,
    /// It is gone.
    Gone,
}

/// A step of the swap.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct SwapStep {
    pub step: &'static str,
    /// When it was done, in nanoseconds; `None`: not yet.
    pub at_ns: Option<u64>,
}

/// Events from one stop to the next.
const STOP_EVENTS: usize = 1 << 13;

/// The steps of a swap, in their order.
const SWAP_STEPS: [&str; 9] = [
    "lock",
    "replayed",
    "synced",
    "validated",
    "renamed",
    "directory",
    "published",
    "released",
    "unlinked",
];

impl Moment {
    /// The moment right after an event; at a time behind it, if that is later.
    pub fn at(history: &History, event: usize, now_ns: u64) -> Self {
        Moment::behind(Stop::begin(), history, event, now_ns)
    }

    fn behind(stop: Stop, history: &History, event: usize, now_ns: u64) -> Self {
        let events = history.events();
        let event = event.min(events.len().saturating_sub(1));
        let Stop { mut moment, mut fold, events: known } = stop;
        moment.event = event;
        moment.now_ns = history.time_of(event).max(now_ns);
        for (index, stamped) in events.iter().enumerate().take(event + 1).skip(known) {
            fold.take_in(&mut moment, history, index, &stamped.event, stamped.at_ns);
        }
        moment.finish(history, &fold);
        moment
    }

    fn finish(&mut self, history: &History, fold: &Fold) {
        let now = self.now_ns;
        self.holder = fold.holder.map(|(actor, _)| actor_name(actor));
        if let Some((Actor::Compactor, since)) = fold.holder {
            self.lock_held_ns += now.saturating_sub(since);
        }
        self.waiting = fold.asked.iter().map(|(actor, _)| actor_name(*actor)).collect();
        self.waits_ns = fold.asked.first().map_or(0, |(_, since)| now.saturating_sub(*since));
        if let Some((_, since)) = fold.asked.iter().find(|(actor, _)| *actor == Actor::Flusher) {
            self.longest_stall_ns = self.longest_stall_ns.max(now.saturating_sub(*since));
        }
        self.queued = history.queued_at(now);
        let holds = |from: u64, to: Option<u64>| from <= now && to.is_none_or(|to| now < to);
        let held = history.readings.iter().filter(|reading| holds(reading.from_ns, reading.to_ns));
        let held: Vec<_> = held.collect();
        let files = history.files.all();
        self.readers = held
            .iter()
            .map(|reading| {
                let file = reading.file.and_then(|file| files.get(file));
                let name = file.map_or("", |file| file.name(self.event));
                (reading.name.clone(), name.to_owned(), reading.position)
            })
            .collect();
        let in_charge = history.in_charge_at(self.event);
        self.recovery = history.recovery_at(self.event).cloned();
        self.places = [self.source.or(in_charge).or(Some(0)), self.target];
        for (index, file) in files.iter().enumerate() {
            if file.created() > self.event {
                continue;
            }
            let is_removed = file.removed <= self.event;
            let is_held = held.iter().any(|reading| reading.file == Some(index));
            let role = match () {
                () if is_removed && is_held => Role::HeldByReader,
                () if is_removed => Role::Gone,
                () if in_charge.is_none_or(|in_charge| in_charge == index) => Role::InCharge,
                () if Some(index) == self.source => Role::Replaced,
                () => Role::Target,
            };
            self.files.push(file_now(file, index, role, self.event));
        }
    }

    fn reach(&mut self, step: &str, at_ns: u64) {
        let is = |swap: &&mut SwapStep| swap.step == step && swap.at_ns.is_none();
        if let Some(swap) = self.swap.iter_mut().find(is) {
            swap.at_ns = Some(at_ns);
        }
    }

    pub(crate) fn has_reached(&self, step: &str) -> bool {
        self.swap.iter().any(|swap| swap.step == step && swap.at_ns.is_some())
    }
}

fn file_now(file: &FileHistory, index: usize, role: Role, event: usize) -> FileNow {
    let (length, headers) = (file.length(event), file.headers(event));
    FileNow {
        index,
        name: file.name(event).to_owned(),
        role,
        length,
        unsynced: length.saturating_sub(file.durable(event)),
        headers: headers.len(),
        newest: headers.last().map(|header| header.position),
        unused_percent: headers
            .last()
            .and_then(|header| header.fragmentation)
            .map(|part| (part * 100.0 + 0.5) as u32),
        classes: file.class_bytes(event),
    }
}

/// What is known of a history after some of its events.
#[derive(Clone, Debug)]
struct Stop {
    events: usize,
    moment: Moment,
    fold: Fold,
}

impl Stop {
    fn begin() -> Self {
        let swap = SWAP_STEPS.map(|step| SwapStep { step, at_ns: None }).into();
        Stop { events: 0, moment: Moment { swap, ..Moment::default() }, fold: Fold::default() }
    }
}

/// What is known of a history every so many events, so that no moment is far from there.
#[derive(Debug)]
pub struct Stops(Vec<Stop>);

impl Stops {
    /// The stops of a whole history.
    pub fn of(history: &History) -> Self {
        let (mut stop, mut all) = (Stop::begin(), Vec::new());
        for (index, stamped) in history.events().iter().enumerate() {
            if index % STOP_EVENTS == 0 {
                all.push(Stop { events: index, ..stop.clone() });
            }
            let Stop { moment, fold, .. } = &mut stop;
            fold.take_in(moment, history, index, &stamped.event, stamped.at_ns);
        }
        Stops(all)
    }

    /// As [`Moment::at`], of the same history.
    pub fn moment(&self, history: &History, event: usize, now_ns: u64) -> Moment {
        let stop = self.0.get(event / STOP_EVENTS).cloned();
        Moment::behind(stop.unwrap_or_else(Stop::begin), history, event, now_ns)
    }
}

/// What is kept while events are gone through.
#[derive(Clone, Debug, Default)]
struct Fold {
    holder: Option<(Actor, u64)>,
    asked: Vec<(Actor, u64)>,
}

impl Fold {
    fn take_in(
        &mut self,
        moment: &mut Moment,
        history: &History,
        index: usize,
        event: &Event,
        at_ns: u64,
    ) {
        match event {
            Event::LockAsked { actor, .. } => self.asked.push((*actor, at_ns)),
            Event::LockTaken { actor, .. } => {
                let asked = self.asked.iter().position(|(asker, _)| asker == actor);
                if let Some((_, since)) = asked.map(|asked| self.asked.remove(asked))
                    && *actor == Actor::Flusher
                {
                    let waited = at_ns.saturating_sub(since);
                    moment.longest_stall_ns = moment.longest_stall_ns.max(waited);
                }
                self.holder = Some((*actor, at_ns));
                if *actor == Actor::Compactor {
                    moment.reach("lock", at_ns);
                }
            }
            Event::LockReleased { actor, .. } => {
                if let Some((Actor::Compactor, since)) = self.holder {
                    moment.lock_held_ns += at_ns.saturating_sub(since);
                }
                self.holder = None;
                if *actor == Actor::Compactor {
                    match moment.has_reached("published") {
                        true => moment.reach("released", at_ns),
                        // It went back for another round without the lock.
                        false => moment.swap.iter_mut().for_each(|step| step.at_ns = None),
                    }
                }
            }
            Event::FlushFinished { .. } => {
                moment.flushes += 1;
                moment.failure = None;
            }
            Event::FlushFailed { error, .. } => moment.failure = Some(error.clone()),
            // Readers, locks and compactions are those of a process.
            Event::VBucketOpened { .. } | Event::OpeningFailed { .. } => {
                *self = Fold::default();
                if !history.was_restarted(index) {
                    return;
                }
                moment.recovered_ns = Some(at_ns);
                moment.is_power_loss = history.was_power_lost(index);
                moment.failure = match event {
                    Event::OpeningFailed { error, .. } => Some(error.clone()),
                    _ => None,
                };
                moment.swap.iter_mut().for_each(|step| step.at_ns = None);
                (moment.is_compacting, moment.phase, moment.round) = (false, None, 0);
                moment
                    .rounds
                    .iter_mut()
                    .for_each(|round| round.to_ns = round.to_ns.or(Some(at_ns)));
            }
            Event::CompactionStarted { source, target, position, .. } => {
                moment.is_compacting = true;
                moment.recovered_ns = None;
                moment.failure = None;
                moment.rounds.clear();
                (moment.round, moment.copied, moment.copied_from) = (0, 0, None);
                moment.lock_held_ns = 0;
                moment.swap.iter_mut().for_each(|step| step.at_ns = None);
                moment.began_at = Some(*position);
                moment.source = history.files.named(source, index);
                moment.target = history.files.named(target, index);
            }
            Event::PhaseChanged { phase, .. } => {
                moment.phase = Some(*phase);
                if *phase == Phase::Validate {
                    moment.reach("replayed", at_ns);
                    moment.reach("synced", at_ns);
                }
                if *phase == Phase::Swap {
                    moment.reach("validated", at_ns);
                }
            }
            Event::DocumentCopied { from, .. } => {
                moment.copied_from = Some(*from);
                moment.copied += 1;
            }
            Event::RoundStarted { round, from, to, tail, locked, .. } => {
                moment.round = *round;
                moment.rounds.push(Round {
                    round: *round,
                    locked: *locked,
                    from: *from,
                    to: *to,
                    tail: *tail,
                    from_ns: at_ns,
                    ..Round::default()
                });
            }
            Event::RoundFinished { documents, .. } => {
                if let Some(round) = moment.rounds.last_mut() {
                    round.documents = *documents;
                    round.to_ns = Some(at_ns);
                    if round.locked {
                        moment.reach("replayed", at_ns);
                    }
                }
            }
            Event::HeaderCommitted { file, position, .. } => {
                if history.files.named(file, index) == moment.source
                    && let Some(round) = moment.rounds.last_mut()
                {
                    round.added = position.saturating_sub(round.to);
                }
            }
            Event::Renamed { .. } if moment.is_compacting => moment.reach("renamed", at_ns),
            Event::DirectorySyncCompleted if moment.has_reached("renamed") => {
                moment.reach("directory", at_ns);
            }
            Event::Published { .. } if moment.is_compacting => moment.reach("published", at_ns),
            Event::Removed { .. } if moment.has_reached("released") => {
                moment.reach("unlinked", at_ns);
            }
            Event::CompactionEnded { outcome, .. } => {
                moment.is_compacting = false;
                moment.phase = None;
                if let Outcome::Failed(why) = outcome {
                    moment.failure = Some(why.clone());
                }
            }
            _ => {}
        }
    }
}
