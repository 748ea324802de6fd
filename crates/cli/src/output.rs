//! The one gate to standard output (results) and standard error (talk).
use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};

use serde::Serialize;

use crate::failure::Failure;

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Human,
    /// For programs: one JSON object.
    Json,
    /// For Prometheus, where there is something to measure.
    Prometheus,
}

pub(crate) struct Output {
    format: Format,
    styled: bool,
    /// Writing the result failed: a full disk or a reader that went away.
    broken: bool,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        let styled = std::io::stderr().is_terminal() && crate::invocation::colour_is_welcome();
        Self { format, styled, broken: false }
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// The result: `human` as text, or `wire` as JSON.
    pub(crate) fn result(&mut self, human: &str, wire: &impl Serialize) {
        match self.format {
            Format::Human | Format::Prometheus => self.raw(human),
            Format::Json => {
                let json = serde_json::to_string_pretty(wire).unwrap_or_default();
                self.raw(format!("{}\n", without_controls(&json)));
            }
        }
    }

    /// The result itself, in whatever format it has: a certificate, a shell's commands.
    pub(crate) fn raw(&mut self, text: impl AsRef<[u8]>) {
        let mut stdout = std::io::stdout().lock();
        let written = stdout.write_all(text.as_ref()).and_then(|()| stdout.flush());
        // Who closed the pipe has seen enough.
        if written.is_err_and(|error| error.kind() != std::io::ErrorKind::BrokenPipe) {
            self.broken = true;
        }
    }

    /// Text for a person on the way to the result.
    pub(crate) fn talk_plainly(&self, text: &str) {
        let _ = write!(std::io::stderr(), "{text}");
    }

    /// Something worth knowing.
    pub(crate) fn note(&mut self, text: &str) {
        self.talk("note", text, "36");
    }

    /// Something that should be mended.
    pub(crate) fn warn(&mut self, text: &str) {
        self.talk("warning", text, "33");
    }

    fn talk(&mut self, word: &str, text: &str, colour: &str) {
        let text = self.labelled(word, text, colour);
        self.stderr(&text);
    }

    fn labelled(&self, word: &str, text: &str, colour: &str) -> String {
        if self.styled { format!("\u{1b}[1;{colour}m{word}:\u{1b}[0m {text}") } else { format!("{word}: {text}") }
    }

    /// Nobody is left to tell when standard error is gone.
    fn stderr(&self, text: &str) {
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    /// Ends the program with a command's own exit code.
    pub(crate) fn finish(&self, code: ExitCode) -> ExitCode {
        if self.broken {
            self.stderr("error: cannot write the result to standard output");
            return ExitCode::from(2);
        }
        code
    }

    /// Ends the program with a failure.
    pub(crate) fn fail(&mut self, failure: &Failure) -> ExitCode {
        self.trouble(failure);
        ExitCode::from(failure.code)
    }

    /// One of several failures.
    pub(crate) fn trouble(&mut self, failure: &Failure) {
        match self.format {
            Format::Human | Format::Prometheus => {
                let mut text = self.labelled("error", &failure.what, "31");
                if let Some(cause) = &failure.cause {
                    text.push_str(&format!("\n  cause: {cause}"));
                }
                if let Some(hint) = &failure.hint {
                    text.push_str(&format!("\n  hint:  {}", hint.replace('\n', "\n         ")));
                }
                self.stderr(&text);
            }
            Format::Json => {
                let wire = serde_json::json!({
                    "schema": 1, "error": failure.what, "cause": failure.cause, "hint": failure.hint,
                });
                self.stderr(&without_controls(&wire.to_string()));
            }
        }
    }
}

/// JSON that says the same. Its rules leave some characters as they are that a terminal takes for commands (RFC 8259, 7).
fn without_controls(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() && c != '\n' { shown.push_str(&format!("\\u{:04x}", u32::from(c))) } else { shown.push(c) }
    }
    shown
}

/// Label and value, a line each, the values below one another.
pub(crate) fn fields(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
    rows.iter().map(|(label, value)| format!("  {label:width$}  {value}\n")).collect()
}

/// Rows below their headings, each column as wide as its widest cell; the last column ends where its text does.
pub(crate) fn table<const N: usize>(headings: &[&str; N], rows: &[[String; N]]) -> String {
    let heading = headings.map(str::to_owned);
    let all = || std::iter::once(&heading).chain(rows);
    let width = |column: usize| all().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in all() {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(&format!("  {}\n", cells.join("  ").trim_end()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_says_the_same_without_controls() {
        let value = serde_json::json!({ "a\u{9b}": ["\u{1b}[31m \u{7f}\u{85}\n\t\"\\ ü"] });
        let text = without_controls(&serde_json::to_string_pretty(&value).unwrap());
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
