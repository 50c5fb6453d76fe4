//! What the page is told of a run, held against the run itself and its files.
#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(not(target_arch = "wasm32"))]

use tailswap::limits::BLOCK_SIZE;
use tailswap_web::files::Class;
use tailswap_web::moment::{Moment, Role};
use tailswap_web::recording::{Parameters, Recording, Stride};
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
            assert_eq!(file.block_map(event).len() as u64, end.div_ceil(BLOCK_SIZE));
            bytes_seen += end;
        }
    }
    assert!(bytes_seen > 50_000_000, "only {bytes_seen} bytes were looked at");
}

#[test]
fn at_the_end_the_map_is_that_of_the_bytes_in_the_file() {
    let recording = recorded(1, "many");
    let last = recording.events().len() - 1;
    let image = recording.world().files();
    let (name, bytes) = image.files().next().unwrap();
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
