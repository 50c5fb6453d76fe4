//! The files of vbuckets in a volume: which revision is in charge, and what to sweep.

use std::collections::BTreeSet;

use crate::device::Volume;
use crate::error::Result;
use crate::event::{Events, FileName};
use crate::format::names::{file_name, is_leftover, parse_file_name};
use crate::store::{list, remove};

/// The vbuckets that have a data file in the volume.
pub fn vbuckets_in(volume: &dyn Volume) -> Result<Vec<u16>> {
    let names = list(volume, &FileName::from("data directory"))?;
    let vbuckets: BTreeSet<u16> =
        names.iter().filter_map(|name| parse_file_name(name)).map(|(vbucket, _)| vbucket).collect();
    Ok(vbuckets.into_iter().collect())
}

/// Highest revision of a vbucket's files; `None` when it has none.
pub(super) fn highest_revision(volume: &dyn Volume, vbucket: u16) -> Result<Option<u64>> {
    let names = list(volume, &FileName::from(file_name(vbucket, 1)))?;
    let revisions = names.iter().filter_map(|name| parse_file_name(name));
    Ok(revisions.filter(|(id, _)| *id == vbucket).map(|(_, revision)| revision).max())
}

/// Removes what crashes left of a vbucket: unfinished work, and revisions other than `keep`. To be
/// called only once that one was found sound. Returns whether anything was removed.
pub(super) fn sweep(
    volume: &dyn Volume,
    vbucket: u16,
    keep: Option<u64>,
    events: &Events,
) -> Result<bool> {
    let mut swept = false;
    for name in list(volume, &FileName::from(file_name(vbucket, 1)))? {
        let old = parse_file_name(&name)
            .is_some_and(|(id, revision)| id == vbucket && Some(revision) != keep);
        if old || is_leftover(vbucket, &name) {
            remove(volume, &FileName::from(name), events)?;
            swept = true;
        }
    }
    Ok(swept)
}
