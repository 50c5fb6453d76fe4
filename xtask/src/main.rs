//! Tailswap's chores. `cargo xtask demo` shows the main job, `cargo xtask web` and `cargo xtask release`
//! build what others get; `cargo xtask test` is all that a change
//! must pass; `cargo xtask long` and `cargo xtask fuzz` look further; `cargo xtask coverage` and
//! `cargo xtask mutants` tell what no test looks at, `cargo xtask measure` how fast the page is,
//! `cargo xtask bench` how fast the engine.

mod access;
mod alone;
mod bench;
mod browser;
mod bundle;
mod canaries;
mod command;
mod coverage;
mod demo;
mod fuzz;
mod lessons;
mod long;
mod measure;
mod mutants;
mod own_files;
mod page;
mod shorten;
mod single_file;
mod steps;
mod summary;
mod tools;
mod visits;
mod webdriver;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::fuzz::Target;
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
    /// Builds the page, on which the engine can be watched, and serves it on this machine.
    Demo {
        /// Instead, streams orders through `tailswap run` until three compactions have swapped, and
        /// shows the file.
        #[arg(long, conflicts_with = "port")]
        native: bool,
        /// Where to serve the page; 0 for any port that is free.
        #[arg(long, default_value_t = 8000)]
        port: u16,
    },
    /// Builds the page into `target/page`, for any server of files.
    Web {
        /// As one file instead, which needs no server: `target/tailswap.html`.
        #[arg(long)]
        single_file: bool,
    },
    /// Builds the command as it is given to others: with the page in it, for `tailswap serve`.
    Release,
    /// Tells how fast the page is, in headless Chromium, on a machine that has nothing else to do.
    Measure,
    /// Tells how fast the engine is, beside other stores and what the machine takes for the least that
    /// has to be done.
    ///
    /// Files of up to 12 GB go to `target/bench-files`. The table is printed, written to
    /// `target/benchmarks.json`, and, if all was measured, to `docs/BENCHMARKS.md`.
    Bench {
        /// A tenth of the documents.
        #[arg(long)]
        quick: bool,
        /// Only this workload; may be given several times. A wrong one shows them all.
        #[arg(long, value_name = "WORKLOAD")]
        only: Vec<String>,
        /// What to say of this run in the table, such as what else the machine did.
        #[arg(long)]
        remark: Option<String>,
    },
    /// Runs a script in the page, for `bench`.
    #[command(hide = true)]
    InPage {
        /// JavaScript, which calls its last argument with what it comes to.
        script: String,
    },
    /// Checks everything that a change must pass, installing first what is missing for it.
    Test {
        /// Only this step; may be given several times.
        #[arg(long, value_name = "STEP")]
        only: Vec<Step>,
    },
    /// Runs the suites that take too long for every change: all tests named `long_…`.
    Long {
        /// Only those of this file of `core/tests`; may be given several times.
        #[arg(long, value_name = "TEST")]
        only: Vec<String>,
    },
    /// Runs fuzz targets, installing first what is missing: a nightly compiler and cargo-fuzz.
    ///
    /// Inputs begin with the golden files and are kept, like what fails, in `target/fuzz`.
    Fuzz {
        /// Only this target; all, one after another, without it.
        target: Option<Target>,
        /// Minutes for each.
        #[arg(
            long,
            value_name = "M",
            default_value_t = 5,
            value_parser = clap::value_parser!(u64).range(1..)
        )]
        minutes: u64,
    },
    /// Shows how much of the core the tests reach, the engine's threads apart; 95 % at least.
    Coverage,
    /// Changes the code of commit, catch-up and swap in many ways, each of which a test must notice.
    ///
    /// Results are kept in `target/mutants`. What no test can notice is named, with the reason, in
    /// `.cargo/mutants.toml`.
    Mutants {
        /// Only changes whose description fits one of these expressions, such as `swap.rs`.
        #[arg(long, value_name = "REGEX")]
        only: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().chore {
        Chore::Demo { native: true, .. } => demo::run_demo(),
        Chore::Demo { port, .. } => page::serve(port),
        Chore::Web { single_file } => page::write(single_file),
        Chore::Release => page::release(),
        Chore::Measure => measure::run_measure(),
        Chore::Bench { quick, only, remark } => bench::run_bench(quick, &only, remark.as_deref()),
        Chore::InPage { script } => bench::run_in_page(&script),
        Chore::Test { only } => steps::run(&only),
        Chore::Long { only } => long::run_long(&only),
        Chore::Fuzz { target, minutes } => fuzz::run_fuzz(target, minutes),
        Chore::Coverage => coverage::run_coverage(),
        Chore::Mutants { only } => mutants::run_mutants(&only),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
