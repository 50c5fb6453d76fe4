//! The browser in which the WebAssembly tests run.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::command::{find_program, root};
use crate::tools::apt_install;

/// A browser and its driver, which finds its browser itself.
pub(crate) struct Browser {
    driver: PathBuf,
    program: PathBuf,
}

const BROWSERS: [&str; 4] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

impl Browser {
    /// The driver that `CHROMEDRIVER` names, or the one on the search path. Without either, both
    /// Chromium and its driver are installed.
    pub(crate) fn find_or_install() -> Result<Browser> {
        let installed = || BROWSERS.into_iter().find_map(find_program);
        let named = env::var_os("CHROMEDRIVER").map(PathBuf::from);
        let driver = || named.clone().or_else(|| find_program("chromedriver"));
        if installed().is_none() || driver().is_none() {
            apt_install(&["chromium", "chromium-driver"])?;
        }
        let driver = driver().context("chromedriver is not on PATH")?;
        let program = installed().context("Chromium is not on PATH")?;
        Ok(Browser { driver, program })
    }

    /// The browser's driver.
    pub(crate) fn driver(&self) -> &Path {
        &self.driver
    }

    /// With which flags a browser is started, as a driver is told.
    pub(crate) fn capabilities(&self) -> Result<Value> {
        let mut capabilities: Value = serde_json::from_str(&fs::read_to_string(flags())?)?;
        capabilities["goog:chromeOptions"]["binary"] = json!(self.program);
        Ok(capabilities)
    }

    /// Tells the test runner which driver to start, with which flags, and to be patient with both
    /// on a machine that is busy.
    pub(crate) fn configure(&self, command: &mut Command) {
        command
            .env("CHROMEDRIVER", &self.driver)
            .env("WASM_BINDGEN_TEST_WEBDRIVER_JSON", flags())
            .env("WASM_BINDGEN_TEST_DRIVER_TIMEOUT", "60")
            .env("WASM_BINDGEN_TEST_TIMEOUT", "300");
    }
}

fn flags() -> PathBuf {
    root().join("web/webdriver.json")
}
