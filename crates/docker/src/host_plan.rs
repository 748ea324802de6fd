//! What is to change on a host so that its dockerd listens with mutual TLS, and how to take that back out.
//!
//! The sockets go into daemon.json, beside the one that is there already; the flags that would clash with it are taken off
//! the unit's command line by a drop-in (moby daemon/command/daemon.go getConflictFreeConfiguration). What the whole will
//! do is asked of [`crate::daemon_settings`] before anything is proposed.

mod refusal;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use dockseal_pki::printable;
use serde_json::{Value, json};

use crate::{
    daemon_json::{Document, INSTALL_DIRECTORY, TLS_PORT},
    daemon_settings::{DaemonFault, DaemonRequest, DaemonSettings},
    endpoint::Endpoint,
    exec_start::{Parted, Word, part, words},
    flags::{Program, TlsFlags, may_await_value},
    host::{FileKind, Flavour, HostFacts, HostFile, Init},
    host_record::Record,
    layout,
    mode::DaemonMode,
    settings::Environment,
    version::Version,
};

pub use refusal::PlanRefusal;

/// The unit of dockerd.
pub const SERVICE: &str = "docker.service";
/// Our drop-in.
pub const DROP_IN: &str = "/etc/systemd/system/docker.service.d/dockseal.conf";
/// The same where another drop-in that has a say in the command line would come after it (systemd.unit(5): by name).
pub const LATE_DROP_IN: &str = "/etc/systemd/system/docker.service.d/zz-dockseal.conf";
/// Where dockerd looks for its configuration, unless a flag says otherwise.
pub const DAEMON_JSON: &str = "/etc/docker/daemon.json";
/// Where a change leaves word of what was there before, so that it can be taken back out.
pub const RECORD: &str = "/var/lib/dockseal/installed.json";
/// The keys of daemon.json that name our files, and their names.
const OUR_FILES: [(&str, &str); 3] =
    [("tlscacert", layout::CA_FILE), ("tlscert", layout::CERT_FILE), ("tlskey", layout::KEY_FILE)];
/// The socket of dockerd, where nothing else is said (moby daemon/config, opts/hosts.go DefaultUnixSocket).
pub const UNIX_SOCKET: &str = "unix:///var/run/docker.sock";

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aim {
    /// The address on which dockerd is to listen; `0.0.0.0` for all, IPv6 included. Without one it may be any.
    pub listen: Option<IpAddr>,
    /// Whether TLS settings of others may be replaced.
    pub replace: bool,
    /// Whether containers are to run on while dockerd restarts, where something is to be said about that.
    pub live_restore: bool,
    /// The value of `userns-remap`, where one is wanted.
    pub userns_remap: Option<String>,
}

/// What is to be done on a host besides the certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPlan {
    /// The files that change.
    pub files: Vec<FileChange>,
    /// How dockerd is restarted.
    pub restart: RestartWay,
    /// The arguments with which dockerd will be started, `--config-file` included.
    pub arguments: Vec<String>,
    /// Where dockerd will listen, as daemon.json or its flags have it.
    pub hosts: Vec<String>,
    /// What is worth knowing.
    pub notes: Vec<String>,
    /// What should be weighed first.
    pub warnings: Vec<String>,
}

/// A file that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    /// Where.
    pub path: String,
    /// What is there; `None` where nothing is.
    pub before: Option<Vec<u8>>,
    /// What is to be there; `None` for nothing.
    pub after: Option<String>,
    /// The mode of a new file.
    pub mode: u32,
}

/// How dockerd is restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartWay {
    /// `systemctl restart docker.service`.
    Systemd,
    /// `rc-service docker restart`.
    OpenRc,
    /// `service docker restart`.
    SysV,
}

/// How dockerd is started there, today and without what we did.
struct Standing {
    /// The command line of the unit, or of what runs where there is no unit.
    parted: Parted,
    /// The words that the unit keeps, `None` without a unit.
    has_unit: bool,
    restart: RestartWay,
    drop_in: &'static str,
}

