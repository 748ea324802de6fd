//! Where the two sides come from: directories and files, or what Docker's own settings say.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use dockseal_docker::{
    client_settings::{ClientFault, ClientSettings, ClientTls},
    daemon_keys::meant_keys,
    daemon_settings::{DaemonFault, DaemonRequest, DaemonSettings},
    endpoint::Endpoint,
    flags::{FlagError, Program, TlsFlags, take_assignments, words},
    gate::Gate,
    layout::{self, Names},
    mode::{ClientMode, DaemonMode},
    settings::{Environment, FileSetting, Setting, TlsFiles},
    version::Version,
};
use dockseal_verify::{Check, Designation, Material, MaterialFile};

use super::{
    Args, DaemonArgs,
    answer::Shown,
    files::{Desk, Held, Reader},
    notes::Note,
    show,
};
use crate::{
    connection::{self, Connection, Corrections, Stop, read_json, unreadable},
    correction::Correction,
    failure::Failure,
    invocation::Invocation,
};

/// One side as it is known.
pub(super) struct Side<M> {
    pub(super) held: Held,
    /// The mode that was asked for, or that settings came to.
    pub(super) mode: Option<M>,
    /// What settings said, where they did.
    pub(super) said: Option<Said>,
    /// The variables that stand before its flags.
    pub(super) variables: Variables,
    /// The side stops before it reads a file.
    pub(super) fault: Option<Shown>,
}

impl<M> Side<M> {
    /// A side without TLS, which reads no file.
    pub(super) fn without_files(mode: M) -> Self {
        let held = Held::stand_in(&MaterialFile::missing("", Designation::Default));
        Self { held, mode: Some(mode), said: None, variables: Variables::default(), fault: None }
    }
}

/// What stands as NAME=value before a command line.
#[derive(Default)]
pub(super) struct Variables(Vec<(String, String)>);

impl Variables {
    /// A variable's value; of one given twice the last, as in a shell.
    pub(super) fn find(&self, name: &str) -> Option<OsString> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.into())
    }

    /// The same, or what this program has itself.
    pub(super) fn find_or_own(&self, name: &str, invocation: &Invocation) -> Option<OsString> {
        self.find(name).or_else(|| invocation.variable(name))
    }
}

/// What settings came to.
#[derive(Default)]
pub(super) struct Said {
    /// `docker dials …`, `dockerd listens on …`.
    pub(super) headline: String,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) decided: Vec<Setting>,
    pub(super) ignored: Vec<Setting>,
    /// Values that are written as docker reads them otherwise than they were meant.
    pub(super) doubts: Vec<String>,
    /// Files of configuration that could not be read, and were passed over as docker does.
    pub(super) trouble: Vec<String>,
}

pub(super) fn daemon(args: &Args, desk: &Desk) -> Result<Option<Side<DaemonMode>>, Failure> {
    let given = &args.daemon;
    if given.daemon_json.is_some() || given.dockerd_flags.is_some() {
        return daemon_by_settings(args, desk).map(Some);
    }
    let files = [&given.daemon_ca, &given.daemon_cert, &given.daemon_key];
    let Some(held) = named(given.daemon.as_deref(), files, Reader::Dockerd, desk)? else { return Ok(None) };
    let mode = given.daemon_mode.map(DaemonMode::from);
    Ok(Some(Side { held, mode, said: None, variables: Variables::default(), fault: None }))
}

pub(super) fn client(args: &Args, invocation: &Invocation, desk: &Desk) -> Result<Option<Side<ClientMode>>, Failure> {
    let given = &args.client;
    if given.docker_flags.is_some() {
        return client_by_settings(args, invocation, desk).map(Some);
    }
    let files = [&given.client_ca, &given.client_cert, &given.client_key];
    let Some(held) = named(given.client.as_deref(), files, Reader::Docker, desk)? else { return Ok(None) };
    let mode = given.client_mode.map(|word| word.mode(!held.has_no_certificate()));
    Ok(Some(Side { held, mode, said: None, variables: Variables::default(), fault: None }))
}

/// A directory's three files, single ones in their place. Without a directory nobody's default one is meant: what is not
/// named is not there.
fn named(
    directory: Option<&Path>,
    given: [&Option<PathBuf>; 3],
    reader: Reader,
    desk: &Desk,
) -> Result<Option<Held>, Failure> {
    if directory.is_none() && given.iter().all(|file| file.is_none()) {
        return Ok(None);
    }
    if let Some(directory) = directory {
        must_be_directory(directory)?;
    }
    let files = overridden(directory.map_or_else(nothing, |directory| in_directory(directory, reader)), given);
    let [ca, cert, key] = given;
    let mut held = Held::read(&files, reader, desk);
    if directory.is_none() {
        let Material { ca: of_ca, cert: of_cert, key: of_key } = &mut held.material;
        for (file, given, name) in
            [(of_ca, ca, layout::CA_FILE), (of_cert, cert, layout::CERT_FILE), (of_key, key, layout::KEY_FILE)]
        {
            if given.is_none() {
                *file = MaterialFile::missing(name, Designation::Default);
            }
        }
    }
    Ok(Some(held))
}

