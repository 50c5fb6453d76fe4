//! Ids shared out between two threads: each is told once, whoever takes it, and a lookup that fails on
//! either thread leaves both ready for the next one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use shuttle::rand::Rng;
use shuttle::thread;
use tailswap::Error;
use tailswap::device::{Fault, FaultVolume, MemoryVolume};
use tailswap::engine::ThreadedLookups;
use tailswap::error::IoOp;
use tailswap::event::Events;
use tailswap::format::header::Header;
use tailswap::store::{Batch, Body, Create, DocUpdate, RevSeq};

use crate::checker::{self, came_to};

const EXECUTIONS: usize = 5_000;
/// Five pieces, the last of them short.
const COUNT: usize = 36;
/// Some more than a lookup takes.
const READS_MAX: u64 = 30;

#[test]
fn ids_are_shared_out() {
    let test = "lookups::ids_are_shared_out";
    let outcomes = [
        checker::random(test, EXECUTIONS, share_ids_out),
        checker::pct(test, EXECUTIONS, share_ids_out),
    ];
    let reached = |outcome| outcomes.iter().any(|came_to| came_to.contains_key(outcome));
    for outcome in ["alone", "helped", "failed here", "failed there", "dropped"] {
        assert!(reached(outcome) || checker::is_replay(), "never {outcome}");
    }
}

fn share_ids_out() {
    let volume = FaultVolume::new(Arc::new(MemoryVolume::new()));
    let documents = (0..COUNT).map(|number| DocUpdate {
        id: format!("document {number:02}").into_bytes(),
        seq: None,
        rev_seq: RevSeq::Next,
        deleted: false,
        content_meta: 0,
        rev_meta: vec![0; 18],
        body: Body::Stored(Bytes::from(vec![number as u8; 2000])),
    });
    let (header, documents) = (Header::empty(14), documents.collect::<Vec<_>>());
    let ids: Vec<_> = documents.iter().map(|document| document.id.clone()).collect();
    let batch = Batch { documents, locals: Vec::new() };
    let create = Create::new(Arc::new(volume.clone()), "file", header, batch, 1, Events::none());
    let snapshot = create.unwrap().finish().unwrap().snapshot().unwrap();
    let ids: Vec<&[u8]> = ids.iter().map(Vec::as_slice).collect();
    let mut lookups = ThreadedLookups::new(&snapshot);
    let mut rng = shuttle::rand::thread_rng();
    for fail_at in [rng.gen_range(1..READS_MAX), u64::MAX] {
        let helped = Arc::new(AtomicBool::new(false));
        let failed_there = Arc::new(AtomicBool::new(false));
        let (noted, count) = ((helped.clone(), failed_there.clone()), AtomicU64::new(0));
        let note = move |_: &str| {
            let there = thread::current().name() == Some("lookups");
            noted.0.fetch_or(there, Ordering::SeqCst);
            if count.fetch_add(1, Ordering::SeqCst) + 1 == fail_at {
                noted.1.store(there, Ordering::SeqCst);
            }
            true
        };
        volume.inject(Fault::nth(fail_at).of(IoOp::Read).on_files(note));
        let mut found = BTreeMap::new();
        let done = lookups.get_many(&ids, |index, info, body| {
            let there = (info.map(|info| info.id.to_vec()), body.map(<[u8]>::to_vec));
            assert!(found.insert(index, there).is_none(), "{index} was told twice");
        });
        volume.heal();
        match done {
            Err(Error::Io { op: IoOp::Read, .. }) if fail_at < READS_MAX => {
                came_to(match failed_there.load(Ordering::SeqCst) {
                    true => "failed there",
                    false => "failed here",
                });
                if rng.gen_bool(0.5) {
                    return came_to("dropped");
                }
            }
            done => {
                done.unwrap();
                for (index, id) in ids.iter().enumerate() {
                    assert_eq!(found[&index], (Some(id.to_vec()), Some(vec![index as u8; 2000])));
                }
                assert_eq!(found.len(), ids.len());
                came_to(if helped.load(Ordering::SeqCst) { "helped" } else { "alone" });
            }
        }
    }
}
