//! Looking up many documents with a second thread's help.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use super::threads::{Builder, JoinHandle, Receiver, SyncSender, sync_channel};
use crate::error::{Error, Result};
use crate::format::docinfo::DocInfoRef;
use crate::store::{Lookups, Snapshot};
use crate::sync::atomic::{AtomicUsize, Ordering};

/// Ids below which waking a thread costs more than it saves.
const IDS_WORTH_A_THREAD: usize = 32;
/// Ids taken at a time. More of many: each piece is a descent of its own, and only bodies of one piece are
/// read together.
const PIECE: RangeInclusive<usize> = 8..=4096;
/// Pieces that a request is cut into, about.
const PIECES: usize = 16;
/// Bytes of entries and bodies that the helper holds for the caller, at most; longer ones the caller looks up
/// himself.
const HELD_MAX: usize = 1 << 20;

/// [`Lookups`] that share many ids out between the thread that asks and one of their own.
///
/// For hosts that look up dozens of documents at a time, anywhere in the file, and have a processor to spare:
/// waiting for reads, and for memory, then goes on twice at once. It begins that thread when it is made and
/// stops it when it is dropped; it keeps what two `Lookups` keep, and two mebibytes of what the other thread
/// found.
#[derive(Debug)]
pub struct ThreadedLookups {
    snapshot: Snapshot,
    lookups: Lookups,
    /// `None` where the operating system had no thread to give, or after it died.
    helper: Option<Helper>,
}

impl ThreadedLookups {
    /// Begins, in one state of a file.
    pub fn new(snapshot: &Snapshot) -> Self {
        let helper = Helper::spawn(snapshot.lookups());
        ThreadedLookups { snapshot: snapshot.clone(), lookups: snapshot.lookups(), helper }
    }

    /// As [`Lookups::get_many`]: looks up ids, which must be sorted, and passes the index of each to
    /// `found`, on this thread and in any order, with what is known of the document if there is one and its
    /// body, inflated, if it has one. What lies together is read together within pieces, a sixteenth
    /// of the ids as a rule, and not within all of them.
    ///
    /// # Errors
    /// Damage in the file and failures of its device, met by either thread; that the other one died. Some
    /// ids may have been told then.
    pub fn get_many(
        &mut self,
        ids: &[&[u8]],
        mut found: impl FnMut(usize, Option<DocInfoRef<'_>>, Option<&[u8]>),
    ) -> Result<()> {
        let ThreadedLookups { snapshot, lookups, helper: second } = self;
        let helper = second.as_mut().filter(|_| ids.len() >= IDS_WORTH_A_THREAD);
        let Some(helper) = helper else { return lookups.get_many(ids, found) };
        let request = Arc::new(Request::new(ids));
        helper.ask(&request);
        let mut pieces = request.pieces();
        while request.take_one() {
            let Some(piece) = pieces.next() else { break };
            let start = piece.start;
            let ids = ids.get(piece).unwrap_or_default();
            lookups.get_many(ids, |index, info, body| found(start + index, info, body))?;
        }
        if pieces.next().is_none() {
            // The helper came too late for any: its empty answer need not be waited for.
            return Ok(());
        }
        let Some(mut answer) = helper.answer() else {
            *second = None;
            return Err(Error::Invalid("the thread that helps to look up died".to_owned()));
        };
        let id = |index: usize| ids.get(index).copied().unwrap_or_default();
        let mut too_long = Vec::new();
        for Told { index, what } in &answer.told {
            match what {
                What::Missing => found(*index, None, None),
                What::Found { value, body } => {
                    let info = snapshot.by_id(id(*index), answer.part(value))?;
                    found(*index, Some(info), body.as_ref().map(|body| answer.part(body)));
                }
                What::TooLong => too_long.push(*index),
            }
        }
        let failed = answer.failed.take();
        helper.spare = answer;
        too_long.sort_unstable();
        let rest: Vec<&[u8]> = too_long.iter().map(|index| id(*index)).collect();
        lookups.get_many(&rest, |at, info, body| {
            found(too_long.get(at).copied().unwrap_or_default(), info, body);
        })?;
        failed.map_or(Ok(()), Err)
    }
}

/// Ids to look up, in pieces that two threads take one by one: the caller from the first on, the helper from
/// the last on, so that what each keeps is of another part of the tree.
///
/// One counter serves both: as long as it lets somebody take a piece, the two have taken no more together than
/// there are, so that they have not met. The caller goes on until it is refused: only then all are taken. The
/// helper may stop before, behind a piece that it took.
#[derive(Debug)]
struct Request {
    ids: Vec<u8>,
    ends: Vec<usize>,
    /// Ids of a piece.
    piece: usize,
    /// Pieces taken, and attempts to take one when there were none.
    taken: AtomicUsize,
}

impl Request {
    fn new(ids: &[&[u8]]) -> Self {
        let mut ends = Vec::with_capacity(ids.len());
        let mut all = Vec::new();
        for id in ids {
            all.extend_from_slice(id);
            ends.push(all.len());
        }
        let piece = (ids.len() / PIECES).clamp(*PIECE.start(), *PIECE.end());
        Request { ids: all, ends, piece, taken: AtomicUsize::new(0) }
    }

    /// Indexes of each piece's ids.
    fn pieces(&self) -> impl DoubleEndedIterator<Item = Range<usize>> + use<> {
        let (count, piece) = (self.ends.len(), self.piece);
        (0..self.piece_count()).map(move |index| index * piece..count.min((index + 1) * piece))
    }

