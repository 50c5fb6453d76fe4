//! The flusher: makes queued mutations durable, batch by batch.

mod flush;
mod machine;
pub mod queue;
mod stamp;

pub use flush::{advance_state, doc_update};
pub use machine::{Dirty, Flusher};
pub use stamp::Stamp;
