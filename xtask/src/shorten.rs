//! What only their authors need is taken out of scripts, styles and documents; names that nobody outside
//! a script can know become short.

use std::fs;
use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use oxc_allocator::Allocator;
use oxc_codegen::{Codegen, CodegenOptions};
use oxc_minifier::{Minifier, MinifierOptions};
use oxc_parser::Parser;
use oxc_span::SourceType;

/// Shortens the scripts, styles and documents of a folder.
pub(crate) fn shorten(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let shorten = match path.extension().and_then(|extension| extension.to_str()) {
            Some("js") => script,
            Some("css") => style,
            Some("html") => document,
            _ => continue,
        };
        let short = shorten(&fs::read_to_string(&path)?);
        fs::write(&path, short.map_err(|error| anyhow!("{}: {error}", path.display()))?)?;
    }
    Ok(())
}

/// A script of which nobody outside uses a name.
fn script(text: &str) -> Result<String> {
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, text, SourceType::mjs()).parse();
    ensure!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
    let mut program = parsed.program;
    let short = Minifier::new(MinifierOptions::default()).minify(&allocator, &mut program);
    let text = Codegen::new()
        .with_options(CodegenOptions::minify())
        .with_scoping(short.scoping)
        .with_private_member_mappings(short.class_private_mappings)
        .build(&program);
    Ok(text.code)
}

fn style(text: &str) -> Result<String> {
    Ok(minifier::css::minify(text).map_err(|error| anyhow!(error))?.to_string())
}

/// A document without the indents of its lines: it has no lines of text that stand as they are.
fn document(text: &str) -> Result<String> {
    Ok(text.lines().map(str::trim).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn own_names_become_short_and_those_of_others_stay() {
        let text = "// Why.\nconst counted = document.title.length;\nwindow.shown = { counted };\n";
        assert_eq!(
            script(text).unwrap(),
            "const e=document.title.length;window.shown={counted:e};"
        );
        let error = script("const = 1;").unwrap_err().to_string();
        assert!(error.contains("Unexpected token"), "{error}");
    }
}
