//! What a run is made of, and what a branch of it does otherwise.

use tailswap::sim::steady::Load;
use tailswap::sim::world::{
    Action, Change, DeviceModel, NoAction, Settings, Survivors, Until, Value, World,
};

/// Bytes of a value, on average, beyond which a run does not fit into a page's memory.
const VALUE_BYTES_MAX: f64 = 100_000.0;
/// Actions beyond which a run takes minutes.
const ACTIONS_MAX: f64 = 1_000_000.0;
/// By so many sequence numbers the page goes back.
pub(crate) const ROLLED_BACK: u64 = 40;
/// Bytes of a value of a burst.
const BURST_VALUE: usize = 200;
/// A branch's fault is gone after so many syncs' time.
const FAULT_SYNCS: u64 = 30;

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

/// What catching up in many rounds aims at, in nanoseconds: a document or two cannot be replayed in much
/// less.
pub(crate) fn stall_of_many_rounds(device: &DeviceModel) -> u64 {
    device.sync_ns.saturating_mul(2)
}

impl Parameters {
    /// The parameters of the names that the page's address gives them.
    ///
    /// # Errors
    /// What is wrong with one of them, in words.
    pub fn named(seed: f64, device: &str, rounds: &str) -> Result<Self, String> {
        let seed = whole("a seed", seed, 9_007_199_254_740_991.0)?;
        let device = DeviceModel::named(device).map_err(|error| error.to_string())?;
        let max_stall_ns = match rounds {
            "many" => stall_of_many_rounds(&device),
            // Whatever is left after the first round is replayed under the lock.
            "one" => u64::MAX,
            _ => return Err(format!("{rounds:?} rounds: it is \"many\" or \"one\"")),
        };
        let settings = Settings { device, max_stall_ns, ..Settings::default() };
        Ok(Parameters { seed, settings, load: Load::on(device) })
    }

    /// The same with larger files, or with writers that go on until so many actions are done. Zero
    /// leaves it as it is.
    ///
    /// # Errors
    /// Numbers that are too large, or none.
    pub fn of_size(mut self, value_bytes: f64, actions: f64) -> Result<Self, String> {
        let value_bytes = whole("the bytes of a value", value_bytes, VALUE_BYTES_MAX)? as usize;
        let actions = whole("the number of actions", actions, ACTIONS_MAX)? as usize;
        if value_bytes > 0 {
            self.load.value_bytes = value_bytes;
        }
        if actions > 0 {
            self.load.actions_max = actions;
            self.load.after_swap_ns = u64::MAX >> 1;
        }
        Ok(self)
    }
}

fn whole(what: &str, number: f64, most: f64) -> Result<u64, String> {
    if number.fract() != 0.0 || !(0.0..=most).contains(&number) {
        return Err(format!("{what} is a whole number from 0 to {}", most as u64));
    }
    Ok(number as u64)
}

/// What a branch does otherwise than the run that it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The next compaction replays all after its first round under the lock; or does not, if it
    /// would have.
    Rounds,
    /// The device takes as long as this one.
    Device(DeviceModel),
    /// Power is lost.
    PowerLoss(Survivors),
    /// The next sync of a file fails.
    FailedSync,
    /// The disk is full, until some time has passed.
    DiskFull,
    /// Writers come with so many mutations, of one document or of as many.
    Burst {
        /// How many.
        mutations: usize,
        /// Whether all are of one document.
        is_one_document: bool,
    },
    /// The vbucket goes back by so many sequence numbers.
    Rollback(u64),
    /// Somebody does something.
    Act(Action),
}

impl Difference {
    /// The difference of the name that the page gives it.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn named(name: &str) -> Result<Self, String> {
        Ok(match name {
            "rounds" => Difference::Rounds,
            "power-nothing" => Difference::PowerLoss(Survivors::Nothing),
            "power-everything" => Difference::PowerLoss(Survivors::Everything),
            "power-some" => Difference::PowerLoss(Survivors::Seed(1)),
            "failed-sync" => Difference::FailedSync,
            "disk-full" => Difference::DiskFull,
            "burst" => Difference::Burst { mutations: 300, is_one_document: false },
            "hot" => Difference::Burst { mutations: 300, is_one_document: true },
            "rollback" => Difference::Rollback(ROLLED_BACK),
            _ => match name.split_once(' ') {
                Some(("act", line)) => {
                    let action: Action =
                        line.parse().map_err(|error: NoAction| error.to_string())?;
                    if matches!(action.verb(), "step" | "turn" | "run" | "wait" | "settle" | "end")
                    {
                        return Err(format!("{:?}: time goes on by itself", action.verb()));
                    }
                    Difference::Act(action)
                }
                _ => Difference::Device(DeviceModel::named(name).map_err(|_| {
                    format!("{name:?} is nothing that a branch can do: no device, no fault, and no line behind \"act\"")
                })?),
            },
        })
    }

    /// What is done to the world for it; `None` where it shows only in what is done later.
    pub(crate) fn action(&self, world: &World) -> Option<Action> {
        Some(match self {
            Difference::Rounds => return None,
            Difference::Device(device) => Action::Device(*device),
            Difference::PowerLoss(survivors) => Action::Crash(survivors.clone()),
            Difference::FailedSync => Action::FailSync(1),
            Difference::DiskFull => {
                let used = world.files().files().map(|(_, bytes)| bytes.len() as u64).sum();
                Action::Capacity(used)
            }
            Difference::Burst { mutations, is_one_document } => {
                let change = |number: usize| Change {
                    key: format!("burst-{:03}", if *is_one_document { 0 } else { number }),
                    value: Some(Value::Generated { length: BURST_VALUE, tag: number as u64 }),
                };
                Action::Queue((0..*mutations).map(change).collect())
            }
            Difference::Rollback(by) => {
                let snapshot = world.machines().vbucket().and_then(|vbucket| vbucket.snapshot());
                let newest = snapshot.map_or(0, |snapshot| snapshot.header().update_seq);
                Action::Rollback(newest.saturating_sub(*by), Until::Begun)
            }
            Difference::Act(action) => action.clone(),
        })
    }

    /// For how long it lasts, if it goes away, in nanoseconds.
    pub(crate) fn lasts_ns(&self, world: &World) -> Option<u64> {
        let is_fault = matches!(self, Difference::FailedSync | Difference::DiskFull);
        is_fault.then(|| world.device().sync_ns.saturating_mul(FAULT_SYNCS))
    }
}
