//! What a crash leaves: a disk, and which of its pending changes made it.

use std::fmt;
use std::hash::Hasher;
use std::io;
use std::sync::Arc;

use litemap::LiteMap;

use siphasher::sip::SipHasher13;

use super::{Change, Disk, Fate, FileBytes, FileId, Profile, apply_name, checksums};
use crate::device::MemoryVolume;

/// What fills a file where its length survived and its bytes did not, in the garbage mode.
const GARBAGE: u8 = 0xa5;

/// A piece of a pending change, which a crash keeps or loses as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Which pending change, counted from the oldest.
    pub change: usize,
    /// Which piece of it.
    pub part: Part,
}

/// Which piece of a pending change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Bytes of a write, in one sector of this file; offsets in the file. What is blank reads the
    /// same if it is lost, as long as the length is kept.
    Sector { file: FileId, start: u64, end: u64, blank: bool },
    /// The length that a write gave the file.
    Length { file: FileId, to: u64 },
    /// A cut or a lengthening, as a whole.
    Cut { file: FileId },
    /// A change of names, or what goes with one.
    Name,
}

/// A write of which a crash keeps the beginning: whatever sectors are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Torn {
    /// Which pending change.
    pub change: usize,
    /// How many of its bytes are kept.
    pub bytes: u64,
}

/// Which pending changes a crash keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// For each of [`Disk::units`] whether it is kept; those behind the end are lost.
    pub kept: Vec<bool>,
    /// A write that is torn, whatever the above says of it.
    pub torn: Option<Torn>,
    /// Where a file's new length is kept but its bytes are not: garbage instead of zeros.
    pub garbage: bool,
}

impl Selection {
    /// Nothing is kept, or everything.
    pub fn all(disk: &Disk, kept: bool) -> Self {
        Selection { kept: vec![kept; disk.units().len()], ..Selection::default() }
    }

    /// What is kept and what is lost, in words.
    pub fn describe(&self, disk: &Disk) -> String {
        let units = disk.units();
        let kept = |index: usize| self.kept.get(index).copied().unwrap_or(false);
        let mut words = Vec::new();
        for (index, pending) in disk.pending.iter().enumerate() {
            let of_it: Vec<usize> =
                (0..units.len()).filter(|unit| units[*unit].change == index).collect();
            let count = of_it.iter().filter(|unit| kept(**unit)).count();
            let what = match self.torn {
                Some(torn) if torn.change == index => format!("torn after {} bytes", torn.bytes),
                _ if of_it.is_empty() => continue,
                _ if count == of_it.len() => "kept".to_owned(),
                _ if count == 0 => "lost".to_owned(),
                _ => {
                    let pattern = of_it.iter().map(|unit| if kept(*unit) { '+' } else { '-' });
                    format!("kept in part ({})", pattern.collect::<String>())
                }
            };
            words.push(format!("{pending}: {what}"));
        }
        match words.is_empty() {
            true => "nothing was pending".to_owned(),
            false => words.join("; "),
        }
    }
}

impl Disk {
    /// The pieces that a crash keeps or loses, oldest first.
    pub fn units(&self) -> Vec<Unit> {
        let mut units = Vec::new();
        for (change, pending) in self.pending.iter().enumerate() {
            if pending.fate == Fate::Durable {
                continue;
            }
            let mut push = |part| units.push(Unit { change, part });
            match &pending.change {
                Change::Write { file, offset, data, lengthens } => {
                    let end = offset + data.len() as u64;
                    if *lengthens {
                        push(Part::Length { file: *file, to: end });
                    }
                    let mut start = *offset;
                    while start < end {
                        let next = (start / self.rules.sector + 1) * self.rules.sector;
                        let next = next.min(end);
                        let bytes = &data[(start - offset) as usize..(next - offset) as usize];
                        let blank = *lengthens && bytes.iter().all(|byte| *byte == 0);
                        push(Part::Sector { file: *file, start, end: next, blank });
                        start = next;
                    }
                }
                Change::Truncate { file, .. } => push(Part::Cut { file: *file }),
                _ => push(Part::Name),
            }
        }
        units
    }

    /// Writes that a crash can tear, and how long each is.
    pub(super) fn writes(&self) -> impl Iterator<Item = (usize, u64)> {
        self.pending.iter().enumerate().filter_map(|(index, pending)| match &pending.change {
            Change::Write { data, .. } if pending.fate != Fate::Durable => {
                Some((index, data.len() as u64))
            }
            _ => None,
        })
    }

    /// What programs see while the machine is up: everything, durable or not.
    pub fn visible(&self) -> Image {
        self.crash_image(&Selection::all(self, true))
    }

    /// What a crash leaves that keeps these changes.
    pub fn crash_image(&self, selection: &Selection) -> Image {
        self.image(selection, true)
    }

    /// The same, had no bit ever turned over.
    pub(in crate::sim) fn sound_image(&self, selection: &Selection) -> Image {
        self.image(selection, false)
    }

