//! The page as one file of HTML that needs no server: its styles and scripts are in it as they are, the
//! engine compressed, which `single_file.js` unpacks in the browser.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use data_encoding::BASE64;

use crate::page::Page;
use crate::tools::target_folder;

/// Unpacks the engine.
const LOADER: &str = include_str!("single_file.js");
/// Nothing may be asked of anybody: there is nobody to ask.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; \
                      script-src 'unsafe-inline' 'wasm-unsafe-eval'";

/// Writes the one file, and says where it is.
pub(crate) fn write(page: &Page) -> Result<PathBuf> {
    let path = target_folder().join("tailswap.html");
    fs::write(&path, assemble(page)?)?;
    Ok(path)
}

/// The one file's text.
pub(crate) fn assemble(page: &Page) -> Result<String> {
    let text = |name: &str| Ok::<_, anyhow::Error>(std::str::from_utf8(page.file(name)?)?);
    let engine = BASE64.encode(page.compressed("tailswap_bg.wasm")?);
    let main = text("main.js")?;
    ensure!(!main.contains("</script"), "main.js cannot be put into a page");
    let scripts = format!(
        "<script type=\"text/plain\" id=\"engine\">{engine}</script>\n\
         <script type=\"module\">{LOADER}</script>\n<script type=\"module\">{main}</script>"
    );
    let style = format!("<style>{}</style>", text("style.css")?);
    let html = replaced(text("index.html")?, "<link rel=\"stylesheet\"", ">", &style)?;
    let html = replaced(&html, "<script type=\"module\"", "</script>", &scripts)?;
    let policy = format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">");
    replaced(&html, "<meta http-equiv=\"Content-Security-Policy\"", ">", &policy)
}

/// The text with another element where there is the only one that begins and ends like this.
fn replaced(text: &str, begin: &str, end: &str, with: &str) -> Result<String> {
    let (before, rest) = text.split_once(begin).with_context(|| format!("there is no {begin}"))?;
    let (_, behind) = rest.split_once(end).with_context(|| format!("{begin} has no {end}"))?;
    ensure!(!behind.contains(begin), "there is more than one {begin}");
    Ok([before, with, behind].concat())
}
