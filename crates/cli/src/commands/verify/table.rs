//! Every mode of docker against every mode of dockerd, and the six modes that users were taught.

use dockseal_docker::mode::{ClientMode, DaemonMode};
use dockseal_verify::{Check, Designation};
use serde_json::{Value, json};

use super::{
    answer::{Answer, Question},
    files::Held,
    show,
};
use crate::output::table;

/// Where a client's files come from; Docker forgives a missing one differently.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Flags,
    Environment,
    Context,
}

impl Origin {
    /// The stable name in reports.
    const fn name(self) -> &'static str {
        match self {
            Self::Flags => "flags",
            Self::Environment => "environment",
            Self::Context => "context",
        }
    }
}

/// One way to tell docker about TLS.
struct Row {
    label: &'static str,
    mode: ClientMode,
    origin: Origin,
}

const ROWS: [Row; 9] = [
    Row { label: "no TLS options", mode: ClientMode::None, origin: Origin::Flags },
    Row { label: "--tls", mode: ClientMode::Tls, origin: Origin::Flags },
    Row { label: "--tls, cert, key", mode: ClientMode::TlsCert, origin: Origin::Flags },
    Row { label: "--tlsverify, CA", mode: ClientMode::TlsVerify, origin: Origin::Flags },
    Row { label: "--tlsverify, CA, cert, key", mode: ClientMode::TlsVerifyCert, origin: Origin::Flags },
    Row { label: "DOCKER_TLS, DOCKER_CERT_PATH", mode: ClientMode::TlsCert, origin: Origin::Environment },
    Row { label: "DOCKER_TLS_VERIFY, DOCKER_CERT_PATH", mode: ClientMode::TlsVerifyCert, origin: Origin::Environment },
    Row { label: "context", mode: ClientMode::TlsVerifyCert, origin: Origin::Context },
    Row { label: "context, skip-tls-verify", mode: ClientMode::TlsCert, origin: Origin::Context },
];

/// Every cell.
pub(super) struct Table {
    cells: Vec<[Answer; 4]>,
}

impl Table {
    /// Asks the judge once for each combination that differs.
    pub(super) fn new(question: &Question<'_>, client: &Held) -> Self {
        let named = client.designated(Designation::Named);
        let default = client.designated(Designation::Default);
        let context = client.in_context();
        let material = &client.material;
        // Where every file is there, it does not matter how Docker came to it.
        let all_there = [&material.ca, &material.cert, &material.key].iter().all(|file| file.bytes().is_some());
        let mut asked: Vec<(Origin, ClientMode, DaemonMode, Answer)> = Vec::new();
        let mut cells = Vec::new();
        for row in &ROWS {
            let held = match row.origin {
                Origin::Flags => &named,
                Origin::Environment => &default,
                Origin::Context => &context,
            };
            let mode = match row.origin {
                Origin::Context
                    if held.trusts_the_system() && held.has_no_certificate() && row.mode.verifies_daemon() =>
                {
                    ClientMode::None
                }
                _ => row.mode,
            };
            let origin = if all_there { Origin::Flags } else { row.origin };
            cells.push(DaemonMode::ALL.map(|daemon_mode| {
                let same = |entry: &&(Origin, ClientMode, DaemonMode, Answer)| {
                    entry.0 == origin && entry.1 == mode && entry.2 == daemon_mode
                };
                if let Some((.., answer)) = asked.iter().find(same) {
                    return answer.clone();
                }
                let answer = Question { client: Some(held), client_mode: mode, daemon_mode, ..*question }.ask();
                asked.push((origin, mode, daemon_mode, answer.clone()));
                answer
            }));
        }
        Self { cells }
    }

    fn cell(&self, client: ClientMode, daemon: DaemonMode) -> Option<&Answer> {
        let row = ROWS.iter().position(|row| row.mode == client)?;
        let column = DaemonMode::ALL.iter().position(|mode| *mode == daemon)?;
        Some(&self.cells.get(row)?[column])
    }

