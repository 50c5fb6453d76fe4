//! The page: built from `web` and `www` into `target/page`, measured, and served on this machine.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use tiny_http::{Header, Response, Server};

use crate::command::{cargo, program, root, run};
use crate::tools;

/// Compressed bytes of the engine when they were last looked into: more than 2 % above is a change
/// that somebody should have meant. (200 000 is what they should come down to. Tables that nobody has
/// to download and maps and sorts for each type are out already; what is left is the engine itself,
/// the simulation, and what the standard library brings along for them.)
const WASM_RECORDED: usize = 263_000;
/// Compressed bytes that all of the page may take.
const PAGE_MAX: usize = 300_000;

/// Files of the page by name, as they are served.
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

    /// A server of the page on this machine, at a port or, with 0, at any that is free.
    pub(crate) fn listen(&self, port: u16) -> Result<(Server, String)> {
        let server = Server::http(("127.0.0.1", port));
        let server = server.map_err(|error| anyhow!("cannot listen at port {port}: {error}"))?;
        let address = server.server_addr().to_ip().context("the server has no address")?;
        Ok((server, format!("http://{address}/")))
    }

    /// Answers requests until the server is unblocked.
    pub(crate) fn serve(&self, server: &Server) -> Result<()> {
        for request in server.incoming_requests() {
            let path = request.url().split(['?', '#']).next().unwrap_or_default();
            let name = if path == "/" { "index.html" } else { path.trim_start_matches('/') };
            let found = self.0.get(name).and_then(|bytes| Some((bytes, content_type(name)?)));
            let answered = match found {
                Some((bytes, kind)) => {
                    let mut response = Response::from_data(bytes.as_slice());
                    let headers = [("Content-Type", kind), ("Cache-Control", "no-cache")];
                    for (field, value) in headers {
                        let header = Header::from_bytes(field, value);
                        response.add_header(header.map_err(|()| anyhow!("a bad header"))?);
                    }
                    request.respond(response)
                }
                None => request.respond(Response::from_string("not here").with_status_code(404)),
            };
            // A browser that goes away while it is answered is none of the server's business.
            if let Err(error) = answered {
                eprintln!("an answer did not get through: {error}");
            }
        }
        Ok(())
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
    page.serve(&server)
}
