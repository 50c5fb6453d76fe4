//! Documents by id with their bodies, with what lookups read kept from one to the next.

use std::ops::Range;

use super::bodies::{BodyReader, Place};
use super::snapshot::Snapshot;
use crate::btree::TreeLookup;
use crate::chunklog::ChunkReader;
use crate::error::Result;
use crate::format::docinfo::DocInfoRef;
use crate::format::pointer::TreeKind;

/// Looks up documents of one state by id and lends them with their bodies.
///
/// Keeps the by-id tree from one lookup to the next, without its leaves where they are many, 8 MiB of it at
/// most, and its buffers, up to three times the longest body: for a host that looks up more than a few,
/// and one for each thread. [`ThreadedLookups`](crate::engine::ThreadedLookups) has two threads for one.
#[derive(Debug)]
pub struct Lookups {
    snapshot: Snapshot,
    by_id: TreeLookup,
    bodies: BodyReader,
    located: Vec<Located>,
    /// Values of entries that were found, one behind the other.
    values: Vec<u8>,
}

/// A document that was looked up, before its body is read.
#[derive(Debug)]
struct Located {
    body: Place,
    /// Of its id, among those asked for.
    index: usize,
    /// Where its entry's value is.
    value: Range<usize>,
}

impl Lookups {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        Lookups {
            snapshot: snapshot.clone(),
            by_id: snapshot.lookup(TreeKind::ById).keeping_top(),
            bodies: snapshot.bodies(ChunkReader::LOOKUP_WINDOW),
            located: Vec::new(),
            values: Vec::new(),
        }
    }

    /// What is known of a document, and its body, inflated, if it has one; `None` when there is no such
    /// id. Tombstones are found too.
    pub fn get<'a>(
        &'a mut self,
        id: &'a [u8],
    ) -> Result<Option<(DocInfoRef<'a>, Option<&'a [u8]>)>> {
        let (value, mut is_there) = (&mut self.values, false);
        value.clear();
        self.by_id.values(&[id], &mut |_, found| {
            is_there = found.is_some();
            value.extend_from_slice(found.unwrap_or_default());
            Ok(())
        })?;
        if !is_there {
            return Ok(None);
        }
        let info = self.snapshot.by_id(id, value)?;
        Ok(Some((info, self.bodies.body(info)?)))
    }

    /// Looks up many ids, which must be sorted. Passes the index of each to `found`, with what is known
    /// of the document if there is one and its body, inflated, if it has one, in the order that costs
    /// the fewest reads. Each node on the way is read once, and bodies that lie together are.
    pub fn get_many(
        &mut self,
        ids: &[&[u8]],
        mut found: impl FnMut(usize, Option<DocInfoRef<'_>>, Option<&[u8]>),
    ) -> Result<()> {
        let Lookups { snapshot, by_id, bodies, located, values } = self;
        located.clear();
        values.clear();
        by_id.values(ids, &mut |index, value| {
            let Some(value) = value else {
                found(index, None, None);
                return Ok(());
            };
            let DocInfoRef { position, physical_size, .. } = snapshot.by_id(ids[index], value)?;
            let start = values.len();
            values.extend_from_slice(value);
            let body = Place { position, disk_size: physical_size };
            located.push(Located { body, index, value: start..values.len() });
            Ok(())
        })?;
        located.sort_unstable_by_key(|document| document.body.position);
        let mut rest = located.as_slice();
        while !rest.is_empty() {
            let places = rest.iter().map(|document| document.body);
            let (together, behind) = rest.split_at(bodies.read_ahead(places)?);
            for document in together {
                let value = values.get(document.value.clone()).unwrap_or_default();
                let info = snapshot.by_id(ids[document.index], value)?;
                found(document.index, Some(info), bodies.body(info)?);
            }
            rest = behind;
        }
        Ok(())
    }
}
