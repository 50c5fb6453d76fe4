//! One run of a simulated world, from its beginning to its end, and everything that can be asked
//! about any moment of it.
//!
//! A world cannot go back. It is a function of its settings and its actions, though, so whatever
//! was seen of it stays true: looking at an earlier moment is a look at what was recorded, and the
//! world itself, as it was then, comes back by giving the same actions again. That takes as long as
//! the run did, which is why runs are bounded to some thousand actions.

use std::cell::RefCell;
use std::rc::Rc;

use tailswap::event::{Actor, Event, Outcome};
use tailswap::format::names::file_name;
use tailswap::limits::BLOCK_SIZE;
use tailswap::sim::machines::VBUCKET;
use tailswap::sim::steady::Steady;
use tailswap::sim::world::{Action, Checks, DeviceModel, Settings, Stamped, World, phase_name};

use crate::file_history::Chunk;
use crate::files::Files;
use crate::own::Origin;
use crate::parameters::{Difference, Parameters};
use crate::recovery::{Recovery, recovery};

/// What was measured after an action.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Nanoseconds on the world's clock.
    pub at_ns: u64,
    /// Mutations queued, those that a flush has taken among them.
    pub queued: u64,
    /// How often what must hold was checked so far.
    pub checks: Checks,
}

/// Something that must hold, and did not.
#[derive(Clone, Debug)]
pub struct Violated {
    /// Which: `I1` to `I15`.
    pub invariant: &'static str,
    /// What broke, and the events before it.
    pub what: String,
    /// The action, counted from 1.
    pub action: usize,
}

/// A writer that came with mutations.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// When, in nanoseconds.
    pub at_ns: u64,
    /// The queue had no room for them.
    pub is_refused: bool,
}

/// A snapshot that a reader held.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The reader.
    pub name: String,
    /// When it took its snapshot, in nanoseconds.
    pub from_ns: u64,
    /// When it let it go; `None` while it has it.
    pub to_ns: Option<u64>,
    /// Which of the files it reads.
    pub file: Option<usize>,
    /// Byte offset of the header that it holds.
    pub position: u64,
}

impl Reading {
    fn end(&mut self, at_ns: u64) {
        self.to_ns.get_or_insert(at_ns);
    }
}

/// A run, as far as it has come.
#[derive(Debug)]
pub struct Recording {
    parameters: Parameters,
    /// The file that the world begins with, if it is no empty one.
    origin: Option<Rc<Origin>>,
    /// Why it does not.
    unfit: Option<String>,
    world: World,
    life: Steady,
    forks: Vec<Fork>,
    /// How many of them are behind.
    forked: usize,
    /// The last event before the last of these, and the last of its own.
    left: Option<(usize, usize)>,
    /// Why what was to make the branch differ was refused.
    pub refused: Option<String>,
    /// When the fault of a branch is to be gone, in nanoseconds.
    heal_at_ns: Option<u64>,
    /// How long compactions may hold writers up, where that was changed.
    stall_ns: Option<u64>,
    events: Vec<Stamped>,
    /// For each event the action, counted from 1, during which it happened.
    actions: Vec<usize>,
    /// What every byte of every file held.
    pub files: Files,
    /// One for each action that let time pass or queued something.
    pub samples: Vec<Sample>,
    /// When writers came with something.
    pub arrivals: Vec<Arrival>,
    /// Every snapshot that was held.
    pub readings: Vec<Reading>,
    /// From an event on, another process; whether power was lost before it.
    restarts: Vec<(usize, bool)>,
    /// From an event on, this file is in charge.
    pub in_charge: Vec<(usize, usize)>,
    /// What was found after each crash, or death of the process.
    pub recoveries: Vec<Recovery>,
    /// What did not hold: nothing more can come of the run then.
    pub violated: Option<Violated>,
    /// The last world of the past that somebody asked for.
    past: RefCell<Option<World>>,
}

/// Where a branch left the run that it came from.
#[derive(Clone, Debug)]
struct Fork {
    /// Actions that both have in common.
    after: usize,
    difference: Difference,
}

