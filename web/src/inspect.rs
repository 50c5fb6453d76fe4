//! Looking inside the files of a run as they were at a moment.

use std::rc::Rc;

use serde::Serialize;
use tailswap::event::Event;
use tailswap::sim::world::{Action, World};
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

use crate::canvas::Canvas;
use crate::draw::palette::Theme;
use crate::draw::{Pen, ribbon};
use crate::file_history::Chunk;
use crate::history::actor_name;
use crate::look::{Look, Looker, Piece};
use crate::recording::Recording;
use crate::sim::Sim;
use crate::to_js;

/// Nodes of a tree that are told, at most: nobody looks through more.
pub(crate) const NODES_MAX: usize = 200;

/// What lies at a place of a file, and how it came there.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Inspected {
    pub file: String,
    pub look: Look,
    /// The event that appended it.
    pub written: usize,
    pub written_ns: u64,
    /// Who did.
    pub written_by: &'static str,
    /// The event since which no newest header reaches it.
    pub dead_since: Option<usize>,
    pub is_durable: bool,
}

impl Recording {
    /// The bytes of a file right after an event.
    ///
    /// # Errors
    /// They are not known: a crash took them.
    pub fn bytes_of(&self, file: usize, event: usize) -> Result<Vec<u8>, String> {
        let history = self.files.all().get(file).ok_or("there is no such file")?;
        // A file only grows, so what it holds at the end it held then, unless a crash came between, a bit
        // turned over, or some of it was cut off and others written in its place.
        let is_end = |action: &Action| {
            matches!(action, Action::Crash(_) | Action::Die | Action::Flip { .. })
        };
        let is_ended = self.world().actions().iter().skip(self.actions_until(event)).any(is_end);
        let of = |world: &World, last: usize| {
            let name = history.name(last);
            let later = self.files.all().iter().skip(file + 1);
            let later = later.filter(|other| other.created() <= last && other.name(last) == name);
            let bytes = world.machines().volume.bytes_of(name, later.count());
            bytes.ok_or_else(|| format!("{name} did not survive a restart"))
        };
        let mut bytes = match is_ended || history.is_cut_after(event) {
            false => of(self.world(), self.events().len())?,
            true => of(&*self.kept_world_at(event)?, event)?,
        };
        bytes.resize(history.length(event) as usize, 0);
        // A header that was not committed yet was marked as data.
        let headers = history.headers(event);
        for start in history.header_chunks(event) {
            let is_committed = headers.iter().any(|header| header.position == start);
            if let Some(kind) = bytes.get_mut(start as usize).filter(|_| !is_committed) {
                *kind = 0;
            }
        }
        Ok(bytes)
    }

    /// A look into a file as it was right after an event.
    ///
    /// # Errors
    /// Its bytes are not known, or not what the run says of them.
    pub fn looker(&self, file: usize, event: usize) -> Result<Looker, String> {
        let history = self.files.all().get(file).ok_or("there is no such file")?;
        let header = history.headers(event).last().map(|header| header.position);
        let looker = Looker::new(history.name(event), self.bytes_of(file, event)?, header);
        looker.map_err(|error| error.to_string())
    }

    /// What lies at a byte of a file, right after an event.
    ///
    /// # Errors
    /// There is nothing.
    pub fn inspect(
        &self,
        looker: &Looker,
        file: usize,
        byte: u64,
        event: usize,
    ) -> Result<Inspected, String> {
        let history = self.files.all().get(file).ok_or("there is no such file")?;
        let chunk = history.chunk_at(byte, event).ok_or("nothing was written there")?;
        let mut look = looker.look(piece(chunk));
        if history.written(event) < chunk.end {
            let what = "not written yet, or only in part: it is in the writer's buffer";
            look.damage = Some(what.to_owned());
        }
        Ok(Inspected {
            file: history.name(event).to_owned(),
            look,
            written: chunk.born,
            written_ns: self.time_of(chunk.born),
            written_by: match history.name(chunk.born).ends_with(".compact") {
                true => "compactor",
                false if self.was_there(file, &chunk) => "process that had the file before",
                false => self.holder_at(chunk.born),
            },
            dead_since: history.dead_since(&chunk, event),
            is_durable: chunk.end <= history.durable(event),
        })
    }

