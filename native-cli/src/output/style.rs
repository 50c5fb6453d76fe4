//! The few styles in use. They reach terminals only.

use anstyle::{AnsiColor, Style};
use clap::builder::Styles;

pub(crate) const HEADING: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();

/// Styles of `--help` and of messages about usage.
pub(crate) const CLAP: Styles = Styles::styled()
    .header(HEADING.underline())
    .usage(HEADING.underline())
    .literal(AnsiColor::Cyan.on_default())
    .error(BAD);
