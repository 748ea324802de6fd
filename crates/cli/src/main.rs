//! The command `dockseal`: mutual TLS for Docker.
//!
//! The only crate that reads the clock and the environment and talks to a terminal. Every command is a file in
//! [`commands`]; the libraries do the work.

mod authority;
mod called;
mod commands;
mod completion;
mod connection;
mod contexts;
mod correction;
mod detect;
mod endpoint;
mod events;
mod failure;
mod former;
mod groups;
mod handover;
mod held;
mod hints;
mod hosts;
mod in_use;
mod input;
mod invocation;
mod judgement;
mod layouts;
mod ledger;
mod listing;
mod named;
mod next;
mod output;
mod passphrase;
mod progress;
mod python;
mod reissue;
mod report;
mod revocations;
mod rows;
mod unread;

use std::{ffi::OsString, process::ExitCode};

use crate::{
    called::Called,
    commands::Command,
    failure::Failure,
    invocation::Invocation,
    output::{Format, Output},
};

fn main() -> ExitCode {
    keep_keys_out_of_core_dumps();
    let (cli, docker) = match called::read(std::env::args_os().collect()) {
        Called::Command(cli, docker) => (*cli, docker),
        Called::Wrong(error) => return usage(&error),
        Called::Done(code) => return code,
    };
    let mut output = Output::new(cli.global.format);
    if cli.global.format == Format::Prometheus && !cli.command.has_metrics() {
        let failure = Failure::trouble("cannot write this as metrics for Prometheus");
        return output.fail(&failure.hint("dockseal list and dockseal status can; here it is human or json"));
    }
    let result = Invocation::new(&cli.global, docker)
        .and_then(|invocation| run_on_what_is_so(&cli.command, &invocation, &mut output));
    match result {
        Ok(code) => output.finish(code),
        Err(failure) => output.fail(&failure),
    }
}

/// This process holds keys. What it starts (ssh, the command of --exec) dumps core as it likes: execve(2) takes this back.
fn keep_keys_out_of_core_dumps() {
    // Where the system refuses, all else still holds.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// Begins anew where another run changed what this one had read before it could begin; it had waited for that run.
fn run_on_what_is_so(command: &Command, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    loop {
        match run(command, invocation, output) {
            Err(failure) if failure.is_outdated && !input::is_used_up() => {
                output.note("a roll-over went on while this run waited: it begins anew");
            }
            result => return result,
        }
    }
}

fn run(command: &Command, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    match command {
        Command::Init(args) => commands::init::run(args, invocation, output),
        Command::Adopt(args) => commands::adopt::run(args, invocation, output),
        Command::Issue(args) => commands::issue::run(args, invocation, output),
        Command::Request(args) => commands::request::run(args, invocation, output),
        Command::List(args) => commands::list::run(args, invocation, output),
        Command::Status(args) => commands::status::run(args, invocation, output),
        Command::Repair(args) => commands::repair::run(args, invocation, output),
        Command::Export(args) => commands::export::run(args, invocation, output),
        Command::Install(args) => commands::install::run(args, invocation, output),
        Command::Renew(args) => commands::renew::run(args, invocation, output),
        Command::Timer(args) => commands::timer::run(args, invocation, output),
        Command::Rollback(args) => commands::rollback::run(args, invocation, output),
        Command::Revoke(args) => commands::revoke::run(args, invocation, output),
        Command::Crl(args) => commands::crl::run(args, invocation, output),
        Command::Inventory(args) => commands::inventory::run(args, invocation, output),
        Command::RenewCa(args) => commands::rollover::renew_ca::run(args, invocation, output),
        Command::Rollover(args) => commands::rollover::run(args, invocation, output),
        Command::Context(args) => commands::context::run(args, invocation, output),
        Command::Env(args) => commands::env::run(args, invocation, output),
        Command::Probe(args) => commands::probe::run(args, invocation, output),
        Command::Plugin(args) => commands::plugin::run(args, invocation, output),
        Command::Inspect(args) => commands::inspect::run(args, invocation, output),
        Command::Audit(args) => commands::audit::run(args, invocation, output),
        Command::Verify(args) => commands::verify::run(args, invocation, output),
        Command::Completions(args) => commands::completions::run(args, output),
        Command::Man(args) => commands::man::run(args, invocation, output),
        Command::Explain(args) => commands::explain::run(args, output),
        Command::Host(args) => commands::host::run(args, invocation, output),
        Command::Bootstrap(args) => commands::bootstrap::run(args, invocation, output),
    }
}

/// clap's own help and complaints. With `--format json` a complaint is JSON too, though nothing was parsed.
fn usage(error: &clap::Error) -> ExitCode {
    // What is not UTF-8 is an argument as well, and perhaps what is complained of.
    let words: Vec<OsString> = std::env::args_os().collect();
    let wants_json =
        words.windows(2).any(|pair| pair == ["--format", "json"]) || words.iter().any(|word| word == "--format=json");
    if !error.use_stderr() || !wants_json {
        let _ = error.print();
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    }
    let text = error.render().to_string();
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let what = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let failure = Failure::trouble(what).hint("see dockseal --help");
    Output::new(Format::Json).fail(&failure)
}
