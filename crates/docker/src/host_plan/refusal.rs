//! Why a host is left as it is.

use std::{fmt, net::IpAddr};

use dockseal_pki::printable;

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
    /// Others can put something else where it is to be written: who, and in which directory.
    Changeable(String),
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
        // Flags, paths and names of the host are in it.
        f.write_str(&printable(&self.text()))
    }
}

impl PlanRefusal {
    fn text(&self) -> String {
        match self {
            Self::Flavour(Flavour::Snap) => {
                "Docker is the snap there, which reads its configuration from a place of its own".to_owned()
            }
            Self::Flavour(Flavour::Rootless) => {
                "dockerd is a user's own there (rootless), behind rootlesskit's port forwarding".to_owned()
            }
            Self::Flavour(Flavour::Desktop) => {
                "it is Docker Desktop, whose daemon runs in a machine of its own and does not listen for others"
                    .to_owned()
            }
            Self::Flavour(_) => "there is no dockerd".to_owned(),
            Self::NoService => {
                "nothing is known there that restarts dockerd: neither systemd nor an init script".to_owned()
            }
            Self::SeveralDaemons(count) => format!("{count} dockerds run there"),
            Self::ReadOnly => "/etc/docker or /etc/systemd cannot be written there".to_owned(),
            Self::Changeable(who) => format!("{who} there, and root is to write below it"),
            Self::NotAFile { path } => format!("{path} is no plain file there: something else looks after it"),
            Self::Document { path, error } => format!("{path}: {error}"),
            Self::ExecStart(why) => format!("the command line of {SERVICE} cannot be changed: {why}"),
            Self::FlagsFromElsewhere(flags) => {
                format!("dockerd is started with {}, and that does not stand in {SERVICE}", flags.join(" "))
            }
            Self::OtherTls(what) => format!("TLS is set up there already, by somebody else: {what}"),
            Self::PortTaken { port, program } => format!("port {port} is taken by {program}"),
            Self::ListensElsewhere { address, host } => {
                format!("dockerd listens on {host} already, which leaves no room for {address} on the same port")
            }
            Self::WouldNotStart(fault) => format!("dockerd would not start: {fault}"),
            Self::NotMutual(why) => format!("dockerd would not ask for client certificates: {why}"),
            Self::LiveRestoreInSwarm => "it is a node of a swarm, where live-restore cannot be used".to_owned(),
            Self::NothingInstalled => "nothing that dockseal installed is there".to_owned(),
            Self::ChangedSince { key } => format!("{key:?} in daemon.json was changed since"),
        }
    }
}

impl std::error::Error for PlanRefusal {}
