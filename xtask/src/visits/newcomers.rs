//! What somebody meets who sees the page for the first time, on whatever screen.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Visitor;
use crate::webdriver::keys;

/// CSS pixels of a block in the first row of the first file, by what two clicks lead to.
const BLOCK_WIDTH: &str = "
    const plot = document.querySelector('.ribbon .plot'), box = plot.getBoundingClientRect();
    const byteAt = (x) => {
        plot.dispatchEvent(new MouseEvent('click', { clientX: box.left + x, clientY: box.top + 16 }));
        const [, from] = /bytes (\\d+) to/.exec(document.querySelector('#inside .where').textContent);
        return Number(from);
    };
    const blocks = Math.round((byteAt(610) - byteAt(10)) / 4096);
    document.querySelector('#inside .close').click();
    document.activeElement.blur();
    return 600 / blocks;";

/// Parts of the bar at the bottom that have to be pushed sideways to be seen.
const PUSHED: &str = "return [...document.querySelectorAll('#time, #time *')].filter((part) => \
    part.scrollWidth > part.clientWidth && getComputedStyle(part).overflowX !== 'visible' \
    && part.clientWidth > 1).map((part) => part.outerHTML.slice(0, 60))";

impl Visitor<'_> {
    /// Where to begin is said until it was answered, and what words stand for whenever it is asked.
    pub(super) fn is_welcome(&self) -> Result<()> {
        self.open("")?;
        self.session.run("localStorage.clear()")?;
        self.open("")?;
        self.tab_to("#welcome [data-opens=learn]")?;
        self.press(&[keys::ENTER])?;
        self.expect("ready", &["A commit is a header"])?;
        self.open("")?;
        self.session.wait_for("document.getElementById('welcome').hidden")?;
        let asked = "document.querySelector('#words[open] .asked')?.textContent";
        self.press(&['w'])?;
        self.session.wait_for("document.getElementById('words').open")?;
        self.session.wait_for(&format!("{asked} === undefined"))?;
        self.press(&[keys::ESCAPE])?;
        self.open("?lesson=4-swap")?;
        let term = "[...document.querySelectorAll('#lesson .term')].find((each) => each.textContent === 'tail')";
        self.session.run(&format!("{term}.focus()"))?;
        self.press(&[keys::ENTER])?;
        self.session.wait_for(&format!("{asked} === 'tail'"))?;
        self.press(&[keys::ESCAPE])?;
        // Nothing was chosen yet, so nothing is said of it; the browser asks for a choice.
        self.tab_to("#lesson fieldset button")?;
        self.press(&[keys::ENTER])?;
        self.session.wait_for("document.activeElement.matches('#lesson [name=answer]:invalid')")?;
        self.session.wait_for("document.querySelector('#lesson .told').innerText === ''")
    }

    /// What is done at the end of a run is in the pictures, and so is what comes of it.
    pub(super) fn acts_at_the_end(&self) -> Result<()> {
        self.open("?seed=2")?;
        self.press(&[keys::END])?;
        let shown = "document.querySelector('[name=zoom]:checked').value";
        self.session.wait_for(&format!("{shown} === 'compaction'"))?;
        self.branch(|| self.choose("act", "[data-do=burst]"))?;
        self.session.wait_for(&format!("{shown} === 'now'"))?;
        self.open("?seed=2&at=round 1")?;
        self.branch(|| self.choose("act", "[data-do=burst]"))?;
        self.session.wait_for(&format!("{shown} === 'compaction'"))
    }

    /// Nothing in the bar at the bottom has to be pushed sideways, and from a projector blocks are seen at
    /// least as well as without it, with all that there is to jump to.
    pub(super) fn sees_all(&self) -> Result<()> {
        self.open("?at=round 3")?;
        let width = |what: &str| -> Result<f64> {
            let width = self.session.run(BLOCK_WIDTH)?;
            width.as_f64().with_context(|| format!("no width of a block {what}: {width}"))
        };
        let near = width("without the projector")?;
        self.press(&['p'])?;
        let far = width("with it")?;
        ensure!(far >= near, "blocks are {near} pixels wide, and {far} with the projector");
        let chip = "document.querySelector('#chips [aria-current=true]').getBoundingClientRect()";
        self.session.wait_for(&format!("{chip}.height > 16 && {chip}.right < innerWidth"))?;
        self.press(&['p'])?;
        self.session.wait_for("!document.documentElement.classList.contains('projector')")?;
        for (width, height) in [(390, 844), (320, 700)] {
            self.session.resize(width, height)?;
            self.open("?at=round 3")?;
            self.is_within(width)?;
            self.tab_to("#how")?;
            self.press(&[keys::ENTER])?;
            self.tab_to("#ways [name=zoom]:checked")?;
            self.is_within(width)?;
            self.tab_to("#folded select")?;
            self.press(&['l'])?;
            self.expect("ready", &["LOCKED: the last short tail"])?;
        }
        self.session.resize(1280, 720)
    }

    fn is_within(&self, width: u32) -> Result<()> {
        let pushed = self.session.run(PUSHED)?;
        ensure!(pushed == json!([]), "at {width} pixels these are cut off: {pushed}");
        let fits = "return document.documentElement.scrollWidth <= innerWidth";
        ensure!(self.session.run(fits)? == Value::Bool(true), "it is wider than {width} pixels");
        Ok(())
    }
}
