//! Serves the page on this machine: for `cargo xtask demo` from a folder, for `tailswap serve` from the
//! binary itself.
#![deny(missing_docs)]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, TcpListener};

use oxhttp::model::header::{CACHE_CONTROL, CONTENT_TYPE};
use oxhttp::model::{Body, HeaderValue, Response, StatusCode};
use oxhttp::{ListeningServer, Server};

/// Files of the page by name, as they are served.
pub type Files = BTreeMap<String, Cow<'static, [u8]>>;

/// A page that is being served, for as long as its process lives.
pub struct Served {
    server: ListeningServer,
    /// Where a browser finds it.
    pub address: String,
}

impl Served {
    /// Serves these files on this machine alone, at a port or, with 0, at any that is free.
    ///
    /// # Errors
    /// A port that is taken, or that may not be had.
    pub fn start(files: Files, port: u16) -> io::Result<Served> {
        let host = Ipv4Addr::LOCALHOST;
        let port = match port {
            0 => TcpListener::bind((host, 0))?.local_addr()?.port(),
            port => port,
        };
        let server = Server::new(move |request| answer(&files, request.uri().path()));
        let server = server.bind((host, port)).spawn()?;
        Ok(Served { server, address: format!("http://{host}:{port}/") })
    }

    /// Waits for the end of the server, which does not come by itself.
    ///
    /// # Errors
    /// A thread of the server that panicked.
    pub fn join(self) -> io::Result<()> {
        self.server.join()
    }
}

fn answer(files: &Files, path: &str) -> Response<Body> {
    let name = if path == "/" { "index.html" } else { path.trim_start_matches('/') };
    let found = files.get(name).and_then(|bytes| Some((bytes, content_type(name)?)));
    let mut response = Response::new(Body::empty());
    match found {
        Some((bytes, kind)) => {
            *response.body_mut() = Body::from(bytes.clone().into_owned());
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
        None => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    response
}

/// What a browser is told of a file, by its name; nothing of what is no part of a page.
pub fn content_type(name: &str) -> Option<&'static str> {
    Some(match name.rsplit_once('.')?.1 {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "wasm" => "application/wasm",
        _ => return None,
    })
}
