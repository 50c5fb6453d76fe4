//! Looking up many documents with a second thread's help.

use std::ops::Range;
use std::sync::Arc;

use super::threads::{Builder, JoinHandle, Receiver, SyncSender, sync_channel};
use crate::error::{Error, Result};
use crate::format::docinfo::DocInfoRef;
use crate::store::{Lookups, Snapshot};
use crate::sync::atomic::{AtomicUsize, Ordering};

/// Ids below which waking a thread costs more than it saves.
const IDS_WORTH_A_THREAD: usize = 32;
/// Ids taken at a time.
const PIECE: usize = 8;
/// Bytes that the helper holds for the caller, at most; what is longer the caller looks up himself.
const HELD_MAX: usize = 1 << 20;

/// [`Lookups`] that share many ids out between the thread that asks and one of their own.
///
/// For hosts that look up dozens of documents at a time and have a processor to spare: waiting for reads,
/// and for memory, then goes on twice at once. It keeps what two `Lookups` keep, and up to two mebibytes of
/// what the other thread found. Dropping it stops that thread.
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
    /// body, inflated, if it has one.
    ///
    /// # Errors
    /// Damage in the file and failures of its device, met by either thread; that the other one died.
    pub fn get_many(
        &mut self,
        ids: &[&[u8]],
        mut found: impl FnMut(usize, Option<DocInfoRef<'_>>, Option<&[u8]>),
    ) -> Result<()> {
        let ThreadedLookups { snapshot, lookups, helper } = self;
        let asked = helper.as_mut().filter(|_| ids.len() >= IDS_WORTH_A_THREAD);
        let Some(asked) = asked else { return lookups.get_many(ids, found) };
        let request = Arc::new(Request::new(ids));
        asked.ask(&request);
        // The helper begins at the other end: what each keeps is of another part of the tree.
        for piece in request.pieces().take_while(|_| request.takes_another()) {
            let start = piece.start;
            let ids = ids.get(piece).unwrap_or_default();
            lookups.get_many(ids, |index, info, body| found(start + index, info, body))?;
        }
        let Some(answer) = asked.answer() else {
            *helper = None;
            return Err(Error::Invalid("the thread that helps to look up died".to_owned()));
        };
        for Told { index, what } in &answer.told {
            let id = ids.get(*index).copied().unwrap_or_default();
            match what {
                What::Missing => found(*index, None, None),
                What::Found { value, body } => {
                    let info = snapshot.by_id(id, answer.bytes(value))?;
                    found(*index, Some(info), body.as_ref().map(|body| answer.bytes(body)));
                }
                What::TooLong => {
                    let found_now = lookups.get(id)?;
                    let (info, body) =
                        found_now.map_or((None, None), |(info, body)| (Some(info), body));
                    found(*index, info, body);
                }
            }
        }
        asked.spare = answer;
        asked.spare.failed.take().map_or(Ok(()), Err)
    }
}

/// Ids to look up, of which two threads take piece after piece, one from each end.
#[derive(Debug)]
struct Request {
    ids: Vec<u8>,
    ends: Vec<usize>,
    /// Pieces taken, from either end. Whoever takes one more when all are taken gets none.
    taken: AtomicUsize,
}

impl Request {
    fn new(ids: &[&[u8]]) -> Self {
        let mut request = Request { ids: Vec::new(), ends: Vec::new(), taken: AtomicUsize::new(0) };
        for id in ids {
            request.ids.extend_from_slice(id);
            request.ends.push(request.ids.len());
        }
        request
    }

    /// Indexes of each piece's ids.
    fn pieces(&self) -> impl DoubleEndedIterator<Item = Range<usize>> {
        let count = self.ends.len();
        (0..count.div_ceil(PIECE)).map(move |piece| piece * PIECE..count.min((piece + 1) * PIECE))
    }

    /// Takes the next piece from one's own end, if there is one left.
    fn takes_another(&self) -> bool {
        // What is in the pieces was handed over by a channel.
        self.taken.fetch_add(1, Ordering::SeqCst) < self.ends.len().div_ceil(PIECE)
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
    TooLong,
}

impl Answer {
    fn bytes(&self, at: &Range<usize>) -> &[u8] {
        self.bytes.get(at.clone()).unwrap_or_default()
    }

    fn tell(&mut self, index: usize, info: Option<DocInfoRef<'_>>, body: Option<&[u8]>) {
        let too_long = body.is_some_and(|body| self.bytes.len() + body.len() > HELD_MAX);
        let what = match info {
            None => What::Missing,
            Some(_) if too_long => What::TooLong,
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
    fn fill(&mut self, lookups: &mut Lookups, request: &Request) -> Result<()> {
        let pieces = request.pieces().rev();
        for piece in pieces.take_while(|_| request.takes_another()) {
            let start = piece.start;
            let ids: Vec<&[u8]> = piece.map(|index| request.id(index)).collect();
            lookups.get_many(&ids, |index, info, body| self.tell(start + index, info, body))?;
            if self.bytes.len() > HELD_MAX / 2 {
                break;
            }
        }
        Ok(())
    }
}

/// The second thread, which answers one request after the other.
#[derive(Debug)]
struct Helper {
    /// Where requests go, with an answer whose memory is used again; `None` to stop.
    requests: Option<SyncSender<(Arc<Request>, Answer)>>,
    answers: Receiver<Answer>,
    /// Whether an answer is to come: the request before may have been given up.
    asked: bool,
    spare: Answer,
    thread: Option<JoinHandle<()>>,
}

impl Helper {
    fn spawn(mut lookups: Lookups) -> Option<Self> {
        let (requests, asked) = sync_channel::<(Arc<Request>, Answer)>(1);
        let (answer, answers) = sync_channel(1);
        let thread = Builder::new().name("lookups".to_owned()).spawn(move || {
            while let Ok((request, mut found)) = asked.recv() {
                found.told.clear();
                found.bytes.clear();
                found.failed = found.fill(&mut lookups, &request).err();
                if answer.send(found).is_err() {
                    return;
                }
            }
        });
        let (requests, thread) = (Some(requests), Some(thread.ok()?));
        Some(Helper { requests, answers, asked: false, spare: Answer::default(), thread })
    }

    fn ask(&mut self, request: &Arc<Request>) {
        if self.asked {
            self.answer();
        }
        let spare = std::mem::take(&mut self.spare);
        // That it died is seen when its answer is waited for.
        let _ = self.requests.as_ref().map(|requests| requests.send((request.clone(), spare)));
        self.asked = true;
    }

    /// Waits for the answer to what was asked; `None` if the thread died.
    fn answer(&mut self) -> Option<Answer> {
        self.asked = false;
        self.answers.recv().ok()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.requests = None;
        // A panic there was reported where it happened.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
