//! `tailswap serve`: the page, from this very binary.

use std::borrow::Cow;
use std::io::Write;

use clap::Args;
use tailswap_www::{Files, Served};

use crate::exit::{Failure, Outcome, Status};
use crate::output;

/// The page's files and their names, put here by `build.rs`.
const PAGE: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// Serve the page on which the engine can be watched, until Ctrl-C
///
/// Only this machine can reach it, and it asks nobody else for anything.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tailswap serve --port 8080")]
pub(crate) struct Serve {
    /// Where; 0 for any port that is free
    #[arg(long, default_value_t = 8000)]
    port: u16,
}

impl Serve {
    pub(crate) fn run(&self) -> Outcome {
        if PAGE.is_empty() {
            let failure = Failure::refused("this binary was built without the page");
            return Err(failure.with_hint("`cargo xtask release` builds one that has it"));
        }
        let files: Files =
            PAGE.iter().map(|(name, bytes)| ((*name).to_owned(), Cow::Borrowed(*bytes))).collect();
        let cannot =
            |error| Failure::io(format_args!("port {}: cannot listen: {error}", self.port));
        let served = Served::start(files, self.port).map_err(cannot)?;
        let mut out = output::styled();
        writeln!(out, "The page: {}   (Ctrl+C ends it)", served.address)?;
        out.flush()?;
        served.join().map_err(cannot)?;
        Ok(Status::Fine)
    }
}
