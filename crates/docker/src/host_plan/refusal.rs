//! Why a host is left as it is.

use std::{fmt, net::IpAddr};

use super::SERVICE;
use crate::{daemon_json::DocumentError, daemon_settings::DaemonFault, host::Flavour};

/// Why there is no plan.
#[derive(Debug)]
pub enum PlanRefusal {
    /// Docker is there in a form that is not for this.
    Flavour(Flavour),
    /// Nothing is known that restarts dockerd.
    NoService,
    /// Several run.
    SeveralDaemons(usize),
    /// Its configuration cannot be written.
    ReadOnly,
    /// A file is something else.
    NotAFile {
        /// Which.
        path: String,
    },
    /// daemon.json cannot be added to.
    Document {
        /// Which.
        path: String,
        /// Why.
        error: DocumentError,
    },
    /// The unit's command line cannot be read: none, several, an open quote.
    ExecStart(String),
    /// Flags come from somewhere else than the unit: an environment file.
    FlagsFromElsewhere(Vec<String>),
    /// TLS is set up there already, not by us.
    OtherTls(String),
    /// Somebody else listens on the port.
    PortTaken {
        /// The port.
        port: u16,
        /// Who.
        program: String,
    },
    /// dockerd listens on the port at another address already, and cannot on both.
    ListensElsewhere {
        /// The address that is wanted.
        address: IpAddr,
        /// Where it listens, as it is written there.
        host: String,
    },
    /// dockerd would not start with this.
    WouldNotStart(DaemonFault),
    /// dockerd would start and not do what is wanted.
    NotMutual(String),
    /// A node of a swarm cannot have its containers run on.
    LiveRestoreInSwarm,
    /// Nothing of ours is there to be taken out.
    NothingInstalled,
    /// What we set was changed since.
    ChangedSince {
        /// The key in daemon.json.
        key: String,
    },
}

impl fmt::Display for PlanRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flavour(Flavour::Snap) => {
                f.write_str("Docker is the snap there, which reads its configuration from a place of its own")
            }
            Self::Flavour(Flavour::Rootless) => {
                f.write_str("dockerd is a user's own there (rootless), behind rootlesskit's port forwarding")
            }
            Self::Flavour(Flavour::Desktop) => f.write_str(
                "it is Docker Desktop, whose daemon runs in a machine of its own and does not listen for others",
            ),
            Self::Flavour(_) => f.write_str("there is no dockerd"),
            Self::NoService => {
                f.write_str("nothing is known there that restarts dockerd: neither systemd nor an init script")
            }
            Self::SeveralDaemons(count) => write!(f, "{count} dockerds run there"),
            Self::ReadOnly => f.write_str("/etc/docker or /etc/systemd cannot be written there"),
            Self::NotAFile { path } => write!(f, "{path} is no plain file there: something else looks after it"),
            Self::Document { path, error } => write!(f, "{path}: {error}"),
            Self::ExecStart(why) => write!(f, "the command line of {SERVICE} cannot be changed: {why}"),
            Self::FlagsFromElsewhere(flags) => {
                write!(f, "dockerd is started with {}, and that does not stand in {SERVICE}", flags.join(" "))
            }
            Self::OtherTls(what) => write!(f, "TLS is set up there already, by somebody else: {what}"),
            Self::PortTaken { port, program } => write!(f, "port {port} is taken by {program}"),
            Self::ListensElsewhere { address, host } => {
                write!(f, "dockerd listens on {host} already, which leaves no room for {address} on the same port")
            }
            Self::WouldNotStart(fault) => write!(f, "dockerd would not start: {fault}"),
            Self::NotMutual(why) => write!(f, "dockerd would not ask for client certificates: {why}"),
            Self::LiveRestoreInSwarm => f.write_str("it is a node of a swarm, where live-restore cannot be used"),
            Self::NothingInstalled => f.write_str("nothing that dockseal installed is there"),
            Self::ChangedSince { key } => write!(f, "{key:?} in daemon.json was changed since"),
        }
    }
}

impl std::error::Error for PlanRefusal {}
