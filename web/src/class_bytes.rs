//! How much of a file each class has, and what each block holds most of.

use tailswap::limits::BLOCK_SIZE;

use crate::file_history::{Class, ClassBytes, FileHistory, Revived};

impl FileHistory {
    /// What each class has right after an event.
    pub fn class_bytes(&self, event: usize) -> ClassBytes {
        // Nothing changes in a file that is gone, and a long trace has many of them.
        match event < self.removed {
            true => self.count(event),
            false => *self.last_bytes.get_or_init(|| self.count(self.removed)),
        }
    }

    /// Asked for with every frame, of files of many thousand chunks: what lies between chunks is what is
    /// left over.
    fn count(&self, event: usize) -> ClassBytes {
        let mut bytes = ClassBytes::default();
        for chunk in self.known(event).iter().filter(|chunk| chunk.cut > event) {
            let is_live = self.dead_since(chunk, event).is_none();
            bytes[Class::of(chunk, is_live) as usize] += chunk.end.saturating_sub(chunk.start);
        }
        let between = self.length(event).saturating_sub(bytes.iter().sum());
        bytes[Class::Slack as usize] += between;
        bytes
    }

    /// Which blocks are not the same right after one event and right after another.
    pub fn changed_blocks(&self, one: usize, other: usize) -> Vec<bool> {
        let (first, last) = (one.min(other), one.max(other));
        let is_between = |event: usize| first < event && event <= last;
        let mut changed = vec![false; self.longest.div_ceil(BLOCK_SIZE) as usize];
        let mut gap_from = 0;
        for chunk in self.known(last) {
            let is_revived =
                |revived: &Revived| is_between(revived.died) || is_between(revived.again);
            if is_between(chunk.born)
                || is_between(chunk.died)
                || is_between(chunk.cut)
                || self.revived_at(chunk.start).iter().any(is_revived)
            {
                // With the slack before it.
                for (block, ..) in blocks_of(chunk.start.min(gap_from), chunk.end) {
                    if let Some(is_changed) = changed.get_mut(block as usize) {
                        *is_changed = true;
                    }
                }
            }
            gap_from = chunk.end;
        }
        changed
    }

    /// The blocks that are wanted, each with its number and the class that has most of its bytes right after
    /// an event; a header has its block for itself.
    pub fn block_classes(
        &self,
        event: usize,
        is_wanted: &dyn Fn(u64) -> bool,
    ) -> Vec<(u64, Class)> {
        let mut classes = Vec::new();
        let (mut current, mut bytes) = (None, ClassBytes::default());
        let mut add = |start: u64, end: u64, class: &dyn Fn() -> Class| {
            if start >= end {
                return;
            }
            for (block, from, to) in blocks_of(start, end).filter(|(block, ..)| is_wanted(*block)) {
                if current != Some(block) {
                    classes.extend(current.map(|before| (before, most(&bytes))));
                    (current, bytes) = (Some(block), ClassBytes::default());
                }
                bytes[class() as usize] += to - from;
            }
        };
        let mut gap_from = 0;
        for chunk in self.known(event).iter().filter(|chunk| chunk.cut > event) {
            add(gap_from, chunk.start, &|| Class::Slack);
            let class = || Class::of(chunk, self.dead_since(chunk, event).is_none());
            add(chunk.start, chunk.end, &class);
            gap_from = chunk.end;
        }
        classes.extend(current.map(|last| (last, most(&bytes))));
        classes
    }
}

/// The class with most bytes; a header's, if it has any.
fn most(bytes: &ClassBytes) -> Class {
    let most = Class::ALL.into_iter().max_by_key(|class| bytes[*class as usize]);
    match bytes[Class::Header as usize] {
        0 => most.unwrap_or(Class::Slack),
        _ => Class::Header,
    }
}

/// The blocks that bytes lie in, each with where they begin and end in the file.
pub fn blocks_of(start: u64, end: u64) -> impl Iterator<Item = (u64, u64, u64)> {
    (start / BLOCK_SIZE..end.div_ceil(BLOCK_SIZE)).map(move |block| {
        let from = block * BLOCK_SIZE;
        (block, start.max(from), end.min(from + BLOCK_SIZE))
    })
}
