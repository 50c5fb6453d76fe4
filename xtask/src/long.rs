//! `cargo xtask long`: the suites that take too long for every change.
//!
//! A long suite is a test whose name begins with `long_` and that is ignored otherwise; it is found
//! by that. It prints what it tried.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::command::{cargo, run_tests};
use crate::summary::Summary;

/// Runs the long tests of these test files, or of all: `core/tests/NAME.rs` or `core/tests/NAME/`.
pub(crate) fn run_long(only: &[String]) -> Result<()> {
    // One after another: each uses all processors itself.
    let mut args = vec!["test", "--profile", "long", "--package", "tailswap"];
    match only {
        [] => args.push("--tests"),
        only => only.iter().for_each(|name| args.extend(["--test", name])),
    }
    args.extend(["--", "--ignored", "--nocapture", "--test-threads", "1", "long_"]);
    let (mut summary, began) = (Summary::default(), Instant::now());
    let result = run_tests(&mut cargo(&args)).map(|count| summary.count(count));
    summary.enter("long", began.elapsed(), result.is_ok());
    println!("\n==== summary ====\n{summary}");
    result.context("a long suite failed")
}
