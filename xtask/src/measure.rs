//! `cargo xtask measure`: how fast the page is, as figures to compare with those of another day. A test
//! asserts none of them: they are the machine's as much as the page's.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::browser::Browser;
use crate::command::{cargo, program, run};
use crate::page::Page;
use crate::tools::target_folder;
use crate::visits::sharing::tailswap;
use crate::visits::with_served;
use crate::webdriver::Session;

/// How often the page is opened, for medians.
const OPENINGS: usize = 7;

/// Files of one's own: about how long they are, in MiB, and documents that make them so.
const OWN_FILES: [(u64, u64); 2] = [(16, 7_000), (64, 24_000)];

/// Runs: what they are for, and their address.
const RUNS: [(&str, &str); 5] = [
    ("the run that the page begins with", ""),
    ("5 000 blocks", "?value=16000"),
    ("20 000 blocks", "?value=60000&actions=40000"),
    ("100 000 actions", "?actions=100000"),
    (TRACE, "?seed=2"),
];
const TRACE: &str = "a trace of a million events";
/// What is streamed for it.
const TRACED: &str = "documents=30000,mutations=380000";

/// From now on the page notes how long its scripts take for each frame, and tasks over 50 ms.
const NOTE_FRAMES: &str = "
    window.frames_ms = []; window.long_ms = [];
    new PerformanceObserver((list) => list.getEntries().forEach((each) => long_ms.push(each.duration)))
        .observe({ type: 'longtask' });
    window.onFrame = requestAnimationFrame.bind(window);
    window.requestAnimationFrame = (work) => onFrame((time) => {
        const began = performance.now();
        work(time);
        frames_ms.push(performance.now() - began);
    });";

/// Something done once a frame so many times; `done` tells the driver, also how many percent of the frames
/// of 60 a second were missed.
const EACH_FRAME: &str = "
    const done = arguments[0], scrubber = document.getElementById('scrubber');
    // Where files are long and there is something to come.
    scrubber.value = Math.floor(scrubber.max * 0.6); scrubber.dispatchEvent(new Event('input'));
    frames_ms.length = long_ms.length = 0;
    let left = 300, place = 7, last = 0, missed = 0;
    const act = () => { ACT };
    const go = (time) => {
        if (last) missed += Math.max(0, Math.round((time - last) * 0.06) - 1);
        last = time;
        act();
        left -= 1;
        left ? onFrame(go) : onFrame(() => done([frames_ms, long_ms, 100 * missed / (missed + 299)]));
    };
    onFrame(go);";
/// What every machine misses by itself.
const NOTHING: &str = "";
const STEP: &str = "document.getElementById('forward').click()";
const SEEK: &str = "place = (place * 7919 + 13) % 10007; \
    scrubber.value = Math.floor(place / 10007 * scrubber.max); scrubber.dispatchEvent(new Event('input'))";
const PLAY: &str = "if (left === 300) document.getElementById('play').click()";

/// Builds the page, and measures it.
pub(crate) fn run_measure() -> Result<()> {
    let page = Page::build()?;
    let browser = Browser::find_or_install()?;
    with_served(&page, |address| {
        let session = Session::start(&browser)?;
        session.resize(1280, 720)?;
        openings(&session, address)?;
        own_files(&session, address)?;
        for (name, query) in RUNS {
            session.open(&format!("{address}{query}"))?;
            session.wait_for("document.body.dataset.run === 'complete'")?;
            if name == TRACE {
                open_trace(&session)?;
            }
            session.run(NOTE_FRAMES)?;
            let size = "return `${document.getElementById('scrubber').max} events, \
                ${document.body.dataset.megabytes} MB`";
            println!("\n{name}: {}", session.run(size)?.as_str().unwrap_or_default());
            for (what, act) in
                [("nothing", NOTHING), ("step by event", STEP), ("play", PLAY), ("seek", SEEK)]
            {
                let noted = session.run_until_done(&EACH_FRAME.replace("ACT", act))?;
                let (frames, long) = (numbers(&noted[0]), numbers(&noted[1]));
                println!(
                    "  {what:14} script a frame, ms: {:.1} in the middle, {:.1} at 95 %, {:.1} at most; \
                     {} tasks over 50 ms; {:.1} % of the frames missed",
                    part(&frames, 50),
                    part(&frames, 95),
                    part(&frames, 100),
                    long.len(),
                    noted[2].as_f64().unwrap_or_default()
                );
            }
        }
        Ok(())
    })
}

