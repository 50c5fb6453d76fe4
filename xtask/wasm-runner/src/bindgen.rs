//! wasm-bindgen itself, of the version in the lock file: `tailswap-wasm-bindgen IN.wasm FOLDER`
//! writes the module and the script that a page imports.

mod names;
mod order;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let mut argument = |what: &str| arguments.next().with_context(|| format!("{what} is missing"));
    let (module, folder) = (argument("the module")?, PathBuf::from(argument("the folder")?));
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).out_name("tailswap").typescript(false);
    bindgen.remove_name_section(true).remove_producers_section(true);
    bindgen.web(true)?.generate(&folder)?;
    let file = folder.join("tailswap_bg.wasm");
    let script = folder.join("tailswap.js");
    let (mut module, short) = names::shortened(&fs::read(&file)?, &fs::read_to_string(&script)?)?;
    fs::write(script, short)?;
    let mut length = usize::MAX;
    // Functions that call what turned out to be the same may be the same, too.
    while module.len() < length {
        length = module.len();
        module = order::reordered(&module)?;
    }
    Ok(fs::write(&file, module)?)
}
