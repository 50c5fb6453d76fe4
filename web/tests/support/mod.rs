//! What several tests of the page's data need.

use tailswap::format::fields::Field;

/// Fields follow on one another, from here to there.
pub(crate) fn assert_without_gap(fields: &[Field], start: u64, end: u64) {
    let mut at = start;
    for field in fields {
        assert_eq!(field.start, at, "{field:?}");
        at = field.end;
    }
    assert_eq!(at, end);
}
