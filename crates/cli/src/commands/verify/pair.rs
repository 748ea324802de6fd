//! One daemon and one client, or one of them: the modes asked for, or every mode.

use std::process::ExitCode;

use dockseal_docker::{
    endpoint::Endpoint,
    gate::Gate,
    mode::{ClientMode, DaemonMode},
    version::Version,
};
use dockseal_verify::{Judge, Outcome, Status, SystemRoots};
use serde_json::{Value, json};

use super::{
    Args, ClientWord, DaemonWord,
    answer::{Answer, Question, Shown},
    files::{self, Desk, first_name},
    notes::Note,
    show,
    sides::{self, Side},
    table::Table,
};
use crate::{
    failure::Failure,
    invocation::Invocation,
    output::{Format, Output},
    report::{SCHEMA, rfc3339},
};

pub(super) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let desk = Desk::with(Desk::ROOM);
    let mut daemon = sides::daemon(args, &desk)?;
    let mut client = sides::client(args, invocation, &desk)?;
    let alone = daemon.is_none() && client.is_none();
    if alone {
        let mut current = sides::client_by_settings(args, invocation, &desk)?;
        // A mode asked for is asked of the files that docker would use.
        if let Some(word) = args.client.client_mode {
            current.mode = Some(word.mode(!current.held.has_no_certificate()));
        }
        client = Some(current);
    }
    if client.is_none() && args.client.client_mode == Some(ClientWord::None) {
        client = Some(Side::without_files(ClientMode::None));
    }
    if daemon.is_none() && args.daemon.daemon_mode == Some(DaemonWord::None) {
        daemon = Some(Side::without_files(DaemonMode::None));
    }
    modes_need_their_side(args, daemon.is_some(), client.is_some())?;
    let (host, assumed) = host(args, daemon.as_ref(), client.as_ref());
    // The table copies the client's files into a context as well, which without ca.pem trusts the system's roots.
    let copied = client.as_ref().is_some_and(|side| side.mode.is_none() && side.held.has_no_ca());
    let docker_roots = match &client {
        Some(side) if copied || side.held.trusts_the_system() => {
            files::system_roots(|name| side.variables.find_or_own(name, invocation))
        }
        _ => SystemRoots::Unknown,
    };
    // The daemon does not see the environment of whoever asks here.
    let dockerd_roots = match &daemon {
        Some(side) if side.held.trusts_the_system() => files::system_roots(|name| side.variables.find(name)),
        _ => SystemRoots::Unknown,
    };
    let client_asked = client.as_ref().and_then(|side| side.mode);
    let daemon_asked = daemon.as_ref().and_then(|side| side.mode);
    let judge = Judge::default();
    let question = Question {
        judge: &judge,
        daemon: daemon.as_ref().map(|side| &side.held),
        client: client.as_ref().map(|side| &side.held),
        client_mode: client_asked.unwrap_or(ClientMode::TlsVerifyCert),
        daemon_mode: daemon_asked.unwrap_or(DaemonMode::TlsVerify),
        host: &host,
        docker: args.docker,
        dockerd: args.dockerd,
        docker_roots: &docker_roots,
        dockerd_roots: &dockerd_roots,
        now: invocation.instant,
    };
    let must_be_mutual = alone && args.client.client_mode.is_none() && daemon.is_none();
    let ask = |question: &Question<'_>| answer(question, daemon.as_ref(), client.as_ref(), must_be_mutual);
    let mut answer = ask(&question);
    let others = if faulty(daemon.as_ref(), client.as_ref()) {
        Vec::new()
    } else {
        question.note_other_versions(&mut answer, ask)
    };
    question.name_the_forms(&mut answer, invocation);
    question.note_permissions(&mut answer);
    if assumed {
        let text = format!("clients are taken to dial {host}, the first name of the daemon's certificate");
        answer.findings.push(Shown::note(Note::HostAssumed, None, text));
    }
    let table = match (&client, client_asked, daemon_asked, &daemon) {
        (Some(client), None, None, Some(_)) => Some(Table::new(&question, &client.held)),
        _ => None,
    };

    match output.format() {
        Format::Human | Format::Prometheus => {
            output.raw(human(&question, &answer, daemon.as_ref(), client.as_ref(), table.as_ref()));
        }
        Format::Json => {
            let wire = wire(&question, &answer, daemon.as_ref(), client.as_ref(), table.as_ref(), &others);
            output.result("", &wire);
        }
    }
    Ok(ExitCode::from(answer.code()))
}

