//! Files from elsewhere on the page: a sound one and a damaged one are dropped, looked into and compacted,
//! and what comes of it is saved.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::command::{cargo, program, root, run};
use crate::tools::target_folder;
use crate::visits::Visitor;
use crate::webdriver::keys;

/// A sound file with many headers, and one whose newest header is damaged.
const SOUND: &str = "updates_headers.couch";
const DAMAGED: &str = "corrupt/hdr_body_bitflip.couch";
/// Where that is.
const DAMAGED_AT: u64 = 86_016;

/// The walk through all of that.
pub(crate) fn files_of_ones_own(visitor: &Visitor<'_>) -> Result<()> {
    let session = visitor.session;
    visitor.open("")?;
    let length = drop_file(visitor, SOUND)?;
    let shown =
        |words: &str| session.wait_for(&format!("document.body.innerText.includes({words:?})"));
    shown(&format!("100 % of {}", thousands(length)))?;
    shown("Every chunk and every header is as it should be.")?;

    // From header to header, and what they hold.
    visitor.tab_to("#own [type=range]")?;
    let last = number(visitor, "document.querySelector('#own [type=range]').value")?;
    visitor.press(&[keys::LEFT])?;
    shown("An older header")?;
    visitor.press(&[keys::HOME])?;
    shown("header 1 of")?;
    visitor.press(&[keys::END])?;
    let again = number(visitor, "document.querySelector('#own [type=range]').value")?;
    ensure!(again == last && last > 10, "headers {again} and {last}");
    session.run("document.activeElement.blur()")?;
    visitor.press(&['i'])?;
    shown("The newest state.")?;
    shown("Appended before")?;
    visitor.press(&[keys::ESCAPE])?;

    // Nothing is lost by a compaction beside writers, and what comes of it is a file like others.
    visitor.tab_to("#own .run")?;
    visitor.press(&[keys::ENTER])?;
    session.wait_for("!document.body.dataset.view && document.body.dataset.run === 'complete'")?;
    visitor.expect("ready", &["Compaction begins", "lock held for"])?;
    session.run("document.activeElement.blur()")?;
    visitor.press(&[keys::END])?;
    shown("Compacted: the small new file is in charge")?;
    check_saved(visitor)?;

    drop_file(visitor, DAMAGED)?;
    shown("Something is wrong. At byte")?;
    visitor.tab_to("#own-facts .problem button")?;
    visitor.press(&[keys::ENTER])?;
    let inside = "document.getElementById('inside')";
    session.wait_for(&format!(
        "{inside}.querySelector('.where').textContent.includes('{DAMAGED_AT}')"
    ))?;
    session
        .wait_for(&format!("{inside}.querySelector('.damage').textContent.includes('checksum')"))?;
    session.wait_for(&format!(
        "{inside}.querySelector('.hex').textContent.includes('{DAMAGED_AT}')"
    ))?;
    visitor.press(&[keys::ESCAPE])?;
    visitor.tab_to("#own .close")?;
    visitor.press(&[keys::ENTER])?;
    shown("Who does what when")?;
    visitor.expect("ready", &[])
}

/// The address says which file is shown. It cannot hold the file, so after a reload the page asks for it.
pub(crate) fn files_after_a_reload(visitor: &Visitor<'_>) -> Result<()> {
    let session = visitor.session;
    visitor.open("?seed=2")?;
    drop_bytes(visitor, "mine.couch", b"no documents")?;
    session.wait_for("location.search === '?own=mine.couch'")?;
    session.run("document.querySelector('#own .close').click()")?;
    session.wait_for("location.search.includes('seed=2')")?;
    for query in ["?own=mine.couch", "?trace=mine.couch"] {
        visitor.open(query)?;
        visitor.expect("ready", &["“mine.couch” was shown here. It never left this machine"])?;
        session.wait_for("document.activeElement.id === 'choose'")?;
    }
    // The sample is where the page is.
    visitor.open("")?;
    session.run("document.getElementById('sample').click()")?;
    session.wait_for("location.search === '?sample=yes'")?;
    visitor.open("?sample=yes")?;
    visitor.expect("ready", &["sample.couch", "What the check found"])
}

