//! What the page is told of a run, held against the run itself and its files.
#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(not(target_arch = "wasm32"))]

use tailswap::limits::BLOCK_SIZE;
use tailswap_web::class_bytes::blocks_of;
use tailswap_web::file_history::Class;
use tailswap_web::history::Stride;
use tailswap_web::moment::{Moment, Role};
use tailswap_web::parameters::{Difference, Parameters};
use tailswap_web::recording::Recording;
use tailswap_web::timeline::{Doing, Lane, spans};

fn recorded(seed: u64, rounds: &str) -> Recording {
    let parameters = Parameters::named(seed as f64, "nvme", rounds).unwrap();
    let mut recording = Recording::new(parameters);
    while recording.advance(1000).unwrap() {}
    recording
}

#[test]
fn every_byte_of_every_file_is_told_apart_at_every_moment() {
    let recording = recorded(1, "many");
    let mut bytes_seen = 0;
    for event in (0..recording.events().len()).step_by(37) {
        for file in recording.files.all().iter().filter(|file| file.created() <= event) {
            let mut end = 0;
            for (from, to, _) in file.segments(event) {
                assert_eq!(
                    from,
                    end,
                    "a gap or an overlap in {} at event {event}",
                    file.name(event)
                );
                end = to;
            }
            assert_eq!(end, file.length(event), "{} at event {event}", file.name(event));
            assert_eq!(file.class_bytes(event).iter().sum::<u64>(), end);
            let blocks = file.block_classes(event, &|_| true);
            assert_eq!(blocks.len() as u64, end.div_ceil(BLOCK_SIZE));
            bytes_seen += end;
        }
    }
    assert!(bytes_seen > 50_000_000, "only {bytes_seen} bytes were looked at");
}

/// Also through a crash, which takes bytes, and a rollback, which brings dead ones back.
#[test]
fn what_each_class_and_each_block_has_is_the_sum_of_what_lies_there() {
    let run = recorded(3, "many");
    let middle = run.events().len() / 2;
    for difference in ["power-some", "rollback"] {
        let mut branch = run.fork(middle, Difference::named(difference).unwrap());
        while branch.advance(1000).unwrap() {}
        for event in (0..branch.events().len()).step_by(61) {
            for file in branch.files.all() {
                let at = format!("{difference}, {} after event {event}", file.name(event));
                let mut sum = [0; Class::ALL.len()];
                for (from, to, class) in file.segments(event.min(file.removed)) {
                    sum[class as usize] += to - from;
                }
                assert_eq!(file.class_bytes(event), sum, "{at}");
                let wanted = |block| block % 3 == 1;
                let count = file.length(event).div_ceil(BLOCK_SIZE) as usize;
                let mut blocks = vec![[0; Class::ALL.len()]; count];
                for (from, to, class) in file.segments(event) {
                    for (block, from, to) in blocks_of(from, to) {
                        blocks[block as usize][class as usize] += to - from;
                    }
                }
                for (block, class) in file.block_classes(event, &wanted) {
                    let bytes = blocks[block as usize];
                    let is_header = bytes[Class::Header as usize] > 0;
                    let most = bytes.iter().max().unwrap();
                    assert!(wanted(block), "{at}");
                    assert_eq!(class == Class::Header, is_header, "{at}: block {block}");
                    assert!(is_header || bytes[class as usize] == *most, "{at}: block {block}");
                }
            }
        }
    }
}

