//! `dockseal audit`: what a Docker host lets in, and what to mend.

use std::{
    fmt::Write as _,
    io::{Read, Write},
    process::{Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use clap::{Args as ClapArgs, ValueEnum};
use dockseal_audit::{Facts, Finding, Severity, judge, script};
use dockseal_pki::printable;
use serde::Serialize;

use crate::{
    failure::Failure,
    invocation::Invocation,
    output::Output,
    report::{SCHEMA, rfc3339},
};

/// The longest that one look at this machine may take; a host with many listeners takes some seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// Read what a Docker host lets in: sockets, listeners, files, user namespaces; and say what to mend
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  dockseal audit                            this machine; run it as root, or it cannot see everything
  dockseal audit --all                      also what is as it should be
  dockseal audit --fail-on warning          for cron and CI
  dockseal audit --format json

It changes nothing. It dials dockerd's own TCP listeners, which leaves a line each in dockerd's log.
The numbers are the items of docker-bench-security 1.6.0 (CIS Docker Benchmark) that look at the same.
Ends with 0 when nothing is as bad as --fail-on, with 1 when something is, with 2 when it could not look.")]
pub(crate) struct Args {
    /// The host
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
    if args.host != "local" {
        return Err(Failure::trouble(what).hint("run dockseal audit on that host"));
    }
    let facts = look(&run_here, &what)?;
    let findings = judge(&facts, invocation.now);
    let blind = findings.iter().any(|finding| finding.id == "unseen");
    let wire = Report::new(&args.host, invocation, &findings);
    output.result(&text(&args.host, &findings, args.all), &wire);
    let fails = findings.iter().any(|finding| finding.severity >= args.fail_on.severity());
    if !fails && blind {
        let blind = Failure::trouble(format!("{what} as a whole")).cause("some of it is closed to this user");
        return Err(blind.hint("run it as root, e.g. with sudo"));
    }
    Ok(ExitCode::from(u8::from(fails)))
}

/// Runs the script twice, the second time for what the first has shown to matter. `shell` gives a text to `sh -s` on the
/// host and returns what it printed.
pub(crate) fn look(shell: &dyn Fn(&str) -> Result<Vec<u8>, Failure>, what: &str) -> Result<Facts, Failure> {
    let read = |text: &str| Facts::read(&shell(text)?).map_err(|error| Failure::trouble(what).cause(error));
    let mut facts = read(&script(&[]))?;
    let questions = facts.questions();
    if !questions.is_empty() {
        facts.add(read(&script(&questions))?);
    }
    Ok(facts)
}

/// Gives a text to this machine's shell.
fn run_here(text: &str) -> Result<Vec<u8>, Failure> {
    let failed = || Failure::trouble("cannot look at this machine");
    let mut child = Command::new("sh")
        .arg("-s")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed().cause(error).hint("there must be an sh on the PATH"))?;
    let (input, printed) = (child.stdin.take(), child.stdout.take());
    let text = text.to_owned();
    // In threads, for the shell may print before it has read everything.
    let writer = thread::spawn(move || input.map(|mut input| input.write_all(text.as_bytes())));
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        printed.map(|mut printed| printed.read_to_end(&mut bytes)).transpose().map(|_| bytes)
    });
    let began = Instant::now();
    while child.try_wait().map_err(|error| failed().cause(error))?.is_none() {
        if began.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return Err(failed().cause(format!("no answer within {} seconds", PATIENCE.as_secs())));
        }
        thread::sleep(Duration::from_millis(5));
    }
    let _ = writer.join();
    match reader.join() {
        Ok(printed) => printed.map_err(|error| failed().cause(error)),
        Err(_) => Err(failed()),
    }
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
