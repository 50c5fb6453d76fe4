//! What a run came to, in numbers, and whether that is what a lesson asks for.

use tailswap::event::{Event, Outcome};

use crate::history::History;
use crate::moment::Moment;

/// Bytes of a KiB, and nanoseconds of a millisecond.
const KIB: f64 = 1024.0;
const MS: f64 = 1e6;

/// Numbers of a whole run, by name. They are those of its last compaction, where they are of one.
pub fn measures(history: &History) -> Vec<(&'static str, f64)> {
    let whole = Moment::at(history, usize::MAX, 0);
    let unlocked = || whole.rounds.iter().filter(|round| !round.locked);
    let first_tail = unlocked().next().map_or(0, |round| round.tail);
    let last_tail = whole.rounds.last().filter(|round| round.locked).map_or(0, |round| round.tail);
    let (mut swaps, mut crashes, mut untold) = (0_u32, 0_u32, 0_u32);
    let mut revision_opened = 0;
    let mut committed = None;
    for (index, stamped) in history.events().iter().enumerate() {
        match &stamped.event {
            Event::CompactionEnded { outcome: Outcome::Swapped, .. } => swaps += 1,
            Event::HeaderCommitted { file, position, .. } => committed = Some((file, *position)),
            Event::VBucketOpened { revision, position, .. } => {
                crashes += u32::from(history.was_power_lost(index));
                revision_opened = *revision;
                // Nobody had been told of the state that it was opened at.
                let is_told = committed.is_none_or(|(_, told)| told >= *position);
                untold += u32::from(!is_told);
            }
            _ => {}
        }
    }
    vec![
        ("rounds", unlocked().count() as f64),
        ("first_tail_kib", first_tail as f64 / KIB),
        ("last_tail_kib", last_tail as f64 / KIB),
        ("lock_ms", whole.lock_held_ns as f64 / MS),
        ("wait_ms", whole.longest_stall_ns as f64 / MS),
        ("swaps", f64::from(swaps)),
        ("crashes", f64::from(crashes)),
        ("opened_untold", f64::from(untold)),
        ("revision_opened", revision_opened as f64),
    ]
}

/// Whether a run is as a lesson asks for: comparisons of [`measures`] with numbers, all of which must
/// hold, such as `rounds >= 3, lock_ms < 5`.
///
/// # Errors
/// A comparison that is none, in words.
pub fn is_met(history: &History, goal: &str) -> Result<bool, String> {
    let known = measures(history);
    let mut is_met = true;
    for comparison in goal.split(',') {
        let wrong = || format!("{comparison:?} compares nothing");
        let words: Vec<&str> = comparison.split_whitespace().collect();
        let [name, is, number] = words[..] else { return Err(wrong()) };
        let measured = known.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let (Some(measured), Ok(number)) = (measured, number.parse::<u32>().map(f64::from)) else {
            return Err(wrong());
        };
        is_met &= match is {
            "<" => measured < number,
            ">=" => measured >= number,
            "=" => measured == number,
            _ => return Err(wrong()),
        };
    }
    Ok(is_met)
}
