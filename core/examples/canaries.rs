//! Lists the bugs that can be planted, one a line: the bug, the test binary and the test in it that is
//! to catch it. For `cargo xtask test`.

use tailswap::canary::Canary;

fn main() {
    for (canary, suite, test) in Canary::ALL {
        println!("{canary:?} {suite} {test}");
    }
}
