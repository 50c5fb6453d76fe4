//! The class with which the page holds a file from elsewhere. Looking inside goes as with a run, its
//! moments being headers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tailswap::format::pointer::Reduce;
use tailswap::limits::BLOCK_SIZE;
use tailswap::store::check::{Finding, Severity};
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

use super::{Origin, OwnFile};
use crate::canvas::Canvas;
use crate::draw::palette::Theme;
use crate::draw::ribbon::{Drawn, Layout};
use crate::draw::{Pen, ribbon};
use crate::file_history::NEVER;
use crate::inspect::{Inspected, NODES_MAX};
use crate::look::{Looker, Piece};
use crate::parameters::Parameters;
use crate::paths::positions;
use crate::recording::Recording;
use crate::sim::Sim;
use crate::to_js;

/// Its blocks are so wide at most, in pixels: of a small file more can be seen.
const WIDEST_BLOCK: u32 = 58;

/// A file from elsewhere, on the page.
#[wasm_bindgen(js_name = OwnFile)]
#[derive(Debug)]
pub struct OwnPage {
    pub(crate) own: OwnFile,
    /// The look that was taken last, at a moment.
    looked: RefCell<Option<(usize, Rc<Looker>)>>,
    /// What the canvas of blocks has on it.
    drawn: Cell<Option<Drawn>>,
}

#[wasm_bindgen(js_class = OwnFile)]
impl OwnPage {
    /// Looks at a file's bytes, and at the newest state in it. There is nothing that it refuses.
    #[wasm_bindgen(constructor)]
    pub fn new(name: &str, bytes: Vec<u8>) -> OwnPage {
        let own = OwnFile::open(name, bytes);
        OwnPage { own, looked: RefCell::default(), drawn: Cell::default() }
    }

    /// The file that this page has to begin with.
    ///
    /// # Errors
    /// None in practice.
    pub fn sample() -> Result<Vec<u8>, JsError> {
        Ok(super::sample()?)
    }

    /// A run that has not begun, of a world that begins with this file: a compaction beside writers.
    ///
    /// # Errors
    /// Why there can be none, in words.
    pub fn run(&self, seed: f64, device: &str, rounds: &str) -> Result<Sim, JsError> {
        let recording = Origin::of(&self.own).and_then(|origin| {
            let parameters = origin.parameters(Parameters::named(seed, device, rounds)?);
            Ok(Recording::on_file(origin, parameters))
        });
        Ok(Sim::of(recording.map_err(|error| JsError::new(&error))?))
    }

    /// Goes on finding out what there is to know; whether there is more to come.
    pub fn step(&mut self) -> bool {
        self.own.step()
    }

    /// How far it is with that, 0 to 1, the first and the last moment that can be shown so far, how many
    /// headers there are, and whether their trees can be read (1, or 0).
    pub fn extent(&self) -> Vec<f64> {
        let headers = self.own.history.headers(NEVER - 1).len();
        let can_be_read = usize::from(self.own.can_be_read());
        let moments = [self.own.first_known(), self.own.last_moment(), headers, can_be_read];
        [self.own.progress()].into_iter().chain(moments.map(|each| each as f64)).collect()
    }

    /// What is not as it should be, by offset.
    ///
    /// # Errors
    /// Never in practice.
    pub fn findings(&self) -> Result<JsValue, JsError> {
        to_js(&self.own.findings().to_vec())
    }

    /// What is so at a moment: bytes of the file, of each class, and, if there is a header, its byte
    /// offset, disk version, highest and highest purged sequence number, time in milliseconds,
    /// documents, tombstones, and which part of the file is not in use.
    pub fn moment(&self, moment: usize) -> Vec<f64> {
        let history = &self.own.history;
        let mut told = vec![history.length(moment) as f64];
        told.extend(history.class_bytes(moment).map(|bytes| bytes as f64));
        if let Some(found) = self.own.header(moment)
            && let Some(mark) = history.headers(moment).last()
        {
            let header = &found.header;
            let (live, deleted) = match header.by_id.map(|root| root.reduce) {
                Some(Reduce::ById { live, deleted, .. }) => (live, deleted),
                _ => (0, 0),
            };
            let numbers = [found.position, header.disk_version.into(), header.update_seq];
            told.extend(numbers.map(|number| number as f64));
            told.push(header.purge_seq as f64);
            told.push(header.timestamp_ns as f64 / 1e6);
            told.extend([live, deleted].map(|number| number as f64));
            told.push(mark.fragmentation.unwrap_or_default());
        }
        told
    }

    /// Pixels that its ribbon takes when it may take `height`.
    pub fn height(&self, width: f64, height: f64) -> f64 {
        self.layout(width, height).height(self.blocks())
    }

