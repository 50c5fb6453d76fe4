//! The ways through a state's trees: to a node or body, and to a document in both of its trees.

use serde::Serialize;
use tailswap::Result;
use tailswap::btree::Token;
use tailswap::format::fields::text;
use tailswap::format::pointer::TreeKind;
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

use crate::look::{Looker, TREES, body_of, walk};
use crate::sim::Sim;
use crate::to_js;

/// Where a document is in a state: byte offsets, those of nodes from the root to its leaf.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct DocumentPlaces {
    pub id: String,
    pub by_seq: Vec<u64>,
    pub by_id: Vec<u64>,
    /// `None` for one without a body.
    pub body: Option<u64>,
}

impl Looker {
    /// The nodes from each root to what lies at a position, that included if it is a node.
    ///
    /// # Errors
    /// Damage on the way.
    pub fn path_to(&self, position: u64) -> Result<Vec<u64>> {
        let mut path = Vec::new();
        for tree in TREES {
            path.extend(self.path_in(tree, &|token| match token {
                Token::Subtree(pointer) => pointer.position == position,
                Token::Entry(key, value) => body_of(tree, key, value) == position,
            })?);
        }
        path.push(position);
        Ok(path)
    }

    /// Where the document with a sequence number is, if the state has it.
    ///
    /// # Errors
    /// Damage on the way.
    pub fn document_places(&self, seq: u64) -> Result<Option<DocumentPlaces>> {
        let Some(state) = self.state() else { return Ok(None) };
        let Some(info) = state.changes_since(seq)?.next().transpose()? else { return Ok(None) };
        if info.seq != seq {
            return Ok(None);
        }
        let key = seq.to_be_bytes();
        let is_seq =
            |token: Token<'_>| matches!(token, Token::Entry(found, _) if key.ends_with(found));
        let is_id =
            |token: Token<'_>| matches!(token, Token::Entry(found, _) if *found == *info.id);
        Ok(Some(DocumentPlaces {
            id: text(&info.id),
            by_seq: self.path_in(TreeKind::BySeq, &is_seq)?,
            by_id: self.path_in(TreeKind::ById, &is_id)?,
            body: Some(info.position).filter(|position| *position > 0),
        }))
    }

    /// The nodes around the first token that is wanted, from the root on.
    fn path_in(&self, tree: TreeKind, is_wanted: &dyn Fn(Token<'_>) -> bool) -> Result<Vec<u64>> {
        let Some(state) = self.state() else { return Ok(Vec::new()) };
        let (mut around, mut found) = (Vec::new(), Vec::new());
        walk(state, tree, &mut |node, depth, token| {
            around.truncate(depth.saturating_sub(1));
            if depth > 0 {
                around.push(node);
            }
            if found.is_empty() && is_wanted(token) {
                found = around.clone();
            }
        })?;
        Ok(found)
    }
}

/// Positions as numbers of JavaScript.
pub(crate) fn positions(path: Vec<u64>) -> Vec<f64> {
    path.into_iter().map(|position| position as f64).collect()
}

#[wasm_bindgen]
impl Sim {
    /// The nodes from each root to what lies at a byte of a file, right after an event.
    ///
    /// # Errors
    /// The file is not known, or damaged on the way.
    pub fn path(&self, file: usize, event: usize, byte: f64) -> Result<Vec<f64>, JsError> {
        Ok(positions(self.looker(file, event)?.path_to(byte as u64)?))
    }

    /// Where the document with a sequence number is in a file, right after an event, as an object.
    ///
    /// # Errors
    /// The file is not known, or damaged on the way.
    #[wasm_bindgen(js_name = documentPlaces)]
    pub fn document_places(&self, file: usize, event: usize, seq: f64) -> Result<JsValue, JsError> {
        to_js(&self.looker(file, event)?.document_places(seq as u64)?)
    }
}