fn standing(facts: &HostFacts) -> Result<Standing, PlanRefusal> {
    if facts.flavour != Flavour::Package {
        return Err(PlanRefusal::Flavour(facts.flavour));
    }
    if facts.daemons.len() > 1 {
        return Err(PlanRefusal::SeveralDaemons(facts.daemons.len()));
    }
    if !facts.writable {
        return Err(PlanRefusal::ReadOnly);
    }
    if let Some(who) = &facts.changeable {
        return Err(PlanRefusal::Changeable(who.clone()));
    }
    let running = facts.daemons.first().map(|daemon| part(daemon.arguments().iter().map(|word| plain(word)).collect()));
    let restart = match (facts.init, &facts.unit) {
        (Init::Systemd, Some(_)) => RestartWay::Systemd,
        (Init::OpenRc, _) => RestartWay::OpenRc,
        (Init::SysV, _) => RestartWay::SysV,
        _ => return Err(PlanRefusal::NoService),
    };
    let Some(unit) = facts.unit.as_ref().filter(|_| restart == RestartWay::Systemd) else {
        let running = running.unwrap_or_default();
        if !running.hosts.is_empty() || !running.tls.is_empty() {
            return Err(PlanRefusal::FlagsFromElsewhere(flags_of(&running)));
        }
        return Ok(Standing { parted: running, has_unit: false, restart, drop_in: DROP_IN });
    };
    let unit = unit.without(DROP_IN).without(LATE_DROP_IN);
    let (lines, last) = unit.exec_start();
    let [line] = lines.as_slice() else {
        return Err(PlanRefusal::ExecStart(match lines.len() {
            0 => "there is none".to_owned(),
            several => format!("there are {several}"),
        }));
    };
    let all = words(line).ok_or_else(|| PlanRefusal::ExecStart("a quotation mark is not closed".to_owned()))?;
    let Some(program) = program(&all).and_then(|at| all.get(at)).map(|word| word.value.clone()) else {
        return Err(PlanRefusal::ExecStart(format!("it does not start dockerd, but {line}")));
    };
    let parted = part(all);
    // Whether a program in dockerd's place hands its flags on, the dockerd that it started tells.
    if program.rsplit('/').next() != Some("dockerd") {
        let flags = |parted: &Parted| (parted.hosts.clone(), parted.tls.clone());
        if running.as_ref().map(flags) != today(facts).as_ref().map(flags) {
            return Err(PlanRefusal::ExecStart(format!(
                "it starts {program}, and no dockerd runs with the same flags"
            )));
        }
    }
    let config_file = match &running {
        Some(running) => running.config_file.as_ref(),
        None => parted.config_file.as_ref(),
    };
    if let Some(path) = config_file
        && (!path.starts_with('/') || running.is_none() && literal(path).as_ref() != Some(path))
    {
        return Err(PlanRefusal::ExecStart(format!("which file --config-file {path} is cannot be told")));
    }
    // What runs may have more than the unit says: $DOCKER_OPTS of an environment file. Our own drop-in took nothing that
    // is not in the unit.
    if let Some(running) = &running {
        let mut extra: Vec<String> =
            running.hosts.iter().filter(|host| !parted.hosts.contains(host)).map(|host| format!("-H {host}")).collect();
        extra.extend(running.tls.iter().filter(|flag| !parted.tls.contains(flag)).cloned());
        let has_variables = parted.kept.iter().any(|word| word.raw.contains('$'));
        if !extra.is_empty() && has_variables {
            return Err(PlanRefusal::FlagsFromElsewhere(extra));
        }
    }
    let late = last.is_some_and(|path| path.contains(".d/") && path.rsplit('/').next() > DROP_IN.rsplit('/').next());
    Ok(Standing { parted, has_unit: true, restart, drop_in: if late { LATE_DROP_IN } else { DROP_IN } })
}

fn flags_of(parted: &Parted) -> Vec<String> {
    parted.hosts.iter().map(|host| format!("-H {host}")).chain(parted.tls.iter().cloned()).collect()
}