/// What is no file of its kind loses nothing of what is shown, each file is told its own faults, and a lesson
/// ends where another run begins.
pub(crate) fn files_during_a_lesson(visitor: &Visitor<'_>) -> Result<()> {
    let session = visitor.session;
    visitor.open("?lesson=3-catch-up")?;
    session.wait_for("document.body.dataset.lesson && document.body.dataset.run === 'complete'")?;
    for (name, bytes, told) in [
        ("bad.scenario", &b"create\nfrobnicate\n"[..], "bad.scenario: line 2"),
        (
            "notes.txt",
            b"Dear diary,\nnothing was compacted today.\n",
            "notes.txt is text, and none that",
        ),
        ("new.trace", b"tailswap trace 9\n", "new.trace: damaged at offset 15"),
    ] {
        drop_bytes(visitor, name, bytes)?;
        session.wait_for(&format!(
            "document.getElementById('said').textContent.startsWith('{told}')"
        ))?;
        visitor.expect("ready", &["Catch-up that converges"])?;
    }
    for name in ["one.couch", "another.couch"] {
        drop_bytes(visitor, name, b"no documents")?;
        session.wait_for(&format!(
            "document.querySelector('#own-facts ol').innerText.includes('{name}: no header')"
        ))?;
    }
    drop_file(visitor, SOUND)?;
    visitor.tab_to("#own .run")?;
    visitor.press(&[keys::ENTER])?;
    session.wait_for("!document.body.dataset.view && document.body.dataset.run === 'complete'")?;
    session.wait_for("!document.body.dataset.lesson")?;
    visitor.expect("ready", &["Compaction begins"])
}

/// Drops a golden file on the page and waits until all is known of it; how long it is.
fn drop_file(visitor: &Visitor<'_>, name: &str) -> Result<usize> {
    let bytes = fs::read(root().join("core/tests/golden").join(name))?;
    drop_bytes(visitor, name, &bytes)?;
    visitor.session.wait_for("document.body.dataset.own === 'complete'")?;
    Ok(bytes.len())
}

fn drop_bytes(visitor: &Visitor<'_>, name: &str, bytes: &[u8]) -> Result<()> {
    let text = data_encoding::BASE64.encode(bytes);
    visitor.session.run(&format!(
        "const bytes = Uint8Array.from(atob('{text}'), (letter) => letter.charCodeAt(0)); \
         const dataTransfer = new DataTransfer(); \
         dataTransfer.items.add(new File([bytes], {name:?})); \
         delete document.body.dataset.own; \
         for (const kind of ['dragover', 'drop']) document.body.dispatchEvent( \
         new DragEvent(kind, {{ dataTransfer, bubbles: true, cancelable: true }}));"
    ))?;
    Ok(())
}

/// Saves the run's file as it is now, and has the command check it.
fn check_saved(visitor: &Visitor<'_>) -> Result<()> {
    let session = visitor.session;
    session.run(
        "const make = URL.createObjectURL; \
         URL.createObjectURL = (blob) => { window.saved = blob; return make.call(URL, blob); }",
    )?;
    visitor.tab_to("#files summary")?;
    visitor.press(&[keys::ENTER])?;
    visitor.tab_to("#saves button")?;
    visitor.press(&[keys::ENTER])?;
    session.wait_for("window.saved")?;
    let saved = session.run_until_done(
        "const done = arguments[0], reader = new FileReader(); \
         reader.onload = () => done(reader.result.split(',')[1]); reader.readAsDataURL(window.saved)",
    )?;
    let saved = saved.as_str().context("nothing was saved")?;
    let file = target_folder().join("saved.couch");
    fs::write(&file, data_encoding::BASE64.decode(saved.as_bytes())?)?;
    run(&mut cargo(&["build", "--package", "tailswap-cli"]))?;
    let tailswap = target_folder().join("debug/tailswap");
    run(&mut program(tailswap, &["check", &file.to_string_lossy()]))
}

fn number(visitor: &Visitor<'_>, expression: &str) -> Result<u64> {
    let value = visitor.session.run(&format!("return Number({expression})"))?;
    value.as_u64().with_context(|| format!("{expression} is {value}"))
}

/// As the page shows numbers.
fn thousands(number: usize) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", thousands(number / 1000), number % 1000),
    }
}
