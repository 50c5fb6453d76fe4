//! A browser that is told what to do, through its driver (the W3C's WebDriver, as much as is needed).

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use ureq::Agent;

use crate::browser::Browser;
use crate::command::program;

/// How long the page has for what is waited for, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at it.
const PAUSE: Duration = Duration::from_millis(10);

/// A browser with one window. It is gone when this is dropped.
pub(crate) struct Session {
    driver: Child,
    /// Kept open, because it writes there until its end.
    _output: BufReader<ChildStdout>,
    agent: Agent,
    address: String,
}

impl Session {
    /// Starts a browser through its driver.
    pub(crate) fn start(browser: &Browser) -> Result<Session> {
        let mut command = program(browser.driver(), &["--port=0"]);
        let mut driver = command.stdout(Stdio::piped()).spawn().context("no browser's driver")?;
        let output = driver.stdout.take().context("the driver has no output")?;
        let mut output = BufReader::new(output);
        let port = listening_port(&mut output);
        let timeout = Some(PATIENCE * 2);
        let agent = Agent::config_builder().http_status_as_error(false).timeout_global(timeout);
        let agent = agent.build().into();
        let mut session = Session { driver, _output: output, agent, address: String::new() };
        session.address = format!("http://127.0.0.1:{}/session", port?);
        let mut always = browser.capabilities()?;
        let patience = PATIENCE.as_millis() as u64;
        always["timeouts"] = json!({ "script": patience, "pageLoad": patience });
        let begun = session.post("", &json!({ "capabilities": { "alwaysMatch": always } }))?;
        let id = begun["sessionId"].as_str().context("the driver began no session")?;
        session.address = format!("{}/{id}", session.address);
        Ok(session)
    }

    /// Opens an address.
    pub(crate) fn open(&self, address: &str) -> Result<()> {
        self.post("/url", &json!({ "url": address })).map(drop)
    }

    /// What a script returns.
    pub(crate) fn run(&self, script: &str) -> Result<Value> {
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until an expression of the page is true. It is asked for again and again from here: a script
    /// that waits in the page is lost with it when another page takes its place.
    pub(crate) fn wait_for(&self, expression: &str) -> Result<()> {
        let script = format!("return Boolean({expression})");
        let began = Instant::now();
        loop {
            // Between two pages there may be none that answers.
            let answer = self.run(&script);
            if matches!(answer, Ok(Value::Bool(true))) {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                let shown = self.run("return document.body.innerText").unwrap_or_default();
                let shown = shown.as_str().unwrap_or_default();
                bail!("waited for {expression}: {answer:?}; the page shows:\n{shown}");
            }
            thread::sleep(PAUSE);
        }
    }

    /// Waits until what was done last is shown.
    pub(crate) fn next_frame(&self) -> Result<()> {
        let script = "requestAnimationFrame(() => requestAnimationFrame(() => arguments[0](true)))";
        self.run_until_done(script).map(drop)
    }

    /// What a script hands to `arguments[0]`, whenever it does.
    pub(crate) fn run_until_done(&self, script: &str) -> Result<Value> {
        self.post("/execute/async", &json!({ "script": script, "args": [] }))
    }

    /// Presses keys, all together: their characters, or those of [`keys`].
    pub(crate) fn press(&self, keys: &[char]) -> Result<()> {
        let action = |kind: &str, key: &char| json!({ "type": kind, "value": key });
        let down = keys.iter().map(|key| action("keyDown", key));
        let up = keys.iter().rev().map(|key| action("keyUp", key));
        let actions: Vec<Value> = down.chain(up).collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.post("/actions", &json!({ "actions": [keyboard] })).map(drop)
    }

    /// A command of the browser's developer tools.
    pub(crate) fn devtools(&self, command: &str, parameters: &Value) -> Result<Value> {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// Chooses a file for an input, as a person does in the browser's dialog.
    pub(crate) fn choose_file(&self, selector: &str, file: &Path) -> Result<()> {
        let document = self.devtools("DOM.getDocument", &json!({}))?;
        let found = json!({ "nodeId": document["root"]["nodeId"], "selector": selector });
        let node = self.devtools("DOM.querySelector", &found)?;
        let chosen = json!({ "nodeId": node["nodeId"], "files": [file] });
        self.devtools("DOM.setFileInputFiles", &chosen).map(drop)
    }

    /// Gives the page so many pixels.
    pub(crate) fn resize(&self, width: u32, height: u32) -> Result<()> {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", &size).map(drop)
    }

    /// Saves a picture of the page.
    pub(crate) fn save_picture(&self, file: &Path) -> Result<()> {
        let picture = self.devtools("Page.captureScreenshot", &json!({ "format": "png" }))?;
        let text = picture["data"].as_str().context("no picture")?;
        fs::write(file, data_encoding::BASE64.decode(text.as_bytes())?)?;
        Ok(())
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let request = self.agent.post(format!("{}{path}", self.address));
        let mut response = request.content_type("application/json").send(body.to_string())?;
        let answer = response.body_mut().with_config().limit(64 << 20).read_to_string()?;
        let mut answer: Value = serde_json::from_str(&answer)?;
        let value = answer["value"].take();
        match value["error"].as_str() {
            Some(error) => bail!("the browser: {error}: {}", value["message"]),
            None => Ok(value),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The driver closes its browser with the session; without one there is nothing to close.
        let _ = self.agent.delete(&self.address).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The port that a driver chose, from the line that tells so.
fn listening_port(output: &mut BufReader<ChildStdout>) -> Result<u16> {
    for line in output.lines() {
        let line = line?;
        if let Some((_, port)) = line.trim_end_matches('.').rsplit_once("successfully on port ") {
            return Ok(port.parse()?);
        }
    }
    Err(anyhow!("the browser's driver did not start"))
}

/// Keys without a character, as WebDriver names them.
pub(crate) mod keys {
    pub(crate) const TAB: char = '\u{e004}';
    pub(crate) const ENTER: char = '\u{e007}';
    pub(crate) const SHIFT: char = '\u{e008}';
    pub(crate) const SPACE: char = ' ';
    pub(crate) const BACKSPACE: char = '\u{e003}';
    pub(crate) const ESCAPE: char = '\u{e00c}';
    pub(crate) const END: char = '\u{e010}';
    pub(crate) const HOME: char = '\u{e011}';
    pub(crate) const PAGE_DOWN: char = '\u{e00f}';
    pub(crate) const DOWN: char = '\u{e015}';
    pub(crate) const LEFT: char = '\u{e012}';
    pub(crate) const UP: char = '\u{e013}';
    pub(crate) const RIGHT: char = '\u{e014}';
}
