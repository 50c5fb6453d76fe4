//! Traces that the page plays, held against the runs that they are of.
#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(not(target_arch = "wasm32"))]

use tailswap::event::{Content, Event, FileName};
use tailswap::sim::Choices;
use tailswap::trace::TraceWriter;
use tailswap_web::file_history::Class;
use tailswap_web::history::{History, Stride};
use tailswap_web::moment::{Moment, Role, Stops};
use tailswap_web::parameters::{Difference, Parameters};
use tailswap_web::recording::Recording;
use tailswap_web::timeline::spans;
use tailswap_web::traced::Traced;

/// Damaged traces that are played.
const DAMAGED: usize = 300;

fn recorded(mut recording: Recording) -> Recording {
    while recording.advance(1000).unwrap() {}
    recording
}

fn traced(history: &History) -> Vec<u8> {
    let (mut writer, mut bytes) = (TraceWriter::default(), Vec::new());
    for stamped in history.events() {
        writer.event(stamped.at_ns, &stamped.event, &mut bytes);
    }
    bytes
}

fn ended(mut traced: Traced) -> Traced {
    while traced.advance(1000) {}
    traced
}

fn played(bytes: Vec<u8>) -> Traced {
    ended(Traced::new(bytes, None).unwrap())
}

fn run() -> Recording {
    recorded(Recording::new(Parameters::named(1.0, "nvme", "many").unwrap()))
}

/// What both say of a moment, without what only trees and readers tell.
fn told(history: &History, event: usize) -> Moment {
    let mut moment = Moment::at(history, event, 0);
    (moment.queued, moment.readers) = (0, Vec::new());
    for file in &mut moment.files {
        file.unused_percent = None;
        let classes = file.classes;
        file.classes = [0; Class::ALL.len()];
        file.classes[Class::Header as usize] = classes[Class::Header as usize];
        file.classes[Class::LiveBody as usize] =
            classes[Class::LiveBody as usize] + classes[Class::DeadBody as usize];
        if file.role == Role::HeldByReader {
            file.role = Role::Gone;
        }
    }
    moment
}

#[test]
fn a_trace_shows_what_its_run_did_but_for_what_only_bytes_tell() {
    let run = run();
    let trace = played(traced(&run));
    let history = trace.history();
    assert_eq!((trace.vbucket, &trace.vbuckets[..], &trace.problem), (7, &[7][..], &None));
    assert_eq!(history.events(), run.events());
    for event in (0..run.events().len()).step_by(61) {
        assert_eq!(told(history, event), told(&run, event), "event {event}");
    }
    assert_eq!(history.turning_points(), run.turning_points());
    let kinds = |history: &History| {
        let mut all: Vec<_> =
            spans(history).into_iter().map(|span| (span.lane, span.from_ns)).collect();
        all.sort_unstable();
        all.retain(|(lane, _)| !matches!(format!("{lane:?}").as_str(), "Writers" | "Readers"));
        all
    };
    assert_eq!(kinds(history), kinds(&run));
}

#[test]
fn what_was_there_before_a_trace_is_known_by_its_length() {
    let run = run();
    let middle = run.events().len() / 3;
    let (mut writer, mut bytes) = (TraceWriter::default(), Vec::new());
    for stamped in &run.events()[middle..] {
        writer.event(stamped.at_ns, &stamped.event, &mut bytes);
    }
    let trace = played(bytes);
    let last = trace.history().events().len() - 1;
    let (whole, part) = (told(&run, run.events().len() - 1), told(trace.history(), last));
    let lengths =
        |moment: &Moment| -> Vec<u64> { moment.files.iter().map(|file| file.length).collect() };
    assert_eq!(lengths(&whole), lengths(&part));
    let source = Moment::at(trace.history(), 50, 0).files.remove(0);
    assert_eq!(source.classes.iter().sum::<u64>(), source.length);
    assert!(source.classes[Class::Unknown as usize] > 100_000, "{source:?}");
}

#[test]
fn of_several_vbuckets_any_can_be_shown() {
    let run = run();
    let (mut writer, mut bytes) = (TraceWriter::default(), Vec::new());
    writer.event(0, &Event::VBucketCreated { vbucket: 3, revision: 1 }, &mut bytes);
    for stamped in run.events() {
        writer.event(stamped.at_ns, &stamped.event, &mut bytes);
    }
    // Behind the first compaction, where the one that is shown is known already.
    writer.event(run.end_ns(), &Event::VBucketCreated { vbucket: 12, revision: 1 }, &mut bytes);
    let shown = |vbucket| ended(Traced::new(bytes.clone(), vbucket).unwrap());
    let compacted = shown(None);
    assert_eq!((compacted.vbucket, &compacted.vbuckets[..]), (7, &[3, 7, 12][..]));
    assert_eq!(compacted.history().events(), run.events());
    for vbucket in [3, 12] {
        let other = shown(Some(vbucket));
        assert_eq!((other.vbucket, &other.vbuckets), (vbucket, &compacted.vbuckets));
        let events: Vec<&Event> =
            other.history().events().iter().map(|stamped| &stamped.event).collect();
        assert!(events.contains(&&Event::VBucketCreated { vbucket, revision: 1 }), "{vbucket}");
        assert!(!events.iter().any(|event| matches!(event, Event::FlushStarted { .. })));
    }
}

