//! `cargo xtask bench`: how fast the engine is, beside floors and other stores.

use std::env;

use anyhow::Result;

use crate::browser::Browser;
use crate::command::{cargo, program, root, run};
use crate::page::Page;
use crate::tools::target_folder;
use crate::visits::with_served;
use crate::webdriver::Session;

/// Builds the program that measures, and has it measure all, or only these workloads. All of it goes into
/// `docs/BENCHMARKS.md`.
pub(crate) fn run_bench(quick: bool, only: &[String], remark: Option<&str>) -> Result<()> {
    run(&mut cargo(&["build", "--release", "--package", "tailswap-bench"]))?;
    let target = target_folder();
    let document = match quick || !only.is_empty() {
        true => target.join("BENCHMARKS.md"),
        false => root().join("docs/BENCHMARKS.md"),
    };
    let mut bench = program(target.join("release/tailswap-bench"), &[]);
    bench.arg("--browser").arg(env::current_exe()?);
    bench.arg("--folder").arg(target.join("bench-files"));
    bench.arg("--json").arg(target.join("benchmarks.json")).arg("--document").arg(document);
    only.iter().for_each(|workload| {
        bench.args(["--only", workload]);
    });
    if quick {
        bench.arg("--quick");
    }
    if let Some(remark) = remark {
        bench.args(["--remark", remark]);
    }
    run(&mut bench)
}

/// Runs a script in the page, in headless Chromium, and prints what it hands to its last argument.
pub(crate) fn run_in_page(script: &str) -> Result<()> {
    let page = Page::build()?;
    let browser = Browser::find_or_install()?;
    with_served(&page, |address| {
        let session = Session::start(&browser)?;
        session.open(address)?;
        println!("{}", session.run_until_done(script)?);
        Ok(())
    })
}
