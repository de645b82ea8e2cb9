//! A progress bar on stderr, on a terminal only.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, stderr};

/// Shows how far a phase is. Does nothing when stderr is no terminal.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Begins to show a phase of `total` steps.
    pub(crate) fn begin(what: &str, total: u64) -> Self {
        let bar = if stderr().is_terminal() {
            ProgressBar::new(total)
        } else {
            ProgressBar::hidden()
        };
        let template = "{msg:>10} [{bar:40}] {human_pos}/{human_len} {per_sec} {elapsed}";
        // The template is a constant; a bar with the default style shows the same numbers.
        bar.set_style(
            ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> "),
        );
        bar.set_message(what.to_owned());
        Self { bar }
    }

    /// So many steps are done.
    pub(crate) fn at(&self, done: u64) {
        self.bar.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
