//! `dockseal verify DIR…`: each directory by itself, or all of them against one other side.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Mutex, PoisonError},
};

use dockseal_docker::{
    layout::{self, Names},
    mode::{ClientMode, DaemonMode},
    settings::TlsFiles,
};
use dockseal_lifecycle::in_parallel;
use dockseal_pki::Certificate;
use dockseal_verify::{Judge, Outcome, SystemRoots};
use serde_json::{Value, json};

use super::{
    Args,
    answer::{Answer, Question},
    files::{Desk, Held, Reader, first_name, reader_of},
    show,
    sides::{self, must_be_directory},
};
use crate::{
    failure::Failure,
    invocation::Invocation,
    output::{Format, Output},
    report::{SCHEMA, rfc3339},
};

/// What came of one directory.
struct Judged {
    role: Reader,
    host: Option<String>,
    answer: Answer,
}

pub(super) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let mut places = Vec::new();
    for directory in &args.directories {
        must_be_directory(directory)?;
        places.extend(opened(directory).iter().flat_map(|directory| Place::all_in(directory)));
    }
    let desk = Desk::with(Desk::ROOM);
    let daemon = sides::daemon(args, &desk)?;
    let client = sides::client(args, invocation, &desk)?;
    let others = Others {
        client_mode: client.as_ref().and_then(|side| side.mode),
        daemon_mode: daemon.as_ref().and_then(|side| side.mode),
        daemon: daemon.map(|side| side.held),
        client: client.map(|side| side.held),
        large: Mutex::new(desk.left()),
    };
    let judged = in_parallel(places.iter().collect(), |place: &Place| judge_one(place, args, &others, invocation));

    let count = |wanted: u8| judged.iter().filter(|judged| judged.answer.code() == wanted).count();
    let (accepted, refused, unknown) = (count(0), count(1), count(2));
    match output.format() {
        Format::Human | Format::Prometheus => {
            let mut text: String =
                places.iter().zip(&judged).map(|(place, judged)| line(&place.directory, judged)).collect();
            text.push_str(&format!("\n{accepted} accepted, {refused} refused, {unknown} unknown\n"));
            output.raw(text);
        }
        Format::Json => {
            let each: Vec<Value> =
                places.iter().zip(&judged).map(|(place, judged)| wire(&place.directory, judged)).collect();
            let mut result = json!({
                "schema": SCHEMA,
                "at": rfc3339(invocation.instant),
                "accepted": accepted,
                "refused": refused,
                "unknown": unknown,
                "directories": each,
            });
            show::releases_wire(&mut result, args.docker, args.dockerd);
            output.result("", &result);
        }
    }
    Ok(ExitCode::from(match (refused, unknown) {
        (0, 0) => 0,
        (0, _) => 2,
        _ => 1,
    }))
}

/// The sides that every directory is held against.
struct Others {
    daemon: Option<Held>,
    client: Option<Held>,
    client_mode: Option<ClientMode>,
    daemon_mode: Option<DaemonMode>,
    /// The room that these sides leave: it is for one directory with large files at a time.
    large: Mutex<u64>,
}

/// What the files of one directory may have together for it to be judged beside others, in bytes.
const ROOM_FOR_EACH: u64 = 512 << 10;

const fn role_word(role: Reader) -> &'static str {
    match role {
        Reader::Dockerd => "daemon",
        Reader::Docker => "client",
    }
}

/// What bootstrap made is opened: its daemon and its clients. Anything else is a directory of its own.
fn opened(directory: &Path) -> Vec<PathBuf> {
    let (daemon, clients) = (directory.join("daemon"), directory.join("clients"));
    if !daemon.is_dir() || directory.join(layout::CERT_FILE).exists() {
        return vec![directory.to_owned()];
    }
    let mut found = vec![daemon];
    let mut of_clients: Vec<PathBuf> = fs::read_dir(clients)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    of_clients.sort();
    found.extend(of_clients);
    found
}

/// Three files that belong together.
struct Place {
    directory: PathBuf,
    names: Names,
}

