//! One run of a simulated world, from its beginning to its end, and everything that can be asked
//! about any moment of it.
//!
//! A world cannot go back. It is a function of its settings and its actions, though, so whatever
//! was seen of it stays true: looking at an earlier moment is a look at what was recorded, and the
//! world itself, as it was then, comes back by giving the same actions again. That takes as long as
//! the run did, which is why runs are bounded to some thousand actions.

use tailswap::event::{Actor, Event};
use tailswap::limits::BLOCK_SIZE;
use tailswap::sim::steady::{Load, Steady};
use tailswap::sim::world::{Action, DeviceModel, Settings, Stamped, World, phase_name};

use crate::files::Files;

/// What a run is made of: equal parameters make equal runs, on every host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameters {
    /// Chooses keys, values and times.
    pub seed: u64,
    /// What the world is made of.
    pub settings: Settings,
    /// What writers and readers do.
    pub load: Load,
}

impl Parameters {
    /// The parameters of the names that the page's address gives them.
    ///
    /// # Errors
    /// What is wrong with one of them, in words.
    pub fn named(seed: f64, device: &str, rounds: &str) -> Result<Self, String> {
        if seed.fract() != 0.0 || !(0.0..=9_007_199_254_740_991.0).contains(&seed) {
            return Err("a seed is a whole number from 0 on".to_owned());
        }
        let known = || DeviceModel::ALL.map(|device| device.name).join(", ");
        let found = DeviceModel::ALL.into_iter().find(|model| model.name == device);
        let device = found.ok_or_else(|| format!("{device:?} is no device; known: {}", known()))?;
        let max_stall_ns = match rounds {
            "many" => device.sync_ns,
            // Whatever is left after the first round is replayed under the lock.
            "one" => u64::MAX,
            _ => return Err(format!("{rounds:?} rounds: it is \"many\" or \"one\"")),
        };
        let settings = Settings { device, max_stall_ns, ..Settings::default() };
        Ok(Parameters { seed: seed as u64, settings, load: Load::on(device) })
    }
}

/// What was measured after an action.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Nanoseconds on the world's clock.
    pub at_ns: u64,
    /// Mutations queued, those that a flush has taken among them.
    pub queued: u64,
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

/// A run, as far as it has come.
#[derive(Debug)]
pub struct Recording {
    parameters: Parameters,
    world: World,
    life: Steady,
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
}

impl Recording {
    /// A run that has not begun.
    pub fn new(parameters: Parameters) -> Self {
        Recording {
            parameters,
            world: World::new(parameters.settings),
            life: Steady::new(parameters.seed, parameters.load),
            events: Vec::new(),
            actions: Vec::new(),
            files: Files::default(),
            samples: Vec::new(),
            arrivals: Vec::new(),
            readings: Vec::new(),
        }
    }

    /// Goes on for up to so many actions; whether there is more to come.
    ///
    /// # Errors
    /// An invariant of the engine that does not hold, in words.
    pub fn advance(&mut self, actions: usize) -> Result<bool, String> {
        for _ in 0..actions {
            let Some(action) = self.life.next_action(&self.world) else { return Ok(false) };
            self.world.act(&action).map_err(|failure| {
                format!("{failure}\nseed={} {}", self.parameters.seed, self.parameters.settings)
            })?;
            self.record(&action)?;
        }
        Ok(true)
    }

    fn record(&mut self, action: &Action) -> Result<(), String> {
        let first = self.events.len();
        let new = self.world.events_from(first);
        let machines = self.world.machines();
        self.files.take_in(first, &new, &machines.volume).map_err(|error| error.to_string())?;
        self.actions.resize(first + new.len(), self.world.actions().len());
        self.events.extend(new);
        let at_ns = self.world.now_ns();
        let queued = machines
            .dirty
            .with_queue(|queue| queue.queued().mutations + queue.in_flight().mutations);
        self.samples.push(Sample { at_ns, queued });
        match action {
            Action::Queue(_) => {
                let is_refused = self.world.last_error().is_some();
                self.arrivals.push(Arrival { at_ns, is_refused });
            }
            Action::Read(name) => {
                let snapshot = machines.vbucket().and_then(|vbucket| vbucket.snapshot());
                let snapshot = snapshot.map_err(|error| error.to_string())?;
                self.readings.push(Reading {
                    name: name.clone(),
                    from_ns: at_ns,
                    to_ns: None,
                    file: self.files.named(&snapshot.file().name, self.events.len()),
                    position: snapshot.position(),
                });
            }
            Action::Close(name) => {
                let held = |reading: &&mut Reading| reading.name == *name;
                if let Some(reading) = self.readings.iter_mut().rev().find(held) {
                    reading.to_ns = Some(at_ns);
                }
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
        let actions = self.actions.get(event).copied().unwrap_or(self.world.actions().len());
        let past = self.world.actions().get(..actions).unwrap_or_default();
        World::replay(self.parameters.settings, past).map_err(|failure| failure.to_string())
    }

    /// The world at the run's end.
    pub fn world(&self) -> &World {
        &self.world
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

    /// Events at which the compaction or a part of it begins or ends, each with its name.
    pub fn turning_points(&self) -> Vec<(usize, String)> {
        let named = self.events.iter().enumerate().filter_map(|(index, stamped)| {
            let name = match &stamped.event {
                Event::CompactionStarted { .. } => "start".to_owned(),
                Event::PhaseChanged { phase, .. } => phase_name(*phase).to_owned(),
                Event::RoundStarted { round, locked: false, .. } => format!("round {round}"),
                Event::Published { .. } => "published".to_owned(),
                Event::Removed { .. } => "unlinked".to_owned(),
                Event::CompactionEnded { .. } => "end".to_owned(),
                _ => return None,
            };
            Some((index, name))
        });
        // A vbucket's creation publishes and removes, too.
        let named = named.skip_while(|(_, name)| name != "start");
        named.collect()
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