impl Recording {
    /// A run that has not begun.
    pub fn new(parameters: Parameters) -> Self {
        Recording::with(parameters, None, Vec::new())
    }

    /// A run that has not begun, of a world that begins with a file from elsewhere.
    pub fn on_file(origin: Origin, parameters: Parameters) -> Self {
        Recording::with(parameters, Some(Rc::new(origin)), Vec::new())
    }

    fn with(parameters: Parameters, origin: Option<Rc<Origin>>, forks: Vec<Fork>) -> Self {
        let Parameters { seed, settings, load } = parameters;
        let (mut files, mut unfit) = (Files::default(), None);
        let mut world = World::new(settings);
        let mut life = Steady::new(seed, load);
        if let Some(origin) = &origin {
            match World::on_file(settings, origin.file()) {
                Ok(begun) => world = begun,
                Err(violation) => unfit = Some(violation.to_string()),
            }
            life = Steady::among(seed, load, origin.keys().to_vec());
            files.begin_with(origin.history(&file_name(VBUCKET, 1)));
        }
        Recording {
            parameters,
            origin,
            unfit,
            world,
            life,
            forks,
            forked: 0,
            left: None,
            refused: None,
            heal_at_ns: None,
            stall_ns: None,
            events: Vec::new(),
            actions: Vec::new(),
            files,
            samples: Vec::new(),
            arrivals: Vec::new(),
            readings: Vec::new(),
            restarts: Vec::new(),
            in_charge: Vec::new(),
            recoveries: Vec::new(),
            violated: None,
            past: RefCell::default(),
        }
    }

    /// A branch that has not begun: the same up to the action in which an event happened, that
    /// included, and then another. How a compaction catches up is decided when it begins, so a
    /// branch that differs in this leaves right before that.
    pub fn fork(&self, event: usize, difference: Difference) -> Self {
        let mut after = self.actions_until(event);
        if difference == Difference::Rounds {
            let past = self.world.actions().get(..after).unwrap_or_default();
            let begin = past.iter().rposition(|action| matches!(action, Action::Compact(..)));
            after = begin.unwrap_or(after);
        }
        let earlier = self.forks.iter().filter(|fork| fork.after < after);
        let forks = earlier.cloned().chain([Fork { after, difference }]).collect();
        Recording::with(self.parameters, self.origin.clone(), forks)
    }

    /// The last event that this branch has in common with the run that it left, and the last of what
    /// made it differ; `None` while it has not come to that, or left none.
    pub fn left_at(&self) -> Option<(usize, usize)> {
        self.left.filter(|_| self.forked == self.forks.len())
    }

    /// Goes on for up to so many actions; whether there is more to come. An invariant of the engine that
    /// does not hold ends it.
    ///
    /// # Errors
    /// Its files cannot be read.
    pub fn advance(&mut self, actions: usize) -> Result<bool, String> {
        if let Some(why) = &self.unfit {
            return Err(why.clone());
        }
        for _ in 0..actions {
            let forked = self.forked;
            let Some(action) = self.next_action() else { return Ok(false) };
            if let Err(failure) = self.world.act(&action) {
                let Parameters { seed, settings, .. } = self.parameters;
                self.violated = Some(Violated {
                    invariant: failure.violation.invariant,
                    what: format!("{failure}\nseed={seed} {settings}"),
                    action: failure.action,
                });
                return Ok(false);
            }
            let before = self.events.len().saturating_sub(1);
            self.record(&action)?;
            if self.forked > forked {
                // That a damaged file does not open is what was done, not a refusal of it.
                let said =
                    self.world.last_error().filter(|said| self.world.closed() != Some(*said));
                self.refused = said.map(str::to_owned);
                self.left = Some((before, self.events.len().saturating_sub(1)));
                // What happens without an event belongs to the moment at which it was done.
                if let Some(last) = self.actions.last_mut() {
                    *last = self.world.actions().len();
                }
            }
        }
        Ok(true)
    }

