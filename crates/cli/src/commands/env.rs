//! `dockseal env`: the three variables that point docker at a client's directory, for the caller's shell.

mod docker;

use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args as ClapArgs;
use dockseal_docker::{
    env::{self, EnvError, Shell, ShellFacts, Variables},
    flags::TlsFlags,
    layout,
    miswritten::Miswritten,
};
use dockseal_pki::{Certificate, ExtendedKeyUsage, GeneralName, pem, printable};
use serde_json::json;

use crate::{
    contexts,
    correction::miswritten_directory,
    failure::Failure,
    invocation::Invocation,
    output::{Format, Output},
    python::bundle_note,
};

/// Print DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH for your shell to read
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  eval \"$(dockseal env build.example.com/clients/ada)\"         sh, bash, zsh
  dockseal env build.example.com/clients/ada | source          fish
  & dockseal env C:\\tls\\ada | Invoke-Expression                PowerShell
  dockseal env DIR --shell nushell | from nuon | load-env      Nushell
  eval \"$(dockseal env --unset)\"                               back to the local docker

The last line of the output tells how your shell reads it. Below a directory that bootstrap made, DOCKER_HOST is the
daemon's first name; elsewhere give --host, or DOCKER_HOST is left alone.")]
pub(crate) struct Args {
    /// The client's directory, which holds ca.pem, cert.pem and key.pem [default: the current directory, if it does]
    dir: Option<PathBuf>,

    /// Where the daemon is; without a port 2376
    #[arg(long, value_name = "tcp://HOST:PORT", conflicts_with = "unset")]
    host: Option<String>,

    /// The shell to write for: sh, bash, zsh, fish, powershell, cmd, tcsh or nushell [default: the one that asks]
    #[arg(long, value_name = "NAME", value_parser = parse_shell)]
    shell: Option<Shell>,

    /// Print what removes the variables instead
    #[arg(long)]
    unset: bool,
}