    /// For people.
    pub(super) fn human(&self) -> String {
        let rows: Vec<[String; 5]> = ROWS
            .iter()
            .zip(&self.cells)
            .map(|(row, cells)| {
                let [a, b, c, d] = cells;
                [row.label.to_owned(), show::cell(a), show::cell(b), show::cell(c), show::cell(d)]
            })
            .collect();
        let mut text = table(&["docker \\ dockerd", "no TLS", "--tls", "--tlsverify", "--tlsverify=false"], &rows);
        text.push_str("\nWhat is taught, and what Docker does:\n");
        for lesson in &LESSONS {
            let mark = if lesson.wrong.is_some() { "not so" } else { "so" };
            text.push_str(&format!("  {}\n    taught: {}\n", lesson.mode, lesson.taught));
            text.push_str(&format!("    {mark}: {}", lesson.truth));
            if let Some(check) = lesson.wrong {
                text.push_str(&format!(" ({})", check.id()));
            }
            let cell = self.cell(lesson.client, lesson.daemon).map(show::cell).unwrap_or_default();
            text.push_str(&format!("\n    here: {cell}, docker {} with dockerd {}\n", lesson.client, lesson.daemon));
        }
        text
    }

    /// For programs: each cell.
    pub(super) fn wire(&self) -> Value {
        let mut modes = Vec::new();
        for (row, cells) in ROWS.iter().zip(&self.cells) {
            for (daemon, answer) in DaemonMode::ALL.iter().zip(cells) {
                let mut wire = show::answer_wire(answer);
                wire["client"] = json!(row.label);
                wire["client_by"] = json!(row.origin.name());
                wire["client_mode"] = json!(row.mode.to_string());
                wire["daemon_mode"] = json!(daemon.to_string());
                modes.push(wire);
            }
        }
        modes.into()
    }

    /// For programs: what is taught.
    pub(super) fn lessons_wire(&self) -> Value {
        LESSONS
            .iter()
            .map(|lesson| {
                json!({
                    "mode": lesson.mode,
                    "taught": lesson.taught,
                    "truth": lesson.truth,
                    "holds": lesson.wrong.is_none(),
                    "check": lesson.wrong.map(Check::id),
                    "client_mode": lesson.client.to_string(),
                    "daemon_mode": lesson.daemon.to_string(),
                    "answer": self.cell(lesson.client, lesson.daemon).map(show::summary_wire),
                })
            })
            .collect()
    }
}

/// One of the six modes of Docker's documentation (engine/security/protect-access, "Other modes").
struct Lesson {
    mode: &'static str,
    taught: &'static str,
    truth: &'static str,
    wrong: Option<Check>,
    /// The combination that shows it.
    client: ClientMode,
    daemon: DaemonMode,
}

const LESSONS: [Lesson; 6] = [
    Lesson {
        mode: "dockerd --tlsverify --tlscacert --tlscert --tlskey",
        taught: "each authenticates the other",
        truth: "clients are verified; the daemon is, by clients with --tlsverify",
        wrong: None,
        client: ClientMode::TlsVerifyCert,
        daemon: DaemonMode::TlsVerify,
    },
    Lesson {
        mode: "dockerd --tls --tlscert --tlskey",
        taught: "only the daemon is authenticated",
        truth: "since 20.10 clients need a certificate of the CA, as with --tlsverify",
        wrong: Some(Check::DaemonTlsVerifies),
        client: ClientMode::TlsVerify,
        daemon: DaemonMode::Tls,
    },
    Lesson {
        mode: "docker --tls",
        taught: "the daemon is authenticated by the public CAs",
        truth: "nobody is authenticated; ca.pem must be there and is not used",
        wrong: Some(Check::DaemonNotVerified),
        client: ClientMode::Tls,
        daemon: DaemonMode::TlsVerifyFalse,
    },
    Lesson {
        mode: "docker --tlsverify --tlscacert",
        taught: "the daemon is authenticated by that CA",
        truth: "as taught; a daemon that verifies clients refuses it",
        wrong: None,
        client: ClientMode::TlsVerify,
        daemon: DaemonMode::TlsVerifyFalse,
    },
    Lesson {
        mode: "docker --tlsverify --tlscacert --tlscert --tlskey",
        taught: "each authenticates the other",
        truth: "as taught, with a daemon that verifies clients",
        wrong: None,
        client: ClientMode::TlsVerifyCert,
        daemon: DaemonMode::TlsVerify,
    },
    Lesson {
        mode: "docker --tls --tlscert --tlskey",
        taught: "the client is authenticated, the daemon by the public CAs",
        truth: "the client is authenticated; the daemon is not, by any CA",
        wrong: Some(Check::DaemonNotVerified),
        client: ClientMode::TlsCert,
        daemon: DaemonMode::TlsVerify,
    },
];