/// A mode without its side would be a question about nothing, but for that without TLS.
fn modes_need_their_side(args: &Args, daemon: bool, client: bool) -> Result<(), Failure> {
    let missing = match (args.client.client_mode.is_some() && !client, args.daemon.daemon_mode.is_some() && !daemon) {
        (true, _) => ("--client-mode", "--client DIR"),
        (_, true) => ("--daemon-mode", "--daemon DIR"),
        _ => return Ok(()),
    };
    Err(Failure::trouble(format!("cannot use {} without a side that has that mode", missing.0))
        .hint(format!("give {} as well", missing.1)))
}

fn faulty(daemon: Option<&Side<DaemonMode>>, client: Option<&Side<ClientMode>>) -> bool {
    daemon.is_some_and(|side| side.fault.is_some()) || client.is_some_and(|side| side.fault.is_some())
}

/// What is dialled, and whether nobody said so.
fn host(args: &Args, daemon: Option<&Side<DaemonMode>>, client: Option<&Side<ClientMode>>) -> (String, bool) {
    if let Some(host) = &args.host {
        return (host_of_url(host), false);
    }
    let dialled = client.and_then(|side| side.said.as_ref()?.endpoints.first()?.host().map(str::to_owned));
    if let Some(host) = dialled {
        return (host, false);
    }
    match daemon.and_then(|side| first_name(&side.held.leaf()?)) {
        Some(name) => (name, true),
        None => ("localhost".to_owned(), false),
    }
}

/// People give URLs where a host is asked for.
fn host_of_url(text: &str) -> String {
    let url = text.contains("://").then(|| Endpoint::parse(text, true).ok()).flatten();
    url.as_ref().and_then(Endpoint::host).unwrap_or(text).to_owned()
}

fn answer(
    question: &Question<'_>,
    daemon: Option<&Side<DaemonMode>>,
    client: Option<&Side<ClientMode>>,
    must_be_mutual: bool,
) -> Answer {
    if let Some(fault) = daemon.and_then(|side| side.fault.clone()) {
        return Answer::stopped(Gate::DaemonStarts, fault);
    }
    // The daemon's start comes first, whatever the client does.
    if let Some(fault) = client.and_then(|side| side.fault.clone()) {
        let start = Question { client: None, ..*question };
        if question.daemon.is_some() && start.ask().outcome() == Outcome::Refused(Gate::DaemonStarts) {
            return start.ask();
        }
        return Answer::stopped(Gate::ClientLoads, fault);
    }
    let mut answer = question.ask();
    for said in
        [daemon.and_then(|side| side.said.as_ref()), client.and_then(|side| side.said.as_ref())].into_iter().flatten()
    {
        for setting in &said.ignored {
            let text = format!("{}: {}", setting.name, setting.effect);
            answer.findings.push(Shown::note(Note::SettingPassedOver, None, text));
        }
        answer.findings.extend(said.doubts.iter().map(|text| Shown::note(Note::DoubtfulValue, None, text)));
    }
    if let Some(endpoint) = client.and_then(|side| side.said.as_ref()?.endpoints.first()) {
        dialled(&mut answer, question, endpoint, must_be_mutual);
    }
    answer
}

