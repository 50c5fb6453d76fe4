//! What can be done to a run on the page, and what it is told of what comes of it.
#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(not(target_arch = "wasm32"))]

use tailswap::event::{Content, Event};
use tailswap_web::moment::Moment;
use tailswap_web::parameters::{Difference, Parameters};
use tailswap_web::recording::Recording;
use tailswap_web::recovery::Found;

fn ended(mut recording: Recording) -> Recording {
    while recording.advance(1000).unwrap() {}
    assert!(recording.violated.is_none(), "{:?}", recording.violated);
    recording
}

fn recorded() -> Recording {
    ended(Recording::new(Parameters::named(1.0, "nvme", "many").unwrap()))
}

fn branch(recording: &Recording, event: usize, line: &str) -> Recording {
    ended(recording.fork(event, Difference::named(&format!("act {line}")).unwrap()))
}

fn mark(recording: &Recording, name: &str) -> usize {
    recording.turning_points().into_iter().find(|(_, mark)| mark == name).unwrap().0
}

fn impossible(recording: &Recording, event: usize) -> Vec<&'static str> {
    let choices = recording.choices(&Moment::at(recording, event, 0));
    choices.impossible.into_iter().map(|(what, _)| what).collect()
}

#[test]
fn a_flipped_bit_is_met_with_its_place_and_shown_where_it_is() {
    let recording = recorded();
    let event = mark(&recording, "start");
    let file = recording.in_charge_at(event).unwrap();
    let history = &recording.files.all()[file];
    let live = |start: &u64| {
        let chunk = history.chunk_at(*start, event).unwrap();
        matches!(chunk.content, Content::Body { .. }) && history.dead_since(&chunk, event).is_none()
    };
    let body = history.segments(event).map(|(start, ..)| start).find(live).unwrap();
    let flipped =
        branch(&recording, event, &format!("flip {} {} 3", history.name(event), body + 40));
    let (left, _) = flipped.left_at().unwrap();
    let said = flipped.events()[left..].iter().find_map(|stamped| match &stamped.event {
        Event::CompactionEnded { outcome, .. } => Some(format!("{outcome:?}")),
        _ => None,
    });
    assert!(said.unwrap().contains(&format!("damaged at offset {body}")));
    let last = flipped.events().len() - 1;
    let damage = |event: usize| {
        let looker = flipped.looker(file, event).unwrap();
        flipped.inspect(&looker, file, body, event).unwrap().look.damage
    };
    assert_eq!(damage(left - 1), None);
    assert!(damage(left).is_some());
    assert!(damage(last).unwrap().contains("checksum"));
}

#[test]
fn a_damaged_newest_header_keeps_the_vbucket_closed_and_the_recovery_says_why() {
    let recording = recorded();
    let event = mark(&recording, "published") + 1;
    let file = recording.in_charge_at(event).unwrap();
    let history = &recording.files.all()[file];
    let header = history.headers(event).last().unwrap().position;
    let flipped = recording.fork(
        event,
        Difference::named(&format!("act flip {} {} 0", history.name(event), header + 20)).unwrap(),
    );
    let flipped = ended(flipped);
    let (after, _) = flipped.left_at().unwrap();
    let closed = branch(&flipped, after, "crash");
    assert_eq!(closed.refused, None);
    let last = closed.events().len() - 1;
    let moment = Moment::at(&closed, last, 0);
    assert!(moment.failure.unwrap().contains(&format!("damaged at offset {header}")));
    let recovery = moment.recovery.unwrap();
    assert!(recovery.error.is_some());
    let refused = recovery.looked.iter().find(|looked| looked.found == Found::Refused).unwrap();
    assert_eq!(refused.from, header);
    assert!(recovery.looked.last().unwrap().found == Found::Passed || recovery.looked.len() == 1);
    assert!(impossible(&closed, last).contains(&"mutate"));
    assert!(impossible(&closed, last).contains(&"create"));
    let looker = closed.looker(recovery_file(&closed, last), last).unwrap();
    let seen = closed.inspect(&looker, recovery_file(&closed, last), header, last).unwrap();
    assert!(seen.look.damage.unwrap().contains("checksum"));
}

fn recovery_file(recording: &Recording, event: usize) -> usize {
    recording.in_charge_at(event).unwrap()
}

