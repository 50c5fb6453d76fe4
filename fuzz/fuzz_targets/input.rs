//! Input as choices.

use tailswap::sim::Choices;

const GOLDEN: [&[u8]; 4] = [
    include_bytes!("../../core/tests/golden/ten_docs.couch"),
    include_bytes!("../../core/tests/golden/deletes.couch"),
    include_bytes!("../../core/tests/golden/local_emptied.couch"),
    include_bytes!("../../core/tests/golden/legacy_v11.couch"),
];

/// Choices, and the golden file that they begin with.
pub(crate) fn begin(input: &[u8]) -> (Choices, &'static [u8]) {
    // Most choices are between few possibilities: a byte is a small number, or announces a long one.
    let mut list = Vec::new();
    let mut rest = input.iter();
    while let Some(byte) = rest.next() {
        list.push(match byte {
            0..0x80 => usize::from(byte & 0x0f),
            0x80..0xe0 => usize::from(*byte) * 0x61 % 0x100,
            _ => rest.by_ref().take(2).fold(0, |number, byte| number << 8 | usize::from(*byte)),
        });
    }
    let mut choices = Choices::replayed(list);
    let golden = GOLDEN[choices.choose(GOLDEN.len())];
    (choices, golden)
}