    /// What is done next: what makes the branch differ where it begins, and else what the life does.
    fn next_action(&mut self) -> Option<Action> {
        let done = self.world.actions().len();
        if let Some(fork) = self.forks.get(self.forked).filter(|fork| fork.after <= done) {
            let difference = fork.difference.clone();
            self.forked += 1;
            if difference == Difference::Rounds {
                let usual = self.parameters.settings.max_stall_ns;
                self.stall_ns = Some(match self.stall_ns.unwrap_or(usual) {
                    u64::MAX => self.world.device().sync_ns,
                    _ => u64::MAX,
                });
            }
            let lasts_ns = difference.lasts_ns(&self.world);
            self.heal_at_ns = lasts_ns.map(|ns| self.world.now_ns() + ns).or(self.heal_at_ns);
            if let Some(action) = difference.action(&self.world) {
                return Some(action);
            }
        }
        if self.heal_at_ns.is_some_and(|at_ns| at_ns <= self.world.now_ns()) {
            self.heal_at_ns = None;
            return Some(Action::Heal);
        }
        let mut action = self.life.next_action(&self.world);
        if let Some(Action::Compact(compact, _)) = &mut action {
            compact.stall_ns = self.stall_ns;
        }
        action
    }

    fn record(&mut self, action: &Action) -> Result<(), String> {
        let first = self.events.len();
        let new = self.world.events_from(first);
        let machines = self.world.machines();
        let taken = match action {
            Action::Crash(_) | Action::Die => {
                self.restarts.push((first, matches!(action, Action::Crash(_))));
                let at_ns = self.world.now_ns();
                self.readings.iter_mut().for_each(|reading| reading.end(at_ns));
                let taken = self.files.take_over(first, &new, &machines.volume);
                self.recoveries.extend(recovery(&self.files, first, &new, &machines.volume));
                taken
            }
            _ => self.files.take_in(first, &new, &machines.volume),
        };
        taken.map_err(|error| error.to_string())?;
        for (index, stamped) in (first..).zip(&new) {
            if let Event::VBucketCreated { revision, .. }
            | Event::VBucketOpened { revision, .. }
            | Event::Published { revision, .. } = stamped.event
                && let Some(file) = self.files.named(&file_name(VBUCKET, revision), index)
            {
                self.in_charge.push((index, file));
            }
        }
        self.actions.resize(first + new.len(), self.world.actions().len());
        self.events.extend(new);
        let at_ns = self.world.now_ns();
        let queued = machines
            .dirty
            .with_queue(|queue| queue.queued().mutations + queue.in_flight().mutations);
        self.samples.push(Sample { at_ns, queued, checks: self.world.checks() });
        match action {
            Action::Queue(_) => {
                let is_refused = self.world.last_error().is_some();
                self.arrivals.push(Arrival { at_ns, is_refused });
            }
            Action::Read(name) if self.world.last_error().is_none() => {
                let snapshot = machines.vbucket().and_then(|vbucket| vbucket.snapshot());
                let snapshot = snapshot.map_err(|error| error.to_string())?;
                // Whoever has one already lets it go.
                let of_it = self.readings.iter_mut().filter(|reading| reading.name == *name);
                of_it.for_each(|reading| reading.end(at_ns));
                self.readings.push(Reading {
                    name: name.clone(),
                    from_ns: at_ns,
                    to_ns: None,
                    file: self.files.named(&snapshot.file().name, self.events.len()),
                    position: snapshot.position(),
                });
            }
            Action::Close(name) => {
                let of_it = self.readings.iter_mut().filter(|reading| reading.name == *name);
                of_it.for_each(|reading| reading.end(at_ns));
            }
            _ => {}
        }
        Ok(())
    }

    /// The world as it was right after the action in which an event happened.
    ///
    /// # Errors
    /// None that the run itself did not meet.
    pub fn world_at(&self, event: usize) -> Result<World, String> {
        let past = self.world.actions().get(..self.actions_until(event)).unwrap_or_default();
        self.world.again(past).map_err(|failure| failure.to_string())
    }

