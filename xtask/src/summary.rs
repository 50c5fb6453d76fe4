//! What a run tells at its end: each step with its time, and how many tests ran.

use std::fmt;
use std::time::Duration;

/// How many tests there were, as the test runners' closing lines tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TestCount {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
}

impl TestCount {
    /// Counts what a line says, if it is a closing line: `test result: ok. 3 passed; 0 failed; …`.
    pub(crate) fn add_line(&mut self, line: &str) {
        let Some(rest) = line.trim_start().strip_prefix("test result: ") else { return };
        let Some((_, counts)) = rest.split_once(". ") else { return };
        for part in counts.split(';') {
            let Some((number, what)) = part.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what.trim() {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }

    /// Adds another count.
    pub(crate) fn add(&mut self, other: TestCount) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

/// One line of the table.
struct Row {
    name: &'static str,
    took: Duration,
    ok: bool,
}

/// The table of the steps that ran.
#[derive(Default)]
pub(crate) struct Summary {
    rows: Vec<Row>,
    tests: TestCount,
}

impl Summary {
    /// Enters a step that ended.
    pub(crate) fn enter(&mut self, name: &'static str, took: Duration, ok: bool) {
        self.rows.push(Row { name, took, ok });
    }

    /// Adds tests that ran.
    pub(crate) fn count(&mut self, tests: TestCount) {
        self.tests.add(tests);
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut total = Duration::ZERO;
        writeln!(f, "{:<12}{:>10}  result", "step", "seconds")?;
        for Row { name, took, ok } in &self.rows {
            let result = if *ok { "ok" } else { "FAILED" };
            writeln!(f, "{name:<12}{:>10.1}  {result}", took.as_secs_f64())?;
            total += *took;
        }
        writeln!(f, "{:<12}{:>10.1}", "all", total.as_secs_f64())?;
        let TestCount { passed, failed, ignored } = self.tests;
        if passed + failed > 0 {
            writeln!(f, "\ntests: {passed} passed, {failed} failed, {ignored} skipped")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_counted_and_nothing_else() {
        let mut count = TestCount::default();
        count.add_line("test limits::seq ... ok");
        count.add_line(
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s\n",
        );
        count.add_line("    test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 filtered out; finished in 0.05s");
        assert_eq!(count, TestCount { passed: 7, failed: 2, ignored: 1 });
    }

    #[test]
    fn a_failed_step_shows() {
        let mut summary = Summary::default();
        summary.enter("format", Duration::from_millis(1500), true);
        summary.enter("clippy", Duration::from_secs(2), false);
        let text = summary.to_string();
        assert!(text.contains("format             1.5  ok"), "{text}");
        assert!(text.contains("clippy             2.0  FAILED"), "{text}");
        assert!(!text.contains("passed"), "{text}");
    }
}
