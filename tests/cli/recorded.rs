//! `dockseal verify` against what real docker and dockerd did, recorded: every outcome, through the binary.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use dockseal_tests::{Program, Sandbox, pki, require};
use serde_json::Value;

/// When docker and dockerd were asked.
const AT: &str = "2026-11-23T18:00:00Z";

/// What was recorded of one combination of modes.
#[derive(Debug)]
struct Row {
    client: String,
    daemon: String,
    outcome: String,
}

/// Scenario, host, docker and dockerd: what one question to the binary is about.
type Question = [String; 4];

fn recorded(truth: &Path) -> BTreeMap<Question, Vec<Row>> {
    let table = std::fs::read_to_string(truth.join("outcomes.tsv")).unwrap();
    let mut rows: BTreeMap<Question, Vec<Row>> = BTreeMap::new();
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<String> = line.split('\t').map(str::to_owned).collect();
        let [scenario, host, client, daemon, docker, dockerd, outcome] = fields.try_into().unwrap();
        rows.entry([scenario, host, docker, dockerd]).or_default().push(Row { client, daemon, outcome });
    }
    rows
}

/// The recorder's word for an answer.
fn word(answer: &Value) -> &str {
    match (answer["outcome"].as_str().unwrap(), answer["gate"].as_str()) {
        ("accepted", _) => "ok",
        ("refused", Some("daemon-starts")) => "daemon-start",
        ("refused", Some("client-loads")) => "client-config",
        ("refused", Some("same-protocol")) if answer["client_uses_tls"] == true => "tls-to-plain-http",
        ("refused", Some("same-protocol")) => "plain-http-to-tls",
        ("refused", Some("client-reads-daemon" | "client-accepts-daemon")) => "client-verify",
        ("refused", Some("client-offers-certificate" | "daemon-accepts-client")) => "daemon-verify",
        ("refused", Some(gate)) => gate,
        (outcome, _) => outcome,
    }
}

/// How the recorder's word for a client's mode shows in a report: where the settings are, and the mode.
fn client_row(mode: &str) -> (&'static str, &'static str) {
    match mode {
        // The daemon's start alone: any client will do.
        "none" | "-" => ("flags", "none"),
        "tls" => ("flags", "tls"),
        "tls+cert" => ("flags", "tls+cert"),
        "verify" => ("flags", "tlsverify"),
        "verify+cert" => ("flags", "tlsverify+cert"),
        "env-tls" => ("environment", "tls+cert"),
        "env-verify" => ("environment", "tlsverify+cert"),
        "context-verify" => ("context", "tlsverify+cert"),
        "context-skip" => ("context", "tls+cert"),
        _ => panic!("{mode}"),
    }
}

fn daemon_mode(mode: &str) -> &'static str {
    match mode {
        "tls" => "tls",
        "verify" => "tlsverify",
        "noverify" => "tlsverify=false",
        _ => panic!("{mode}"),
    }
}

fn question(sandbox: &Sandbox, [_, host, docker, dockerd]: &Question) -> Program {
    let versions = ["--docker", docker.as_str(), "--dockerd", dockerd.as_str()];
    sandbox.dockseal(["verify", "--format", "json", "--at", AT, "--host", host]).args(versions)
}

