//! What is chosen one thing after another, faster or in another order than one might think of.

use anyhow::{Result, ensure};
use serde_json::json;

use super::Visitor;
use crate::webdriver::keys;

impl Visitor<'_> {
    /// Everything is every sector, also of a write of which fewer were chosen before.
    pub(super) fn keeps_everything(&self) -> Result<()> {
        self.open("?at=start")?;
        self.choose("break", "#lose")?;
        self.session.wait_for("document.getElementById('loss').open")?;
        self.tab_to("#loss li [type=number]")?;
        self.press(&[keys::DOWN])?;
        let survives = "document.querySelector('#loss [name=survives]:checked').value";
        self.session.wait_for(&format!("{survives} === 'some'"))?;
        self.tab_to("#loss [name=survives]:checked")?;
        self.press(&[keys::UP])?;
        self.press(&[keys::UP])?;
        self.session.wait_for(&format!("{survives} === 'all'"))?;
        let whole = "[...document.querySelectorAll('#loss li')].every((item) => \
            item.querySelector('[type=checkbox]').checked && \
            [...item.querySelectorAll('[type=number]')].every(({ value, max }) => value === max))";
        self.session.wait_for(whole)?;
        let changes = self.session.run("return document.querySelectorAll('#loss li').length")?;
        let all: Vec<String> = (1..=changes.as_i64().unwrap_or(0)).map(|n| n.to_string()).collect();
        ensure!(!all.is_empty(), "there is nothing to lose");
        self.branch(|| {
            self.tab_to("#loss [value=lose]")?;
            self.press(&[keys::ENTER])
        })?;
        let named = format!("power loss, of what was not synced {} survives", all.join(" "));
        self.expect("ready", &[&named])
    }

    /// What lies on top is closed first.
    pub(super) fn closes_layer_by_layer(&self) -> Result<()> {
        self.open("?at=round 2")?;
        self.press(&['i'])?;
        let inside = "!document.getElementById('inside').hidden";
        self.session.wait_for(inside)?;
        for (key, dialog) in [('w', "words"), ('?', "help")] {
            let open = format!("document.getElementById('{dialog}').open");
            self.press(&[key])?;
            self.session.wait_for(&format!("{open} && {inside}"))?;
            self.press(&[keys::ESCAPE])?;
            self.session.wait_for(&format!("!{open} && {inside}"))?;
        }
        self.press(&[keys::ESCAPE])?;
        self.session.wait_for(&format!("!({inside})"))
    }

    /// Of two vbuckets chosen at once that one is shown which the list says. A trace of both is shown.
    pub(super) fn chooses_in_haste(&self) -> Result<()> {
        let vbucket = "document.querySelector('#of-vbucket select').value";
        for both in [['0', '1'], ['1', '0']] {
            self.tab_to("#of-vbucket select")?;
            self.press(&both)?;
            self.session.wait_for("document.body.dataset.run === 'complete'")?;
            self.session.wait_for("document.activeElement.matches('#of-vbucket select')")?;
            let said = self.session.run(&format!("return `this is vbucket ${{{vbucket}}}`"))?;
            self.session.wait_for(&format!("document.body.innerText.includes({said})"))?;
            let runs =
                self.session.run("return document.querySelectorAll('#branches article').length")?;
            ensure!(runs == json!(1), "{runs} runs are shown");
        }
        Ok(())
    }
}
