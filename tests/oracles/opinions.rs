//! What other TLS stacks say of the material that Docker was asked about: the matrix that `matrix/make.py` mints, and
//! the material on which Docker's answers were recorded.
//!
//! The judge agrees with Docker, so it stands in for it here. Where another stack disagrees, a class in
//! `opinions/listed.rs` says why. What Docker takes and another stack refuses is what the judge's advice is about, and
//! that is held against what these stacks really did.

mod handshake;
mod listed;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use dockseal_docker::version::Version;
use dockseal_tests::{Sandbox, note_skip, require, tools_dir};
use dockseal_verify::{
    Check, Designation, FileKind, Material, MaterialFile, Purpose, Scenario, Side, Verdict, judge, judge_chain,
};
use time::OffsetDateTime;
use time::macros::datetime;

use listed::{CLASSES, Refuses, Stack};

/// The fewest scenarios that are worth asking about.
const LEAST: usize = 900;

/// When the recorded material was good.
const RECORDED_AT: OffsetDateTime = datetime!(2026-11-23 18:00 UTC);

/// One scenario in mutual mode.
#[derive(Debug)]
struct Subject {
    name: String,
    /// As docker was told.
    host: String,
    folder: PathBuf,
    at: OffsetDateTime,
}

/// What one stack said.
#[derive(Clone, Debug)]
struct Opinion {
    stack: Stack,
    /// Whose chain it was asked about; both sides' in a handshake.
    side: Option<&'static str>,
    /// Why it refuses, if it does.
    refused: Option<String>,
    /// Docker's verdict on the same question.
    docker: Verdict,
}

impl Subject {
    fn file(&self, side: &str, file: &str) -> Vec<u8> {
        std::fs::read(self.path(side, file)).unwrap_or_default()
    }

    fn path(&self, side: &str, file: &str) -> PathBuf {
        self.folder.join(side).join(file)
    }

    fn material(&self, side: &str) -> Material {
        let file = |kind: FileKind| {
            let path = self.path(side, kind.default_name());
            match std::fs::read(&path) {
                Ok(bytes) => MaterialFile::from_bytes(path, Designation::Named, bytes),
                Err(_) => MaterialFile::missing(path, Designation::Named),
            }
        };
        Material { ca: file(FileKind::Ca), cert: file(FileKind::Cert), key: file(FileKind::Key) }
    }

    /// Docker's answer in mutual mode.
    fn mutual(&self) -> Verdict {
        judge(&self.material("daemon"), &self.material("client"), &Scenario::mutual(&self.host), self.at)
    }

    /// Docker's answer about one side's chain alone.
    fn chain(&self, side: &str, hosts: Hosts) -> Verdict {
        let (other, purpose) = sides(side);
        let host = (purpose == Purpose::Server && hosts == Hosts::Matter).then_some(self.host.as_str());
        let (chain, anchors) = (self.file(side, "cert.pem"), self.file(other, "ca.pem"));
        judge_chain(chain, anchors, purpose, host, self.at, Version::V29)
    }
}

/// Whether what is dialled is part of the question.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hosts {
    Matter,
    Aside,
}

/// Who verifies a side's chain, and what for.
fn sides(side: &str) -> (&'static str, Purpose) {
    if side == "daemon" { ("client", Purpose::Server) } else { ("daemon", Purpose::Client) }
}

/// The matrix's scenarios, minted anew below this directory, and the recorded ones.
fn subjects(sandbox: &Sandbox, python: &Path) -> Vec<Subject> {
    let made = sandbox.path("made");
    std::fs::create_dir(&made).unwrap();
    let script = dockseal_tests::repository().join("tests/oracles/matrix/make.py");
    let _ = sandbox.program(python).env("PYTHONDONTWRITEBYTECODE", "1").arg(script).arg(&made).run().success();
    let list = std::fs::read_to_string(made.join("scenarios.json")).unwrap();
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let now = OffsetDateTime::now_utc();
    let mut subjects: Vec<Subject> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let name = entry["name"].as_str().unwrap().to_owned();
            let host = entry["host"].as_str().unwrap().to_owned();
            Subject { folder: made.join(&name), name, host, at: now }
        })
        .collect();

    let truth = dockseal_tests::repository().join("crates/verify/tests/docker-truth");
    let _ = sandbox.program("tar").arg("-xzf").arg(truth.join("materials.tar.gz")).run().success();
    let outcomes = std::fs::read_to_string(truth.join("outcomes.tsv")).unwrap();
    let hosts: BTreeMap<&str, &str> = outcomes
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut fields = line.split('\t');
            Some((fields.next()?, fields.next()?))
        })
        .collect();
    subjects.extend(hosts.iter().map(|(scenario, host)| Subject {
        name: format!("recorded-{scenario}"),
        host: (*host).to_owned(),
        folder: sandbox.path("materials").join(scenario),
        at: RECORDED_AT,
    }));
    subjects
}

