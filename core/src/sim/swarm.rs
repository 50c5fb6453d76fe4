//! Random lives of worlds: every seed has its own habits, and does what these make likely.
//!
//! Habits differ much between seeds (a swarm), because what is always mixed in the same proportions
//! never meets some states: one seed never deletes, another crashes all the time.

use super::choice::Choices;
use super::disk::{DiskRules, Profile};
use super::world::{
    Action, Change, Compact, DeviceModel, Failing, Failure, Settings, Survivors, Until, Value,
    World,
};
use crate::error::IoOp;
use crate::event::Phase;
use crate::store::{Budget, CommitStyle};

/// Actions of a life, turns not counted, unless it is said otherwise.
pub const ACTIONS: usize = 200;
/// Turns between two actions, at most.
const TURNS_MAX: usize = 24;
/// Bytes that a write that fails part-way has written, at most: somewhat more than a block.
const PARTLY_MAX: usize = 6_000;
/// Of so many turns of a creation, one is a crash instead.
const CREATIONS_CRASHED: usize = 16;
/// Lengths of values around which things change: a block, its payload, two of them.
const EDGES: [usize; 6] = [0, 1, 4085, 4095, 4100, 8190];

/// What one seed is like.
#[derive(Clone, Debug)]
struct Habits {
    keys: usize,
    /// Of eight writes, so many go to the first key.
    hot: usize,
    /// Of eight writes, so many delete.
    deletes: usize,
    value_max: usize,
    /// Of eight values, so many have a length from [`EDGES`].
    edges: usize,
    /// Of eight turns, so many go to whoever, whatever the clock says.
    disorder: usize,
    /// How likely each kind of action is.
    weights: [usize; KINDS],
}

/// Kinds of actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Queue,
    Compact,
    Cancel,
    Rollback,
    Drop,
    Locals,
    Read,
    Close,
    Crash,
    Die,
    FailSync,
    Fail,
    Capacity,
    Heal,
}

const KINDS: usize = 14;

/// Each kind with how likely it is where habits say nothing special.
const LIKELY: [(Kind, usize); KINDS] = [
    (Kind::Queue, 120),
    (Kind::Compact, 30),
    (Kind::Cancel, 3),
    (Kind::Rollback, 5),
    (Kind::Drop, 3),
    (Kind::Locals, 24),
    (Kind::Read, 8),
    (Kind::Close, 8),
    (Kind::Crash, 9),
    (Kind::Die, 3),
    (Kind::FailSync, 3),
    (Kind::Fail, 8),
    (Kind::Capacity, 2),
    (Kind::Heal, 8),
];

/// A life: whoever asks for the next action gets one that fits.
#[derive(Clone, Debug)]
pub struct Life {
    choices: Choices,
    habits: Habits,
    settings: Settings,
    actions_left: usize,
    turns_left: usize,
    tag: u64,
}

/// Which faults a life may meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// Crashes of the machine, and deaths of the process.
    pub crashes: bool,
    /// Operations and syncs that fail, and disks that are full.
    pub errors: bool,
}

impl Faults {
    /// All of them.
    pub const ALL: Faults = Faults { crashes: true, errors: true };
}

impl Life {
    /// The life of a seed.
    pub fn new(seed: u64, faults: Faults, actions: usize) -> Self {
        let mut choices = Choices::seeded(seed);
        // From a stream of its own, so that it changes nothing else of a life.
        let commits = match Choices::seeded(!seed).happens(1, 3) {
            true => CommitStyle::Direct,
            false => CommitStyle::Flip,
        };
        let settings = Settings { commits, ..settings(&mut choices) };
        let habits = habits(&mut choices, faults);
        Life { choices, habits, settings, actions_left: actions, turns_left: 0, tag: 0 }
    }

