//! `dockseal context`: the docker client's contexts, made and mended where docker looks, without docker.

mod copies;
mod create;
mod export;
mod list;
mod remove;
mod update;

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
    /// List the contexts: whose certificates they hold, and which hold stale copies
    List(list::Args),
    /// Bring newer certificates to contexts, and to recorded directories, that hold stale copies
    Update(update::Args),
    /// Write the archive that docker context import takes
    Export(export::Args),
    /// Take a context out, and forget it as a destination
    Remove(remove::Args),
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    match &args.action {
        Action::Create(args) => create::run(args, invocation, output),
        Action::List(args) => list::run(args, invocation, output),
        Action::Update(args) => update::run(args, invocation, output),
        Action::Export(args) => export::run(args, invocation, output),
        Action::Remove(args) => remove::run(args, invocation, output),
    }
}
