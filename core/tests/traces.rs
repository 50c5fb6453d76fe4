//! Traces: whole, cut short, damaged, and of later versions.
#![allow(clippy::unwrap_used, clippy::panic)]

use tailswap::event::{Event, Outcome};
use tailswap::sim::Choices;
use tailswap::sim::steady::{Load, Steady};
use tailswap::sim::swarm::{Faults, Life, live};
use tailswap::sim::world::{Settings, World};
use tailswap::trace::{TraceError, TraceReader, TraceWriter, is_trace};

/// Damaged traces that are read.
const DAMAGED: usize = 10_000;

fn written(events: &[(u64, Event)]) -> Vec<u8> {
    let (mut writer, mut bytes) = (TraceWriter::default(), Vec::new());
    events.iter().for_each(|(at_ns, event)| writer.event(*at_ns, event, &mut bytes));
    bytes
}

/// All events up to the end, or to what is wrong; and where that is.
fn read(bytes: &[u8]) -> (Vec<(u64, Event)>, Result<usize, TraceError>) {
    let (mut reader, mut events) = (TraceReader::default(), Vec::new());
    loop {
        match reader.next(bytes) {
            Ok(Some(event)) => events.push(event),
            Ok(None) => return (events, Ok(reader.offset())),
            Err(error) => return (events, Err(error)),
        }
    }
}

fn events_of(world: &World) -> Vec<(u64, Event)> {
    let events = world.events_from(0).into_iter();
    events.map(|stamped| (stamped.at_ns, stamped.event)).collect()
}

/// Events of all kinds that come up in random lives, and one of those that hardly do.
fn all_kinds() -> Vec<(u64, Event)> {
    let mut all = Vec::new();
    for seed in 0..40 {
        let faults = Faults { crashes: true, errors: true };
        let (world, _) = live(&mut Life::new(seed, faults, 60));
        let since = all.last().map_or(0, |(at_ns, _)| *at_ns);
        all.extend(events_of(&world).into_iter().map(|(at_ns, event)| (since + at_ns, event)));
    }
    let end = all.last().map_or(0, |(at_ns, _)| *at_ns);
    let outcome = Outcome::Failed("a disk – gone".to_owned());
    for event in [
        Event::CompactionEnded { vbucket: u16::MAX, outcome },
        Event::Paced { vbucket: 0, nanoseconds: u64::MAX },
        Event::StallTargetMissed { vbucket: 1, nanoseconds: 1 },
        Event::DocumentDropped { vbucket: 1, seq: 9 },
    ] {
        all.push((end, event));
    }
    all
}

#[test]
fn what_is_written_is_read_back() {
    let events = all_kinds();
    let kinds: std::collections::BTreeSet<_> =
        events.iter().map(|(_, event)| event.name()).collect();
    assert!(kinds.len() >= 32, "only {} kinds of events: {kinds:?}", kinds.len());
    let bytes = written(&events);
    assert!(is_trace(&bytes));
    assert_eq!(read(&bytes), (events.clone(), Ok(bytes.len())));
    let each = bytes.len() as f64 / events.len() as f64;
    println!("{} events, {each:.1} bytes each", events.len());
    assert!(each < 16.0, "{each} bytes an event");
}

fn short() -> (Vec<(u64, Event)>, Vec<u8>) {
    let mut life =
        Steady::new(1, Load { actions_max: 200, ..Load::on(Settings::default().device) });
    let mut world = World::new(Settings::default());
    while let Some(action) = life.next_action(&world) {
        world.act(&action).unwrap();
    }
    let events = events_of(&world);
    assert!(events.len() > 60);
    let bytes = written(&events);
    (events, bytes)
}

#[test]
fn a_trace_that_ends_anywhere_is_read_up_to_there() {
    let (events, bytes) = short();
    for length in 17..bytes.len() {
        let (known, end) = read(&bytes[..length]);
        assert_eq!(known, events[..known.len()], "{length} bytes");
        assert!(end.unwrap() <= length, "{length} bytes");
    }
    for length in 0..17 {
        let (known, end) = read(&bytes[..length]);
        assert!(known.is_empty() && end.is_err(), "{length} bytes");
    }
}

#[test]
fn damage_is_an_error_that_names_its_offset_and_never_a_panic() {
    let (_, bytes) = short();
    let mut choices = Choices::seeded(7);
    let mut errors = 0;
    for round in 0..DAMAGED {
        let mut damaged = bytes.clone();
        for _ in 0..=choices.choose(3) {
            let place = choices.choose(damaged.len());
            match choices.choose(3) {
                0 => damaged[place] = choices.choose(256) as u8,
                1 => damaged[place] ^= 1 << choices.choose(8),
                _ => drop(damaged.drain(place..(place + 5).min(damaged.len()))),
            }
        }
        if let Err(error) = read(&damaged).1 {
            errors += 1;
            assert!(error.offset <= damaged.len(), "round {round}: {error}");
            assert!(error.to_string().contains(&error.offset.to_string()), "{error}");
        }
    }
    assert!(errors > DAMAGED / 3, "only {errors} of {DAMAGED} were noticed");
}

#[test]
fn what_came_up_later_is_passed_over_and_another_version_is_refused() {
    let (events, bytes) = short();
    let mut later = bytes.clone();
    let kind_of_later_and_three_bytes = [4, 200, 1, 2, 3];
    later.splice(17..17, kind_of_later_and_three_bytes);
    assert_eq!(read(&later), (events, Ok(later.len())));
    let mut other = bytes.clone();
    other[15] = b'2';
    assert_eq!(read(&other).1.unwrap_err().offset, 15);
    assert_eq!(read(b"{\"t_ns\":0}").1.unwrap_err().offset, 0);
}
