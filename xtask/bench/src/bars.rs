//! What the engine wants to reach, and whether it did.

use serde::Serialize;

use self::Quantity::{
    Beside, CpuSeconds, Figure, Floors, Gigabytes, Growth, Megabytes, MicrosecondsEach,
    NanosecondsPerByte, Ratio,
};
use crate::cases::{Case, Measurement, Subject, Workload};
use crate::documents::Documents;
use crate::plan::Row;

/// A bar, and what was reached.
#[derive(Debug, Serialize)]
pub(crate) struct Bar {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    pub(crate) at_most: f64,
    pub(crate) reached: f64,
}

impl Bar {
    pub(crate) fn met(&self) -> bool {
        self.reached <= self.at_most
    }
}

/// What was measured, by what it is.
struct Rows<'a>(&'a [Row]);

impl Rows<'_> {
    fn find(
        &self,
        subject: Subject,
        workload: Workload,
        documents: Documents,
    ) -> Option<&Measurement> {
        let case = Case { documents, workload, subject };
        self.0.iter().find(|row| row.case == case).map(|row| &row.medians)
    }

    /// The documents of a workload: the most there were of this length.
    fn documents(&self, workload: Workload, body_len: usize) -> Option<Documents> {
        let cases = self.0.iter().map(|row| row.case);
        cases
            .filter(|case| case.workload == workload && case.documents.body_len == body_len)
            .map(|case| case.documents)
            .max()
    }
}

/// All bars about which something was measured.
pub(crate) fn bars(rows: &[Row]) -> Vec<Bar> {
    let mut bars = Vec::new();
    for (body_len, own) in [(256, SMALL), (4096, LARGE)] {
        for (workload, limits) in own {
            let rows = Rows(rows);
            let Some(documents) = rows.documents(*workload, body_len) else { continue };
            let Some(measured) = rows.find(Subject::Tailswap, *workload, documents) else {
                continue;
            };
            let copied = rows.find(Subject::Floor, Workload::CopyFile, documents);
            let half = rows.find(Subject::Tailswap, *workload, documents.divided(2));
            for &(quantity, at_most) in *limits {
                let scale = documents.count as f64 / if body_len == 256 { 1e6 } else { 2e5 };
                let value = match quantity {
                    Quantity::Floors => copied.map(|floor| measured.seconds / floor.seconds),
                    Quantity::MicrosecondsEach => {
                        Some(measured.seconds * 1e6 / measured.operations as f64)
                    }
                    // Of fewer documents, as if there were all.
                    Quantity::CpuSeconds => Some(measured.cpu_seconds / scale),
                    Quantity::Gigabytes => Some(measured.bytes as f64 / 1e9 / scale),
                    Quantity::NanosecondsPerByte => {
                        Some(measured.seconds * 1e9 / measured.bytes as f64)
                    }
                    Quantity::Megabytes => Some(measured.peak_bytes as f64 / 1e6),
                    Quantity::Growth => half.map(|half| measured.seconds / half.seconds),
                    Quantity::Figure(name) => measured.figures.get(name).copied(),
                    Quantity::Beside(other) => rows
                        .find(Subject::Tailswap, other, documents)
                        .map(|other| measured.seconds / other.seconds),
                    Quantity::Ratio(name, to) => {
                        let figures = &measured.figures;
                        figures.get(name).zip(figures.get(to)).map(|(name, to)| name / to)
                    }
                };
                let what =
                    format!("{workload}, {} × {body_len} B: {}", documents.count, quantity.name());
                let unit = quantity.unit();
                bars.extend(value.map(|reached| Bar { what, unit, at_most, reached }));
            }
        }
    }
    bars
}

