//! The states that a vbucket was to have, one after another, and when each was issued and
//! acknowledged: what may be there after a crash at any moment.

use std::ops::Range;

use super::contents::Contents;

/// One state of a vbucket.
#[derive(Clone, Debug)]
pub struct Version {
    /// What made it, in words.
    pub label: String,
    /// What it holds; `None` when there is no vbucket.
    pub contents: Option<Contents>,
    /// Operations on the disk before anything of it was written.
    pub issued: usize,
    /// Operations on the disk when it was acknowledged.
    pub acknowledged: Option<usize>,
    /// Operations on the disk when it was certain that it never comes.
    pub withdrawn: Option<usize>,
}

/// All states of a vbucket, in their order.
#[derive(Clone, Debug)]
pub struct History {
    versions: Vec<Version>,
}

impl Default for History {
    fn default() -> Self {
        let label = "no vbucket yet".to_owned();
        let first =
            Version { label, contents: None, issued: 0, acknowledged: Some(0), withdrawn: None };
        History { versions: vec![first] }
    }
}

impl History {
    /// A history that begins with these contents, durably.
    pub fn from_contents(contents: Contents) -> Self {
        let mut history = History::default();
        let version = history.issue("what was there before".to_owned(), Some(contents), 0);
        history.acknowledge(version, 0);
        history
    }

    /// The next state; returns its number.
    pub fn issue(&mut self, label: String, contents: Option<Contents>, at: usize) -> usize {
        let (acknowledged, withdrawn) = (None, None);
        self.versions.push(Version { label, contents, issued: at, acknowledged, withdrawn });
        self.versions.len() - 1
    }

    /// A state is durable.
    pub fn acknowledge(&mut self, version: usize, at: usize) {
        if let Some(version) = self.versions.get_mut(version) {
            version.acknowledged = Some(at);
        }
    }

    /// A state that failed can not come back any more.
    pub fn withdraw(&mut self, version: usize, at: usize) {
        if let Some(version) = self.versions.get_mut(version) {
            version.withdrawn = Some(at);
        }
    }

    /// All states.
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// The newest state that was not withdrawn.
    pub fn newest(&self) -> Option<&Contents> {
        self.newest_but(&[])
    }

    /// The newest state that was not withdrawn and is none of these.
    pub fn newest_but(&self, others: &[usize]) -> Option<&Contents> {
        let mut newest = self.versions.iter().enumerate().rev();
        let newest = newest
            .find(|(number, version)| version.withdrawn.is_none() && !others.contains(number));
        newest.and_then(|(_, version)| version.contents.as_ref())
    }

    /// The newest state that was acknowledged.
    pub fn acknowledged(&self) -> Option<&Version> {
        self.versions.iter().rev().find(|version| version.acknowledged.is_some())
    }

    /// The numbers of the states that may be there when the machine stops after so many operations,
    /// unless they [were withdrawn](Self::may_be_there): the newest acknowledged one, and those that
    /// were issued since.
    pub fn allowed(&self, at: usize) -> Range<usize> {
        let by = |moment: Option<usize>| moment.is_some_and(|moment| moment <= at);
        let first = self.versions.iter().rposition(|version| by(version.acknowledged));
        let end = self.versions.partition_point(|version| version.issued <= at);
        first.unwrap_or(0)..end
    }

    /// Whether a state was not withdrawn by then.
    pub fn may_be_there(&self, version: usize, at: usize) -> bool {
        let withdrawn = self.versions.get(version).and_then(|version| version.withdrawn);
        withdrawn.is_none_or(|withdrawn| withdrawn > at)
    }
}