    /// What its world is made of.
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// What is done next; `None` at its end.
    pub fn next_action(&mut self, world: &World) -> Option<Action> {
        if world.needs_restart() {
            return Some(self.restart());
        }
        if world.machines().vbucket.is_none() {
            return Some(self.creation(world));
        }
        if self.turns_left > 0 {
            self.turns_left -= 1;
            if let Some(turn) = self.turn(world) {
                return Some(turn);
            }
            self.turns_left = 0;
        }
        self.actions_left = self.actions_left.checked_sub(1)?;
        // The phases at a compaction's end are short, and the more happens in them.
        let turns_max = match world.phase() {
            Some(phase) if phase >= Phase::WaitForLock => TURNS_MAX / 8,
            _ => TURNS_MAX,
        };
        self.turns_left = self.choices.choose(turns_max + 1);
        Some(self.action(world))
    }

    /// The vbucket is created, unless power is lost meanwhile.
    fn creation(&mut self, world: &World) -> Action {
        let crashes = self.habits.weights[Kind::Crash as usize] > 0;
        match world.is_operating() {
            false => Action::Create(Until::Begun),
            true if crashes && self.choices.happens(1, CREATIONS_CRASHED) => self.crash(),
            true => self.turn(world).unwrap_or(Action::Settle),
        }
    }

    fn turn(&mut self, world: &World) -> Option<Action> {
        let next = world.next_turn()?;
        if !self.choices.happens(self.habits.disorder, 8) {
            return Some(Action::Turn(next, 1));
        }
        let possible = world.possible_turns();
        let turn = possible.get(self.choices.choose(possible.len())).copied().unwrap_or(next);
        Some(Action::Turn(turn, 1))
    }

    fn restart(&mut self) -> Action {
        match self.choices.happens(1, 2) && self.habits.weights[Kind::Crash as usize] > 0 {
            true => self.crash(),
            false => Action::Die,
        }
    }

    fn crash(&mut self) -> Action {
        Action::Crash(match self.choices.choose(8) {
            0 => Survivors::Nothing,
            1 => Survivors::Everything,
            _ => Survivors::Seed(self.choices.choose(1 << 30) as u64),
        })
    }

    fn action(&mut self, world: &World) -> Action {
        let total: usize = self.habits.weights.iter().sum();
        let mut left = self.choices.choose(total.max(1));
        for (kind, weight) in (0..).zip(self.habits.weights) {
            if left < weight {
                return self.action_of(LIKELY[kind].0, world);
            }
            left -= weight;
        }
        Action::Queue(vec![self.change()])
    }

    fn action_of(&mut self, kind: Kind, world: &World) -> Action {
        let high_seq = world.machines().dirty.with_queue(|queue| queue.high_seq());
        match kind {
            Kind::Queue => {
                let count = 1 + self.choices.choose(6);
                Action::Queue((0..count).map(|_| self.change()).collect())
            }
            Kind::Compact => {
                let purge_to = match self.choices.choose(3) {
                    0 => 0,
                    1 => u64::MAX,
                    _ => self.choices.choose(high_seq as usize + 1) as u64,
                };
                let stall_ns = [None, Some(0), Some(1_000_000)][self.choices.choose(3)];
                Action::Compact(Compact { purge_to, stall_ns }, Until::Begun)
            }
            Kind::Cancel => Action::Cancel,
            Kind::Rollback => {
                let back = self.choices.choose(high_seq.min(40) as usize + 1) as u64;
                let seq = if self.choices.happens(1, 16) { 0 } else { high_seq - back };
                Action::Rollback(seq, Until::Begun)
            }
            Kind::Drop => Action::Drop(Until::Begun),
            Kind::Locals => {
                let key = format!("l{}", self.choices.choose(2));
                let tag = self.next_tag();
                let value = self.choices.happens(1, 2).then(|| tag.to_string());
                Action::Locals(vec![(key, value)], Until::Begun)
            }
            Kind::Read => Action::Read(format!("r{}", self.choices.choose(3))),
            Kind::Close => {
                let mut readers = world.readers().map(|(name, _)| name.to_owned());
                let count = world.readers().count();
                let reader = readers.nth(self.choices.choose(count.max(1)));
                reader.map_or_else(|| Action::Read("r0".to_owned()), Action::Close)
            }
            Kind::Crash => self.crash(),
            Kind::Die => Action::Die,
            Kind::FailSync => Action::FailSync(1 + self.choices.choose(4) as u64),
            Kind::Fail => {
                let operations = [
                    None,
                    Some(IoOp::Write),
                    Some(IoOp::Read),
                    Some(IoOp::Sync),
                    Some(IoOp::SyncDirectory),
                    Some(IoOp::Rename),
                    Some(IoOp::Remove),
                    Some(IoOp::Create),
                    Some(IoOp::Open),
                    Some(IoOp::Truncate),
                    Some(IoOp::Length),
                ];
                let op = operations[self.choices.choose(operations.len())];
                let soon = match op {
                    None | Some(IoOp::Write | IoOp::Read) => 12,
                    _ => 2,
                };
                let nth = 1 + self.choices.choose(soon) as u64;
                let sticky = self.choices.happens(1, 6);
                let partly = matches!(op, None | Some(IoOp::Write)) && self.choices.happens(1, 2);
                let after_bytes = if partly { 1 + self.choices.choose(PARTLY_MAX) } else { 0 };
                Action::Fail(Failing { op, nth, sticky, after_bytes })
            }
            Kind::Capacity => {
                let used: usize = world.files().files().map(|(_, bytes)| bytes.len()).sum();
                Action::Capacity((used + self.choices.choose(20_000)) as u64)
            }
            Kind::Heal => Action::Heal,
        }
    }

