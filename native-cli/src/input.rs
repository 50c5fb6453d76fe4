//! Opening the files that a command reads.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tailswap::device::{Access, BlockDevice, FileVolume, Volume};
use tailswap::event::FileName;
use tailswap::format::names::parse_file_name;
use tailswap::store::{CommitStyle, OpenMode, PassedOver, Snapshot, at_offset, find_newest};
use tailswap::{Damage, Error};

use crate::exit::{Failure, Outcome, note_line};
use crate::output::text::{Bytes, argument};

/// How a file is read, for all commands that read one.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct ReadOptions {
    /// Pass over damage at the end of the file, back to the newest sound header
    #[arg(long)]
    pub(crate) recovery: bool,
    /// Print JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,
}

impl ReadOptions {
    pub(crate) fn mode(&self) -> OpenMode {
        open_mode(self.recovery)
    }
}

/// How commits are made durable, for all commands that write to files in place.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct CommitOptions {
    /// Commit with one sync instead of two, and take back a commit that a crash cut short. A file that
    /// was written so is to be opened so again, though it does not say that it was: without this it is
    /// refused where a crash cut its newest commit short, and else gone on with, with two syncs; only a
    /// commit whose sync had failed when its process died may be lost then. Other tools, the
    /// reference's among them, would take a commit that was cut short for whole
    #[arg(long)]
    one_sync: bool,
}

impl CommitOptions {
    pub(crate) fn style(self) -> CommitStyle {
        if self.one_sync { CommitStyle::Direct } else { CommitStyle::Flip }
    }
}

/// Whether committing with one sync, which is not what was asked for yet, may take back what this error is
/// about. A crash cuts a commit short, but writes no type of block that there is not.
pub(crate) fn one_sync_may_help(error: &Error, commits: CommitStyle) -> bool {
    let Error::Corrupt { damage, .. } = error else { return false };
    commits == CommitStyle::Flip && !matches!(damage, Damage::BlockType { .. })
}

pub(crate) fn open_mode(recovery: bool) -> OpenMode {
    if recovery { OpenMode::Recovery } else { OpenMode::Strict }
}

/// Directory and name of a file, as a volume wants them.
pub(crate) fn split(path: &Path) -> Outcome<(PathBuf, String)> {
    let Some(name) = path.file_name() else { return Err(is_directory(path)) };
    let name = name.to_str().ok_or_else(|| {
        Failure::input(format_args!("{}: the file's name is not UTF-8", path.display()))
    })?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    Ok((directory, name.to_owned()))
}

/// A path as the name of a file in messages.
pub(crate) fn name_of(path: &Path) -> FileName {
    FileName::from(path.display().to_string())
}

/// The bytes of a file to read.
pub(crate) fn device(path: &Path) -> Outcome<Arc<dyn BlockDevice>> {
    let (directory, name) = split(path)?;
    let opened = FileVolume::open_read_only(directory)
        .and_then(|volume| volume.open(&name, Access::Read))
        .map_err(|error| cannot_read(path, &error))?;
    Ok(opened)
}

/// The failure of a command whose input cannot be opened.
pub(crate) fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    let what = match error.kind() {
        ErrorKind::IsADirectory => return is_directory(path),
        ErrorKind::NotFound => "no such file".to_owned(),
        ErrorKind::PermissionDenied => "permission to read it is denied".to_owned(),
        ErrorKind::NotADirectory => "a part of the path is not a directory".to_owned(),
        ErrorKind::InvalidInput => "is not a regular file".to_owned(),
        _ => format!("cannot read: {error}"),
    };
    Failure::opening(error, format_args!("{}: {what}", path.display()))
}

/// A directory stands where a file is wanted; which ones are in it.
fn is_directory(path: &Path) -> Failure {
    let failure = Failure::input(format_args!("{}: is a directory, not a file", path.display()));
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let data_file =
        |name: &OsString| name.to_str().is_some_and(|name| parse_file_name(name).is_some());
    match entries.map(|entry| entry.file_name()).filter(data_file).min() {
        Some(name) => failure.with_hint(format_args!(
            "name a file in it: {}, or {}/*.couch.* where several may be named",
            argument(&path.join(name)),
            argument(path)
        )),
        None => failure,
    }
}

