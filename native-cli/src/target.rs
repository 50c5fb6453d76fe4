//! The files that a command writes.

use std::path::Path;
use std::sync::Arc;

use tailswap::Error;
use tailswap::device::{FileVolume, Volume};
use tailswap::event::FileName;
use tailswap::format::names::{TEMPORARY_SUFFIX, parse_file_name};

use crate::exit::{Failure, Outcome};
use crate::input::{cannot_enter, name_of, split};

/// A place for a file in a directory that can be written to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) volume: Arc<dyn Volume>,
    /// The file's name in the volume.
    pub(crate) name: String,
    path: FileName,
}

impl Target {
    /// Opens the directory that a file is in, or is to be in. Where the file has the name of a
    /// vbucket's data file, it would be a part of a data directory, and so nobody else may have that
    /// directory open for writing: not even a file that does not exist yet may appear in it.
    pub(crate) fn open(path: &Path) -> Outcome<Self> {
        let (directory, name) = split(path)?;
        let path = name_of(path);
        let opened = match parse_file_name(&name) {
            Some(_) => FileVolume::open_writable(&directory),
            None => FileVolume::open_shared(&directory),
        };
        let volume = opened.map_err(|error| cannot_enter(&directory, &error))?;
        Ok(Target { volume: Arc::new(volume), name, path })
    }

    /// An error of the core, naming the file as the caller did.
    pub(crate) fn named(&self, mut error: Error) -> Error {
        if let Error::Io { file, .. }
        | Error::Corrupt { file, .. }
        | Error::NoHeader { file }
        | Error::Version { file, .. }
        | Error::Encrypted { file, .. }
        | Error::Locked { file }
        | Error::Exists { file }
        | Error::Poisoned { file } = &mut error
        {
            let ending = file.strip_prefix(self.name.as_str());
            // Until it is complete a new file has a temporary name.
            if let Some(ending) = ending
                && (ending.is_empty() || ending.starts_with(TEMPORARY_SUFFIX))
            {
                *file = FileName::from(format!("{}{ending}", self.path));
            }
        }
        error
    }

    /// As [`named`](Self::named), as a failure of the command.
    pub(crate) fn failure(&self, error: Error) -> Failure {
        self.named(error).into()
    }
}
