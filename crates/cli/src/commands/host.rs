//! `dockseal host`: Docker hosts that are reached by ssh.

mod inspect;

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
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    match &args.command {
        Command::Inspect(args) => inspect::run(args, invocation, output),
    }
}
