//! What the steps need beside Cargo, and how a fresh machine gets it.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

use crate::command::{cargo, find_program, program, root, run, succeeds};

/// The target of everything that runs in a browser.
pub(crate) const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// The version of cargo-deny that `deny.toml` is written for.
const CARGO_DENY_VERSION: &str = "0.20.2";
/// The version of cargo-fuzz that is used.
const CARGO_FUZZ_VERSION: &str = "0.13.2";
/// The version of cargo-llvm-cov that is used.
const CARGO_LLVM_COV_VERSION: &str = "0.9.1";
/// The version of axe-core that is asked.
const AXE_CORE_VERSION: &str = "4.14.1";
/// The version of cargo-mutants that `.cargo/mutants.toml` is written for.
const CARGO_MUTANTS_VERSION: &str = "27.1.0";

/// Sees to it that a component of the toolchain is there, which brings this subcommand.
pub(crate) fn component(name: &str, subcommand: &str) -> Result<()> {
    if succeeds(&mut cargo(&[subcommand, "--version"])) {
        return Ok(());
    }
    rustup(&["component", "add", name])
}

/// Sees to it that the compiler can compile for a browser.
pub(crate) fn wasm_target() -> Result<()> {
    if sysroot()?.join("lib/rustlib").join(WASM_TARGET).is_dir() {
        return Ok(());
    }
    rustup(&["target", "add", WASM_TARGET])
}

/// Flags for the compiler with which what it makes does not tell where this machine keeps sources.
pub(crate) fn without_machine_paths() -> Result<String> {
    let of_user = || env::home_dir().map(|home| home.join(".cargo"));
    let cargo = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(of_user);
    let standard = sysroot()?.join("lib/rustlib/src/rust/library");
    let sources = cargo.map(|cargo| cargo.join("registry/src")).into_iter().chain([standard]);
    // Separated as in CARGO_ENCODED_RUSTFLAGS, so that paths may hold spaces.
    let flags = sources.map(|path| format!("--remap-path-prefix={}=", path.display()));
    Ok(flags.collect::<Vec<_>>().join("\x1f"))
}

fn sysroot() -> Result<PathBuf> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = program(rustc, &["--print", "sysroot"]).output().context("cannot run rustc")?;
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

/// cargo-deny at the version named above.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    cargo_tool("cargo-deny", CARGO_DENY_VERSION, &["--version"])
}

/// cargo-fuzz at the version named above.
pub(crate) fn cargo_fuzz() -> Result<PathBuf> {
    cargo_tool("cargo-fuzz", CARGO_FUZZ_VERSION, &["fuzz", "--version"])
}

/// Sees to it that there is a nightly toolchain, whichever: only fuzz targets are built with it.
pub(crate) fn nightly() -> Result<()> {
    if succeeds(&mut program("rustup", &["run", "nightly", "rustc", "--version"])) {
        return Ok(());
    }
    rustup(&["toolchain", "install", "nightly", "--profile", "minimal"])
}

/// cargo-llvm-cov at the version named above.
pub(crate) fn cargo_llvm_cov() -> Result<PathBuf> {
    cargo_tool("cargo-llvm-cov", CARGO_LLVM_COV_VERSION, &["llvm-cov", "--version"])
}

/// cargo-mutants at the version named above.
pub(crate) fn cargo_mutants() -> Result<PathBuf> {
    cargo_tool("cargo-mutants", CARGO_MUTANTS_VERSION, &["mutants", "--version"])
}

/// A subcommand of Cargo's, which answers to `version` if it is there. It is built once per machine,
/// into the user's cache.
fn cargo_tool(name: &str, pinned: &str, version: &[&str]) -> Result<PathBuf> {
    let folder = cache()?.join("tools").join(format!("{name}-{pinned}"));
    let file = folder.join("bin").join(name);
    if !succeeds(&mut program(&file, version)) {
        println!("building {name} {pinned}; once per machine, some minutes");
        let mut cargo = cargo(&["install", "--locked", "--force", "--root"]);
        cargo.arg(&folder).args(["--version", pinned, name]);
        run(&mut cargo)?;
    }
    Ok(file)
}

/// The script that looks for what keeps people out of a page: axe-core, for tests only, from npm, at the
/// version named above.
pub(crate) fn axe_core() -> Result<PathBuf> {
    let folder = cache()?.join("tools").join(format!("axe-core-{AXE_CORE_VERSION}"));
    let file = folder.join("node_modules/axe-core/axe.min.js");
    if !file.is_file() {
        if find_program("npm").is_none() {
            apt_install(&["npm"])?;
        }
        let mut npm = program("npm", &["install", "--no-save", "--ignore-scripts", "--no-audit"]);
        npm.args(["--no-fund", "--prefix"]).arg(&folder);
        run(npm.arg(format!("axe-core@{AXE_CORE_VERSION}")))?;
    }
    Ok(file)
}

/// The program that runs tests in a browser: wasm-bindgen's, at the version in the lock file.
pub(crate) fn wasm_runner() -> Result<PathBuf> {
    own_tool("tailswap-wasm-runner")
}

/// The program that writes what a page imports, of the same version.
pub(crate) fn wasm_bindgen() -> Result<PathBuf> {
    own_tool("tailswap-wasm-bindgen")
}

fn own_tool(name: &str) -> Result<PathBuf> {
    run(&mut cargo(&["build", "--package", "tailswap-wasm-runner"]))?;
    // Cargo put it beside this program, which it built the same way.
    let this = env::current_exe().context("cannot tell where this program lies")?;
    let file = this.with_file_name(name);
    if !file.is_file() {
        bail!("{} is missing, although it was built just now", file.display());
    }
    Ok(file)
}

/// Where Cargo puts what it builds.
pub(crate) fn target_folder() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Installs Debian packages, or says what to install.
pub(crate) fn apt_install(packages: &[&str]) -> Result<()> {
    let by_hand = || {
        let packages = packages.join(" ");
        anyhow!("install {packages} (Debian, Ubuntu: `apt-get install {packages}`)")
    };
    find_program("apt-get").ok_or_else(by_hand)?;
    let mut prefix = Vec::new();
    if !is_root() {
        if !succeeds(&mut program("sudo", &["-n", "true"])) {
            return Err(by_hand().context("neither root nor sudo without a password"));
        }
        prefix.extend(["sudo", "-n"]);
    }
    prefix.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y"]);
    let apt = |args: &[&str]| program(prefix[0], &[&prefix[1..], args].concat());
    run(&mut apt(&["update"])).with_context(by_hand)?;
    let install = [&["install", "--no-install-recommends"], packages].concat();
    run(&mut apt(&install)).with_context(by_hand)
}

fn rustup(args: &[&str]) -> Result<()> {
    run(&mut program("rustup", args))
        .with_context(|| format!("this needs what `rustup {}` installs", args.join(" ")))
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn cache() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => env::home_dir().context("there is no home directory")?.join(".cache"),
    };
    Ok(base.join("tailswap"))
}
