//! The class with which the page holds a run: going through it, asking about it, drawing it.

use std::cell::RefCell;
use std::rc::Rc;

use serde::Serialize;
use tailswap::limits::BLOCK_SIZE;
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

use crate::canvas::Canvas;
use crate::draw::palette::{Theme, class_hatch, class_letter};
use crate::draw::ribbon::{Drawn, Layout};
use crate::draw::{Align, Area, Pen, Window, charts, lanes, ribbon};
use crate::file_history::Class;
use crate::history::{History, Stride};
use crate::look::Looker;
use crate::measures::{is_met, measures};
use crate::moment::{Moment, Stops};
use crate::parameters::{Difference, Parameters};
use crate::recording::Recording;
use crate::timeline::{Span, spans};
use crate::to_js;
use crate::traced::Traced;

/// Blocks of a run are so wide at most, in pixels.
const WIDEST_BLOCK: u32 = 26;

thread_local! {
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps what a panic says, which is else lost where the program is aborted.
#[wasm_bindgen(start)]
fn begin() {
    std::panic::set_hook(Box::new(|info| LAST_PANIC.set(Some(info.to_string()))));
}

/// What the last panic said, if there was one. Nothing else may be called after a panic.
#[wasm_bindgen(js_name = lastPanic)]
pub fn last_panic() -> Option<String> {
    LAST_PANIC.with_borrow(Clone::clone)
}

/// One run of the simulated world.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Sim {
    pub(crate) source: Source,
    finished: Option<Finished>,
    /// The moment asked for last: everything that is drawn of it asks again.
    shown: RefCell<Option<Rc<Moment>>>,
    /// Blocks for which ribbons have room.
    scale: [u32; 2],
    /// The look that was taken last, of a file at an event.
    pub(crate) looked: RefCell<Option<((usize, usize), Rc<Looker>)>>,
    /// What the canvases of blocks have on them.
    drawn: RefCell<[Option<Drawn>; 2]>,
}

/// Where what is shown comes from.
#[derive(Debug)]
pub(crate) enum Source {
    Run(Box<Recording>),
    Trace(Traced),
}

/// What is known once a run has come to its end.
#[derive(Debug)]
struct Finished {
    spans: Vec<Span>,
    stops: Stops,
    whole: Moment,
}

/// Something on the scrubber.
#[derive(Serialize)]
struct Mark {
    event: usize,
    name: String,
}

#[wasm_bindgen]
impl Sim {
    /// A run that has not begun.
    ///
    /// # Errors
    /// A parameter that is not what it should be.
    #[wasm_bindgen(constructor)]
    pub fn new(
        seed: f64,
        device: &str,
        rounds: &str,
        value_bytes: f64,
        actions: f64,
    ) -> Result<Sim, JsError> {
        let parameters = Parameters::named(seed, device, rounds);
        let parameters = parameters.and_then(|named| named.of_size(value_bytes, actions));
        let parameters = parameters.map_err(|error| JsError::new(&error))?;
        Ok(Sim::of(Recording::new(parameters)))
    }

    /// A branch that has not begun: the same up to a moment, and different from then on.
    ///
    /// # Errors
    /// A difference that there is not.
    pub fn fork(&self, event: usize, difference: &str) -> Result<Sim, JsError> {
        let difference = Difference::named(difference).map_err(|error| JsError::new(&error))?;
        Ok(Sim::of(self.run()?.fork(event, difference)))
    }

    /// The last event that a branch has in common with the run that it left.
    #[wasm_bindgen(getter, js_name = leftAt)]
    pub fn left_at(&self) -> Option<usize> {
        self.run().ok()?.left_at().map(|(left, _)| left)
    }

    /// The last event of what made a branch differ.
    #[wasm_bindgen(getter, js_name = actedAt)]
    pub fn acted_at(&self) -> Option<usize> {
        self.run().ok()?.left_at().map(|(_, acted)| acted)
    }

    /// Why what was to make a branch differ was refused.
    #[wasm_bindgen(getter)]
    pub fn refused(&self) -> Option<String> {
        self.run().ok()?.refused.clone()
    }

