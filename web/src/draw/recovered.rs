//! What a new process looked at after a crash, on the blocks themselves.

use tailswap::limits::BLOCK_SIZE;

use super::Pen;
use super::ribbon::Layout;
use crate::recovery::{Found, Recovery};

/// A line under what was passed, and a frame around what was decided at.
pub(super) fn draw(pen: &Pen<'_>, layout: &Layout, recovery: &Recovery) {
    for looked in &recovery.looked {
        pen.fill(&layout.bands(looked.from, looked.to, 2.0), pen.theme.text);
        let colour = match looked.found {
            Found::Data => continue,
            Found::Uncommitted | Found::Passed => pen.theme.muted,
            Found::Refused => pen.theme.danger,
            Found::Taken => pen.theme.accent,
        };
        pen.outline(layout.cell_of(looked.from / BLOCK_SIZE), colour, 3.0);
    }
}
