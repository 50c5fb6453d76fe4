//! What is done to a world, one line of text each: the language of traces and scenarios.
//!
//! A world is a function of its settings and of the actions that it was given, so a list of these
//! lines is a run: it can be stored, edited, replayed and shortened.

use super::settings::DeviceModel;
use crate::error::IoOp;
use crate::event::{Actor, Phase};
use crate::sim::disk::Kept;
use crate::sim::workloads::value;

/// One thing done to a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The vbucket is created.
    Create(Until),
    /// Mutations are queued.
    Queue(Vec<Change>),
    /// Mutations are queued, and everything queued is flushed.
    Flush(Vec<Change>),
    /// So many turns of one of them, whatever the clock says.
    Turn(Turn, u64),
    /// So many turns of whoever is next by the clock.
    Step(u64),
    /// Turns by the clock until an event of this name, as its JSON has it, has come so often.
    RunUntil(String, u64),
    /// A compaction begins, unless one is running, and goes on for so long.
    Compact(Compact, Until),
    /// The running compaction is told to stop.
    Cancel,
    /// A rollback to a sequence number.
    Rollback(u64, Until),
    /// The vbucket is deleted.
    Drop(Until),
    /// Local documents are saved, or deleted where there is no value.
    Locals(Vec<(String, Option<String>)>, Until),
    /// A reader of this name takes a snapshot.
    Read(String),
    /// A reader reads its snapshot once more and lets it go.
    Close(String),
    /// Power is lost; the machine starts again with what survived.
    Crash(Survivors),
    /// The process dies and another takes over; the machine stays up.
    Die,
    /// Time passes, in nanoseconds.
    Wait(u64),
    /// From now on the device takes as long as this one.
    Device(DeviceModel),
    /// The nth sync of a file from now on, counted from 1, fails and loses what it was for.
    FailSync(u64),
    /// An operation on the volume fails.
    Fail(Failing),
    /// The disk has room for so many bytes.
    Capacity(u64),
    /// A bit of a file, counted from the byte's lowest, turns over on the disk.
    Flip {
        /// Name of the file.
        file: String,
        /// Offset of the byte.
        byte: u64,
        /// Which of its bits, 0 to 7.
        bit: u8,
    },
    /// No fault is left but bits that turned over, and the disk has room.
    Heal,
    /// Whoever has something to do goes on until nobody has.
    Settle,
    /// The end of a world: no fault is left, everything queued becomes durable, a compaction goes
    /// through, and after a last crash there is exactly what was acknowledged.
    End,
}

/// A document that is written, or deleted where there is no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its key.
    pub key: String,
    /// What it becomes.
    pub value: Option<Value>,
}

/// A value, written out or made up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// These characters.
    Text(String),
    /// So many bytes that do not compress, others for each tag.
    Generated {
        /// How many.
        length: usize,
        /// Which.
        tag: u64,
    },
}

impl Value {
    /// The bytes themselves.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Value::Text(text) => text.as_bytes().to_vec(),
            Value::Generated { length, tag } => value(*tag, *length),
        }
    }
}

/// Whose turn it is; the lesser goes first where the clock does not decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    /// The disk completes the sync that was issued first.
    Disk,
    /// A machine does a step.
    Machine(Actor),
}

impl Turn {
    /// All of them.
    pub const ALL: [Turn; 4] = [
        Turn::Disk,
        Turn::Machine(Actor::Flusher),
        Turn::Machine(Actor::Compactor),
        Turn::Machine(Actor::Operator),
    ];
}

/// What a compaction is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compact {
    /// Tombstones up to this sequence number are purged; with 0, none.
    pub purge_to: u64,
    /// How long writers may have to wait, in nanoseconds; `None`: as the world's settings say.
    pub stall_ns: Option<u64>,
}

/// How far something is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// It only begins; turns go on with it.
    Begun,
    /// Until it is in a phase, or past it.
    Phase(Phase),
    /// To its end.
    End,
}

/// What of the unsynced writes survives a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Survivors {
    /// Only what was synced.
    Nothing,
    /// Everything.
    Everything,
    /// What this seed says: any piece may be there or not, and a write may be torn.
    Seed(u64),
    /// These changes of those that are not durable, and nothing else.
    Chosen(Vec<Kept>),
}

/// An operation that is to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failing {
    /// Of which kind; `None`: of any.
    pub op: Option<IoOp>,
    /// Which of these, from now on, counted from 1.
    pub nth: u64,
    /// And all after it.
    pub sticky: bool,
    /// A write that fails writes so many of its bytes nevertheless.
    pub after_bytes: usize,
}

impl Action {
    /// The first word of its line, `begin` apart.
    pub fn verb(&self) -> &'static str {
        match self {
            Action::Create(_) => "create",
            Action::Queue(_) => "queue",
            Action::Flush(_) => "flush",
            Action::Turn(..) => "turn",
            Action::Step(_) => "step",
            Action::RunUntil(..) => "run",
            Action::Compact(..) => "compact",
            Action::Cancel => "cancel",
            Action::Rollback(..) => "rollback",
            Action::Drop(_) => "drop",
            Action::Locals(..) => "local",
            Action::Read(_) => "read",
            Action::Close(_) => "close",
            Action::Crash(_) => "crash",
            Action::Die => "die",
            Action::Wait(_) => "wait",
            Action::Device(_) => "device",
            Action::FailSync(_) => "fail-sync",
            Action::Fail(_) => "fail",
            Action::Capacity(_) => "capacity",
            Action::Flip { .. } => "flip",
            Action::Heal => "heal",
            Action::Settle => "settle",
            Action::End => "end",
        }
    }
}
