//! One line: `{"op":"set","key":…,"value":…}` and its like.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tailswap::Error;
use tailswap::flusher::queue::Mutation;
use tailswap::format::names::{DEFAULT_COLLECTION, prefixed_id};
use tailswap::format::rev_meta::DATATYPE_JSON;
use tailswap::limits::{BODY_LEN_MAX, ID_LEN_MAX};

/// A change of a document, and the vbucket it is for if the line says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) vb: Option<u16>,
    pub(crate) mutation: Mutation,
}

impl Change {
    /// The key, without its collection's prefix.
    pub(crate) fn key(&self) -> &[u8] {
        // The default collection's prefix is one byte.
        self.mutation.id.get(1..).unwrap_or_default()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    op: Op,
    #[serde(borrow)]
    key: Cow<'a, str>,
    /// Told apart: no value, and the value `null`.
    #[serde(borrow, default, deserialize_with = "there")]
    value: Option<&'a RawValue>,
    #[serde(borrow, default)]
    value_b64: Option<Cow<'a, str>>,
    #[serde(default)]
    vb: Option<u16>,
    #[serde(default)]
    expiry: u32,
    #[serde(default)]
    flags: u32,
    #[serde(default)]
    cas: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Op {
    Set,
    Delete,
}

fn there<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(from).map(Some)
}

/// Reads one line; the error says what is wrong with it.
pub(crate) fn parse_line(line: &[u8]) -> Result<Change, String> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(|error| without_line(&error))?;
    if line.key.is_empty() {
        return Err("the key is empty".to_owned());
    }
    let id = prefixed_id(DEFAULT_COLLECTION, line.key.as_bytes());
    check("document id's length", id.len(), ID_LEN_MAX)?;
    let (value, datatype) = match (line.op, line.value, line.value_b64) {
        (Op::Delete, None, None) => (None, 0),
        (Op::Delete, ..) => return Err("a delete takes no value".to_owned()),
        (Op::Set, Some(json), None) => (Some(Bytes::from(compact_json(json.get()))), DATATYPE_JSON),
        (Op::Set, None, Some(text)) => {
            let bytes = data_encoding::BASE64.decode(text.as_bytes());
            let bytes = bytes.map_err(|error| format!("value_b64 is not base64: {error}"))?;
            (Some(Bytes::from(bytes)), 0)
        }
        (Op::Set, None, None) => return Err("a set needs a value or value_b64".to_owned()),
        (Op::Set, Some(_), Some(_)) => {
            return Err("value and value_b64 exclude each other".to_owned());
        }
    };
    check("document body's length", value.as_ref().map_or(0, Bytes::len), BODY_LEN_MAX)?;
    let mutation = Mutation {
        id,
        value,
        deleted: line.op == Op::Delete,
        cas: line.cas,
        expiry: line.expiry,
        flags: line.flags,
        datatype,
        seq: None,
    };
    Ok(Change { vb: line.vb, mutation })
}

fn check(what: &'static str, length: usize, max: usize) -> Result<(), String> {
    if length <= max {
        return Ok(());
    }
    Err(Error::TooLarge { what, value: length as u64, max: max as u64 }.to_string())
}

/// What serde says, without its "at line 1": there is only one, and the caller knows its number.
fn without_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(what) => format!("{what} (column {})", error.column()),
        None => text,
    }
}

/// JSON text without the white space between its tokens; numbers, escapes and the order of keys stay
/// as they are. `json` must be well-formed.
pub(crate) fn compact_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while !rest.is_empty() {
        // Outside of strings.
        let quote = rest.find('"').unwrap_or(rest.len());
        let (between, from_quote) = rest.split_at(quote);
        out.extend(between.split([' ', '\t', '\r', '\n']));
        let length = string_length(from_quote);
        out.push_str(&from_quote[..length]);
        rest = &from_quote[length..];
    }
    out
}

