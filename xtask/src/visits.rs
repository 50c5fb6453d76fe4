//! The page as it is served, used as a person uses it: with the keyboard, and a click.

mod arrival;
mod layers;
mod newcomers;
pub(crate) mod sharing;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::access;
use crate::alone;
use crate::browser::Browser;
use crate::lessons;
use crate::own_files;
use crate::page::Page;
use crate::tools::target_folder;
use crate::webdriver::{Session, keys};

/// Addresses, and what the page must show there.
const ADDRESSES: [(&str, &[&str]); 5] = [
    ("?at=start", &["Compaction begins", "100 % of"]),
    ("?at=round 3", &["Catch-up: copying the tail", "100 % of"]),
    ("?at=swap", &["LOCKED: the swap", "held by compactor"]),
    ("?compare=rounds&at=last-tail", &["1 round without the lock"]),
    (
        "?at=swap&fork=power-nothing&fork=power-everything",
        &["7.couch.1 opened, which was in charge before", "the compaction after that"],
    ),
];

/// Sizes of screens, in pixels.
pub(crate) const SCREENS: [(u32, u32); 3] = [(1280, 720), (1920, 1080), (390, 844)];

/// Builds the page, measures and serves it, and uses it. Pictures of it are kept in
/// `target/pictures`. How many visits there were.
pub(crate) fn visit(browser: &Browser) -> Result<usize> {
    let page = Page::build()?;
    page.measure()?;
    let visits = with_served(&page, |address| {
        let session = Session::start(browser)?;
        let visitor = Visitor { session: &session, address };
        for (query, shown) in ADDRESSES {
            visitor.open(query)?;
            visitor.expect("ready", shown).with_context(|| format!("at {query}"))?;
        }
        let walks: [(&str, Walk<'_>); 25] = [
            ("a first visit", Visitor::is_welcome),
            ("lessons", lessons::go_through),
            ("playing and stepping", Visitor::plays_and_steps),
            ("branches", Visitor::forks_and_compares),
            ("acting", Visitor::acts),
            ("acting at the end", Visitor::acts_at_the_end),
            ("damage and recovery", Visitor::breaks_and_recovers),
            ("a look inside", Visitor::looks_inside),
            ("reduced motion", Visitor::keeps_still),
            ("an engine that does not come", Visitor::says_that_there_is_no_engine),
            ("an engine that comes late", Visitor::waits_for_the_engine),
            ("everything survives", Visitor::keeps_everything),
            ("one thing over another", Visitor::closes_layer_by_layer),
            ("screens", Visitor::fits_on_screens),
            ("small screens and the projector", Visitor::sees_all),
            ("links", Visitor::links_lead_to_the_same_state),
            ("sharing", Visitor::shares_and_reopens),
            ("links that lack something", Visitor::says_what_a_link_lacks),
            ("scenarios", Visitor::hands_on_scenarios),
            ("a trace", Visitor::plays_a_trace),
            ("help, keys and the projector", access::help_and_keys),
            ("a file of one's own", own_files::files_of_ones_own),
            ("files during a lesson", own_files::files_during_a_lesson),
            ("files after a reload", own_files::files_after_a_reload),
            ("what axe-core looks at", access::axe_finds_nothing),
        ];
        for (name, walk) in walks {
            walk(&visitor).with_context(|| format!("the walk through {name}"))?;
        }
        Ok(ADDRESSES.len() + walks.len())
    })?;
    Ok(visits + alone::visit(browser, &page)?)
}

/// Serves the page and does something with its address.
pub(crate) fn with_served<T>(page: &Page, work: impl FnOnce(&str) -> Result<T>) -> Result<T> {
    work(&page.listen(0)?.address)
}

/// Something that a person does with the page.
type Walk<'a> = fn(&Visitor<'a>) -> Result<()>;

/// Somebody who uses the page.
pub(crate) struct Visitor<'a> {
    pub(crate) session: &'a Session,
    pub(crate) address: &'a str,
}

