//! What was seen of a host.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use dockseal_docker::{
    daemon_settings::{DaemonFault, DaemonRequest, DaemonSettings},
    endpoint::Endpoint,
    exec_start::{UnitText, words},
    flags::{Program, TlsFlags},
    settings::{Environment, FileSetting},
    userns::DEFAULT_ACCOUNT,
    version::Version,
};

use crate::{addresses::LocalAddresses, read, read::FactsError, script::Question, sockets};

/// Where dockerd looks for its configuration when nobody says otherwise.
const DAEMON_JSON: &str = "/etc/docker/daemon.json";

/// What was seen of a host.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The user that looked; 0 sees everything.
    pub uid: Option<u32>,
    /// What `dockerd --version` prints.
    pub release: Option<String>,
    /// Whether processes of others show at all.
    pub processes: Processes,
    /// The dockerd processes.
    pub daemons: Vec<Daemon>,
    /// The dockerd processes in a process namespace of their own, at which nobody looked: those in containers.
    pub elsewhere: Vec<u32>,
    /// Files by path.
    pub files: BTreeMap<String, Presence>,
    /// Directories by path, as far as they could be seen.
    pub directories: BTreeMap<String, Described>,
    /// systemd's files: the unit's name and the path.
    pub units: Vec<(String, String)>,
    /// What `getent group` says, by what was asked: a name or a number.
    pub groups: BTreeMap<String, Vec<u8>>,
    /// What `getent passwd` says, by what was asked.
    pub users: BTreeMap<String, Vec<u8>>,
    /// What dialled listeners answered.
    pub listeners: BTreeMap<SocketAddr, Listener>,
    /// The addresses that the host has.
    pub local: LocalAddresses,
}

/// What /proc shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Processes {
    /// Everybody's.
    #[default]
    Shown,
    /// Nobody's but one's own.
    Hidden,
}

/// A dockerd process.
#[derive(Clone, Debug, Default)]
pub struct Daemon {
    /// Its process id.
    pub pid: u32,
    /// Its user.
    pub uid: Option<u32>,
    /// Its command line, the program's name first.
    pub words: Vec<String>,
    /// What its environment says; empty where it could not be seen.
    pub environment: Environment,
    /// Its XDG_CONFIG_HOME.
    pub config_home: Option<PathBuf>,
    /// Its working directory, from which relative paths count.
    pub directory: Option<String>,
    /// Where it listens on TCP; `None` where its sockets could not be seen.
    pub tcp: Option<Vec<SocketAddr>>,
    /// Its unix sockets; `None` where they could not be seen.
    pub unix: Option<BTreeSet<String>>,
}

/// Whether a path is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is not.
    Absent,
    /// It may be, in a directory that is closed to who looked.
    Hidden,
    /// It is.
    There(Described),
}

/// A file or directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Described {
    /// Its permission bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// What it is, in the words of stat(1).
    pub kind: String,
    /// Its content, where it is told.
    pub content: Option<Vec<u8>>,
}

/// What a listener answered to a stranger; `None` where nothing on the host could dial it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listener {
    /// To plain HTTP.
    pub plain: Option<Vec<u8>>,
    /// To TLS without a certificate: what `openssl s_client` printed.
    pub tls: Option<Vec<u8>>,
}

