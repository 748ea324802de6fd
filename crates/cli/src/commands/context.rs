//! `dockseal context`: the docker client's contexts, made and mended where docker looks, without docker.

mod create;

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
    /// Make a context of a new client certificate, or of a directory that is there
    Create(create::Args),
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    match &args.action {
        Action::Create(args) => create::run(args, invocation, output),
    }
}
