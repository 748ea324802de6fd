//! What completes a line behind `docker seal`, as docker asks its plugins for it.
//!
//! The protocol is spf13/cobra's (completions.go `initCompleteCmd`): a candidate on each line, a tab and what it means
//! after it, and at the end a colon and what the shell is to do besides.

use std::ffi::OsString;

use clap::{Arg, Command};

/// More words than these help nobody.
const MOST: usize = 1000;

/// What the shell does besides (cobra completions.go `ShellCompDirective`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Directive {
    /// Offers files where there is no candidate.
    Files = 0,
    /// Offers nothing else.
    NoFiles = 4,
    /// Offers directories.
    Directories = 16,
}

/// What may come next.
#[derive(Debug)]
pub(crate) struct Completion {
    pub(crate) candidates: Vec<(String, String)>,
    pub(crate) directive: Directive,
}

impl Completion {
    fn new(candidates: Vec<(String, String)>, directive: Directive) -> Self {
        Self { candidates, directive }
    }

    /// As docker's shells read it.
    pub(crate) fn lines(&self) -> String {
        let one_line = |text: &str| text.lines().next().unwrap_or_default().trim().to_owned();
        let mut lines = String::new();
        for (word, meaning) in &self.candidates {
            lines.push_str(&one_line(&format!("{word}\t{meaning}")));
            lines.push('\n');
        }
        lines.push_str(&format!(":{}\n", self.directive as u8));
        lines
    }
}

/// The words that only this machine knows, for a command and what its value is called: those whom there are certificates of,
/// say.
pub(crate) type Known<'k> = dyn Fn(&str, &str) -> Vec<String> + 'k;

/// What completes these words, of which the last one is unfinished; it may be empty.
pub(crate) fn complete(mut root: Command, words: &[OsString], known: &Known<'_>) -> Completion {
    root.build();
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    let Some((last, before)) = words.split_last() else { return Completion::new(Vec::new(), Directive::NoFiles) };
    let mut command = &root;
    let mut awaits: Option<&Arg> = None;
    let mut positions = 0;
    let mut only_positions = false;
    for word in before {
        if awaits.take().is_some() {
        } else if only_positions || !word.starts_with('-') || word == "-" {
            match command.find_subcommand(word.as_ref()).filter(|_| !only_positions) {
                Some(found) => (command, positions) = (found, 0),
                None => positions += 1,
            }
        } else if word == "--" {
            only_positions = true;
        } else {
            awaits = option(command, word).filter(|(_, has_value)| !has_value).map(|(arg, _)| arg);
        }
    }
    if let Some(arg) = awaits {
        return values(command, arg, last, known);
    }
    if last.starts_with('-') && !only_positions {
        return match last.split_once('=') {
            // The shell keeps what is before the value.
            Some((_, value)) => option(command, last).map_or_else(
                || Completion::new(Vec::new(), Directive::NoFiles),
                |(arg, _)| values(command, arg, value, known),
            ),
            None => Completion::new(flags(command, last), Directive::NoFiles),
        };
    }
    let subcommands = command.get_subcommands().filter(|command| !command.is_hide_set());
    let subcommands = subcommands.map(|command| (command.get_name().to_owned(), text(command.get_about())));
    let subcommands: Vec<_> = subcommands.filter(|(name, _)| name.starts_with(last.as_ref())).collect();
    if !subcommands.is_empty() && !only_positions && positions == 0 {
        return Completion::new(subcommands, Directive::NoFiles);
    }
    let positional = command.get_positionals().nth(positions).or(command.get_positionals().last());
    positional.map_or_else(|| Completion::new(Vec::new(), Directive::NoFiles), |arg| values(command, arg, last, known))
}

