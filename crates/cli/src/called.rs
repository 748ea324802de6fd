//! How this program was called: by its own name, or by docker, as the plugin behind `docker seal`.

use std::{
    ffi::OsString,
    io::Read,
    process::{ExitCode, Stdio},
    thread,
};

use clap::{CommandFactory, FromArgMatches};
use dockseal_docker::{
    flags::TlsFlags,
    plugin::{self, Call},
    version::Version,
};

use crate::{
    commands::{Cli, plugin::hook, verify::notes::catalogue},
    completion::complete,
    failure::Failure,
    invocation::Invocation,
    ledger::open_to_read,
    output::{Format, Output},
};

/// What is to be done.
pub(crate) enum Called {
    /// A command, with the flags of docker's that came before it.
    Command(Box<Cli>, Option<TlsFlags>),
    /// Help, or a line that is none.
    Wrong(clap::Error),
    /// Nothing more.
    Done(ExitCode),
}

/// Reads the command line, the program's own name included.
pub(crate) fn read(line: Vec<OsString>) -> Called {
    let by_docker = line.first().is_some_and(|program| plugin::is_called_as_plugin(program));
    if !by_docker {
        return command(Cli::command(), line, None);
    }
    let arguments = line.get(1..).unwrap_or_default();
    match Call::read(arguments) {
        Ok(None) => command(Cli::command(), line, None),
        Ok(Some(Call::Metadata)) => {
            let metadata = plugin::metadata(env!("CARGO_PKG_VERSION"));
            let mut output = Output::new(Format::Json);
            output.result("", &metadata);
            Called::Done(output.finish(ExitCode::SUCCESS))
        }
        Ok(Some(Call::Hook { request })) => Called::Done(hook::answer(&request)),
        Ok(Some(Call::Complete { words })) => {
            let mut output = Output::new(Format::Human);
            output.raw(complete(Cli::command(), &words, &known).lines());
            Called::Done(output.finish(ExitCode::SUCCESS))
        }
        Ok(Some(Call::Command { flags, arguments })) => {
            end_with_docker();
            let mut commands = behind_docker(Cli::command()).bin_name("docker seal");
            // What that docker would do is the question.
            let asked =
                arguments.first().and_then(|word| word.to_str()).filter(|word| ["probe", "verify"].contains(word));
            if let Some((asked, version)) = asked.and_then(|asked| Some((asked, version_of_caller()?))) {
                let with_default = |arg: clap::Arg| arg.default_value(version.word());
                commands = commands.mut_subcommand(asked, |command| command.mut_arg("docker", with_default));
            }
            let line = [OsString::from(plugin::FILE)].into_iter().chain(arguments).collect();
            command(commands, line, Some(flags))
        }
        // docker has read them before, so it is not docker that calls.
        Err(error) => {
            let failure = Failure::trouble("cannot read docker's own flags").cause(error);
            Called::Done(Output::new(Format::Human).fail(&failure.hint("see docker --help")))
        }
    }
}

fn command(mut command: clap::Command, line: Vec<OsString>, docker: Option<TlsFlags>) -> Called {
    let read = command.try_get_matches_from_mut(line).and_then(|matches| Cli::from_arg_matches(&matches));
    match read {
        Ok(cli) => Called::Command(Box::new(cli), docker),
        Err(error) => Called::Wrong(error.format(&mut command)),
    }
}

/// The same commands, with examples as they are typed behind docker.
pub(crate) fn behind_docker(command: clap::Command) -> clap::Command {
    let examples = command.get_after_help().map(|text| text.to_string().replace("dockseal ", "docker seal "));
    let command = match examples {
        Some(examples) => command.after_help(examples),
        None => command,
    };
    command.mut_subcommands(behind_docker)
}

/// The release of the docker that calls, as far as it tells.
fn version_of_caller() -> Option<Version> {
    let docker = crate::invocation::calling_docker()?;
    let said = std::process::Command::new(docker).arg("--version").stdin(Stdio::null()).output().ok()?;
    // Docker version 28.2.2, build e6534b4
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    said.strip_prefix("Docker version ")?.split(',').next()?.parse().ok()
}

/// The values of a command that completion finds here.
fn known(command: &str, value: &str) -> Vec<String> {
    let names = || {
        let home = Invocation::of_hook(TlsFlags::default()).ok()?.home().ok()?;
        home.check_there().ok()?;
        let mut names = open_to_read(&home).ok()?.names().ok()?;
        names.sort();
        Some(names)
    };
    match (command, value) {
        ("explain", "CHECK") => catalogue().map(|entry| entry.id.to_owned()).collect(),
        ("advance" | "list" | "renew" | "revoke" | "rollback" | "status", value) if value.starts_with("NAME") => {
            names().unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

/// Ends this program when docker is told to end, and is not on a terminal that would tell both: docker closes a socket then
/// (docker/cli cmd/docker/docker.go `tryPluginRun`, cli-plugins/socket `ConnectAndWait`). Whatever the instant, nothing is
/// left half done; see the store.
fn end_with_docker() {
    /// As a shell has it for a program that was interrupted.
    const INTERRUPTED: i32 = 130;
    let Some(mut socket) = crate::invocation::docker_socket() else { return };
    thread::spawn(move || {
        // Nothing is ever sent.
        while matches!(socket.read(&mut [0; 64]), Ok(1..)) {}
        std::process::exit(INTERRUPTED);
    });
}
