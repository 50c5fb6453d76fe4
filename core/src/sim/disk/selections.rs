//! Which crashes to try: the bounded-exhaustive choice of what a crash keeps.

use litemap::LiteMap;

use super::image::{Part, Selection, Torn, Unit};
use super::{Disk, FileId};
use crate::sim::choice::Choices;

/// Pieces of which all subsets are tried, at most.
const ALL_SUBSETS_MAX: usize = 10;
/// Sectors of which all subsets are tried, at most: those that are not blank, every length being
/// kept.
const ALL_SECTORS_MAX: usize = 13;
/// Pieces of which all pairs are tried, at most.
const PAIRS_MAX: usize = 40;
/// Where writes are torn, in bytes from their beginning.
const TEARS: [u64; 5] = [1, 511, 512, 4095, 4096];
/// A page: beside sectors, subsets of whole pages are tried.
const PAGE: u64 = 4096;

/// How much to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// What is linear in the pieces, and all subsets of names.
    Linear,
    /// All that [`selections`] lists.
    Full,
}

/// Everything to try of what is pending on a disk:
///
/// - nothing, everything, every prefix, everything but one piece, one piece alone, each also with
///   all lengths kept (so that what is lost of the bytes reads as zeros);
/// - everything but two pieces, and two pieces alone, if they are not too many;
/// - all subsets of the pieces, if they are few, and all subsets of sectors and of pages, if those
///   are few;
/// - each write torn in several places, with what came before it, and with everything else;
/// - all that together with all subsets of the changes of names.
///
/// Some of these come to the same image.
pub fn selections(disk: &Disk, depth: Depth) -> Vec<Selection> {
    let units = disk.units();
    let (names, data): (Vec<usize>, Vec<usize>) =
        (0..units.len()).partition(|index| units[*index].part == Part::Name);
    let mut found = Vec::new();
    for name_pattern in name_patterns(names.len()) {
        for data_pattern in data_patterns(&units, &data, depth) {
            let mut kept = vec![false; units.len()];
            fill(&mut kept, &names, &name_pattern);
            fill(&mut kept, &data, &data_pattern);
            found.push(Selection { kept, ..Selection::default() });
        }
        for (change, length) in disk.writes() {
            for bytes in TEARS.into_iter().filter(|bytes| *bytes < length) {
                let torn = Some(Torn { change, bytes });
                for later in [false, true] {
                    let mut kept: Vec<bool> =
                        units.iter().map(|unit| unit.change < change || later).collect();
                    fill(&mut kept, &names, &name_pattern);
                    found.push(Selection { kept, torn, garbage: false });
                }
            }
        }
    }
    found
}

impl Selection {
    /// One crash of many: mostly lost, mostly kept or anything between, and sometimes with a write
    /// that is torn.
    pub fn random(disk: &Disk, choices: &mut Choices) -> Self {
        let units = disk.units().len();
        let part = [0, 1, 4, 7, 8][choices.choose(5)];
        let kept = (0..units).map(|_| choices.happens(part, 8)).collect();
        let writes: Vec<(usize, u64)> = disk.writes().collect();
        let torn = match writes.is_empty() || !choices.happens(1, 4) {
            true => None,
            false => {
                let (change, length) = writes[choices.choose(writes.len())];
                let bytes = choices.choose(usize::try_from(length).unwrap_or(usize::MAX)) as u64;
                Some(Torn { change, bytes })
            }
        };
        Selection { kept, torn, garbage: false }
    }
}

fn fill(kept: &mut [bool], places: &[usize], pattern: &[bool]) {
    for (place, keep) in places.iter().zip(pattern) {
        kept[*place] = *keep;
    }
}

fn name_patterns(count: usize) -> Vec<Vec<bool>> {
    match count <= ALL_SUBSETS_MAX {
        true => subsets(count),
        false => (0..=count).map(|end| (0..count).map(|index| index < end).collect()).collect(),
    }
}

fn data_patterns(units: &[Unit], data: &[usize], depth: Depth) -> Vec<Vec<bool>> {
    let count = data.len();
    if count <= ALL_SUBSETS_MAX && (depth == Depth::Full || count <= 2) {
        return subsets(count);
    }
    let lengths: Vec<bool> = data.iter().map(|unit| is_length(&units[*unit])).collect();
    let mut patterns = Vec::new();
    let mut add = |keep: &dyn Fn(usize) -> bool| {
        patterns.push((0..count).map(keep).collect::<Vec<bool>>());
        patterns.push((0..count).map(|index| keep(index) || lengths[index]).collect());
    };
    for end in 0..=count {
        add(&|index| index < end);
    }
    for one in 0..count {
        add(&|index| index != one);
        add(&|index| index == one);
    }
    if depth == Depth::Linear {
        return patterns;
    }
    for one in 0..count.min(PAIRS_MAX) {
        for other in one + 1..count.min(PAIRS_MAX) {
            add(&|index| index != one && index != other);
            add(&|index| index == one || index == other);
        }
    }
    patterns.extend(group_patterns(units, data, 1, ALL_SECTORS_MAX));
    patterns.extend(group_patterns(units, data, PAGE, ALL_SUBSETS_MAX));
    patterns
}

/// All subsets of what lies in the same `size` bytes of a file, if that makes at most `max` groups,
/// with all lengths.
fn group_patterns(units: &[Unit], data: &[usize], size: u64, max: usize) -> Vec<Vec<bool>> {
    let mut groups: LiteMap<(FileId, u64), usize> = LiteMap::new();
    for unit in data {
        if let Part::Sector { file, start, blank: false, .. } = units[*unit].part {
            let next = groups.len();
            groups.entry((file, start / size)).or_insert(next);
        }
    }
    if groups.len() > max {
        return Vec::new();
    }
    let pattern = |subset: &Vec<bool>| -> Vec<bool> {
        let keep = |unit: &usize| match units[*unit].part {
            Part::Sector { file, start, blank: false, .. } => {
                groups.get(&(file, start / size)).is_none_or(|group| subset[*group])
            }
            _ => true,
        };
        data.iter().map(keep).collect()
    };
    subsets(groups.len()).iter().map(pattern).collect()
}

fn is_length(unit: &Unit) -> bool {
    matches!(unit.part, Part::Length { .. })
}

fn subsets(count: usize) -> Vec<Vec<bool>> {
    (0..1_usize << count)
        .map(|bits| (0..count).map(|index| bits >> index & 1 == 1).collect())
        .collect()
}
