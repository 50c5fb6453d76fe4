//! The page with nobody to ask: as one file, and where the server from which it came is gone.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::browser::Browser;
use crate::command::{cargo, program, run};
use crate::page::Page;
use crate::single_file;
use crate::tools::target_folder;
use crate::webdriver::Session;

/// The run is there, whole.
const COMPLETE: &str = "document.body.dataset.run === 'complete'";

/// Uses the page in these ways; how many visits there were.
pub(crate) fn visit(browser: &Browser, page: &Page) -> Result<usize> {
    let session = Session::start(browser)?;
    as_one_file(&session, page).context("the page as one file")?;
    without_its_server(&session, page).context("the page that `tailswap serve` served")?;
    Ok(2)
}

fn as_one_file(session: &Session, page: &Page) -> Result<()> {
    let path = single_file::write(page)?.canonicalize()?;
    session.open(&format!("file://{}?at=swap", path.display()))?;
    session.wait_for(COMPLETE)?;
    session.wait_for("document.body.innerText.includes('held by compactor')")?;
    let asked =
        session.run("return performance.getEntriesByType('resource').map(({ name }) => name)")?;
    let asked = asked.as_array().context("no list of what was asked for")?;
    let is_own =
        |name: &serde_json::Value| name.as_str().is_some_and(|name| name.starts_with("blob:"));
    ensure!(asked.iter().all(is_own), "the page asked for {asked:?}");
    Ok(())
}

fn without_its_server(session: &Session, page: &Page) -> Result<()> {
    let mut build = cargo(&["build", "--package", "tailswap-cli"]);
    run(build.env("TAILSWAP_PAGE", &page.folder))?;
    let tailswap = target_folder().join("debug").join("tailswap");
    let mut server = program(tailswap, &["serve", "--port", "0"]);
    let mut server = Server(server.stdout(Stdio::piped()).spawn()?);
    let address = server.address()?;
    session.open(&address)?;
    session.wait_for("document.body.dataset.kept === 'yes'")?;
    let story = "return document.getElementById('story').innerText";
    let before = session.run(story)?;
    // It takes requests, and leaves them without an answer.
    run(&mut program("kill", &["-STOP", &server.0.id().to_string()]))?;
    session.open(&address)?;
    session.wait_for(COMPLETE)?;
    ensure!(session.run(story)? == before, "it shows something else without an answer");
    drop(server);
    session.open(&address)?;
    session.wait_for(COMPLETE)?;
    ensure!(session.run(story)? == before, "it shows something else");
    session.run("history.replaceState(null, '', '?at=swap'); location.reload()")?;
    session.wait_for(COMPLETE)?;
    let shown = json!("held by compactor");
    session.wait_for(&format!("document.body.innerText.includes({shown})"))
}

/// A server of the command's, which ends with this.
struct Server(Child);

impl Server {
    /// Where it serves the page, from the line that says so.
    fn address(&mut self) -> Result<String> {
        let output = self.0.stdout.take().context("the server has no output")?;
        for line in BufReader::new(output).lines() {
            if let Some(rest) = line?.strip_prefix("The page: ") {
                return Ok(rest.split_whitespace().next().unwrap_or_default().to_owned());
            }
        }
        bail!("the server did not start")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
