//! Documents as they are printed: a JSON object, or a line for people.

use std::io::Write;

use serde::Serialize;
use tailswap::format::docinfo::DocInfoRef;
use tailswap::format::rev_meta::RevMeta;

use super::json::{self, Hex, text_or_hex};
use super::style;
use super::text::{Bytes, Shown};
use crate::exit::Outcome;

/// Characters of an id and of a body on a line for people.
const SHOWN: usize = 100;

/// A body that was read, or that there is none; `None` where it was not asked for.
pub(crate) type MaybeBody<'a> = Option<Option<&'a [u8]>>;

#[derive(Serialize)]
struct JsonDocument<'a> {
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_hex: Option<Hex<'a>>,
    rev_seq: u64,
    deleted: bool,
    content_meta: u8,
    rev_meta: Hex<'a>,
    position: u64,
    physical_size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<usize>,
    /// The outer one tells whether the field is there, the inner one whether it is null.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_hex: Option<Hex<'a>>,
}

/// Writes a document as one JSON object.
pub(crate) fn write_json(
    out: &mut impl Write,
    info: DocInfoRef<'_>,
    body: MaybeBody<'_>,
) -> Outcome<()> {
    let (id, id_hex) = text_or_hex(info.id);
    let (text, body_hex) = match body {
        None => (None, None),
        Some(None) => (Some(None), None),
        Some(Some(bytes)) => {
            let (text, hex) = text_or_hex(bytes);
            (text.map(Some), hex)
        }
    };
    let document = JsonDocument {
        seq: info.seq,
        id,
        id_hex,
        rev_seq: info.rev_seq,
        deleted: info.deleted,
        content_meta: info.content_meta,
        rev_meta: Hex(info.rev_meta),
        position: info.position,
        physical_size: info.physical_size,
        size: body.map(|body| body.map_or(0, <[u8]>::len)),
        body: text,
        body_hex,
    };
    json::line(out, &document)
}

/// Writes a document as one line; sequence numbers are `width` digits wide.
pub(crate) fn write_line(
    out: &mut impl Write,
    info: DocInfoRef<'_>,
    body: MaybeBody<'_>,
    width: usize,
) -> Outcome<()> {
    let (heading, dim) = (style::HEADING, style::DIM);
    let size = body.map_or(info.physical_size, |body| body.map_or(0, |body| body.len() as u64));
    write!(
        out,
        "{:>width$}  {:>10}  {heading}{}{heading:#}",
        info.seq,
        Bytes(size),
        Shown(info.id, SHOWN)
    )?;
    if info.deleted {
        let bad = style::BAD;
        write!(out, "  {bad}deleted{bad:#}")?;
    }
    if let Some(meta) = RevMeta::decode(info.rev_meta)
        && meta.expiry != 0
        && !info.deleted
    {
        write!(out, "  {dim}expires {}{dim:#}", meta.expiry)?;
    }
    match body {
        Some(Some(body)) => writeln!(out, "  {}", Shown(body, SHOWN))?,
        Some(None) if !info.deleted => writeln!(out, "  {dim}no body{dim:#}")?,
        _ => writeln!(out)?,
    }
    Ok(())
}

#[derive(Serialize)]
struct JsonLocal<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_hex: Option<Hex<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_hex: Option<Hex<'a>>,
}

/// Writes a local document as one JSON object.
pub(crate) fn write_local_json(out: &mut impl Write, id: &[u8], value: &[u8]) -> Outcome<()> {
    let ((id, id_hex), (value, value_hex)) = (text_or_hex(id), text_or_hex(value));
    json::line(out, &JsonLocal { id, id_hex, value, value_hex })
}

/// Writes a local document as one line.
pub(crate) fn write_local_line(out: &mut impl Write, id: &[u8], value: &[u8]) -> Outcome<()> {
    let heading = style::HEADING;
    let size = Bytes(value.len() as u64);
    let (id, value) = (Shown(id, SHOWN), Shown(value, SHOWN));
    writeln!(out, "{size:>10}  {heading}{id}{heading:#}  {value}")?;
    Ok(())
}