    /// Asks that world, which is kept for whoever asks next.
    ///
    /// # Errors
    /// None that the run itself did not meet.
    pub fn ask_world_at<T>(
        &self,
        event: usize,
        ask: impl FnOnce(&World) -> T,
    ) -> Result<T, String> {
        let actions = self.world.actions().get(..self.actions_until(event)).unwrap_or_default();
        let mut past = self.past.borrow_mut();
        let known = past.take().filter(|world| world.actions().len() <= actions.len());
        let mut world = match known {
            Some(world) => world,
            None => self.world.again(&[]).map_err(|failure| failure.to_string())?,
        };
        for action in actions.get(world.actions().len()..).unwrap_or_default() {
            world.act(action).map_err(|failure| failure.to_string())?;
        }
        let told = ask(&world);
        *past = Some(world);
        Ok(told)
    }

    /// What the device was, and how a compaction would catch up, at an event.
    pub fn policy_at(&self, event: usize) -> (DeviceModel, u64) {
        let until = self.actions_until(event);
        let Settings { device, max_stall_ns, .. } = self.parameters.settings;
        let is_device = |action: &Action| match action {
            Action::Device(device) => Some(*device),
            _ => None,
        };
        let past = self.world.actions().get(..until).unwrap_or_default();
        let now = past.iter().rev().find_map(is_device).unwrap_or(device);
        let is_other = |fork: &&Fork| fork.difference == Difference::Rounds && fork.after < until;
        let turned = self.forks.iter().filter(is_other).count();
        let stall_ns = match (turned % 2 == 1, max_stall_ns) {
            (false, stall_ns) => stall_ns,
            (true, u64::MAX) => now.sync_ns,
            (true, _) => u64::MAX,
        };
        (now, stall_ns)
    }

    /// Actions up to the one in which an event happened, that included.
    pub(crate) fn actions_until(&self, event: usize) -> usize {
        self.actions.get(event).copied().unwrap_or(self.world.actions().len())
    }

    /// Whether a chunk was in the file with which the run began.
    pub(crate) fn was_there(&self, file: usize, chunk: &Chunk) -> bool {
        let origin = self.origin.as_ref().filter(|_| file == 0);
        origin.is_some_and(|origin| chunk.end <= origin.file().len() as u64)
    }

    /// Whether another process took over since the run began.
    pub fn was_restarted(&self, event: usize) -> bool {
        self.restarts.first().is_some_and(|(from, _)| *from <= event)
    }

    /// Whether it was for a loss of power that the process of an event began.
    pub fn was_power_lost(&self, event: usize) -> bool {
        self.restarts.iter().rev().find(|(from, _)| *from <= event).is_some_and(|(_, was)| *was)
    }

    /// The file that was in charge right after an event.
    pub fn in_charge_at(&self, event: usize) -> Option<usize> {
        let known = self.in_charge.partition_point(|(from, _)| *from <= event);
        self.in_charge.get(known.checked_sub(1)?).map(|(_, file)| *file)
    }

    /// The world at the run's end.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// About as long as the first file and its copy become, in bytes: what is live, and as much again
    /// that is not, and what comes during the compaction.
    pub fn expected_lengths(&self) -> [u64; 2] {
        let load = self.parameters.load;
        if let Some(origin) = &self.origin {
            let length = origin.file().len() as u64;
            return [length * 5 / 4, length];
        }
        let live = (load.documents * load.value_bytes) as u64;
        let used_percent = 100_u64.saturating_sub(load.compact_at_percent).max(1);
        [live * 130 / used_percent, live * 170 / 100]
    }

    /// All events so far.
    pub fn events(&self) -> &[Stamped] {
        &self.events
    }

    /// When the run ends, in nanoseconds.
    pub fn end_ns(&self) -> u64 {
        self.world.now_ns()
    }

    /// When an event happened, in nanoseconds.
    pub fn time_of(&self, event: usize) -> u64 {
        self.events.get(event).map_or(self.end_ns(), |stamped| stamped.at_ns)
    }

    /// The last event up to a time.
    pub fn event_at(&self, ns: u64) -> usize {
        self.events.partition_point(|stamped| stamped.at_ns <= ns).saturating_sub(1)
    }