/// Opens a trace of real files and threads in the page, in the place of its run.
fn open_trace(session: &Session) -> Result<()> {
    let folder = target_folder().join("measured");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let (data, trace) = (folder.join("data"), folder.join("run.trace"));
    let (directory, path) = (data.to_string_lossy(), trace.to_string_lossy());
    let run = ["run", &directory, "--workload", TRACED, "--min-size", "4MiB", "--trace", &path];
    tailswap(&run)?;
    session.run("document.body.dataset.run = 'opening'")?;
    let began = Instant::now();
    session.choose_file("#choose", &trace)?;
    session.wait_for("document.body.dataset.run === 'complete'")?;
    println!("\n{TRACE}: opened in {:.2} s", began.elapsed().as_secs_f64());
    fs::remove_dir_all(&folder).map_err(Into::into)
}

/// How long it takes from a file's being chosen to its map, and until all is known of it.
fn own_files(session: &Session, address: &str) -> Result<()> {
    run(&mut cargo(&["build", "--release", "--package", "tailswap-cli"]))?;
    let tailswap = target_folder().join("release/tailswap");
    for (mebibytes, documents) in OWN_FILES {
        let file = target_folder().join(format!("own-{mebibytes}.couch"));
        let _ = fs::remove_file(&file);
        load(&tailswap, &file, documents)?;
        let (mut map, mut all) = (Vec::new(), Vec::new());
        for _ in 0..OPENINGS {
            session.open(address)?;
            session.wait_for("document.body.dataset.run === 'complete'")?;
            session.choose_file("#choose", &file)?;
            session.wait_for("document.body.dataset.own === 'complete'")?;
            let since = "const at = (name) => performance.getEntriesByName(name)[0].startTime;
                return [at('own-map') - at('own-given'), at('own-known') - at('own-given')]";
            let since = session.run(since)?;
            map.extend(since[0].as_f64());
            all.extend(since[1].as_f64());
        }
        map.sort_by(f64::total_cmp);
        all.sort_by(f64::total_cmp);
        println!(
            "a file of {} MiB: its map after {:.0} ms, all of it known after {:.0} ms, {}",
            fs::metadata(&file)?.len() >> 20,
            part(&map, 50),
            part(&all, 50),
            session.run("return document.querySelector('#own output').value")?
        );
    }
    Ok(())
}

/// A file in which each document was written twice, in commits of some hundred.
fn load(tailswap: &Path, file: &Path, documents: u64) -> Result<()> {
    let mut command = program(tailswap, &["load", &file.to_string_lossy(), "--batch", "500"]);
    let mut child = command.stdin(Stdio::piped()).spawn()?;
    let mut input = BufWriter::new(child.stdin.take().context("no standard input")?);
    for number in 0..documents * 2 {
        let key = number * 7919 % documents;
        // Digits that do not compress well, as real values are.
        let mixed = |word: u64| (number * 31 + word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let value: String = (0..50).map(|word| format!("{:016x}", mixed(word))).collect();
        writeln!(input, r#"{{"op":"set","key":"doc-{key:06}","value":"{value}"}}"#)?;
    }
    drop(input);
    ensure!(child.wait()?.success(), "the file could not be made");
    Ok(())
}

/// How long the page takes to come, beside an empty one from the same server.
fn openings(session: &Session, address: &str) -> Result<()> {
    let (mut empty, mut paint, mut ready) = (Vec::new(), Vec::new(), Vec::new());
    let painted = "performance.getEntriesByName('first-contentful-paint')";
    for _ in 0..OPENINGS {
        for (query, is_page) in [("nothing", false), ("", true)] {
            session.open(&format!("{address}{query}"))?;
            session.wait_for(&format!("{painted}.length"))?;
            let paint_ms = session.run(&format!("return {painted}[0].startTime"))?;
            let paint_ms = paint_ms.as_f64().context("no paint")?;
            if !is_page {
                empty.push(paint_ms);
                continue;
            }
            paint.push(paint_ms);
            session.wait_for("document.body.dataset.run === 'complete'")?;
            let mark = session.run("return performance.getEntriesByName('ready')[0].startTime")?;
            ready.push(mark.as_f64().context("it was never ready")?);
        }
    }
    for list in [&mut empty, &mut paint, &mut ready] {
        list.sort_by(f64::total_cmp);
    }
    let middle = |list: &[f64]| part(list, 50);
    println!(
        "\nfirst paint {:.0} ms, ready {:.0} ms, above an empty page's {:.0} ms",
        middle(&paint) - middle(&empty),
        middle(&ready) - middle(&empty),
        middle(&empty)
    );
    Ok(())
}

/// The numbers of a list, in their order.
fn numbers(list: &Value) -> Vec<f64> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut numbers: Vec<f64> = list.iter().filter_map(Value::as_f64).collect();
    numbers.sort_by(f64::total_cmp);
    numbers
}

/// What so many percent of sorted numbers do not exceed.
fn part(numbers: &[f64], percent: usize) -> f64 {
    let place = (numbers.len() * percent / 100).min(numbers.len().saturating_sub(1));
    numbers.get(place).copied().unwrap_or_default()
}
