//! `dockseal inventory`: whether what the authority remembers is so, making it again, and its trail.

mod check;
mod lay_out;
mod log;
mod places;
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
    /// Have renewals go to a directory that holds one of the authority's certificates
    Record(places::RecordArgs),
    /// Have them go there no longer
    Forget(places::ForgetArgs),
    /// Show who did what, when
    Log(log::Args),
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    match &args.action {
        Action::Check(args) => check::run(args, invocation, output),
        Action::Rebuild(args) => rebuild::run(args, invocation, output),
        Action::Record(args) => places::record(args, invocation, output),
        Action::Forget(args) => places::forget(args, invocation, output),
        Action::Log(args) => log::run(args, invocation, output),
    }
}