impl Visitor<'_> {
    /// Opens the page and waits until it is ready, or says why it is not.
    pub(crate) fn open(&self, query: &str) -> Result<()> {
        self.session.open(&format!("{}{}", self.address, query.replace(' ', "%20")))?;
        self.session.wait_for(
            "document.body.dataset.state === 'trouble' || document.body.dataset.run === 'complete'",
        )
    }

    pub(crate) fn expect(&self, state: &str, words: &[&str]) -> Result<()> {
        for words in words {
            let words = json!(words);
            self.session.wait_for(&format!("document.body.innerText.includes({words})"))?;
        }
        self.session.wait_for(&format!("document.body.dataset.state === '{state}'"))?;
        let elsewhere = self.session.run(
            "return performance.getEntriesByType('resource').map((each) => each.name) \
             .filter((name) => !name.startsWith(location.origin))",
        )?;
        ensure!(elsewhere == json!([]), "the page asked others: {elsewhere}");
        Ok(())
    }

    fn event(&self) -> Result<i64> {
        let shown = "return Number(document.getElementById('scrubber').value)";
        self.session.run(shown)?.as_i64().context("no event is shown")
    }

    /// Presses keys and waits until what they do is shown.
    pub(crate) fn press(&self, keys: &[char]) -> Result<()> {
        self.session.press(keys)?;
        self.session.next_frame()
    }

    /// Goes on with the tabulator until the focus is where an expression says.
    pub(crate) fn tab_to(&self, selector: &str) -> Result<()> {
        let there = format!("return document.activeElement.matches({})", json!(selector));
        for _ in 0..150 {
            if self.session.run(&there)? == Value::Bool(true) {
                return Ok(());
            }
            self.press(&[keys::TAB])?;
        }
        bail!("the tabulator does not lead to {selector}")
    }

    fn plays_and_steps(&self) -> Result<()> {
        self.open("")?;
        let start = self.event()?;
        self.press(&[keys::RIGHT])?;
        ensure!(self.event()? == start + 1, "a step forward");
        let there = self.session.run("return document.getElementById('story').innerText")?;
        self.press(&[keys::LEFT])?;
        ensure!(self.event()? == start, "a step back");
        self.press(&[keys::RIGHT])?;
        let again = self.session.run("return document.getElementById('story').innerText")?;
        ensure!(there == again, "forward, back and forward again: {there} and {again}");
        self.press(&[keys::SHIFT, keys::RIGHT])?;
        ensure!(self.event()? > start + 1, "a step by phase");
        self.press(&[keys::END])?;
        let end = self.event()?;
        ensure!(
            self.session.run("return document.getElementById('scrubber').max")?
                == json!(end.to_string()),
            "the end"
        );
        self.press(&[keys::HOME])?;
        ensure!(self.event()? == 0, "the beginning");
        self.press(&[keys::SPACE])?;
        self.session.wait_for("Number(document.getElementById('scrubber').value) > 20")?;
        self.press(&[keys::SPACE])?;
        let paused = self.event()?;
        ensure!(self.event()? == paused && paused < end, "it did not pause");
        self.tab_to("#scrubber")?;
        self.press(&[keys::RIGHT])?;
        ensure!(self.event()? == paused + 1, "the scrubber");
        self.press(&[keys::END])?;
        ensure!(self.event()? == end, "the scrubber's end");
        Ok(())
    }

    /// Does what makes a branch, and waits for it.
    fn branch(&self, deed: impl FnOnce() -> Result<()>) -> Result<()> {
        let runs = "document.querySelectorAll('#branches article').length";
        let before = self.session.run(&format!("return {runs}"))?.as_u64().context("no runs")?;
        deed()?;
        let listed = "document.querySelectorAll('#runs li').length";
        self.session.wait_for(&format!("{listed} === {}", before + 1))
    }

    /// Opens a menu and presses a button in it.
    fn choose(&self, menu: &str, button: &str) -> Result<()> {
        self.tab_to(&format!("#{menu} summary"))?;
        self.press(&[keys::ENTER])?;
        self.tab_to(&format!("#{menu} {button}"))?;
        self.press(&[keys::ENTER])
    }

    /// Power is lost, and nothing survives that is not synced.
    fn loses_power(&self) -> Result<()> {
        self.branch(|| {
            self.choose("break", "#lose")?;
            self.session.wait_for("document.getElementById('loss').open")?;
            self.tab_to("#loss [value=lose]")?;
            self.press(&[keys::ENTER])
        })
    }

    fn forks_and_compares(&self) -> Result<()> {
        self.open("?at=swap")?;
        self.loses_power()?;
        self.expect("ready", &["power loss, only what was synced", "power was lost at"])?;
        self.expect("ready", &["Power was lost", "a whole header: taken", "swept away"])?;
        // Another from where the first one left, so that both have it in common.
        self.tab_to("#runs [type=radio]:checked")?;
        self.press(&[keys::UP])?;
        self.session.wait_for("document.querySelectorAll('#runs [type=radio]')[0].checked")?;
        self.branch(|| self.choose("break", "[data-do=failed-sync]"))?;
        self.expect("ready", &["the next sync fails", "failure"])?;
        // What is done is shown beside what it was done to; the other is asked for.
        let articles = "[...document.querySelectorAll('#branches article')]";
        let hidden = format!("{articles}.map((each) => each.hidden).join()");
        self.session.wait_for(&format!("{hidden} === 'false,true,false'"))?;
        self.tab_to("#runs li:nth-child(2) [type=checkbox]")?;
        self.press(&[keys::SPACE])?;
        self.session.wait_for(&format!("{hidden} === 'false,false,false'"))?;
        self.tab_to("#runs button")?;
        self.press(&[keys::ENTER])?;
        self.session.wait_for(&format!("{articles}.length === 2"))
    }

    fn acts(&self) -> Result<()> {
        self.open("?at=round 2")?;
        // What cannot be done says why, and does nothing.
        self.choose("act", "[data-needs=compact]")?;
        let compact = "document.querySelector('[data-needs=compact]')";
        self.session.wait_for(&format!("{compact}.title.includes('a compaction is running')"))?;
        self.session.wait_for("document.getElementById('act').open")?;
        self.tab_to("#act [name=line]")?;
        "dance".chars().try_for_each(|key| self.press(&[key]))?;
        self.press(&[keys::ENTER])?;
        let line = "document.querySelector('#act [name=line]')";
        self.session.wait_for(&format!("{line}.validationMessage.includes('dance')"))?;
        (0..5).try_for_each(|_| self.press(&[keys::BACKSPACE]))?;
        self.branch(|| {
            "cancel".chars().try_for_each(|key| self.press(&[key]))?;
            self.press(&[keys::ENTER])
        })?;
        self.expect("ready", &["from", "cancel"])?;
        // One deed after another, at the same moment.
        self.branch(|| self.choose("act", "[data-needs=read]"))?;
        self.branch(|| self.choose("act", "[data-needs=close]"))?;
        self.expect("ready", &["the snapshot closed"])
    }

    fn breaks_and_recovers(&self) -> Result<()> {
        self.open("?at=start")?;
        let start = self.event()?;
        self.tab_to("#log li:first-child button")?;
        self.press(&[keys::ENTER])?;
        ensure!(self.event()? == start - 4, "the event that was clicked is not shown");
        self.open("?at=start")?;
        self.press(&['i'])?;
        self.tab_to("#inside .flip [name=byte]")?;
        (0..20).try_for_each(|_| self.press(&[keys::UP]))?;
        self.branch(|| {
            self.tab_to("#inside .flip button")?;
            self.press(&[keys::ENTER])
        })?;
        let damage = "document.querySelector('#inside .damage').textContent";
        self.session.wait_for(&format!("{damage}.includes('checksum')"))?;
        self.press(&[keys::ESCAPE])?;
        self.loses_power()?;
        self.expect("ready", &["The vbucket does not open", "refused", "damaged at offset"])?;
        self.tab_to("#recovery .refused button")?;
        self.press(&[keys::ENTER])?;
        self.session.wait_for(&format!("{damage}.includes('checksum')"))
    }

    fn looks_inside(&self) -> Result<()> {
        self.open("?at=round 2")?;
        let says = |selector: &str, words: &str| {
            let text = format!("document.querySelector('#inside {selector}').textContent");
            self.session.wait_for(&format!("{text}.includes({})", json!(words)))
        };
        self.press(&['i'])?;
        says("h2", "Header")?;
        says(".fate", "The newest state")?;
        // From the header to the root of its by-seq tree, and what is in it.
        self.tab_to("#inside .fields [data-field='12'] button")?;
        self.press(&[keys::ENTER])?;
        says("h2", "Node of the by-seq tree")?;
        says(".pointing", "the header, as its by-seq root")?;
        says(".fields", "kind of the node")?;
        self.tab_to("#inside [name=bytes]:checked")?;
        self.press(&[keys::LEFT])?;
        says(".fields", "checksum")?;
        self.tab_to("#inside .tree summary")?;
        self.press(&[keys::ENTER])?;
        says(".tree", "by-id")?;
        self.press(&[keys::ESCAPE])?;
        self.session.wait_for("document.getElementById('inside').hidden")?;
        // With a click, as well.
        self.session.run(
            "const plot = document.querySelector('.ribbon .plot'), box = plot.getBoundingClientRect(); \
             plot.dispatchEvent(new MouseEvent('click', { clientX: box.left + 40, clientY: box.top + 12 }))",
        )?;
        says(".where", "7.couch.1, bytes")
    }

    fn keeps_still(&self) -> Result<()> {
        let reduced =
            json!({ "features": [{ "name": "prefers-reduced-motion", "value": "reduce" }] });
        self.session.devtools("Emulation.setEmulatedMedia", &reduced)?;
        self.open("")?;
        let start = self.event()?;
        self.press(&[keys::SPACE])?;
        ensure!(self.event()? == start, "it moves although that was not wanted");
        self.session.wait_for(&format!("document.getElementById('scrubber').value > {start}"))?;
        self.session.devtools("Emulation.setEmulatedMedia", &json!({ "features": [] }))?;
        Ok(())
    }

    /// On a screen as large as a projector's all is seen without scrolling, and on a phone nothing is
    /// wider than it.
    fn fits_on_screens(&self) -> Result<()> {
        let folder = target_folder().join("pictures");
        fs::create_dir_all(&folder)?;
        for (width, height) in SCREENS {
            self.session.resize(width, height)?;
            for (name, query) in [("swap", "?at=swap"), ("branch", "?at=swap&fork=power-nothing")] {
                self.open(query)?;
                self.session.wait_for(&format!(
                    "document.querySelectorAll('#branches article').length === {}",
                    if name == "swap" { 1 } else { 2 }
                ))?;
                self.look(&folder, &format!("{name}-{width}x{height}"))?;
                let size = self.session.run(
                    "const page = document.documentElement, stage = document.getElementById('stage'); \
                     return [page.scrollWidth - innerWidth, Math.max(page.scrollHeight - innerHeight, \
                     stage.scrollHeight - stage.clientHeight)]",
                )?;
                let is_wide = width >= 1280;
                let over = |axis: usize| size[axis].as_i64().is_none_or(|over| over > 0);
                if over(0) || (is_wide && name == "swap" && over(1)) {
                    bail!("{name} at {width} × {height} is too large by {size} pixels");
                }
            }
        }
        let (width, height) = SCREENS[0];
        self.session.resize(width, height)
    }

    /// Saves pictures of the page as it is, in both themes.
    pub(crate) fn look(&self, folder: &Path, name: &str) -> Result<()> {
        for theme in ["dark", "light"] {
            let chosen =
                json!({ "features": [{ "name": "prefers-color-scheme", "value": theme }] });
            self.session.devtools("Emulation.setEmulatedMedia", &chosen)?;
            self.session.next_frame()?;
            self.session.save_picture(&folder.join(format!("{name}-{theme}.png")))?;
        }
        Ok(())
    }
}
