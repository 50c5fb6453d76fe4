//! Sound files to damage, and every state that each of them holds.

use std::sync::Arc;

use bytes::Bytes;
use tailswap::device::{MemoryDevice, MemoryVolume};
use tailswap::event::{Events, FileName};
use tailswap::format::header::Header;
use tailswap::store::{
    Batch, Body, Budget, Create, DocUpdate, HeadersForward, LocalUpdate, OpenMode, RevSeq, Step,
    find_newest,
};

use super::exercise::{Reading, read};
use super::support::random::Random;

/// A sound file.
pub(crate) struct Seed {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    /// Every state, in the order of their headers.
    pub(crate) states: Vec<State>,
    /// Whether bodies fill blocks just so. A body does not say whose it is: with such a block in
    /// another's place a document has the body of another, and nothing tells.
    pub(crate) bodies_fill_blocks: bool,
}

/// A state, and where its header ends.
pub(crate) struct State {
    pub(crate) reading: Reading,
    pub(crate) end: u64,
}

impl Seed {
    pub(crate) fn new(name: &str, bytes: Vec<u8>) -> Self {
        let device = Arc::new(MemoryDevice::from_bytes(bytes.clone()));
        let (newest, _) = find_newest(&FileName::from(name), device, OpenMode::Strict).unwrap();
        let states = HeadersForward::all(newest)
            .map(|snapshot| {
                let snapshot = snapshot.unwrap();
                State { reading: read(&snapshot).unwrap(), end: snapshot.end() }
            })
            .collect();
        Seed { name: name.to_owned(), bytes, states, bodies_fill_blocks: name == "boundary" }
    }

    /// A file of the real library.
    pub(crate) fn golden(name: &str) -> Self {
        Seed::new(name, super::support::Golden::load(name).bytes)
    }

    /// A file made here: several headers, long bodies, compressed and not, local documents that come
    /// and go, tombstones with and without body.
    pub(crate) fn made_here() -> Self {
        let volume = Arc::new(MemoryVolume::new());
        let mut random = Random::new(6);
        let first = batch(&mut random, 0);
        let (header, events) = (Header::empty(14), Events::none());
        let mut create =
            Create::new(volume.clone(), "made", header, first, 1_000, events.clone()).unwrap();
        while create.step(&mut Budget::UNBOUNDED.clone()).unwrap() != Step::Done {}
        let mut store = create.finish().unwrap();
        for round in 1..5 {
            store.save(batch(&mut random, round), 1_000 + round).unwrap();
        }
        Seed::new("made_here", volume.get("made").unwrap())
    }

    pub(crate) fn newest(&self) -> &State {
        self.states.last().unwrap()
    }
}

fn batch(random: &mut Random, round: u64) -> Batch {
    let documents = (0..20).map(|index| {
        let key = random.below(60);
        let deleted = random.chance(1, 5);
        let body = match (index, random.below(4)) {
            (0, _) => Body::Stored(Bytes::from(random.bytes(4_500))),
            (1, _) => Body::Compress(Bytes::from(half_random(random, 6_000))),
            (_, 0) if deleted => Body::None,
            (_, 1) => Body::Stored(Bytes::from(random.bytes(60))),
            _ => Body::Compress(Bytes::from(half_random(random, 120))),
        };
        let rev_meta = random.bytes(18);
        let (rev_seq, content_meta, seq) = (RevSeq::Next, 0, None);
        let id = format!("document-{key:03}").into_bytes();
        DocUpdate { id, seq, rev_seq, deleted, content_meta, rev_meta, body }
    });
    let documents = documents.collect();
    let local =
        |number: u64, value| LocalUpdate { id: format!("_local/{number}").into_bytes(), value };
    let locals = vec![
        local(round, Some(random.bytes(300))),
        local(9, Some(random.bytes(20))),
        local(round.saturating_sub(2), (round > 2).then(|| random.bytes(10))),
        local(20 + round, Some(random.bytes(700))),
        local(18 + round, None),
    ];
    Batch { documents, locals }
}

/// Bytes that compress to about half their length.
fn half_random(random: &mut Random, length: usize) -> Vec<u8> {
    random.bytes(length / 2).into_iter().flat_map(|byte| [byte, b'x']).collect()
}