fn plain(word: &str) -> Word {
    Word { raw: word.to_owned(), value: word.to_owned() }
}

/// What dockerd does today, as far as flags, environment and daemon.json tell.
///
/// # Errors
/// It would not start with what is there now.
pub fn present(facts: &HostFacts) -> Result<DaemonSettings, PlanRefusal> {
    let mut request = DaemonRequest { version: version(facts), ..DaemonRequest::default() };
    if let Some(daemon) = facts.daemons.first() {
        request.flags = TlsFlags::parse(Program::Dockerd, daemon.arguments()).unwrap_or_default();
        request.environment = environment(facts);
    } else if let Some(unit) = &facts.unit
        && let Some(line) = unit.exec_start().0.first()
    {
        let values: Vec<String> = words(line).unwrap_or_default().into_iter().skip(1).map(|word| word.value).collect();
        request.flags = TlsFlags::parse(Program::Dockerd, &values).unwrap_or_default();
    }
    request.daemon_json.clone_from(&facts.daemon_json.contents);
    request.resolve().map_err(PlanRefusal::WouldNotStart)
}

fn environment(facts: &HostFacts) -> Environment {
    let pairs = facts.daemons.first().map(|daemon| daemon.environment.as_slice()).unwrap_or_default();
    Environment::read(|name| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.into()))
}

/// The generation of the dockerd there.
#[must_use]
pub fn version(facts: &HostFacts) -> Version {
    let number = facts
        .docker_version
        .as_deref()
        .and_then(|text| text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit())));
    let major = number.and_then(|number| number.split('.').next()?.parse::<u32>().ok());
    match major {
        Some(..23) => Version::V20_10,
        Some(23..29) => Version::V28,
        _ => Version::V29,
    }
}

/// What makes dockerd listen with mutual TLS, with its files in [`INSTALL_DIRECTORY`].
///
/// # Errors
/// It cannot be done there, or would lock somebody out unasked.
pub fn install(facts: &HostFacts, aim: &Aim) -> Result<HostPlan, PlanRefusal> {
    let standing = standing(facts)?;
    let (json, mut document) = daemon_json(facts)?;
    let (mut notes, mut warnings) = (Vec::new(), Vec::new());
    if facts.is_untried && !facts.daemons.is_empty() {
        warnings.push(format!(
            "{} was written after dockerd started: nobody has seen it start with that; if it cannot, taking this change back does \
             not bring it back",
            facts.daemon_json.path
        ));
    }
    if !aim.replace {
        refuse_other_tls(facts, &flags_about_tls(facts, &standing), &document)?;
    }
    refuse_taken_port(facts)?;

    let earlier = recorded(facts, &standing, &document);
    let hosts = hosts(&standing, &document, earlier.as_ref(), aim, &mut warnings)?;
    let mut wanted = vec![("hosts", json!(hosts)), ("tlsverify", json!(true))];
    wanted.extend(OUR_FILES.map(|(key, file)| (key, json!(installed(file)))));
    if aim.live_restore {
        wanted.push(("live-restore", json!(true)));
    }
    if let Some(remap) = &aim.userns_remap {
        wanted.push(("userns-remap", json!(remap)));
    }
    let old = document.clone();
    // What counts is how the dockerd was started that is to be stopped.
    let flagged = standing.parted.kept.iter().any(|word| word.value == "--live-restore");
    let run_on = flagged || document.value("live-restore") == Some(Value::Bool(true));
    for (key, value) in &wanted {
        document.set(key, value);
    }
    let text = document.text();
    let record = Record::of(earlier, json.map(Vec::as_slice), &old, &text, &wanted);
    let mut files = vec![FileChange {
        path: facts.daemon_json.path.clone(),
        before: facts.daemon_json.contents.clone(),
        after: Some(text),
        mode: mode_of(&facts.daemon_json),
    }];
    let clashes = !standing.parted.hosts.is_empty() || !standing.parted.tls.is_empty();
    if standing.has_unit && clashes {
        let (place, late) = (standing.drop_in, &facts.late_drop_in);
        let there = if place == LATE_DROP_IN { late } else { &facts.drop_in };
        files.push(FileChange {
            path: place.to_owned(),
            before: there.contents.clone(),
            after: Some(drop_in(&standing.parted)),
            mode: layout::CONFIGURATION_MODE,
        });
        // One that comes after it would have the last word; one that comes before has none.
        if place == DROP_IN && late.kind.is_some() {
            files.push(removal(late));
        }
    }
    files.push(FileChange {
        path: RECORD.to_owned(),
        before: facts.record.contents.clone(),
        after: Some(record.text()),
        mode: layout::CONFIGURATION_MODE,
    });
    files.retain(|file| file.before.as_deref() != file.after.as_ref().map(String::as_bytes));
    // Where nothing changes there is nothing to take back out; what others changed is theirs.
    if files.iter().all(|file| file.path == RECORD) {
        files.clear();
    }

    match facts.containers {
        Some(0) | None => {}
        Some(running) if run_on && !facts.in_swarm => {
            notes.push(format!("{running} containers run there, and run on while dockerd restarts (live-restore)"));
        }
        Some(running) => warnings.push(format!(
            "{running} containers run there, and stop while dockerd restarts: it runs without live-restore; to keep them, set \
             \"live-restore\": true in daemon.json there, and run systemctl reload docker first"
        )),
    }
    if facts.in_swarm && aim.live_restore {
        return Err(PlanRefusal::LiveRestoreInSwarm);
    }
    let plan = HostPlan { files, restart: standing.restart, arguments: arguments(&standing), hosts, notes, warnings };
    check(facts, &plan, document.text().into_bytes())?;
    Ok(plan)
}