fn parse_shell(name: &str) -> Result<Shell, String> {
    Shell::from_name(name).ok_or_else(|| {
        let words: Vec<&str> = Shell::ALL.iter().map(|shell| shell.word()).collect();
        format!("not a shell that dockseal writes for; those are {} and their like", words.join(", "))
    })
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let shell = args.shell.unwrap_or_else(|| asking_shell(invocation));
    let command = own_command(args, invocation.docker.as_ref());
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    if args.unset {
        match output.format() {
            Format::Human | Format::Prometheus => output.raw(env::unset(shell, &command)),
            Format::Json => output.result("", &wire(None, None, None)),
        }
        return Ok(ExitCode::SUCCESS);
    }

    let (dir, dialled) = match (&args.dir, &invocation.docker) {
        (None, Some(_)) => docker::in_use(invocation)?,
        (dir, _) => (client_directory(dir.as_deref(), invocation)?, None),
    };
    warn_of_gaps(&dir, output);
    if let Ok(ca) = dockseal_store::read_as_docker(&dir.join(layout::CA_FILE))
        && let Some(note) = bundle_note(&ca.bytes, invocation)
    {
        output.note(&note);
    }
    let host = match args.host.as_ref().or(dialled.as_ref()) {
        Some(text) => Some(contexts::host(text, &format!("cannot use {text:?} as DOCKER_HOST"))?),
        None => daemon_url(&dir),
    };
    if host.is_none() {
        output.note("DOCKER_HOST is left alone, since nothing here tells where the daemon is; name it with --host");
    }

    match output.format() {
        Format::Human | Format::Prometheus => {
            let variables = Variables { host: host.as_deref(), cert_path: dir.as_os_str().as_bytes() };
            output.raw(env::set(shell, &variables, &command).map_err(|error| inexpressible(shell, &error))?);
        }
        Format::Json => {
            let path = dir.to_str().ok_or_else(|| {
                Failure::trouble(format!("cannot write {} as JSON", dir.display()))
                    .cause("it is not Unicode text")
                    .hint("leave --format json out")
            })?;
            output.result("", &wire(host.as_deref(), Some("1"), Some(path)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `null` for a variable that is to be removed or, where another has a value, left alone.
fn wire(host: Option<&str>, verify: Option<&str>, path: Option<&str>) -> serde_json::Value {
    json!({ "schema": 1, "variables": { env::HOST: host, env::TLS_VERIFY: verify, env::CERT_PATH: path } })
}

fn inexpressible(shell: Shell, error: &EnvError) -> Failure {
    Failure::trouble(format!("cannot print the variables for {shell}"))
        .cause(error)
        .hint("move the directory to a path of plain characters")
}

/// The command line for the comment at the end, without what is global and without what was found by itself.
fn own_command(args: &Args, docker: Option<&TlsFlags>) -> Vec<String> {
    let mut words = match docker {
        None => vec!["dockseal".to_owned()],
        Some(flags) => ["docker".to_owned()].into_iter().chain(flags.words()).chain(["seal".to_owned()]).collect(),
    };
    words.push("env".to_owned());
    if let Some(dir) = &args.dir {
        // What is not Unicode becomes U+FFFD; a control character in its place has the word left out instead.
        words.push(dir.to_str().map_or_else(|| "\u{0}".to_owned(), str::to_owned));
    }
    if let Some(host) = &args.host {
        words.extend(["--host".to_owned(), host.clone()]);
    }
    if let Some(shell) = args.shell {
        words.extend(["--shell".to_owned(), shell.word().to_owned()]);
    }
    if args.unset {
        words.push("--unset".to_owned());
    }
    words
}

fn client_directory(dir: Option<&Path>, invocation: &Invocation) -> Result<PathBuf, Failure> {
    let given = match dir {
        Some(dir) => dir,
        None => {
            let here = Path::new(".");
            if !missing_files(here).is_empty() {
                return Err(Failure::trouble("cannot tell which client is meant")
                    .cause("the current directory does not hold ca.pem, cert.pem and key.pem")
                    .hint("name the client's directory, e.g. dockseal env build.example.com/clients/ada"));
            }
            here
        }
    };
    let absolute = invocation.absolute(given)?;
    let cause = match fs::metadata(&absolute) {
        Ok(found) if found.is_dir() => return Ok(absolute),
        Ok(_) => "it is not a directory".to_owned(),
        Err(error) => error.to_string(),
    };
    let failure =
        Failure::trouble(format!("cannot use {} as DOCKER_CERT_PATH", printable(&absolute.to_string_lossy())));
    let home = invocation.variable("HOME").map(PathBuf::from);
    Err(match miswritten_directory(given, home.as_deref()) {
        Some(Miswritten { wrong, meant }) => {
            let meant = env::word_of_command(Shell::Sh, &meant);
            failure.cause(format!("{cause}: it {wrong}")).hint(format!("name {meant} instead"))
        }
        None => failure.cause(cause).hint("name the directory that holds ca.pem, cert.pem and key.pem"),
    })
}

fn missing_files(dir: &Path) -> Vec<&'static str> {
    let mut files = vec![layout::CA_FILE, layout::CERT_FILE, layout::KEY_FILE];
    files.retain(|file| !dir.join(file).is_file());
    files
}

/// docker refuses a directory without ca.pem, and silently sends no certificate without cert.pem or key.pem
/// (docker/cli cli/flags/options.go SetDefaultOptions, cli/context/docker/load.go).
fn warn_of_gaps(dir: &Path, output: &mut Output) {
    let missing = missing_files(dir);
    if !missing.is_empty() {
        output.warn(&format!("docker will not get through: {} holds no {}", dir.display(), missing.join(", no ")));
    }
    let usages = leaf(&dir.join(layout::CERT_FILE)).and_then(|certificate| certificate.extended_key_usage);
    let client = |usage: &ExtendedKeyUsage| matches!(usage, ExtendedKeyUsage::ClientAuth | ExtendedKeyUsage::Any);
    if usages.is_some_and(|usages| !usages.iter().any(client)) {
        output.warn(&format!("{} is not a client's certificate; the daemon will refuse it", layout::CERT_FILE));
    }
}

/// The daemon's URL, when `dir` is one of the clients that bootstrap made beside a daemon.
fn daemon_url(dir: &Path) -> Option<String> {
    let clients = dir.parent().filter(|parent| parent.file_name().is_some_and(|name| name == "clients"))?;
    let daemon = leaf(&clients.parent()?.join("daemon").join(layout::CERT_FILE))?;
    daemon.names.iter().find_map(|name| match name {
        GeneralName::Dns(name) if !name.starts_with('*') => env::host_url(name).ok(),
        GeneralName::Ip(address) => env::host_url(&address.to_string()).ok(),
        _ => None,
    })
}

fn leaf(path: &Path) -> Option<Certificate> {
    // A pipe would block, and a certificate is small.
    if !fs::metadata(path).ok().is_some_and(|found| found.is_file() && found.len() <= 1 << 20) {
        return None;
    }
    let blocks = pem::decode_all(&fs::read(path).ok()?).ok()?;
    let first = blocks.iter().find(|block| block.tag() == "CERTIFICATE")?;
    Certificate::from_der(first.contents()).ok()
}

fn asking_shell(invocation: &Invocation) -> Shell {
    let login_shell = invocation.variable("SHELL");
    Shell::detect(&ShellFacts {
        ancestors: &ancestors(),
        login_shell: login_shell.as_deref().and_then(|shell| shell.to_str()),
        ps_module_path: cfg!(windows) && invocation.variable("PSModulePath").is_some(),
        windows: cfg!(windows),
    })
}

/// The programs above this process, the nearest first, each by its file and by its own name: a script's process is named
/// after the script, and busybox's file is not named after the shell. Empty where there is no /proc.
fn ancestors() -> Vec<String> {
    let mut names = Vec::new();
    let mut process = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    // Sixteen are more than any terminal puts between a shell and a program.
    for _ in 0..16 {
        let Some(pid) = process.filter(|pid| *pid > 1) else { break };
        let dir = PathBuf::from(format!("/proc/{pid}"));
        if let Ok(file) = fs::read_link(dir.join("exe")) {
            names.extend(file.file_name().map(|name| name.to_string_lossy().into_owned()));
        }
        let Ok(stat) = fs::read(dir.join("stat")) else { break };
        let Some((name, parent)) = name_and_parent(&String::from_utf8_lossy(&stat)) else { break };
        names.push(name);
        process = Some(parent);
    }
    names
}

/// From /proc/PID/stat, `PID (NAME) STATE PARENT …`, where NAME may hold anything (proc_pid_stat(5)).
fn name_and_parent(stat: &str) -> Option<(String, i32)> {
    let (before, after) = stat.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    let parent = after.split_whitespace().nth(1)?.parse().ok()?;
    Some((name.to_owned(), parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_have_any_name() {
        assert_eq!(name_and_parent("12 (bash) S 7 12 12"), Some(("bash".into(), 7)));
        assert_eq!(name_and_parent("12 (a) S 1 (b) R 99 0"), Some(("a) S 1 (b".into(), 99)));
        assert_eq!(name_and_parent("12 bash"), None);
    }
}
