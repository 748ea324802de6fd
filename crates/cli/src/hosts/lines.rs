//! One line for each host while it is worked on: redrawn on a terminal, a line for each step elsewhere.

use std::{
    io::{IsTerminal, Write},
    sync::Mutex,
};

pub(crate) struct Lines {
    on_terminal: bool,
    state: Mutex<State>,
}

struct State {
    names: Vec<String>,
    steps: Vec<String>,
    drawn: bool,
}

impl Lines {
    pub(crate) fn new(names: Vec<String>) -> Self {
        let steps = vec![String::new(); names.len()];
        let on_terminal = std::io::stderr().is_terminal();
        Self { on_terminal, state: Mutex::new(State { names, steps, drawn: false }) }
    }

    /// Other text comes below what was drawn; the next step draws anew.
    pub(crate) fn leave(&self) {
        if let Ok(mut state) = self.state.lock() {
            state.drawn = false;
        }
    }

    /// The host at `place` is at this step now.
    pub(crate) fn step(&self, place: usize, step: &str) {
        let Ok(mut state) = self.state.lock() else { return };
        let Some(slot) = state.steps.get_mut(place) else { return };
        if slot == step {
            return;
        }
        step.clone_into(slot);
        let mut stderr = std::io::stderr().lock();
        // Nobody is left to tell when standard error is gone.
        if self.on_terminal {
            let up = if state.drawn { format!("\u{1b}[{}A", state.names.len()) } else { String::new() };
            let width = state.names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
            let rows: String = state
                .names
                .iter()
                .zip(&state.steps)
                .map(|(name, step)| format!("\r{name:width$}  {step}\u{1b}[K\n"))
                .collect();
            let _ = write!(stderr, "{up}{rows}");
            state.drawn = true;
        } else if let Some(name) = state.names.get(place) {
            let _ = writeln!(stderr, "{name}: {step}");
        }
        let _ = stderr.flush();
    }
}