/// What makes dockerd read what is there anew, and changes no configuration.
///
/// # Errors
/// It cannot be restarted there.
pub fn restart_only(facts: &HostFacts) -> Result<HostPlan, PlanRefusal> {
    let standing = standing(facts)?;
    // Whether that can be read is for dockerd to say, as it was before.
    let document = daemon_json(facts).map_or_else(|_| Document::empty(), |(_, document)| document);
    let hosts = listening(&standing, &document);
    let arguments = arguments(&standing);
    Ok(HostPlan {
        files: Vec::new(),
        restart: standing.restart,
        arguments,
        hosts,
        notes: Vec::new(),
        warnings: Vec::new(),
    })
}

/// What takes everything back out.
///
/// # Errors
/// Nothing of ours is there, or it was changed since in a way that cannot be told from the user's own.
pub fn remove(facts: &HostFacts) -> Result<HostPlan, PlanRefusal> {
    let standing = standing(facts)?;
    let (json, document) = daemon_json(facts)?;
    let record = recorded(facts, &standing, &document).ok_or(PlanRefusal::NothingInstalled)?;
    let (mut files, mut restored) = (Vec::new(), None);
    if let Some(bytes) = json {
        let after = record.undo(bytes, document).map_err(|key| PlanRefusal::ChangedSince { key })?;
        restored = after.clone().map(String::into_bytes);
        files.push(FileChange {
            path: facts.daemon_json.path.clone(),
            before: Some(bytes.clone()),
            after,
            mode: mode_of(&facts.daemon_json),
        });
    }
    files.retain(|file| file.before.as_deref() != file.after.as_ref().map(String::as_bytes));
    files.extend([&facts.drop_in, &facts.late_drop_in].into_iter().filter(|file| file.kind.is_some()).map(removal));
    files.extend(facts.record.kind.is_some().then(|| removal(&facts.record)));
    // What our drop-in took off the command line is there again.
    let flags = standing.parted.hosts.iter().map(|host| format!("--host={host}")).chain(standing.parted.tls.clone());
    let arguments: Vec<String> =
        arguments(&standing).into_iter().chain(flags.filter_map(|flag| literal(&flag))).collect();
    let request = DaemonRequest {
        flags: TlsFlags::parse(Program::Dockerd, &arguments).unwrap_or_default(),
        environment: environment(facts),
        daemon_json: restored,
        version: version(facts),
    };
    let hosts = match request.resolve() {
        Ok(settings) => settings.listeners.iter().map(ToString::to_string).collect(),
        // Whether it starts is for dockerd to say, as it was before.
        Err(_) => standing.parted.hosts,
    };
    Ok(HostPlan { files, restart: standing.restart, arguments, hosts, notes: Vec::new(), warnings: Vec::new() })
}

