//! Worlds that begin with a file that was there before.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use tailswap::sim::world::{Action, Settings, World};

fn golden(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    std::fs::read(folder.join(format!("{name}.couch"))).unwrap()
}

fn lives(world: &mut World, lines: &[&str]) {
    for line in lines {
        world.act(&line.parse::<Action>().unwrap()).unwrap();
        assert_eq!(world.last_error(), None, "{line}");
    }
}

#[test]
fn what_a_file_held_is_what_should_be_there() {
    let mut world = World::on_file(Settings::default(), &golden("updates_headers")).unwrap();
    lives(&mut world, &["read early", "queue a=1 b=2", "flush -a", "compact", "close early"]);
    assert_eq!(world.progress().swaps, 1);
    lives(&mut world, &["crash nothing", "flush c=3", "crash 5", "end"]);
}

#[test]
fn a_rollback_leads_to_headers_that_nobody_saw_committed() {
    for seq in [0, 1, 30, 31, 77, 100_000] {
        let mut world = World::on_file(Settings::default(), &golden("updates_headers")).unwrap();
        let back = format!("rollback {seq}");
        lives(&mut world, &["flush a=1", &back, "flush b=2", "crash everything", &back, "end"]);
    }
}

#[test]
fn another_world_that_begins_with_the_same_file_becomes_the_same() {
    let mut world = World::on_file(Settings::default(), &golden("compact_src")).unwrap();
    lives(&mut world, &["queue a=@900", "begin compact", "step 40", "crash 3", "flush b=@70"]);
    let again = world.again(world.actions()).unwrap();
    assert_eq!(again.state_hash(), world.state_hash());
    assert_eq!(again.trace_hash(), world.trace_hash());
    assert_eq!(world.fork().unwrap().state_hash(), world.state_hash());
}

#[test]
fn no_world_begins_with_a_file_that_is_not_sound() {
    for name in ["corrupt/body_bitflip", "corrupt/hdr_body_bitflip", "one_doc", "empty_nocommit"] {
        assert!(World::on_file(Settings::default(), &golden(name)).is_err(), "{name}");
    }
}