/// The failure of a command for which a directory cannot be opened.
pub(crate) fn cannot_enter(directory: &Path, error: &std::io::Error) -> Failure {
    let what = match error.kind() {
        ErrorKind::WouldBlock => return Error::Locked { file: name_of(directory) }.into(),
        ErrorKind::NotFound => "no such directory".to_owned(),
        ErrorKind::NotADirectory => "is not a directory".to_owned(),
        ErrorKind::PermissionDenied => "permission to write to it is denied".to_owned(),
        _ => error.to_string(),
    };
    Failure::opening(error, format_args!("{}: {what}", directory.display()))
}

/// The newest state of a file. `command` is the one that is running, for the hint how to go on.
pub(crate) fn open(path: &Path, mode: OpenMode, command: &str) -> Outcome<Snapshot> {
    let name = name_of(path);
    let device = device(path)?;
    match find_newest(&name, device.clone(), mode) {
        Ok((snapshot, passed_over)) => {
            tell_recovery(&name, &snapshot, &passed_over)?;
            Ok(snapshot)
        }
        Err(error) => Err(refusal(error, path, device, mode, command, false)),
    }
}

/// The state that a header of a file committed: the newest one, or the one at `at_header`.
pub(crate) fn open_at(
    path: &Path,
    mode: OpenMode,
    command: &str,
    at_header: Option<u64>,
) -> Outcome<Snapshot> {
    let newest = open(path, mode, command)?;
    let Some(offset) = at_header else { return Ok(newest) };
    at_offset(&newest, offset).map_err(|error| match error {
        Error::Invalid(message) => Failure::refused(message)
            .with_hint(format_args!("`tailswap headers {}` lists them", argument(path))),
        error => error.into(),
    })
}

/// A strict opening failed: says so, and what going on in recovery mode would come to, and whether
/// committing with one sync may come to the same.
pub(crate) fn refusal(
    error: Error,
    path: &Path,
    device: Arc<dyn BlockDevice>,
    mode: OpenMode,
    command: &str,
    one_sync_may_help: bool,
) -> Failure {
    let strictly_corrupt = mode == OpenMode::Strict && matches!(error, Error::Corrupt { .. });
    let failure = Failure::from(error);
    if !strictly_corrupt {
        return failure;
    }
    let or_one_sync = match one_sync_may_help {
        true => ", and so does --one-sync, if a crash cut short a commit with one sync",
        false => "",
    };
    match find_newest(&name_of(path), device, OpenMode::Recovery) {
        // Only who writes looks at all that the newest commit wrote.
        Ok((_, passed_over)) if passed_over.is_empty() => failure.with_hint(format_args!(
            "`tailswap {command} --recovery {0}` goes on from the newest header of which all is there\
             {or_one_sync}; `tailswap check {0}` tells what is damaged",
            argument(path)
        )),
        Ok((snapshot, _)) => failure.with_hint(format_args!(
            "`tailswap {command} --recovery {}` goes on from the newest sound header, at offset {} \
             (sequence number {}){or_one_sync}",
            argument(path),
            snapshot.position(),
            snapshot.header().update_seq
        )),
        Err(_) => failure.with_hint(
            "there is no sound header in it either: not a couchstore file, or nothing of it is left",
        ),
    }
}

/// Says on standard error what recovery gave up, if anything.
pub(crate) fn tell_recovery(
    name: &FileName,
    snapshot: &Snapshot,
    passed_over: &[PassedOver],
) -> Outcome<()> {
    let Some(first) = passed_over.first() else { return Ok(()) };
    let behind = snapshot.file().len()?.saturating_sub(snapshot.end());
    let blocks = if passed_over.len() == 1 { "block" } else { "blocks" };
    note_line(format_args!(
        "{name}: recovered the state of the header at offset {} (sequence number {}); given up: \
         {} damaged {blocks} and all {} behind that header; newest damage: {}",
        snapshot.position(),
        snapshot.header().update_seq,
        passed_over.len(),
        Bytes(behind),
        describe(first)
    ));
    Ok(())
}

fn describe(passed: &PassedOver) -> String {
    match &passed.error {
        Error::Corrupt { offset, damage, .. } => format!("{damage} at offset {offset}"),
        error => format!("{error} at offset {}", passed.offset),
    }
}