fn removal(file: &HostFile) -> FileChange {
    FileChange { path: file.path.clone(), before: file.contents.clone(), after: None, mode: 0 }
}

/// A file keeps the mode that it has.
fn mode_of(file: &HostFile) -> u32 {
    if file.kind.is_some() { file.mode } else { layout::CONFIGURATION_MODE }
}

/// A file that is to be rewritten is a plain file, or not there.
fn plain_file(file: &HostFile) -> Result<Option<&Vec<u8>>, PlanRefusal> {
    match file.kind {
        None => Ok(None),
        Some(FileKind::Regular) if file.contents.is_some() => Ok(file.contents.as_ref()),
        Some(_) => Err(PlanRefusal::NotAFile { path: file.path.clone() }),
    }
}

/// The unit's command line as it is today, with what we did.
fn today(facts: &HostFacts) -> Option<Parted> {
    Some(part(words(facts.unit.as_ref()?.exec_start().0.first()?)?))
}

/// The flags about TLS that count today: those below our drop-in were taken over before.
fn flags_about_tls(facts: &HostFacts, standing: &Standing) -> Vec<String> {
    if standing.has_unit {
        today(facts).map(|parted| parted.tls).unwrap_or_default()
    } else {
        standing.parted.tls.clone()
    }
}

fn refuse_other_tls(facts: &HostFacts, flags: &[String], document: &Document) -> Result<(), PlanRefusal> {
    if !flags.is_empty() {
        return Err(PlanRefusal::OtherTls(format!("{} in {SERVICE}", flags.join(" "))));
    }
    // Whose the files at these very places are, their issuer tells; others beside them are never ours.
    for (key, file) in OUR_FILES {
        let value = document.value(key);
        if let Some(path) = value.as_ref().and_then(Value::as_str)
            && !path.is_empty()
            && path != installed(file)
        {
            return Err(PlanRefusal::OtherTls(format!("{key} is {path} in daemon.json")));
        }
    }
    // It is the default of the flag, and of the places of the files where nothing names them (moby cmd/dockerd/options.go).
    if environment(facts).docker_tls_verify && !names_our_files(document) {
        return Err(PlanRefusal::OtherTls("DOCKER_TLS_VERIFY in the environment of dockerd".to_owned()));
    }
    Ok(())
}

fn refuse_taken_port(facts: &HostFacts) -> Result<(), PlanRefusal> {
    let taken = facts.listeners.iter().find(|listener| {
        listener.port == TLS_PORT && !matches!(listener.program.as_deref(), Some("dockerd" | "systemd"))
    });
    match taken {
        Some(listener) => Err(PlanRefusal::PortTaken {
            port: TLS_PORT,
            program: listener.program.clone().unwrap_or_else(|| "a program that cannot be seen".to_owned()),
        }),
        None => Ok(()),
    }
}

/// Where dockerd listens, by daemon.json and by the flags that we took off.
fn listening(standing: &Standing, document: &Document) -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    for host in hosts_of(document).iter().chain(&standing.parted.hosts) {
        if !hosts.contains(host) {
            hosts.push(host.clone());
        }
    }
    hosts
}

