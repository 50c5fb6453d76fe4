//! `cargo xtask mutants`: changes to the code that no test notices.

use anyhow::{Context, Result};

use crate::command::{program, root, run};
use crate::tools;

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
    run(&mut command).context("a change that no test noticed, or tests that fail without one")
}
