//! Makes a run that fails shorter: what is not needed for the failure goes.

use super::world::{Action, Change, Failure, Settings, Value, World};

/// A run that fails.
#[derive(Clone, Debug)]
pub struct Failing {
    /// What the world is made of.
    pub settings: Settings,
    /// What is done to it. The last action is the one during which the failure shows.
    pub actions: Vec<Action>,
    /// The failure.
    pub failure: Failure,
}

impl Failing {
    /// Gives a world these actions; `None` when none of them fails.
    pub fn find(settings: Settings, actions: &[Action]) -> Option<Self> {
        let mut world = World::new(settings);
        for (index, action) in actions.iter().enumerate() {
            if let Err(failure) = world.act(action) {
                let actions = actions.get(..=index)?.to_vec();
                return Some(Failing { settings, actions, failure: *failure });
            }
        }
        None
    }

    /// A shorter run with a failure of the same invariant: first whole stretches of actions are left
    /// out, half of them, a quarter and so on; then single mutations; then values get short. `tries`
    /// bounds how many runs that takes.
    pub fn shrink(self, tries: usize) -> Self {
        let mut search = Search { best: self, tries };
        loop {
            let before = (search.best.actions.len(), search.tries);
            search.drop_stretches();
            search.drop_changes();
            search.shorten_values();
            if search.tries == 0 || search.best.actions.len() == before.0 {
                return search.best;
            }
        }
    }
}

struct Search {
    best: Failing,
    tries: usize,
}

impl Search {
    /// Whether these actions fail in the same way; if so, they are the best so far.
    fn adopt(&mut self, actions: Vec<Action>) -> bool {
        let Some(left) = self.tries.checked_sub(1) else { return false };
        self.tries = left;
        let invariant = self.best.failure.violation.invariant;
        match Failing::find(self.best.settings, &actions) {
            Some(found) if found.failure.violation.invariant == invariant => {
                self.best = found;
                true
            }
            _ => false,
        }
    }

    fn drop_stretches(&mut self) {
        let mut stretch = self.best.actions.len().div_ceil(2);
        while stretch > 0 {
            let mut start = 0;
            while start < self.best.actions.len() && self.tries > 0 {
                let end = (start + stretch).min(self.best.actions.len());
                let mut actions = self.best.actions.clone();
                actions.drain(start..end);
                if !self.adopt(actions) {
                    start = end;
                }
            }
            stretch /= 2;
        }
    }

    fn drop_changes(&mut self) {
        for index in 0..self.best.actions.len() {
            let mut place = 0;
            while let Some(changes) = self.changes(index) {
                if place >= changes.len() || changes.len() == 1 || self.tries == 0 {
                    break;
                }
                let mut fewer = changes.to_vec();
                fewer.remove(place);
                if !self.adopt(self.with_changes(index, fewer)) {
                    place += 1;
                }
            }
        }
    }

    fn shorten_values(&mut self) {
        for index in 0..self.best.actions.len() {
            let Some(changes) = self.changes(index) else { continue };
            let short = |change: &Change| {
                let short = || Value::Text("x".to_owned());
                Change { key: change.key.clone(), value: change.value.as_ref().map(|_| short()) }
            };
            let shortened: Vec<Change> = changes.iter().map(short).collect();
            if shortened != changes {
                self.adopt(self.with_changes(index, shortened));
            }
        }
    }

    fn changes(&self, index: usize) -> Option<&[Change]> {
        match self.best.actions.get(index)? {
            Action::Queue(changes) | Action::Flush(changes) => Some(changes),
            _ => None,
        }
    }

    fn with_changes(&self, index: usize, changes: Vec<Change>) -> Vec<Action> {
        let mut actions = self.best.actions.clone();
        if let Some(action) = actions.get_mut(index) {
            *action = match action {
                Action::Flush(_) => Action::Flush(changes),
                _ => Action::Queue(changes),
            };
        }
        actions
    }
}