/// Every stack's opinion of everything.
fn opinions(sandbox: &Sandbox, subjects: &[Subject]) -> Vec<Vec<Opinion>> {
    let next = AtomicUsize::new(0);
    let mut all: Vec<(usize, Vec<Opinion>)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..thread::available_parallelism().map_or(2, usize::from))
            .map(|_| {
                scope.spawn(|| {
                    let mut done = Vec::new();
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(subject) = subjects.get(at) else { return done };
                        done.push((at, ask(sandbox, subject)));
                    }
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    all.sort_by_key(|(at, _)| *at);
    let mut all: Vec<Vec<Opinion>> = all.into_iter().map(|(_, opinions)| opinions).collect();
    let (python, java) = (python(sandbox, subjects), java(sandbox, subjects));
    for (opinions, subject) in all.iter_mut().zip(subjects) {
        let refused = |answer: &String| Some(answer.clone()).filter(|answer| answer != "ok");
        if let Some(answer) = python.get(&subject.name) {
            let docker = subject.mutual();
            opinions.push(Opinion { stack: Stack::Python, side: None, refused: refused(answer), docker });
        }
        for side in ["daemon", "client"] {
            if let Some(answer) = java.get(&format!("{side} {}", subject.name)) {
                let docker = subject.chain(side, Hosts::Aside);
                opinions.push(Opinion { stack: Stack::Java, side: Some(side), refused: refused(answer), docker });
            }
        }
    }
    all
}

/// rustls and openssl.
fn ask(sandbox: &Sandbox, subject: &Subject) -> Vec<Opinion> {
    let mut opinions = vec![Opinion {
        stack: Stack::Rustls,
        side: None,
        refused: handshake::shake(subject).err(),
        docker: subject.mutual(),
    }];
    for side in ["daemon", "client"] {
        for stack in [Stack::OpenSsl, Stack::OpenSslStrict] {
            let refused = openssl(sandbox, subject, side, stack).err().map(|why| format!("{side}'s chain: {why}"));
            opinions.push(Opinion { stack, side: Some(side), refused, docker: subject.chain(side, Hosts::Matter) });
        }
    }
    opinions
}

fn openssl(sandbox: &Sandbox, subject: &Subject, side: &str, stack: Stack) -> Result<(), String> {
    let (other, purpose) = sides(side);
    let mut program = sandbox.program("openssl").arg("verify");
    if stack == Stack::OpenSslStrict {
        program = program.arg("-x509_strict");
    }
    program = match purpose {
        Purpose::Server => {
            let option =
                if subject.host.parse::<std::net::IpAddr>().is_ok() { "-verify_ip" } else { "-verify_hostname" };
            program.args(["-purpose", "sslserver", option, &subject.host])
        }
        Purpose::Client => program.args(["-purpose", "sslclient"]),
    };
    let chain = subject.path(side, "cert.pem");
    let ran = program
        .args(["-no-CApath", "-no-CAstore", "-attime", &subject.at.unix_timestamp().to_string(), "-CAfile"])
        .arg(subject.path(other, "ca.pem"))
        .arg("-untrusted")
        .args([&chain, &chain])
        .run();
    if ran.code == Some(0) {
        return Ok(());
    }
    let why = ran.stderr.lines().chain(ran.stdout.lines()).find_map(|line| {
        let (_, rest) =
            line.split_once("lookup: ").or_else(|| line.split_once("error:")).or_else(|| line.split_once("Error "))?;
        Some(rest.to_owned())
    });
    Err(why.unwrap_or_else(|| ran.stderr.trim().replace('\n', " ")))
}

/// One line for each scenario of the present, which a script that cannot be told the time reads.
fn questions(subjects: &[Subject]) -> String {
    let present = subjects.iter().filter(|subject| subject.at != RECORDED_AT);
    present.map(|subject| format!("{}\t{}\t{}\n", subject.name, subject.host, subject.folder.display())).collect()
}

fn answers(ran: &dockseal_tests::Ran) -> BTreeMap<String, String> {
    let pairs = ran.stdout.lines().map(|line| line.split_once('\t').unwrap());
    pairs.map(|(name, answer)| (name.to_owned(), answer.to_owned())).collect()
}

fn stack(name: &str) -> PathBuf {
    dockseal_tests::repository().join("tests/oracles/stacks").join(name)
}

fn python(sandbox: &Sandbox, subjects: &[Subject]) -> BTreeMap<String, String> {
    answers(&sandbox.program("python3").arg(stack("opinions.py")).input(questions(subjects)).run().success())
}

fn java(sandbox: &Sandbox, subjects: &[Subject]) -> BTreeMap<String, String> {
    let program = sandbox.program("java").arg(stack("Opinions.java")).limit(Duration::from_secs(300));
    answers(&program.input(questions(subjects)).run().success())
}

#[test]
fn every_disagreement_of_another_stack_is_listed_and_advised() {
    require!("openssl", "python3", "java", "tar");
    let maker = tools_dir().join("maker/bin/python");
    if !maker.is_file() {
        note_skip("no Python with cryptography; tests/setup makes it");
        return;
    }
    let sandbox = Sandbox::new();
    let subjects = subjects(&sandbox, &maker);
    let opinions = opinions(&sandbox, &subjects);
    let mut tally = Tally::default();
    for (subject, opinions) in subjects.iter().zip(&opinions) {
        let mutual = subject.mutual();
        for opinion in opinions {
            tally.count(subject, opinion, &mutual);
        }
    }
    tally.conclude(subjects.len());
}

/// What came of it all.
#[derive(Default)]
struct Tally {
    asked: BTreeMap<Stack, usize>,
    /// By stack: accepted by Docker and refused by the other, and the reverse.
    disagreements: BTreeMap<Stack, [usize; 2]>,
    /// Comparisons of advice with what the stack did, and those where advice was given.
    advised: BTreeMap<Stack, [usize; 2]>,
    seen: BTreeSet<&'static str>,
    trouble: Vec<String>,
}

impl Tally {
    fn count(&mut self, subject: &Subject, opinion: &Opinion, mutual: &Verdict) {
        *self.asked.entry(opinion.stack).or_default() += 1;
        let Opinion { stack, refused, docker, .. } = opinion;
        let (docker_accepts, name) = (docker.is_accepted(), &subject.name);
        let class = (docker_accepts == refused.is_some()).then(|| {
            self.disagreements.entry(*stack).or_default()[usize::from(!docker_accepts)] += 1;
            let checks: Vec<Check> = docker.refusals().map(|finding| finding.check).collect();
            let class = CLASSES.iter().find(|class| class.explains(name, *stack, refused.as_deref(), &checks));
            match class {
                Some(class) => {
                    let _ = self.seen.insert(class.id);
                }
                None => self.trouble.push(format!("{name}: {stack:?} {refused:?}, Docker {checks:?}: not listed")),
            }
            class
        });
        // Advice is about what works with Docker.
        let listed = class.flatten().map(|class| class.refuses);
        if !mutual.is_accepted() || !docker_accepts || matches!(listed, Some(Refuses::Other { advised: false, .. })) {
            return;
        }
        let (advice, refuses) = (opinion.advice(mutual), refused.is_some());
        let [compared, given] = self.advised.entry(*stack).or_default();
        (*compared, *given) = (*compared + 1, *given + usize::from(!advice.is_empty()));
        if advice.is_empty() == refuses {
            self.trouble.push(format!("{name}: {stack:?} did {refused:?}, and the advice is {advice:?}"));
        }
    }

    fn conclude(&self, subjects: usize) {
        println!("{subjects} scenarios");
        for (stack, asked) in &self.asked {
            let [takes, refuses] = self.disagreements.get(stack).copied().unwrap_or_default();
            let [compared, given] = self.advised.get(stack).copied().unwrap_or_default();
            println!(
                "{stack:?}: asked {asked} times; refuses what Docker takes {takes} times, takes what Docker refuses \
                 {refuses} times; advice compared {compared} times, {given} of them given"
            );
        }
        println!("{} classes", CLASSES.len());
        assert!(self.trouble.is_empty(), "{} surprises:\n{}", self.trouble.len(), self.trouble.join("\n"));
        for class in CLASSES {
            assert!(self.seen.contains(class.id), "{} is listed ({}) and has vanished", class.id, class.reason);
        }
        assert!(subjects >= LEAST, "only {subjects} scenarios");
    }
}

impl Opinion {
    /// The advice in Docker's verdict that names this stack, about the chain or the chains that the stack was asked about.
    fn advice(&self, mutual: &Verdict) -> Vec<String> {
        let about = |finding: &&dockseal_verify::Finding| {
            let presents = finding.place.as_ref().map(|place| match (place.side, place.file) {
                // A CA is in the file of the side that verifies.
                (Side::Daemon, FileKind::Ca) | (Side::Client, FileKind::Cert | FileKind::Key) => "client",
                (Side::Client, FileKind::Ca) | (Side::Daemon, FileKind::Cert | FileKind::Key) => "daemon",
            });
            finding.check == Check::OtherStacksRefuse && self.side.is_none_or(|side| presents == Some(side))
        };
        let named = |text: &str| {
            let (stacks, _) = text.split_once(" refuse").unwrap();
            stacks.split(", ").flat_map(|stacks| stacks.split(" and ")).any(|named| self.stack.is_meant_by(named))
        };
        mutual.findings().iter().filter(about).map(|finding| finding.text.clone()).filter(|text| named(text)).collect()
    }
}
