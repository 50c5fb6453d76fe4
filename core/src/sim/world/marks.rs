//! What came together with what: proof that runs met what they were made for.

use std::fmt;
use std::io::ErrorKind;

use litemap::LiteMap;

use super::text::{operation_name, phase_name};
use crate::device::Operation;
use crate::event::Phase;

/// How often each thing happened in each phase of a compaction, or in none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    actions: Cells,
    operations: Cells,
    failures: Cells,
}

type Cells = LiteMap<(Option<Phase>, &'static str), u64>;

/// Whether a fault made an operation fail: its errors are of these kinds. That a file is not there,
/// say, is none.
pub(super) fn is_fault(operation: &Operation) -> bool {
    matches!(operation.error, Some(ErrorKind::Other | ErrorKind::StorageFull))
}

impl Marks {
    pub(super) fn action(&mut self, phase: Option<Phase>, verb: &'static str) {
        *self.actions.entry((phase, verb)).or_default() += 1;
    }

    pub(super) fn operation(&mut self, phase: Option<Phase>, operation: &Operation) {
        let key = (phase, operation_name(operation.op));
        *self.operations.entry(key).or_default() += 1;
        if is_fault(operation) {
            *self.failures.entry(key).or_default() += 1;
        }
    }

    /// Adds those of another world.
    pub fn add(&mut self, other: &Marks) {
        for (own, others) in [
            (&mut self.actions, &other.actions),
            (&mut self.operations, &other.operations),
            (&mut self.failures, &other.failures),
        ] {
            for (key, count) in others {
                *own.entry(*key).or_default() += count;
            }
        }
    }

    /// How often an action of this verb was taken in a phase, and not refused.
    pub fn actions(&self, phase: Option<Phase>, verb: &'static str) -> u64 {
        self.actions.get(&(phase, verb)).copied().unwrap_or(0)
    }

    /// Operations that were carried out at least `often` times in a phase and never failed there.
    pub fn never_failed(&self, often: u64) -> Vec<(Option<Phase>, &'static str)> {
        let common = self.operations.iter().filter(|(_, count)| **count >= often);
        common.map(|(key, _)| *key).filter(|key| !self.failures.contains_key(key)).collect()
    }
}

/// Three tables: actions, operations and failures of operations, by phase.
impl fmt::Display for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, cells) in [
            ("actions", &self.actions),
            ("operations", &self.operations),
            ("failures", &self.failures),
        ] {
            let mut columns: Vec<&str> = cells.keys().map(|(_, column)| *column).collect();
            columns.sort_unstable();
            columns.dedup();
            let mut rows: Vec<Option<Phase>> = cells.keys().map(|(phase, _)| *phase).collect();
            rows.dedup();
            write!(f, "{title:12}")?;
            columns.iter().try_for_each(|column| write!(f, " {column:>9.9}"))?;
            for row in rows {
                write!(f, "\n  {:10}", row.map_or("idle", phase_name))?;
                for column in &columns {
                    match cells.get(&(row, *column)) {
                        Some(count) => write!(f, " {count:>9}")?,
                        None => write!(f, " {:>9}", "-")?,
                    }
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
