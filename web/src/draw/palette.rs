//! Colours, hatching and letters: nothing is told apart by its colour alone.

use tailswap::event::Actor;

use crate::file_history::Class;
use crate::timeline::Doing;

/// The colours of one theme.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub(crate) struct Theme {
    pub(crate) ground: &'static str,
    pub(crate) text: &'static str,
    pub(crate) muted: &'static str,
    pub(crate) grid: &'static str,
    pub(crate) accent: &'static str,
    pub(crate) danger: &'static str,
    /// What is written on a coloured cell.
    pub(crate) ink: &'static str,
    classes: [&'static str; Class::ALL.len()],
    flusher: &'static str,
    compactor: &'static str,
    disk: &'static str,
    /// Bars of who waits and of what happens under the lock, which carry ink.
    waiting: &'static str,
    locked: &'static str,
    readers: &'static str,
}

const DARK: Theme = Theme {
    ground: "#101418",
    text: "#e8ecf0",
    muted: "#9aa7b4",
    grid: "#2a333d",
    accent: "#ffd166",
    danger: "#ff7b6b",
    ink: "#0b0e11",
    classes: [
        "#f0e442", "#2fbf8f", "#3b444d", "#56b4e9", "#e69f00", "#d58ab8", "#3b444d", "#1b2127",
        "#ff7b6b",
    ],
    flusher: "#56b4e9",
    compactor: "#e69f00",
    disk: "#8fa3b8",
    waiting: "#ff7b6b",
    locked: "#ffd166",
    readers: "#d58ab8",
};

const LIGHT: Theme = Theme {
    ground: "#ffffff",
    text: "#14191f",
    muted: "#55616e",
    grid: "#d7dde3",
    accent: "#9a5b00",
    danger: "#b3261e",
    ink: "#0b0e11",
    classes: [
        "#e3cf00", "#3fc79a", "#c9d0d7", "#6cbcf0", "#f0a92b", "#dd9cc4", "#c9d0d7", "#eef1f4",
        "#f58a7c",
    ],
    flusher: "#4fa9e6",
    compactor: "#f0a92b",
    disk: "#93a4b5",
    waiting: "#f58a7c",
    locked: "#f2c230",
    readers: "#dd9cc4",
};

/// Lines across a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) enum Hatch {
    None,
    Rising,
    Falling,
    Horizontal,
    Vertical,
    Crossed,
}

impl Theme {
    /// The dark theme or the light one.
    pub(crate) fn of(is_dark: bool) -> &'static Theme {
        if is_dark { &DARK } else { &LIGHT }
    }

    /// The colour of a class.
    pub(crate) fn class(&self, class: Class) -> &'static str {
        self.classes[class as usize]
    }

    /// The colour of what somebody does.
    pub(crate) fn doing(&self, doing: Doing) -> &'static str {
        match doing {
            Doing::Flushing | Doing::Queueing | Doing::Held(Actor::Flusher) => self.flusher,
            Doing::Copying | Doing::CatchingUp | Doing::Unlinking => self.compactor,
            Doing::Swapping | Doing::Held(_) => self.locked,
            Doing::Waiting => self.waiting,
            Doing::TurnedAway | Doing::Recovering => self.danger,
            Doing::Syncing => self.disk,
            Doing::DirectorySync => self.locked,
            Doing::Reading => self.readers,
        }
    }
}

/// How a class is hatched.
pub(crate) fn class_hatch(class: Class) -> Hatch {
    match class {
        Class::DeadBody => Hatch::Rising,
        Class::DeadNode => Hatch::Crossed,
        Class::BySeqNode => Hatch::Horizontal,
        Class::ByIdNode => Hatch::Vertical,
        Class::LocalNode => Hatch::Falling,
        Class::Unknown => Hatch::Crossed,
        Class::Header | Class::LiveBody | Class::Slack => Hatch::None,
    }
}

/// How what somebody does is hatched.
pub(crate) fn doing_hatch(doing: Doing) -> Hatch {
    match doing {
        Doing::Waiting => Hatch::Crossed,
        Doing::CatchingUp => Hatch::Rising,
        Doing::Held(Actor::Compactor) | Doing::Swapping => Hatch::Falling,
        Doing::DirectorySync => Hatch::Vertical,
        _ => Hatch::None,
    }
}

/// The letter that stands for a class.
pub(crate) fn class_letter(class: Class) -> &'static str {
    match class {
        Class::Header => "H",
        Class::LiveBody => "B",
        Class::DeadBody => "b",
        Class::BySeqNode => "S",
        Class::ByIdNode => "I",
        Class::LocalNode => "L",
        Class::DeadNode => "n",
        Class::Slack => "",
        Class::Unknown => "?",
    }
}