    fn piece_count(&self) -> usize {
        self.ends.len().div_ceil(self.piece)
    }

    /// Takes the next piece from one's own end; `false` if all are taken.
    fn take_one(&self) -> bool {
        self.taken.fetch_add(1, Ordering::SeqCst) < self.piece_count()
    }

    /// Sees to it that no piece is taken any more.
    fn give_up(&self) {
        self.taken.fetch_max(self.piece_count(), Ordering::SeqCst);
    }

    fn id(&self, index: usize) -> &[u8] {
        let end = |index: usize| self.ends.get(index).copied().unwrap_or_default();
        let start = index.checked_sub(1).map_or(0, end);
        self.ids.get(start..end(index)).unwrap_or_default()
    }
}

/// What the helper found.
#[derive(Debug, Default)]
struct Answer {
    told: Vec<Told>,
    /// Values of by-id entries, and bodies.
    bytes: Vec<u8>,
    /// Whether something was too long to be held.
    overflowed: bool,
    failed: Option<Error>,
}

#[derive(Debug)]
struct Told {
    /// Of the id, among those asked for.
    index: usize,
    what: What,
}

#[derive(Debug)]
enum What {
    Missing,
    /// Where in the bytes the entry's value is, and the body.
    Found {
        value: Range<usize>,
        body: Option<Range<usize>>,
    },
    /// For the caller to look up.
    TooLong,
}

impl Answer {
    fn part(&self, at: &Range<usize>) -> &[u8] {
        self.bytes.get(at.clone()).unwrap_or_default()
    }

    /// Bytes that it takes.
    fn held(&self) -> usize {
        self.bytes.len() + self.told.len() * size_of::<Told>()
    }

    fn tell(&mut self, index: usize, info: Option<DocInfoRef<'_>>, body: Option<&[u8]>) {
        let too_long = |info: &DocInfoRef<'_>| {
            self.held() + info.rev_meta.len() + body.map_or(0, <[u8]>::len) > HELD_MAX
        };
        let what = match info {
            None => What::Missing,
            Some(info) if too_long(&info) => {
                self.overflowed = true;
                What::TooLong
            }
            Some(info) => {
                let start = self.bytes.len();
                info.encode_by_id(&mut self.bytes);
                let value = start..self.bytes.len();
                let body = body.map(|body| {
                    self.bytes.extend_from_slice(body);
                    value.end..self.bytes.len()
                });
                What::Found { value, body }
            }
        };
        self.told.push(Told { index, what });
    }

    /// Looks up what is left of a request, until that is as much as may be held.
    fn fill(&mut self, lookups: &mut Lookups, request: &Request) {
        self.told.clear();
        self.bytes.clear();
        (self.overflowed, self.failed) = (false, None);
        let mut pieces = request.pieces().rev();
        while !self.overflowed && self.held() <= HELD_MAX / 2 && request.take_one() {
            let Some(piece) = pieces.next() else { break };
            let start = piece.start;
            let ids: Vec<&[u8]> = piece.map(|index| request.id(index)).collect();
            let tell = |index, info: Option<DocInfoRef<'_>>, body: Option<&[u8]>| {
                self.tell(start + index, info, body);
            };
            if let Err(error) = lookups.get_many(&ids, tell) {
                self.failed = Some(error);
                return request.give_up();
            }
        }
    }
}

/// The second thread, which answers one request after the other.
///
/// There is one request at most that it has not answered, so that neither side ever waits to send.
#[derive(Debug)]
struct Helper {
    /// Where requests go, with an answer whose memory is used again; `None` to stop.
    requests: Option<SyncSender<(Arc<Request>, Answer)>>,
    answers: Receiver<Answer>,
    /// What is not answered yet: of the request before, if it was given up or the caller did all of it.
    pending: Option<Arc<Request>>,
    spare: Answer,
    thread: Option<JoinHandle<()>>,
}

impl Helper {
    fn spawn(mut lookups: Lookups) -> Option<Self> {
        let (requests, received) = sync_channel::<(Arc<Request>, Answer)>(1);
        let (sender, answers) = sync_channel(1);
        let thread = Builder::new().name("lookups".to_owned()).spawn(move || {
            while let Ok((request, mut answer)) = received.recv() {
                answer.fill(&mut lookups, &request);
                if sender.send(answer).is_err() {
                    return;
                }
            }
        });
        let (requests, thread) = (Some(requests), Some(thread.ok()?));
        let (pending, spare) = (None, Answer::default());
        Some(Helper { requests, answers, pending, spare, thread })
    }

    fn ask(&mut self, request: &Arc<Request>) {
        if let Some(pending) = &self.pending {
            pending.give_up();
            self.spare = self.answer().unwrap_or_default();
        }
        let spare = std::mem::take(&mut self.spare);
        // That it died is seen when its answer is waited for.
        let _ = self.requests.as_ref().map(|requests| requests.send((request.clone(), spare)));
        self.pending = Some(request.clone());
    }

    /// Waits for the answer to what was asked; `None` if the thread died.
    fn answer(&mut self) -> Option<Answer> {
        self.pending = None;
        self.answers.recv().ok()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        if let Some(pending) = &self.pending {
            pending.give_up();
        }
        self.requests = None;
        // A panic there was reported where it happened.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
