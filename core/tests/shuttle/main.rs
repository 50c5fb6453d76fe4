//! The engine's own threads under a model checker, which decides at every lock, channel and thread's
//! end who goes on: what was acknowledged is there, everyone is answered, nobody waits for ever. (The
//! checker's waits have no time limits, so that a wake-up that is lost is a deadlock.)
//!
//! `cargo test -p tailswap --features shuttle --test shuttle`. Seeds are fixed: a failure comes again
//! by itself, and its schedule, which is printed, alone with `TAILSWAP_SCHEDULE`. Another
//! `SHUTTLE_RANDOM_SEED` tries other schedules.
#![allow(clippy::unwrap_used, clippy::panic)]

mod checker;
mod handoff;
mod lookups;
mod scenarios;
