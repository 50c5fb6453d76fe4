//! A file from elsewhere: what every byte of it is, and was while each of its headers was the newest.
//!
//! Moments are its headers, counted from 0, the oldest first; one more where something lies behind the
//! newest. What lies where is known at once, and so is what the newest state uses. The older ones are
//! gone through one after another, then the whole file is checked, a piece at a time.

mod bytes;
mod origin;
mod page;
mod reach;
mod sample;
mod scan;

pub use self::bytes::HeldBytes;
pub use self::origin::Origin;
pub use self::page::OwnPage;
pub use self::sample::sample;
pub use self::scan::FoundHeader;

use std::sync::Arc;

use tailswap::error::Error;
use tailswap::event::{Content, FileName};
use tailswap::format::header::{Header, POINTS_BACK_FROM};
use tailswap::format::pointer::Reduce;
use tailswap::limits::BLOCK_SIZE;
use tailswap::store::check::{Checker, Finding, Severity};
use tailswap::store::{Budget, OpenMode, Snapshot, Step, at_offset, find_newest};

use self::reach::reach;
use self::scan::Scan;
use crate::file_history::{FileHistory, HeaderMark};
use crate::look::{Look, Looker, Piece};

/// How much of a file is checked at a time.
const CHECKED_AT_ONCE: Budget = Budget { bytes: 1 << 20, entries: 500 };

/// A file from elsewhere.
#[derive(Debug)]
pub struct OwnFile {
    name: FileName,
    bytes: HeldBytes,
    /// What its bytes are.
    pub history: FileHistory,
    headers: Vec<FoundHeader>,
    /// Which of them a rollback gave up.
    given_up: Vec<bool>,
    newest: Option<Snapshot>,
    /// From which header on it is known what their states use.
    walked: usize,
    checker: Option<Checker>,
    /// Findings of the check that were taken over.
    taken: usize,
    findings: Vec<Finding>,
}

impl OwnFile {
    /// Looks at all bytes, and at the newest state that can be found. Damage is no reason to show
    /// nothing.
    pub fn open(name: &str, bytes: Vec<u8>) -> OwnFile {
        let (name, bytes) = (FileName::from(name), HeldBytes::new(bytes));
        let scan = Scan::of(&bytes);
        let headers = scan.headers;
        let marks = headers.iter().enumerate().map(|(event, found)| mark(event, found)).collect();
        let mut own = OwnFile {
            history: FileHistory::found(name.clone(), scan.chunks, marks),
            given_up: given_up(&headers),
            newest: None,
            walked: headers.len(),
            checker: None,
            taken: 0,
            findings: Vec::new(),
            name,
            bytes,
            headers,
        };
        scan.findings.into_iter().for_each(|finding| own.find(finding));
        own.find_newest();
        if own.newest.is_some() {
            own.walk_next();
        }
        own
    }

    /// Finds the newest sound header, and says what is unsound behind it.
    fn find_newest(&mut self) {
        let mut device = Arc::new(self.bytes.clone());
        if let Err(error) = find_newest(&self.name, device.clone(), OpenMode::Strict) {
            self.find_error(&error);
        }
        loop {
            match find_newest(&self.name, device.clone(), OpenMode::Recovery) {
                Ok((newest, _)) => {
                    self.newest = Some(newest);
                    break;
                }
                // There may be an older one before a header that nobody can read.
                Err(Error::Version { offset, .. }) => device = Arc::new(self.bytes.cut(offset)),
                Err(_) => return,
            }
        }
        let checker = Checker::new(&self.name, device, OpenMode::Strict);
        self.checker = checker.map_err(|error| self.find_error(&error)).ok();
    }

    /// Goes on finding out; whether there is more to come.
    pub fn step(&mut self) -> bool {
        if self.newest.is_some() && self.walked > 0 {
            self.walk_next();
            return true;
        }
        let Some(checker) = &mut self.checker else { return false };
        let stepped = checker.step(&mut CHECKED_AT_ONCE.clone());
        let found = &checker.report().findings;
        let new = found.get(self.taken..).unwrap_or_default().to_vec();
        self.taken = found.len();
        if !matches!(stepped, Ok(Step::Progress)) {
            self.checker = None;
        }
        new.into_iter().for_each(|finding| self.find(finding));
        self.checker.is_some()
    }

    /// How far it is with finding out, 0 to 1.
    pub fn progress(&self) -> f64 {
        let walked = 1.0 - self.walked as f64 / self.headers.len().max(1) as f64;
        let checked = self.checker.as_ref().map_or(1.0, |checker| {
            let progress = checker.progress();
            progress.done as f64 / progress.total.max(1) as f64
        });
        if self.newest.is_some() { (walked + checked) / 2.0 } else { 1.0 }
    }