    /// Lets the run go on for up to so many actions; whether there is more to come.
    ///
    /// # Errors
    /// An invariant that does not hold, with what reproduces it.
    pub fn advance(&mut self, actions: usize) -> Result<bool, JsError> {
        self.shown.take();
        self.looked.take();
        let more = match &mut self.source {
            Source::Run(recording) => {
                recording.advance(actions).map_err(|error| JsError::new(&error))?
            }
            Source::Trace(traced) => traced.advance(actions),
        };
        if !more {
            let history = self.history();
            let (spans, stops) = (spans(history), Stops::of(history));
            let whole = stops.moment(history, usize::MAX, 0);
            self.finished = Some(Finished { spans, stops, whole });
        }
        Ok(more)
    }

    /// How many events there were.
    #[wasm_bindgen(getter, js_name = eventCount)]
    pub fn event_count(&self) -> usize {
        self.history().events().len()
    }

    /// How many actions there were up to the one in which an event happened, that included. What must
    /// hold is checked after each of them.
    #[wasm_bindgen(js_name = actionsAt)]
    pub fn actions_at(&self, event: usize) -> usize {
        self.run().map_or(0, |recording| recording.actions_until(event))
    }

    /// When the run ends, in nanoseconds.
    #[wasm_bindgen(getter, js_name = endNs)]
    pub fn end_ns(&self) -> f64 {
        self.history().end_ns() as f64
    }

    /// When an event happened, in nanoseconds.
    #[wasm_bindgen(js_name = timeOf)]
    pub fn time_of(&self, event: usize) -> f64 {
        self.history().time_of(event) as f64
    }

    /// The last event up to a time.
    #[wasm_bindgen(js_name = eventAt)]
    pub fn event_at(&self, ns: f64) -> usize {
        self.history().event_at(ns as u64)
    }

    /// An event, with its time, as JSON; `null` if there is none.
    ///
    /// # Errors
    /// Never in practice.
    pub fn event(&self, index: usize) -> Result<String, JsError> {
        // The text that the trace is hashed by.
        Ok(serde_json::to_string(&self.history().events().get(index))?)
    }

    /// Where a step from `event` leads: by `event`, `block`, `phase` or `header`.
    ///
    /// # Errors
    /// Another word than these.
    pub fn seek(&self, event: usize, stride: &str, forward: bool) -> Result<usize, JsError> {
        let stride = match stride {
            "event" => Stride::Event,
            "block" => Stride::Block,
            "phase" => Stride::Phase,
            "header" => Stride::Header,
            _ => return Err(JsError::new(&format!("there is no step by {stride:?}"))),
        };
        Ok(self.history().seek(event, stride, forward))
    }

    /// The event that a lesson's path leads to, if there is one: see [`History::find`].
    pub fn find(&self, path: &str) -> Option<usize> {
        self.history().find(path)
    }

    /// Whether the run is what a lesson asks for: see [`is_met`].
    ///
    /// # Errors
    /// A goal that compares nothing.
    pub fn meets(&self, goal: &str) -> Result<bool, JsError> {
        is_met(self.history(), goal).map_err(|error| JsError::new(&error))
    }

    /// One of the numbers that a run came to, by its name: see [`measures`].
    pub fn measure(&self, name: &str) -> Option<f64> {
        let all = measures(self.history());
        all.into_iter().find(|(known, _)| *known == name).map(|(_, number)| number)
    }

    /// Events at which a phase or a round begins, for the scrubber and the links.
    ///
    /// # Errors
    /// Never in practice.
    pub fn marks(&self) -> Result<JsValue, JsError> {
        let marks = self.history().turning_points();
        let marks = marks.into_iter().map(|(event, name)| Mark { event, name });
        to_js(&marks.collect::<Vec<_>>())
    }

    /// What is so right after an event, at a time not before it.
    ///
    /// # Errors
    /// Never in practice.
    pub fn moment(&self, event: usize, now_ns: f64) -> Result<JsValue, JsError> {
        let moment = Rc::new(self.moment_at(event, now_ns as u64));
        self.shown.replace(Some(Rc::clone(&moment)));
        to_js(&*moment)
    }