    fn change(&mut self) -> Change {
        let habits = &self.habits;
        let key = match self.choices.happens(habits.hot, 8) {
            true => 0,
            false => self.choices.choose(habits.keys),
        };
        let key = format!("k{key}");
        if self.choices.happens(habits.deletes, 8) {
            return Change { key, value: None };
        }
        let length = match self.choices.happens(habits.edges, 8) {
            true => EDGES[self.choices.choose(EDGES.len())],
            false => self.choices.choose(habits.value_max + 1),
        };
        let tag = self.next_tag();
        Change { key, value: Some(Value::Generated { length, tag }) }
    }

    fn next_tag(&mut self) -> u64 {
        self.tag += 1;
        self.tag
    }
}

fn settings(choices: &mut Choices) -> Settings {
    let profile = [Profile::Posix, Profile::Journaled][choices.choose(2)];
    let sector = [512, 4096][choices.choose(2)];
    let device = DeviceModel::ALL[choices.choose(DeviceModel::ALL.len())];
    let budgets = [(1 << 14, 16), (2000, 2), (1 << 16, 64), (500, 1)];
    let (bytes, entries) = budgets[choices.choose(budgets.len())];
    let stalls = [20_000_000, 0, 1_000_000, u64::MAX];
    Settings {
        disk: DiskRules { profile, sector },
        device,
        budget: Budget { bytes, entries },
        max_stall_ns: stalls[choices.choose(stalls.len())],
        ..Settings::default()
    }
}

fn habits(choices: &mut Choices, faults: Faults) -> Habits {
    let mut weights = [0; KINDS];
    for (kind, likely) in LIKELY {
        let of_faults = matches!(kind, Kind::FailSync | Kind::Fail | Kind::Capacity);
        let of_crashes = matches!(kind, Kind::Crash | Kind::Die);
        let allowed = (faults.errors || !of_faults) && (faults.crashes || !of_crashes);
        // Writing and compacting there always is; of the rest some seeds do much, some nothing.
        let factor = match kind {
            Kind::Queue | Kind::Compact => 2,
            _ => [2, 0, 1, 4][choices.choose(4)],
        };
        weights[kind as usize] = if allowed { likely * factor } else { 0 };
    }
    Habits {
        keys: [6, 2, 20, 60][choices.choose(4)],
        hot: choices.choose(6),
        deletes: choices.choose(5),
        value_max: [200, 10, 1500, 5000][choices.choose(4)],
        edges: [0, 0, 2, 4][choices.choose(4)],
        disorder: [0, 2, 5, 8][choices.choose(4)],
        weights,
    }
}

/// Lives the life of a seed to its end. The world as it is then, and its failure if there was one.
pub fn live(life: &mut Life) -> (World, Result<(), Box<Failure>>) {
    let mut world = World::new(life.settings());
    let result = (|| {
        while let Some(action) = life.next_action(&world) {
            world.act(&action)?;
        }
        world.act(&Action::End)
    })();
    (world, result)
}
