//! Makes a run that fails shorter: what is not needed for the failure goes.

use super::world::{Action, Change, Failure, Settings, Value, World};

/// A run that fails.
#[derive(Clone, Debug)]
pub struct FailingRun {
    /// What the world is made of.
    pub settings: Settings,
    /// What is done to it. The last action is the one during which the failure shows.
    pub actions: Vec<Action>,
    /// The failure.
    pub failure: Failure,
}

impl FailingRun {
    /// Gives a world these actions; `None` when none of them fails.
    pub fn find(settings: Settings, actions: &[Action]) -> Option<Self> {
        let mut world = World::new(settings);
        for (index, action) in actions.iter().enumerate() {
            if let Err(failure) = world.act(action) {
                let actions = actions.get(..=index)?.to_vec();
                return Some(FailingRun { settings, actions, failure: *failure });
            }
        }
        None
    }

    /// A shorter run in which the same invariant does not hold. Takes up to `tries` runs.
    pub fn shrink(self, tries: usize) -> Self {
        let (settings, invariant) = (self.settings, self.failure.violation.invariant);
        let mut best = self;
        shrink(best.actions.clone(), tries, |actions| {
            let found = FailingRun::find(settings, actions)?;
            let same = found.failure.violation.invariant == invariant;
            same.then(|| {
                let actions = found.actions.clone();
                best = found;
                actions
            })
        });
        best
    }
}

/// The shortest list of actions found that still fails: whole stretches are left out first, half of
/// the list, a quarter and so on; then single changes of documents; then values get short. `fails`
/// is asked up to `tries` times, and says how much of a list fails, if it does.
pub fn shrink(
    actions: Vec<Action>,
    tries: usize,
    fails: impl FnMut(&[Action]) -> Option<Vec<Action>>,
) -> Vec<Action> {
    let mut search = Search { best: actions, tries, fails };
    loop {
        let before = search.best.len();
        search.drop_stretches();
        search.drop_changes();
        search.shorten_values();
        if search.tries == 0 || search.best.len() == before {
            return search.best;
        }
    }
}

struct Search<F> {
    best: Vec<Action>,
    tries: usize,
    fails: F,
}

impl<F: FnMut(&[Action]) -> Option<Vec<Action>>> Search<F> {
    /// Whether these actions fail; if so, they are the best so far.
    fn adopt(&mut self, actions: &[Action]) -> bool {
        let Some(left) = self.tries.checked_sub(1) else { return false };
        self.tries = left;
        match (self.fails)(actions) {
            Some(failing) => {
                self.best = failing;
                true
            }
            None => false,
        }
    }

    fn drop_stretches(&mut self) {
        let mut stretch = self.best.len().div_ceil(2);
        while stretch > 0 {
            let mut start = 0;
            while start < self.best.len() && self.tries > 0 {
                let end = (start + stretch).min(self.best.len());
                let mut actions = self.best.clone();
                actions.drain(start..end);
                if !self.adopt(&actions) {
                    start = end;
                }
            }
            stretch /= 2;
        }
    }

    fn drop_changes(&mut self) {
        for index in 0..self.best.len() {
            let mut place = 0;
            while let Some(changes) = self.changes(index) {
                if place >= changes.len() || changes.len() == 1 || self.tries == 0 {
                    break;
                }
                let mut fewer = changes.to_vec();
                fewer.remove(place);
                if !self.adopt(&self.with_changes(index, fewer)) {
                    place += 1;
                }
            }
        }
    }

    fn shorten_values(&mut self) {
        let short = |change: &Change| {
            let short = |_: &Value| Value::Text("x".to_owned());
            Change { key: change.key.clone(), value: change.value.as_ref().map(short) }
        };
        for index in 0..self.best.len() {
            let Some(changes) = self.changes(index) else { continue };
            let shortened: Vec<Change> = changes.iter().map(short).collect();
            if shortened != changes {
                self.adopt(&self.with_changes(index, shortened));
            }
        }
    }

    fn changes(&self, index: usize) -> Option<&[Change]> {
        match self.best.get(index)? {
            Action::Queue(changes) | Action::Flush(changes) => Some(changes),
            _ => None,
        }
    }

    fn with_changes(&self, index: usize, changes: Vec<Change>) -> Vec<Action> {
        let mut actions = self.best.clone();
        if let Some(action) = actions.get_mut(index) {
            *action = match action {
                Action::Flush(_) => Action::Flush(changes),
                _ => Action::Queue(changes),
            };
        }
        actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::swarm::{Faults, Life, live};
    use crate::sim::world::Turn;

    /// A run "fails" here once some key was deleted and the disk had a turn after that.
    fn fails(actions: &[Action]) -> Option<Vec<Action>> {
        let deletes = |action: &Action| match action {
            Action::Queue(changes) => changes.iter().any(|change| change.value.is_none()),
            _ => false,
        };
        let deleted = actions.iter().position(deletes)?;
        let later = actions.get(deleted..)?;
        let after = later.iter().position(|action| *action == Action::Turn(Turn::Disk, 1))?;
        actions.get(..=deleted + after).map(<[Action]>::to_vec)
    }

    #[test]
    fn what_a_failure_does_not_need_goes() {
        let lives = (1..100).map(|seed| live(&mut Life::new(seed, Faults::ALL, 60)).0);
        let mut failing = lives.filter_map(|world| fails(world.actions()));
        let long = failing.find(|actions| actions.len() > 10).unwrap_or_default();
        let short = shrink(long.clone(), 1000, fails);
        let lines: Vec<String> = short.iter().map(ToString::to_string).collect();
        assert!(lines.len() == 2 && lines[0].starts_with("queue -"), "{lines:?}");
        assert_eq!(lines[1], "turn disk");
        assert_eq!(shrink(long.clone(), 0, fails), long);
    }
}
