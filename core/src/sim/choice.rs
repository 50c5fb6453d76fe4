//! The one choice source: the only nondeterminism of a simulated world.
//!
//! Whoever could go on in several ways asks for a number. Where the numbers come from decides what
//! kind of test it is: a seed gives one long random run, the odometer gives every run there is, and
//! a recorded list gives a run again.
//!
//! ```
//! use tailswap::sim::Choices;
//!
//! let mut choices = Choices::exhaustive();
//! let mut seen = Vec::new();
//! loop {
//!     let heads = choices.choose(2) == 0;
//!     seen.push(if heads { 10 + choices.choose(3) } else { 0 });
//!     if !choices.next_run() {
//!         break;
//!     }
//! }
//! assert_eq!(seen, [10, 11, 12, 0]);
//! ```

use std::fmt;

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};

/// One choice that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What was chosen: below `of`.
    pub chosen: usize,
    /// How many possibilities there were.
    pub of: usize,
}

/// Where choices come from, and which were made so far in this run.
#[derive(Clone, Debug)]
pub struct Choices {
    source: Source,
    made: Vec<Choice>,
}

#[derive(Clone)]
enum Source {
    Seeded {
        seed: u64,
        generator: Pcg64Mcg,
    },
    /// An odometer: this run repeats `prefix` and then always takes the first possibility.
    Exhaustive {
        prefix: Vec<usize>,
    },
    Replayed {
        list: Vec<usize>,
    },
}

impl Choices {
    /// Random choices, the same for the same seed on every host.
    pub fn seeded(seed: u64) -> Self {
        let generator = Pcg64Mcg::seed_from_u64(seed);
        Choices { source: Source::Seeded { seed, generator }, made: Vec::new() }
    }

    /// All sequences of choices, one a run; see [`next_run`](Self::next_run).
    pub fn exhaustive() -> Self {
        Choices { source: Source::Exhaustive { prefix: Vec::new() }, made: Vec::new() }
    }

    /// The choices of an earlier run; behind their end always the first possibility.
    pub fn replayed(list: Vec<usize>) -> Self {
        Choices { source: Source::Replayed { list }, made: Vec::new() }
    }

    /// Chooses one of `of` possibilities, of which there must be at least one: a number below `of`.
    pub fn choose(&mut self, of: usize) -> usize {
        debug_assert!(of > 0, "there must be something to choose from");
        let index = self.made.len();
        let chosen = match &mut self.source {
            // The bias of this is below of / 2^64.
            Source::Seeded { generator, .. } => {
                ((u128::from(generator.next_u64()) * of as u128) >> 64) as usize
            }
            Source::Exhaustive { prefix: list } | Source::Replayed { list } => {
                list.get(index).copied().unwrap_or(0)
            }
        };
        let chosen = chosen.min(of.saturating_sub(1));
        self.made.push(Choice { chosen, of });
        chosen
    }

    /// Whether an event of probability `part / whole` happens.
    pub fn happens(&mut self, part: usize, whole: usize) -> bool {
        self.choose(whole) < part
    }

    /// The choices made in this run.
    pub fn made(&self) -> &[Choice] {
        &self.made
    }

    /// The choices made in this run, as [`Choices::replayed`] takes them.
    pub fn to_list(&self) -> Vec<usize> {
        self.made.iter().map(|choice| choice.chosen).collect()
    }

    /// Ends a run and begins the next, which differs in the last choice that was not exhausted.
    /// Returns false when there is no other; always so unless the source is exhaustive.
    pub fn next_run(&mut self) -> bool {
        let Source::Exhaustive { prefix } = &mut self.source else { return false };
        while let Some(Choice { chosen, of }) = self.made.pop() {
            if chosen + 1 < of {
                *prefix = self.made.drain(..).map(|choice| choice.chosen).collect();
                prefix.push(chosen + 1);
                return true;
            }
        }
        prefix.clear();
        false
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Seeded { seed, .. } => write!(f, "seed {seed}"),
            Source::Exhaustive { .. } => f.write_str("exhaustive"),
            Source::Replayed { list } => write!(f, "replay of {list:?}"),
        }
    }
}

/// What reproduces the run so far: the seed, or the list of choices.
impl fmt::Display for Choices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Seeded { seed, .. } => write!(f, "seed={seed}"),
            _ => {
                f.write_str("choices=")?;
                for (index, choice) in self.made.iter().enumerate() {
                    write!(f, "{}{}", if index > 0 { "," } else { "" }, choice.chosen)?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_odometer_visits_every_sequence_once_in_order() {
        let mut choices = Choices::exhaustive();
        let mut runs = Vec::new();
        loop {
            let run: Vec<usize> = (0..3).map(|digit| choices.choose(digit + 2)).collect();
            runs.push(run);
            if !choices.next_run() {
                break;
            }
        }
        assert_eq!(runs.len(), 2 * 3 * 4);
        assert!(runs.is_sorted());
        runs.dedup();
        assert_eq!(runs.len(), 24);
        assert_eq!(choices.choose(5), 0, "and begins anew");
    }

    #[test]
    fn a_run_of_any_source_can_be_replayed() {
        let mut seeded = Choices::seeded(7);
        let chosen: Vec<usize> = (1..100).map(|of| seeded.choose(of)).collect();
        let mut replayed = Choices::replayed(seeded.to_list());
        assert_eq!((1..100).map(|of| replayed.choose(of)).collect::<Vec<_>>(), chosen);
        assert_eq!(replayed.choose(9), 0);
        assert!(!replayed.next_run());
        assert_eq!(Choices::replayed(vec![1, 2]).to_string(), "choices=");
        assert_eq!(seeded.to_string(), "seed=7");
    }

    #[test]
    fn a_seed_means_the_same_on_every_host_and_for_ever() {
        let mut choices = Choices::seeded(42);
        let chosen: Vec<usize> = (0..8).map(|_| choices.choose(1000)).collect();
        assert_eq!(chosen, [573, 133, 355, 225, 117, 355, 185, 860]);
    }

    #[test]
    fn seeded_choices_use_all_possibilities() {
        let mut choices = Choices::seeded(1);
        let mut counts = [0; 10];
        for _ in 0..10_000 {
            counts[choices.choose(10)] += 1;
        }
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
    }
}
