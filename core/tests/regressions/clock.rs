//! Whom a simulated world charges for the time that something takes.

use tailswap::sim::world::{Action, Change, Settings, Value, World};

fn change(tag: u64) -> Change {
    let value = Value::Generated { length: 900, tag };
    Change { key: format!("key-{tag}"), value: Some(value) }
}

/// A reader's reads were charged to whichever machine had the next turn: its flush took as much
/// longer.
#[test]
fn a_reader_takes_nobody_elses_time() {
    let time_with = |reads: bool| {
        let mut world = World::new(Settings::default());
        world.act(&"create".parse().unwrap()).unwrap();
        world.act(&Action::Flush((0..50).map(change).collect())).unwrap();
        if reads {
            world.act(&Action::Read("reader".to_owned())).unwrap();
        }
        world.act(&Action::Flush(vec![change(50)])).unwrap();
        world.now_ns()
    };
    assert_eq!(time_with(false), time_with(true));
}
