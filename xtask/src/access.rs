//! Who can use the page, and where: with keys or without them, on a projector or at 320 pixels, in colours
//! that a person forced; and what axe-core has to say about it.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::tools;
use crate::visits::Visitor;
use crate::webdriver::keys;

/// States of the page: an address, and what is done there.
const STATES: [(&str, &str); 12] = [
    ("", ""),
    ("?at=swap", "document.getElementById('look').click()"),
    ("", "document.getElementById('learn').click()"),
    ("?lesson=1-commit", "document.querySelector('#lesson .next').click()"),
    ("?compare=rounds&at=swap", "document.getElementById('settings').open = true"),
    ("?at=round 2", "document.getElementById('ask-help').click()"),
    ("", "document.getElementById('sample').click()"),
    ("?at=last-tail&fork=power-some", "document.getElementById('lose').click()"),
    ("?at=swap", "document.getElementById('act').open = true"),
    ("", "document.getElementById('sample').click()"),
    ("?device=tape", ""),
    ("", "dispatchEvent(new ErrorEvent('error', { message: 'on purpose' }))"),
];

/// Themes, as a browser is told to prefer them.
const THEMES: [[(&str, &str); 2]; 3] = [
    [("prefers-color-scheme", "dark"), ("forced-colors", "none")],
    [("prefers-color-scheme", "light"), ("forced-colors", "none")],
    [("prefers-color-scheme", "dark"), ("forced-colors", "active")],
];

/// In each state and each theme.
pub(crate) fn axe_finds_nothing(visitor: &Visitor<'_>) -> Result<()> {
    let axe = fs::read_to_string(tools::axe_core()?)?;
    let look = "const done = arguments[0]; axe.run().then(({ violations }) => done(violations.map(\
                ({ id, help, nodes }) => [id, help, nodes.map(({ html }) => html)])))";
    for theme in THEMES {
        let features = theme.map(|(name, value)| json!({ "name": name, "value": value }));
        prefer(visitor, &json!(features))?;
        for (address, act) in STATES {
            visitor.open(address)?;
            visitor.session.run(act)?;
            visitor.session.next_frame()?;
            visitor.session.run(&axe)?;
            let found = visitor.session.run_until_done(look)?;
            ensure!(found == json!([]), "at {address:?}, {act:?}, {theme:?}: {found:#}");
        }
    }
    prefer(visitor, &json!([]))
}

fn prefer(visitor: &Visitor<'_>, features: &Value) -> Result<()> {
    let media = json!({ "features": features });
    visitor.session.devtools("Emulation.setEmulatedMedia", &media).map(drop)
}

/// Help comes and goes; keys can be turned off, which is kept; nothing is cut off on a projector, or
/// has to be pushed sideways at 320 pixels.
pub(crate) fn help_and_keys(visitor: &Visitor<'_>) -> Result<()> {
    let session = visitor.session;
    let is = |expression: &str| -> Result<()> {
        let holds = session.run(&format!("return {expression}"))?;
        ensure!(holds == Value::Bool(true), "it does not hold that {expression}");
        Ok(())
    };
    visitor.open("")?;
    visitor.press(&['?'])?;
    is("document.getElementById('help').open")?;
    visitor.tab_to("#has-keys")?;
    visitor.press(&[keys::SPACE])?;
    visitor.press(&[keys::ESCAPE])?;
    is("!document.getElementById('help').open")?;
    let shown = "return document.getElementById('scrubber').value";
    visitor.open("")?;
    let before = session.run(shown)?;
    visitor.press(&[keys::RIGHT])?;
    ensure!(session.run(shown)? == before, "a key works that was turned off");
    session.run("document.getElementById('has-keys').click()")?;
    visitor.press(&[keys::PAGE_DOWN])?;
    ensure!(session.run(shown)? != before, "a presenter's key does not work");
    // What happened is said, too, if not at once.
    session.wait_for("document.getElementById('spoken').textContent.length > 5")?;

    let fits = "document.documentElement.scrollWidth <= innerWidth";
    session.resize(1280, 720)?;
    visitor.press(&['p'])?;
    is("document.documentElement.classList.contains('projector')")?;
    is(fits).context("on a projector")?;
    is("parseFloat(getComputedStyle(document.getElementById('now-why')).fontSize) >= 18")?;
    // Pictures take on their size when the page has: a frame later.
    let stage = "document.getElementById('stage')";
    session
        .wait_for(&format!("{stage}.scrollHeight <= {stage}.clientHeight"))
        .context("the stage on a projector")?;
    is("document.querySelector('header').clientHeight < 60").context("its buttons in one row")?;
    is("document.getElementById('speed').getBoundingClientRect().bottom <= innerHeight")?;
    visitor.press(&['p'])?;
    session.resize(320, 640)?;
    visitor.open("")?;
    is("scrollY === 0 && document.querySelector('header').clientHeight < 60")
        .context("what there is to choose from, folded")?;
    visitor.tab_to("#menu")?;
    visitor.press(&[keys::ENTER])?;
    visitor.tab_to("#ask-help")?;
    visitor.press(&[keys::ENTER])?;
    is(
        "document.getElementById('help').open && document.getElementById('menu').ariaExpanded === 'false'",
    )?;
    for (address, act) in STATES {
        visitor.open(address)?;
        session.run(act)?;
        session.next_frame()?;
        is(fits).with_context(|| format!("320 pixels at {address:?}, {act:?}"))?;
    }
    session.resize(1280, 720)
}
