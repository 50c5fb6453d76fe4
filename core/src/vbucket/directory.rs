//! The files of vbuckets in a volume: which revision is in charge, and what to sweep.

use crate::device::Volume;
use crate::error::Result;
use crate::event::{Events, FileName};
use crate::format::names::{file_name, is_leftover, parse_file_name};
use crate::store::{list, remove};

/// The vbuckets that have a data file in the volume.
pub fn vbuckets_in(volume: &dyn Volume) -> Result<Vec<u16>> {
    let names = list(volume, &FileName::from("data directory"))?;
    let files = names.iter().filter_map(|name| parse_file_name(name));
    let mut vbuckets: Vec<u16> = files.map(|(vbucket, _)| vbucket).collect();
    vbuckets.sort_unstable();
    vbuckets.dedup();
    Ok(vbuckets)
}

/// Highest revision of a vbucket's files; `None` when it has none.
pub(super) fn highest_revision(volume: &dyn Volume, vbucket: u16) -> Result<Option<u64>> {
    let names = list(volume, &FileName::from(file_name(vbucket, 1)))?;
    let revisions = names.iter().filter_map(|name| parse_file_name(name));
    Ok(revisions.filter(|(id, _)| *id == vbucket).map(|(_, revision)| revision).max())
}

/// Names of what is to be removed of a vbucket: unfinished work, and revisions other than `keep`.
pub(super) fn superfluous(
    volume: &dyn Volume,
    vbucket: u16,
    keep: Option<u64>,
) -> Result<Vec<FileName>> {
    let names = list(volume, &FileName::from(file_name(vbucket, 1)))?.into_iter();
    let superfluous = names.filter(|name| match parse_file_name(name) {
        Some((id, revision)) => id == vbucket && Some(revision) != keep,
        None => is_leftover(vbucket, name),
    });
    Ok(superfluous.map(FileName::from).collect())
}

/// Removes these names.
pub(super) fn remove_all(volume: &dyn Volume, names: &[FileName], events: &Events) -> Result<()> {
    names.iter().try_for_each(|name| remove(volume, name, events))
}
