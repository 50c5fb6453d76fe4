//! The page: built from `web` and `www` into `target/page`, measured, and served on this machine.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use oxhttp::model::header::{CACHE_CONTROL, CONTENT_TYPE};
use oxhttp::model::{Body, HeaderValue, Response, StatusCode};
use oxhttp::{ListeningServer, Server};

use crate::command::{cargo, program, root, run};
use crate::tools;

/// Compressed bytes of the engine when they were last looked into: more than 2 % above is a change
/// that somebody should have meant. (200 000 is what they should come down to. Tables that nobody has
/// to download and maps and sorts for each type are out already; what is left is the engine itself,
/// the simulation, and what the standard library brings along for them.)
const WASM_RECORDED: usize = 270_000;
/// Compressed bytes that all of the page may take.
const PAGE_MAX: usize = 300_000;

/// Files of the page by name, as they are served.
#[derive(Clone)]
pub(crate) struct Page(BTreeMap<String, Vec<u8>>);

impl Page {
    /// Builds the engine and gathers what goes with it.
    pub(crate) fn build() -> Result<Page> {
        tools::wasm_target()?;
        let mut build = cargo(&["build", "--package", "tailswap-web", "--profile", "web"]);
        build.args(["--target", tools::WASM_TARGET]);
        // Flags that were set for the native compiler do not fit WebAssembly.
        run(build.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS"))?;
        let target = tools::target_folder();
        let module = target.join(tools::WASM_TARGET).join("web").join("tailswap_web.wasm");
        let folder = target.join("page");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let arguments = [module.to_string_lossy(), folder.to_string_lossy()];
        let arguments = arguments.each_ref().map(|argument| &**argument);
        run(&mut program(tools::wasm_bindgen()?, &arguments))?;
        for entry in fs::read_dir(root().join("www"))? {
            let path = entry?.path();
            if content_type(&path.to_string_lossy()).is_some() {
                fs::copy(&path, folder.join(path.file_name().unwrap_or_default()))?;
            }
        }
        Page::gather(folder)
    }

    fn gather(folder: PathBuf) -> Result<Page> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.insert(name, fs::read(path)?);
        }
        Ok(Page(files))
    }

    /// Prints how much is downloaded, compressed; an error if that is more than it may be.
    pub(crate) fn measure(&self) -> Result<()> {
        let mut total = 0;
        for (name, bytes) in &self.0 {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
            gzip.write_all(bytes)?;
            let compressed = gzip.finish()?.len();
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
        Ok(())
    }

    /// Serves the page on this machine, at a port or, with 0, at any that is free, for as long as this
    /// process lives. Returns the server and its address.
    pub(crate) fn listen(&self, port: u16) -> Result<(ListeningServer, String)> {
        let host = Ipv4Addr::LOCALHOST;
        let port = match port {
            0 => TcpListener::bind((host, 0))?.local_addr()?.port(),
            port => port,
        };
        let page = self.clone();
        let server = Server::new(move |request| page.answer(request.uri().path()));
        let server = server.bind((host, port)).spawn();
        let server = server.with_context(|| format!("cannot listen at port {port}"))?;
        Ok((server, format!("http://{host}:{port}/")))
    }

    fn answer(&self, path: &str) -> Response<Body> {
        let name = if path == "/" { "index.html" } else { path.trim_start_matches('/') };
        let found = self.0.get(name).and_then(|bytes| Some((bytes, content_type(name)?)));
        let mut response = Response::new(Body::empty());
        match found {
            Some((bytes, kind)) => {
                *response.body_mut() = Body::from(bytes.clone());
                let headers = response.headers_mut();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            }
            None => *response.status_mut() = StatusCode::NOT_FOUND,
        }
        response
    }
}

fn content_type(name: &str) -> Option<&'static str> {
    Some(match name.rsplit_once('.')?.1 {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        "wasm" => "application/wasm",
        _ => return None,
    })
}

/// Builds the page and serves it until the process is ended.
pub(crate) fn serve(port: u16) -> Result<()> {
    let page = Page::build()?;
    let (server, address) = page.listen(port)?;
    println!("\nThe page: {address}   (Ctrl+C ends it)");
    Ok(server.join()?)
}
