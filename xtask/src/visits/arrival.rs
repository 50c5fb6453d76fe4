//! An engine that does not come, or not at once, and a server that takes requests and leaves them so.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Visitor;
use crate::webdriver::keys;

/// The first three requests for the engine are never answered: two of one page, and one of the next.
const UNANSWERED: &str = "
    const ask = window.fetch;
    window.fetch = (what, ...how) => {
        const asked = Number(sessionStorage.getItem('asked')) + String(what).endsWith('.wasm');
        sessionStorage.setItem('asked', asked);
        return asked > 3 || !String(what).endsWith('.wasm') ? ask(what, ...how) : new Promise(() => {});
    };";

impl Visitor<'_> {
    pub(super) fn says_that_there_is_no_engine(&self) -> Result<()> {
        self.session.devtools("Network.enable", &json!({}))?;
        self.session.devtools("Network.setBlockedURLs", &json!({ "urls": ["*.wasm"] }))?;
        self.open("?seed=2")?;
        self.expect("trouble", &["This run cannot be shown", "Start again"])?;
        self.session.devtools("Network.setBlockedURLs", &json!({ "urls": [] })).map(drop)
    }

    /// It is asked for again, and there are words that lead on.
    pub(super) fn waits_for_the_engine(&self) -> Result<()> {
        let source = json!({ "source": UNANSWERED });
        let added = self.session.devtools("Page.addScriptToEvaluateOnNewDocument", &source)?;
        self.session.open(&format!("{}?at=swap", self.address))?;
        let words = "getComputedStyle(document.querySelector('.late')).visibility === 'visible'";
        self.session.wait_for(&format!("{words} && sessionStorage.getItem('asked') === '2'"))?;
        self.tab_to(".late a")?;
        self.press(&[keys::ENTER])?;
        self.session.wait_for("document.body.dataset.run === 'complete'")?;
        self.expect("ready", &["LOCKED: the swap"])?;
        let asked = self.session.run("return sessionStorage.getItem('asked')")?;
        ensure!(asked == "4", "the engine was asked for {asked} times");
        let identifier = added["identifier"].as_str().context("the script has no name")?;
        let removed = json!({ "identifier": identifier });
        self.session.devtools("Page.removeScriptToEvaluateOnNewDocument", &removed).map(drop)
    }
}
