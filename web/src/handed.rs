//! What is handed on and opened again: links, scenarios and traces.

use tailswap::trace::TraceWriter;
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::parameters::Difference;
use crate::recording::Recording;
use crate::sim::{Sim, Source};
use crate::traced::Traced;

#[wasm_bindgen]
impl Sim {
    /// A run of a scenario's lines that has not begun.
    ///
    /// # Errors
    /// A line that is none, with its number.
    #[wasm_bindgen(js_name = ofScenario)]
    pub fn of_scenario(text: &str) -> Result<Sim, JsError> {
        Ok(Sim::of(Recording::of_scenario(&text.parse()?)))
    }

    /// A trace that was not read yet: `advance` reads its events. Of several vbuckets it shows this one,
    /// or the first that was compacted.
    ///
    /// # Errors
    /// The bytes do not begin as a trace.
    #[wasm_bindgen(js_name = ofTrace)]
    pub fn of_trace(bytes: Vec<u8>, vbucket: Option<u16>) -> Result<Sim, JsError> {
        Ok(Sim::from(Source::Trace(Traced::new(bytes, vbucket)?)))
    }

    /// Whether a link can hold it: it is made of no file.
    #[wasm_bindgen(getter, js_name = isRepeatable)]
    pub fn is_repeatable(&self) -> bool {
        self.run().is_ok_and(Recording::is_repeatable)
    }

    /// After how many actions a run ended, if it had not come to its end by itself.
    #[wasm_bindgen(getter, js_name = cutShort)]
    pub fn cut_short(&self) -> Option<usize> {
        self.run().ok()?.cut_short()
    }

    /// The vbuckets that a trace tells of as far as it was read, that which is shown first; nothing for a run.
    #[wasm_bindgen(getter)]
    pub fn vbuckets(&self) -> Option<Vec<u16>> {
        let Source::Trace(traced) = &self.source else { return None };
        let others = traced.vbuckets.iter().copied().filter(|other| *other != traced.vbucket);
        Some(std::iter::once(traced.vbucket).chain(others).collect())
    }

    /// Why a trace is not shown to its end.
    #[wasm_bindgen(getter)]
    pub fn problem(&self) -> Option<String> {
        let Source::Trace(traced) = &self.source else { return None };
        traced.problem.clone()
    }

    /// All events as a trace.
    pub fn trace(&self) -> Vec<u8> {
        let (mut writer, mut bytes) = (TraceWriter::default(), Vec::new());
        for stamped in self.history().events() {
            writer.event(stamped.at_ns, &stamped.event, &mut bytes);
        }
        bytes
    }

    /// The same branch as [`fork`](Self::fork) made, from the number of actions at which it left.
    ///
    /// # Errors
    /// A difference that there is not.
    #[wasm_bindgen(js_name = forkAfter)]
    pub fn fork_after(&self, after: usize, difference: &str) -> Result<Sim, JsError> {
        let difference = Difference::named(difference).map_err(|error| JsError::new(&error))?;
        Ok(Sim::of(self.run()?.fork_after(after, difference)))
    }

    /// After how many actions a branch left.
    #[wasm_bindgen(getter, js_name = forkedAfter)]
    pub fn forked_after(&self) -> Option<usize> {
        self.run().ok()?.forked_after()
    }

    /// What was done up to the action in which an event happened, as a scenario.
    ///
    /// # Errors
    /// A trace does not tell what was done.
    #[wasm_bindgen(js_name = scenarioAt)]
    pub fn scenario_at(&self, event: usize) -> Result<String, JsError> {
        Ok(self.run()?.scenario_at(event).to_string())
    }
}
