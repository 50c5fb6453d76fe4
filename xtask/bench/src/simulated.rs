//! The page's simulation: the same runs in this process and in a browser.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, ensure};
use tailswap::limits::BLOCK_SIZE;
use tailswap_web::parameters::Parameters;
use tailswap_web::recording::Recording;

use crate::cases::{Measurement, Workload};
use crate::measure::Done;
use crate::stores::{Figures, Read};
use crate::usage::{Stopwatch, forget_peak};

/// Actions done between two looks at whether there are more.
const STRETCH: usize = 1000;

/// Bytes of a value and number of actions; 0 for what the page has.
fn size(workload: Workload) -> (u32, u32) {
    match workload {
        Workload::SimulateCopy => (60_000, 0),
        _ => (0, 100_000),
    }
}

pub(crate) fn measure(workload: Workload) -> Result<Done> {
    let (value_bytes, actions) = size(workload);
    let parameters = Parameters::named(1.0, "nvme", "many")
        .and_then(|named| named.of_size(value_bytes.into(), actions.into()))
        .map_err(|error| anyhow!(error))?;
    let mut recording = Recording::new(parameters);
    let mut watch = Stopwatch::default();
    forget_peak()?;
    watch
        .time(|| {
            while recording.advance(STRETCH)? {}
            Ok(())
        })
        .map_err(|error: String| anyhow!(error))?;
    let entries = recording.world().actions().len() as u64;
    // As the page counts its blocks.
    let [_, expected] = recording.expected_lengths();
    let files = recording.files.all();
    let target = files.iter().skip(1).map(|file| file.longest).fold(expected, u64::max);
    let read = Read { entries, bytes: target.next_multiple_of(BLOCK_SIZE) };
    Ok(Done { watch, read, figures: Figures::new() })
}

/// The same, by `program` in the page; the processor's time and memory of a browser are not told.
pub(crate) fn in_browser(workload: Workload, program: &Path) -> Result<Measurement> {
    let (value_bytes, actions) = size(workload);
    let script = format!(
        "const done = arguments[0];
        import('./main.js').then(async ({{ Sim }}) => {{
            // The page has the engine once its own run is there.
            while (document.body.dataset.run !== 'complete') await new Promise((go) => setTimeout(go, 50));
            const sim = new Sim(1, 'nvme', 'many', {value_bytes}, {actions});
            const began = performance.now();
            while (sim.advance({STRETCH})) {{}}
            const seconds = (performance.now() - began) / 1000;
            done([seconds, sim.actionsAt(sim.eventCount - 1), sim.blocks[1]]);
        }}, (error) => done(String(error)));"
    );
    let output = Command::new(program)
        .args(["in-page", &script])
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("starting {}", program.display()))?;
    ensure!(output.status.success(), "{workload} in a browser failed");
    let printed = String::from_utf8(output.stdout)?;
    let came_to = printed.lines().last().unwrap_or_default();
    let (seconds, operations, blocks): (f64, u64, u64) =
        serde_json::from_str(came_to).with_context(|| format!("the page says {came_to}"))?;
    Ok(Measurement {
        seconds,
        cpu_seconds: 0.0,
        peak_bytes: 0,
        operations,
        bytes: blocks * BLOCK_SIZE,
        figures: Figures::new(),
    })
}