impl Place {
    /// By Docker's instructions the daemon's and the client's are in one directory.
    fn all_in(directory: &Path) -> Vec<Self> {
        let is_there = |name: &str| directory.join(name).exists();
        let of_daemon = Names::of_daemon(is_there);
        let mut names = vec![of_daemon];
        if of_daemon != Names::DOCKER && [layout::CERT_FILE, layout::KEY_FILE].into_iter().any(is_there) {
            names.push(Names::DOCKER);
        }
        names.into_iter().map(|names| Self { directory: directory.to_owned(), names }).collect()
    }

    fn read(&self, reader: Reader, room: u64) -> Held {
        Held::read(&TlsFiles::called(self.names, &self.directory), reader, &Desk::with(room))
    }

    /// Whose the files are.
    fn reader(&self, leaf: Option<&Certificate>) -> Reader {
        if self.names == Names::INSTRUCTED_DAEMON { Reader::Dockerd } else { reader_of(&self.directory, leaf) }
    }
}

fn judge_one(place: &Place, args: &Args, others: &Others, invocation: &Invocation) -> Judged {
    let held = place.read(Reader::Docker, ROOM_FOR_EACH);
    if !held.is_too_large {
        return judge_held(place, held, ROOM_FOR_EACH, args, others, invocation);
    }
    drop(held);
    let room = others.large.lock().unwrap_or_else(PoisonError::into_inner);
    let held = place.read(Reader::Docker, *room);
    judge_held(place, held, *room, args, others, invocation)
}

fn judge_held(place: &Place, held: Held, room: u64, args: &Args, others: &Others, invocation: &Invocation) -> Judged {
    let leaf = held.leaf();
    let role = place.reader(leaf.as_ref());
    // dockerd may read what docker may not.
    let held = if role == Reader::Dockerd && !held.is_read() {
        drop(held);
        place.read(role, room)
    } else {
        held
    };
    let name = || first_name(leaf.as_ref()?);
    let (daemon, client) = match role {
        Reader::Dockerd => (Some(&held), others.client.as_ref()),
        Reader::Docker => (others.daemon.as_ref(), Some(&held)),
    };
    let host = match role {
        Reader::Dockerd => args.host.clone().or_else(name),
        Reader::Docker => args.host.clone().or_else(|| first_name(&others.daemon.as_ref()?.leaf()?)),
    };
    let judge = Judge::default();
    let question = Question {
        judge: &judge,
        daemon,
        client,
        client_mode: others.client_mode.unwrap_or(ClientMode::TlsVerifyCert),
        daemon_mode: others.daemon_mode.unwrap_or(DaemonMode::TlsVerify),
        host: host.as_deref().unwrap_or("localhost"),
        docker: args.docker,
        dockerd: args.dockerd,
        docker_roots: &SystemRoots::Unknown,
        dockerd_roots: &SystemRoots::Unknown,
        now: invocation.instant,
    };
    let mut answer = question.ask();
    question.note_other_versions(&mut answer, Question::ask);
    question.name_the_forms(&mut answer, invocation);
    question.note_permissions(&mut answer);
    Judged { role, host, answer }
}

fn line(directory: &Path, judged: &Judged) -> String {
    let word = match judged.answer.outcome() {
        Outcome::Accepted => "accepted",
        Outcome::Refused(_) => "refused",
        Outcome::Undetermined(_) => "unknown",
    };
    let mut text = format!("{word:8}  {}  {}\n", role_word(judged.role), show::path(directory));
    for finding in &judged.answer.findings {
        let id = finding.id;
        let own = || finding.path.as_deref().and_then(Path::file_name).map(|name| show::path(Path::new(name)));
        let file = finding.file.map(|file| own().unwrap_or_else(|| file.default_name().to_owned()));
        let file = file.map(|file| format!(" ({file})")).unwrap_or_default();
        text.push_str(&format!(
            "          {} {id}{file}: {}\n",
            finding.severity.name(),
            dockseal_pki::printable(&finding.text)
        ));
        if judged.answer.is_decided_by(finding) {
            text.push_str(&format!("            do: {}\n", finding.remedy));
        }
    }
    text
}

fn wire(directory: &Path, judged: &Judged) -> Value {
    let mut fields = show::answer_wire(&judged.answer);
    fields["directory"] = json!(directory.to_string_lossy());
    fields["role"] = json!(role_word(judged.role));
    fields["host"] = json!(judged.host);
    fields
}
