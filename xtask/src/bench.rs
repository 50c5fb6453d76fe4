//! `cargo xtask bench`: how fast the engine is, beside floors and other stores.

use anyhow::Result;

use crate::command::{cargo, program, root, run};
use crate::tools::target_folder;

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