    /// The hash of the world as it was right after the action in which an event happened, found by
    /// giving all actions until then to another world.
    ///
    /// # Errors
    /// None that the run itself did not meet.
    #[wasm_bindgen(js_name = stateHashAt)]
    pub fn state_hash_at(&self, event: usize) -> Result<String, JsError> {
        let world = self.run()?.world_at(event).map_err(|error| JsError::new(&error))?;
        Ok(format!("{:016x}", world.state_hash()))
    }

    /// Stands for the run so far: every event, action and time.
    #[wasm_bindgen(js_name = traceHash)]
    pub fn trace_hash(&self) -> String {
        let hash = self.run().map_or(0, |recording| recording.world().trace_hash());
        format!("{hash:016x}")
    }

    /// Blocks of the source and of the target when they are longest, so that pictures do not jump.
    #[wasm_bindgen(getter)]
    pub fn blocks(&self) -> Vec<u32> {
        let files = self.history().files.all();
        let expected = self.run().map_or([0; 2], Recording::expected_lengths);
        let blocks = |(first, expected): (usize, &u64)| {
            let longest = files.iter().skip(first).map(|file| file.longest).max();
            longest.unwrap_or(0).max(*expected).div_ceil(BLOCK_SIZE) as u32
        };
        expected.iter().enumerate().map(blocks).collect()
    }

    /// Draws as if the source and the target had so many blocks: those of the runs beside it.
    #[wasm_bindgen(js_name = setScale)]
    pub fn set_scale(&mut self, source: u32, target: u32) {
        self.scale = [source, target];
    }

    /// Pixels that the source's ribbon, the target's and the lanes take, in this order, when the
    /// ribbons may take `height` together.
    pub fn heights(&self, width: f64, height: f64) -> Vec<f64> {
        let layout = self.layout(width, height);
        let ribbons = self.scale.map(|blocks| layout.height(u64::from(blocks)));
        let lanes = lanes::height(self.finished.as_ref().map_or(&[], |finished| &finished.spans));
        vec![ribbons[0], ribbons[1], lanes]
    }

    /// Draws the blocks of the file in this place, `height` being what both places may take. Unless
    /// the canvas is `fresh`, only what is not on it yet.
    #[wasm_bindgen(js_name = drawBlocks)]
    #[allow(clippy::too_many_arguments)]
    pub fn draw_blocks(
        &self,
        context: &Canvas,
        place: usize,
        event: usize,
        width: f64,
        height: f64,
        dark: bool,
        fresh: bool,
    ) {
        let layout = self.layout(width, height);
        let file = self.shown_at(event).places.get(place).copied().flatten();
        let known = file.and_then(|file| self.history().files.all().get(file));
        let known = known.filter(|file| file.created() <= event);
        let now = known.zip(file).map(|(_, file)| Drawn { layout, is_dark: dark, file, event });
        let mut drawn = self.drawn.borrow_mut();
        let Some(drawn) = drawn.get_mut(place) else { return };
        let before = std::mem::replace(drawn, now).filter(|_| !fresh);
        let pen = Pen { context, theme: Theme::of(dark) };
        let same = before.zip(now).filter(|(before, now)| Drawn { event, ..*before } == *now);
        if same.is_none() {
            pen.clear(width, self.ribbon_height(&layout, place));
        }
        if let Some(known) = known {
            let before = same.map(|(before, _)| before.event);
            ribbon::draw_blocks(&pen, &layout, known, event, before);
        }
    }

    /// Draws what there is to say about the file in this place, over its blocks.
    #[wasm_bindgen(js_name = drawNotes)]
    pub fn draw_notes(
        &self,
        context: &Canvas,
        place: usize,
        event: usize,
        width: f64,
        height: f64,
        dark: bool,
    ) {
        let pen = Pen { context, theme: Theme::of(dark) };
        let layout = self.layout(width, height);
        pen.wipe(width, self.ribbon_height(&layout, place));
        let moment = self.shown_at(event);
        let Some(file) = moment.places.get(place).copied().flatten() else { return };
        let known = self.history().files.all().get(file);
        if let Some(known) = known.filter(|known| known.created() <= event) {
            ribbon::draw_notes(&pen, &layout, known, &moment, file);
        }
    }

