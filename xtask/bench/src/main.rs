//! How fast the engine is, beside what the machine takes for the least that has to be done and beside
//! other stores; run by `cargo xtask bench`.

mod bars;
mod cases;
mod device;
mod documents;
mod floors;
mod live;
mod machine;
mod measure;
mod plan;
mod report;
mod simulated;
mod stores;
mod usage;

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

use crate::cases::{Case, Workload};
use crate::plan::{Plan, Row};
use crate::report::Report;

/// Measures the engine, floors and other stores.
#[derive(Parser)]
struct Cli {
    /// A tenth of the documents.
    #[arg(long)]
    quick: bool,
    /// Only this workload; may be given several times.
    #[arg(long, value_name = "WORKLOAD")]
    only: Vec<Workload>,
    /// How often each is measured, for medians.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// What else to say of this run, such as what the machine did beside it.
    #[arg(long, default_value = "")]
    remark: String,
    /// Where files may be put; whatever is in it goes.
    #[arg(long)]
    folder: PathBuf,
    /// Where the table is written as JSON.
    #[arg(long, default_value = "benchmarks.json")]
    json: PathBuf,
    /// Where the table is written as Markdown.
    #[arg(long, default_value = "BENCHMARKS.md")]
    document: PathBuf,
    /// The program that runs a script in the page, given as its last argument, and prints what it
    /// comes to. Without it, nothing is measured in a browser.
    #[arg(long, value_name = "PROGRAM")]
    browser: Option<PathBuf>,
    /// Measures one case, for the process that asks for it.
    #[arg(long, hide = true)]
    measure: Option<String>,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    if let Some(case) = &cli.measure {
        let case: Case = serde_json::from_str(case)?;
        println!("{}", serde_json::to_string(&measure::measure(case, &cli.folder)?)?);
        return Ok(());
    }
    if cli.folder.exists() {
        fs::remove_dir_all(&cli.folder)?;
    }
    fs::create_dir_all(&cli.folder)?;
    let plan = Plan { quick: cli.quick, only: cli.only, runs: cli.runs, browser: cli.browser };
    let (machine, remark) = (machine::describe()?, cli.remark);
    let report = |rows: &[Row], is_whole| Report {
        machine: machine.clone(),
        remark: remark.clone(),
        is_whole,
        rows: rows.to_vec(),
        bars: bars::bars(rows),
    };
    let write = |report: Report| -> Result<()> {
        fs::write(&cli.json, serde_json::to_string_pretty(&report)?)?;
        Ok(fs::write(&cli.document, report.text())?)
    };
    let rows = plan.carry_out(&cli.folder, |rows| write(report(rows, false)))?;
    fs::remove_dir_all(&cli.folder)?;
    println!("{}", report(&rows, true).text());
    write(report(&rows, true))
}
