//! Progress of long work: on standard error, and only where that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a bar is drawn, each second.
const DRAWS_PER_SECOND: u8 = 10;

/// A bar with rate and remaining time. It goes away when dropped.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// For work of so many bytes.
    pub(crate) fn bytes(what: &str, total: u64) -> Self {
        let counts = "{binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}";
        Progress::new(what, Some(total), counts)
    }

    /// For work on so many documents.
    pub(crate) fn documents(what: &str, total: u64) -> Self {
        Progress::new(what, Some(total), "{human_pos}/{human_len} documents {per_sec}")
    }

    /// For work of which nobody knows how much it is.
    pub(crate) fn open_ended(what: &str) -> Self {
        let bar = ProgressBar::with_draw_target(None, target());
        let style = ProgressStyle::with_template("{spinner} {msg} {human_pos} {per_sec} {elapsed}");
        Progress::begin(bar, style, what)
    }

    /// A line of text beside a spinner, drawn anew by itself.
    pub(crate) fn line() -> Self {
        let bar = ProgressBar::with_draw_target(None, target());
        let style = ProgressStyle::with_template("{spinner} {wide_msg}");
        Progress::begin(bar, style, "")
    }

    /// One that is never shown.
    pub(crate) fn hidden() -> Self {
        Progress(ProgressBar::hidden())
    }

    fn new(what: &str, total: Option<u64>, counts: &str) -> Self {
        let bar = ProgressBar::with_draw_target(total, target());
        let template = format!("{{msg}} [{{bar:28}}] {{percent}} % {counts}, {{eta}} left");
        Progress::begin(bar, ProgressStyle::with_template(&template), what)
    }

    fn begin<E>(bar: ProgressBar, style: Result<ProgressStyle, E>, what: &str) -> Self {
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Progress(bar)
    }

    /// How much is done.
    pub(crate) fn set(&self, done: u64) {
        self.0.set_position(done);
    }

    /// What is being done.
    pub(crate) fn say(&self, what: impl Into<String>) {
        self.0.set_message(what.into());
    }

    /// Whether anyone sees it.
    pub(crate) fn is_hidden(&self) -> bool {
        self.0.is_hidden()
    }
}

fn target() -> ProgressDrawTarget {
    ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND)
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
