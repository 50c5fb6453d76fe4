//! A file from elsewhere as what a simulated world begins with.

use tailswap::Result;
use tailswap::device::MemoryVolume;
use tailswap::event::{Events, FileName};
use tailswap::format::names::file_name;
use tailswap::format::vbstate::{VBSTATE_ID, VbState};
use tailswap::sim::machines::VBUCKET;
use tailswap::sim::steady::Load;
use tailswap::store::check::Severity;
use tailswap::store::{Batch, LocalUpdate, OpenMode, Snapshot, Store};

use super::OwnFile;
use crate::file_history::FileHistory;
use crate::parameters::Parameters;

/// A run keeps every document in memory, several times, and reads all of them after each flush.
const LENGTH_MAX: usize = 16 << 20;
const DOCUMENTS_MAX: u64 = 20_000;
/// Documents that are changed meanwhile are among the first so many.
const KEYS_MAX: usize = 2000;
/// Bytes of a value that is written meanwhile, at most.
const VALUE_MAX: usize = 8192;
/// Flushes that the copying of a file may come with, about: each costs a run as much as reading it all.
const FLUSHES: u64 = 60;
/// Bytes that a compaction copies a second, about, beside the writers.
const COPIED_PER_SECOND: u64 = 60_000_000;
/// The identity of a history that has none.
const UUID: u64 = 1;

/// What a world begins with.
#[derive(Debug)]
pub struct Origin {
    file: Vec<u8>,
    keys: Vec<String>,
    value_bytes: usize,
}

impl Origin {
    /// The file, made one that a vbucket can have: what lies behind its newest sound header is cut off,
    /// and where it has no vbucket's state, it is given one.
    ///
    /// # Errors
    /// Why no world can begin with it, in words.
    pub fn of(own: &OwnFile) -> std::result::Result<Origin, String> {
        let newest = own.newest.as_ref().ok_or("no header of it can be read")?;
        let (length, counts) = (own.bytes().len(), newest.counts());
        if length > LENGTH_MAX || counts.live + counts.deleted > DOCUMENTS_MAX {
            return Err(format!(
                "a run takes files of up to {} MiB and {DOCUMENTS_MAX} documents, as it keeps every \
                 state of them. The command compacts any: tailswap compact",
                LENGTH_MAX >> 20
            ));
        }
        let file = fitted(own, newest).map_err(|error| error.to_string())?;
        let mut fit = OwnFile::open(&file_name(VBUCKET, 1), file);
        while fit.step() {}
        let is_problem = |severity| severity == Severity::Problem;
        if let Some(problem) = fit.findings().iter().find(|found| is_problem(found.severity)) {
            return Err(format!("it is damaged at byte {}: {}", problem.offset, problem.what));
        }
        let documents = keys(newest).map_err(|error| error.to_string())?;
        let value_bytes = counts.body_bytes / (counts.live + counts.deleted).max(1);
        Ok(Origin {
            file: fit.bytes().to_vec(),
            keys: documents,
            value_bytes: (value_bytes as usize).clamp(16, VALUE_MAX),
        })
    }

    /// These parameters with a load that fits the file: writers change its documents, a compaction
    /// begins soon.
    pub fn parameters(&self, parameters: Parameters) -> Parameters {
        let usual = Load::on(parameters.settings.device);
        let copying_ns = self.file.len() as u64 * 1_000_000_000 / COPIED_PER_SECOND;
        // Each flush takes two syncs.
        let flushes = copying_ns / parameters.settings.device.sync_ns.max(1) / 2;
        let mutations_per_second = usual.mutations_per_second * FLUSHES / flushes.max(FLUSHES);
        let load = Load {
            documents: self.keys.len().max(1),
            value_bytes: self.value_bytes,
            compact_at_percent: 0,
            mutations_per_second: mutations_per_second.max(1),
            ..usual
        };
        Parameters { load, ..parameters }
    }

    pub(crate) fn file(&self) -> &[u8] {
        &self.file
    }

    /// Keys of documents that writers change.
    pub(crate) fn keys(&self) -> &[String] {
        &self.keys
    }

    /// What the file holds before anything happens to it.
    pub(crate) fn history(&self, name: &str) -> FileHistory {
        let own = OwnFile::open(name, self.file.to_vec());
        let last = own.last_moment();
        own.history.frozen(last)
    }
}

/// The bytes of the file that a vbucket can have.
fn fitted(own: &OwnFile, newest: &Snapshot) -> Result<Vec<u8>> {
    let name = file_name(VBUCKET, 1);
    let cannot = |error: std::io::Error| {
        tailswap::Error::io(tailswap::error::IoOp::Write, &FileName::from(&*name), None, error)
    };
    let is_strict = own.findings().iter().all(|found| found.severity != Severity::Problem);
    let end = if is_strict { own.bytes().len() as u64 } else { newest.end() };
    let bytes = own.bytes.between(0, end).to_vec();
    let state = newest.local(VBSTATE_ID)?;
    if state.is_some_and(|json| VbState::decode(&json).is_some()) {
        return Ok(bytes);
    }
    let volume = MemoryVolume::new();
    volume.put(&name, bytes).map_err(cannot)?;
    let (mut store, _) = Store::open(&volume, &name, OpenMode::Strict, Events::none())?;
    let value = Some(VbState::new_active(UUID).encode());
    let locals = vec![LocalUpdate { id: VBSTATE_ID.to_vec(), value }];
    store.save(Batch { documents: Vec::new(), locals }, newest.header().timestamp_ns)?;
    Ok(volume.get(&name).unwrap_or_default())
}

/// Keys of live documents of the default collection that a line of a scenario can name.
fn keys(newest: &Snapshot) -> Result<Vec<String>> {
    let mut keys = Vec::new();
    let mut documents = newest.documents_by_id(b"", None)?;
    while let Some(info) = documents.next_ref()? {
        let Some((0, key)) = info.id.split_first() else { continue };
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.:".contains(byte);
        let is_named = !key.is_empty() && key.iter().all(|byte| is_plain(byte) || *byte == b'-');
        if info.deleted || !is_named || key.starts_with(b"-") || keys.len() >= KEYS_MAX {
            continue;
        }
        keys.push(String::from_utf8_lossy(key).into_owned());
    }
    Ok(keys)
}
