//! Ctrl-C, and being asked to terminate: work ends in good order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::exit::{Failure, Outcome};

/// Whether the user asked to stop. A second time, the process ends at once.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Begins to watch; once in a process.
    pub(crate) fn watch() -> Outcome<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        let handler = asked.clone();
        let set = ctrlc::set_handler(move || {
            if handler.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
        });
        set.map_err(|error| Failure::io(format_args!("cannot watch for Ctrl-C: {error}")))?;
        Ok(Interrupt(asked))
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
