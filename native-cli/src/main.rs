//! The `tailswap` command.

mod arguments;
mod commands;
mod exit;
mod input;
mod mutations;
mod output;
mod target;

use std::process::ExitCode;

use clap::Parser;

use crate::commands::Command;
use crate::exit::Status;

/// Couchstore files: looking into them, checking, compacting and loading them, and the engine whose
/// flusher and compaction run in parallel.
#[derive(Debug, Parser)]
#[command(
    name = "tailswap",
    version,
    arg_required_else_help = true,
    styles = output::style::CLAP,
    after_help = EXIT_CODES
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 fine, 1 what was asked does not hold (check failed, key not found), 2 usage,
3 a path that leads nowhere or to something else, or unreadable or damaged input,
4 I/O: reading or writing fails, a name is taken, another writer is there.

`tailswap COMMAND --help` has examples.";

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output and are no failure. When not even the message
            // can be written, the exit code still tells.
            let printed = error.print().is_ok();
            let status = error.use_stderr() || !printed;
            return if status { Status::Usage } else { Status::Fine }.into();
        }
    };
    let status = cli.command.run().unwrap_or_else(|failure| failure.tell());
    status.into()
}