/// What the endpoint itself adds.
fn dialled(answer: &mut Answer, question: &Question<'_>, endpoint: &Endpoint, must_be_mutual: bool) {
    let uses_tls = question.client_mode.uses_tls();
    match endpoint {
        Endpoint::Tcp { port, .. } => {
            if uses_tls && *port == Some(Endpoint::PLAIN_PORT) {
                let text = format!("docker dials {endpoint} with TLS");
                answer.findings.push(Shown::note(Note::DefaultPort, None, text));
            }
            let shows = question.client.is_some_and(|held| !held.has_no_certificate());
            if must_be_mutual && answer.is_accepted() && !(question.client_mode.verifies_daemon() && shows) {
                let text = match (uses_tls, question.client_mode.verifies_daemon()) {
                    (false, _) => format!("docker speaks plain HTTP to {endpoint}"),
                    (true, false) => format!("docker does not verify who answers at {endpoint}"),
                    (true, true) => format!("docker shows {endpoint} no certificate"),
                };
                answer.gates.push((Gate::ClientOffersCertificate, Status::Failed));
                answer.findings.push(Shown::note(Note::NotMutual, Some(Gate::ClientOffersCertificate), text));
            }
        }
        Endpoint::Local { .. } | Endpoint::Ssh { .. } | Endpoint::Handed => {
            let after: Vec<Gate> = Gate::ALL.into_iter().filter(|gate| *gate != Gate::ClientLoads).collect();
            answer.without(&after, "no TCP address is dialled");
            if !uses_tls {
                return;
            }
            let text = format!("docker dials {endpoint}");
            if question.docker == Version::V20_10 && matches!(endpoint, Endpoint::Local { .. }) {
                answer.gates.retain(|(gate, _)| *gate != Gate::SameProtocol);
                answer.gates.push((Gate::SameProtocol, Status::Failed));
                answer.findings.push(Shown::note(Note::TlsOnASocket, Some(Gate::SameProtocol), text));
            } else {
                answer.without_use_of_files();
                answer.findings.push(Shown::note(Note::TlsUnused, None, text));
            }
        }
    }
}

fn human(
    question: &Question<'_>,
    answer: &Answer,
    daemon: Option<&Side<DaemonMode>>,
    client: Option<&Side<ClientMode>>,
    table: Option<&Table>,
) -> String {
    let mut text = String::new();
    for said in
        [client.and_then(|side| side.said.as_ref()), daemon.and_then(|side| side.said.as_ref())].into_iter().flatten()
    {
        text.push_str(&show::said(said));
        text.push('\n');
    }
    if let Some(table) = table {
        text.push_str(&table.human());
        text.push('\n');
    }
    let docker = show::program("docker", question.docker, &question.client_mode.to_string());
    let dockerd = show::program("dockerd", question.dockerd, &question.daemon_mode.to_string());
    let host = dockseal_pki::printable(question.host);
    let who = match (daemon.is_some(), client.is_some()) {
        (true, true) => format!("{docker} dials {host}, {dockerd}"),
        (true, false) => format!("{dockerd}, dialled as {host}"),
        _ => docker,
    };
    text.push_str(&format!("{who}\n{}", show::outcome_words(answer.outcome())));
    if answer.is_accepted() && daemon.is_some() && client.is_some() {
        text.push_str(match (answer.authenticates_daemon(), answer.authenticates_client()) {
            (true, true) => ": each authenticates the other",
            (true, false) => ": the daemon is authenticated, the client is not",
            (false, true) => ": the client is authenticated, the daemon is not",
            (false, false) if answer.is_encrypted() => ": encrypted, nobody is authenticated",
            (false, false) => ": nothing is encrypted and nobody is authenticated",
        });
    }
    text.push('\n');
    text.push_str(&show::findings(&answer.findings));
    text
}

fn wire(
    question: &Question<'_>,
    answer: &Answer,
    daemon: Option<&Side<DaemonMode>>,
    client: Option<&Side<ClientMode>>,
    table: Option<&Table>,
    others: &[(Version, Version, Answer)],
) -> Value {
    let mut wire = show::answer_wire(answer);
    wire["schema"] = json!(SCHEMA);
    wire["at"] = json!(rfc3339(question.now));
    wire["host"] = json!(question.host);
    show::releases_wire(&mut wire, question.docker, question.dockerd);
    wire["client_mode"] = json!(client.map(|_| question.client_mode.to_string()));
    wire["daemon_mode"] = json!(daemon.map(|_| question.daemon_mode.to_string()));
    wire["client_settings"] = json!(client.and_then(|side| side.said.as_ref()).map(show::said_wire));
    wire["daemon_settings"] = json!(daemon.and_then(|side| side.said.as_ref()).map(show::said_wire));
    wire["versions"] = others
        .iter()
        .map(|(docker, dockerd, other)| {
            let mut wire = show::summary_wire(other);
            show::releases_wire(&mut wire, *docker, *dockerd);
            wire
        })
        .collect();
    wire["modes"] = json!(table.map(Table::wire));
    wire["taught"] = json!(table.map(Table::lessons_wire));
    wire
}