    /// Draws its blocks. Unless the canvas is `fresh`, only what is not on it yet.
    #[wasm_bindgen(js_name = drawBlocks)]
    pub fn draw_blocks(
        &self,
        context: &Canvas,
        moment: usize,
        width: f64,
        height: f64,
        dark: bool,
        fresh: bool,
    ) {
        let layout = self.layout(width, height);
        let pen = Pen { context, theme: Theme::of(dark) };
        let now = Drawn { layout, is_dark: dark, file: 0, event: moment };
        let before = self.drawn.replace(Some(now)).filter(|_| !fresh);
        let same = before.filter(|before| Drawn { event: moment, ..*before } == now);
        if same.is_none() {
            pen.clear(width, layout.height(self.blocks()));
        }
        let before = same.map(|before| before.event);
        ribbon::draw_blocks(&pen, &layout, &self.own.history, moment, before);
    }

    /// Draws headers and damage over the blocks, and a frame around bytes that are looked at.
    #[wasm_bindgen(js_name = drawNotes)]
    #[allow(clippy::too_many_arguments)]
    pub fn draw_notes(
        &self,
        context: &Canvas,
        moment: usize,
        width: f64,
        height: f64,
        dark: bool,
        start: f64,
        end: f64,
    ) {
        let layout = self.layout(width, height);
        let pen = Pen { context, theme: Theme::of(dark) };
        pen.wipe(width, layout.height(self.blocks()));
        ribbon::draw_headers(&pen, &layout, self.own.history.headers(moment));
        let is_wrong = |found: &&Finding| found.severity != Severity::Note;
        for finding in self.own.findings().iter().filter(is_wrong) {
            ribbon::draw_damage(&pen, &layout, finding.offset);
        }
        ribbon::draw_selection(&pen, &layout, start as u64, end as u64);
    }

    /// The byte that a place of its ribbon shows.
    #[wasm_bindgen(js_name = byteAt)]
    pub fn byte_at(&self, x: f64, y: f64, width: f64, height: f64) -> f64 {
        self.layout(width, height).byte_at(x, y) as f64
    }

    /// What lies at a byte, as an object.
    ///
    /// # Errors
    /// There is nothing.
    pub fn inspect(&self, _file: usize, byte: f64, moment: usize) -> Result<JsValue, JsError> {
        let (own, byte) = (&self.own, byte as u64);
        let look = own.look(&self.looker(moment), byte, moment);
        let look = look.map_err(|error| JsError::new(&error))?;
        let chunk = own.history.chunk_at(byte, moment);
        to_js(&Inspected {
            file: own.name().to_owned(),
            look,
            written: chunk.map_or(0, |chunk| chunk.born),
            written_ns: 0,
            written_by: "",
            dead_since: chunk.and_then(|chunk| own.history.dead_since(&chunk, moment)),
            is_durable: true,
        })
    }

    /// Some of its bytes.
    pub fn bytes(&self, _file: usize, _moment: usize, from: f64, to: f64) -> Vec<u8> {
        let bytes = self.own.bytes();
        bytes.get(from as usize..bytes.len().min(to as usize)).unwrap_or_default().to_vec()
    }

    /// The uncompressed content of what lies at a byte.
    pub fn inside(&self, _file: usize, moment: usize, byte: f64) -> Vec<u8> {
        let chunk = self.own.history.chunk_at(byte as u64, moment);
        let piece =
            |start, end, content| self.looker(moment).inflated(Piece { start, end, content });
        chunk.map(|chunk| piece(chunk.start, chunk.end, chunk.content)).unwrap_or_default()
    }

    /// The nodes of the trees of a moment's newest header, parents before their children, and how many
    /// there are.
    ///
    /// # Errors
    /// They are damaged.
    pub fn tree(&self, _file: usize, moment: usize) -> Result<JsValue, JsError> {
        to_js(&self.looker(moment).tree(NODES_MAX)?)
    }

    /// The nodes from each root to what lies at a byte.
    ///
    /// # Errors
    /// Damage on the way.
    pub fn path(&self, _file: usize, moment: usize, byte: f64) -> Result<Vec<f64>, JsError> {
        Ok(positions(self.looker(moment).path_to(byte as u64)?))
    }

    /// Where the document with a sequence number is, as an object.
    ///
    /// # Errors
    /// Damage on the way.
    #[wasm_bindgen(js_name = documentPlaces)]
    pub fn document_places(
        &self,
        _file: usize,
        moment: usize,
        seq: f64,
    ) -> Result<JsValue, JsError> {
        to_js(&self.looker(moment).document_places(seq as u64)?)
    }
}

impl OwnPage {
    fn blocks(&self) -> u64 {
        (self.own.bytes().len() as u64).div_ceil(BLOCK_SIZE)
    }

    fn layout(&self, width: f64, height: f64) -> Layout {
        Layout::fit(&[self.blocks()], width, height, WIDEST_BLOCK)
    }

    /// The look at a moment, which is taken only once.
    fn looker(&self, moment: usize) -> Rc<Looker> {
        let mut last = self.looked.borrow_mut();
        if let Some((_, looker)) = last.as_ref().filter(|(of, _)| *of == moment) {
            return Rc::clone(looker);
        }
        let looker = Rc::new(self.own.looker(moment));
        *last = Some((moment, Rc::clone(&looker)));
        looker
    }
}
