//! Compactions of files from elsewhere, beside writers, in simulated worlds that begin with them.
#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(not(target_arch = "wasm32"))]

use std::path::PathBuf;
use std::sync::Arc;

use tailswap::device::MemoryDevice;
use tailswap::event::{Event, FileName};
use tailswap::sim::contents::Contents;
use tailswap::store::check::check;
use tailswap::store::{OpenMode, find_newest};
use tailswap_web::moment::Moment;
use tailswap_web::own::{Origin, OwnFile};
use tailswap_web::parameters::{Difference, Parameters};
use tailswap_web::recording::Recording;

fn golden(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../core/tests/golden");
    std::fs::read(folder.join(format!("{name}.couch"))).unwrap()
}

fn begun(name: &str, bytes: Vec<u8>) -> Result<Recording, String> {
    let mut own = OwnFile::open(name, bytes);
    while own.step() {}
    let origin = Origin::of(&own)?;
    let parameters = origin.parameters(Parameters::named(1.0, "nvme", "many")?);
    Ok(Recording::on_file(origin, parameters))
}

fn ended(mut recording: Recording) -> Recording {
    while recording.advance(1000).unwrap() {}
    recording
}

fn contents(bytes: &[u8]) -> Contents {
    let device = Arc::new(MemoryDevice::from_bytes(bytes.to_vec()));
    let (newest, _) = find_newest(&FileName::from("a file"), device, OpenMode::Strict).unwrap();
    Contents::read(&newest).unwrap()
}

#[test]
fn whatever_file_it_is_a_compaction_goes_through_and_loses_nothing() {
    for name in [
        "compact_src",
        "deletes",
        "legacy_v11",
        "local_docs",
        "multilevel",
        "odd_keys",
        "one_doc",
        "purged_hook",
        "replay_src",
        "rollback",
        "snappy_bodies",
        "v12_lib6.6.2_appended",
        "v13_lib7.6.9",
        "updates_headers",
        "uncommitted_tail",
        "empty",
        "custom_nodesize",
        "corrupt/hdr_body_bitflip",
        "corrupt/trunc_mid_header",
    ] {
        let bytes = golden(name);
        let run = ended(begun(name, bytes.clone()).unwrap_or_else(|why| panic!("{name}: {why}")));
        assert_eq!(run.world().progress().swaps, 1, "{name}");
        let last = run.events().len() - 1;
        let moment = Moment::at(&run, last, 0);
        let in_charge = run.in_charge_at(last).unwrap();
        let result = run.bytes_of(in_charge, last).unwrap();
        let device = Arc::new(MemoryDevice::from_bytes(result.clone()));
        let report = check(&FileName::from(name), device, OpenMode::Strict).unwrap();
        assert!(report.is_sound(), "{name}: {:?}", report.findings);
        let found = contents(&result);
        let mut kept = 0;
        if !name.starts_with("corrupt") {
            let before = contents(&bytes);
            for (id, document) in &*before.documents {
                let now = found.documents.get(id).unwrap_or_else(|| panic!("{name}: {id:?}"));
                assert!(now.seq >= document.seq, "{name}: {id:?}");
                kept += usize::from(now == document);
            }
            assert!(found.update_seq > before.update_seq, "{name}: nobody wrote meanwhile");
            assert!(kept > 0 || before.documents.len() < 50, "{name}");
        }
        assert_eq!(moment.recovered_ns, None, "{name}");
        let looker = run.looker(0, 20).unwrap();
        let first = run.inspect(&looker, 0, 1, 20).unwrap();
        assert!(first.written_by.contains("before"), "{name}: {first:?}");
        for event in (0..=last).step_by(last / 9) {
            for file in run.files.all().iter().filter(|file| file.created() <= event) {
                let end = file.segments(event).fold(0, |end, (from, to, _)| {
                    assert_eq!(from, end, "{name}, event {event}");
                    to
                });
                assert_eq!(end, file.length(event), "{name}, event {event}");
            }
        }
    }
}

#[test]
fn what_is_done_to_it_meanwhile_is_held_against_what_it_held() {
    let run = ended(begun("updates_headers", golden("updates_headers")).unwrap());
    let marks = run.turning_points();
    let at = |name: &str| marks.iter().find(|(_, mark)| mark == name).unwrap().0;
    for (event, difference) in [
        (at("start"), "power-some"),
        (at("catch-up"), "power-nothing"),
        (at("start"), "act begin rollback 60"),
        (at("start"), "act begin rollback 1"),
        (at("swap"), "power-everything"),
        (at("start"), "failed-sync"),
        (at("start"), "disk-full"),
        (10, "rollback"),
    ] {
        let branch = ended(run.fork(event, Difference::named(difference).unwrap()));
        assert_eq!(branch.refused, None, "{difference}");
        let is_told = |what: &str| branch.events().iter().any(|each| each.event.name() == what);
        if difference.contains("rollback") {
            assert!(is_told("rolled_back"), "{difference}");
        }
        let is_opened = |event: &Event| matches!(event, Event::VBucketOpened { .. });
        let opened = branch.events().iter().filter(|each| is_opened(&each.event)).count();
        assert_eq!(opened, 1 + usize::from(difference.contains("power")), "{difference}");
    }
}

#[test]
fn a_file_that_no_world_can_begin_with_is_refused_with_the_reason() {
    let refused = |name: &str| begun(name, golden(name)).map(|_| ()).unwrap_err();
    for name in ["node_byid_leaf_bitflip", "body_bitflip", "node_byseq_root_bitflip"] {
        let why = refused(&format!("corrupt/{name}"));
        assert!(why.contains("at byte"), "{why}");
    }
    assert!(refused("encrypted_v1_kdf").contains("no header"));
    let why = begun("long", vec![0; 17 << 20]).map(|_| ()).unwrap_err();
    assert!(why.contains("no header"), "{why}");
}

#[test]
fn the_sample_has_something_of_everything_and_is_sound() {
    let bytes = tailswap_web::own::sample().unwrap();
    assert_eq!(bytes, tailswap_web::own::sample().unwrap());
    let device = Arc::new(MemoryDevice::from_bytes(bytes.clone()));
    let report = check(&FileName::from("sample"), device, OpenMode::Strict).unwrap();
    assert!(report.is_sound() && report.counts.warnings == 0, "{:?}", report.findings);
    let mut own = OwnFile::open("sample", bytes);
    while own.step() {}
    let (classes, last) = (own.history.class_bytes(own.last_moment()), own.last_moment());
    // All but what is unknown.
    assert!(classes[..8].iter().all(|bytes| *bytes > 0) && classes[8] == 0, "{classes:?}");
    assert!(last > 30, "{last}");
    let swaps = ended(begun("sample", own.bytes().to_vec()).unwrap()).world().progress().swaps;
    assert_eq!(swaps, 1);
}
