//! Real files in a real directory.
//!
//! Locks are advisory (`flock`): they keep programs of this crate apart, go away with the process
//! that held them, and leave nothing behind.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::{Access, BlockDevice, SyncStatus, SyncTicket, Volume, check_name, read_only};

/// One handle on a regular file. Every sync is done while it is issued.
#[derive(Debug)]
pub struct FileDevice {
    /// Holds the file's lock, when `access` is [`Access::Write`].
    file: File,
    access: Access,
}

impl FileDevice {
    fn open(path: &Path, access: Access) -> io::Result<Self> {
        let mut options = File::options();
        options.read(true).write(access == Access::Write);
        // Or else opening a named pipe would wait for somebody at its other end.
        options.custom_flags(OFlags::NONBLOCK.bits() as i32);
        let file = options.open(path)?;
        let kind = file.metadata()?.file_type();
        if kind.is_dir() {
            return Err(io::Error::new(ErrorKind::IsADirectory, "is a directory, not a file"));
        }
        if !kind.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "is not a regular file"));
        }
        Self::locked(file, access)
    }

    fn create_new(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        Self::locked(file, Access::Write)
    }

    fn locked(file: File, access: Access) -> io::Result<Self> {
        if access == Access::Write {
            try_lock(&file)?;
        }
        Ok(FileDevice { file, access })
    }

    fn writable(&self) -> io::Result<&File> {
        match self.access {
            Access::Read => Err(read_only()),
            Access::Write => Ok(&self.file),
        }
    }
}

impl BlockDevice for FileDevice {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        // No file reaches beyond this, but the system calls reading there an error.
        let reach = (i64::MAX as u64).saturating_sub(offset);
        let buf_len = usize::try_from(reach).map_or(buf.len(), |reach| reach.min(buf.len()));
        let mut count = 0;
        while count < buf_len {
            let position = offset + count as u64;
            match self.file.read_at(&mut buf[count..buf_len], position) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.writable()?.write_all_at(data, offset)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.writable()?.set_len(length)
    }

    fn sync_issue(&self) -> io::Result<SyncTicket> {
        self.writable()?.sync_data()?;
        Ok(SyncTicket(0))
    }

    fn sync_complete(&self, _: SyncTicket) -> io::Result<SyncStatus> {
        Ok(SyncStatus::Done)
    }

    fn is_last_handle(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.nlink() == 0 && is_only_handle(&self.file))
    }
}

/// Whether a file, open for writing, is open nowhere else: only then does Linux grant a lease to write
/// (fcntl(2), "Leases").
#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "no crate known to us has leases; a long file removed at once holds commits up for 5 times \
              as long as in pieces (docs/BENCHMARKS.md)"
)]
fn is_only_handle(file: &File) -> bool {
    /// From `asm-generic/fcntl.h`; `libc` does not have it.
    const F_SETSIG: libc::c_int = 10;
    // SAFETY: The descriptor is open for as long as `file` is borrowed. None of the commands takes a
    // pointer; all they change is what the kernel keeps of this file's leases.
    let fcntl = |command: libc::c_int, argument: libc::c_int| unsafe {
        libc::fcntl(file.as_raw_fd(), command, argument) == 0
    };
    // Should somebody open it while there is a lease, by way of /proc for one, the kernel tells us: with
    // SIGIO, which ends a process that does not expect it, unless another signal is asked for.
    fcntl(F_SETSIG, libc::SIGURG)
        && fcntl(libc::F_SETLEASE, libc::F_WRLCK)
        && fcntl(libc::F_SETLEASE, libc::F_UNLCK)
}

/// Whether a file is open nowhere else cannot be told here.
#[cfg(not(target_os = "linux"))]
fn is_only_handle(_: &File) -> bool {
    false
}

/// A directory of the operating system's. Only regular files with UTF-8 names are part of it.
#[derive(Debug)]
pub struct FileVolume {
    path: PathBuf,
    /// Holds the directory's lock, if there is one, and is what is synced.
    directory: File,
    access: Access,
}

