//! A simulated world: the engine's own machines over a volume that loses what was not synced.
//!
//! Nothing in here is a second model of the engine. The volume keeps apart what programs see from
//! what a crash would leave; the machines are stepped in whatever order the choice source says; and
//! what comes back after a crash is compared with what was issued and acknowledged.

mod choice;
pub mod contents;
pub mod crash;
pub mod disk;
mod expectation;
pub mod history;
mod host;
pub mod invariants;
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
pub use volume::{CrashVolume, Recorded};
pub use witness::{Plan, Witness};
