//! Exit codes, and how a failure is told.
//!
//! | code | meaning | what belongs there |
//! |---|---|---|
//! | 0 | fine | also when whoever reads the output had enough (`tailswap dump … \| head`) |
//! | 1 | what was asked does not hold | `check` found problems; no such document, no such header |
//! | 2 | usage | the command line is wrong; nothing was looked at |
//! | 3 | a wrong path; unreadable or damaged input | a file or directory that is missing, something else, or may not be opened or made (a read-only file system); no couchstore file; damage; encryption; a bad line of mutations or one that no file could hold; a file of a data directory without vbucket state |
//! | 4 | I/O | reading, writing or syncing failed; the disk is full; a name is taken or locked by another writer; the work was interrupted |
//!
//! Where a path does not lead to what is wanted there the caller named the wrong thing, and trying again
//! will not help (3). What fails while the right thing is being read or written is I/O (4): the
//! machine is at fault, or another writer, and trying again may help.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use rustix::io::Errno;
use tailswap::Error;
use tailswap::error::IoOp;

use crate::output::style;

/// What the process ends with. A later one is worse where several inputs fail differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    Fine = 0,
    Refused = 1,
    Usage = 2,
    Input = 3,
    Io = 4,
}

impl Status {
    /// Whether a path is wrong, or the machine in the way, when what it names cannot be opened or made.
    fn of_opening(error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        // Neither has a stable kind: links that lead in a circle, and a socket where a file is wanted.
        if matches!(Errno::from_io_error(error), Some(Errno::LOOP | Errno::NXIO)) {
            return Status::Input;
        }
        match error.kind() {
            Kind::NotFound
            | Kind::PermissionDenied
            | Kind::ReadOnlyFilesystem
            | Kind::IsADirectory
            | Kind::NotADirectory
            | Kind::InvalidInput
            | Kind::InvalidFilename
            // Said of what was to be text.
            | Kind::InvalidData => Status::Input,
            _ => Status::Io,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        ExitCode::from(status as u8)
    }
}

/// Why a command ends early. Has no message when everything was said already.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    message: Option<String>,
    /// What to do about it, as a line of its own.
    hint: Option<String>,
}

/// What a command comes to.
pub(crate) type Outcome<T = Status> = Result<T, Failure>;

impl Failure {
    fn new(status: Status, message: impl Display) -> Self {
        Failure { status, message: Some(message.to_string()), hint: None }
    }

    /// What was asked does not hold.
    pub(crate) fn refused(message: impl Display) -> Self {
        Failure::new(Status::Refused, message)
    }

    /// The command line is wrong.
    pub(crate) fn usage(message: impl Display) -> Self {
        Failure::new(Status::Usage, message)
    }

    /// The input is unreadable or damaged.
    pub(crate) fn input(message: impl Display) -> Self {
        Failure::new(Status::Input, message)
    }

    /// The machine, or another writer, is in the way.
    pub(crate) fn io(message: impl Display) -> Self {
        Failure::new(Status::Io, message)
    }

    /// What the command line names cannot be opened or made.
    pub(crate) fn opening(error: &io::Error, message: impl Display) -> Self {
        Failure::new(Status::of_opening(error), message)
    }

    pub(crate) fn with_hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// Says what happened, on standard error, in one line and perhaps one more.
    pub(crate) fn tell(&self) -> Status {
        if let Some(message) = &self.message {
            error_line(message);
        }
        if let Some(hint) = &self.hint {
            hint_line(hint);
        }
        self.status
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match &error {
            error if error.is_damage() => Status::Input,
            Error::Encrypted { .. } | Error::NoVBucket { .. } => Status::Input,
            // Requests that the core calls invalid come from the input: there is no other source.
            Error::TooLarge { .. } | Error::Invalid(_) => Status::Input,
            Error::Io { op: IoOp::Open | IoOp::Create, source, .. } => Status::of_opening(source),
            _ => Status::Io,
        };
        Failure::new(status, error)
    }
}

/// A failure to write standard output, which is where every [`io::Error`] without a file's name comes
/// from. That nobody reads it any more is no failure.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Failure { status: Status::Fine, message: None, hint: None };
        }
        Failure::io(format_args!("standard output: cannot write: {error}"))
    }
}

/// JSON is only ever written to standard output or to memory, so it fails as the former does.
impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        io::Error::from(error).into()
    }
}

/// Prints `tailswap: …` on standard error. Nothing can be done if that fails.
pub(crate) fn error_line(message: impl Display) {
    let bad = style::BAD;
    let _ = writeln!(anstream::stderr().lock(), "{bad}tailswap:{bad:#} {message}");
}

/// Prints something worth knowing on standard error.
pub(crate) fn note_line(message: impl Display) {
    let warning = style::WARNING;
    let _ = writeln!(anstream::stderr().lock(), "{warning}tailswap:{warning:#} {message}");
}

fn hint_line(message: impl Display) {
    let dim = style::DIM;
    let _ = writeln!(anstream::stderr().lock(), "{dim}hint:{dim:#} {message}");
}