    /// Mutations queued at a time.
    pub fn queued_at(&self, ns: u64) -> u64 {
        let known = self.samples.partition_point(|sample| sample.at_ns <= ns);
        let last = known.checked_sub(1).and_then(|last| self.samples.get(last));
        last.map_or(0, |sample| sample.queued)
    }

    /// The next event of a kind behind `event`, or the one before it; the run's end or beginning if
    /// there is none.
    pub fn seek(&self, event: usize, stride: Stride, forward: bool) -> usize {
        let last = self.events.len().saturating_sub(1);
        let is = |index: &usize| self.ends(*index, stride);
        let found = match forward {
            true => (event + 1..=last).find(is),
            false => (0..event.min(last + 1)).rev().find(is),
        };
        found.unwrap_or(if forward { last } else { 0 })
    }

    /// Whether a step of this kind ends at an event.
    fn ends(&self, index: usize, stride: Stride) -> bool {
        let Some(stamped) = self.events.get(index) else { return false };
        match (stride, &stamped.event) {
            (Stride::Event, _) => true,
            (Stride::Block, Event::Appended { position, end, .. }) => {
                position / BLOCK_SIZE != end.saturating_sub(1) / BLOCK_SIZE
                    || position % BLOCK_SIZE <= 1
            }
            (Stride::Header, Event::HeaderCommitted { .. }) => true,
            (
                Stride::Phase,
                Event::CompactionStarted { .. }
                | Event::PhaseChanged { .. }
                | Event::RoundStarted { .. }
                | Event::CompactionEnded { .. },
            ) => true,
            _ => false,
        }
    }

    /// The event that a path leads to: the name of a turning point, or of an event, and each of those
    /// behind it, such as `start > header_committed*3 > written`.
    pub fn find(&self, path: &str) -> Option<usize> {
        let turning_points = self.turning_points();
        let mut found = None;
        for part in path.split(" > ") {
            let (name, times) = part.split_once('*').unwrap_or((part, "1"));
            for _ in 0..times.parse().unwrap_or(1_usize) {
                let from = found.map_or(0, |found| found + 1);
                let turned =
                    turning_points.iter().find(|(event, known)| *event >= from && known == name);
                let happened = || {
                    let behind = self.events.get(from..)?;
                    let next = behind.iter().position(|stamped| stamped.event.name() == name);
                    next.map(|next| from + next)
                };
                found = Some(turned.map(|(event, _)| *event).or_else(happened)?);
            }
        }
        found
    }

    /// Events at which the compaction or a part of it begins or ends, each with its name.
    pub fn turning_points(&self) -> Vec<(usize, String)> {
        let named = self.events.iter().enumerate().filter_map(|(index, stamped)| {
            let name = match &stamped.event {
                Event::CompactionStarted { .. } => "start".to_owned(),
                Event::PhaseChanged { phase, .. } => phase_name(*phase).to_owned(),
                Event::RoundStarted { round, locked: false, .. } => format!("round {round}"),
                Event::Published { .. } => "published".to_owned(),
                Event::Removed { .. } => "unlinked".to_owned(),
                Event::CompactionEnded { outcome: Outcome::Failed(_), .. } => "failed".to_owned(),
                Event::CompactionEnded { .. } => "end".to_owned(),
                Event::FlushFailed { .. } => "flush failed".to_owned(),
                Event::VBucketOpened { .. } if self.was_restarted(index) => "opened".to_owned(),
                Event::OpeningFailed { .. } => "not opened".to_owned(),
                _ => return None,
            };
            Some((index, name))
        });
        // A vbucket's creation publishes and removes, too.
        let matters = |name: &str| !matches!(name, "published" | "unlinked");
        named.skip_while(|(_, name)| !matters(name)).collect()
    }
}

/// How far a step goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stride {
    /// To the next event.
    Event,
    /// To the next event that begins a block of a file.
    Block,
    /// To the next phase of the compaction, or round of its catch-up.
    Phase,
    /// To the next header that is committed.
    Header,
}

/// Who holds the lock, in a word.
pub fn actor_name(actor: Actor) -> &'static str {
    match actor {
        Actor::Flusher => "flusher",
        Actor::Compactor => "compactor",
        Actor::Operator => "operator",
    }
}
