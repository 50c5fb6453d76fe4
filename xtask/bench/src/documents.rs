//! Documents to store: JSON-like text that hardly compresses, in an order that is the same in every run.

use std::fmt;

use bytes::Bytes;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};

/// Hexadecimal digits from which texts are cut.
const POOL: usize = 1 << 20;

/// A set of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Documents {
    pub(crate) count: u64,
    pub(crate) body_len: usize,
}

impl fmt::Display for Documents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            0 => f.write_str("its own"),
            count => write!(f, "{count} × {} B", self.body_len),
        }
    }
}

impl Documents {
    /// The same kind of documents, a part of them.
    pub(crate) fn divided(self, by: u64) -> Self {
        Documents { count: self.count / by, ..self }
    }
}

/// One change of a store: a new value, or a deletion.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Bytes>,
}

/// Makes documents, each different from all before.
pub(crate) struct Writer {
    documents: Documents,
    pool: Vec<u8>,
    random: Pcg64Mcg,
    revision: u64,
}

impl Writer {
    pub(crate) fn new(documents: Documents) -> Self {
        let mut random = Pcg64Mcg::seed_from_u64(documents.count);
        let pool = (0..POOL).map(|_| b"0123456789abcdef"[random.random_range(0..16)]).collect();
        Writer { documents, pool, random, revision: 0 }
    }

    /// A new value for a document.
    pub(crate) fn set(&mut self, number: u64) -> Change {
        self.revision += 1;
        let mut body = format!(r#"{{"order":{number},"revision":{},"text":""#, self.revision);
        let rest = self.documents.body_len.saturating_sub(body.len() + 2);
        let from = self.random.random_range(0..POOL - rest);
        // The pool is ASCII.
        body.push_str(&String::from_utf8_lossy(&self.pool[from..from + rest]));
        body.push_str("\"}");
        Change { key: key(number).to_vec(), value: Some(Bytes::from(body)) }
    }

    /// Numbers of documents, drawn from all of them.
    pub(crate) fn any(&mut self) -> u64 {
        self.random.next_u64() % self.documents.count
    }

    /// All documents once, in random order.
    pub(crate) fn shuffled(&mut self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.documents.count as u32).collect();
        order.shuffle(&mut self.random);
        order
    }
}

/// The key of a document: as it stands, so that many in memory are not what a benchmark measures.
pub(crate) type Key = [u8; 17];

/// The key of a document.
pub(crate) fn key(number: u64) -> Key {
    let mut key = *b"order::0000000000";
    key[7..].copy_from_slice(format!("{number:010}").as_bytes());
    key
}
