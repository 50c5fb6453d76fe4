//! Simulated worlds: the engine's own machines over a volume that loses what was not synced.
//!
//! Nothing in here is a second model of the engine. The volume keeps apart what programs see from
//! what a crash would leave; the machines are stepped in whatever order the choice source says; and
//! what comes back after a crash is compared with what was issued and acknowledged.
//!
//! | | |
//! |---|---|
//! | [`disk`], [`CrashVolume`] | what is durable, what is not yet, and what a crash can leave of it |
//! | [`machines`], [`SimHost`] | a vbucket with its flusher, compaction and operator, stepped by hand |
//! | [`Witness`], [`history`], [`contents`] | what should be there, learned from events alone |
//! | [`invariants`] | what must hold after any crash |
//! | [`workloads`], [`crash`] | small runs, crashed after every operation in every way |
//! | [`schedule`] | every order of the turns of flusher and compaction |
//! | [`world`] | all of it on a clock, with a device that takes time; what is done to it is a list of lines |
//! | [`swarm`] | who makes such lines at random, by a seed; [`shrink`] makes those that fail shorter |
//! | [`scenario`] | such lines with expectations, as a file |
//! | [`Choices`] | the one source of choices: a seed, every possibility, or a list |

mod choice;
pub mod contents;
pub mod crash;
pub mod disk;
mod expectation;
pub mod history;
mod host;
pub mod invariants;
mod locals;
pub mod machines;
pub mod scenario;
pub mod schedule;
pub mod shrink;
pub mod steady;
pub mod swarm;
mod volume;
mod witness;
pub mod workloads;
pub mod world;

pub use choice::{Choice, Choices};
pub use expectation::{Counted, Expectation};
pub use host::SimHost;
pub use locals::SaveLocals;
pub use volume::{CrashVolume, Recorded};
pub use witness::{Plan, Witness};
