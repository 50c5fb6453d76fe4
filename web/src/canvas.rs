//! What is drawn on: of the browser's interface only what is used.

use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

#[wasm_bindgen]
extern "C" {
    /// A canvas's `CanvasRenderingContext2D`.
    pub type Canvas;

    #[wasm_bindgen(method, setter, js_name = globalAlpha)]
    pub(crate) fn set_global_alpha(this: &Canvas, alpha: f64);
    #[wasm_bindgen(method, setter, js_name = fillStyle)]
    pub(crate) fn set_fill_style(this: &Canvas, colour: &str);
    #[wasm_bindgen(method, setter, js_name = strokeStyle)]
    pub(crate) fn set_stroke_style(this: &Canvas, colour: &str);
    #[wasm_bindgen(method, setter, js_name = lineWidth)]
    pub(crate) fn set_line_width(this: &Canvas, width: f64);
    #[wasm_bindgen(method, setter, js_name = font)]
    pub(crate) fn set_font(this: &Canvas, font: &str);
    #[wasm_bindgen(method, setter, js_name = textAlign)]
    pub(crate) fn set_text_align(this: &Canvas, align: &str);
    #[wasm_bindgen(method, setter, js_name = textBaseline)]
    pub(crate) fn set_text_baseline(this: &Canvas, baseline: &str);

    #[wasm_bindgen(method, js_name = clearRect)]
    pub(crate) fn clear_rect(this: &Canvas, x: f64, y: f64, width: f64, height: f64);
    #[wasm_bindgen(method, js_name = fillRect)]
    pub(crate) fn fill_rect(this: &Canvas, x: f64, y: f64, width: f64, height: f64);
    #[wasm_bindgen(method, catch, js_name = fillText)]
    pub(crate) fn fill_text(this: &Canvas, text: &str, x: f64, y: f64) -> Result<(), JsValue>;
    #[wasm_bindgen(method, js_name = beginPath)]
    pub(crate) fn begin_path(this: &Canvas);
    #[wasm_bindgen(method, js_name = moveTo)]
    pub(crate) fn move_to(this: &Canvas, x: f64, y: f64);
    #[wasm_bindgen(method, js_name = lineTo)]
    pub(crate) fn line_to(this: &Canvas, x: f64, y: f64);
    #[wasm_bindgen(method)]
    pub(crate) fn rect(this: &Canvas, x: f64, y: f64, width: f64, height: f64);
    #[wasm_bindgen(method)]
    pub(crate) fn fill(this: &Canvas);
    #[wasm_bindgen(method)]
    pub(crate) fn stroke(this: &Canvas);
}
