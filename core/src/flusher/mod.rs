//! The flusher: makes queued mutations durable, batch by batch.

mod flush;
mod machine;
pub mod queue;

pub use machine::{Dirty, Flusher};