impl FileVolume {
    /// Opens an existing directory to read and write all that is in it. `WouldBlock` when it is
    /// open so elsewhere, in this process or another; it is free again when the volume is dropped.
    pub fn open_writable(path: impl Into<PathBuf>) -> io::Result<Self> {
        let volume = Self::open_directory(path.into(), Access::Write)?;
        try_lock(&volume.directory)?;
        Ok(volume)
    }

    /// Opens an existing directory to read and write single files in it: they are locked, the
    /// directory is not.
    pub fn open_shared(path: impl Into<PathBuf>) -> io::Result<Self> {
        Self::open_directory(path.into(), Access::Write)
    }

    /// Opens an existing directory for reading. No lock is taken and no write permission needed;
    /// whatever would change the directory or a file in it is refused with `PermissionDenied`.
    pub fn open_read_only(path: impl Into<PathBuf>) -> io::Result<Self> {
        Self::open_directory(path.into(), Access::Read)
    }

    fn open_directory(path: PathBuf, access: Access) -> io::Result<Self> {
        let directory =
            File::options().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(&path)?;
        if !directory.metadata()?.is_dir() {
            return Err(io::Error::new(ErrorKind::NotADirectory, "is not a directory"));
        }
        Ok(FileVolume { path, directory, access })
    }

    fn file(&self, name: &str) -> io::Result<PathBuf> {
        check_name(name)?;
        Ok(self.path.join(name))
    }

    fn refuse_changes(&self, access: Access) -> io::Result<()> {
        if access == Access::Write && self.access == Access::Read {
            return Err(read_only());
        }
        Ok(())
    }
}

impl Volume for FileVolume {
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn BlockDevice>> {
        let path = self.file(name)?;
        self.refuse_changes(access)?;
        Ok(Arc::new(FileDevice::open(&path, access)?))
    }

    fn create_new(&self, name: &str) -> io::Result<Arc<dyn BlockDevice>> {
        let path = self.file(name)?;
        self.refuse_changes(Access::Write)?;
        Ok(Arc::new(FileDevice::create_new(&path)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.file(from)?, self.file(to)?);
        self.refuse_changes(Access::Write)?;
        match renameat_with(CWD, &from, CWD, &to, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            // The file system cannot. Only this crate's programs use the directory, and whoever
            // renames in it holds its lock or the file's: looking first is as good.
            Err(Errno::INVAL | Errno::NOSYS) => rename_if_free(&from, &to),
            Err(error) => Err(error.into()),
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.file(name)?;
        self.refuse_changes(Access::Write)?;
        fs::remove_file(path)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.extend(entry.file_name().into_string());
            }
        }
        names.sort();
        Ok(names)
    }

    fn sync_issue(&self) -> io::Result<SyncTicket> {
        self.refuse_changes(Access::Write)?;
        self.directory.sync_all()?;
        Ok(SyncTicket(0))
    }

    fn sync_complete(&self, _: SyncTicket) -> io::Result<SyncStatus> {
        Ok(SyncStatus::Done)
    }
}

/// Renames in two steps: looks whether `to` is free, then renames.
fn rename_if_free(from: &Path, to: &Path) -> io::Result<()> {
    fs::symlink_metadata(from)?;
    match fs::symlink_metadata(to) {
        Ok(_) => Err(ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == ErrorKind::NotFound => fs::rename(from, to),
        Err(error) => Err(error),
    }
}

fn try_lock(file: &File) -> io::Result<()> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => {
            io::Error::new(ErrorKind::WouldBlock, "open for writing elsewhere")
        }
        TryLockError::Error(error) => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // The test suite's file systems all support RENAME_NOREPLACE.
    #[test]
    fn renaming_in_two_steps_replaces_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| directory.path().join(name));
        fs::write(&a, "a").unwrap();
        fs::write(&b, "b").unwrap();
        assert_eq!(rename_if_free(&a, &b).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(rename_if_free(&c, &b).unwrap_err().kind(), ErrorKind::NotFound);
        rename_if_free(&a, &c).unwrap();
        assert_eq!(fs::read_to_string(&b).unwrap(), "b");
        assert_eq!(fs::read_to_string(&c).unwrap(), "a");
        assert!(!a.exists());
    }
}
