//! `dockseal plugin`: this program as `docker seal`.

pub(crate) mod hook;
mod hooks;
mod install;
mod place;
mod remove;
mod status;

use std::{path::PathBuf, process::ExitCode};

use dockseal_docker::{plugin, plugin_hooks};

use crate::{connection, failure::Failure, invocation::Invocation, output::Output};

/// Install this program as a plugin of docker, so that docker seal … runs it
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Put this program where docker looks for plugins
    Install(Install),
    /// Tell what docker seal runs, and whether docker shows notices
    Status(Status),
    /// Take the plugin and its hooks away again
    Remove(Remove),
}

#[derive(clap::Args)]
#[command(
    after_help = "A link follows this program when it is upgraded in its place; where links cannot be made, or others could\n\
    not follow it, it becomes a copy, which a new install renews. Which of them it is, is said.\n\n\
    With --hooks docker itself (26.1 or newer, on a terminal) says after a command when the certificate that it used ends\n\
    soon, and what the true cause was when it did not get through.\n\n\
    Examples:\n  \
    dockseal plugin install\n  \
    dockseal plugin install --hooks --within 14d\n  \
    sudo dockseal plugin install --system"
)]
pub(crate) struct Install {
    #[command(flatten)]
    place: Place,
    /// Copy this program instead of making a link to it
    #[arg(long)]
    copy: bool,
    /// Also have docker show a notice before a certificate ends, and the cause after trouble with TLS
    #[arg(long)]
    hooks: bool,
    /// How long before its end a certificate is spoken of, if it is due then
    #[arg(long, value_name = "DURATION", default_value = plugin_hooks::NOTICE, requires = "hooks")]
    within: String,
}

#[derive(clap::Args)]
#[command(after_help = "Exit codes: 0 docker seal runs this program, 1 it does not, 2 could not tell.\n\n\
    Example:\n  dockseal plugin status")]
pub(crate) struct Status {
    #[command(flatten)]
    place: Root,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  dockseal plugin remove\n  sudo dockseal plugin remove --system")]
pub(crate) struct Remove {
    #[command(flatten)]
    place: Place,
}

#[derive(clap::Args)]
struct Place {
    /// For all users, in /usr/local/lib/docker/cli-plugins [default: for this user, in cli-plugins below DOCKER_CONFIG or
    /// ~/.docker]
    #[arg(long)]
    system: bool,
    #[command(flatten)]
    root: Root,
}

#[derive(clap::Args)]
struct Root {
    /// Where the directories of the system are, instead of below /
    #[arg(long, value_name = "DIR", hide = true)]
    root: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    match &args.command {
        Command::Install(args) => install::run(args, invocation, output),
        Command::Status(args) => status::run(args, invocation, output),
        Command::Remove(args) => remove::run(args, invocation, output),
    }
}

/// docker's configuration directory.
fn config_directory(what: &str, invocation: &Invocation) -> Result<PathBuf, Failure> {
    let directory = connection::config_directory(invocation);
    if directory.is_absolute()
        || invocation.variable("HOME").is_some()
        || invocation.variable("DOCKER_CONFIG").is_some()
    {
        return invocation.absolute(&directory);
    }
    Err(Failure::trouble(what)
        .cause("neither HOME nor DOCKER_CONFIG is set, so it is not known where docker's configuration is")
        .hint("set one of them, or use --system"))
}

/// The file that is to be docker's plugin.
fn destination(place: &Place, what: &str, invocation: &Invocation) -> Result<PathBuf, Failure> {
    let directory = if place.system {
        let [first, ..] = plugin::SYSTEM_DIRECTORIES;
        place.root.below(first)
    } else {
        config_directory(what, invocation)?.join(plugin::DIRECTORY)
    };
    Ok(directory.join(plugin::FILE))
}

impl Root {
    fn below(&self, path: impl Into<PathBuf>) -> PathBuf {
        let path = path.into();
        match (&self.root, path.strip_prefix("/")) {
            (Some(root), Ok(relative)) => root.join(relative),
            _ => path,
        }
    }
}
