//! What the page calls: the engine of [`tailswap`], compiled to WebAssembly.
//!
//! Nothing here decides anything: it records what the engine does in its simulated world, turns
//! that into JavaScript's values, and draws it.
#![deny(missing_docs)]

pub mod acting;
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

pub use own::OwnPage;
pub use sim::{Sim, draw_swatch, last_panic};

use serde::Serialize;
use serde_wasm_bindgen::Serializer;
use tailswap::limits;
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: rlsf::SmallGlobalTlsf = rlsf::SmallGlobalTlsf::new();

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

fn to_js(value: &impl Serialize) -> Result<JsValue, JsError> {
    Ok(value.serialize(&Serializer::new())?)
}