/// What a side's files are called there.
fn in_directory(directory: &Path, reader: Reader) -> TlsFiles {
    let names = match reader {
        Reader::Dockerd => Names::of_daemon(|name| directory.join(name).exists()),
        Reader::Docker => Names::DOCKER,
    };
    TlsFiles::called(names, directory)
}

/// Files that are named one by one replace others.
fn overridden(files: TlsFiles, given: [&Option<PathBuf>; 3]) -> TlsFiles {
    let file = |other: FileSetting, given: &Option<PathBuf>| match given {
        Some(path) if path.as_os_str().is_empty() => FileSetting::Empty,
        Some(path) => FileSetting::Named(path.clone()),
        None => other,
    };
    let [ca, cert, key] = given;
    TlsFiles { ca: file(files.ca, ca), cert: file(files.cert, cert), key: file(files.key, key) }
}

pub(super) fn must_be_directory(directory: &Path) -> Result<(), Failure> {
    let failure = || Failure::trouble(format!("cannot look into {}", show::path(directory)));
    match std::fs::metadata(directory) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(failure()
            .cause("it is not a directory")
            .hint("name the directory with ca.pem, cert.pem and key.pem, or single files with --daemon-cert, --client-cert and so on")),
        Err(error) => Err(failure().cause(error).hint("name the directory that holds ca.pem, cert.pem and key.pem")),
    }
}

/// A command line given as one argument: its variables, then its flags, or why Docker takes none of them.
fn command_line(
    text: &str,
    option: &str,
    program: Program,
) -> Result<(Variables, Result<TlsFlags, FlagError>), Failure> {
    let failure = || Failure::trouble(format!("cannot read the command line in {option}"));
    let mut words = words(text).map_err(|error| failure().cause(error).hint("quote it as for a shell"))?;
    let variables = Variables(take_assignments(&mut words));
    if words.first().is_some_and(|word| ["docker", "dockerd"].iter().any(|name| word.rsplit('/').next() == Some(*name)))
    {
        words.remove(0);
    }
    let flags = TlsFlags::parse(program, &words);
    Ok((variables, flags))
}

fn daemon_by_settings(args: &Args, desk: &Desk) -> Result<Side<DaemonMode>, Failure> {
    let (variables, flags) =
        command_line(args.daemon.dockerd_flags.as_deref().unwrap_or_default(), "--dockerd-flags", Program::Dockerd)?;
    let refused = |text| Shown::note(Note::SettingsRefused, Some(Gate::DaemonStarts), text);
    let flags = match flags {
        Ok(flags) => flags,
        Err(error) => {
            let fault = Some(refused(error.to_string()));
            return Ok(Side { fault, ..Side::without_files(DaemonMode::TlsVerify) });
        }
    };
    let mut environment = Environment::read(|name| variables.find(name));
    // systemd starts it as root, without HOME; Go then asks the passwd file.
    environment.home.get_or_insert_with(|| "/root".into());
    let json = match args.daemon.daemon_json.as_deref().or(flags.config_file.as_deref().map(Path::new)) {
        Some(path) => {
            let mut opened = read_json(path).map_err(|error| unreadable("daemon.json", &error))?;
            Some(std::mem::take(&mut *opened.bytes))
        }
        None => None,
    };
    let request = DaemonRequest { flags, environment, daemon_json: json, version: args.dockerd };
    Ok(match request.resolve() {
        Ok(settings) => {
            let files = as_they_are_now(settings.files.clone().unwrap_or_else(nothing), &args.daemon)?;
            let held = Held::read(&files, Reader::Dockerd, desk);
            let mode = Some(settings.mode);
            Side { held, mode, said: Some(said_of_daemon(settings)), variables, fault: None }
        }
        Err(fault) => Side {
            held: Held::read(&nothing(), Reader::Dockerd, desk),
            mode: Some(DaemonMode::TlsVerify),
            said: None,
            variables,
            fault: Some(match remedy(&fault, args.dockerd) {
                Some(remedy) => Shown { remedy: remedy.into(), ..refused(stops(&fault)) },
                None => refused(stops(&fault)),
            }),
        },
    })
}

