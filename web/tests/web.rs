//! The exports, in a real browser. One file for all of them: each test binary starts a browser.
#![cfg(target_arch = "wasm32")]

mod drawn;
mod hosts;
mod scenario;

use js_sys::Reflect;
use tailswap_web::{OwnPage, Sim};
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
fn the_same_bytes_and_events_come_out_here() {
    let outcome = scenario::run().map_err(|error| error.to_string());
    assert_eq!(outcome, Ok(scenario::expected()));
}

#[wasm_bindgen_test]
fn worlds_are_the_same_here() {
    let differences = hosts::outcomes().map(|found| hosts::differences(&found));
    assert_eq!(differences, Ok(String::new()), "not as in tests/hosts/expected.txt");
}

/// A run of the page, at its end.
fn run(rounds: &str) -> Result<Sim, JsError> {
    let mut sim = Sim::new(1.0, "nvme", rounds, 0.0, 0.0)?;
    while sim.advance(1000)? {}
    Ok(sim)
}

#[wasm_bindgen_test]
fn a_run_is_the_same_as_on_any_other_host() -> Result<(), JsError> {
    let sim = run("many")?;
    assert_eq!(sim.trace_hash(), scenario::RUN_TRACE);
    assert_eq!(sim.state_hash_at(usize::MAX)?, scenario::RUN_STATE);
    Ok(())
}

#[wasm_bindgen_test]
fn steps_back_lead_where_steps_forward_came_from() -> Result<(), JsError> {
    let sim = run("many")?;
    for stride in ["event", "block", "phase", "header"] {
        let forward = sim.seek(1200, stride, true)?;
        let back = sim.seek(forward, stride, false)?;
        assert_eq!(sim.seek(back, stride, true)?, forward, "by {stride}");
        assert!(back <= 1200 && forward > 1200, "by {stride}");
        let text = |event| sim.moment(event, 0.0).map(|moment| js_sys::JSON::stringify(&moment));
        let (there, again) = (text(forward)?, text(forward)?);
        assert_eq!(there.ok(), again.ok());
    }
    assert!(sim.seek(0, "mile", true).is_err());
    Ok(())
}

#[wasm_bindgen_test]
fn a_moment_tells_every_byte_apart() -> Result<(), JsError> {
    let sim = run("one")?;
    let moment = sim.moment(sim.event_count() - 1, 0.0)?;
    for file in js_sys::Array::from(&field(&moment, "files")) {
        let classes = js_sys::Array::from(&field(&file, "classes"));
        let told: f64 = classes.iter().filter_map(|bytes| bytes.as_f64()).sum();
        assert_eq!(Some(told), field(&file, "length").as_f64());
    }
    Ok(())
}

#[wasm_bindgen_test]
fn what_is_not_known_is_null() -> Result<(), JsError> {
    let sim = run("one")?;
    let mut without_headers = 0;
    for event in 0..sim.event_count().min(100) {
        for file in js_sys::Array::from(&field(&sim.moment(event, 0.0)?, "files")) {
            let (headers, unused) = (field(&file, "headers"), field(&file, "unusedPercent"));
            if headers.as_f64() == Some(0.0) {
                assert!(unused.is_null(), "{unused:?} after event {event}");
                without_headers += 1;
            }
        }
    }
    assert!(without_headers > 0);
    Ok(())
}

/// Where these differ on purpose, what the failure prints is the new `drawn/expected.txt`.
#[wasm_bindgen_test]
fn everything_is_drawn_as_it_was() -> Result<(), JsError> {
    let mut sim = run("many")?;
    let events: Vec<usize> =
        ["start", "round 2", "swap", "end"].iter().filter_map(|path| sim.find(path)).collect();
    let drawn = drawn::lists(&mut sim, &events);
    let is_same = drawn == include_str!("drawn/expected.txt");
    assert!(is_same, "\n{drawn}");
    Ok(())
}

