//! `cargo xtask mutants`: changes to the code that no test notices.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::command::{announce, program, root};
use crate::tools;

/// What cargo-mutants ends with when tests went on for too long with a change. It says nothing of the
/// other changes then.
const TESTS_TIMED_OUT: i32 = 3;

/// Changes what `.cargo/mutants.toml` names, or only what fits these expressions, and runs for each
/// change the tests that are named there.
pub(crate) fn run_mutants(only: &[String]) -> Result<()> {
    let folder = root().join("target").join("mutants");
    let mut command = program(tools::cargo_mutants()?, &["mutants", "--jobs", "1", "--output"]);
    // It works on a copy of the sources; dependencies need not be built again for each.
    command.arg(&folder).env("CARGO_TARGET_DIR", folder.join("built"));
    for expression in only {
        command.args(["--re", expression]);
    }
    announce(&command);
    let status = command.status().context("cannot start cargo-mutants")?;
    if !status.success() && status.code() != Some(TESTS_TIMED_OUT) {
        bail!("changes that no test noticed, or tests that fail without one ({status})");
    }
    let missed = fs::read_to_string(folder.join("mutants.out").join("missed.txt"))?;
    if !missed.is_empty() {
        bail!("changes that no test noticed:\n{missed}");
    }
    Ok(())
}
