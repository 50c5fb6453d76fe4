//! Tailswap's chores. `cargo xtask demo` shows the main job; `cargo xtask test` is all that a change
//! must pass.

mod browser;
mod canaries;
mod command;
mod demo;
mod steps;
mod summary;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::steps::Step;

/// Tailswap's chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Streams orders through `tailswap run` until three compactions have swapped, and shows the file.
    Demo,
    /// Checks everything that a change must pass, installing first what is missing for it.
    Test {
        /// Only this step; may be given several times.
        #[arg(long, value_name = "STEP")]
        only: Vec<Step>,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().chore {
        Chore::Demo => demo::run_demo(),
        Chore::Test { only } => steps::run(&only),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
