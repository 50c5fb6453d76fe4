//! One run of a simulated world, from its beginning to its end, and everything that can be asked
//! about any moment of it.
//!
//! A world cannot go back. It is a function of its settings and its actions, though, so whatever
//! was seen of it stays true: looking at an earlier moment is a look at what was recorded, and the
//! world itself, as it was then, comes back by giving the same actions again. That takes as long as
//! the run did, which is why runs are bounded to some thousand actions.

use std::cell::{RefCell, RefMut};
use std::ops::Deref;
use std::rc::Rc;

use tailswap::format::names::file_name;
use tailswap::sim::machines::VBUCKET;
use tailswap::sim::scenario::Scenario;
use tailswap::sim::steady::{Load, Steady};
use tailswap::sim::world::{Action, DeviceModel, Settings, World};

use crate::file_history::Chunk;
use crate::history::{Arrival, History, Reading, Sample, Violated};
use crate::own::Origin;
use crate::parameters::{Difference, Parameters, stall_of_many_rounds};
use crate::recovery::recovery;

/// A run, as far as it has come.
#[derive(Debug)]
pub struct Recording {
    parameters: Parameters,
    given: Given,
    /// Why the world does not begin with the file that was given.
    unfit: Option<String>,
    world: World,
    life: Steady,
    /// Actions of the scenario that are behind.
    played: usize,
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
    history: History,
    /// For each event the action, counted from 1, during which it happened.
    actions: Vec<usize>,
    /// The last world of the past that somebody asked for.
    past: RefCell<Option<World>>,
}