impl Facts {
    /// Reads the output of the script.
    ///
    /// # Errors
    /// The output is another program's, or incomplete.
    pub fn read(output: &[u8]) -> Result<Self, FactsError> {
        let mut facts = Self::default();
        for line in read::lines(output)? {
            let word = || line.text(0).unwrap_or_default();
            let path = || one_name(&word());
            match line.word {
                "local" => {
                    let text = |place| line.text(place).unwrap_or_default();
                    facts.local = LocalAddresses::read(&text(0), &text(1), &text(2));
                }
                "uid" => facts.uid = line.number(0),
                "release" => facts.release = line.text(0).filter(|text| !text.is_empty()),
                "processes" => facts.processes = Processes::Hidden,
                "daemon" => facts.daemons.extend(Daemon::read(&line)),
                "elsewhere" => facts.elsewhere.extend(line.number(0)),
                "dir" => {
                    let described = line.text(1).and_then(|text| described(&text));
                    facts.directories.extend(described.map(|described| (path(), described)));
                }
                "absent" => facts.saw(path(), Presence::Absent),
                "hidden" => facts.saw(path(), Presence::Hidden),
                "file" => {
                    let there = match line.text(1).and_then(|text| described(&text)) {
                        Some(known) => {
                            Presence::There(Described { content: line.bytes(2).map(<[u8]>::to_vec), ..known })
                        }
                        None => Presence::Hidden,
                    };
                    facts.saw(path(), there);
                }
                "unit" => facts.units.extend(line.text(0).zip(line.text(1).map(|path| one_name(&path)))),
                "group" => drop(facts.groups.insert(word(), line.bytes(1).unwrap_or_default().to_vec())),
                "passwd" => drop(facts.users.insert(word(), line.bytes(1).unwrap_or_default().to_vec())),
                "plain" | "tls" => {
                    let Ok(address) = word().parse() else { continue };
                    let listener = facts.listeners.entry(address).or_default();
                    let said = line.bytes(1).map(<[u8]>::to_vec);
                    if line.word == "tls" { listener.tls = said } else { listener.plain = said }
                }
                _ => {}
            }
        }
        Ok(facts)
    }

    /// Adds what a further run saw.
    pub fn add(&mut self, more: Self) {
        for (path, presence) in more.files {
            self.saw(path, presence);
        }
        self.directories.extend(more.directories);
        self.groups.extend(more.groups);
        self.users.extend(more.users);
        self.listeners.extend(more.listeners);
    }

    /// Remembers a look at a path. What an earlier one read is not forgotten for one that tells less.
    fn saw(&mut self, path: String, presence: Presence) {
        let is_less = match self.files.get(&path) {
            Some(Presence::There(known)) => known.content.is_some() || !matches!(presence, Presence::There(_)),
            _ => false,
        };
        if !is_less {
            self.files.insert(path, presence);
        }
    }

    /// What to ask next. The answers may lead to more: a daemon.json names files.
    #[must_use]
    pub fn questions(&self) -> Vec<Question> {
        let mut asked = BTreeSet::new();
        if self.daemons.is_empty() {
            asked.insert(Question::File(self.idle().daemon_json_path()));
        }
        for daemon in &self.daemons {
            asked.insert(Question::File(daemon.daemon_json_path()));
            asked.extend(daemon.tcp.iter().flatten().copied().map(Question::Dial));
            asked.extend(daemon.unix.iter().flatten().map(|path| Question::File(one_name(path))));
            asked.extend(self.data_root(daemon).map(|root| Question::File(daemon.absolute(Path::new(&root)))));
            asked.extend(self.configured(daemon, "group", "group").into_iter().map(Question::Group));
            if let Some(spec) = self.configured(daemon, "userns-remap", "userns-remap").pop() {
                let (user, group) = spec.split_once(':').unwrap_or((&spec, &spec));
                let account = |name: &str| if name == "default" { DEFAULT_ACCOUNT } else { name }.to_owned();
                asked.extend([Question::User(account(user)), Question::Group(account(group))]);
            }
            let Ok(settings) = self.settings(daemon) else { continue };
            if let Some(files) = &settings.files {
                let named = |file: &FileSetting| file.path().map(|path| daemon.absolute(path));
                asked.extend(named(&files.ca).map(Question::File));
                asked.extend(named(&files.cert).map(Question::File));
                asked.extend(named(&files.key).map(Question::Key));
            }
            for listener in &settings.listeners {
                match listener {
                    Endpoint::Local { path } => {
                        asked.insert(Question::File(daemon.absolute(Path::new(path))));
                    }
                    // Without a look at the sockets, what the settings name is dialled.
                    Endpoint::Tcp { .. } if daemon.tcp.is_none() => {
                        asked.extend(listening_at(listener).map(Question::Dial));
                    }
                    _ => {}
                }
            }
        }
        // The groups of sockets, which need be none of those that were named.
        let sockets = self.files.values().filter_map(|presence| match presence {
            Presence::There(file) if file.kind == "socket" => Some(file.gid),
            _ => None,
        });
        asked.extend(sockets.filter(|gid| *gid != 0).map(|gid| Question::Group(gid.to_string())));
        asked.retain(|question| !matches!(question, Question::Group(key) | Question::User(key) if key.is_empty()));
        asked.into_iter().collect()
    }

