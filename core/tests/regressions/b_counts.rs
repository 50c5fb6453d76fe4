//! Bugs that others met with counts, purging and sequence numbers (`core/FAULTS.md`, by number).

use tailswap::engine::AutomaticCompaction;
use tailswap::sim::contents::Contents;
use tailswap::sim::disk::{DiskRules, Profile};
use tailswap::sim::machines::Machines;
use tailswap::sim::workloads::value;
use tailswap::store::{
    Batch, Body, Budget, Counts, DocUpdate, LocalUpdate, RevSeq, Snapshot, Step,
};

/// What a document is at a moment: absent, deleted, or of so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    Absent,
    Deleted,
    Live(usize),
}

/// Sizes around a block's, so that a body takes one byte more or less in another place.
const KINDS: [Is; 5] = [Is::Absent, Is::Deleted, Is::Live(10), Is::Live(4085), Is::Live(4100)];

fn machines() -> Machines {
    let mut machines = Machines::new(DiskRules::new(Profile::Posix));
    machines.create().unwrap();
    machines
}

fn change(machines: &mut Machines, key: &str, to: Is) {
    match to {
        Is::Absent => {}
        Is::Deleted => machines.push(key, None).unwrap(),
        Is::Live(size) => machines.push(key, Some(value(7, size))).unwrap(),
    }
}

/// Counts of a state, each document looked at.
fn recount(snapshot: &Snapshot) -> Counts {
    let mut counts = Counts::default();
    for info in snapshot.documents_by_id(b"", None).unwrap() {
        let info = info.unwrap();
        match info.deleted {
            true => counts.deleted += 1,
            false => counts.live += 1,
        }
        counts.body_bytes += info.physical_size;
    }
    counts
}

fn assert_counted(machines: &Machines, context: &str) {
    let snapshot = machines.vbucket().unwrap().snapshot().unwrap();
    assert_eq!(snapshot.counts(), recount(&snapshot), "{context}");
    let expected = machines.witness.acknowledged().unwrap();
    assert_eq!(expected.difference(&Contents::read(&snapshot).unwrap()), "", "{context}");
}

fn a_little(machines: &mut Machines) -> Step {
    machines.step_compaction(Budget { bytes: 3000, entries: 2 }).unwrap()
}

/// Each document goes from one kind to another before the copy, while it is made and after it, with
/// tombstones purged or not; a second copy begins from what the first left.
fn all_transitions(purge_to: u64) {
    for first in KINDS {
        for second in KINDS {
            for third in KINDS {
                let context = format!("{first:?}, {second:?}, {third:?}, purged to {purge_to}");
                let mut machines = machines();
                change(&mut machines, "other", Is::Live(500));
                change(&mut machines, "key", first);
                machines.flush().unwrap();
                change(&mut machines, "other", Is::Deleted);
                machines.flush().unwrap();
                machines.begin_compaction(purge_to, 0).unwrap();
                let _ = a_little(&mut machines);
                change(&mut machines, "key", second);
                machines.flush().unwrap();
                while machines.compaction.as_ref().is_some_and(|c| c.stats().rounds == 0) {
                    let _ = a_little(&mut machines);
                }
                change(&mut machines, "key", third);
                machines.flush().unwrap();
                machines.finish_compaction().unwrap();
                assert_counted(&machines, &context);
                machines.begin_compaction(purge_to, 0).unwrap();
                machines.finish_compaction().unwrap();
                assert_counted(&machines, &format!("again, {context}"));
            }
        }
    }
}

#[test]
fn b02_b04_deletions_ask_for_a_compaction_and_after_it_nothing_asks_for_another() {
    let asked_from = AutomaticCompaction::default().fragmentation;
    let fragmentation = |machines: &Machines| {
        machines.vbucket().unwrap().snapshot().unwrap().fragmentation().unwrap()
    };
    let mut machines = machines();
    for key in 0..400 {
        change(&mut machines, &format!("key-{key}"), Is::Live(300));
    }
    machines.flush().unwrap();
    assert!(fragmentation(&machines) < asked_from, "nothing is unused yet");
    for key in 0..400 {
        change(&mut machines, &format!("key-{key}"), Is::Deleted);
    }
    machines.flush().unwrap();
    assert!(fragmentation(&machines) >= asked_from, "the tombstones' bodies are unused");
    // Whether it leaves the tombstones, which a later purge could free, or purges them.
    for purge_to in [0, 600] {
        machines.begin_compaction(purge_to, 0).unwrap();
        machines.finish_compaction().unwrap();
        assert!(fragmentation(&machines) < asked_from, "purged to {purge_to}");
        assert_counted(&machines, &format!("purged to {purge_to}"));
    }
}

#[test]
fn b03_b05_b06_b08_b12_whatever_a_document_becomes_meanwhile_counts_are_those_of_a_recount() {
    all_transitions(0);
}

#[test]
fn b07_b11_so_they_are_when_tombstones_are_purged_meanwhile() {
    all_transitions(u64::MAX);
}

#[test]
fn b10_a_local_document_deleted_during_a_compaction_stays_away() {
    for rewritten in [false, true] {
        let mut machines = machines();
        machines.save_locals(&[("_local/gone", Some("1"))]).unwrap();
        machines.begin_compaction(0, 0).unwrap();
        let _ = a_little(&mut machines);
        machines.save_locals(&[("_local/gone", None)]).unwrap();
        if rewritten {
            machines.save_locals(&[("_local/gone", Some("2"))]).unwrap();
        }
        machines.finish_compaction().unwrap();
        let snapshot = machines.vbucket().unwrap().snapshot().unwrap();
        let expected = rewritten.then(|| b"2".to_vec());
        assert_eq!(snapshot.local(b"_local/gone").unwrap(), expected);
    }
}

