//! The order of a module's functions: those that resemble one another stand side by side, because what
//! compresses a download finds again only what it met in its last 32 KiB. Of those that are the same,
//! there is one.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Range;

use anyhow::{Context, Result};
use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{CodeSection, FunctionSection, Module};
use wasmparser::{CodeSectionReader, FunctionSectionReader, Parser, Payload, TypeRef};

/// So many bytes in a row, if two functions have them, are a resemblance.
const PIECE_LEN: usize = 6;
/// What more functions than these have says nothing about any of them.
const OWNERS_MAX: usize = 40;
/// So many bytes of what was placed last still count.
const REACH: usize = 28 << 10;
/// Keeps functions of few bytes from being alike by accident.
const SMALLEST: usize = 100;

/// The module with its functions in another order.
pub(crate) fn reordered(module: &[u8]) -> Result<Vec<u8>> {
    let (mut imported, mut types, mut bodies) = (0, Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    imported += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                }
            }
            Payload::FunctionSection(functions) => {
                types = functions.into_iter().collect::<Result<Vec<_>, _>>()?;
            }
            Payload::CodeSectionEntry(body) => {
                bodies.push(module.get(body.range()).context("a function beyond the module")?);
            }
            _ => {}
        }
    }
    let mut distinct = BTreeMap::new();
    for (function, same) in types.iter().zip(&bodies).enumerate() {
        distinct.entry(same).or_insert_with(Vec::new).push(function);
    }
    let distinct = distinct.into_values().collect::<Vec<_>>();
    let firsts = distinct.iter().map(|same| bodies[same[0]]).collect::<Vec<_>>();
    let order = by_resemblance(&firsts);
    let mut places = vec![0; bodies.len()];
    for (place, same) in (imported..).zip(&order) {
        distinct[*same].iter().for_each(|function| places[*function] = place);
    }
    let order = order.into_iter().map(|same| distinct[same][0]).collect();
    let mut other = Module::new();
    Reordered { imported, order, places }.parse_core_module(&mut other, Parser::new(0), module)?;
    Ok(other.finish())
}

/// Copies a module but for where its functions are.
struct Reordered {
    /// Functions that come from outside: they have the first numbers, and keep them.
    imported: u32,
    /// Which function comes first, second and so on: one of those that are the same.
    order: Vec<usize>,
    /// The new number of each.
    places: Vec<u32>,
}

impl Reencode for Reordered {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, Error<Infallible>> {
        let own = function.checked_sub(self.imported);
        Ok(own.map_or(function, |own| self.places[own as usize]))
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        let types = section.into_iter().collect::<Result<Vec<_>, _>>()?;
        for old in &self.order {
            functions.function(types[*old]);
        }
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        let bodies = section.into_iter().collect::<Result<Vec<_>, _>>()?;
        for old in self.order.clone() {
            utils::parse_function_body(self, code, bodies[old].clone())?;
        }
        Ok(())
    }
}

/// One after the other, the function of which the largest part is in those before it.
fn by_resemblance(bodies: &[&[u8]]) -> Vec<usize> {
    let pieces = Pieces::of(bodies);
    let mut order = Vec::with_capacity(bodies.len());
    let mut left = (0..bodies.len()).collect::<Vec<_>>();
    // For each piece how often it is within reach, for each function how many such pieces it has.
    let (mut times, mut alike) = (vec![0_u32; pieces.owners.len()], vec![0_usize; bodies.len()]);
    let (mut begin, mut reach) = (0, 0);
    let largest = |at: &usize| Reverse(bodies[left[*at]].len());
    let mut next = (0..left.len()).min_by_key(largest);
    while let Some(at) = next {
        let function = left.remove(at);
        order.push(function);
        reach += bodies[function].len();
        for piece in &pieces.of_function[function] {
            times[*piece] += 1;
            if times[*piece] == 1 {
                pieces.owners_of(*piece).for_each(|owner| alike[owner] += 1);
            }
        }
        while reach > REACH {
            let function = order[begin];
            begin += 1;
            reach -= bodies[function].len();
            for piece in &pieces.of_function[function] {
                times[*piece] -= 1;
                if times[*piece] == 0 {
                    pieces.owners_of(*piece).for_each(|owner| alike[owner] -= 1);
                }
            }
        }
        // In millionths, so that every machine comes to the same order.
        let part = |at: &usize| {
            let function = left[*at];
            (alike[function] + 1) * 1_000_000 / (bodies[function].len() + SMALLEST)
        };
        next = (0..left.len()).min_by_key(|at| Reverse(part(at)));
    }
    order
}

