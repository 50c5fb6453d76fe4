//! What a new process looked at after a crash, on the blocks themselves.

use super::Pen;
use super::ribbon::{Layout, draw_pin};
use crate::file_history::Class;
use crate::recovery::{Found, Recovery};
use crate::timeline::Doing;

/// A line under what was passed, and a pin on what was decided at.
pub(super) fn draw(pen: &Pen<'_>, layout: &Layout, recovery: &Recovery) {
    for looked in &recovery.looked {
        pen.fill(&layout.bands(looked.from, looked.to, 2.0), pen.theme.text);
        let (word, colour) = match looked.found {
            Found::Data => continue,
            Found::Uncommitted => ("not committed", pen.theme.class(Class::Header)),
            Found::Passed => ("not taken", pen.theme.class(Class::Header)),
            Found::Refused => ("refused", pen.theme.doing(Doing::TurnedAway)),
            Found::Taken => ("taken", pen.theme.class(Class::LiveBody)),
        };
        draw_pin(pen, layout, word, looked.from, colour);
    }
}
