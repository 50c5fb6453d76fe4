//! The table: printed, as JSON, and as a document.

use std::fmt::Write as _;

use serde::Serialize;

use crate::bars::Bar;
use crate::cases::Workload;
use crate::plan::Row;

/// What is said of how it was measured.
const METHOD: &str = include_str!("method.md");

/// All that a run came to.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) machine: String,
    /// What else is said of the run.
    pub(crate) remark: String,
    /// Whether the run came to its end.
    pub(crate) is_whole: bool,
    pub(crate) rows: Vec<Row>,
    pub(crate) bars: Vec<Bar>,
}

impl Report {
    /// As Markdown, which also reads well in a terminal.
    pub(crate) fn text(&self) -> String {
        let mut text = String::from("# Benchmarks\n\n");
        let _ = writeln!(text, "Measured on: {}. {}\n", self.machine, self.remark);
        if !self.is_whole {
            text.push_str("The run did not come to its end: what is missing was not measured.\n\n");
        }
        text.push_str(METHOD);
        text.push('\n');
        let mut workload = None;
        for row in &self.rows {
            if workload.replace(row.case.workload) != Some(row.case.workload) {
                let name = row.case.workload;
                let _ = writeln!(text, "\n## {name}\n\n{}.\n\n{HEAD}", what(name));
            }
            let _ = writeln!(text, "{}", self.line(row));
        }
        if !self.bars.is_empty() {
            let _ = writeln!(text, "\n## Bars\n\n| | at most | reached | |\n|---|--:|--:|---|");
        }
        for bar in &self.bars {
            let Bar { what, unit, at_most, reached } = bar;
            let met = if bar.met() { "met" } else { "**missed**" };
            let (at_most, reached) = (number(*at_most), number(*reached));
            let _ = writeln!(text, "| {what} | {at_most} {unit} | {reached} {unit} | {met} |");
        }
        text
    }

    fn line(&self, row: &Row) -> String {
        let (case, measured) = (row.case, &row.medians);
        let each = measured.seconds * 1e6 / measured.operations.max(1) as f64;
        let floor = self.rows.iter().find(|floor| {
            floor.case.workload == Workload::CopyFile && floor.case.documents == case.documents
        });
        let mut further = Vec::new();
        if let Some(floor) = floor.filter(|_| case.workload == Workload::Compact) {
            further.push(format!("{} F", number(measured.seconds / floor.medians.seconds)));
        }
        if measured.bytes > 0 {
            further.push(format!("{} MB", number(measured.bytes as f64 / 1e6)));
        }
        let figures = measured.figures.iter();
        further.extend(figures.map(|(name, value)| format!("{name}: {}", number(*value))));
        // What a browser takes beside time is not told.
        let told = |value: f64| if value == 0.0 { "–".to_owned() } else { number(value) };
        format!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            case.subject,
            case.documents,
            number(measured.seconds),
            told(measured.cpu_seconds),
            number(each),
            told(measured.peak_bytes as f64 / 1e6),
            further.join("; "),
        )
    }
}

const HEAD: &str = "| | documents | wall, s | CPU, s | each, µs | peak, MB | |\n\
    |---|---|--:|--:|--:|--:|---|";

/// The help of a workload, which says what it is.
fn what(workload: Workload) -> String {
    let value = clap::ValueEnum::to_possible_value(&workload);
    value.and_then(|value| value.get_help().map(ToString::to_string)).unwrap_or_default()
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
