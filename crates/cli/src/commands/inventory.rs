//! `dockseal inventory`: whether what the authority remembers is so, making it again, and its trail.

mod check;
mod log;
mod rebuild;

use std::process::ExitCode;

use clap::Subcommand;

use crate::{failure::Failure, invocation::Invocation, output::Output};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Compare the inventory with the disk
    Check(check::Args),
    /// Make a lost or damaged inventory again from the certificates that are found
    Rebuild(rebuild::Args),
    /// Show who did what, when
    Log(log::Args),
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    match &args.action {
        Action::Check(args) => check::run(args, invocation, output),
        Action::Rebuild(args) => rebuild::run(args, invocation, output),
        Action::Log(args) => log::run(args, invocation, output),
    }
}