    /// The generation of the daemon.
    pub(crate) fn version(&self) -> Version {
        self.release_number().and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// `20.10.24+dfsg1` of `Docker version 20.10.24+dfsg1, build …`.
    pub(crate) fn release_number(&self) -> Option<&str> {
        self.release.as_deref()?.split_ascii_whitespace().nth(2).map(|word| word.trim_end_matches(','))
    }

    /// The dockerd that systemd would start, or else one without flags.
    pub(crate) fn idle(&self) -> Daemon {
        let text = |path: &String| String::from_utf8_lossy(self.content(path).unwrap_or_default()).into_owned();
        let of_service = self.units.iter().filter(|(unit, _)| unit == "docker.service");
        let unit = UnitText { files: of_service.map(|(_, path)| (path.clone(), text(path))).collect() };
        let (lines, _) = unit.exec_start();
        let words = lines.last().and_then(|line| words(line)).unwrap_or_default();
        Daemon {
            uid: Some(0),
            words: words.into_iter().map(|word| word.value).collect(),
            environment: Environment { home: Some("/root".into()), ..Environment::default() },
            ..Daemon::default()
        }
    }

    /// What the daemon's flags, environment and daemon.json, as they are now, mean together.
    pub(crate) fn settings(&self, daemon: &Daemon) -> Result<DaemonSettings, DaemonFault> {
        let request = DaemonRequest {
            flags: daemon.flags(),
            environment: daemon.environment.clone(),
            daemon_json: self.content(&daemon.daemon_json_path()).map(<[u8]>::to_vec),
            version: self.version(),
        };
        request.resolve()
    }

    /// A string or list of strings that a flag or daemon.json gives.
    pub(crate) fn configured(&self, daemon: &Daemon, flag: &str, key: &str) -> Vec<String> {
        let flags = daemon.flags();
        let given: Vec<String> =
            flags.given.iter().filter(|(name, _)| name == flag).map(|(_, value)| value.clone()).collect();
        if !given.is_empty() {
            return given;
        }
        let json = self.content(&daemon.daemon_json_path()).and_then(|bytes| serde_json::from_slice(bytes).ok());
        let json: serde_json::Value = json.unwrap_or_default();
        match json.get(key) {
            Some(serde_json::Value::String(text)) => vec![text.clone()],
            Some(serde_json::Value::Array(items)) => {
                items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn data_root(&self, daemon: &Daemon) -> Option<String> {
        let root = self.configured(daemon, "data-root", "data-root").pop();
        let asks = !self.configured(daemon, "userns-remap", "userns-remap").is_empty();
        asks.then(|| root.unwrap_or_else(|| "/var/lib/docker".to_owned()))
    }

    pub(crate) fn content(&self, path: &str) -> Option<&[u8]> {
        match self.files.get(path)? {
            Presence::There(file) => file.content.as_deref(),
            Presence::Absent | Presence::Hidden => None,
        }
    }

    pub(crate) fn file(&self, path: &str) -> Option<&Described> {
        match self.files.get(path)? {
            Presence::There(file) => Some(file),
            Presence::Absent | Presence::Hidden => None,
        }
    }
}

impl Daemon {
    fn read(line: &read::Line<'_>) -> Option<Self> {
        let words = line.bytes(2).unwrap_or_default();
        let words = words.strip_suffix(b"\0").unwrap_or(words).split(|&byte| byte == 0);
        let variables = line.text(3).unwrap_or_default();
        let variable = |name: &str| {
            let set = variables.lines().filter_map(|line| line.split_once('='));
            set.into_iter().find(|(set, _)| *set == name).map(|(_, value)| OsString::from(value))
        };
        let inodes: Option<BTreeSet<u64>> =
            line.text(5).map(|text| text.lines().filter_map(|inode| inode.parse().ok()).collect());
        let listening = |inodes: &BTreeSet<u64>| -> Vec<SocketAddr> {
            let tables = [6, 7].into_iter().filter_map(|place| line.bytes(place));
            tables
                .flat_map(sockets::tcp_listeners)
                .filter(|(_, inode)| inodes.contains(inode))
                .map(|(address, _)| address)
                .collect()
        };
        Some(Self {
            pid: line.number(0)?,
            uid: line.number(1),
            words: words.map(|word| String::from_utf8_lossy(word).into_owned()).collect(),
            environment: Environment::read(variable),
            config_home: variable("XDG_CONFIG_HOME").filter(|home| !home.is_empty()).map(PathBuf::from),
            directory: line.text(4),
            tcp: inodes.as_ref().map(listening),
            unix: inodes.as_ref().map(|inodes| sockets::unix_paths(line.bytes(8).unwrap_or_default(), inodes)),
        })
    }

    /// Its flags; what is no command line has none, and then it would not run.
    pub(crate) fn flags(&self) -> TlsFlags {
        TlsFlags::parse(Program::Dockerd, self.words.get(1..).unwrap_or_default()).unwrap_or_default()
    }

    /// Where its daemon.json is; a rootless one's is in its user's configuration (moby cmd/dockerd/config_unix.go
    /// `getDefaultDaemonConfigDir`, pkg/homedir `GetConfigHome`).
    pub(crate) fn daemon_json_path(&self) -> String {
        match self.flags().config_file {
            Some(path) => self.absolute(Path::new(&path)),
            None => {
                let of_home = || self.environment.home.as_ref().map(|home| home.join(".config"));
                match self.uid.filter(|uid| *uid != 0).and_then(|_| self.config_home.clone().or_else(of_home)) {
                    Some(own) => self.absolute(&own.join("docker/daemon.json")),
                    None => DAEMON_JSON.to_owned(),
                }
            }
        }
    }

    /// A path of its settings, by its one name.
    pub(crate) fn absolute(&self, path: &Path) -> String {
        let directory = Path::new(self.directory.as_deref().unwrap_or("/"));
        one_name(&directory.join(path).to_string_lossy())
    }
}

/// The name by which a path is asked for and looked up: without `.` and doubled slashes, and below /run for /var/run, which
/// is a link to it (Filesystem Hierarchy Standard 3.0, 5.13).
pub(crate) fn one_name(path: &str) -> String {
    let path: PathBuf = Path::new(path).components().collect();
    let below =
        path.strip_prefix("/var/run").map(|rest| Path::new("/run").join(rest).components().collect::<PathBuf>());
    below.unwrap_or(path).to_string_lossy().into_owned()
}

/// Where a stranger on the host reaches a listener of the settings; a name is not resolved.
fn listening_at(endpoint: &Endpoint) -> Option<SocketAddr> {
    let Endpoint::Tcp { host, port: Some(port) } = endpoint else { return None };
    let host = if host == "localhost" { "127.0.0.1" } else { host };
    Some(SocketAddr::new(host.parse().ok()?, *port))
}

/// `644 0 0 regular file`, as the script has stat print it.
fn described(text: &str) -> Option<Described> {
    let mut words = text.trim().splitn(4, ' ');
    Some(Described {
        mode: u32::from_str_radix(words.next()?, 8).ok()?,
        uid: words.next()?.parse().ok()?,
        gid: words.next()?.parse().ok()?,
        kind: words.next()?.to_owned(),
        content: None,
    })
}
