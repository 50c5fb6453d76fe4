//! What can be done to a run at a moment, what cannot and why, and what a loss of power could take.

use serde::Serialize;
use tailswap::event::Event;
use tailswap::sim::disk::UnsyncedKind;
use tailswap::sim::world::{Checks, DeviceModel, World};
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

use crate::file_history::{Class, FileHistory};
use crate::history::Sample;
use crate::moment::{Moment, Role};
use crate::parameters::ROLLED_BACK;
use crate::recording::Recording;
use crate::sim::Sim;
use crate::to_js;

/// The reader that whoever looks at the page opens and closes.
const OWN_READER: &str = "yours";

/// What holds at a moment, and what cannot be done then.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Choices {
    pub device: &'static str,
    pub sync_ns: u64,
    /// Whether a compaction that begins catches up until the tail is short, or once.
    pub is_catching_up_once: bool,
    /// What is impossible, each with the reason.
    pub impossible: Vec<(&'static str, &'static str)>,
}

/// A change that a loss of power could take.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Losable {
    /// What it is, in words.
    pub what: String,
    /// The file and the bytes of a write, and how many sectors they touch.
    pub file: String,
    pub start: u64,
    pub end: u64,
    pub sectors: u64,
    /// A sync that was for it failed: no later one makes it durable.
    pub is_dropped: bool,
}

impl Recording {
    /// What can be done at a moment.
    pub fn choices(&self, moment: &Moment) -> Choices {
        let (device, stall_ns) = self.policy_at(moment.event);
        let mut impossible = Vec::new();
        let mut refuse = |what: &[&'static str], why| {
            impossible.extend(what.iter().map(|what| (*what, why)));
        };
        match self.presence(moment.event) {
            Presence::Open => refuse(&["create"], "there is a vbucket already"),
            Presence::None => refuse(OF_A_VBUCKET, "there is no vbucket"),
            Presence::Closed => {
                refuse(OF_A_VBUCKET, "the vbucket cannot be opened: its file is damaged");
                refuse(&["create"], "there is a vbucket, though it cannot be opened");
            }
        }
        if self.sample_at(moment.event).is_some_and(|sample| sample.is_full) {
            let why = "the queue takes no more until a flush: it is full, or kept short so that the \
                       catch-up can end";
            refuse(&["queue"], why);
        }
        if moment.event + 1 >= self.events().len() {
            refuse(&["mutate"], "the run is over, and nothing is written any more");
        }
        match moment.is_compacting {
            true => refuse(&["compact"], "a compaction is running"),
            false => refuse(&["cancel"], "no compaction is running"),
        }
        if moment.is_compacting && moment.has_reached("renamed") {
            refuse(&["cancel"], "it is too late: the copy has its name already");
        }
        match moment.readers.iter().any(|(name, ..)| name == OWN_READER) {
            true => refuse(&["read"], "your reader has a snapshot already"),
            false => refuse(&["close"], "your reader has no snapshot"),
        }
        let in_charge = moment.files.iter().find(|file| file.role == Role::InCharge);
        let history = in_charge.and_then(|file| self.files.all().get(file.index));
        let headers = history.map_or(&[][..], |history| history.headers(moment.event));
        let newest = headers.last().map_or(0, |header| header.update_seq);
        let wanted = newest.saturating_sub(ROLLED_BACK);
        if !headers.iter().any(|header| header.update_seq <= wanted && header.update_seq > 0) {
            refuse(&["rollback"], "this file has no header that old: nothing would be left");
        }
        if device == DeviceModel::DISK {
            refuse(&["slow"], "no device is slower");
        }
        Choices {
            device: device.name,
            sync_ns: device.sync_ns,
            is_catching_up_once: stall_ns == u64::MAX,
            impossible,
        }
    }

    /// How often what must hold was checked up to the action of an event.
    pub fn checks_at(&self, event: usize) -> Checks {
        self.sample_at(event).map(|sample| sample.checks).unwrap_or_default()
    }

    /// What was measured after the action of an event.
    fn sample_at(&self, event: usize) -> Option<&Sample> {
        self.samples.get(self.actions_until(event).min(self.samples.len()).checked_sub(1)?)
    }

    /// Whether there is a vbucket right after an event.
    fn presence(&self, event: usize) -> Presence {
        let past = self.events().get(..=event).unwrap_or_default();
        let told = past.iter().rev().find_map(|stamped| match stamped.event {
            Event::VBucketCreated { .. } | Event::VBucketOpened { .. } => Some(Presence::Open),
            Event::VBucketDeleted { .. } => Some(Presence::None),
            Event::OpeningFailed { .. } => Some(Presence::Closed),
            _ => None,
        });
        told.unwrap_or(Presence::None)
    }