#[test]
fn b13_of_two_changes_of_one_id_in_a_batch_the_last_wins_and_is_seen_once_committed() {
    let machines = machines();
    let vbucket = machines.vbucket().unwrap();
    let mut guard = vbucket.lock().lock_blocking(tailswap::event::Actor::Operator);
    let document = |deleted| DocUpdate {
        id: b"twice".to_vec(),
        seq: None,
        rev_seq: RevSeq::Next,
        deleted,
        content_meta: 0,
        rev_meta: vec![0; 18],
        body: Body::None,
    };
    let local = |value: Option<&str>| LocalUpdate {
        id: b"_local/twice".to_vec(),
        value: value.map(|value| value.as_bytes().to_vec()),
    };
    let batch = Batch {
        documents: vec![document(false), document(true)],
        locals: vec![local(Some("written")), local(None)],
    };
    let before = vbucket.snapshot().unwrap();
    let saved = guard.store().unwrap().save(batch, 1).unwrap();
    assert_eq!(saved.counts(), Counts { live: 0, deleted: 1, body_bytes: 0 });
    assert_eq!(saved.local(b"_local/twice").unwrap(), None);
    assert_eq!(vbucket.snapshot().unwrap().position(), before.position(), "not yet published");
}

#[test]
fn b14_a_purge_that_was_cut_short_and_done_again_counts_once() {
    for steps in 0.. {
        let mut machines = machines();
        for key in ["a", "b", "c"] {
            change(&mut machines, key, Is::Live(100));
        }
        machines.flush().unwrap();
        change(&mut machines, "a", Is::Deleted);
        change(&mut machines, "b", Is::Deleted);
        machines.flush().unwrap();
        machines.begin_compaction(4, 0).unwrap();
        let ended = (0..steps).any(|_| a_little(&mut machines) == Step::Done);
        if ended {
            assert!(steps > 10, "enough moments to cut it short: {steps}");
            return;
        }
        machines.vbucket().unwrap().cancel_compaction();
        while machines.compaction.is_some() {
            // Past the renaming it goes on to its end.
            let _ = machines.step_compaction(Budget::UNBOUNDED);
        }
        machines.begin_compaction(4, 0).unwrap();
        machines.finish_compaction().unwrap();
        assert_counted(&machines, &format!("cut short after {steps} steps"));
        let snapshot = machines.vbucket().unwrap().snapshot().unwrap();
        assert_eq!(snapshot.header().purge_seq, 4);
        assert_eq!((snapshot.counts().live, snapshot.counts().deleted), (1, 1));
    }
}

#[test]
fn b18_purge_seq_stays_that_of_the_copy_through_every_round() {
    let mut machines = machines();
    change(&mut machines, "a", Is::Deleted);
    change(&mut machines, "b", Is::Live(10));
    machines.flush().unwrap();
    machines.begin_compaction(u64::MAX, 0).unwrap();
    let mut flushes = 0;
    while machines.compaction.is_some() {
        if flushes < 6 {
            flushes += 1;
            change(&mut machines, "b", Is::Live(20 + flushes));
            machines.flush().unwrap();
        }
        let _ = machines.step_compaction(Budget::UNBOUNDED).unwrap();
    }
    assert_eq!(machines.vbucket().unwrap().snapshot().unwrap().header().purge_seq, 1);
    assert_counted(&machines, "after several rounds");
    machines.begin_compaction(0, 0).unwrap();
    machines.finish_compaction().unwrap();
    assert_eq!(machines.vbucket().unwrap().snapshot().unwrap().header().purge_seq, 1);
}

#[test]
fn b19_the_tombstone_with_the_highest_sequence_number_is_never_purged() {
    let mut machines = machines();
    for key in ["a", "b"] {
        change(&mut machines, key, Is::Deleted);
        machines.flush().unwrap();
        machines.begin_compaction(u64::MAX, 0).unwrap();
        machines.finish_compaction().unwrap();
        let snapshot = machines.vbucket().unwrap().snapshot().unwrap();
        let seqs: Vec<u64> =
            snapshot.changes_since(0).unwrap().map(|info| info.unwrap().seq).collect();
        assert_eq!(seqs, [snapshot.header().update_seq]);
    }
}

#[test]
fn b21_a_tail_without_a_new_sequence_number_is_replayed() {
    let mut machines = machines();
    change(&mut machines, "a", Is::Live(10));
    machines.flush().unwrap();
    machines.begin_compaction(0, u64::MAX).unwrap();
    let _ = a_little(&mut machines);
    // Local documents alone, then a tombstone without a body.
    machines.save_locals(&[("_local/tail", Some("1"))]).unwrap();
    while machines.compaction.as_ref().is_some_and(|c| c.stats().rounds == 0) {
        let _ = a_little(&mut machines);
    }
    change(&mut machines, "a", Is::Deleted);
    machines.flush().unwrap();
    machines.finish_compaction().unwrap();
    assert_counted(&machines, "compacted");
    let snapshot = machines.vbucket().unwrap().snapshot().unwrap();
    assert_eq!(snapshot.local(b"_local/tail").unwrap(), Some(b"1".to_vec()));
}