/// Where dockerd is to listen: where it does, and with TLS.
fn hosts(
    standing: &Standing,
    document: &Document,
    record: Option<&Record>,
    aim: &Aim,
    warnings: &mut Vec<String>,
) -> Result<Vec<String>, PlanRefusal> {
    let mut hosts = listening(standing, document);
    // The socket on the machine itself stays, or whoever works there is locked out.
    if !hosts.iter().any(|host| host.starts_with("fd://") || host.starts_with("unix://")) {
        hosts.insert(0, UNIX_SOCKET.to_owned());
    }
    for host in &hosts {
        if matches!(Endpoint::parse(host, true), Ok(Endpoint::Tcp { port, .. }) if port != Some(TLS_PORT)) {
            warnings.push(format!(
                "dockerd listens on {} too, which will ask for TLS and client certificates as well",
                printable(host)
            ));
        }
    }
    let address = match aim.listen {
        Some(address) => {
            let is_ours = |host: &String| {
                record.is_some_and(|record| record.added("hosts", host)) && !standing.parted.hosts.contains(host)
            };
            let clashes = |host: &String| secured(host).is_some_and(|other| clash(&other, address));
            hosts.retain(|host| secured(host).is_none() || !is_ours(host) || is_at(host, address));
            if aim.replace {
                hosts.retain(|host| !clashes(host) || is_at(host, address));
            }
            if let Some(other) = hosts.iter().find(|host| clashes(host) && !is_at(host, address)) {
                return Err(PlanRefusal::ListensElsewhere { address, host: other.clone() });
            }
            Some(address).filter(|address| !hosts.iter().any(|host| is_at(host, *address)))
        }
        None if hosts.iter().any(|host| secured(host).is_some()) => None,
        None => Some(IpAddr::from([0, 0, 0, 0])),
    };
    hosts.extend(address.map(|address| format!("tcp://{}", SocketAddr::new(address, TLS_PORT))));
    Ok(hosts)
}

/// daemon.json as it is, and what it says; nothing where there is none.
fn daemon_json(facts: &HostFacts) -> Result<(Option<&Vec<u8>>, Document), PlanRefusal> {
    let bytes = plain_file(&facts.daemon_json)?;
    let document = bytes.map_or_else(|| Ok(Document::empty()), |bytes| Document::parse(bytes));
    let document = document.map_err(|error| PlanRefusal::Document { path: facts.daemon_json.path.clone(), error })?;
    Ok((bytes, document))
}

/// Where a file of ours is.
fn installed(file: &str) -> String {
    format!("{INSTALL_DIRECTORY}/{file}")
}

/// What was there before, as it is recorded. Where the record is gone, or never was because the files were copied there by
/// hand, our own marks tell it: the drop-in, and daemon.json that names our three files.
fn recorded(facts: &HostFacts, standing: &Standing, now: &Document) -> Option<Record> {
    if let Some(record) = Record::read(facts.record.contents.as_ref()) {
        return Some(record);
    }
    let has_drop_in = facts.drop_in.kind.is_some() || facts.late_drop_in.kind.is_some();
    if !has_drop_in || !names_our_files(now) {
        return None;
    }
    let mut old = now.clone();
    for (key, _) in OUR_FILES {
        old.remove(key);
    }
    old.remove("tlsverify");
    // What the unit names came from there, and the usual socket needs no name.
    let is_theirs =
        |host: &String| secured(host).is_none() && !standing.parted.hosts.contains(host) && host != UNIX_SOCKET;
    let theirs: Vec<String> = hosts_of(now).into_iter().filter(is_theirs).collect();
    if theirs.is_empty() {
        old.remove("hosts");
    } else {
        old.set("hosts", &json!(theirs));
    }
    let keys = OUR_FILES.iter().map(|(key, _)| *key).chain(["tlsverify", "hosts"]);
    let wanted: Vec<(&str, Value)> = keys.filter_map(|key| Some((key, now.value(key)?))).collect();
    Some(Record::of(None, Some(old.text().as_bytes()), &old, &now.text(), &wanted))
}

fn names_our_files(document: &Document) -> bool {
    OUR_FILES.iter().all(|(key, file)| document.value(key) == Some(installed(file).into()))
}

