//! The page: built from `web` and `www` into `target/page`, measured, and served on this machine.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use libdeflater::{CompressionLvl, Compressor};
use serde_json::Value;
use tailswap_www::{Files, Served, compressed_name, content_type};

use crate::command::{cargo, program, root, run};
use crate::{bundle, shorten, single_file, tools};

/// Compressed bytes of the engine when they were last looked into: more than 2 % above is a change
/// that somebody should have meant. (200 000 is what they should come down to. Tables that nobody has
/// to download, maps, sorts, readers of JSON and ways to JavaScript for each type are out already, and so is
/// what only shows values to programmers, and all code that is there twice; what is left is the engine
/// itself, the simulation, and their maps.)
const WASM_RECORDED: usize = 250_000;
/// Compressed bytes that all of the page may take.
const PAGE_MAX: usize = 294_000;

/// The one script that a browser runs by itself, without the page.
const APART: &str = "offline.js";

/// Bytes that the page may take as one file.
const SINGLE_FILE_MAX: usize = 800_000;

/// The page, built.
pub(crate) struct Page {
    /// Where its files lie.
    pub(crate) folder: PathBuf,
    pub(crate) files: Files,
}

impl Page {
    /// Builds the engine and gathers what goes with it.
    pub(crate) fn build() -> Result<Page> {
        tools::wasm_target()?;
        let mut build = cargo(&["build", "--package", "tailswap-web", "--profile", "web"]);
        build.args(["--target", tools::WASM_TARGET]);
        // In place of flags that were set for the native compiler, which do not fit WebAssembly.
        run(build.env("CARGO_ENCODED_RUSTFLAGS", tools::without_machine_paths()?))?;
        let target = tools::target_folder();
        let module = target.join(tools::WASM_TARGET).join("web").join("tailswap_web.wasm");
        let folder = target.join("page");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let arguments = [module.to_string_lossy(), folder.to_string_lossy()];
        let arguments = arguments.each_ref().map(|argument| &**argument);
        run(&mut program(tools::wasm_bindgen()?, &arguments))?;
        let mut modules = BTreeMap::from([("lesson-files.js".to_owned(), lessons()?)]);
        for entry in fs::read_dir(root().join("www"))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.ends_with(".js") && name != APART {
                modules.insert(name, fs::read_to_string(&path)?);
            } else if content_type(&name).is_some() {
                fs::copy(&path, folder.join(name))?;
            }
        }
        let glue = folder.join("tailswap.js");
        modules.insert("tailswap.js".to_owned(), fs::read_to_string(&glue)?);
        fs::remove_file(glue)?;
        fs::write(folder.join("main.js"), bundle::join(&modules)?)?;
        shorten::shorten(&folder)?;
        let mut page = Page::gather(folder)?;
        page.compress()?;
        Ok(page)
    }

    fn gather(folder: PathBuf) -> Result<Page> {
        let mut files = Files::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.insert(name, Cow::Owned(fs::read(path)?));
        }
        Ok(Page { folder, files })
    }

    /// Puts beside each file what is sent of it.
    fn compress(&mut self) -> Result<()> {
        let mut compressor = Compressor::new(CompressionLvl::best());
        for (name, bytes) in self.files.clone() {
            let mut gzip = vec![0; compressor.gzip_compress_bound(bytes.len())];
            let length = compressor.gzip_compress(&bytes, &mut gzip)?;
            gzip.truncate(length);
            let name = compressed_name(&name);
            fs::write(self.folder.join(&name), &gzip)?;
            self.files.insert(name, Cow::Owned(gzip));
        }
        Ok(())
    }

    /// One of its files.
    pub(crate) fn file(&self, name: &str) -> Result<&[u8]> {
        Ok(self.files.get(name).with_context(|| format!("the page has no {name}"))?)
    }

    /// A file as it is sent.
    pub(crate) fn compressed(&self, name: &str) -> Result<&[u8]> {
        self.file(&compressed_name(name))
    }

    /// Prints how much is downloaded, compressed; an error if that is more than it may be.
    pub(crate) fn measure(&self) -> Result<()> {
        let mut total = 0;
        for (name, bytes) in self.files.iter().filter(|(name, _)| content_type(name).is_some()) {
            let compressed = self.compressed(name)?.len();
            println!("{name:22} {:>8} bytes, {compressed:>7} compressed", bytes.len());
            total += compressed;
            if name.ends_with(".wasm") && compressed > WASM_RECORDED / 100 * 102 {
                bail!("{name} took {WASM_RECORDED} bytes compressed when that was looked into");
            }
        }
        println!("{:22} {:>8}        {total:>7}", "all", "");
        if total > PAGE_MAX {
            bail!("the page may take {PAGE_MAX} bytes compressed");
        }
        let single = single_file::assemble(self)?.len();
        println!("{:22} {single:>8} bytes", "as one file");
        if single > SINGLE_FILE_MAX {
            bail!("the page as one file may take {SINGLE_FILE_MAX} bytes");
        }
        Ok(())
    }

    /// Serves the page on this machine, at a port or, with 0, at any that is free.
    pub(crate) fn listen(&self, port: u16) -> Result<Served> {
        Served::start(self.files.clone(), port)
            .with_context(|| format!("cannot listen at port {port}"))
    }
}

/// All lessons, as a script that the page imports.
fn lessons() -> Result<String> {
    let mut lessons = BTreeMap::new();
    for entry in fs::read_dir(root().join("www/lessons"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = fs::read_to_string(&path)?;
            let mut lesson: Value = serde_json::from_str(&text)
                .with_context(|| format!("{} is no lesson", path.display()))?;
            let id = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            lesson["id"] = Value::from(id.clone());
            lessons.insert(id, lesson);
        }
    }
    let lessons = serde_json::to_string(&lessons.into_values().collect::<Vec<_>>())?;
    Ok(format!("export default {lessons};\n"))
}

/// Builds the page and serves it until the process is ended.
pub(crate) fn serve(port: u16) -> Result<()> {
    let served = Page::build()?.listen(port)?;
    println!("\nThe page: {}   (Ctrl+C ends it)", served.address);
    Ok(served.join()?)
}

/// Builds the page, and perhaps one file of it, and says where they are.
pub(crate) fn write(as_single_file: bool) -> Result<()> {
    let page = Page::build()?;
    let written = match as_single_file {
        true => single_file::write(&page)?,
        false => page.folder,
    };
    println!("\nThe page: {}", written.display());
    Ok(())
}

/// Builds the command with the page in it, as it is given to others.
pub(crate) fn release() -> Result<()> {
    let folder = Page::build()?.folder;
    let mut cargo = cargo(&["build", "--release", "--package", "tailswap-cli"]);
    run(cargo.env("TAILSWAP_PAGE", folder))?;
    let name = format!("tailswap{}", std::env::consts::EXE_SUFFIX);
    let binary = tools::target_folder().join("release").join(name);
    println!("\nThe command, with the page: {}", binary.display());
    Ok(())
}