#[test]
fn at_the_end_the_map_is_that_of_the_bytes_in_the_file() {
    let recording = recorded(1, "many");
    let last = recording.events().len() - 1;
    let image = recording.world().files();
    let (name, bytes) = image.files().next().unwrap();
    let bytes = bytes.to_vec();
    let file = recording.files.named(name, last).map(|file| &recording.files.all()[file]).unwrap();
    assert_eq!(file.length(last), bytes.len() as u64);
    assert_eq!(file.durable(last), file.length(last));
    for (from, to, class) in file.segments(last) {
        let here = &bytes[from as usize..to as usize];
        match class {
            Class::Header => {
                assert_eq!((from % BLOCK_SIZE, here[0]), (0, 1), "no header at {from}")
            }
            Class::Slack => assert!(here.iter().all(|byte| *byte == 0), "no slack at {from}"),
            // Every other chunk begins with its length, which has the highest bit set if it is a node
            // or a body, unless a block begins there.
            _ if from % BLOCK_SIZE != 0 => assert!(here[0] & 0x80 != 0, "no chunk at {from}"),
            _ => {}
        }
    }
    let snapshot = recording.world().machines().vbucket().unwrap().snapshot().unwrap();
    let live = file.class_bytes(last)[Class::LiveBody as usize];
    let (counted, blocks) = (snapshot.counts().body_bytes, bytes.len() as u64 / BLOCK_SIZE);
    // The map counts the type bytes of blocks, the engine does not.
    assert!(live >= counted && live - counted <= blocks, "{live} live bytes, {counted} counted");
}

#[test]
fn the_same_parameters_are_the_same_run_and_others_another() {
    let hashes = |seed, rounds| {
        let recording = recorded(seed, rounds);
        (recording.world().trace_hash(), recording.world().state_hash())
    };
    assert_eq!(hashes(3, "many"), hashes(3, "many"));
    assert_ne!(hashes(3, "many"), hashes(4, "many"));
    assert_ne!(hashes(3, "many"), hashes(3, "one"));
}

#[test]
fn a_moment_is_the_same_whichever_way_it_is_come_to() {
    let recording = recorded(2, "many");
    for stride in [Stride::Block, Stride::Phase, Stride::Header] {
        let (mut event, mut way) = (0, vec![0]);
        loop {
            let next = recording.seek(event, stride, true);
            if next == event {
                break;
            }
            event = next;
            way.push(event);
        }
        assert_eq!(event, recording.events().len() - 1, "{stride:?}");
        let forward: Vec<Moment> =
            way.iter().rev().step_by(9).map(|event| Moment::at(&recording, *event, 0)).collect();
        let back = way.iter().rev().skip(1).map(|event| {
            assert!(recording.seek(event + 1, stride, false) <= *event, "{stride:?} from {event}");
            *event
        });
        let back: Vec<usize> = std::iter::once(event).chain(back).step_by(9).collect();
        for (event, before) in back.into_iter().zip(forward) {
            assert_eq!(Moment::at(&recording, event, 0), before, "event {event}");
        }
    }
}

#[test]
fn a_world_comes_back_as_it_was() {
    let recording = recorded(1, "many");
    let last = recording.events().len() - 1;
    for event in [0, last / 3, last / 2] {
        let (once, again) =
            (recording.world_at(event).unwrap(), recording.world_at(event).unwrap());
        assert_eq!(once.state_hash(), again.state_hash(), "event {event}");
        let events = once.events_from(0);
        assert!(events.len() > event, "event {event}");
        assert_eq!(events, recording.events()[..events.len()], "event {event}");
    }
    let whole = recording.world_at(usize::MAX).unwrap();
    assert_eq!(whole.state_hash(), recording.world().state_hash());
}

#[test]
fn catching_up_leaves_a_shorter_tail_for_the_lock() {
    let end = |rounds| {
        let recording = recorded(1, rounds);
        Moment::at(&recording, usize::MAX, 0)
    };
    let (many, one) = (end("many"), end("one"));
    let unlocked = |moment: &Moment| moment.rounds.iter().filter(|round| !round.locked).count();
    assert!(unlocked(&many) > unlocked(&one), "{:?}", many.rounds);
    assert_eq!(unlocked(&one), 1);
    let last =
        |moment: &Moment| moment.rounds.iter().find(|round| round.locked).map(|round| round.tail);
    assert!(last(&many) < last(&one), "{:?} and {:?}", many.rounds, one.rounds);
    assert!(many.lock_held_ns < one.lock_held_ns);
    for moment in [many, one] {
        assert!(moment.swap.iter().all(|step| step.at_ns.is_some()), "{:?}", moment.swap);
        assert!(moment.swap.is_sorted_by_key(|step| step.at_ns), "{:?}", moment.swap);
        let roles: Vec<Role> = moment.files.iter().map(|file| file.role).collect();
        assert_eq!(roles, [Role::Gone, Role::InCharge]);
    }
}

