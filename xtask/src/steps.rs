//! The steps of `cargo xtask test`, in their order.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::browser::Browser;
use crate::canaries;
use crate::command::{self, cargo, program};
use crate::summary::Summary;
use crate::tools;
use crate::visits;

/// A step of `cargo xtask test`. Each runs alone, too, and installs what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// The code is formatted.
    Format,
    /// Clippy has nothing to say, neither natively nor for WebAssembly.
    Clippy,
    /// Dependencies come from where they may, under licences that fit.
    Licences,
    /// The documentation builds without a warning.
    Docs,
    /// All native tests, with the check of the layering and the documentation's examples.
    Native,
    /// The engine's threads under a model checker.
    Shuttle,
    /// Bugs that are planted one at a time are caught.
    Canaries,
    /// All tests in headless Chromium.
    Wasm,
    /// The page as it is served, used in headless Chromium with the keyboard, and a click.
    Page,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Step::Format => "format",
            Step::Clippy => "clippy",
            Step::Licences => "licences",
            Step::Docs => "docs",
            Step::Native => "native",
            Step::Shuttle => "shuttle",
            Step::Canaries => "canaries",
            Step::Wasm => "wasm",
            Step::Page => "page",
        }
    }
}

/// Runs these steps, or all if none is named, up to the first that fails.
pub(crate) fn run(only: &[Step]) -> Result<()> {
    let mut summary = Summary::default();
    let mut result = Ok(());
    for &step in Step::value_variants() {
        if !only.is_empty() && !only.contains(&step) {
            continue;
        }
        println!("\n==== {} ====", step.name());
        let start = Instant::now();
        result =
            run_step(step, &mut summary).with_context(|| format!("step {} failed", step.name()));
        summary.enter(step.name(), start.elapsed(), result.is_ok());
        if result.is_err() {
            break;
        }
    }
    println!("\n==== summary ====\n{summary}");
    result
}

fn run_step(step: Step, summary: &mut Summary) -> Result<()> {
    match step {
        Step::Format => format(),
        Step::Clippy => clippy(),
        Step::Licences => licences(),
        Step::Docs => docs(),
        Step::Native => native(summary),
        Step::Shuttle => shuttle(summary),
        Step::Canaries => canaries::check(),
        Step::Wasm => wasm(summary),
        Step::Page => page(),
    }
}

fn format() -> Result<()> {
    tools::component("rustfmt", "fmt")?;
    command::run(&mut cargo(&["fmt", "--all", "--check"]))
}

fn clippy() -> Result<()> {
    tools::component("clippy", "clippy")?;
    tools::wasm_target()?;
    command::run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    command::run(&mut with_shuttle("clippy", &["--", "-D", "warnings"]))?;
    let with_bugs = ["clippy", "--package", "tailswap", "--features", "canary"];
    command::run(cargo(&with_bugs).args(["--", "-D", "warnings"]))?;
    command::run(&mut for_wasm(&["clippy", "--all-targets"], &["--", "-D", "warnings"]))
}

fn licences() -> Result<()> {
    let deny = tools::cargo_deny()?;
    command::run(&mut program(deny, &["--locked", "check", "licenses", "bans", "sources"]))
}

fn docs() -> Result<()> {
    let mut cargo = cargo(&["doc", "--workspace", "--no-deps"]);
    command::run(cargo.env("RUSTDOCFLAGS", "-D warnings"))
}

fn native(summary: &mut Summary) -> Result<()> {
    // The benchmarks have no tests, and other stores to compile.
    let mut cargo = cargo(&["test", "--workspace", "--exclude", "tailswap-bench"]);
    if let Some(seed) = fresh_seed() {
        cargo.env("TAILSWAP_FRESH_SEED", seed.to_string());
    }
    summary.count(command::run_tests(&mut cargo)?);
    Ok(())
}

/// The commit as a number, so that each tries random worlds of its own, and the same ones again.
fn fresh_seed() -> Option<u32> {
    let head = program("git", &["rev-parse", "HEAD"]).output().ok()?;
    let hash = String::from_utf8(head.stdout).ok()?;
    u32::from_str_radix(hash.get(..8)?, 16).ok()
}

fn shuttle(summary: &mut Summary) -> Result<()> {
    summary.count(command::run_tests(&mut with_shuttle("test", &[]))?);
    Ok(())
}

/// A command of Cargo's on the suite whose locks and threads are the model checker's. That is a feature
/// of its own, because nothing else works with them.
fn with_shuttle(subcommand: &str, last: &[&str]) -> Command {
    let mut cargo = cargo(&[subcommand, "--package", "tailswap"]);
    cargo.args(["--features", "shuttle", "--test", "shuttle"]).args(last);
    cargo
}

fn wasm(summary: &mut Summary) -> Result<()> {
    tools::wasm_target()?;
    let browser = Browser::find_or_install()?;
    let runner = tools::wasm_runner()?;
    let mut cargo = for_wasm(&["test", "--test", "web"], &[]);
    cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", runner);
    browser.configure(&mut cargo);
    summary.count(command::run_tests(&mut cargo)?);
    Ok(())
}

fn page() -> Result<()> {
    let visits = visits::visit(&Browser::find_or_install()?)?;
    println!("{visits} visits of the page");
    Ok(())
}

/// A command of Cargo's on the crate for the browser, compiled for it. Flags that were set for the
/// native compiler do not fit WebAssembly.
fn for_wasm(args: &[&str], last: &[&str]) -> Command {
    let mut cargo = cargo(args);
    cargo.args(["--package", "tailswap-web", "--target", tools::WASM_TARGET]).args(last);
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo
}