#[test]
fn exactly_the_chosen_changes_survive_a_loss_of_power() {
    let recording = recorded();
    let issued = recording.events().iter().enumerate().skip(300);
    let (event, _) = issued
        .clone()
        .find(|(_, stamped)| matches!(stamped.event, Event::SyncIssued { .. }))
        .unwrap();
    let losable = recording.losable(event).unwrap();
    let [write] = &losable[..] else { panic!("{losable:?}") };
    assert!(write.sectors > 3 && write.what.contains("header"), "{write:?}");
    let file = recording.in_charge_at(event).unwrap();
    let kept_of = |line: &str| {
        let crashed = branch(&recording, event, line);
        let opened = crashed.recoveries[0].clone();
        let bytes = crashed.bytes_of(file, opened.event).unwrap();
        (opened, bytes)
    };
    let whole = recording.bytes_of(file, event).unwrap();
    let (start, end) = (write.start as usize, write.end as usize);
    let (recovery, bytes) = kept_of("crash keep");
    assert_eq!(recovery.looked.last().unwrap().found, Found::Taken);
    assert!(
        bytes.len() <= end && bytes[..start.min(bytes.len())] == whole[..start.min(bytes.len())]
    );
    // All of it is there; what was to be its header never became one.
    let (recovery, bytes) = kept_of("crash keep 1");
    assert!(bytes[start..end] == whole[start..end]);
    let found: Vec<Found> = recovery.looked.iter().map(|looked| looked.found).collect();
    assert_eq!((found[0], *found.last().unwrap()), (Found::Uncommitted, Found::Taken));
    let (_, bytes) = kept_of("crash keep 1:2");
    let torn = (start / 512 + 2) * 512;
    assert!(bytes[start..torn] == whole[start..torn]);
    assert!(bytes[torn..].iter().all(|byte| *byte == 0));
}

#[test]
fn blocks_are_looked_at_from_the_end_backwards_without_a_gap() {
    let recording = recorded();
    let last = recording.events().len() - 1;
    for event in (200..last).step_by(last / 25) {
        let crashed = branch(&recording, event, "crash 3");
        let recovery = &crashed.recoveries[0];
        let mut to = recovery.looked[0].to;
        for looked in &recovery.looked {
            assert!(looked.from < looked.to && looked.to == to, "{recovery:?}");
            to = looked.from;
        }
        let taken = recovery.looked.last().unwrap();
        assert_eq!(taken.found, Found::Taken);
        let opened = crashed.events().iter().find_map(|stamped| match stamped.event {
            Event::VBucketOpened { position, .. } => Some(position),
            _ => None,
        });
        assert_eq!(opened, Some(taken.from));
        assert!(crashed.recovery_at(recovery.event).is_some());
        assert!(crashed.recovery_at(event).is_none());
    }
}

#[test]
fn what_cannot_be_done_is_said_at_any_moment() {
    let recording = recorded();
    let [before, copying, renamed] =
        ["start", "ids", "published"].map(|name| mark(&recording, name));
    assert!(impossible(&recording, before - 1).contains(&"cancel"));
    assert!(impossible(&recording, copying).contains(&"compact"));
    assert!(!impossible(&recording, copying).contains(&"cancel"));
    assert!(impossible(&recording, renamed).contains(&"cancel"));
    assert!(impossible(&recording, 20).contains(&"rollback"));
    assert!(!impossible(&recording, before).contains(&"rollback"));
    let with_reader = branch(&recording, copying, "read yours");
    let (left, _) = with_reader.left_at().unwrap();
    assert!(impossible(&with_reader, left).contains(&"read"));
    assert!(!impossible(&with_reader, left).contains(&"close"));
    let slower = branch(&recording, copying, "device disk");
    let last = Moment::at(&slower, slower.events().len() - 1, 0);
    assert_eq!(slower.choices(&last).device, "disk");
    assert_eq!(slower.choices(&Moment::at(&slower, 10, 0)).device, "nvme");
}

#[test]
fn what_does_not_hold_ends_the_run_and_is_told() {
    let mut recording = Recording::new(Parameters::named(1.0, "nvme", "many").unwrap());
    while recording.advance(1).unwrap() && recording.events().len() < 900 {}
    // Behind the world's back.
    let file = recording.world().files();
    let (name, bytes) = file.files().next().unwrap();
    for byte in (0..bytes.len() as u64).step_by(50) {
        recording.world().machines().volume.flip(name, byte, 1).unwrap();
    }
    while recording.advance(1000).unwrap() {}
    let violated = recording.violated.as_ref().unwrap();
    assert!(violated.what.contains("damaged at offset") && violated.action > 1);
    assert!(recording.checks_at(recording.events().len()).reads > 0);
}