/// The pieces that several functions have.
struct Pieces {
    /// Functions by piece.
    by_piece: Vec<usize>,
    /// Where those of each piece are.
    owners: Vec<Range<usize>>,
    /// Pieces by function.
    of_function: Vec<Vec<usize>>,
}

impl Pieces {
    fn of(bodies: &[&[u8]]) -> Pieces {
        let mut all = Vec::new();
        for (function, body) in bodies.iter().enumerate() {
            all.extend(body.windows(PIECE_LEN).map(|piece| (piece, function)));
        }
        all.sort_unstable();
        all.dedup();
        let mut pieces = Pieces {
            by_piece: all.iter().map(|(_, function)| *function).collect(),
            owners: Vec::new(),
            of_function: vec![Vec::new(); bodies.len()],
        };
        let mut end = 0;
        for same in all.chunk_by(|(piece, _), (other, _)| piece == other) {
            let begin = end;
            end += same.len();
            if (2..=OWNERS_MAX).contains(&same.len()) {
                same.iter().for_each(|(_, function)| {
                    pieces.of_function[*function].push(pieces.owners.len())
                });
                pieces.owners.push(begin..end);
            }
        }
        pieces
    }

    fn owners_of(&self, piece: usize) -> impl Iterator<Item = usize> {
        self.by_piece[self.owners[piece].clone()].iter().copied()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use wasm_encoder::{ExportKind, ExportSection, Function, TypeSection};

    #[test]
    fn what_is_alike_stands_together() {
        let bodies = [&b"a first function, long"[..], b"and 0123456789", b"a first function"];
        let order = by_resemblance(&bodies);
        assert_eq!(order, [0, 2, 1]);
    }

    #[test]
    fn every_function_has_a_place_however_far_the_first_are() {
        let long = (0_u32..50_000).flat_map(u32::to_le_bytes).collect::<Vec<_>>();
        let mut order = by_resemblance(&[&long, b"short", b"", &long, b"short"]);
        order.sort_unstable();
        assert_eq!(order, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn of_functions_that_are_the_same_there_is_one_which_all_names_lead_to() {
        let (mut types, mut functions) = (TypeSection::new(), FunctionSection::new());
        types.ty().function([], []);
        let (mut exports, mut code) = (ExportSection::new(), CodeSection::new());
        for (number, called) in [(0, None), (1, None), (2, Some(1)), (3, Some(0))] {
            functions.function(0);
            exports.export(&format!("f{number}"), ExportKind::Func, number);
            let mut function = Function::new([]);
            if let Some(called) = called {
                function.instructions().call(called);
            }
            function.instructions().end();
            code.function(&function);
        }
        let mut module = Module::new();
        module.section(&types).section(&functions).section(&exports).section(&code);
        let once = reordered(&module.finish()).unwrap();
        assert_eq!(exported(&once), [1, 1, 2, 0]);
        assert_eq!(exported(&reordered(&once).unwrap()), [1, 1, 0, 0]);
    }

    /// Which functions a module exports, by their names' order.
    fn exported(module: &[u8]) -> Vec<u32> {
        let payloads = Parser::new(0).parse_all(module).map(Result::unwrap);
        let exports = payloads.filter_map(|payload| match payload {
            Payload::ExportSection(exports) => Some(exports),
            _ => None,
        });
        exports.flatten().map(|export| export.unwrap().index).collect()
    }
}
