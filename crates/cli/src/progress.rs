//! How far long work has come: a bar on a terminal, a line now and then elsewhere. On standard error, never among results.

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

/// Work of fewer pieces is done before anybody wonders.
const WORTH_SHOWING: u64 = 50;
const BETWEEN_BARS: Duration = Duration::from_millis(100);
const BETWEEN_LINES: Duration = Duration::from_secs(10);
const WIDTH: usize = 30;

pub(crate) struct Progress {
    doing: &'static str,
    total: u64,
    done: u64,
    on_terminal: bool,
    started: Instant,
    shown: Option<Instant>,
}

impl Progress {
    /// `doing` as in "renewed 3 of 10".
    pub(crate) fn new(doing: &'static str, total: u64) -> Self {
        let on_terminal = std::io::stderr().is_terminal();
        Self { doing, total, done: 0, on_terminal, started: Instant::now(), shown: None }
    }

    /// So many more are done.
    pub(crate) fn advance(&mut self, by: u64) {
        self.done += by;
        if self.total < WORTH_SHOWING {
            return;
        }
        let pause = if self.on_terminal { BETWEEN_BARS } else { BETWEEN_LINES };
        let since = self.shown.unwrap_or(self.started).elapsed();
        if since < pause && !(self.on_terminal && self.shown.is_none()) {
            return;
        }
        self.shown = Some(Instant::now());
        let text = self.line();
        let mut stderr = std::io::stderr().lock();
        // Nobody is left to tell when standard error is gone.
        let _ = if self.on_terminal { write!(stderr, "\r{text}\u{1b}[K") } else { writeln!(stderr, "{text}") };
        let _ = stderr.flush();
    }

    fn line(&self) -> String {
        let (done, total) = (self.done.min(self.total), self.total.max(1));
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = done as f64 / seconds;
        let count = format!("{} {done} of {total}, {rate:.0} a second", self.doing);
        if !self.on_terminal {
            return count;
        }
        let full = usize::try_from(done * WIDTH as u64 / total).unwrap_or(WIDTH).min(WIDTH);
        format!("[{}{}] {count}", "#".repeat(full), "-".repeat(WIDTH - full))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.on_terminal && self.shown.is_some() {
            let _ = write!(std::io::stderr(), "\r\u{1b}[K");
        }
    }
}
