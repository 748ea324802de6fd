//! `dockseal man`: the manual pages, made from what `--help` says.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use dockseal_store::{make_directories, replace};
use serde_json::json;

use super::Cli;
use crate::{failure::Failure, hints::write_failure, invocation::Invocation, output::Output, report::SCHEMA};

const WHAT: &str = "cannot write the manual pages";
/// Everybody reads manuals.
const PAGE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;

/// Print the manual page, or write those of all commands
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    dockseal man | man -l -\n  \
    dockseal man ~/.local/share/man/man1       then: man dockseal-verify")]
pub(crate) struct Args {
    /// Write a page for each command into this directory, in the place of those there
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let Some(directory) = &args.directory else {
        output.raw(page(&command).map_err(|error| Failure::trouble(WHAT).cause(error))?);
        return Ok(ExitCode::SUCCESS);
    };
    let directory = invocation.absolute(directory)?;
    make_directories(&directory, DIRECTORY_MODE).map_err(|error| write_failure(WHAT, &error))?;
    let mut written = Vec::new();
    write(&command, &directory, &mut written)?;
    let human = format!("Wrote {} pages into {}\n", written.len(), directory.display());
    let pages: Vec<_> = written.iter().map(|path| path.to_string_lossy()).collect();
    output.result(&human, &json!({ "schema": SCHEMA, "pages": pages }));
    Ok(ExitCode::SUCCESS)
}

fn write(command: &Command, directory: &Path, written: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let path = directory.join(format!("{}.1", name(command)));
    let page = page(command).map_err(|error| Failure::trouble(WHAT).cause(error))?;
    replace(&path, PAGE_MODE, &page).map_err(|error| write_failure(WHAT, &error))?;
    written.push(path);
    command
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .try_for_each(|command| write(command, directory, written))
}

/// `dockseal-issue-daemon`.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let source = concat!("dockseal ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).manual("Dockseal").section("1").source(source);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    page.extend_from_slice(notes(&after).as_bytes());
    Ok(plain(&String::from_utf8_lossy(&page)).into_bytes())
}

/// Characters that groff reads whatever the locale (groff_char(7)).
fn plain(page: &str) -> String {
    let mut plain = String::with_capacity(page.len());
    for letter in page.chars() {
        if letter.is_ascii() {
            plain.push(letter);
        } else {
            plain.push_str(&format!("\\[u{:04X}]", u32::from(letter)));
        }
    }
    plain
}

/// What follows the options of `--help`, line by line, as it stands there.
fn notes(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let mut notes = String::from(".SH NOTES\n.nf\n");
    for line in text.lines() {
        // A line that begins with a dot or a quote would be a request (groff(7)).
        let line = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('`', "\\(ga");
        notes.push_str(if line.starts_with('.') { "\\&" } else { "" });
        notes.push_str(&line.replace('^', "\\(ha").replace('~', "\\(ti"));
        notes.push('\n');
    }
    notes.push_str(".fi\n");
    notes
}
