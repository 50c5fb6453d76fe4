//! `cargo xtask fuzz`: the fuzz targets of `fuzz/`, on a nightly compiler.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::command::{program, root, run};
use crate::tools;

/// Allocations larger than this are a failure, in MiB: no file that is tried justifies them.
const ALLOCATION_MAX: &str = "-malloc_limit_mb=128";
/// So is an input that takes longer, in seconds.
const TIMEOUT: &str = "-timeout=20";

/// A program of `fuzz/fuzz_targets`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// Any bytes as a file: opened, read, checked, compacted.
    Open,
    /// A golden file damaged under right checksums.
    Reseal,
    /// The compaction of a golden file damaged in several ways.
    Compact,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Target::Open => "open",
            Target::Reseal => "reseal",
            Target::Compact => "compact",
        }
    }

    /// Longest input that is tried, in bytes.
    fn input_max(self) -> &'static str {
        match self {
            Target::Open => "-max_len=40000",
            // Choices, a byte or a few each.
            Target::Reseal | Target::Compact => "-max_len=400",
        }
    }
}

/// Runs one target, or one after another, for so long each.
pub(crate) fn run_fuzz(only: Option<Target>, minutes: u64) -> Result<()> {
    let fuzz = tools::cargo_fuzz()?;
    tools::nightly()?;
    let built = root().join("target").join("fuzz");
    let all = Target::value_variants().iter().copied();
    for target in all.filter(|target| only.is_none_or(|only| only == *target)) {
        let name = target.name();
        let corpus = built.join("corpus").join(name);
        let found = built.join("artifacts").join(name);
        fs::create_dir_all(&corpus)?;
        fs::create_dir_all(&found)?;
        if target == Target::Open {
            seed(&corpus)?;
        }
        let mut command = program("rustup", &["run", "nightly"]);
        command.arg(&fuzz).args(["fuzz", "run", "--fuzz-dir", "fuzz", "--target-dir"]).arg(&built);
        command.arg(name).arg(&corpus).arg("--");
        command.arg(format!("-artifact_prefix={}/", found.display()));
        command.arg(format!("-max_total_time={}", minutes * 60));
        command.args([target.input_max(), TIMEOUT, ALLOCATION_MAX, "-print_final_stats=1"]);
        // Cargo's own, which the toolchain that runs this set, would win over nightly's.
        command.env_remove("CARGO");
        run(&mut command)
            .with_context(|| format!("{name}: what it failed on is in {}", found.display()))?;
    }
    Ok(())
}

/// Copies the golden files, sound and damaged, to where the fuzzer looks for inputs.
fn seed(corpus: &Path) -> Result<()> {
    let golden = root().join("core/tests/golden");
    for folder in [golden.clone(), golden.join("corrupt")] {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if let Some(name) = path.file_name()
                && path.extension().is_some_and(|extension| extension == "couch")
            {
                fs::copy(&path, corpus.join(name))?;
            }
        }
    }
    Ok(())
}