#[test]
fn a_restart_cuts_off_what_nobody_can_vouch_for() {
    let run = run();
    let crashed = recorded(run.fork(1500, Difference::named("power-nothing").unwrap()));
    let trace = played(traced(&crashed));
    let opened = crashed.left_at().unwrap().0 + 1;
    let file = |history: &History| Moment::at(history, opened + 40, 0).files.remove(0);
    let (known, shown) = (file(&crashed), file(trace.history()));
    assert_eq!((known.length, known.newest), (shown.length, shown.newest));
}

#[test]
fn damaged_traces_are_shown_up_to_their_damage() {
    let bytes = traced(&run());
    let mut choices = Choices::seeded(11);
    let mut told = 0;
    for round in 0..DAMAGED {
        let mut damaged = bytes.clone();
        for _ in 0..=choices.choose(3) {
            let place = 17 + choices.choose(damaged.len() - 17);
            damaged[place] ^= 1 << choices.choose(8);
        }
        damaged.truncate(17 + choices.choose(damaged.len()));
        let trace = match Traced::new(damaged, None) {
            Ok(trace) => ended(trace),
            // Cut off before anything happened.
            Err(error) => {
                told += 1;
                assert!(error.to_string().contains("offset "), "round {round}: {error}");
                continue;
            }
        };
        let history = trace.history();
        if let Some(problem) = &trace.problem {
            told += 1;
            assert!(problem.contains("offset "), "round {round}: {problem}");
        }
        spans(history);
        let events = history.events().len();
        for event in [0, events / 2, events] {
            let moment = Moment::at(history, event, 0);
            for file in moment.files {
                history.files.all()[file.index].block_classes(event, &|_| true);
            }
            for stride in [Stride::Block, Stride::Phase, Stride::Header] {
                history.seek(event, stride, true);
            }
        }
    }
    assert!(told > DAMAGED / 2, "only {told} of {DAMAGED} were noticed");
}

#[test]
fn moments_near_stops_are_those_from_the_beginning() {
    let run = run();
    let mut history = Vec::new();
    for part in 0..12_u64 {
        let since = part * (run.end_ns() + 1);
        history.extend(run.events().iter().map(|stamped| (since + stamped.at_ns, &stamped.event)));
    }
    let (mut writer, mut bytes) = (TraceWriter::default(), Vec::new());
    history.iter().for_each(|(at_ns, event)| writer.event(*at_ns, event, &mut bytes));
    let trace = played(bytes);
    let history = trace.history();
    let stops = Stops::of(history);
    assert!(history.events().len() > 30_000);
    for event in (0..history.events().len()).step_by(997).chain([8191, 8192, usize::MAX]) {
        assert_eq!(stops.moment(history, event, 0), Moment::at(history, event, 0), "event {event}");
    }
}

/// Where these were not refused, a script met a number that it has none for, or room was wanted for a
/// picture of a file of 64 GiB.
#[test]
fn what_nobody_could_show_ends_a_trace() {
    let file = FileName::from("7.couch.1");
    let body = Content::Body { seq: 1 };
    let hostile = [
        (1, Event::Appended { file: file.clone(), position: 0, end: 1 << 33, content: body }),
        (1, Event::Appended { file: file.clone(), position: 9, end: 8, content: body }),
        (1, Event::Truncated { file: file.clone(), length: u64::MAX }),
        (1, Event::FlushFinished { vbucket: 7, seq: u64::MAX }),
        (1 << 60, Event::SyncIssued { file }),
    ];
    for (at_ns, event) in hostile {
        let (mut writer, mut bytes) = (TraceWriter::default(), Vec::new());
        writer.event(0, &Event::VBucketCreated { vbucket: 7, revision: 1 }, &mut bytes);
        let offset = bytes.len();
        writer.event(at_ns, &event, &mut bytes);
        let traced = played(bytes);
        let problem = traced.problem.as_deref().unwrap_or_else(|| panic!("{event:?} is shown"));
        assert!(problem.contains(&offset.to_string()), "{problem}");
        assert_eq!(traced.history().events().len(), 1);
    }
    let (mut writer, mut bytes) = (TraceWriter::default(), Vec::new());
    writer.event(0, &Event::DirectorySyncIssued, &mut bytes);
    assert!(Traced::new(bytes[..bytes.len() - 2].to_vec(), None).is_err(), "it tells of nothing");
}
