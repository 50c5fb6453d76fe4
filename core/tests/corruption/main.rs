//! Files damaged at rest, in every way that is worth trying: whatever is done with one ends with an
//! error that names the place, or with exactly what was written.
//!
//! The quick form tries a fixed sample; `cargo xtask long --only corruption` tries all. Numbers are
//! printed with `--nocapture`; nothing depends on time.
#![allow(clippy::unwrap_used, clippy::panic)]

mod damage;
mod exercise;
mod nodes;
mod oracle;
mod reseal;
mod seeds;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use damage::Damage;
use oracle::{try_all, try_resealed};
use seeds::Seed;

const BLOCK: usize = 4096;

/// Values tried at each byte.
const VALUES: usize = 10;

/// Ten other values of a byte: what types of blocks are, what a counter's neighbours are, single bits.
fn other_values(byte: u8) -> Vec<u8> {
    let favourites =
        [0, 1, 2, 0xff, byte ^ 1, byte ^ 0x80, byte.wrapping_add(1), !byte, byte ^ 0x10];
    let mut values: Vec<u8> = Vec::new();
    for value in favourites.into_iter().chain(0x30..) {
        if values.len() == VALUES {
            break;
        }
        if value != byte && !values.contains(&value) {
            values.push(value);
        }
    }
    values
}

/// Every byte with ten values each, or of those pairs one in `one_in`.
fn bytes(seed: &Seed, one_in: usize) -> Vec<Damage> {
    let pairs = seed.bytes.iter().enumerate().flat_map(|(offset, byte)| {
        other_values(*byte).into_iter().map(move |value| Damage::Byte { offset, value })
    });
    pairs.step_by(one_in).collect()
}

/// Every length, or those around the borders of blocks and headers and of others one in `one_in`.
fn truncations(seed: &Seed, one_in: usize) -> Vec<Damage> {
    let near_header = |length: usize| {
        let ends = seed.states.iter().map(|state| state.end as usize);
        ends.clone().any(|end| end.abs_diff(length) < 10)
    };
    let lengths = (0..seed.bytes.len()).filter(|length| {
        let to_border = (length % BLOCK).min(BLOCK - length % BLOCK);
        length % one_in == 0 || to_border < 6 || near_header(*length)
    });
    lengths.map(|length| Damage::Truncate { length }).collect()
}

/// Each block blank, swapped with its neighbour, and written where each of `distances` blocks away
/// belongs.
fn blocks(seed: &Seed, distances: &[usize]) -> Vec<Damage> {
    let count = seed.bytes.len() / BLOCK;
    let mut found = Vec::new();
    for block in 0..count {
        found.push(Damage::Blank { block });
        if block + 1 < count {
            found.push(Damage::Swap { block, with: block + 1 });
        }
        for distance in distances {
            let pairs = [block.checked_sub(*distance), Some(block + distance)];
            let targets = pairs.into_iter().flatten().filter(|to| *to < count);
            found.extend(targets.map(|to| Damage::Misdirect { block, to }));
        }
    }
    found
}

#[test]
fn ten_other_values_are_ten() {
    for byte in 0..=255 {
        let values: BTreeSet<u8> = other_values(byte).into_iter().collect();
        assert!(values.len() == VALUES && !values.contains(&byte), "{byte}: {values:?}");
    }
}

#[test]
fn a_byte_changed_is_found_or_does_no_harm() {
    // Each 16th byte or so, with one of its values in turn.
    for (seed, one_in) in [
        (Seed::golden("deletes"), 31),
        (Seed::golden("compact_src"), 161),
        (Seed::made_here(), 161),
    ] {
        try_all("bytes", &seed, &bytes(&seed, one_in));
    }
}

#[test]
fn a_file_cut_short_is_refused_or_one_state_older() {
    for seed in [Seed::golden("deletes"), Seed::golden("compact_src"), Seed::made_here()] {
        try_all("truncations", &seed, &truncations(&seed, 97));
    }
}

#[test]
fn a_block_lost_or_in_another_s_place_is_found_or_does_no_harm() {
    for seed in [Seed::golden("deletes"), Seed::golden("compact_src"), Seed::made_here()] {
        try_all("blocks", &seed, &blocks(&seed, &[1, 2, 5]));
    }
}

#[test]
fn what_is_wrong_under_right_checksums_is_found_or_does_no_harm() {
    for seed in [Seed::golden("deletes"), Seed::golden("local_docs"), Seed::made_here()] {
        try_resealed(&seed, 0..500);
    }
}

#[test]
#[ignore = "long: cargo xtask long"]
fn long_resealed() {
    for name in ["compact_src", "multilevel", "updates_headers", "legacy_v11", "snappy_bodies"] {
        try_resealed(&Seed::golden(name), 1_000..21_000);
    }
    try_resealed(&Seed::made_here(), 1_000..21_000);
}

#[test]
#[ignore = "long: cargo xtask long"]
fn long_every_byte_changed() {
    for seed in [Seed::golden("compact_src"), Seed::made_here()] {
        try_all("bytes", &seed, &bytes(&seed, 1));
    }
}

#[test]
#[ignore = "long: cargo xtask long"]
fn long_every_length() {
    for seed in [Seed::golden("compact_src"), Seed::made_here()] {
        try_all("truncations", &seed, &truncations(&seed, 1));
    }
}

#[test]
#[ignore = "long: cargo xtask long"]
fn long_every_block_in_every_place() {
    for seed in [Seed::golden("compact_src"), Seed::made_here(), Seed::golden("boundary")] {
        let distances: Vec<usize> = (1..seed.bytes.len() / BLOCK).collect();
        try_all("blocks", &seed, &blocks(&seed, &distances));
    }
}
