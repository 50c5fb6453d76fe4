//! What lies at a place of a file: which bytes mean what, what they say once they are inflated, who
//! wrote them, and what points at them.

use std::sync::Arc;

use serde::Serialize;
use tailswap::btree::Token;
use tailswap::event::{Content, FileName};
use tailswap::format::block;
use tailswap::format::checksum::Checksum;
use tailswap::format::chunk::HEAD_LEN;
use tailswap::format::docinfo::{DocInfo, DocInfoRef};
use tailswap::format::fields::{Field, chunk_head_fields, header_fields, node_fields, text};
use tailswap::format::header::{Header, HeaderFault};
use tailswap::format::pointer::TreeKind;
use tailswap::format::snappy;
use tailswap::limits::{BODY_LEN_MAX, NODE_LEN_MAX};
use tailswap::store::{OpenMode, Snapshot, at_offset, find_newest};
use tailswap::{Damage, Result};

use crate::own::HeldBytes;

/// What is known of a stretch of a file beside its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// Byte offset.
    pub start: u64,
    /// Byte offset behind it.
    pub end: u64,
    /// What was appended there.
    pub content: Content,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Look {
    pub start: u64,
    pub end: u64,
    /// What it is, in a word or two.
    pub what: String,
    /// Fields at their places in the file.
    pub fields: Vec<Field>,
    /// Fields of the uncompressed content, at their places there.
    pub inside: Vec<Field>,
    /// The document whose body it is.
    pub document: Option<String>,
    /// What points here, in the state that is looked at.
    pub pointed_at_by: Vec<Pointing>,
    /// What is wrong with it.
    pub damage: Option<String>,
}

/// What points at a place.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Pointing {
    /// Byte offset of what points.
    pub position: u64,
    pub what: String,
}

/// The nodes of a state's trees.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Trees {
    pub nodes: Vec<TreeNode>,
    /// How many there are.
    pub count: usize,
}

/// A node of a state's trees.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct TreeNode {
    pub tree: &'static str,
    pub position: u64,
    /// 0 for a root.
    pub depth: usize,
    pub entries: usize,
    pub is_leaf: bool,
}

/// A file's bytes at a moment, and the state that is looked at, if there was one.
#[derive(Debug)]
pub struct Looker {
    bytes: HeldBytes,
    state: Option<Snapshot>,
}

impl Looker {
    /// Looks into these bytes; `header` is the byte offset of the newest header, if there is one.
    ///
    /// # Errors
    /// There is no header at that offset.
    pub fn new(name: &str, bytes: Vec<u8>, header: Option<u64>) -> Result<Looker> {
        let name = FileName::from(name);
        let bytes = HeldBytes::new(bytes);
        let device = Arc::new(bytes.clone());
        let state = |header| at_offset(&find_newest(&name, device, OpenMode::Recovery)?.0, header);
        let state = match header.map(state) {
            // What lies around it can be looked at all the same.
            Some(Err(error)) if error.is_damage() => None,
            state => state.transpose()?,
        };
        Ok(Looker { bytes, state })
    }

    /// Looks into bytes in which a state was found, or none.
    pub(crate) fn of(bytes: HeldBytes, state: Option<Snapshot>) -> Looker {
        Looker { bytes, state }
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.all()
    }

    /// The state that is looked at, if there was one.
    pub(crate) fn state(&self) -> Option<&Snapshot> {
        self.state.as_ref()
    }

    /// What lies there.
    pub fn look(&self, piece: Piece) -> Look {
        let Piece { start, end, content } = piece;
        let mut look = Look { start, end, what: name_of(content), ..Look::default() };
        let raw = self.bytes.between(start, end);
        match content {
            Content::Header => {
                look.fields = header_fields(raw);
                look.damage = header_damage(raw, start);
                for field in &mut look.fields {
                    (field.start, field.end) = (start + field.start, start + field.end);
                }
            }
            Content::Slack => {}
            Content::Body { .. } | Content::BySeqNode | Content::ByIdNode | Content::LocalNode => {
                self.look_into_chunk(&mut look, raw, content);
            }
        }
        match self.pointing_at(start) {
            Ok(pointing) => look.pointed_at_by = pointing,
            Err(error) => look.damage = Some(error.to_string()),
        }
        look
    }

