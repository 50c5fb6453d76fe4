//! What the page calls: the engine of [`tailswap`], compiled to WebAssembly.
//!
//! Nothing here decides anything; it turns values of the engine into JavaScript's and back.
#![deny(missing_docs)]

use serde::Serialize;
use tailswap::event::Event;
use tailswap::limits;
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

/// The engine's maxima, as the page shows them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Limits {
    block_size: u64,
    id_len_max: usize,
    body_len_max: usize,
    seq_max: u64,
    position_max: u64,
    node_threshold: usize,
    catchup_rounds_max: u32,
}

/// The maxima that the engine was built with, as an object of numbers.
///
/// # Errors
/// Never in practice: every value is a safe integer of JavaScript.
#[wasm_bindgen(js_name = engineLimits)]
pub fn engine_limits() -> Result<JsValue, JsError> {
    to_js(&Limits {
        block_size: limits::BLOCK_SIZE,
        id_len_max: limits::ID_LEN_MAX,
        body_len_max: limits::BODY_LEN_MAX,
        seq_max: limits::SEQ_MAX,
        position_max: limits::POSITION_MAX,
        node_threshold: limits::NODE_THRESHOLD,
        catchup_rounds_max: limits::CATCHUP_ROUNDS_MAX,
    })
}

/// Reads one event, written as JSON by any host of the engine, into an object.
///
/// # Errors
/// The text is not JSON, or is no event that this version of the engine knows.
#[wasm_bindgen(js_name = eventFromJson)]
pub fn event_from_json(text: &str) -> Result<JsValue, JsError> {
    let event: Event = serde_json::from_str(text)?;
    to_js(&event)
}

fn to_js(value: &impl Serialize) -> Result<JsValue, JsError> {
    Ok(serde_wasm_bindgen::to_value(value)?)
}