#[derive(Clone, Copy)]
enum Quantity {
    Floors,
    MicrosecondsEach,
    CpuSeconds,
    Gigabytes,
    NanosecondsPerByte,
    Megabytes,
    Growth,
    Figure(&'static str),
    Ratio(&'static str, &'static str),
    Beside(Workload),
}

impl Quantity {
    fn name(self) -> String {
        match self {
            Quantity::Floors => "time beside copying the file (F)".to_owned(),
            Quantity::MicrosecondsEach => "time for each".to_owned(),
            Quantity::CpuSeconds => "time of the processor".to_owned(),
            Quantity::Gigabytes => "length of the file".to_owned(),
            Quantity::NanosecondsPerByte => "time for a byte".to_owned(),
            Quantity::Megabytes => "peak memory".to_owned(),
            Quantity::Growth => "time beside that of half as many".to_owned(),
            Quantity::Figure(name) => name.to_owned(),
            Quantity::Ratio(name, to) => format!("{name} / {to}"),
            Quantity::Beside(other) => format!("time beside {other}"),
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Quantity::Floors => "F",
            Quantity::MicrosecondsEach => "µs",
            Quantity::CpuSeconds => "s",
            Quantity::Gigabytes => "GB",
            Quantity::NanosecondsPerByte => "ns",
            Quantity::Megabytes => "MB",
            Quantity::Growth | Quantity::Ratio(..) | Quantity::Beside(_) => "×",
            Quantity::Figure(_) => "",
        }
    }
}

/// The limits of a workload, each in its quantity's unit.
type Limits = [(Workload, &'static [(Quantity, f64)])];

/// Of documents of 256 bytes.
const SMALL: &Limits = &[
    (
        Workload::Load,
        &[(MicrosecondsEach, 5.5), (Gigabytes, 4.49), (Megabytes, 100.0), (Growth, 2.2)],
    ),
    (Workload::Compact, &[(Floors, 3.0), (CpuSeconds, 1.0), (Megabytes, 100.0), (Growth, 2.2)]),
    (Workload::Get, &[(MicrosecondsEach, 5.5), (Megabytes, 20.0)]),
    (Workload::GetCached, &[(MicrosecondsEach, 2.0), (Megabytes, 84.0)]),
    (Workload::MultiGet, &[(MicrosecondsEach, 1.6), (Megabytes, 20.0)]),
    (Workload::MultiGetCached, &[(MicrosecondsEach, 1.6), (Megabytes, 84.0)]),
    (Workload::ScanBodies, &[(MicrosecondsEach, 0.18), (Megabytes, 20.0), (Growth, 2.2)]),
    (Workload::ScanIds, &[(MicrosecondsEach, 0.07), (Megabytes, 20.0), (Growth, 2.2)]),
    (
        Workload::CommitOneOneSlowSync,
        &[(Figure("syncs a commit"), 1.0), (Beside(Workload::CommitOneSlowSync), 0.6)],
    ),
    (
        Workload::CommitHundredOneSlowSync,
        &[(Figure("syncs a commit"), 1.0), (Beside(Workload::CommitHundredSlowSync), 0.6)],
    ),
    (
        Workload::Live,
        &[
            (Figure("lock held without syncs, ms"), 20.0),
            (Ratio("compacting max, ms", "idle max, ms"), 2.0),
            (Ratio("compacting p99, ms", "idle p99, ms"), 1.5),
        ],
    ),
    (
        Workload::LiveFlatOut,
        &[
            (Figure("rounds"), 10.0),
            (Figure("lock held without syncs, ms"), 20.0),
            (Ratio("compacting max, ms", "idle max, ms"), 2.0),
        ],
    ),
];

/// Of documents of 4 KiB.
const LARGE: &Limits = &[
    (Workload::Load, &[(MicrosecondsEach, 3.5), (Megabytes, 100.0), (Growth, 2.2)]),
    (Workload::Compact, &[(Floors, 1.25), (Megabytes, 100.0), (Growth, 2.2)]),
    (Workload::Get, &[(MicrosecondsEach, 5.5), (Megabytes, 20.0)]),
    (Workload::GetCached, &[(MicrosecondsEach, 2.0), (Megabytes, 84.0)]),
    (Workload::MultiGet, &[(MicrosecondsEach, 1.6), (Megabytes, 20.0)]),
    (Workload::MultiGetCached, &[(MicrosecondsEach, 1.6), (Megabytes, 84.0)]),
    // 3.5 GB a second.
    (Workload::ScanBodies, &[(NanosecondsPerByte, 1.0 / 3.5), (Megabytes, 20.0), (Growth, 2.2)]),
];
