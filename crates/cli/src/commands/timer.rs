//! `dockseal timer`: what runs `dockseal renew --due` by itself.

mod units;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use dockseal_docker::env::{Shell, word_of_command};
use dockseal_pki::{KeyError, PrivateKey};
use dockseal_store::{make_parents, remove, replace};
use serde_json::json;

use self::units::{Job, MARK};
use crate::{
    authority::{read as read_authority, read_key},
    failure::Failure,
    groups::{PassphraseArgs, parse_lifetime},
    hints::{read_hint, write_failure},
    invocation::Invocation,
    output::Output,
    report::SCHEMA,
};

const WHAT: &str = "cannot make the timer";
/// systemd's own mode for units: they hold nothing secret.
const UNIT_MODE: u32 = 0o644;

#[derive(clap::Args)]
#[command(
    after_help = "Once a day, at a moment that chance chooses, what is due is renewed; a day on which the machine was off is made up\n\
    for. Without --install the units and a line for cron are printed, and nothing is changed.\n\n\
    Examples:\n  \
    dockseal timer\n  \
    dockseal timer --install --exec 'systemctl restart docker'\n  \
    dockseal timer --install --passphrase-file /root/dockseal.passphrase\n  \
    dockseal timer --remove"
)]
pub(crate) struct Args {
    /// Write the units and start the timer
    #[arg(long, conflicts_with = "remove")]
    install: bool,
    /// Stop the timer and take the units away
    #[arg(long)]
    remove: bool,
    /// With --install: put them in the place of ours that are there and differ
    #[arg(long, requires = "install")]
    replace: bool,
    /// For the machine, run by root [default for root]
    #[arg(long, conflicts_with = "user")]
    system: bool,
    /// For the user who runs this [default for everybody else]
    #[arg(long)]
    user: bool,
    /// The name of both units
    #[arg(long, value_name = "NAME", default_value = "dockseal-renew")]
    unit: String,
    /// When, as systemd.time(7) has it
    #[arg(long, value_name = "EXPRESSION", default_value = "daily")]
    calendar: String,
    /// The longest that a run is put off, by chance, so that not all machines work at once
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    jitter: String,
    /// The command that follows each renewal, as for renew
    #[arg(long, value_name = "COMMAND")]
    exec: Option<String>,
    /// The file with the passphrase of the authority's key
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Instead of /, and without talking to systemd
    #[arg(long, value_name = "DIR", hide = true)]
    root: Option<PathBuf>,
}

/// Whose service manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    System,
    User,
}