/// Bytes of the JSON string that `text` begins with, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value_of(line: &str) -> Bytes {
        parse_line(line.as_bytes()).unwrap().mutation.value.unwrap()
    }

    fn fault_of(line: &str) -> String {
        parse_line(line.as_bytes()).unwrap_err()
    }

    #[test]
    fn a_set_with_everything() {
        let line = r#"{"op":"set","key":"k","value":{"a":1},"vb":7,"expiry":5,"flags":6,"cas":9}"#;
        let change = parse_line(line.as_bytes()).unwrap();
        assert_eq!((change.vb, change.key()), (Some(7), &b"k"[..]));
        let mutation = change.mutation;
        assert_eq!(mutation.id, b"\0k");
        assert_eq!(mutation.value.as_deref(), Some(&br#"{"a":1}"#[..]));
        assert_eq!((mutation.expiry, mutation.flags, mutation.cas), (5, 6, 9));
        assert_eq!((mutation.deleted, mutation.datatype), (false, DATATYPE_JSON));
    }

    #[test]
    fn a_delete() {
        let change = parse_line(br#" {"op":"delete","key":"k"} "#).unwrap();
        assert!(change.mutation.deleted);
        assert_eq!(change.mutation.value, None);
    }

    #[test]
    fn values_keep_their_text_but_for_white_space() {
        let text =
            "{ \"z\" : 1.50 ,\t\"a\":[ 12345678901234567890123, 1e400 , \"a \\\" b\\\\\" ] }";
        let compact = r#"{"z":1.50,"a":[12345678901234567890123,1e400,"a \" b\\"]}"#;
        assert_eq!(value_of(&format!(r#"{{"op":"set","key":"k","value":{text}}}"#)), compact);
        for plain in ["null", "true", "-0.0", r#""\u00e9 é""#, "[]"] {
            let line = format!(r#"{{"key":"k","value":{plain},"op":"set"}}"#);
            assert_eq!(value_of(&line), plain);
        }
    }

    #[test]
    fn values_of_bytes() {
        let change = parse_line(br#"{"op":"set","key":"k","value_b64":"AP8="}"#).unwrap();
        assert_eq!(change.mutation.value.as_deref(), Some(&[0, 255][..]));
        assert_eq!(change.mutation.datatype, 0);
        assert_eq!(value_of(r#"{"op":"set","key":"k","value_b64":""}"#), "");
    }

    #[test]
    fn bad_lines_say_what_is_wrong() {
        assert_eq!(
            fault_of(r#"{"op":"set","key":"k","value":{}"#),
            "EOF while parsing an object (column 32)"
        );
        assert!(fault_of(r#"{"op":"put","key":"k","value":1}"#).contains("unknown variant `put`"));
        assert!(fault_of(r#"{"op":"set","value":1}"#).contains("missing field `key`"));
        assert!(fault_of(r#"{"op":"delete","key":"k","ttl":1}"#).contains("unknown field `ttl`"));
        assert!(fault_of(r#"{"op":"delete","key":"k","vb":70000}"#).contains("70000"));
        assert_eq!(fault_of(r#"{"op":"set","key":"k"}"#), "a set needs a value or value_b64");
        assert_eq!(fault_of(r#"{"op":"set","key":"","value":1}"#), "the key is empty");
        assert_eq!(fault_of(r#"{"op":"delete","key":"k","value":1}"#), "a delete takes no value");
        let both = r#"{"op":"set","key":"k","value":1,"value_b64":""}"#;
        assert_eq!(fault_of(both), "value and value_b64 exclude each other");
        assert!(fault_of(r#"{"op":"set","key":"k","value_b64":"x"}"#).contains("not base64"));
        let long = format!(r#"{{"op":"delete","key":"{}"}}"#, "k".repeat(4095));
        let expected = "document id's length is 4096, more than the 4095 that the format can hold";
        assert_eq!(fault_of(&long), expected);
    }
}
