//! Docker's predicted answer, and what it rests on.

use std::path::PathBuf;

use dockseal_docker::gate::Gate;

use crate::check::Check;
use crate::material::{FileKind, Side};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Docker works with it, and it could be better.
    Advice,
    /// Docker works with it, not as most people would expect.
    Warning,
    /// Docker refuses.
    Refusal,
}

impl Severity {
    /// The severity's stable name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Advice => "advice",
            Self::Warning => "warning",
            Self::Refusal => "refusal",
        }
    }
}

/// Where a finding was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whose file.
    pub side: Side,
    /// Which file.
    pub file: FileKind,
    /// Its path as the material has it.
    pub path: PathBuf,
    /// The byte at which the block or certificate begins.
    pub offset: Option<usize>,
}

/// What a check saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The check.
    pub check: Check,
    /// How much it matters here.
    pub severity: Severity,
    /// The gate at which it was seen; none for advice about the material itself.
    pub gate: Option<Gate>,
    /// The file, where it is about one.
    pub place: Option<Place>,
    /// One sentence in lower case without a period.
    pub text: String,
    /// What to do: the check's remedy, or a closer one where the reason is known.
    pub remedy: &'static str,
}

/// How a gate was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Docker lets it pass.
    Passed,
    /// Docker refuses.
    Failed,
    /// The gate does not stand in these modes, with the reason.
    NotApplicable(&'static str),
    /// The gate stands and was not looked at, with the reason.
    Skipped(&'static str),
}

/// The answer in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Every gate that stands is passed.
    Accepted,
    /// Docker refuses at this gate.
    Refused(Gate),
    /// It depends on something the judge does not know, at this gate.
    Undetermined(Gate),
}

/// Docker's predicted answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub(crate) gates: Vec<(Gate, Status)>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) client_uses_tls: bool,
    pub(crate) encrypted: bool,
    pub(crate) daemon_authenticated: bool,
    pub(crate) client_authenticated: bool,
}

impl Verdict {
    /// The answer: the first gate that is not passed decides.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.gates
            .iter()
            .find_map(|(gate, status)| match status {
                Status::Failed => Some(Outcome::Refused(*gate)),
                Status::Skipped(_) => Some(Outcome::Undetermined(*gate)),
                Status::Passed | Status::NotApplicable(_) => None,
            })
            .unwrap_or(Outcome::Accepted)
    }

    /// Whether Docker works with this.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.outcome() == Outcome::Accepted
    }

    /// Every gate in the order in which Docker comes to it.
    #[must_use]
    pub fn gates(&self) -> &[(Gate, Status)] {
        &self.gates
    }

    /// What the checks saw, in the order of the gates; advice at the end.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The findings that make Docker refuse.
    pub fn refusals(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Refusal)
    }

    /// Whether the client speaks TLS at all; without anything to use it with, docker silently does not.
    #[must_use]
    pub fn client_uses_tls(&self) -> bool {
        self.client_uses_tls
    }

    /// Whether the connection is made and encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.encrypted && self.is_accepted()
    }

    /// Whether the connection is made and the client knows that this is its daemon.
    #[must_use]
    pub fn authenticates_daemon(&self) -> bool {
        self.daemon_authenticated && self.is_accepted()
    }

    /// Whether the connection is made and the daemon knows that this is one of its clients.
    #[must_use]
    pub fn authenticates_client(&self) -> bool {
        self.client_authenticated && self.is_accepted()
    }
}
