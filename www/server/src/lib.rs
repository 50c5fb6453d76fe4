//! Serves the page on this machine: for `cargo xtask demo` from a folder, for `tailswap serve` from the
//! binary itself.
#![deny(missing_docs)]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, TcpListener};

use oxhttp::model::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use oxhttp::model::{Body, HeaderMap, HeaderValue, Response, StatusCode};
use oxhttp::{ListeningServer, Server};

/// Files of the page by name. What `NAME.gz` holds is served as `NAME` to whoever takes it compressed.
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
        let server =
            Server::new(move |request| answer(&files, request.uri().path(), request.headers()));
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

fn answer(files: &Files, path: &str, asked: &HeaderMap) -> Response<Body> {
    let name = if path == "/" { "index.html" } else { path.trim_start_matches('/') };
    let mut response = Response::new(Body::empty());
    let Some((plain, kind)) = files.get(name).zip(content_type(name)) else {
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    let compressed = files.get(&compressed_name(name)).filter(|_| takes_gzip(asked));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if compressed.is_some() {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    *response.body_mut() = Body::from(compressed.unwrap_or(plain).clone().into_owned());
    response
}

/// What a file is called compressed.
pub fn compressed_name(name: &str) -> String {
    format!("{name}.gz")
}

/// Whether gzip is among what is taken, as browsers write it; others get what they understand for certain.
fn takes_gzip(asked: &HeaderMap) -> bool {
    let mut lists = asked.get_all(ACCEPT_ENCODING).iter().filter_map(|list| list.to_str().ok());
    lists.any(|list| list.split(',').any(|coding| coding.trim() == "gzip"))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn compressed_is_sent_what_was_compressed_to_whoever_takes_it() {
        let files = [("main.js", "plain"), ("main.js.gz", "packed"), ("style.css", "plain")];
        let files = files.map(|(name, text)| (name.to_owned(), Cow::Borrowed(text.as_bytes())));
        let files = Files::from(files);
        let mut asked = HeaderMap::new();
        let sent = |path: &str, asked: &HeaderMap| {
            let response = answer(&files, path, asked);
            let coding = response.headers().get(CONTENT_ENCODING).cloned();
            (response.into_body().to_string().unwrap(), coding)
        };
        assert_eq!(sent("/main.js", &asked), ("plain".to_owned(), None));
        asked.insert(ACCEPT_ENCODING, HeaderValue::from_static("deflate, gzip;q=0"));
        assert_eq!(sent("/main.js", &asked), ("plain".to_owned(), None));
        asked.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate, br, zstd"));
        let gzip = Some(HeaderValue::from_static("gzip"));
        assert_eq!(sent("/main.js", &asked), ("packed".to_owned(), gzip));
        assert_eq!(sent("/style.css", &asked), ("plain".to_owned(), None));
        assert_eq!(answer(&files, "/main.js.gz", &asked).status(), StatusCode::NOT_FOUND);
    }
}
