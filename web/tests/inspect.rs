//! Looking inside the files of a run, at moments of all kinds.
#![allow(clippy::unwrap_used)]
#![cfg(not(target_arch = "wasm32"))]

mod support;

use support::assert_without_gap;
use tailswap::event::Event;
use tailswap_web::parameters::{Difference, Parameters};
use tailswap_web::recording::Recording;

fn ended(mut recording: Recording) -> Recording {
    while recording.advance(1000).unwrap() {}
    recording
}

fn recorded() -> Recording {
    ended(Recording::new(Parameters::named(1.0, "nvme", "many").unwrap()))
}

/// Looks at every chunk of every file at some moments; how many there were.
fn look_at_all(recording: &Recording, events: impl Iterator<Item = usize>) -> usize {
    let mut looked = 0;
    for event in events {
        let files = recording.files.all().iter().enumerate();
        let there = files.filter(|(_, file)| file.created() <= event && event < file.removed);
        for (index, file) in there {
            let looker = recording.looker(index, event).unwrap();
            let mut byte = 0;
            while byte < file.length(event) {
                let inspected = recording.inspect(&looker, index, byte, event).unwrap();
                let look = &inspected.look;
                assert!(look.start <= byte && byte < look.end, "{look:?}");
                let is_buffered = look.damage.as_ref().is_some_and(|what| what.contains("buffer"));
                if !is_buffered {
                    assert_eq!(look.damage, None, "byte {byte} of {} at {event}", inspected.file);
                }
                if !look.fields.is_empty() && !is_buffered {
                    assert_without_gap(&look.fields, look.start, look.end);
                }
                assert!(inspected.written <= event);
                // Whatever is live is pointed at, and nothing else is.
                let is_chunk = look.fields.len() == 3;
                let has_state = !file.headers(event).is_empty();
                let newest = file.headers(event).last().map_or(0, |header| header.event);
                if is_chunk && has_state && inspected.written <= newest {
                    let is_live = inspected.dead_since.is_none();
                    assert_eq!(is_live, !look.pointed_at_by.is_empty(), "{inspected:?} at {event}");
                }
                looked += 1;
                byte = look.end;
            }
        }
    }
    looked
}

#[test]
fn everything_is_understood_at_any_moment_of_a_run() {
    let recording = recorded();
    let end = recording.events().len();
    let removed = recording.files.all().iter().map(|file| file.removed);
    let just_before: Vec<usize> =
        removed.filter(|event| *event < end).map(|event| event - 1).collect();
    assert!(!just_before.is_empty());
    let looked = look_at_all(&recording, (0..end).step_by(end / 7).chain(just_before));
    assert!(looked > 5_000, "{looked}");
}

#[test]
fn before_a_crash_the_bytes_are_those_that_it_took_too() {
    let recording = recorded();
    let rounds = recording.turning_points().into_iter().find(|(_, name)| name == "round 2");
    let (event, _) = rounds.unwrap();
    let difference = Difference::named("power-nothing").unwrap();
    let crashed = ended(recording.fork(event, difference));
    let is_opened = |event: &Event| matches!(event, Event::VBucketOpened { .. });
    assert!(crashed.events()[event..].iter().any(|stamped| is_opened(&stamped.event)));
    for file in [0, 1] {
        let durable = recording.files.all()[file].durable(event) as usize;
        let [then, later] = [&crashed, &recording].map(|run| run.bytes_of(file, event).unwrap());
        assert!(then[..durable] == later[..durable] && durable > 10_000, "{durable}");
    }
    assert!(look_at_all(&crashed, [event, crashed.events().len() - 1].into_iter()) > 500);
}

#[test]
fn what_was_cut_off_or_came_back_is_understood_too() {
    let recording = recorded();
    let marks = recording.turning_points();
    let (event, _) = marks.iter().find(|(_, name)| name == "round 1").unwrap();
    for difference in ["failed-sync", "disk-full", "rollback"] {
        let branch = ended(recording.fork(*event, Difference::named(difference).unwrap()));
        let (left, last) = (branch.left_at().unwrap().0, branch.events().len() - 1);
        let after: Vec<usize> = (left..last).step_by((last - left) / 12).chain([last]).collect();
        assert!(look_at_all(&branch, after.into_iter()) > 2_000, "{difference}");
    }
}
