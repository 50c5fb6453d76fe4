//! The `tailswap` command.

use std::process::ExitCode;

use clap::Parser;

/// Couchstore files, a flusher and compaction that run in parallel.
#[derive(Debug, Parser)]
#[command(name = "tailswap", version, arg_required_else_help = true)]
struct Cli {}

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(Cli {}) => ExitCode::SUCCESS,
        Err(error) => {
            // Help and version go to standard output and are no failure. When not even the message
            // can be written, the exit code still tells.
            let printed = error.print().is_ok();
            if error.use_stderr() || !printed { ExitCode::from(2) } else { ExitCode::SUCCESS }
        }
    }
}