#[test]
fn a_document_is_found_in_both_trees_and_so_is_the_way_to_it() {
    let recording = recorded();
    let event = mark(&recording, "round 1");
    let file = recording.in_charge_at(event).unwrap();
    let looker = recording.looker(file, event).unwrap();
    let newest = recording.files.all()[file].headers(event).last().unwrap().update_seq;
    let places = looker.document_places(newest).unwrap().unwrap();
    assert!(places.id.contains("doc-") && places.by_seq.len() > 1 && places.by_id.len() > 1);
    let trees = looker.tree(100_000).unwrap();
    for path in [&places.by_seq, &places.by_id] {
        for (depth, position) in path.iter().enumerate() {
            let node = trees.nodes.iter().find(|node| node.position == *position).unwrap();
            assert_eq!((node.depth, node.is_leaf), (depth, depth + 1 == path.len()));
        }
    }
    let body = places.body.unwrap();
    let path = looker.path_to(body).unwrap();
    let mut both = [places.by_seq, places.by_id].concat();
    both.push(body);
    assert_eq!(path, both);
    assert_eq!(looker.document_places(newest + 1).unwrap(), None);
}

#[test]
fn whatever_is_done_at_any_moment_the_run_ends_without_a_violation() {
    let recording = recorded();
    let moments = ["start", "round 2", "swap", "published"];
    let mut events: Vec<usize> = moments.iter().map(|name| mark(&recording, name)).collect();
    events.push(40);
    let name = |event: usize| {
        let file = recording.in_charge_at(event).unwrap();
        let history = &recording.files.all()[file];
        (history.name(event).to_owned(), history.headers(event).last().unwrap().position)
    };
    let mut done = 0;
    for event in events {
        let (file, header) = name(event);
        for line in [
            "fail any 1 sticky",
            "fail write 1 after 512",
            "fail sync-directory 1",
            "fail-sync 1",
            "capacity 0",
            "crash",
            "crash everything",
            "crash 5",
            "crash keep 1:1",
            "die",
            "begin drop",
            "local x=1",
            "flush a=1",
            "create",
            "begin compact",
            "compact",
            "begin rollback 0",
            "cancel",
            "close late",
            "device disk",
            &format!("flip {file} {header} 0"),
            &format!("flip {file} {} 6", header + 30),
            &format!("flip {file} 4097 1"),
            &format!("flip {file} {} 0", header / 2),
        ] {
            let difference = Difference::named(&format!("act {line}")).unwrap();
            let mut run = recording.fork(event, difference);
            while run.advance(1000).unwrap_or_else(|error| panic!("{line} at {event}: {error}")) {}
            let told = run.violated.as_ref().map(|violated| violated.what.as_str());
            assert_eq!(told, None, "{line} at {event}");
            for event in (0..run.events().len()).step_by(run.events().len() / 3) {
                let moment = Moment::at(&run, event, 0);
                run.choices(&moment);
            }
            done += 1;
        }
    }
    assert_eq!(done, 5 * 24);
}

/// Where the page says that the queue is full, what is queued is refused, and elsewhere it is not said.
#[test]
fn a_full_queue_is_told_before_anybody_tries() {
    let recording = ended(Recording::new(Parameters::named(1.0, "nvme", "many").unwrap()));
    let last = recording.events().len() - 1;
    let mut told = 0;
    for event in (0..=last).step_by(last / 40).chain([last]) {
        let impossible = recording.choices(&Moment::at(&recording, event, 0)).impossible;
        let is_over = impossible.iter().any(|(_, why)| why.contains("the run is over"));
        assert!(!is_over || event == last, "event {event}");
        let is_full = impossible.iter().any(|(what, why)| *what == "queue" && why.contains("full"));
        let difference = Difference::named("act queue mine=@0").unwrap();
        let refused = ended(recording.fork(event, difference)).refused.clone();
        let is_refused = refused.is_some_and(|why| why.contains("full"));
        assert_eq!(is_full, is_refused, "event {event}");
        told += usize::from(is_full);
    }
    assert!(told > 2, "told {told} times");
}

/// A run that is cut off says after how many actions; one that comes to its end does not.
#[test]
fn a_run_that_is_cut_off_says_so() {
    let named = Parameters::named(1.0, "nvme", "many").unwrap();
    assert_eq!(ended(Recording::new(named)).cut_short(), None);
    let parameters = Parameters::named(1.0, "nvme", "many").unwrap().of_size(0.0, 300.0).unwrap();
    assert_eq!(ended(Recording::new(parameters)).cut_short(), Some(300));
}
