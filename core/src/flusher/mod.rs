//! The flusher: makes queued mutations durable, batch by batch.

pub mod queue;