/// The `hosts` of a daemon.json.
fn hosts_of(document: &Document) -> Vec<String> {
    match document.value("hosts") {
        Some(Value::Array(hosts)) => hosts.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// The name or address of a listener on the port for TLS.
fn secured(host: &str) -> Option<String> {
    match Endpoint::parse(host, true) {
        Ok(Endpoint::Tcp { host, port: Some(TLS_PORT) }) => Some(host),
        // An address with a zone is none to docker, and one to dockerd.
        Err(_) => host.strip_prefix("tcp://")?.strip_suffix(&format!(":{TLS_PORT}")).map(str::to_owned),
        _ => None,
    }
}

fn is_at(host: &str, address: IpAddr) -> bool {
    secured(host).is_some_and(|host| host.parse() == Ok(address))
}

/// Whether both cannot be listened on at once: one is all addresses, or a name that may have this one.
fn clash(host: &str, address: IpAddr) -> bool {
    match if host == "localhost" { Ok(IpAddr::from([127, 0, 0, 1])) } else { host.parse() } {
        Ok(other) => other == address || other.is_unspecified() || address.is_unspecified(),
        Err(_) => true,
    }
}

fn drop_in(parted: &Parted) -> String {
    let line: Vec<&str> = parted.kept.iter().map(|word| word.raw.as_str()).collect();
    format!(
        "# Written by dockseal. What stood here as flags stands in daemon.json now: {}.\n\
         # With both dockerd would not start.\n[Service]\nExecStart=\nExecStart={}\n",
        flags_of(parted).join(" "),
        line.join(" ")
    )
}

/// The words after the program, as far as they are known: what systemd is to put in the place of variables held nothing
/// that matters, or it was refused. A flag goes with its value.
fn arguments(standing: &Standing) -> Vec<String> {
    let kept = &standing.parted.kept;
    if !standing.has_unit {
        return kept.iter().map(|word| word.value.clone()).collect();
    }
    let from = program(kept).map_or(0, |at| at + 1);
    let mut known: Vec<String> = Vec::new();
    for word in kept.iter().skip(from) {
        match literal(&word.value) {
            Some(value) => known.push(value),
            None if word.value.starts_with('-') => {}
            None => {
                let _ = known.pop_if(|flag| may_await_value(Program::Dockerd, flag));
            }
        }
    }
    known
}

/// What systemd makes of a word that has no variable and no specifier in it (systemd.service(5), systemd.unit(5)).
fn literal(value: &str) -> Option<String> {
    let mut literal = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(c) = letters.next() {
        if matches!(c, '$' | '%') && letters.next() != Some(c) {
            return None;
        }
        literal.push(c);
    }
    Some(literal)
}

/// The word that is dockerd, or a program in its place, whose name has that in it.
fn program(words: &[Word]) -> Option<usize> {
    let name = |word: &Word| word.value.rsplit('/').next().map(str::to_owned).unwrap_or_default();
    let exact = words.iter().position(|word| name(word) == "dockerd");
    exact.or_else(|| words.iter().position(|word| !word.value.starts_with("--") && name(word).contains("dockerd")))
}

/// Asks what dockerd will do with it.
fn check(facts: &HostFacts, plan: &HostPlan, daemon_json: Vec<u8>) -> Result<(), PlanRefusal> {
    let request = DaemonRequest {
        flags: TlsFlags::parse(Program::Dockerd, &plan.arguments).unwrap_or_default(),
        environment: Environment::default(),
        daemon_json: Some(daemon_json),
        version: version(facts),
    };
    let settings = match request.resolve() {
        Ok(settings) => settings,
        // A dockerd that is newer than what is known here may know more keys.
        Err(DaemonFault::UnknownKeys { .. }) => return Ok(()),
        Err(fault) => return Err(PlanRefusal::WouldNotStart(fault)),
    };
    match settings.mode {
        DaemonMode::Tls | DaemonMode::TlsVerify => Ok(()),
        other => Err(PlanRefusal::NotMutual(format!("its mode would be {other}"))),
    }
}