    /// What a loss of power right after an event could take, oldest first.
    ///
    /// # Errors
    /// None that the run itself did not meet.
    pub fn losable(&self, event: usize) -> Result<Vec<Losable>, String> {
        Ok(self.losable_of(&*self.kept_world_at(event)?, event))
    }

    fn losable_of(&self, world: &World, event: usize) -> Vec<Losable> {
        let volume = &world.machines().volume;
        let told = volume.disk().unsynced().into_iter().map(|change| {
            let mut losable = Losable {
                what: String::new(),
                file: String::new(),
                start: 0,
                end: 0,
                sectors: 0,
                is_dropped: change.is_dropped,
            };
            match change.kind {
                UnsyncedKind::Write { file, start, end, sectors } => {
                    let name = volume.name_of(file).unwrap_or_default();
                    let index = self.files.named(&name, event);
                    let history = index.and_then(|index| self.files.all().get(index));
                    losable.what =
                        history.map(|known| held(known, event, start, end)).unwrap_or_default();
                    (losable.file, losable.sectors) = (name, sectors);
                    (losable.start, losable.end) = (start, end);
                }
                UnsyncedKind::Cut { file, length } => {
                    losable.file = volume.name_of(file).unwrap_or_default();
                    losable.what = format!("cut to {length} bytes");
                }
                UnsyncedKind::Name(what) => losable.what = what,
            }
            losable
        });
        told.collect()
    }
}

/// What nobody can do without a vbucket.
const OF_A_VBUCKET: &[&str] =
    &["queue", "mutate", "read", "close", "compact", "cancel", "rollback", "drop"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Open,
    None,
    Closed,
}

/// What bytes of a file hold, counted.
fn held(file: &FileHistory, event: usize, start: u64, end: u64) -> String {
    let mut counts = [0_u32; 3];
    for (from, to, class) in file.segments(event).filter(|(from, to, _)| *from < end && start < *to)
    {
        match class {
            Class::Header if end - start == 1 => {
                return "the byte that makes a header one".to_owned();
            }
            Class::Header => counts[2] += 1,
            Class::LiveBody | Class::DeadBody => counts[0] += 1,
            Class::Slack => {}
            _ => counts[1] += u32::from(from < to),
        }
    }
    let mut told = String::new();
    for (word, count) in ["document", "node", "header"].into_iter().zip(counts) {
        if count > 0 {
            let comma = if told.is_empty() { "" } else { ", " };
            let ending = if count == 1 { "" } else { "s" };
            told += &format!("{comma}{count} {word}{ending}");
        }
    }
    told
}

#[wasm_bindgen]
impl Sim {
    /// What can be done right after an event, as an object.
    ///
    /// # Errors
    /// Never in practice.
    pub fn choices(&self, event: usize) -> Result<JsValue, JsError> {
        to_js(&self.run()?.choices(&self.shown_at(event)))
    }

    /// What a loss of power right after an event could take, oldest first, as objects.
    ///
    /// # Errors
    /// None that the run itself did not meet.
    pub fn losable(&self, event: usize) -> Result<JsValue, JsError> {
        to_js(&self.run()?.losable(event).map_err(|error| JsError::new(&error))?)
    }

    /// How often each of the page's invariants was checked up to the action of an event.
    pub fn checks(&self, event: usize) -> Vec<u32> {
        let checks = self.run().map(|run| run.checks_at(event)).unwrap_or_default();
        let of_recovery = checks.recoveries;
        vec![
            checks.reads,
            of_recovery,
            of_recovery,
            of_recovery,
            checks.handles,
            checks.rounds,
            checks.turns,
        ]
    }

    /// The invariant that did not hold, if there is one: its number among the page's, the action, and
    /// what broke.
    ///
    /// # Errors
    /// Never in practice.
    pub fn violated(&self) -> Result<JsValue, JsError> {
        let told = self.history().violated.as_ref().map(|violated| {
            let row: usize = match violated.invariant {
                "I11" => 0,
                "I1" | "I9" => 2,
                "I5" | "I15" => 3,
                "I12" if violated.what.starts_with("catch-up round") => 5,
                "I12" => 4,
                "I13" => 6,
                _ => 1,
            };
            (row, violated.action, violated.what.as_str())
        });
        to_js(&told)
    }
}