/// What a run is given that is not a steady life of an empty world.
#[derive(Clone, Debug, Default)]
struct Given {
    /// The file that the world begins with.
    origin: Option<Rc<Origin>>,
    /// What is done in it.
    told: Option<Rc<[Action]>>,
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
        Recording::with(parameters, Given::default(), Vec::new())
    }

    /// A run of what a scenario does. It ends before the first `end`, which is no part of what
    /// happens, but a check of what came of it.
    pub fn of_scenario(scenario: &Scenario) -> Self {
        let settings = scenario.settings;
        let parameters = Parameters { seed: 0, settings, load: Load::on(settings.device) };
        let mut told = scenario.actions();
        let end = told.iter().position(|action| *action == Action::End);
        told.truncate(end.unwrap_or(told.len()));
        let given = Given { told: Some(told.into()), ..Given::default() };
        Recording::with(parameters, given, Vec::new())
    }

    /// A run that has not begun, of a world that begins with a file from elsewhere.
    pub fn on_file(origin: Origin, parameters: Parameters) -> Self {
        let given = Given { origin: Some(Rc::new(origin)), ..Given::default() };
        Recording::with(parameters, given, Vec::new())
    }

    fn with(parameters: Parameters, given: Given, forks: Vec<Fork>) -> Self {
        let Parameters { seed, settings, load } = parameters;
        let (mut history, mut unfit) = (History::default(), None);
        let mut world = World::new(settings);
        let mut life = Steady::new(seed, load);
        if let Some(origin) = &given.origin {
            match World::on_file(settings, origin.file()) {
                Ok(begun) => world = begun,
                Err(violation) => unfit = Some(violation.to_string()),
            }
            life = Steady::among(seed, load, origin.keys().to_vec());
            history.files.begin_with(origin.history(&file_name(VBUCKET, 1)));
        }
        Recording {
            parameters,
            given,
            unfit,
            world,
            life,
            played: 0,
            forks,
            forked: 0,
            left: None,
            refused: None,
            heal_at_ns: None,
            stall_ns: None,
            actions: Vec::new(),
            history,
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
        self.fork_after(after, difference)
    }

    /// The same, leaving after so many actions.
    pub fn fork_after(&self, after: usize, difference: Difference) -> Self {
        let earlier = self.forks.iter().filter(|fork| fork.after < after);
        let forks = earlier.cloned().chain([Fork { after, difference }]).collect();
        Recording::with(self.parameters, self.given.clone(), forks)
    }

    /// Actions that this branch has in common with the run that it left.
    pub fn forked_after(&self) -> Option<usize> {
        self.forks.last().map(|fork| fork.after)
    }

    /// After how many actions it ended, if it had not come to its end by itself.
    pub fn cut_short(&self) -> Option<usize> {
        let done = self.world.actions().len();
        (self.given.told.is_none() && done >= self.parameters.load.actions_max).then_some(done)
    }

    /// Whether it is made of its parameters and actions alone, and not of a file.
    pub fn is_repeatable(&self) -> bool {
        self.given.origin.is_none()
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
                let seed =
                    if self.given.told.is_some() { String::new() } else { format!("seed={seed} ") };
                self.history.violated = Some(Violated {
                    invariant: failure.violation.invariant,
                    what: format!("{failure}\n{seed}{settings}"),
                    action: failure.action,
                });
                // What happened on the way is shown, as far as it makes sense.
                let _ = self.record(&action);
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
                    u64::MAX => stall_of_many_rounds(&self.world.device()),
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
        if let Some(told) = &self.given.told {
            self.played += 1;
            return told.get(self.played - 1).cloned();
        }
        let mut action = self.life.next_action(&self.world);
        if let Some(Action::Compact(compact, _)) = &mut action {
            compact.stall_ns = self.stall_ns;
        }
        action
    }

    fn record(&mut self, action: &Action) -> Result<(), String> {
        let first = self.history.events.len();
        let new = self.world.events_from(first);
        let machines = self.world.machines();
        let (history, at_ns) = (&mut self.history, self.world.now_ns());
        history.end_ns = at_ns;
        let taken = match action {
            Action::Crash(_) | Action::Die => {
                history.restarts.push((first, matches!(action, Action::Crash(_))));
                history.readings.iter_mut().for_each(|reading| reading.end(at_ns));
                let taken = history.files.take_over(first, &new, &machines.volume);
                let recovered = recovery(&history.files, first, &new, &machines.volume);
                history.recoveries.extend(recovered);
                taken
            }
            _ => history.files.take_in(first, &new, &machines.volume),
        };
        taken.map_err(|error| error.to_string())?;
        for (index, stamped) in (first..).zip(&new) {
            history.take_charge(index, &stamped.event);
        }
        self.actions.resize(first + new.len(), self.world.actions().len());
        history.events.extend(new);
        let (queued, is_full) = machines.dirty.with_queue(|queue| {
            (queue.queued().mutations + queue.in_flight().mutations, queue.is_full())
        });
        history.samples.push(Sample { at_ns, queued, is_full, checks: self.world.checks() });
        match action {
            Action::Queue(_) => {
                let is_refused = self.world.last_error().is_some();
                history.arrivals.push(Arrival { at_ns, is_refused });
            }
            Action::Read(name) if self.world.last_error().is_none() => {
                let snapshot = machines.vbucket().and_then(|vbucket| vbucket.snapshot());
                let snapshot = snapshot.map_err(|error| error.to_string())?;
                // Whoever has one already lets it go.
                let of_it = history.readings.iter_mut().filter(|reading| reading.name == *name);
                of_it.for_each(|reading| reading.end(at_ns));
                history.readings.push(Reading {
                    name: name.clone(),
                    from_ns: at_ns,
                    to_ns: None,
                    file: history.files.named(&snapshot.file().name, history.events.len()),
                    position: snapshot.position(),
                });
            }
            Action::Close(name) => {
                let of_it = history.readings.iter_mut().filter(|reading| reading.name == *name);
                of_it.for_each(|reading| reading.end(at_ns));
            }
            _ => {}
        }
        Ok(())
    }

    /// All that was done up to the action in which an event happened, that included.
    pub fn scenario_at(&self, event: usize) -> Scenario {
        let past = self.world.actions().get(..self.actions_until(event)).unwrap_or_default();
        Scenario::of_run(self.parameters.settings, past)
    }

    /// The world as it was right after the action in which an event happened.
    ///
    /// # Errors
    /// None that the run itself did not meet.
    pub fn world_at(&self, event: usize) -> Result<World, String> {
        let past = self.world.actions().get(..self.actions_until(event)).unwrap_or_default();
        self.world.again(past).map_err(|failure| failure.to_string())
    }

    /// That world, which is kept for whoever asks next.
    ///
    /// # Errors
    /// None that the run itself did not meet.
    pub(crate) fn kept_world_at(&self, event: usize) -> Result<RefMut<'_, World>, String> {
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
        Ok(RefMut::map(past, |past| past.insert(world)))
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
            (true, u64::MAX) => stall_of_many_rounds(&now),
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
        let origin = self.given.origin.as_ref().filter(|_| file == 0);
        origin.is_some_and(|origin| chunk.end <= origin.file().len() as u64)
    }

    /// The world at the run's end.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// About as long as the first file and its copy become, in bytes: what is live, and as much again
    /// that is not, and what comes during the compaction.
    pub fn expected_lengths(&self) -> [u64; 2] {
        if self.given.told.is_some() {
            return [0, 0];
        }
        let load = self.parameters.load;
        if let Some(origin) = &self.given.origin {
            let length = origin.file().len() as u64;
            return [length * 5 / 4, length];
        }
        let live = (load.documents * load.value_bytes) as u64;
        let used_percent = 100_u64.saturating_sub(load.compact_at_percent).max(1);
        [live * 130 / used_percent, live * 170 / 100]
    }
}

/// What is known of a recording is its history; the world goes on with it.
impl Deref for Recording {
    type Target = History;

    fn deref(&self) -> &History {
        &self.history
    }
}
