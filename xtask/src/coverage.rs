//! `cargo xtask coverage`: the lines of the core that its tests reach.

use anyhow::{Context, Result};

use crate::command::{program, run};
use crate::tools;

/// Per cent of lines that must be reached.
const LINES_MIN: &str = "95";
/// Not counted: what real threads do there depends on their timing.
const NOT_COUNTED: &str = "core/src/engine/";

/// Runs the core's tests and shows, for each file, what they reach and which lines they do not.
pub(crate) fn run_coverage() -> Result<()> {
    let mut command = program(tools::cargo_llvm_cov()?, &["llvm-cov", "--package", "tailswap"]);
    command.args(["--ignore-filename-regex", NOT_COUNTED, "--show-missing-lines"]);
    command.args(["--fail-under-lines", LINES_MIN, "--lib", "--tests"]);
    // It needs a component of the toolchain, and may install that without asking.
    command.env("CARGO_LLVM_COV_SETUP", "yes");
    run(&mut command).with_context(|| format!("tests failed, or reach less than {LINES_MIN} %"))
}