/// The files of a configuration that is meant for another place, where `--daemon` says they are now. One of which dockerd
/// is not told stays unread.
fn as_they_are_now(told: TlsFiles, given: &DaemonArgs) -> Result<TlsFiles, Failure> {
    let moved = match &given.daemon {
        None => told.clone(),
        Some(directory) => {
            must_be_directory(directory)?;
            told.moved_to(directory).ok_or_else(|| {
                Failure::trouble(format!("cannot look for the daemon's files in {}", show::path(directory)))
                    .cause("two of them have the same name in different directories")
                    .hint("name each with --daemon-ca, --daemon-cert and --daemon-key instead")
            })?
        }
    };
    let TlsFiles { ca, cert, key } = overridden(moved, [&given.daemon_ca, &given.daemon_cert, &given.daemon_key]);
    let unless_untold = |told: FileSetting, now| if told == FileSetting::Empty { told } else { now };
    Ok(TlsFiles {
        ca: unless_untold(told.ca, ca),
        cert: unless_untold(told.cert, cert),
        key: unless_untold(told.key, key),
    })
}

fn stops(fault: &DaemonFault) -> String {
    match fault {
        DaemonFault::Json(_) | DaemonFault::UnknownKeys { .. } | DaemonFault::Conflict { .. } => {
            format!("unable to configure the Docker daemon with file daemon.json: {fault}")
        }
        DaemonFault::EmptyFlagPanics { .. } | DaemonFault::Endpoint(_) => fault.to_string(),
    }
}

/// What to write in place of keys that dockerd does not take.
fn remedy(fault: &DaemonFault, dockerd: Version) -> Option<String> {
    let DaemonFault::UnknownKeys { keys } = fault else { return None };
    Some(format!("In daemon.json {}.", meant_keys(keys, dockerd)))
}

fn said_of_daemon(settings: DaemonSettings) -> Said {
    let listeners: Vec<String> = settings.listeners.iter().map(ToString::to_string).collect();
    Said {
        headline: format!("dockerd listens on {}", listeners.join(", ")),
        endpoints: settings.listeners,
        decided: settings.decided,
        ignored: settings.ignored,
        doubts: Vec::new(),
        trouble: Vec::new(),
    }
}

fn nothing() -> TlsFiles {
    TlsFiles { ca: FileSetting::Empty, cert: FileSetting::Empty, key: FileSetting::Empty }
}

/// What the docker command would use: flags given here, the environment, config.json, the context store.
pub(super) fn client_by_settings(
    args: &Args,
    invocation: &Invocation,
    desk: &Desk,
) -> Result<Side<ClientMode>, Failure> {
    let given = args.client.docker_flags.as_deref();
    let refused = |text| stopped(Shown::note(Note::SettingsRefused, Some(Gate::ClientLoads), text));
    let (variables, flags) = command_line(given.unwrap_or_default(), "--docker-flags", Program::Docker)?;
    let mut flags = match flags {
        Ok(flags) => flags,
        Err(error) => return Ok(refused(error.to_string())),
    };
    if given.is_none() {
        flags = invocation.docker.clone().unwrap_or(flags);
    }
    let environment = Environment::read(|name| variables.find_or_own(name, invocation));
    let resolved = connection::resolve(flags, environment, args.docker)?;
    Ok(match resolved {
        Ok(Connection { settings, trouble, corrections, .. }) => {
            let files = match &settings.tls {
                ClientTls::On { files, .. } => files.clone(),
                ClientTls::Off => nothing(),
            };
            let held = Held::read(&files, Reader::Docker, desk);
            let (mode, said) = (Some(settings.tls.mode()), Some(said_of_client(settings, trouble, &corrections)));
            Side { held, mode, said, variables, fault: None }
        }
        Err(Stop::Settings { fault: fault @ ClientFault::EmptyFlagPanics { .. }, .. }) => {
            stopped(Shown::check(Check::ClientPanics, Gate::ClientLoads, fault.to_string()))
        }
        Err(stop @ Stop::Settings { host: Some(_), .. }) => {
            refused(format!("{}; {}", stop.text(), stop.hint(invocation.called())))
        }
        Err(stop) => refused(stop.text()),
    })
}

fn stopped(fault: Shown) -> Side<ClientMode> {
    Side { fault: Some(fault), ..Side::without_files(ClientMode::TlsVerifyCert) }
}

fn said_of_client(settings: ClientSettings, trouble: Vec<String>, corrections: &Corrections) -> Said {
    let corrections = [&corrections.host, &corrections.directory].into_iter().flatten();
    let mut doubts: Vec<String> = corrections.map(|Correction { wrong, fix }| format!("{wrong}: {fix}")).collect();
    if !settings.base_path.is_empty() {
        let path = &settings.base_path;
        doubts.push(format!("docker puts the path {path} before every request's, where dockerd has nothing"));
    }
    Said {
        headline: format!("docker dials {}", settings.url()),
        endpoints: vec![settings.endpoint],
        decided: settings.decided,
        ignored: settings.ignored,
        doubts,
        trouble,
    }
}
