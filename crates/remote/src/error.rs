//! Why a host could not be reached, or did not do what it was asked.

use std::{error::Error, fmt, io, time::Duration};

use crate::session::shown;

/// Trouble between this machine and the shell on the host.
#[derive(Debug)]
pub enum ReachError {
    /// ssh cannot be started here.
    NoSsh(io::Error),
    /// ssh did not get through, or the host did not let it.
    Refused {
        /// What kind of refusal it is, where ssh's words tell.
        refusal: Refusal,
        /// What ssh said, without lines that are no reason.
        said: String,
    },
    /// Whoever logs in is not root, and cannot become root without a password.
    NotRoot {
        /// The user's name there.
        user: String,
        /// What sudo said.
        said: String,
    },
    /// The connection ended in the middle.
    Cut {
        /// What ssh said.
        said: String,
    },
    /// No answer in time.
    TimedOut {
        /// How long was waited.
        after: Duration,
    },
    /// A step failed on the host.
    Failed {
        /// What was tried, as in "cannot …".
        what: String,
        /// What the host said.
        said: String,
    },
    /// Another run is changing the host, or one that was not finished waits for its dead-man switch.
    Busy {
        /// Who, as it left word there.
        who: String,
    },
    /// Others can put something else where root is to write.
    Changeable {
        /// Who can change which directory.
        who: String,
    },
    /// What the host said cannot be understood.
    Garbled(String),
}

/// What kind of refusal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The host's key is not the one that is known, or none is known.
    HostKey,
    /// No way to log in was accepted.
    Login,
    /// The name has no address.
    Name,
    /// Nothing answers, or something on the way says no.
    Network,
    /// The shell there did not greet: a forced command, a restricted shell.
    Shell,
    /// Something else.
    Other,
}

impl Refusal {
    /// By the words of OpenSSH's client (ssh.c, sshconnect.c, sshconnect2.c).
    pub(crate) fn of(said: &str) -> Self {
        let has = |text: &str| said.contains(text);
        if has("Host key verification failed") || has("REMOTE HOST IDENTIFICATION HAS CHANGED") {
            Self::HostKey
        } else if has("Permission denied") || has("Too many authentication failures") {
            Self::Login
        } else if has("Could not resolve hostname") {
            Self::Name
        } else if [
            "Connection refused",
            "timed out",
            "No route to host",
            "Network is unreachable",
            "Connection closed by",
            "Connection reset",
        ]
        .iter()
        .any(|text| has(text))
        {
            Self::Network
        } else {
            Self::Other
        }
    }
}

impl fmt::Display for ReachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or = |said: &str, instead: &str| if said.is_empty() { instead.to_owned() } else { said.to_owned() };
        let text = match self {
            Self::NoSsh(_) => "ssh cannot be started here".to_owned(),
            Self::Refused { said, .. } => or(said, "ssh did not get through, and gave no reason"),
            Self::NotRoot { user, said } => {
                format!("{user} is not root there, and cannot become root: {}", or(said, "there is no sudo"))
            }
            Self::Cut { said } => or(said, "the connection ended in the middle"),
            Self::TimedOut { after } => format!("no answer within {} seconds", after.as_secs()),
            Self::Failed { what, said } => format!("{what}: {}", or(said, "no reason was given")),
            Self::Busy { who } => format!("another run is changing it: {who}"),
            Self::Changeable { who } => format!("{who}, and root is to write below it"),
            Self::Garbled(what) => format!("what it says about itself cannot be understood: {what}"),
        };
        // The host's own words and paths are in it.
        f.write_str(&shown(&text))
    }
}

impl Error for ReachError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NoSsh(error) => Some(error),
            _ => None,
        }
    }
}
