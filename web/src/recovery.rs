//! What a new process looks at after a crash, header by header, told by the engine's own search.

use serde::Serialize;
use tailswap::device::{Access, Volume};
use tailswap::error::Error;
use tailswap::event::{Event, FileName};
use tailswap::format::names::parse_file_name;
use tailswap::limits::BLOCK_SIZE;
use tailswap::sim::world::Stamped;
use tailswap::store::{OpenMode, find_newest};

use crate::files::Files;
use crate::history::History;

/// What was found when a process opened the vbucket.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Recovery {
    /// The first event of that process.
    pub event: usize,
    /// The file of the highest revision.
    pub file: String,
    #[serde(skip)]
    pub index: usize,
    /// Its blocks in the order in which they were looked at, from the end backwards.
    pub looked: Vec<Looked>,
    /// Names that were swept away.
    pub swept: Vec<String>,
    /// Why the vbucket could not be opened.
    pub error: Option<String>,
}

/// Blocks that were looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Looked {
    /// Byte offsets of the first of them and behind the last.
    pub from: u64,
    pub to: u64,
    pub found: Found,
    /// Why it was refused, or what it says.
    pub why: String,
}

/// What was found in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// No header.
    Data,
    /// A header that was written as data, and never became one.
    Uncommitted,
    /// What no header and no data can be.
    Refused,
    /// The header of the newest state.
    Taken,
    /// That header, had what is refused behind it been passed over.
    Passed,
}

impl History {
    /// What was found after the last crash before an event, until the next header was committed or a
    /// compaction began.
    pub fn recovery_at(&self, event: usize) -> Option<&Recovery> {
        let last = self.recoveries.iter().rev().find(|recovery| recovery.event <= event)?;
        let since = self.events().get(last.event..=event).unwrap_or_default();
        let ends = |stamped: &Stamped| {
            matches!(stamped.event, Event::HeaderCommitted { .. } | Event::CompactionStarted { .. })
        };
        Some(last).filter(|_| !since.iter().any(ends))
    }
}

/// What the process found whose events begin with the `first`.
pub(crate) fn recovery(
    files: &Files,
    first: usize,
    events: &[Stamped],
    volume: &dyn Volume,
) -> Option<Recovery> {
    let names = volume.list().ok()?;
    let revision = |name: &&String| parse_file_name(name).map(|(_, revision)| revision);
    let name = names.iter().filter(|name| revision(name).is_some()).max_by_key(revision)?;
    let last = first + events.len();
    let index = files.named(name, last)?;
    let mut found = Recovery {
        event: first,
        file: name.clone(),
        index,
        looked: Vec::new(),
        swept: Vec::new(),
        error: None,
    };
    for stamped in events {
        match &stamped.event {
            Event::Removed { file } => found.swept.push(file.to_string()),
            Event::OpeningFailed { error, .. } => found.error = Some(error.clone()),
            _ => {}
        }
    }
    let device = volume.open(name, Access::Read).ok()?;
    let length = device.len().ok()?;
    // Blocks are told apart by their types, so that all but these hold data.
    let mut told = Told(Vec::new());
    let mut end = 0;
    match find_newest(&FileName::from(name.as_str()), device, OpenMode::Recovery) {
        Ok((state, passed_over)) => {
            let taken = if passed_over.is_empty() { Found::Taken } else { Found::Passed };
            end = state.position();
            told.add(end, taken, format!("highest sequence number {}", state.header().update_seq));
            for passed in passed_over {
                told.add(passed.offset, Found::Refused, said(&passed.error));
            }
        }
        Err(error) => {
            let place = error.damaged_place().map_or(0, |(_, offset)| offset);
            told.add(place, Found::Refused, said(&error));
        }
    }
    // What the crash took is no part of the file any more, so this is asked of the moment before.
    for block in files.all().get(index)?.header_chunks(first.saturating_sub(1)) {
        if (end..length).contains(&block) {
            told.add(block, Found::Uncommitted, String::new());
        }
    }
    let mut to = length.div_ceil(BLOCK_SIZE) * BLOCK_SIZE;
    for (block, what, why) in told.0 {
        let behind = block + BLOCK_SIZE;
        if behind < to {
            found.looked.push(Looked { from: behind, to, found: Found::Data, why: String::new() });
        }
        found.looked.push(Looked { from: block, to: behind, found: what, why });
        to = block;
    }
    Some(found)
}

/// Blocks of which there is something to tell, the last first.
struct Told(Vec<(u64, Found, String)>);

impl Told {
    /// Unless something was told of the block already.
    fn add(&mut self, block: u64, found: Found, why: String) {
        let place = self.0.partition_point(|(other, ..)| *other > block);
        if self.0.get(place).is_none_or(|(other, ..)| *other != block) {
            self.0.insert(place, (block, found, why));
        }
    }
}

/// What is wrong, without the file and the place, which stand beside it.
fn said(error: &Error) -> String {
    match error {
        Error::Corrupt { damage, .. } => damage.to_string(),
        error => error.to_string(),
    }
}
