//! `dockseal completions`: what a shell reads to complete our command lines.

use std::process::ExitCode;

use clap::{CommandFactory, ValueEnum};
use clap_complete::{Shell as Common, generate};
use clap_complete_nushell::Nushell;

use super::Cli;
use crate::{failure::Failure, output::Output};

/// Print what makes a shell complete the commands and flags of dockseal
#[derive(clap::Args)]
#[command(after_help = "Where each shell looks for it:\n  \
    dockseal completions bash > ~/.local/share/bash-completion/completions/dockseal\n  \
    dockseal completions zsh > \"${fpath[1]}/_dockseal\"            then start zsh anew\n  \
    dockseal completions fish > ~/.config/fish/completions/dockseal.fish\n  \
    dockseal completions nushell | save dockseal.nu              then: use dockseal.nu *\n  \
    dockseal completions powershell >> $PROFILE\n  \
    dockseal completions elvish >> ~/.config/elvish/rc.elv\n\n\
    For the present shell alone:\n  \
    source <(dockseal completions bash)\n\n\
    Behind docker, docker's own completion asks the plugin: docker completion --help.")]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Nushell,
    Powershell,
    Elvish,
}

pub(crate) fn run(args: &Args, output: &mut Output) -> Result<ExitCode, Failure> {
    let mut command = Cli::command();
    let mut script = Vec::new();
    let name = "dockseal";
    match args.shell {
        Shell::Bash => generate(Common::Bash, &mut command, name, &mut script),
        Shell::Zsh => generate(Common::Zsh, &mut command, name, &mut script),
        Shell::Fish => generate(Common::Fish, &mut command, name, &mut script),
        Shell::Nushell => generate(Nushell, &mut command, name, &mut script),
        Shell::Powershell => generate(Common::PowerShell, &mut command, name, &mut script),
        Shell::Elvish => generate(Common::Elvish, &mut command, name, &mut script),
    }
    output.raw(script);
    Ok(ExitCode::SUCCESS)
}