    /// Draws the lanes of a part of the run.
    #[wasm_bindgen(js_name = drawLanes)]
    pub fn draw_lanes(&self, context: &Canvas, from_ns: f64, to_ns: f64, width: f64, dark: bool) {
        let Some(finished) = &self.finished else { return };
        let pen = Pen { context, theme: Theme::of(dark) };
        pen.clear(width, lanes::height(&finished.spans));
        lanes::draw(&pen, &finished.spans, &Window::new(from_ns, to_ns, width));
    }

    /// The pixel at which lanes and charts have a time.
    pub fn across(&self, now_ns: f64, from_ns: f64, to_ns: f64, width: f64) -> f64 {
        Window::new(from_ns, to_ns, width).x(now_ns as u64)
    }

    /// Draws the charts of a part of the run.
    #[wasm_bindgen(js_name = drawCharts)]
    pub fn draw_charts(
        &self,
        context: &Canvas,
        from_ns: f64,
        to_ns: f64,
        width: f64,
        height: f64,
        dark: bool,
    ) {
        let Some(finished) = &self.finished else { return };
        let pen = Pen { context, theme: Theme::of(dark) };
        pen.clear(width, height);
        let window = Window::new(from_ns, to_ns, width);
        let Finished { spans, whole, .. } = finished;
        charts::draw(&pen, self.history(), spans, whole, &window, height);
    }
}

impl Sim {
    pub(crate) fn of(recording: Recording) -> Self {
        Sim::from(Source::Run(Box::new(recording)))
    }

    pub(crate) fn from(source: Source) -> Self {
        Sim {
            source,
            finished: None,
            shown: RefCell::default(),
            scale: [0; 2],
            looked: RefCell::default(),
            drawn: RefCell::default(),
        }
    }

    pub(crate) fn history(&self) -> &History {
        match &self.source {
            Source::Run(recording) => recording,
            Source::Trace(traced) => traced.history(),
        }
    }

    /// The run of a world.
    ///
    /// # Errors
    /// It is a trace, which has none.
    pub(crate) fn run(&self) -> Result<&Recording, JsError> {
        match &self.source {
            Source::Run(recording) => Ok(recording),
            Source::Trace(_) => Err(JsError::new("a trace has neither a world nor bytes")),
        }
    }

    fn moment_at(&self, event: usize, now_ns: u64) -> Moment {
        match &self.finished {
            Some(finished) => finished.stops.moment(self.history(), event, now_ns),
            None => Moment::at(self.history(), event, now_ns),
        }
    }

    /// The moment right after an event, which is found only once.
    pub(crate) fn shown_at(&self, event: usize) -> Rc<Moment> {
        let shown = self.shown.borrow().clone().filter(|shown| shown.event == event);
        shown.unwrap_or_else(|| Rc::new(self.moment_at(event, 0)))
    }

    pub(crate) fn layout(&self, width: f64, height: f64) -> Layout {
        Layout::fit(&self.scale.map(u64::from), width, height, WIDEST_BLOCK)
    }

    fn ribbon_height(&self, layout: &Layout, place: usize) -> f64 {
        layout.height(self.scale.get(place).copied().unwrap_or(0).into())
    }
}

/// Draws the legend's swatch of a class.
#[wasm_bindgen(js_name = drawSwatch)]
pub fn draw_swatch(context: &Canvas, class: usize, size: f64, dark: bool) {
    let Some(class) = Class::ALL.get(class).copied() else { return };
    let pen = Pen { context, theme: Theme::of(dark) };
    let area = Area { x: 0.0, y: 0.0, width: size, height: size };
    pen.fill(&[area], pen.theme.class(class));
    let is_dead = matches!(class, Class::DeadBody | Class::DeadNode);
    let lines = if is_dead { pen.theme.muted } else { pen.theme.ink };
    pen.hatch(&[area], class_hatch(class), lines);
    let half = size / 2.0;
    let patch = Area { x: half - 4.0, y: half - 5.0, width: 8.0, height: 10.0 };
    pen.fill(&[patch], pen.theme.class(class));
    let colour = if is_dead { pen.theme.text } else { pen.theme.ink };
    pen.text(class_letter(class), (half, half + 0.5), 10, colour, Align::Center);
}
