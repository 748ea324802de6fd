//! `dockseal host`: Docker hosts that are reached by ssh.

mod inspect;
mod remove;
mod rotate;

use std::process::ExitCode;

use crate::{failure::Failure, invocation::Invocation, output::Output};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Look at hosts: how dockerd is started, its configuration, certificate, names, clock and port. Changes nothing
    Inspect(inspect::Args),
    /// Put new certificates on hosts, restart dockerd and prove it
    Rotate(rotate::Args),
    /// Take everything back out of a host
    Remove(remove::Args),
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    match &args.command {
        Command::Inspect(args) => inspect::run(args, invocation, output),
        Command::Rotate(args) => rotate::run(args, invocation, output),
        Command::Remove(args) => remove::run(args, invocation, output),
    }
}
