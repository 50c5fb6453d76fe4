//! The browser in which the WebAssembly tests run.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{find_program, root};
use crate::tools::apt_install;

/// A browser's driver; it finds its browser itself.
pub(crate) struct Browser {
    driver: PathBuf,
}

impl Browser {
    /// The driver that `CHROMEDRIVER` names, or the one on the search path. Without either, both
    /// Chromium and its driver are installed.
    pub(crate) fn find_or_install() -> Result<Browser> {
        if let Some(driver) = env::var_os("CHROMEDRIVER") {
            return Ok(Browser { driver: driver.into() });
        }
        let browsers = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
        let has_browser = browsers.into_iter().any(|name| find_program(name).is_some());
        if !has_browser || find_program("chromedriver").is_none() {
            apt_install(&["chromium", "chromium-driver"])?;
        }
        let driver = find_program("chromedriver").context("chromedriver is not on PATH")?;
        Ok(Browser { driver })
    }

    /// Tells the test runner which driver to start, with which flags, and to be patient with both
    /// on a machine that is busy.
    pub(crate) fn configure(&self, command: &mut Command) {
        command
            .env("CHROMEDRIVER", &self.driver)
            .env("WASM_BINDGEN_TEST_WEBDRIVER_JSON", root().join("web/webdriver.json"))
            .env("WASM_BINDGEN_TEST_DRIVER_TIMEOUT", "60")
            .env("WASM_BINDGEN_TEST_TIMEOUT", "300");
    }
}