    fn look_into_chunk(&self, look: &mut Look, raw: &[u8], content: Content) {
        let start = look.start;
        let mut payload = Vec::new();
        block::strip(start, raw, &mut payload);
        let (head, body) = payload.split_at(HEAD_LEN.min(payload.len()));
        // Payload that begins with a block begins behind the block's type, but shows with it.
        let place = |payload: u64| match payload {
            0 => start,
            payload => block::advance(start, payload),
        };
        look.fields.extend(chunk_head_fields(head).into_iter().map(|field| Field {
            start: place(field.start),
            end: place(field.end),
            ..field
        }));
        let stored = head.last_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        let is_right = |kind: Checksum| Some(kind.of(body)) == stored;
        if !is_right(Checksum::Crc32c) && !is_right(Checksum::Crc32) {
            look.damage = Some("the checksum is not that of the body".to_owned());
        }
        let length = head.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        if length.is_some_and(|length| u64::from(length & 0x7fff_ffff) != body.len() as u64) {
            look.damage = Some("the length is not that of the body".to_owned());
        }
        look.fields.push(Field {
            start: place(HEAD_LEN as u64),
            end: look.end,
            part_of: String::new(),
            name: "body",
            value: format!("{} bytes", body.len()),
            points_at: None,
        });
        let document = self.document(start, content);
        look.document = document.as_ref().map(|info| text(&info.id));
        match (inflate(body, content, document.as_ref()), tree_of(content)) {
            (Ok(Some(node)), Some(tree)) => {
                look.inside = node_fields(&node, tree);
            }
            (Ok(Some(inflated)), None) => look.inside.push(Field {
                start: 0,
                end: inflated.len() as u64,
                part_of: String::new(),
                name: "document",
                value: format!("{} bytes", inflated.len()),
                points_at: None,
            }),
            (Ok(None), _) => {}
            (Err(damage), _) => look.damage = Some(damage.to_string()),
        }
    }

    /// The uncompressed content of a node or a body; what cannot be inflated as it is.
    pub fn inflated(&self, piece: Piece) -> Vec<u8> {
        let raw = self.bytes.between(piece.start, piece.end);
        let mut payload = Vec::new();
        block::strip(piece.start, raw, &mut payload);
        let body = payload.split_off(HEAD_LEN.min(payload.len()));
        let document = self.document(piece.start, piece.content);
        let inflated = inflate(&body, piece.content, document.as_ref());
        inflated.ok().flatten().unwrap_or(body)
    }

    /// The document whose body it is, if the state has it.
    fn document(&self, start: u64, content: Content) -> Option<DocInfo> {
        let Content::Body { seq } = content else { return None };
        let mut changes = self.state.as_ref()?.changes_since(seq).ok()?;
        // After a rollback numbers come again.
        changes.next()?.ok().filter(|info| info.seq == seq && info.position == start)
    }

    /// What of the state points at a position, nodes before their children.
    fn pointing_at(&self, position: u64) -> Result<Vec<Pointing>> {
        let Some(state) = &self.state else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for tree in TREES {
            if state.header().root(tree).is_some_and(|root| root.position == position) {
                let what = format!("the header, as its {} root", tree.name());
                found.push(Pointing { position: state.position(), what });
            }
            walk(state, tree, &mut |node, depth, token| {
                let target = match token {
                    Token::Subtree(pointer) => pointer.position,
                    Token::Entry(key, value) => body_of(tree, key, value),
                };
                if target == position && depth > 0 {
                    let what = format!("a node of the {} tree", tree.name());
                    found.push(Pointing { position: node, what });
                }
            })?;
        }
        Ok(found)
    }

