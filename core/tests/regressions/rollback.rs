//! Rollbacks under faults.

use tailswap::device::Fault;
use tailswap::error::IoOp;
use tailswap::sim::contents::Contents;
use tailswap::sim::disk::Profile;
use tailswap::sim::machines::Machines;
use tailswap::store::Step;

use super::vbucket_with_a_document;

/// Takes a rollback up to its end, or to where it waits; an error's text if it fails.
fn step(machines: &mut Machines, seq: u64) -> Result<Step, String> {
    let mut operation = Some(machines.begin_rollback(seq).unwrap());
    for _ in 0..100 {
        match machines.step_operation(&mut operation) {
            Ok(Step::Progress) => {}
            ended => return ended.map_err(|error| error.to_string()),
        }
    }
    panic!("a rollback that comes to no end");
}

/// It waited for the sync inside of a step: for ever, where the host completes syncs between steps.
#[test]
fn going_back_in_a_rollback_waits_for_its_sync_between_steps() {
    let mut machines = vbucket_with_a_document(Profile::Posix);
    machines.push("other", Some(b"value".to_vec())).unwrap();
    machines.volume.fail_sync(1);
    // The flush fails, and so does going back: the store stays poisoned.
    machines.faults.inject(Fault::nth(2).of(IoOp::Sync));
    assert!(machines.flush().is_err());
    machines.volume.hold_syncs(true);
    assert_eq!(step(&mut machines, 1), Ok(Step::Blocked));
}

/// A state that could not be read was taken for one that is not there: the counters began anew.
#[test]
fn a_rollback_that_cannot_read_the_older_state_fails_and_changes_nothing() {
    let mut reached = 0;
    for nth in 1.. {
        let mut machines = vbucket_with_a_document(Profile::Posix);
        let older = machines.vbucket().unwrap().snapshot().unwrap();
        let older = Contents::read(&older).unwrap();
        machines.push("other", Some(b"value".to_vec())).unwrap();
        machines.flush().unwrap();
        let newest = machines.witness.acknowledged().unwrap();
        let before = machines.faults.fired();
        machines.faults.inject(Fault::nth(nth).of(IoOp::Read));
        let rolled_back = step(&mut machines, 1);
        machines.faults.heal();
        let snapshot = machines.vbucket().unwrap().snapshot().unwrap();
        let found = Contents::read(&snapshot).unwrap();
        if rolled_back.is_err() {
            assert_eq!(newest.difference(&found), "", "read {nth} failed");
            reached += 1;
        } else {
            assert_eq!(found.state.max_cas, older.state.max_cas, "read {nth} failed");
        }
        if machines.faults.fired() == before {
            break;
        }
    }
    assert!(reached > 2, "only {reached} reads");
}
