//! What a person is told when something does not work: what, why, and what to do.

use std::fmt::Display;

/// The end of a command that did not succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What did not work, as in "cannot …".
    pub(crate) what: String,
    /// Why.
    pub(crate) cause: Option<String>,
    /// What to do about it.
    pub(crate) hint: Option<String>,
    /// 1 for no, 2 for could not tell or could not run.
    pub(crate) code: u8,
    /// Another run changed what this one had read before it began, and nothing was done yet: the command can be run anew.
    pub(crate) is_outdated: bool,
}

impl Failure {
    /// The answer is no: refused, there already, not permitted.
    pub(crate) fn no(what: impl Into<String>) -> Self {
        Self { what: what.into(), cause: None, hint: None, code: 1, is_outdated: false }
    }

    /// It could not be done: bad input, or the system refused.
    pub(crate) fn trouble(what: impl Into<String>) -> Self {
        Self { what: what.into(), cause: None, hint: None, code: 2, is_outdated: false }
    }

    pub(crate) fn cause(mut self, cause: impl Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
