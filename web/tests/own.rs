//! Files from elsewhere: every byte is told, at every header, however damaged they are.
#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use tailswap::btree::Token;
use tailswap::device::MemoryDevice;
use tailswap::event::{Content, FileName};
use tailswap::format::docinfo::DocInfoRef;
use tailswap::format::pointer::TreeKind;
use tailswap::limits::BLOCK_SIZE;
use tailswap::store::check::Severity;
use tailswap::store::{OpenMode, Snapshot, at_offset, find_newest};
use tailswap_web::file_history::Class;
use tailswap_web::own::OwnFile;

/// Files of a folder of the golden ones, by name.
fn golden(folder: &str) -> Vec<(String, Vec<u8>)> {
    let folder =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../core/tests/golden").join(folder);
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "couch"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// Opened, and everything found out.
fn known(name: &str, bytes: &[u8]) -> OwnFile {
    let mut own = OwnFile::open(name, bytes.to_vec());
    while own.step() {}
    own
}

fn assert_told_apart(own: &OwnFile, what: &str) {
    let mut last = 0;
    for moment in [0, own.last_moment() / 2, own.last_moment()] {
        let mut end = 0;
        for (from, to, _) in own.history.segments(moment) {
            assert_eq!(from, end, "{what}: a gap or an overlap at header {moment}");
            assert!(to > from, "{what}");
            end = to;
        }
        assert_eq!(end, own.history.length(moment), "{what}");
        last = end;
    }
    assert_eq!(last, own.bytes().len() as u64, "{what}");
}

/// Positions of all that a state uses.
fn reached(state: &Snapshot) -> BTreeSet<u64> {
    let mut reached = BTreeSet::new();
    for tree in [TreeKind::BySeq, TreeKind::ById, TreeKind::Local] {
        let mut walk = state.walk(tree);
        while let Some(token) = walk.peek().unwrap() {
            match token {
                Token::Subtree(pointer) => {
                    reached.insert(pointer.position);
                    walk.descend().unwrap();
                }
                Token::Entry(key, value) => {
                    if tree == TreeKind::BySeq {
                        reached.insert(DocInfoRef::decode_by_seq(key, value).unwrap().position);
                    }
                    walk.skip();
                }
            }
        }
    }
    reached
}

#[test]
fn of_every_sound_file_it_is_told_what_each_header_used() {
    let mut headers = 0;
    for (name, bytes) in golden("") {
        let own = known(&name, &bytes);
        assert_told_apart(&own, &name);
        if name.starts_with("encrypted_") && !name.contains("decrypted") {
            assert!(own.findings()[0].what.contains("encrypted"), "{name}");
            continue;
        }
        let bad = own.findings().iter().find(|finding| finding.severity != Severity::Note);
        assert_eq!(bad, None, "{name}");
        let unknown = own.history.class_bytes(own.last_moment())[Class::Unknown as usize];
        assert_eq!(unknown, 0, "{name}");
        let device = Arc::new(MemoryDevice::from_bytes(bytes));
        let (newest, _) = find_newest(&FileName::from(&*name), device, OpenMode::Strict).unwrap();
        let mut moment = 0;
        while let Some(header) =
            own.header(moment).filter(|_| moment < own.history.headers(usize::MAX - 1).len())
        {
            let state = at_offset(&newest, header.position).unwrap();
            let reached = reached(&state);
            let mut seen = 0;
            let mut at = 0;
            while at < own.history.length(moment) {
                let chunk = own.history.chunk_at(at, moment).unwrap();
                at = chunk.end;
                if matches!(chunk.content, Content::Header | Content::Slack) {
                    continue;
                }
                let is_live = own.history.dead_since(&chunk, moment).is_none();
                assert_eq!(
                    is_live,
                    reached.contains(&chunk.start),
                    "{name}, header {moment}: {chunk:?}"
                );
                seen += usize::from(is_live);
            }
            assert_eq!(seen, reached.iter().filter(|position| **position > 0).count(), "{name}");
            moment += 1;
        }
        headers += moment;
    }
    assert!(headers > 100, "{headers}");
}

#[test]
fn of_damaged_files_it_is_said_what_is_wrong_and_where() {
    for (name, bytes) in golden("corrupt") {
        let own = known(&name, &bytes);
        assert_told_apart(&own, &name);
        println!("{name}: {:?}", own.findings());
        let mut bad = own.findings().iter().filter(|finding| finding.severity != Severity::Note);
        // These are as a crash leaves them.
        let is_sound = ["hdr_blocktype_0", "trunc_before_header", "zeros_appended"];
        assert_eq!(
            bad.next().is_none(),
            is_sound.contains(&&*name),
            "{name}: {:?}",
            own.findings()
        );
        for finding in own.findings() {
            assert!(finding.offset < bytes.len() as u64, "{name}: {finding:?}");
            let looker = own.looker(own.last_moment());
            let look = own.look(&looker, finding.offset, own.last_moment()).unwrap();
            assert!(look.damage.is_some(), "{name}: {finding:?} {look:?}");
        }
    }
}

/// The same numbers for the same seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end.max(1)
    }
}

#[test]
fn nothing_that_is_done_to_a_file_makes_it_untold() {
    let files: Vec<_> = golden("").into_iter().chain(golden("corrupt")).collect();
    let mut count = 0;
    for seed in 0..10_500_u64 {
        let mut numbers = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (name, sound) = &files[seed as usize % files.len()];
        let mut bytes = sound.clone();
        let at = numbers.below(bytes.len());
        let kind = numbers.below(6);
        match kind {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 1 << numbers.below(8),
            2 => bytes[at] = numbers.below(256) as u8,
            3 => {
                let end = bytes.len().min(at + 1 + numbers.below(5000));
                bytes[at..end].fill(0);
            }
            4 => {
                let from = numbers.below(bytes.len()) / BLOCK_SIZE as usize * BLOCK_SIZE as usize;
                let to = at / BLOCK_SIZE as usize * BLOCK_SIZE as usize;
                let block = bytes[from..bytes.len().min(from + BLOCK_SIZE as usize)].to_vec();
                let length = block.len().min(bytes.len() - to);
                bytes[to..to + length].copy_from_slice(&block[..length]);
            }
            _ => (0..64).for_each(|_| {
                let at = numbers.below(bytes.len());
                bytes[at] = numbers.below(256) as u8;
            }),
        }
        let what = format!("seed {seed}: {name}, kind {kind}, at {at}");
        let own = known(name, &bytes);
        assert_told_apart(&own, &what);
        // One bit of nothing makes an empty body of it, with the right checksum.
        let is_empty_body = bytes.get(at..at + 8) == Some(&[0x80, 0, 0, 0, 0, 0, 0, 0]);
        if kind != 0 && bytes != *sound && !is_empty_body {
            assert!(!own.findings().is_empty(), "{what}: nothing was found");
        }
        for finding in own.findings() {
            assert!(finding.offset < bytes.len().max(1) as u64, "{what}: {finding:?}");
        }
        let moment = own.last_moment();
        if let Some(finding) = own.findings().first().filter(|_| !bytes.is_empty()) {
            own.look(&own.looker(moment), finding.offset, moment).unwrap();
        }
        count += 1;
    }
    assert!(count >= 10_000);
}
