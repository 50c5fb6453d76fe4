//! The test runner of wasm-bindgen, built from this workspace's lock file, so that it always has
//! the version of the `wasm-bindgen` that the tests are linked with.
//!
//! `cargo xtask test` names it to Cargo as the runner of `wasm32-unknown-unknown`. It is a crate of
//! its own so that building `xtask` stays quick.

fn main() -> anyhow::Result<()> {
    wasm_bindgen_cli::wasm_bindgen_test_runner::run_cli_with_args(std::env::args_os())
}
