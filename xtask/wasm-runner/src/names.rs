//! The names by which a module and its script know one another: wasm-bindgen's tell people what they are,
//! and hold hashes, which nothing makes smaller; the page downloads each of them twice.

use std::collections::BTreeMap;
use std::convert::Infallible;

use anyhow::{Result, ensure};
use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{ExportSection, ImportSection, Module};
use wasmparser::{Export, ExternalKind, Import, ImportSectionReader, Parser, Payload};

/// What the script calls what the module exports.
const EXPORTS: &str = "wasm.";

/// The module and its script with names of a letter or two.
pub(crate) fn shortened(module: &[u8], script: &str) -> Result<(Vec<u8>, String)> {
    let (imports, exports) = names(module)?;
    let mut script = script.to_owned();
    let imports = numbered(imports);
    for (name, short) in &imports {
        let once = script.matches(name).count() == 1;
        ensure!(once, "the script does not name {name:?} once");
        script = script.replace(name, short);
    }
    let exports = numbered(exports);
    let mut parts = script.split(EXPORTS);
    let mut other = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(part.len());
        let (name, rest) = part.split_at(end);
        other += EXPORTS;
        other += exports.get(name).map_or(name, |short| short);
        other += rest;
    }
    let mut renamed = Module::new();
    Renamed { imports, exports }.parse_core_module(&mut renamed, Parser::new(0), module)?;
    Ok((renamed.finish(), other))
}

/// Names of what a module imports, and of the functions that it exports: its memory is known to others
/// than its script.
fn names(module: &[u8]) -> Result<(Vec<String>, Vec<String>)> {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    imports.push(import?.name.to_owned());
                }
            }
            Payload::ExportSection(section) => {
                let all = section.into_iter().collect::<Result<Vec<_>, _>>()?;
                let functions = all.iter().filter(|export| export.kind == ExternalKind::Func);
                exports.extend(functions.map(|export| export.name.to_owned()));
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

/// A short name for each.
fn numbered(names: Vec<String>) -> BTreeMap<String, String> {
    let letters = || ('a'..='z').chain('A'..='Z');
    let short = letters().map(String::from);
    let pairs = letters().flat_map(|first| letters().map(move |second| [first, second]));
    names.into_iter().zip(short.chain(pairs.map(String::from_iter))).collect()
}

/// Copies a module but for the names of what goes in and out.
struct Renamed {
    imports: BTreeMap<String, String>,
    exports: BTreeMap<String, String>,
}

impl Reencode for Renamed {
    type Error = Infallible;

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: ImportSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        for import in section.into_imports() {
            let import = import?;
            let name = self.imports[import.name].clone();
            utils::parse_import(self, imports, Import { name: &name, ..import })?;
        }
        Ok(())
    }

    fn parse_export(
        &mut self,
        exports: &mut ExportSection,
        export: Export<'_>,
    ) -> Result<(), Error<Infallible>> {
        let name = self.exports.get(export.name).map_or(export.name, |short| short).to_owned();
        utils::parse_export(self, exports, Export { name: &name, ..export })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use wasm_encoder::{EntityType, ExportKind, TypeSection};

    #[test]
    fn a_module_and_its_script_have_the_same_short_names() {
        let (mut types, mut imports) = (TypeSection::new(), ImportSection::new());
        types.ty().function([], []);
        imports.import("./page.js", "__wbg_set_01ab", EntityType::Function(0));
        let mut exports = ExportSection::new();
        exports.export("sim", ExportKind::Func, 0).export("sim_new", ExportKind::Func, 0);
        exports.export("memory", ExportKind::Memory, 0);
        let mut module = Module::new();
        module.section(&types).section(&imports).section(&exports);
        let module = module.finish();
        let script = "{ __wbg_set_01ab: set } wasm.sim_new(wasm.sim, sim_new); wasm.memory";
        let (short, script) = shortened(&module, script).unwrap();
        assert_eq!(script, "{ a: set } wasm.b(wasm.a, sim_new); wasm.memory");
        assert_eq!(
            names(&short).unwrap(),
            (vec!["a".to_owned()], vec!["a".to_owned(), "b".to_owned()])
        );
        assert!(shortened(&module, "no import is named").is_err());
    }

    #[test]
    fn no_two_names_are_the_same() {
        let names = numbered((0..1000).map(|name| name.to_string()).collect());
        let mut short = names.values().collect::<Vec<_>>();
        short.sort();
        short.dedup();
        assert_eq!(short.len(), 1000);
    }
}