    /// Who had the lock when an event happened; whoever created the vbucket needs none.
    fn holder_at(&self, event: usize) -> &'static str {
        let past = self.events().get(..=event).unwrap_or_default();
        let last = past.iter().rev().find_map(|stamped| match stamped.event {
            Event::LockTaken { actor, .. } => Some(actor_name(actor)),
            Event::LockReleased { .. } => Some("operator"),
            _ => None,
        });
        last.unwrap_or("operator")
    }
}

fn piece(chunk: Chunk) -> Piece {
    Piece { start: chunk.start, end: chunk.end, content: chunk.content }
}

#[wasm_bindgen]
impl Sim {
    /// The byte of its file that a place of a ribbon shows, `height` being what both ribbons may take.
    #[wasm_bindgen(js_name = byteAt)]
    pub fn byte_at(&self, x: f64, y: f64, width: f64, height: f64) -> f64 {
        self.layout(width, height).byte_at(x, y) as f64
    }

    /// Draws a frame around bytes of the file of a ribbon.
    #[wasm_bindgen(js_name = drawSelection)]
    pub fn draw_selection(
        &self,
        context: &Canvas,
        start: f64,
        end: f64,
        width: f64,
        height: f64,
        dark: bool,
    ) {
        let pen = Pen { context, theme: Theme::of(dark) };
        ribbon::draw_selection(&pen, &self.layout(width, height), start as u64, end as u64);
    }

    /// What lies at a byte of a file right after an event, as an object.
    ///
    /// # Errors
    /// There is nothing, or it is not known.
    pub fn inspect(&self, file: usize, byte: f64, event: usize) -> Result<JsValue, JsError> {
        let looker = self.looker(file, event)?;
        let inspected = self.run()?.inspect(&looker, file, byte as u64, event);
        to_js(&inspected.map_err(|error| JsError::new(&error))?)
    }

    /// Bytes of a file right after an event.
    ///
    /// # Errors
    /// They are not known.
    pub fn bytes(&self, file: usize, event: usize, from: f64, to: f64) -> Result<Vec<u8>, JsError> {
        let looker = self.looker(file, event)?;
        let bytes = looker.bytes();
        let end = (to as usize).min(bytes.len());
        Ok(bytes.get(from as usize..end).unwrap_or_default().to_vec())
    }

    /// A file as a program would have found it right after an event: without what was in the writer's
    /// buffer only.
    ///
    /// # Errors
    /// Its bytes are not known.
    pub fn written(&self, file: usize, event: usize) -> Result<Vec<u8>, JsError> {
        let mut bytes = self.looker(file, event)?.bytes().to_vec();
        let history = self.run()?.files.all().get(file);
        bytes.truncate(history.map_or(0, |history| history.written(event)) as usize);
        Ok(bytes)
    }

    /// The uncompressed content of what lies at a byte of a file right after an event.
    ///
    /// # Errors
    /// It is not known.
    pub fn inside(&self, file: usize, event: usize, byte: f64) -> Result<Vec<u8>, JsError> {
        let looker = self.looker(file, event)?;
        let history = self.run()?.files.all().get(file);
        let chunk = history.and_then(|history| history.chunk_at(byte as u64, event));
        Ok(chunk.map(|chunk| looker.inflated(piece(chunk))).unwrap_or_default())
    }

    /// The nodes of the trees of a file's newest header right after an event, parents before their
    /// children, and how many there are.
    ///
    /// # Errors
    /// The file is not known, or damaged.
    pub fn tree(&self, file: usize, event: usize) -> Result<JsValue, JsError> {
        to_js(&self.looker(file, event)?.tree(NODES_MAX)?)
    }

    /// The look into a file at a moment, which is taken only once.
    pub(crate) fn looker(&self, file: usize, event: usize) -> Result<Rc<Looker>, JsError> {
        let mut last = self.looked.borrow_mut();
        if let Some((_, looker)) = last.as_ref().filter(|(of, _)| *of == (file, event)) {
            return Ok(Rc::clone(looker));
        }
        let looker = self.run()?.looker(file, event).map_err(|error| JsError::new(&error))?;
        let looker = Rc::new(looker);
        *last = Some(((file, event), Rc::clone(&looker)));
        Ok(looker)
    }
}