/// A unit and where it belongs.
struct Unit {
    path: PathBuf,
    text: String,
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let scope = match (args.system, args.user) {
        (true, _) => Scope::System,
        (false, true) => Scope::User,
        (false, false) if nix::unistd::geteuid().is_root() => Scope::System,
        (false, false) => Scope::User,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if args.unit.is_empty() || args.unit.len() > 200 || !args.unit.chars().all(plain) {
        return Err(Failure::trouble(WHAT)
            .cause(format!("{:?} is no name for units", args.unit))
            .hint("letters, digits, and . _ - will do"));
    }
    let directory = unit_directory(args, scope, invocation)?;
    let path = |kind: &str| directory.join(format!("{}.{kind}", args.unit));
    if args.remove {
        return take_away(args, scope, &[path("timer"), path("service")], output);
    }

    let (service, timer, cron) = texts(args, scope, invocation, output)?;
    let units = [Unit { path: path("service"), text: service }, Unit { path: path("timer"), text: timer }];
    let commands = commands(scope, &["daemon-reload"], &["enable", "--now", &format!("{}.timer", args.unit)]);
    let shown: Vec<_> =
        units.iter().map(|unit| json!({ "path": unit.path.display().to_string(), "text": unit.text })).collect();
    let mut wire = json!({ "schema": SCHEMA, "units": shown, "cron": cron, "commands": lines(&commands) });
    if !args.install {
        let mut human = String::new();
        for unit in &units {
            human.push_str(&format!("# {}\n{}\n", unit.path.display(), unit.text));
        }
        human.push_str(&format!("# Then: {}\n", lines(&commands).join(" && ")));
        match &cron {
            Some(cron) => human.push_str(&format!("\n# Without systemd, a line for crontab -e:\n{cron}\n")),
            None => output.note("a command of several lines cannot be put into a crontab"),
        }
        output.result(&human, &wire);
        return Ok(ExitCode::SUCCESS);
    }

    let written = install(args, &directory, &units)?;
    if args.root.is_none() {
        for command in &commands {
            systemctl(command).map_err(|cause| {
                Failure::trouble("the timer was written but does not run").cause(cause).hint(format!(
                    "where systemd is at work: {}; elsewhere cron does it: dockseal timer prints a line for it",
                    lines(&commands).join(" && ")
                ))
            })?;
        }
    }
    if scope == Scope::User && args.root.is_none() {
        output.note("it runs while you are logged in; loginctl enable-linger lets it run always");
    }
    let state = if written { "installed" } else { "unchanged" };
    let paths: Vec<String> = units.iter().map(|unit| unit.path.display().to_string()).collect();
    if let Some(wire) = wire.as_object_mut() {
        wire.insert("state".to_owned(), state.into());
    }
    let human = if written {
        format!(
            "Installed {}\n\nSee when it runs: systemctl {}list-timers {}.timer\n",
            paths.join(" and "),
            flag(scope),
            args.unit
        )
    } else {
        format!("{} are there already; nothing was changed\n", paths.join(" and "))
    };
    output.result(&human, &wire);
    Ok(ExitCode::SUCCESS)
}

fn unit_directory(args: &Args, scope: Scope, invocation: &Invocation) -> Result<PathBuf, Failure> {
    let root = match &args.root {
        None => PathBuf::from("/"),
        Some(root) => invocation.absolute(root)?,
    };
    match scope {
        Scope::System => Ok(root.join("etc/systemd/system")),
        // systemd.unit(5), "Unit File Load Path".
        Scope::User => invocation
            .variable("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| invocation.variable("HOME").map(|home| Path::new(&home).join(".config")))
            .map(|config| config.join("systemd/user"))
            .ok_or_else(|| {
                Failure::trouble(WHAT)
                    .cause("neither HOME nor XDG_CONFIG_HOME is set")
                    .hint("set HOME, or use --system")
            }),
    }
}

/// The service, the timer, and the line for cron.
fn texts(
    args: &Args,
    scope: Scope,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<(String, String, Option<String>), Failure> {
    let home = invocation.home()?;
    let files = read_authority(&home)?;
    let passphrase_file = match PrivateKey::from_pem(&files.key.bytes, None) {
        Err(KeyError::Encrypted) => {
            let file = args.passphrase_file.clone().ok_or_else(|| {
                Failure::trouble(WHAT)
                    .cause("the authority's key has a passphrase, and nobody will be there to type it")
                    .hint("keep it in a file that only its user can read, and give that with --passphrase-file FILE")
            })?;
            let source =
                PassphraseArgs { passphrase_file: Some(file.clone()), passphrase_fd: None, no_passphrase: false };
            // Better now than some night.
            read_key(&files.key.bytes, &files.key_path, &source, invocation, output)?;
            Some(unit_text(&invocation.absolute(&file)?)?)
        }
        _ => {
            if args.passphrase_file.is_some() {
                output.note("the authority's key has no passphrase, so --passphrase-file is not used");
            }
            None
        }
    };
    let calendar = |c: char| c.is_ascii_alphanumeric() || " ,.*:/~+-_".contains(c);
    if args.calendar.trim().is_empty() || !args.calendar.chars().all(calendar) {
        return Err(Failure::trouble(WHAT)
            .cause(format!("{:?} is no calendar expression", args.calendar))
            .hint("give e.g. daily, or 'Mon *-*-* 03:00'; systemd-analyze calendar EXPRESSION explains one"));
    }
    let jitter = match args.jitter.as_str() {
        "0" => 0,
        text => parse_lifetime(text)?.duration().whole_seconds(),
    };
    if args.exec.as_deref().is_some_and(|command| command.trim().is_empty() || command.contains('\0')) {
        return Err(Failure::trouble(WHAT).cause("the command is empty").hint("leave --exec out, or name a command"));
    }
    let program = unit_text(&invocation.program()?)?;
    let authority = unit_text(home.path())?;
    let job = Job {
        scope,
        program: &program,
        authority: &authority,
        passphrase_file: passphrase_file.as_deref(),
        exec: args.exec.as_deref(),
        calendar: args.calendar.trim(),
        jitter,
    };
    // Machines that were made alike do not all start at the same minute.
    let spread =
        invocation.around().run.machine.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    Ok((job.service(), job.timer(), job.cron(spread)))
}

/// A path that can stand in a unit: systemd reads them as UTF-8, a line at a time.
fn unit_text(path: &Path) -> Result<String, Failure> {
    path.to_str()
        .filter(|text| !text.chars().any(char::is_control) && !text.ends_with(['\\', ' ']))
        .map(str::to_owned)
        .ok_or_else(|| {
            Failure::trouble(WHAT)
                .cause(format!("{} cannot stand in a systemd unit", dockseal_pki::printable(&path.to_string_lossy())))
                .hint("give it a name of printable characters")
        })
}

/// Writes what is not there yet; whether anything was.
fn install(args: &Args, directory: &Path, units: &[Unit]) -> Result<bool, Failure> {
    let mut differing = Vec::new();
    for unit in units {
        match dockseal_store::read(&unit.path) {
            Ok(file) if *file.bytes == unit.text.as_bytes() => {}
            Ok(file) if !is_ours(&file.bytes) => return Err(not_ours(&unit.path)),
            Ok(_) if !args.replace => {
                return Err(Failure::no(WHAT)
                    .cause(format!("{} is there and differs", unit.path.display()))
                    .hint("--replace puts the new one in its place; --unit NAME makes a second timer beside it"));
            }
            Err(error) if !error.is_not_found() => {
                return Err(read_hint(Failure::trouble(WHAT).cause(&error), &error));
            }
            Ok(_) | Err(_) => differing.push(unit),
        }
    }
    make_parents(directory).map_err(|error| write_failure(WHAT, &error))?;
    for unit in &differing {
        replace(&unit.path, UNIT_MODE, unit.text.as_bytes()).map_err(|error| write_failure(WHAT, &error))?;
    }
    Ok(!differing.is_empty())
}

fn take_away(args: &Args, scope: Scope, paths: &[PathBuf], output: &mut Output) -> Result<ExitCode, Failure> {
    let what = "cannot remove the timer";
    let mut there = Vec::new();
    for path in paths {
        match dockseal_store::read(path) {
            Ok(file) if is_ours(&file.bytes) => there.push(path),
            Ok(_) => return Err(Failure { what: what.to_owned(), ..not_ours(path) }),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(read_hint(Failure::trouble(what).cause(&error), &error)),
        }
    }
    let removed: Vec<String> = there.iter().map(|path| path.display().to_string()).collect();
    let wire = json!({ "schema": SCHEMA, "removed": removed });
    if there.is_empty() {
        output.result("There is no such timer; nothing was changed\n", &wire);
        return Ok(ExitCode::SUCCESS);
    }
    let [stop, reload] = commands(scope, &["disable", "--now", &format!("{}.timer", args.unit)], &["daemon-reload"]);
    let talk = |command: &[String], output: &mut Output| {
        if args.root.is_none()
            && let Err(cause) = systemctl(command)
        {
            output.warn(&format!("{}: {cause}", command.join(" ")));
        }
    };
    talk(&stop, output);
    for path in there {
        remove(path).map_err(|error| write_failure(what, &error))?;
    }
    talk(&reload, output);
    output.result(&format!("Removed {}\n", removed.join(" and ")), &wire);
    Ok(ExitCode::SUCCESS)
}

fn is_ours(bytes: &[u8]) -> bool {
    bytes.starts_with(MARK.as_bytes())
}

fn not_ours(path: &Path) -> Failure {
    Failure::no(WHAT)
        .cause(format!("{} was not made by dockseal timer", path.display()))
        .hint("see whose it is, or choose another name with --unit NAME")
}

fn flag(scope: Scope) -> &'static str {
    match scope {
        Scope::System => "",
        Scope::User => "--user ",
    }
}

fn commands(scope: Scope, first: &[&str], second: &[&str]) -> [Vec<String>; 2] {
    [first, second].map(|words| {
        let start = ["systemctl"].into_iter().chain((scope == Scope::User).then_some("--user"));
        start.chain(words.iter().copied()).map(str::to_owned).collect()
    })
}

fn lines(commands: &[Vec<String>]) -> Vec<String> {
    let line =
        |words: &Vec<String>| words.iter().map(|word| word_of_command(Shell::Sh, word)).collect::<Vec<_>>().join(" ");
    commands.iter().map(line).collect()
}

/// Runs it; what it says goes to standard error.
fn systemctl(command: &[String]) -> Result<(), String> {
    let (program, words) = command.split_first().ok_or("no command")?;
    let status = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .map_err(|error| format!("{program}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", command.join(" "))) }
}