#[test]
fn the_lock_has_one_holder_and_the_old_file_outlives_its_name_with_its_reader() {
    let recording = recorded(1, "many");
    let spans = spans(&recording);
    let mut held: Vec<(u64, u64)> = spans
        .iter()
        .filter(|span| span.lane == Lane::Lock && matches!(span.doing, Doing::Held(_)))
        .map(|span| (span.from_ns, span.to_ns))
        .collect();
    held.sort_unstable();
    assert!(held.len() > 10);
    assert!(held.windows(2).all(|pair| pair[0].1 <= pair[1].0), "two hold the lock at once");
    let roles: Vec<Option<Role>> = (0..recording.events().len())
        .map(|event| Moment::at(&recording, event, 0).files.first().map(|file| file.role))
        .collect();
    for role in [Role::InCharge, Role::Replaced, Role::HeldByReader, Role::Gone] {
        assert!(roles.contains(&Some(role)), "the source is never {role:?}");
    }
}

#[test]
fn parameters_that_are_none_are_refused_with_what_they_could_be() {
    let refused = |seed, device, rounds| Parameters::named(seed, device, rounds).unwrap_err();
    assert!(refused(1.5, "nvme", "many").contains("whole number"));
    assert!(refused(-1.0, "nvme", "many").contains("whole number"));
    assert!(refused(1.0, "tape", "many").contains("network"));
    assert!(refused(1.0, "nvme", "none").contains("one"));
}

/// Events that come early, during the copy, in catch-up, under the lock and after the swap.
fn moments(recording: &Recording) -> Vec<usize> {
    let marks = recording.turning_points();
    let last = recording.events().len() - 1;
    let turns = marks.iter().flat_map(|(event, _)| [*event, event + 3]);
    turns.chain([0, 40, 500]).filter(|event| *event < last).collect()
}

fn branch(run: &Recording, event: usize, difference: &str) -> Recording {
    let mut branch = run.fork(event, Difference::named(difference).unwrap());
    while branch.advance(1000).unwrap_or_else(|why| panic!("{difference} at {event}: {why}")) {}
    branch
}

#[test]
fn a_branch_has_the_past_of_its_run_and_another_future() {
    let run = recorded(1, "many");
    let wheres = ["power-nothing", "power-everything", "power-some", "failed-sync", "disk-full"];
    let mut swapped = 0;
    for (turn, difference) in wheres.into_iter().chain(["rounds", "sata"]).enumerate() {
        for event in moments(&run).into_iter().skip(turn).step_by(8) {
            let what = format!("{difference} at event {event}");
            let branch = branch(&run, event, difference);
            let (left, _) = branch.left_at().unwrap();
            assert_eq!(branch.events()[..=left], run.events()[..=left], "{what}");
            assert!(difference == "rounds" || left >= event, "{what}: it left at {left}");
            let there = branch.world().files();
            let last = branch.events().len() - 1;
            for (name, bytes) in there.files() {
                let file = branch.files.named(name, last);
                let file = file.unwrap_or_else(|| panic!("{what}: {name} is not told of"));
                let file = &branch.files.all()[file];
                assert_eq!(file.length(last), bytes.len() as u64, "{what}: {name}");
                for event in [last / 2, last * 3 / 4, last] {
                    let end = file.segments(event).fold(0, |end, (from, to, _)| {
                        assert_eq!(from, end, "{what}: {name}, event {event}");
                        to
                    });
                    assert_eq!(end, file.length(event), "{what}: {name}, event {event}");
                    assert!(file.durable(event) <= file.longest, "{what}: {name}");
                }
            }
            let moment = Moment::at(&branch, last, 0);
            let in_charge = moment.files.iter().filter(|file| file.role == Role::InCharge).count();
            assert_eq!(in_charge, 1, "{what}: {:?}", moment.files);
            swapped += usize::from(branch.world().progress().revision > 1);
        }
    }
    assert!(swapped > 12, "only {swapped} branches got to a new file");
}