#[wasm_bindgen_test]
fn what_is_drawn_upon_an_earlier_moment_is_what_is_drawn_anew() -> Result<(), JsError> {
    let mut sim = run("many")?;
    let blocks = sim.blocks();
    sim.set_scale(blocks[0], blocks[1]);
    let pixels = [drawn::Pixels::new(), drawn::Pixels::new()];
    let end = sim.event_count() - 1;
    let mut before = None;
    let mut seen = Vec::new();
    for event in [end / 3, end / 3 + 1, end / 2, end * 2 / 3, end, end / 2, end / 5, end] {
        for place in [0, 1] {
            let (hash, differing) = pixels[place].at(&sim, place, event, before);
            assert_eq!(differing, "", "place {place} at {event}, which was at {before:?}");
            seen.push(hash);
        }
        before = Some(event);
    }
    seen.sort();
    seen.dedup();
    assert!(seen.len() > 6, "the pictures hardly differ: {seen:?}");
    Ok(())
}

#[wasm_bindgen_test]
fn a_file_from_elsewhere_is_told_however_damaged_it_is() -> Result<(), JsError> {
    let sound = OwnPage::sample()?;
    for at in (0..sound.len()).step_by(sound.len() / 60) {
        for length in [sound.len(), at] {
            let mut bytes = sound.clone();
            bytes[at] ^= 0x55;
            bytes.truncate(length);
            let mut own = OwnPage::new("damaged", bytes);
            while own.step() {}
            let last = own.extent()[2] as usize;
            let told = own.moment(last);
            // The file's length, then the bytes of each class.
            assert_eq!(told[0], length as f64);
            assert_eq!(told[1..10].iter().sum::<f64>(), length as f64, "byte {at}");
            let findings = js_sys::Array::from(&own.findings()?);
            assert!(length < sound.len() || findings.length() > 0, "byte {at}: nothing was found");
            for finding in findings.iter().filter(|_| length > 0) {
                let offset = field(&finding, "offset").as_f64().unwrap_or(-1.0);
                assert!((0.0..length as f64).contains(&offset), "byte {at}: {offset}");
                own.inspect(0, offset, last)?;
            }
        }
    }
    Ok(())
}

#[wasm_bindgen_test]
fn a_run_can_begin_with_a_file_from_elsewhere() -> Result<(), JsError> {
    let own = OwnPage::new("sample", OwnPage::sample()?);
    let mut sim = own.run(1.0, "nvme", "many")?;
    while sim.advance(1000)? {}
    let marks = js_sys::Array::from(&sim.marks()?);
    let is_published =
        |mark: &JsValue| field(mark, "name").as_string().as_deref() == Some("published");
    assert_eq!(marks.iter().filter(is_published).count(), 1);
    assert!(OwnPage::new("none", vec![7; 9000]).run(1.0, "nvme", "many").is_err());
    Ok(())
}

#[wasm_bindgen_test]
fn a_run_can_be_handed_on_as_a_trace_and_as_a_scenario() -> Result<(), JsError> {
    let sim = run("many")?;
    let mut traced = Sim::of_trace(sim.trace(), None)?;
    while traced.advance(1000)? {}
    assert_eq!((traced.event_count(), traced.problem()), (sim.event_count(), None));
    assert_eq!(traced.event(900)?, sim.event(900)?);
    assert!(traced.bytes(0, 900, 0.0, 9.0).is_err() && traced.scenario_at(900).is_err());
    let mut again = Sim::of_scenario(&sim.scenario_at(usize::MAX)?)?;
    while again.advance(1000)? {}
    assert_eq!(again.trace_hash(), scenario::RUN_TRACE);
    assert!(Sim::of_trace(vec![7; 40], None).is_err() && Sim::of_scenario("dance").is_err());
    Ok(())
}

#[wasm_bindgen_test]
fn parameters_that_are_none_are_refused_with_a_reason() {
    let error = Sim::new(1.0, "tape", "many", 0.0, 0.0).err().map(JsValue::from);
    let message = error.and_then(|error| field(&error, "message").as_string());
    assert!(message.as_ref().is_some_and(|text| text.contains("tape")), "{message:?}");
}