    fn image(&self, selection: &Selection, with_damage: bool) -> Image {
        let mut files: LiteMap<FileId, Growing> = LiteMap::new();
        let mut names = self.names.clone();
        let mut names_end = false;
        let mut kept = selection.kept.iter().copied();
        for (index, pending) in self.pending.iter().enumerate() {
            let durable = pending.fate == Fate::Durable;
            let mut keep = || durable || kept.next().unwrap_or(false);
            let torn = selection.torn.filter(|torn| torn.change == index);
            match &pending.change {
                Change::Write { file, offset, data, lengthens } => {
                    let growing = self.growing(&mut files, *file);
                    let end = offset + data.len() as u64;
                    if *lengthens {
                        growing.lengthen(end, keep() && torn.is_none(), selection.garbage);
                    }
                    let mut start = *offset;
                    while start < end {
                        let next = ((start / self.rules.sector + 1) * self.rules.sector).min(end);
                        if keep() && torn.is_none() {
                            let range = (start - offset) as usize..(next - offset) as usize;
                            growing.write(start, &data[range]);
                        }
                        start = next;
                    }
                    if let Some(torn) = torn {
                        let bytes = (torn.bytes as usize).min(data.len());
                        growing.lengthen(offset + bytes as u64, *lengthens, false);
                        growing.write(*offset, &data[..bytes]);
                    }
                }
                Change::Truncate { file, length } => {
                    if keep() {
                        self.growing(&mut files, *file).truncate(*length);
                    }
                }
                Change::Free { file } => {
                    if keep() {
                        self.growing(&mut files, *file).truncate(0);
                    }
                }
                Change::Flip { file, offset, mask } => {
                    let growing = self.growing(&mut files, *file);
                    let byte = growing.bytes.get(*offset as usize).filter(|_| with_damage);
                    if let Some(byte) = byte {
                        growing.write(*offset, &[byte ^ mask]);
                    }
                }
                name => {
                    let keep = keep();
                    names_end |= !keep && self.rules.profile == Profile::Journaled;
                    if keep && !names_end {
                        apply_name(&mut names, name);
                    }
                }
            }
        }
        let mut image = LiteMap::new();
        for (name, file) in names {
            let bytes = match files.get(&file) {
                Some(growing) => Arc::new(growing.visible()),
                None => self.files.get(file).cloned().unwrap_or_default(),
            };
            image.insert(name, bytes);
        }
        Image { files: image }
    }

    fn growing<'a>(
        &self,
        files: &'a mut LiteMap<FileId, Growing>,
        file: FileId,
    ) -> &'a mut Growing {
        files.entry(file).or_insert_with(|| {
            let bytes =
                self.files.get(file).map(|bytes| FileBytes::clone(bytes)).unwrap_or_default();
            Growing { length: bytes.len(), bytes }
        })
    }

    /// Durable and pending names, as programs see them.
    pub(in crate::sim) fn visible_names(&self) -> LiteMap<Arc<str>, FileId> {
        let mut names = self.names.clone();
        for pending in &self.pending {
            apply_name(&mut names, &pending.change);
        }
        names
    }

    pub(in crate::sim) fn file_count(&self) -> usize {
        self.files.len()
    }
}

/// A file being put together: bytes beyond its length are on the disk, but not in the file unless
/// a later change lengthens it.
struct Growing {
    bytes: FileBytes,
    length: usize,
}

impl Growing {
    fn lengthen(&mut self, to: u64, kept: bool, garbage: bool) {
        let to = to as usize;
        if !kept || to <= self.length {
            return;
        }
        let known = self.bytes.len();
        if known < to {
            match garbage {
                true => self.bytes.write_at(known, &vec![GARBAGE; to - known]),
                false => self.bytes.resize(to),
            }
        }
        self.length = to;
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        self.bytes.write_at(offset as usize, data);
    }

    fn truncate(&mut self, length: u64) {
        self.length = length as usize;
        self.bytes.resize(self.length);
    }

    fn visible(&self) -> FileBytes {
        let mut bytes = self.bytes.clone();
        bytes.resize(self.length);
        bytes
    }
}

/// Files as a crash left them.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    files: LiteMap<Arc<str>, Arc<FileBytes>>,
}

impl Image {
    /// The bytes of the file of this name.
    pub fn bytes(&self, name: &str) -> Option<&FileBytes> {
        self.files.get(name).map(|bytes| &**bytes)
    }

    /// One file.
    pub fn of_file(name: &str, bytes: &[u8]) -> Self {
        let mut files = LiteMap::new();
        files.insert(Arc::from(name), Arc::new(FileBytes::from(bytes)));
        Image { files }
    }

    /// Names and bytes.
    pub fn files(&self) -> impl Iterator<Item = (&str, &FileBytes)> {
        self.files.iter().map(|(name, bytes)| (&**name, &**bytes))
    }

    /// The same, the bytes shared.
    pub(super) fn shared(&self) -> impl Iterator<Item = (&str, Arc<FileBytes>)> {
        self.files.iter().map(|(name, bytes)| (&**name, Arc::clone(bytes)))
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is no file.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The same for equal images, on every host. Made of two checksums: most of the time of an
    /// exhaustive test goes into this.
    pub fn hash(&self) -> u64 {
        let mut hasher = SipHasher13::new();
        for (name, bytes) in self.files() {
            hasher.write(&(name.len() as u64).to_le_bytes());
            hasher.write(name.as_bytes());
            hasher.write(&(bytes.len() as u64).to_le_bytes());
            let (crc32c, crc32) = checksums(bytes.slices());
            hasher.write(&crc32c.to_le_bytes());
            hasher.write(&crc32.to_le_bytes());
        }
        hasher.finish()
    }

    /// A plain volume with these files.
    ///
    /// # Errors
    /// `InvalidInput` for a name that no file can have.
    pub fn to_volume(&self) -> io::Result<MemoryVolume> {
        let volume = MemoryVolume::new();
        for (name, bytes) in self.files() {
            volume.put(name, bytes.to_vec())?;
        }
        Ok(volume)
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.files().map(|(name, bytes)| (name, bytes.len()))).finish()
    }
}
