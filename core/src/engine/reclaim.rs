//! Giving back the room of a long file that is gone, piece by piece.
//!
//! A file system frees all that a file held when its last handle goes: in one transaction of a journal,
//! after which, on some, the disk is told of every piece. For so long the syncs of all other files wait.

use std::sync::Arc;

use crate::device::BlockDevice;

/// Bytes that are freed at a time.
const PIECE: u64 = 32 << 20;
/// How long others have the disk to themselves between two pieces.
const PAUSE_NS: u64 = 20_000_000;

/// Gives up a file whose name is gone, in pieces as long as this is its last handle; if it is not, the
/// other handles go on using it. `pause` waits for so many nanoseconds, and tells whether to go on slowly.
pub(super) fn reclaim(mut file: Arc<dyn BlockDevice>, mut pause: impl FnMut(u64) -> bool) {
    if Arc::get_mut(&mut file).is_none() {
        return;
    }
    // On any failure the file just goes: whatever it held, nobody wants it.
    let mut length = file.len().unwrap_or(0);
    while length > PIECE && pause(PAUSE_NS) && file.is_last_handle().unwrap_or(false) {
        length -= PIECE;
        if file.truncate(length).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io;

    use super::*;
    use crate::device::{SyncStatus, SyncTicket};
    use crate::sync::{Mutex, Rank};

    /// A file of which only the length is kept, and to which lengths it was cut.
    struct Nameless {
        is_last: bool,
        length: u64,
        cuts: Arc<Mutex<Vec<u64>>>,
    }

    impl BlockDevice for Nameless {
        fn len(&self) -> io::Result<u64> {
            Ok(self.length)
        }

        fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn truncate(&self, length: u64) -> io::Result<()> {
            self.cuts.lock().push(length);
            Ok(())
        }

        fn sync_issue(&self) -> io::Result<SyncTicket> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn sync_complete(&self, _: SyncTicket) -> io::Result<SyncStatus> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn is_last_handle(&self) -> io::Result<bool> {
            Ok(self.is_last)
        }
    }

    /// To which lengths a file of `length` bytes is cut, when it is given up with so many clones of its
    /// handle left, and all is to be over after `pauses` pauses.
    fn cuts(is_last: bool, length: u64, clones: usize, pauses: usize) -> Vec<u64> {
        let cuts = Arc::new(Mutex::new(Rank::Sleep, Vec::new()));
        let file: Arc<dyn BlockDevice> = Arc::new(Nameless { is_last, length, cuts: cuts.clone() });
        let clones = vec![file.clone(); clones];
        let mut paused = 0;
        reclaim(file, |_| {
            paused += 1;
            paused <= pauses
        });
        drop(clones);
        let cuts = cuts.lock();
        cuts.clone()
    }

    #[test]
    fn a_long_file_goes_in_pieces_and_a_short_one_at_once() {
        assert_eq!(cuts(true, PIECE, 0, 9), [0; 0]);
        assert_eq!(cuts(true, 3 * PIECE + 1, 0, 9), [2 * PIECE + 1, PIECE + 1, 1]);
        assert_eq!(cuts(true, 3 * PIECE, 0, 1), [2 * PIECE], "the engine stops meanwhile");
    }

    #[test]
    fn a_file_that_somebody_reads_is_left_alone() {
        assert_eq!(cuts(false, 3 * PIECE, 0, 9), [0; 0]);
        assert_eq!(cuts(true, 3 * PIECE, 1, 9), [0; 0]);
    }
}