    /// The nodes of the state's trees, parents before their children, the first `most` of each; and
    /// how many there are.
    ///
    /// # Errors
    /// Damage on the way.
    pub fn tree(&self, most: usize) -> Result<Trees> {
        let mut trees = Trees::default();
        let Some(state) = &self.state else { return Ok(trees) };
        for tree in TREES {
            let name = tree.name();
            let mut nodes: Vec<TreeNode> = Vec::new();
            walk(state, tree, &mut |node, depth, token| {
                if let Token::Subtree(pointer) = token {
                    nodes.push(TreeNode {
                        tree: name,
                        position: pointer.position,
                        depth,
                        entries: 0,
                        is_leaf: true,
                    });
                }
                let of_it = |seen: &&mut TreeNode| seen.position == node;
                if let Some(parent) = nodes.iter_mut().rev().find(of_it) {
                    parent.entries += 1;
                    parent.is_leaf = matches!(token, Token::Entry(..));
                }
            })?;
            trees.count += nodes.len();
            nodes.truncate(most);
            trees.nodes.extend(nodes);
        }
        Ok(trees)
    }
}

pub(crate) const TREES: [TreeKind; 3] = [TreeKind::BySeq, TreeKind::ById, TreeKind::Local];

/// Calls `see` for everything in a tree, with the position of the node that it is in and how many
/// nodes are around it.
pub(crate) fn walk(
    state: &Snapshot,
    tree: TreeKind,
    see: &mut dyn FnMut(u64, usize, Token<'_>),
) -> Result<()> {
    let mut walk = state.walk(tree);
    while let Some(token) = walk.peek()? {
        see(walk.node_position().unwrap_or_default(), walk.depth(), token);
        match token {
            Token::Subtree(_) => walk.descend()?,
            Token::Entry(..) => walk.skip(),
        }
    }
    Ok(())
}

/// Where an entry's body is; 0 for none.
pub(crate) fn body_of(tree: TreeKind, key: &[u8], value: &[u8]) -> u64 {
    let info = match tree {
        TreeKind::BySeq => DocInfoRef::decode_by_seq(key, value),
        TreeKind::ById => DocInfoRef::decode_by_id(key, value),
        TreeKind::Local => return 0,
    };
    info.map_or(0, |info| info.position)
}

/// What is wrong with a header that begins there, if it is one.
fn header_damage(raw: &[u8], start: u64) -> Option<String> {
    match Header::decode_block(raw, start) {
        Err(HeaderFault::Damage(damage)) if raw.first() != Some(&block::DATA) => {
            Some(damage.to_string())
        }
        _ => None,
    }
}

/// What is compressed, inflated; `None` for what is not.
fn inflate(
    body: &[u8],
    content: Content,
    document: Option<&DocInfo>,
) -> std::result::Result<Option<Vec<u8>>, Damage> {
    if tree_of(content).is_some() {
        return snappy::inflate(body, NODE_LEN_MAX, "tree node").map(Some);
    }
    let is_compressed = document.is_some_and(|info| info.as_ref().is_compressed());
    let inflate = || snappy::inflate(body, BODY_LEN_MAX, "document body");
    is_compressed.then(inflate).transpose()
}

fn tree_of(content: Content) -> Option<TreeKind> {
    match content {
        Content::BySeqNode => Some(TreeKind::BySeq),
        Content::ByIdNode => Some(TreeKind::ById),
        Content::LocalNode => Some(TreeKind::Local),
        Content::Body { .. } | Content::Header | Content::Slack => None,
    }
}

fn name_of(content: Content) -> String {
    match content {
        Content::Header => "header".to_owned(),
        Content::Body { seq: 0 } => "body of a document".to_owned(),
        Content::Body { seq } => format!("body of sequence number {seq}"),
        Content::BySeqNode => "node of the by-seq tree".to_owned(),
        Content::ByIdNode => "node of the by-id tree".to_owned(),
        Content::LocalNode => "node of the local tree".to_owned(),
        Content::Slack => "nothing: the rest of a block".to_owned(),
    }
}
