//! Puts the page into the binary, where `TAILSWAP_PAGE` names the folder into which it was built: what
//! `cargo xtask release` does. Without it the binary is built all the same, and has none.

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed=TAILSWAP_PAGE");
    let mut list = String::from("&[");
    if let Some(folder) = env::var_os("TAILSWAP_PAGE").map(PathBuf::from) {
        println!("cargo::rerun-if-changed={}", folder.display());
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            list += &format!("({name:?}, include_bytes!({path:?}).as_slice()),");
        }
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("page.rs"), list + "]")
}