/// Asks in parallel; `ask` says what is wrong.
fn all_right<'r, R: Sync>(asked: &'r [R], ask: impl Fn(&Sandbox, &'r R) -> Vec<String> + Sync) {
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            let _ = scope.spawn(|| {
                let sandbox = Sandbox::new();
                while let Some(one) = asked.get(next.fetch_add(1, Ordering::Relaxed)) {
                    wrong.lock().unwrap().extend(ask(&sandbox, one));
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// The recorded files, unpacked.
fn unpacked(sandbox: &Sandbox) -> (PathBuf, BTreeMap<Question, Vec<Row>>) {
    let truth = dockseal_tests::repository().join("crates/verify/tests/docker-truth");
    let _ = sandbox.program("tar").arg("-xzf").arg(truth.join("materials.tar.gz")).run().success();
    let rows = recorded(&truth);
    let scenarios: std::collections::BTreeSet<&String> = rows.keys().map(|[scenario, ..]| scenario).collect();
    assert_eq!((scenarios.len(), rows.values().map(Vec::len).sum()), (139, 1550));
    (sandbox.path("materials"), rows)
}

#[test]
fn the_whole_table_agrees_with_every_recorded_outcome() {
    require!("tar");
    let sandbox = Sandbox::new();
    let (materials, rows) = unpacked(&sandbox);
    let rows: Vec<_> = rows.iter().collect();
    all_right(&rows, |sandbox, (asked, rows)| {
        let folder = materials.join(&asked[0]);
        let program = question(sandbox, asked).arg("--daemon").arg(folder.join("daemon"));
        let ran = program.arg("--client").arg(folder.join("client")).run();
        let answer: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}\n{ran}"));
        let cells = answer["modes"].as_array().unwrap();
        let of = |row: &Row| {
            let (by, client) = client_row(&row.client);
            let fits = |cell: &&Value| {
                cell["client_by"] == by
                    && cell["client_mode"] == client
                    && cell["daemon_mode"] == daemon_mode(&row.daemon)
            };
            let mut cells = cells.iter().filter(fits);
            let cell = cells.next().unwrap_or_else(|| panic!("no cell for {row:?}\n{ran}"));
            assert!(cells.next().is_none(), "two cells for {row:?}");
            word(cell)
        };
        let wrong = rows.iter().filter(|row| of(row) != row.outcome);
        wrong.map(|row| format!("{asked:?} {row:?}: {}", of(row))).collect()
    });
}

#[test]
fn the_modes_asked_for_agree_with_every_recorded_outcome() {
    require!("tar");
    let sandbox = Sandbox::new();
    let (materials, rows) = unpacked(&sandbox);
    let rows: Vec<_> = rows.iter().flat_map(|(asked, rows)| rows.iter().map(move |row| (asked, row))).collect();
    all_right(&rows, |sandbox, (asked, row)| {
        let folder = materials.join(&asked[0]);
        let client = folder.join("client");
        let (by, mode) = client_row(&row.client);
        // Copies of files in a context cannot be said so.
        if by == "context" {
            return Vec::new();
        }
        let mut program = question(sandbox, asked).arg("--daemon").arg(folder.join("daemon"));
        if by == "environment" {
            program = program.arg("--client").arg(&client);
        } else {
            let files: &[&str] = if mode.ends_with("+cert") { &["ca", "cert", "key"] } else { &["ca"] };
            for file in files {
                program = program.arg(format!("--client-{file}")).arg(client.join(format!("{file}.pem")));
            }
        }
        let (client_mode, daemon_mode) = (mode.trim_end_matches("+cert"), daemon_mode(&row.daemon));
        let ran = program.args(["--client-mode", client_mode, "--daemon-mode", daemon_mode]).run();
        let answer: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}\n{ran}"));
        assert!(answer["modes"].is_null(), "one answer was asked for\n{ran}");
        let said = word(&answer);
        if said == row.outcome && ran.code == Some(i32::from(said != "ok")) {
            return Vec::new();
        }
        vec![format!("{asked:?} {row:?}: {said}, exit code {:?}", ran.code)]
    });
}

/// Directories in which files are missing, which Docker forgives by the way it came to them.
const PARTIAL: [(&str, &[&str]); 7] = [
    ("dir-noca", &["cert.pem", "key.pem"]),
    ("dir-nocert", &["ca.pem", "key.pem"]),
    ("dir-nokey", &["ca.pem", "cert.pem"]),
    ("dir-caonly", &["ca.pem"]),
    ("dir-certonly", &["cert.pem"]),
    ("dir-keyonly", &["key.pem"]),
    ("dir-empty", &[]),
];

#[test]
fn the_rows_of_the_environment_agree_where_files_are_missing() {
    let sandbox = Sandbox::new();
    let pki = pki("p256", "p256");
    for (name, files) in PARTIAL {
        std::fs::create_dir(sandbox.path(name)).unwrap();
        for file in files {
            let _ = std::fs::copy(pki.client.0.join(file), sandbox.path(name).join(file)).unwrap();
        }
    }
    let recorded = dockseal_tests::repository().join("crates/docker/tests/docker-truth/configs.jsonl");
    let recorded = std::fs::read_to_string(recorded).unwrap();
    let outcomes: Vec<Value> = recorded.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut compared = 0;
    for outcome in &outcomes {
        let text = |key: &str| outcome[key].as_str().unwrap_or_default();
        let daemon = match text("config") {
            "cfg-client-vs-verify" => "tlsverify",
            "cfg-client-vs-plain" => "none",
            _ => continue,
        };
        let (client, name) = match text("client") {
            client if client.starts_with("env-verify-dir-") => ("tlsverify+cert", &client[11..]),
            client if client.starts_with("env-tls-dir-") => ("tls+cert", &client[8..]),
            _ => continue,
        };
        if !PARTIAL.iter().any(|(partial, _)| *partial == name) {
            continue;
        }
        let program = sandbox.dockseal(["verify", "--format", "json", "--host", "127.0.0.1"]);
        let program = program.args(["--docker", text("docker"), "--dockerd", text("dockerd"), "--daemon"]);
        let ran = program.arg(&pki.daemon.0).arg("--client").arg(sandbox.path(name)).run();
        let answer: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}\n{ran}"));
        let cell = answer["modes"].as_array().unwrap().iter().find(|cell| {
            cell["client_by"] == "environment" && cell["client_mode"] == client && cell["daemon_mode"] == daemon
        });
        assert_eq!(cell.map(word), Some(text("outcome")), "{outcome}\n{ran}");
        compared += 1;
    }
    // Seven directories, two variables, two daemons, four pairs of releases.
    assert_eq!(compared, 112);
}
