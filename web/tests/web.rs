//! The exports, in a real browser. One file for all of them: each test binary starts a browser.
#![cfg(target_arch = "wasm32")]

mod hosts;
mod scenario;

use js_sys::Reflect;
use tailswap_web::{engine_limits, event_from_json};
use wasm_bindgen::{JsError, JsValue};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

fn field(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &JsValue::from_str(name)).unwrap_or(JsValue::UNDEFINED)
}

#[wasm_bindgen_test]
fn runs_in_a_page() {
    assert!(!field(&js_sys::global(), "document").is_undefined());
}

#[wasm_bindgen_test]
fn the_engine_has_the_same_limits_here() -> Result<(), JsError> {
    let limits = engine_limits()?;
    assert_eq!(field(&limits, "blockSize").as_f64(), Some(4096.0));
    assert_eq!(field(&limits, "seqMax").as_f64(), Some((2_f64).powi(48) - 1.0));
    assert_eq!(field(&limits, "bodyLenMax").as_f64(), Some((2_f64).powi(28) - 9.0));
    Ok(())
}

#[wasm_bindgen_test]
fn an_event_becomes_an_object() -> Result<(), JsError> {
    let text = r#"{"event":"header_committed","file":"0.couch.1","position":8192,"update_seq":7}"#;
    let event = event_from_json(text)?;
    assert_eq!(field(&event, "event").as_string().as_deref(), Some("header_committed"));
    assert_eq!(field(&event, "file").as_string().as_deref(), Some("0.couch.1"));
    assert_eq!(field(&event, "position").as_f64(), Some(8192.0));
    assert_eq!(field(&event, "update_seq").as_f64(), Some(7.0));
    Ok(())
}

#[wasm_bindgen_test]
fn what_is_no_event_is_refused_with_a_reason() {
    let error = event_from_json(r#"{"event":"moon_landing"}"#).err().map(JsValue::from);
    let message = error.and_then(|error| field(&error, "message").as_string());
    assert!(message.as_ref().is_some_and(|text| text.contains("moon_landing")), "{message:?}");
}

#[wasm_bindgen_test]
fn the_same_bytes_and_events_come_out_here() {
    let outcome = scenario::run().map_err(|error| error.to_string());
    assert_eq!(outcome, Ok(scenario::expected()));
}

#[wasm_bindgen_test]
fn worlds_are_the_same_here() {
    let differences = hosts::outcomes().map(|found| hosts::differences(&found));
    assert_eq!(differences, Ok(String::new()), "not as in tests/hosts/expected.txt");
}
