//! `dockseal audit`: what a Docker host lets in, and what to mend.

use std::{collections::BTreeSet, fmt::Write as _, process::ExitCode, time::Duration};

use clap::{Args as ClapArgs, ValueEnum};
use dockseal_audit::{Facts, Finding, Severity, judge, script};
use dockseal_pki::printable;
use dockseal_remote::Session;
use serde::Serialize;

use crate::{
    failure::Failure,
    hints::reach_failure,
    hosts::reach::{dial, parse_target},
    invocation::Invocation,
    output::Output,
    report::{SCHEMA, rfc3339},
};

/// The longest that one look may take; a host with many listeners takes some seconds.
const PATIENCE: Duration = Duration::from_secs(120);
/// The most looks at a host: at all of it; at the daemon.json that its dockerd names, and its sockets; at the files which
/// that one names, and the groups of the sockets; one to spare.
const LOOKS: usize = 4;

/// Read what a Docker host lets in: sockets, listeners, files, user namespaces; and say what to mend
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  dockseal audit                            this machine; run it as root, or it cannot see everything
  dockseal audit ssh://root@10.0.0.5        another one, by the system's ssh
  dockseal audit --all                      also what is as it should be
  dockseal audit --fail-on warning          for cron and CI
  dockseal audit --format json

It changes nothing. It dials dockerd's own TCP listeners, which leaves a line each in dockerd's log.
The numbers are the items of docker-bench-security that look at the same (TLS is 2.7; older releases have 2.6).
Ends with 0 when nothing is as bad as --fail-on, with 1 when something is, with 2 when it could not look.")]
pub(crate) struct Args {
    /// The host: `local`, or as ssh takes it: ssh://USER@HOST:PORT, USER@HOST, an alias
    #[arg(value_name = "HOST", default_value = "local")]
    host: String,

    /// How bad a finding makes the exit code 1
    #[arg(long, value_name = "SEVERITY", value_enum, default_value_t = Level::Critical)]
    fail_on: Level,

    /// Also show what is as it should be
    #[arg(long)]
    all: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Level {
    Critical,
    Warning,
    Advice,
}

impl Level {
    const fn severity(self) -> Severity {
        match self {
            Self::Critical => Severity::Critical,
            Self::Warning => Severity::Warning,
            Self::Advice => Severity::Advice,
        }
    }
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let what = format!("cannot audit {}", printable(&args.host));
    let facts = look(&args.host, &what)?;
    let findings = judge(&facts, invocation.now);
    let blind = findings.iter().any(|finding| finding.id == "unseen");
    let wire = Report::new(&args.host, invocation, &findings);
    output.result(&text(&args.host, &findings, args.all), &wire);
    let fails = findings.iter().any(|finding| finding.severity >= args.fail_on.severity());
    if !fails && blind {
        let blind = Failure::trouble(format!("{what} as a whole")).cause("some of it is closed to this user");
        return Err(blind.hint("look as root, or as a user who may use sudo without a password"));
    }
    Ok(ExitCode::from(u8::from(fails)))
}

/// Runs the script, and again for what it has shown to matter, until nothing is new.
fn look(host: &str, what: &str) -> Result<Facts, Failure> {
    let dial = dial(true)?;
    let (mut session, target) = if host == "local" {
        let session = Session::local(&dial);
        (session.map_err(|error| Failure::trouble(what).cause(error).hint("there must be an sh on the PATH"))?, None)
    } else {
        let target = parse_target(host)?;
        (Session::open(&target, &dial).map_err(|error| reach_failure(&target, &error))?, Some(target))
    };
    let mut read = |text: &str| {
        let done = session.run(text, &[], PATIENCE).map_err(|error| match &target {
            Some(target) => reach_failure(target, &error),
            None => Failure::trouble(what).cause(error),
        })?;
        Facts::read(&done.stdout).map_err(|error| Failure::trouble(what).cause(error))
    };
    let mut facts = read(&script(&[]))?;
    let mut asked = BTreeSet::new();
    for _ in 1..LOOKS {
        let questions: Vec<_> =
            facts.questions().into_iter().filter(|question| asked.insert(question.clone())).collect();
        if questions.is_empty() {
            break;
        }
        facts.add(read(&script(&questions))?);
    }
    Ok(facts)
}

fn text(host: &str, findings: &[Finding], all: bool) -> String {
    let mut text = String::new();
    for finding in findings.iter().filter(|finding| all || finding.severity > Severity::Ok) {
        let bench = if finding.bench.is_empty() { String::new() } else { format!("  [{}]", finding.bench.join(", ")) };
        let (subject, seen) = (printable(&finding.subject), printable(&finding.seen));
        let _ = writeln!(text, "{:8}  {subject}: {seen}{bench}", finding.severity);
        if let Some(fix) = &finding.fix {
            let _ = writeln!(text, "          fix: {}", printable(fix));
        }
    }
    let counts = Counts::of(findings);
    let _ = writeln!(
        text,
        "{}: {} critical, {} warnings, {} pieces of advice; {} as they should be",
        printable(host),
        counts.critical,
        counts.warning,
        counts.advice,
        counts.ok
    );
    text
}

#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    host: &'a str,
    at: String,
    counts: Counts,
    findings: Vec<Wire<'a>>,
}

#[derive(Serialize)]
struct Counts {
    critical: usize,
    warning: usize,
    advice: usize,
    ok: usize,
}

#[derive(Serialize)]
struct Wire<'a> {
    id: &'static str,
    severity: String,
    subject: &'a str,
    seen: &'a str,
    fix: Option<&'a str>,
    bench: &'static [&'static str],
}

impl Counts {
    fn of(findings: &[Finding]) -> Self {
        let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        Self {
            critical: count(Severity::Critical),
            warning: count(Severity::Warning),
            advice: count(Severity::Advice),
            ok: count(Severity::Ok),
        }
    }
}

impl<'a> Report<'a> {
    fn new(host: &'a str, invocation: &Invocation, findings: &'a [Finding]) -> Self {
        let wire = |finding: &'a Finding| Wire {
            id: finding.id,
            severity: finding.severity.to_string(),
            subject: &finding.subject,
            seen: &finding.seen,
            fix: finding.fix.as_deref(),
            bench: finding.bench,
        };
        Self {
            schema: SCHEMA,
            host,
            at: rfc3339(invocation.now),
            counts: Counts::of(findings),
            findings: findings.iter().map(wire).collect(),
        }
    }
}
