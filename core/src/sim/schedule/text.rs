//! A schedule as a line of text: what a failure prints, and what runs it again.

use std::fmt;
use std::str::FromStr;

use super::{Bounds, Control};
use crate::sim::disk::{DiskRules, Profile};
use crate::store::CommitStyle;

/// One schedule: who had each turn, and what else was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Within which bounds it was chosen.
    pub bounds: Bounds,
    /// What crashes can do in it.
    pub rules: DiskRules,
    /// The choices, as [`Choices::replayed`](crate::sim::Choices::replayed) takes them.
    pub choices: Vec<usize>,
}

/// Names of what is done beside.
const CONTROLS: [(&str, Control); 9] = [
    ("delete", Control::Delete),
    ("recreate", Control::Recreate),
    ("rollback", Control::Rollback),
    ("rollback-to-nothing", Control::RollbackToNothing),
    ("cancel", Control::Cancel),
    ("second-compaction", Control::SecondCompaction),
    ("locals", Control::Locals),
    ("io-error", Control::IoError),
    ("failed-sync", Control::FailedSync),
];

impl Schedule {
    /// The command that runs it again.
    pub fn command(&self) -> String {
        format!("tailswap sim --schedule '{self}'")
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bounds { switches, control, max_stall_ns, value_length, commits } = self.bounds;
        write!(f, "switches={switches} stall={max_stall_ns} length={value_length} {}", self.rules)?;
        if commits != CommitStyle::default() {
            write!(f, " commits={}", commits.name())?;
        }
        if let Some((control, turn)) = control {
            let name = CONTROLS.iter().find(|(_, known)| *known == control);
            write!(f, " control={}@{turn}", name.map_or("?", |(name, _)| name))?;
        }
        let choices: Vec<String> = self.choices.iter().map(ToString::to_string).collect();
        write!(f, " choices={}", choices.join(","))
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (bounds, rules) = (Bounds::default(), DiskRules::new(Profile::Posix));
        let mut schedule = Schedule { bounds, rules, choices: Vec::new() };
        for word in text.split_whitespace() {
            let unknown = || format!("{word:?} says nothing of a schedule");
            let (name, value) = word.split_once('=').ok_or_else(unknown)?;
            let bounds = &mut schedule.bounds;
            match name {
                "switches" => bounds.switches = number(value)?,
                "stall" => bounds.max_stall_ns = number(value)?,
                "length" => bounds.value_length = number(value)?,
                "commits" => bounds.commits = CommitStyle::named(value).ok_or_else(unknown)?,
                "control" => {
                    let (name, turn) = value.split_once('@').ok_or_else(unknown)?;
                    let control = CONTROLS.iter().find(|(known, _)| *known == name);
                    bounds.control = Some((control.ok_or_else(unknown)?.1, number(turn)?));
                }
                "choices" => {
                    let choices = value.split(',').filter(|choice| !choice.is_empty());
                    schedule.choices = choices.map(number).collect::<Result<_, String>>()?;
                }
                _ if schedule.rules.set(name, value) => {}
                _ => return Err(unknown()),
            }
        }
        Ok(schedule)
    }
}

fn number<T: FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("{word:?} is no number that fits here"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_read_back_from_its_line() {
        let controls = Control::ALL.into_iter().map(|control| Some((control, 17)));
        for (number, control) in controls.chain([None]).enumerate() {
            let commits = CommitStyle::ALL[number % 2];
            let bounds = Bounds {
                switches: 3,
                control,
                max_stall_ns: u64::MAX,
                value_length: 3000,
                commits,
            };
            let rules = DiskRules { profile: Profile::Journaled, sector: 4096 };
            for choices in [vec![], vec![1, 0, 1]] {
                let schedule = Schedule { bounds, rules, choices };
                assert_eq!(schedule.to_string().parse(), Ok(schedule));
            }
        }
    }

    #[test]
    fn a_line_that_is_none_says_why() {
        for (line, why) in [
            ("lunch", "\"lunch\" says nothing of a schedule"),
            ("control=lunch@3", "\"control=lunch@3\" says nothing"),
            ("control=delete", "\"control=delete\" says nothing"),
            ("sector=513", "\"sector=513\" says nothing"),
            ("choices=1,x", "\"x\" is no number"),
        ] {
            let said = line.parse::<Schedule>();
            assert!(said.as_ref().is_err_and(|said| said.contains(why)), "{line}: {said:?}");
        }
    }
}
