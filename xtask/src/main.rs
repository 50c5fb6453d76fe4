//! Tailswap's chores. `cargo xtask test` is all that a change must pass.

mod browser;
mod command;
mod steps;
mod summary;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::steps::Step;

/// Tailswap's chores.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Checks everything that a change must pass, installing first what is missing for it.
    Test {
        /// Only this step; may be given several times.
        #[arg(long, value_name = "STEP")]
        only: Vec<Step>,
    },
}

fn main() -> ExitCode {
    let Cli { chore: Chore::Test { only } } = Cli::parse();
    match steps::run(&only) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
