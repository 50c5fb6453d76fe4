//! Pictures, as lists of what is asked of a canvas (the same whatever the browser, its fonts and its
//! machine), and as pixels.

#![allow(clippy::unwrap_used)]

use js_sys::Function;
use tailswap_web::{Canvas, Sim, draw_swatch};
use wasm_bindgen::{JsCast, JsValue};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 300.0;

/// Everything that is drawn, at these events, in both themes: how much is asked of the canvas, and a
/// number that stands for all of it.
pub(crate) fn lists(sim: &mut Sim, events: &[usize]) -> String {
    let blocks = sim.blocks();
    sim.set_scale(blocks[0], blocks[1]);
    let end = sim.end_ns();
    let mut text = String::new();
    for dark in [true, false] {
        let theme = if dark { "dark" } else { "light" };
        let mut note = |what: &str, draw: &dyn Fn(&Canvas)| {
            let (calls, hash) = list(draw);
            text += &format!("{what} {theme}: {calls} calls, {hash:08x}\n");
        };
        for &event in events {
            for place in [0, 1] {
                note(&format!("blocks {place} at {event}"), &|context| {
                    sim.draw_blocks(context, place, event, WIDTH, HEIGHT, dark, true);
                });
                note(&format!("notes {place} at {event}"), &|context| {
                    sim.draw_notes(context, place, event, WIDTH, HEIGHT, dark);
                });
            }
        }
        note("lanes", &|context| sim.draw_lanes(context, 0.0, end, WIDTH, dark));
        note("charts", &|context| sim.draw_charts(context, 0.0, end, WIDTH, 180.0, dark));
        for class in 0..9 {
            note(&format!("swatch {class}"), &|context| draw_swatch(context, class, 18.0, dark));
        }
    }
    text
}

/// What is asked of a canvas: how many things, and their hash.
fn list(draw: &dyn Fn(&Canvas)) -> (usize, u32) {
    let recorder = script(
        "",
        "const asked = []; return new Proxy({}, { \
           get: (_, name) => name === 'asked' ? asked : (...values) => void asked.push([name, ...values]), \
           set: (_, name, value) => asked.push([name, value]) > 0 })",
        &JsValue::NULL,
    );
    draw(recorder.unchecked_ref());
    let count = script("recorder", "return recorder.asked.length", &recorder);
    let text = script("recorder", "return JSON.stringify(recorder.asked)", &recorder);
    (count.as_f64().unwrap() as usize, fnv(text.as_string().unwrap().as_bytes()))
}

/// The pixels of a file's blocks at an event: drawn anew, and drawn upon what was there before.
pub(crate) struct Pixels {
    upon: JsValue,
}

impl Pixels {
    /// A canvas with nothing on it.
    pub(crate) fn new() -> Self {
        Pixels { upon: canvas() }
    }

    /// The blocks of the file in a place, drawn upon what was there `before`, and drawn anew: a hash of
    /// the pixels, and in how many bytes they differ by more than the browser's rounding, with where
    /// the first one is.
    pub(crate) fn at(
        &self,
        sim: &Sim,
        place: usize,
        event: usize,
        before: Option<usize>,
    ) -> (u32, String) {
        let draw = |canvas: &JsValue, event, fresh| {
            let context: &Canvas = canvas.unchecked_ref();
            sim.draw_blocks(context, place, event, WIDTH, HEIGHT, true, fresh);
        };
        // As it was before, and from there on.
        if let Some(before) = before {
            draw(&self.upon, before, true);
        }
        draw(&self.upon, event, before.is_none());
        let anew = canvas();
        draw(&anew, event, true);
        let both = js_sys::Array::of2(&self.upon, &anew);
        let differing = script(
            "both",
            "const [upon, anew] = both.map((each) => each.getImageData(0, 0, 900, 300).data); \
             const at = [...upon.keys()].filter((byte) => Math.abs(upon[byte] - anew[byte]) > 2); \
             const [first] = at.map((byte) => byte >> 2); \
             const by = Math.max(...at.map((byte) => Math.abs(upon[byte] - anew[byte]))); \
             return at.length ? `${at.length} by up to ${by}, first at ${first % 900}, ${Math.floor(first / 900)}` : ''",
            &both,
        );
        (pixels(&anew), differing.as_string().unwrap())
    }
}

fn canvas() -> JsValue {
    script(
        "",
        "const canvas = document.createElement('canvas'); canvas.width = 900; canvas.height = 300; \
         return canvas.getContext('2d', { willReadFrequently: true })",
        &JsValue::NULL,
    )
}

fn pixels(context: &JsValue) -> u32 {
    let data = script("context", "return context.getImageData(0, 0, 900, 300).data", context);
    fnv(&data.unchecked_into::<js_sys::Uint8ClampedArray>().to_vec())
}

fn script(argument: &str, body: &str, value: &JsValue) -> JsValue {
    Function::new_with_args(argument, body).call1(&JsValue::NULL, value).unwrap()
}

fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