/// The option that a word names and that takes a value, and whether the word has it already.
fn option<'c>(command: &'c Command, word: &str) -> Option<(&'c Arg, bool)> {
    let takes_value = |arg: &&Arg| arg.get_num_args().is_some_and(|number| number.takes_values());
    let mut options = command.get_arguments().filter(takes_value);
    let (name, has_value) = word.split_once('=').map_or((word, false), |(name, _)| (name, true));
    let named = match name.strip_prefix("--") {
        Some(long) => options.find(|arg| arg.get_long() == Some(long)),
        None => options.find(|arg| arg.get_short().is_some_and(|short| name.ends_with(short))),
    };
    named.map(|arg| (arg, has_value))
}

fn flags(command: &Command, start: &str) -> Vec<(String, String)> {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let flags = shown.filter_map(|arg| Some((format!("--{}", arg.get_long()?), text(arg.get_help()))));
    flags.filter(|(name, _)| name.starts_with(start)).collect()
}

fn values(command: &Command, arg: &Arg, start: &str, known: &Known<'_>) -> Completion {
    let name = arg.get_value_names().and_then(|names| names.first()).map(|name| name.as_str()).unwrap_or_default();
    let possible = arg.get_possible_values().into_iter().filter(|value| !value.is_hide_set());
    let possible = possible.map(|value| (value.get_name().to_owned(), text(value.get_help())));
    let possible = possible.chain(known(command.get_name(), name).into_iter().map(|word| (word, String::new())));
    let possible: Vec<_> = possible.collect();
    if !possible.is_empty() {
        let fits = possible.into_iter().filter(|(name, _)| name.starts_with(start)).take(MOST).collect();
        return Completion::new(fits, Directive::NoFiles);
    }
    let directive = match name {
        "DIR" => Directive::Directories,
        "FILE" | "PATH" | "FILE|DIR" => Directive::Files,
        _ => Directive::NoFiles,
    };
    Completion::new(Vec::new(), directive)
}

fn text(styled: Option<&clap::builder::StyledStr>) -> String {
    styled.map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::commands::Cli;

    fn completed(line: &str) -> (Vec<String>, Directive) {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let found = complete(Cli::command(), &words, &|command, value| match (command, value) {
            ("renew", "NAME") => vec!["alice".to_owned(), "bob".to_owned()],
            _ => Vec::new(),
        });
        (found.candidates.into_iter().map(|(word, _)| word).collect(), found.directive)
    }

    #[test]
    fn commands_flags_and_values() {
        for (line, expected, directive) in [
            ("ver", &["verify"][..], Directive::NoFiles),
            ("issue d", &["daemon"], Directive::NoFiles),
            ("--format json issue clie", &["client", "clients"], Directive::NoFiles),
            ("verify --client-m", &["--client-mode"], Directive::NoFiles),
            ("verify --client-mode tlsv", &["tlsverify"], Directive::NoFiles),
            ("verify --client-mode=n", &["none"], Directive::NoFiles),
            ("verify --auth", &["--authority"], Directive::NoFiles),
            ("verify --client ", &[], Directive::Directories),
            ("verify --daemon-json ", &[], Directive::Files),
            ("verify ", &[], Directive::Directories),
            ("renew --due a", &["alice"], Directive::NoFiles),
            ("renew bob ", &["alice", "bob"], Directive::NoFiles),
            ("nonsense ", &[], Directive::NoFiles),
            ("verify -- --cl", &[], Directive::Directories),
        ] {
            assert_eq!(
                completed(line),
                (expected.iter().map(|word| (*word).to_owned()).collect(), directive),
                "{line}"
            );
        }
        assert!(completed("").0.len() > 15);
        assert_eq!(complete(Cli::command(), &[], &|_, _| Vec::new()).candidates.len(), 0);
    }

    #[test]
    fn a_line_each() {
        let candidates = vec![("a".to_owned(), "what\nit is".to_owned()), ("b".to_owned(), String::new())];
        assert_eq!(Completion::new(candidates, Directive::NoFiles).lines(), "a\twhat\nb\n:4\n");
    }
}
