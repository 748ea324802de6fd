//! `--chain FILE --ca FILE --purpose server|client`: Go's path rules alone.

use std::{path::Path, process::ExitCode};

use dockseal_verify::{Bytes, Purpose, judge_chain};
use serde_json::json;

use super::{
    Args, PurposeWord,
    answer::{Answer, Shown},
    files::Desk,
    notes::Note,
    show,
};
use crate::{failure::Failure, invocation::Invocation, output::Output, report::SCHEMA, unread};

pub(super) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let (Some(chain), Some(ca), Some(purpose)) = (&args.chain.chain, &args.chain.ca, args.chain.purpose) else {
        return Err(Failure::trouble("cannot judge a chain").hint("give --chain, --ca and --purpose together"));
    };
    let desk = Desk::with(Desk::ROOM);
    let files = [chain, ca];
    let (chain, ca) = (read(chain, &desk)?, read(ca, &desk)?);
    let (purpose, version, verifier) = match purpose {
        PurposeWord::Server => (Purpose::Server, args.docker, "docker"),
        PurposeWord::Client => (Purpose::Client, args.dockerd, "dockerd"),
    };
    let host = args.host.as_deref().filter(|_| purpose == Purpose::Server);
    let verdict = judge_chain(&chain, &ca, purpose, host, invocation.instant, version);
    let mut answer = Answer::of_chain(&verdict);
    let go = if purpose == Purpose::Server { version.docker_go() } else { version.dockerd_go() };
    for (path, bytes) in files.into_iter().zip([&chain, &ca]) {
        answer.findings.extend(unread::form_that_hides_certificates(bytes, go).map(|form| {
            let text = format!("it {form}, so Docker overlooks a certificate in it");
            Shown { path: Some(path.clone()), ..Shown::note(Note::CertificateOverlooked, None, text) }
        }));
    }
    let mut human = format!("{verifier} {version}: {}\n", show::outcome_words(answer.outcome()));
    human.push_str(&show::findings(&answer.findings));
    let mut wire = show::answer_wire(&answer);
    wire["schema"] = json!(SCHEMA);
    wire["verifier"] = json!({
        "program": verifier, "version": version.word(), "is_from_go_alone": version.is_from_go_alone(),
    });
    wire["host"] = json!(host);
    wire["at"] = json!(crate::report::rfc3339(invocation.instant));
    output.result(&human, &wire);
    Ok(ExitCode::from(answer.code()))
}

fn read(path: &Path, desk: &Desk) -> Result<Bytes, Failure> {
    let read = desk.read(path).map(|(bytes, _)| bytes);
    read.map_err(|error| {
        Failure::trouble(format!("cannot read {}", show::path(path)))
            .cause(dockseal_pki::printable(&error.to_string()))
            .hint(format!("give PEM files of at most {} MiB together", Desk::ROOM >> 20))
    })
}
