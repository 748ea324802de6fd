//! What an audit says.

use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Looked at, and as it should be.
    Ok,
    /// Could be better.
    Advice,
    /// Worth a change soon, or could not be looked at.
    Warning,
    /// Somebody may become root here, or the daemon is useless to its clients.
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Advice => "advice",
            Self::Warning => "warning",
            Self::Critical => "critical",
        })
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of finding, for programs: it stays as it is.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about: a path, an address, a setting.
    pub subject: String,
    /// What was seen.
    pub seen: String,
    /// What to do about it, where there is something.
    pub fix: Option<String>,
    /// The items of docker-bench-security that look at the same.
    pub bench: &'static [&'static str],
}

impl Finding {
    pub(crate) fn new(
        id: &'static str,
        severity: Severity,
        subject: impl Into<String>,
        seen: impl Into<String>,
    ) -> Self {
        Self { id, severity, subject: subject.into(), seen: seen.into(), fix: None, bench: &[] }
    }

    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    pub(crate) fn bench(mut self, items: &'static [&'static str]) -> Self {
        self.bench = items;
        self
    }
}
