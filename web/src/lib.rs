//! What the page calls: the engine of [`tailswap`], compiled to WebAssembly.
//!
//! Nothing here decides anything: it records what the engine does in its simulated world, turns
//! that into JavaScript's values, and draws it.
#![deny(missing_docs)]

pub mod acting;
mod canvas;
pub mod class_bytes;
mod draw;
pub mod file_history;
pub mod files;
mod handed;
pub mod history;
pub mod inspect;
pub mod look;
pub mod measures;
pub mod moment;
pub mod own;
pub mod parameters;
pub mod paths;
pub mod recording;
pub mod recovery;
mod sim;
pub mod timeline;
pub mod traced;

pub use canvas::Canvas;
pub use own::OwnPage;
pub use sim::{Sim, draw_swatch, last_panic};

use serde::Serialize;
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: rlsf::SmallGlobalTlsf = rlsf::SmallGlobalTlsf::new();

#[wasm_bindgen]
extern "C" {
    /// JavaScript's own reader of JSON.
    #[wasm_bindgen(catch, js_namespace = JSON)]
    fn parse(text: &str) -> Result<JsValue, JsValue>;
}

/// As JavaScript's values. By way of a text, in one go: the reader of that is the browser's, and the writer is
/// here for events anyway.
fn to_js(value: &impl Serialize) -> Result<JsValue, JsError> {
    let unread = |_| JsError::new("the page cannot read what the engine tells");
    parse(&serde_json::to_string(value)?).map_err(unread)
}
