//! The command as a person meets it: what it prints and how it exits.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Output};

fn tailswap(args: &[&str]) -> io::Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_tailswap")).args(args).output()
}

#[test]
fn version_goes_to_standard_output() {
    let output = tailswap(&["--version"]).unwrap();
    assert_eq!(output.status.code(), Some(0));
    let expected = format!("tailswap {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

#[test]
fn help_goes_to_standard_output() {
    let output = tailswap(&["--help"]).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("Usage: tailswap"));
}

#[test]
fn wrong_usage_exits_with_2_and_says_so_on_standard_error() {
    for args in [&["--no-such-option"][..], &[][..]] {
        let output = tailswap(args).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("Usage: tailswap"), "{args:?}");
    }
}

#[test]
fn a_page_that_cannot_be_served_is_told() {
    // A port that is taken: whichever way the binary was built, this comes to an end.
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = tailswap(&["serve", "--port", &port]).unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(1) => assert!(told.contains("built without the page"), "{told}"),
        Some(4) => assert!(told.contains(&port) && told.contains("cannot listen"), "{told}"),
        code => panic!("exit code {code:?}: {told}"),
    }
}
