//! What docker's hook says after a command: the end of the certificate that comes near, or why docker did not get through.
//!
//! It must never be in the way: it is silent about any trouble of its own, and ends within two seconds, whatever hangs.

use std::{ffi::OsStr, fs, process::ExitCode, sync::mpsc, thread, time::Duration};

use dockseal_docker::{
    flags::{Program, TlsFlags},
    plugin_hooks::{Configured, NOTICE, Request, response},
};
use dockseal_pki::{Lifetime, moment, printable};
use dockseal_probe::Limits;

use crate::{
    commands::probe,
    connection::{self, Connection, docker_line},
    in_use::InUse,
    invocation::{Invocation, calling_docker},
    output::{Format, Output},
    report::distance,
};

/// The longest that docker waits for all of it.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest that it may dial; a step may take a third of that.
const DIALLING: Duration = Duration::from_millis(1500);

/// Answers a request of docker's.
pub(crate) fn answer(request: &OsStr) -> ExitCode {
    let Some(request) = request.to_str().and_then(Request::from_json) else { return ExitCode::SUCCESS };
    let (sender, receiver) = mpsc::channel();
    // The resolver cannot be told to hurry; the thread ends with the program.
    thread::spawn(move || sender.send(lines(&request)));
    if let Ok(Some(lines)) = receiver.recv_timeout(PATIENCE) {
        let lines: Vec<String> = lines.iter().flat_map(|text| text.lines().map(printable)).collect();
        Output::new(Format::Json).raw(response(&lines).to_string());
    }
    ExitCode::SUCCESS
}

fn lines(request: &Request) -> Option<Vec<String>> {
    let invocation = Invocation::of_hook(flags_of_caller()).ok()?;
    let connection = connection::current(dockseal_docker::version::Version::default(), &invocation).ok()?.ok()?;
    let trouble = request.failed_to_connect().then(|| trouble(&connection, &invocation)).flatten();
    trouble.or_else(|| notice(&connection, &invocation))
}

/// docker does not hand its own flags to hooks, but it is the process above.
fn flags_of_caller() -> TlsFlags {
    let words = || {
        let parent = rustix::process::getppid()?.as_raw_nonzero();
        let line = fs::read(format!("/proc/{parent}/cmdline")).ok()?;
        let words = line.strip_suffix(b"\0")?.split(|byte| *byte == 0);
        let words: Vec<String> = words.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        // A plugin that was left behind by its docker has another process above.
        let (program, words) = words.split_first()?;
        (calling_docker()?.to_string_lossy() == *program).then(|| words.to_vec())
    };
    words().and_then(|words| TlsFlags::parse(Program::Docker, &words).ok()).unwrap_or_default()
}

fn trouble(connection: &Connection, invocation: &Invocation) -> Option<Vec<String>> {
    let (cause, hint) = probe::cause(connection, Limits::within(DIALLING), invocation)?;
    let flags = invocation.docker.clone().unwrap_or_default();
    Some(vec![
        format!("docker did not get through: {cause}"),
        format!("To mend it: {hint}"),
        format!("More about it: {}", docker_line(&flags, "seal probe")),
    ])
}

fn notice(connection: &Connection, invocation: &Invocation) -> Option<Vec<String>> {
    // On a socket TLS plays no part, whatever files there are.
    connection.settings.endpoint.host()?;
    let shown = InUse::shown(connection)?;
    let validity = shown.certificate.validity;
    let left = validity.not_after - invocation.now;
    let begins_in = validity.not_before - invocation.now;
    let (ends, at) = if begins_in.is_positive() {
        (format!("is valid only in {}", distance(begins_in)), validity.not_before)
    } else if invocation.now < validity.due_at() || left > within(invocation)?.duration() {
        return None;
    } else if left.is_negative() {
        (format!("ended {} ago", distance(-left)), validity.not_after)
    } else {
        (format!("ends in {}", distance(left)), validity.not_after)
    };
    Some(vec![
        format!(
            "The certificate of {:?} that docker shows to {} {ends}, on {}",
            shown.name,
            connection.settings.endpoint,
            moment(at)
        ),
        format!("To mend that, {}", shown.remedy(invocation)),
    ])
}

fn within(invocation: &Invocation) -> Option<Lifetime> {
    let path = connection::config_directory(invocation).join("config.json");
    let config = connection::read_json(&path).ok();
    let config = config.and_then(|file| serde_json::from_slice(&file.bytes).ok()).unwrap_or_default();
    let within = Configured::read(&config).within;
    Lifetime::parse(within.as_deref().unwrap_or(NOTICE)).or_else(|_| Lifetime::parse(NOTICE)).ok()
}