#[test]
fn branches_differ_by_what_they_are_named() {
    let run = recorded(1, "many");
    let marks = run.turning_points();
    let at = |name: &str| marks.iter().find(|(_, mark)| mark == name).unwrap().0;
    let end = |branch: &Recording| Moment::at(branch, usize::MAX, 0);
    let rounds = end(&branch(&run, at("round 2"), "rounds"));
    assert_eq!(rounds.rounds.iter().filter(|round| !round.locked).count(), 1);
    assert!(rounds.lock_held_ns > end(&run).lock_held_ns);
    let slower = branch(&run, at("start"), "network");
    assert!(slower.end_ns() > run.end_ns());
    let [lost, kept] = ["power-nothing", "power-everything"].map(|what| {
        let branch = branch(&run, at("published") - 2, what);
        let crashed = branch.left_at().unwrap().0 + 1;
        let opened = branch.events()[crashed..].iter().position(|stamped| {
            matches!(stamped.event, tailswap::event::Event::VBucketOpened { .. })
        });
        Moment::at(&branch, crashed + opened.unwrap(), 0)
    });
    assert!(lost.recovered_ns.is_some() && kept.recovered_ns.is_some());
    let name = |moment: &Moment| {
        let mut files = moment.files.iter().filter(|file| file.role == Role::InCharge);
        files.next().map(|file| file.name.clone())
    };
    assert_eq!(name(&lost).as_deref(), Some("7.couch.1"), "the rename was not durable");
    assert_eq!(name(&kept).as_deref(), Some("7.couch.2"), "the rename survived");
    let full = branch(&run, at("round 1"), "disk-full");
    assert!(
        full.turning_points().iter().any(|(_, name)| name == "failed" || name == "flush failed")
    );
    assert_eq!(full.world().progress().swaps, 1, "once there is room a compaction goes through");
    assert!(Difference::named("rain").is_err());
}

#[test]
fn a_branch_of_a_branch_keeps_what_made_the_first_differ() {
    let run = recorded(1, "many");
    let first = branch(&run, 800, "sata");
    let later = first.left_at().unwrap().0 + 300;
    let second = branch(&first, later, "power-nothing");
    let (left, _) = second.left_at().unwrap();
    assert!(left >= later);
    assert_eq!(second.events()[..=left], first.events()[..=left]);
    let earlier = branch(&first, 100, "power-nothing");
    assert_eq!(earlier.world().device().name, "nvme", "it left before the first difference");
}

#[test]
fn whoever_acts_makes_a_branch_of_it() {
    let run = recorded(1, "many");
    let marks = run.turning_points();
    let (event, _) = marks.iter().find(|(_, mark)| mark == "round 1").unwrap().clone();
    let after = |difference: &str| branch(&run, event, difference);
    let cancelled = after("act cancel");
    assert_eq!(cancelled.refused, None);
    let is_cancelled = |event: &tailswap::event::Event| {
        use tailswap::event::{Event, Outcome};
        matches!(event, Event::CompactionEnded { outcome: Outcome::Cancelled, .. })
    };
    assert!(cancelled.events().iter().any(|stamped| is_cancelled(&stamped.event)));
    assert_eq!(cancelled.world().progress().swaps, 1, "the next one goes through");
    assert!(after("act begin compact").refused.is_some(), "one is running already");
    let rolled = after("rollback");
    assert!(rolled.events().iter().any(|stamped| stamped.event.name() == "rolled_back"));
    let dropped = after("act begin drop");
    assert!(dropped.events().iter().any(|stamped| stamped.event.name() == "v_bucket_deleted"));
    let sequence = |run: &Recording| run.world().progress().flushes;
    assert!(sequence(&after("burst")) > 0 && sequence(&after("hot")) > 0);
    assert!(Difference::named("act dance").unwrap_err().contains("dance"));
    assert!(Difference::named("act step 9").unwrap_err().contains("by itself"));
}
