//! What a machine that runs dockerd is like, as far as its TLS is concerned.

use std::net::IpAddr;

use crate::exec_start::UnitText;

/// Everything that was seen on a host. What could not be looked at is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// What tells it from other machines.
    pub machine: String,
    /// The node name.
    pub node_name: String,
    /// Its other host names.
    pub host_names: Vec<String>,
    /// Its addresses and the interface of each.
    pub addresses: Vec<(String, IpAddr)>,
    /// The distribution, as it calls itself.
    pub os: String,
    /// The kernel and the processor, as uname(1) has them.
    pub kernel: String,
    /// What starts services.
    pub init: Init,
    /// How Docker was installed.
    pub flavour: Flavour,
    /// What `dockerd --version` says.
    pub docker_version: Option<String>,
    /// Whether dockerd can check a configuration (`--validate`, 23.0 and later).
    pub can_validate: bool,
    /// The unit of dockerd, drop-ins included, where systemd has it.
    pub unit: Option<UnitText>,
    /// Whether the service runs, as systemd has it.
    pub service_state: String,
    /// Whether systemd holds the unix socket.
    pub socket_unit_active: bool,
    /// The dockerds that run.
    pub daemons: Vec<DaemonProcess>,
    /// The daemon.json that dockerd reads.
    pub daemon_json: HostFile,
    /// What is at the place of our own drop-in.
    pub drop_in: HostFile,
    /// The same at the place that comes after all others.
    pub late_drop_in: HostFile,
    /// The trust anchors where we put them.
    pub ca: HostFile,
    /// The certificate there.
    pub cert: HostFile,
    /// Whether its key is there, and with which mode; it is never read.
    pub key: HostFile,
    /// What else is in that directory.
    pub other_entries: Vec<String>,
    /// What an earlier change left word of, to take it back out.
    pub record: HostFile,
    /// Who listens on TCP.
    pub listeners: Vec<Listener>,
    /// Its clock, in seconds since 1970.
    pub clock: Option<i64>,
    /// The openssl that makes keys there.
    pub openssl: Option<String>,
    /// The dockseal that is there.
    pub dockseal: Option<String>,
    /// Whether systemd can run a command later.
    pub has_transient_timers: bool,
    /// What filters what comes in, a line each.
    pub firewall: Vec<String>,
    /// How many containers run.
    pub containers: Option<u32>,
    /// Whether daemon.json was written after dockerd started: nobody knows then whether it starts with it.
    pub is_untried: bool,
    /// Whether it is part of a swarm.
    pub in_swarm: bool,
    /// Whether its configuration can be written.
    pub writable: bool,
    /// Who but root, or who logged in, could put something else where its configuration is written, and in which directory.
    pub changeable: Option<String>,
    /// What an unfinished change left: who made it, and whether its switch is still to come.
    pub unfinished: Option<Unfinished>,
}

/// What starts services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Init {
    /// systemd.
    Systemd,
    /// OpenRC.
    OpenRc,
    /// Scripts in /etc/init.d.
    SysV,
    /// None that is known.
    #[default]
    Unknown,
}

impl Init {
    /// As people write it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::OpenRc => "OpenRC",
            Self::SysV => "SysV",
            Self::Unknown => "unknown",
        }
    }
}

/// How Docker was installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flavour {
    /// A dockerd that root runs, as packages bring it.
    Package,
    /// The snap.
    Snap,
    /// A user's own.
    Rootless,
    /// Docker Desktop.
    Desktop,
    /// There is none.
    #[default]
    Absent,
}

impl Flavour {
    /// In one word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Package => "package",
            Self::Snap => "snap",
            Self::Rootless => "rootless",
            Self::Desktop => "desktop",
            Self::Absent => "absent",
        }
    }
}

/// A dockerd that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonProcess {
    /// Its process number.
    pub pid: u32,
    /// Its user's number.
    pub user: u32,
    /// Its command line.
    pub argv: Vec<String>,
    /// The part of its environment that decides about TLS.
    pub environment: Vec<(String, String)>,
}

impl DaemonProcess {
    /// What follows the program's name.
    #[must_use]
    pub fn arguments(&self) -> &[String] {
        self.argv.get(1..).unwrap_or_default()
    }
}

/// A file of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFile {
    /// Where.
    pub path: String,
    /// What it is; `None` where nothing is.
    pub kind: Option<FileKind>,
    /// Its mode.
    pub mode: u32,
    /// Its owner's number.
    pub owner: u32,
    /// Its group's number.
    pub group: u32,
    /// What is in it, where that was asked for and could be read.
    pub contents: Option<Vec<u8>>,
}

/// What a path leads to, links not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// Something else.
    Other,
}

/// A TCP port that takes connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// Whose it is, where that can be seen.
    pub program: Option<String>,
}

/// A change that was begun and not ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// Who, as it left word.
    pub who: String,
    /// Whether the former state is still to be brought back, or is being.
    pub armed: bool,
    /// Whether something will do that by itself.
    pub awaited: bool,
}
