//! Making mutations up: the same workload and seed give the same ones.

use bytes::Bytes;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Zipf};
use tailswap::engine::{delete, set};

use super::workload::Workload;
use crate::mutations::Change;

/// What values are made of: text that compresses about as JSON does.
const WORDS: [&str; 32] = [
    "amber", "anchor", "basin", "birch", "cargo", "cedar", "delta", "drift", "ember", "estuary",
    "fathom", "ferry", "gannet", "harbour", "inlet", "jetty", "kelp", "lagoon", "marsh", "narrows",
    "osprey", "pier", "quay", "reef", "shoal", "tide", "undertow", "vessel", "wharf", "yawl",
    "zephyr", "zenith",
];

/// Spreads the numbers of documents over all keys, so that those which are written often lie far
/// from each other by id. Odd, so that no two numbers meet.
const SCATTER: u32 = 0x9e37_79b1;

/// Makes one mutation after the other.
pub(super) struct Generator {
    workload: Workload,
    random: ChaCha8Rng,
    /// Documents written so far; each is written first in the order of its number.
    known: u64,
    made: u64,
}

impl Generator {
    pub(super) fn new(workload: Workload, seed: u64) -> Self {
        Generator { workload, random: ChaCha8Rng::seed_from_u64(seed), known: 0, made: 0 }
    }

    /// The next mutation.
    pub(super) fn next_change(&mut self) -> Change {
        self.made += 1;
        let kind: f64 = self.random.random();
        let Workload { documents, updates, deletes, .. } = self.workload;
        let again = self.known > 0 && (kind < updates + deletes || self.known == documents);
        let number = if again { self.pick() } else { self.known };
        self.known = self.known.max(number + 1);
        let key = key(number);
        let mutation = if again && kind < deletes {
            delete(key.as_bytes())
        } else {
            let mut mutation = set(key.as_bytes(), b"");
            mutation.value = Some(self.value(&key));
            mutation
        };
        Change { vb: None, mutation }
    }

    /// A document that was written already; low numbers are picked more often.
    fn pick(&mut self) -> u64 {
        let known = self.known;
        match Zipf::new(known as f64, self.workload.skew) {
            Ok(zipf) => (zipf.sample(&mut self.random) as u64).clamp(1, known) - 1,
            // Only for numbers that a workload does not allow.
            Err(_) => self.random.random_range(0..known),
        }
    }

    fn value(&mut self, key: &str) -> Bytes {
        let size = self.random.random_range(self.workload.sizes.clone());
        let mut value = format!(r#"{{"key":"{key}","n":{},"text":""#, self.made);
        let text_end = size.saturating_sub(2);
        while value.len() < text_end {
            let word = self.random.next_u32() as usize % WORDS.len();
            value.push_str(WORDS[word]);
            value.push(' ');
        }
        // Only ASCII, and never shorter than what stands before the text.
        value.truncate(text_end.max(value.len().min(text_start(key, self.made))));
        value.push_str(r#""}"#);
        Bytes::from(value)
    }
}

/// Length of a value up to where its text begins.
fn text_start(key: &str, made: u64) -> usize {
    r#"{"key":"","n":,"text":""#.len() + key.len() + made.to_string().len()
}

fn key(number: u64) -> String {
    // Beyond 2^32 documents the order of numbers shows; keys stay distinct.
    let (high, low) = (number >> 32, (number as u32).wrapping_mul(SCATTER));
    match high {
        0 => format!("doc-{low:08x}"),
        _ => format!("doc-{low:08x}-{high}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn made(spec: &str, seed: u64, count: usize) -> Vec<Change> {
        let mut generator = Generator::new(spec.parse().unwrap(), seed);
        (0..count).map(|_| generator.next_change()).collect()
    }

    #[test]
    fn a_seed_gives_the_same_mutations() {
        assert_eq!(made("documents=50", 3, 500), made("documents=50", 3, 500));
        assert_ne!(made("documents=50", 3, 500), made("documents=50", 4, 500));
    }

    #[test]
    fn keys_and_values_are_as_ordered() {
        let changes = made("documents=50,sizes=60..200,deletes=10", 1, 2000);
        let keys: BTreeSet<&[u8]> = changes.iter().map(Change::key).collect();
        assert_eq!(keys.len(), 50);
        let deletions = changes.iter().filter(|change| change.mutation.deleted).count();
        assert!((100..300).contains(&deletions), "{deletions}");
        for value in changes.iter().filter_map(|change| change.mutation.value.as_ref()) {
            assert!((60..=200).contains(&value.len()), "{value:?}");
            let json: serde_json::Value = serde_json::from_slice(value).unwrap();
            assert!(json["key"].is_string());
        }
    }

    #[test]
    fn values_too_short_for_what_they_say_are_still_json() {
        for change in made("documents=3,sizes=0..5", 1, 20) {
            if let Some(value) = change.mutation.value {
                serde_json::from_slice::<serde_json::Value>(&value).unwrap();
            }
        }
    }

    #[test]
    fn skew_prefers_some() {
        let most = |spec: &str| {
            let changes = made(spec, 1, 5000);
            let keys: BTreeSet<&[u8]> = changes.iter().map(Change::key).collect();
            let count = |key: &&[u8]| changes.iter().filter(|change| change.key() == *key).count();
            keys.iter().map(count).max().unwrap()
        };
        assert!(most("documents=100,skew=1.2") > 3 * most("documents=100,skew=0"));
    }
}
