//! A golden file damaged in several ways, some of them under right checksums, and then compacted:
//! what comes of it is sound, or an error, and nothing is left behind.
#![no_main]

#[path = "../../core/tests/corruption/damage.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod damage;
#[path = "../../core/tests/corruption/exercise.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod exercise;
mod input;
#[path = "../../core/tests/corruption/nodes.rs"]
mod nodes;
#[path = "../../core/tests/corruption/reseal.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod reseal;

use std::sync::Arc;

use damage::Damage;
use libfuzzer_sys::fuzz_target;
use tailswap::compaction::{CompactionOptions, OfflineCompaction, Purge};
use tailswap::device::{Access, MemoryDevice, MemoryVolume, Volume};
use tailswap::event::{Events, FileName};
use tailswap::sim::Choices;
use tailswap::store::check::check;
use tailswap::store::{Budget, OpenMode, Step, find_newest};

fuzz_target!(|input: &[u8]| {
    let (mut choices, golden) = input::begin(input);
    let mut bytes = match choices.happens(1, 2) {
        true => reseal::reseal(golden, &mut choices).unwrap().bytes,
        false => golden.to_vec(),
    };
    for _ in 0..choices.choose(4) {
        any_damage(&mut choices, &bytes).apply(&mut bytes);
    }
    let device = Arc::new(MemoryDevice::from_bytes(bytes));
    let found = find_newest(&FileName::from("damaged"), device, OpenMode::Recovery);
    let Ok((source, _)) = found else { return };
    let options = CompactionOptions {
        drop_deletes: choices.happens(1, 2),
        purge: Purge { before: None, to_seq: choices.happens(1, 2).then_some(5) },
        table_memory: [0, 1 << 20][choices.choose(2)],
        ..CompactionOptions::default()
    };
    let budget = [Budget { bytes: 100, entries: 1 }, Budget::UNBOUNDED][choices.choose(2)].clone();
    let volume = Arc::new(MemoryVolume::new());
    let compacted = OfflineCompaction::start(
        source,
        volume.clone(),
        "target",
        options,
        Events::none(),
        |reader| Box::new(reader),
    )
    .and_then(|mut compaction| {
        while compaction.step(&mut budget.clone())? != Step::Done {}
        Ok(())
    });
    let names = volume.list().unwrap();
    match compacted {
        Ok(()) => {
            assert_eq!(names, ["target"]);
            let target = volume.open("target", Access::Read).unwrap();
            let report = check(&FileName::from("target"), target, OpenMode::Strict).unwrap();
            assert!(report.is_sound(), "{report:?}");
        }
        Err(error) => assert!(names.is_empty(), "{names:?} after {error}"),
    }
});

fn any_damage(choices: &mut Choices, bytes: &[u8]) -> Damage {
    let blocks = bytes.len() / 4096;
    match choices.choose(5) {
        1 if blocks > 1 => Damage::Blank { block: choices.choose(blocks) },
        2 if blocks > 1 => {
            Damage::Swap { block: choices.choose(blocks), with: choices.choose(blocks) }
        }
        3 if blocks > 1 => {
            Damage::Misdirect { block: choices.choose(blocks), to: choices.choose(blocks) }
        }
        4 => Damage::Truncate { length: choices.choose(bytes.len()).max(1) },
        _ => Damage::Byte { offset: choices.choose(bytes.len()), value: choices.choose(256) as u8 },
    }
}