    /// What is not as it should be, by offset.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The last moment: that of the newest header, or of what lies behind it.
    pub fn last_moment(&self) -> usize {
        let last = self.history.chunks.last().map_or(0, |chunk| chunk.born);
        last.max(self.headers.len().saturating_sub(1))
    }

    /// The first moment for which it is known what its state uses.
    pub fn first_known(&self) -> usize {
        if self.newest.is_some() { self.walked } else { self.last_moment() }
    }

    /// Whether a state in it can be read at all.
    pub fn can_be_read(&self) -> bool {
        self.newest.is_some()
    }

    /// The newest header at a moment.
    pub fn header(&self, moment: usize) -> Option<&FoundHeader> {
        self.headers.get(moment.min(self.headers.len().checked_sub(1)?))
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.all()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A look into it, as it was at a moment.
    pub fn looker(&self, moment: usize) -> Looker {
        Looker::of(self.bytes.clone(), self.state(moment))
    }

    /// What lies at a byte.
    ///
    /// # Errors
    /// The file has none there.
    pub fn look(&self, looker: &Looker, byte: u64, moment: usize) -> Result<Look, String> {
        let chunk =
            self.history.chunk_at(byte, moment).ok_or("the file does not reach that far")?;
        let mut look =
            looker.look(Piece { start: chunk.start, end: chunk.end, content: chunk.content });
        if chunk.is_damaged && chunk.content == Content::Slack {
            look.what = "bytes that nobody knows".to_owned();
        }
        let from = self.findings.partition_point(|finding| finding.offset < chunk.start);
        let here = self.findings.get(from).filter(|finding| finding.offset < chunk.end);
        look.damage = here.map(|finding| finding.what.clone()).or(look.damage);
        Ok(look)
    }

    fn state(&self, moment: usize) -> Option<Snapshot> {
        let position = self.header(moment)?.position;
        at_offset(self.newest.as_ref()?, position).ok()
    }

    /// Goes through the next older header's trees.
    fn walk_next(&mut self) {
        self.walked -= 1;
        let header = self.walked;
        let Some(state) = self.state(header) else { return };
        let is_newest = header + 1 == self.headers.len();
        let given_up = self.given_up.get(header).copied().unwrap_or(false);
        let file = &mut self.history;
        let errors = reach(file, &self.bytes, &state, header, is_newest, given_up);
        errors.iter().for_each(|error| self.find_error(error));
    }

    fn find_error(&mut self, error: &Error) {
        let last_block =
            (self.bytes.all().len() as u64).saturating_sub(1) / BLOCK_SIZE * BLOCK_SIZE;
        let (offset, what) = match error {
            Error::Corrupt { offset, damage, .. } => (*offset, damage.to_string()),
            Error::Version { offset, .. } => (*offset, error.to_string()),
            Error::NoHeader { .. } => (last_block, error.to_string()),
            _ => (0, error.to_string()),
        };
        self.find(Finding { severity: Severity::Problem, offset, what });
    }

    /// Of one place the worst is kept.
    fn find(&mut self, finding: Finding) {
        let place = self.findings.partition_point(|other| other.offset < finding.offset);
        match self.findings.get_mut(place).filter(|other| other.offset == finding.offset) {
            Some(other) if other.severity < finding.severity => *other = finding,
            Some(_) => {}
            None => self.findings.insert(place, finding),
        }
    }
}

fn mark(event: usize, found: &FoundHeader) -> HeaderMark {
    let FoundHeader { position, end, header } = found;
    HeaderMark {
        position: *position,
        end: *end,
        previous: header.previous,
        update_seq: header.update_seq,
        event,
        fragmentation: Some(end.saturating_sub(space_used(header)) as f64 / *end as f64),
    }
}

/// Bytes that a state uses.
fn space_used(header: &Header) -> u64 {
    let roots = [header.by_seq, header.by_id, header.local];
    let bodies = match header.by_id.map(|root| root.reduce) {
        Some(Reduce::ById { size, .. }) => size,
        _ => 0,
    };
    roots.iter().flatten().fold(bodies, |sum, root| sum.saturating_add(root.subtree_size))
}

/// For each header whether those behind it go back to an earlier one. Before version 14 they did not
/// point back; but their sequence numbers go back then.
fn given_up(headers: &[FoundHeader]) -> Vec<bool> {
    let mut given_up = vec![true; headers.len()];
    let mut next: Option<&FoundHeader> = None;
    for (index, found) in headers.iter().enumerate().rev() {
        let leads_here = next.is_none_or(|next| match next.header.previous {
            Some(previous) if next.header.disk_version >= POINTS_BACK_FROM => {
                let is_there = headers.binary_search_by_key(&previous, |header| header.position);
                previous == found.position || is_there.is_err() || previous >= next.position
            }
            _ => found.header.update_seq <= next.header.update_seq,
        });
        if leads_here {
            next = Some(found);
            given_up[index] = false;
        }
    }
    given_up
}
