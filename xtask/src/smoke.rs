//! The page as it is served, opened in a browser: does it come up, and does it say what is wrong?

use std::path::Path;
use std::process::Stdio;
use std::thread;

use anyhow::{Context, Result, bail};

use crate::command::{output, program};
use crate::page::Page;
use crate::tools;

/// Addresses, and what the page must show there.
const VISITS: [(&str, &[&str]); 5] = [
    ("", &["data-state=\"ready\"", "Compaction begins"]),
    ("?at=round 3", &["data-state=\"ready\"", "Catch-up: copying the tail", "100 % of"]),
    ("?at=swap", &["LOCKED: the swap", "held by compactor"]),
    ("?compare=rounds&at=last-tail", &["data-state=\"ready\"", "1 round without the lock"]),
    ("?device=tape", &["data-state=\"trouble\"", "is no device", "Start again"]),
];

/// Builds the page, measures and serves it, and visits it.
pub(crate) fn visit(browser: &Path) -> Result<usize> {
    let page = Page::build()?;
    page.measure()?;
    let (server, address) = page.listen(0)?;
    thread::scope(|scope| {
        let serving = scope.spawn(|| page.serve(&server));
        let visited = VISITS.iter().try_for_each(|(query, expected)| {
            check(browser, &format!("{address}{query}"), expected)
        });
        server.unblock();
        let served = serving.join();
        visited?;
        served.ok().context("the server panicked")??;
        Ok(VISITS.len())
    })
}

fn check(browser: &Path, address: &str, expected: &[&str]) -> Result<()> {
    let profile = tools::target_folder().join("page-profile");
    let profile = format!("--user-data-dir={}", profile.display());
    let address = address.replace(' ', "%20");
    let arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        &profile,
        // Until so much of the page's own time has passed and it has nothing left to do.
        "--virtual-time-budget=20000",
        "--dump-dom",
        &address,
    ];
    let mut command = program(browser, &arguments);
    // A browser without a desktop complains much, and about nothing that matters here.
    let shown = output(command.stderr(Stdio::null()))?;
    let missing: Vec<_> = expected.iter().filter(|words| !shown.contains(**words)).collect();
    if !missing.is_empty() {
        bail!("{address} does not show {missing:?} but:\n{shown}");
    }
    Ok(())
}
