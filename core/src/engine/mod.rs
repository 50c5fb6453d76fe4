//! The engine on native hosts: threads that drive the flushers and compactions of a data directory.
//!
//! ```
//! use std::sync::Arc;
//! use tailswap::device::{MemoryVolume, SystemHost};
//! use tailswap::engine::{Engine, EngineOptions, set};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let volume = Arc::new(MemoryVolume::new());
//! let engine = Engine::open(volume, Arc::new(SystemHost::new()?), EngineOptions::default())?;
//! engine.create(0)?;
//! let accepted = engine.mutate(0, set(b"greeting", br#"{"hello":"world"}"#))?;
//! engine.wait_persisted(accepted)?;
//! engine.compact(0, Default::default())?.wait()?;
//! assert_eq!(engine.snapshot(0)?.counts().live, 1);
//! engine.shutdown()?;
//! # Ok(())
//! # }
//! ```

mod admin;
mod ahead;
mod automatic;
mod compactors;
mod flushers;
mod handle;
mod lookups;
pub mod metrics;
mod options;
mod reclaim;
mod shared;
mod source;
mod threads;
mod waking;
mod write_behind;

pub use compactors::CompactionTicket;
pub use handle::{Accepted, Engine, Recovered, delete, set};
pub use lookups::ThreadedLookups;
pub use options::{AutomaticCompaction, EngineOptions};
pub use source::{ThreadedSource, ThreadedVisits};
pub use write_behind::WriteBehind;
