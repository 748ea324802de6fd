//! What surrounds a run: the time, the environment, the authority's place.
#![expect(clippy::disallowed_methods, reason = "the only reader of clock and environment")]

#[cfg(target_os = "linux")]
use std::os::unix::ffi::OsStrExt;
use std::{
    ffi::OsString,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use dockseal_docker::{flags::TlsFlags, plugin};
use dockseal_inventory::{Place, Run};
use dockseal_lifecycle::{PlacesOf, Surroundings};
use dockseal_store::Home;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    failure::Failure,
    groups::{Global, parse_lifetime},
    output::Format,
};

/// What systemd gives every installation (machine-id(5)).
const MACHINE_ID: &str = "/etc/machine-id";

/// How long a run waits for another one, unless `--wait` says otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Everything that a command may know about the world.
pub(crate) struct Invocation {
    /// The present, or what `--at` says, in whole seconds as certificates have them.
    pub(crate) now: OffsetDateTime,
    /// The same to the nanosecond, as Docker's clock runs.
    pub(crate) instant: OffsetDateTime,
    /// How long to wait for another run.
    pub(crate) patience: Duration,
    /// What tells this machine from others.
    pub(crate) machine: String,
    /// The flags of the docker command of which this run is a part.
    pub(crate) docker: Option<TlsFlags>,
    machine_name: String,
    authority: Option<PathBuf>,
    /// `--at` was given.
    time_is_given: bool,
    around: OnceLock<Surroundings>,
    places: OnceLock<PlacesOf>,
}

impl Invocation {
    pub(crate) fn new(global: &Global, docker: Option<TlsFlags>) -> Result<Self, Failure> {
        let now = match &global.at {
            None => OffsetDateTime::now_utc(),
            Some(text) => OffsetDateTime::parse(text, &Rfc3339).map_err(|error| {
                Failure::trouble(format!("cannot read the time {text:?}"))
                    .cause(error)
                    .hint("give it as RFC 3339 has it, e.g. --at 2027-01-31T12:00:00Z")
            })?,
        };
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let authority = global
            .authority
            .clone()
            .filter(|path| !path.as_os_str().is_empty())
            .or_else(|| set("XDG_DATA_HOME").filter(|path| path.is_absolute()).map(|data| data.join("dockseal")))
            .or_else(|| set("HOME").map(|home| home.join(".local/share/dockseal")));
        let instant = now.to_offset(time::UtcOffset::UTC);
        let patience = match global.wait.as_deref() {
            None => PATIENCE,
            Some("0") => Duration::ZERO,
            Some(text) => parse_lifetime(text)?.duration().try_into().unwrap_or(PATIENCE),
        };
        let (machine, machine_name) = machine();
        Ok(Self {
            now: instant.replace_nanosecond(0).unwrap_or(instant),
            instant,
            patience,
            machine,
            docker,
            machine_name,
            authority,
            time_is_given: global.at.is_some(),
            around: OnceLock::new(),
            places: OnceLock::new(),
        })
    }

    /// What the use-cases are given.
    pub(crate) fn around(&self) -> &Surroundings {
        self.around.get_or_init(|| {
            let run = self.run();
            let lock_owner =
                format!("{} (process {}, by {} on {})", run.command, std::process::id(), run.user, run.machine_name);
            // Where there is none any more, no path that is not absolute leads anywhere.
            let here = std::env::current_dir().unwrap_or_default();
            let mut around = Surroundings::new(run, here, self.patience);
            around.lock_owner = lock_owner;
            around
        })
    }

    /// The same at another time.
    pub(crate) fn at(&self, now: OffsetDateTime) -> Self {
        Self {
            now,
            instant: now,
            patience: self.patience,
            machine: self.machine.clone(),
            docker: self.docker.clone(),
            machine_name: self.machine_name.clone(),
            authority: self.authority.clone(),
            time_is_given: self.time_is_given,
            around: OnceLock::new(),
            places: OnceLock::new(),
        }
    }

    /// Who runs what, where and when, for the authority's trail.
    fn run(&self) -> Run {
        let user = nix::unistd::geteuid();
        let name = nix::unistd::User::from_uid(user).ok().flatten().map(|user| user.name);
        // No option takes a secret, so none can be in here.
        let words: Vec<String> = std::env::args_os().skip(1).map(|word| shown(&word.to_string_lossy())).collect();
        Run {
            at: self.now,
            user: name.unwrap_or_else(|| user.to_string()),
            machine: self.machine.clone(),
            machine_name: self.machine_name.clone(),
            time_is_given: self.time_is_given,
            command: format!("{} {}", if self.docker.is_some() { "docker" } else { "dockseal" }, words.join(" ")),
        }
    }

    /// What tells this machine from others.
    pub(crate) fn machine(&self) -> String {
        machine().0
    }

    /// What people call this machine.
    pub(crate) fn machine_name(&self) -> &str {
        &self.machine_name
    }

    /// A directory of this machine, by the one name that it has; one with a context's TLS files is that context.
    pub(crate) fn place(&self, path: &Path) -> Result<Place, Failure> {
        Ok(self.around().place(&self.absolute(path)?))
    }

    /// Where the places may be that the authority's inventory names.
    pub(crate) fn places(&self) -> PlacesOf {
        // Where it cannot be told whose an authority is, its inventory is nobody's word.
        let of = |home: Home| PlacesOf::authority(&home).unwrap_or(PlacesOf::User(u32::MAX));
        *self.places.get_or_init(|| self.home().map(of).unwrap_or_default())
    }

    /// Whether a place is a directory, of whatever use, on this machine.
    pub(crate) fn has(&self, place: &Place) -> bool {
        self.around().has(place)
    }

    /// This machine's clock, whatever `--at` says.
    pub(crate) fn clock(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    /// The authority's home: `--authority`, `DOCKSEAL_AUTHORITY`, `$XDG_DATA_HOME/dockseal`, `~/.local/share/dockseal`.
    pub(crate) fn home(&self) -> Result<Home, Failure> {
        let path = self.authority.as_deref().ok_or_else(|| {
            Failure::trouble("cannot tell where the authority lives")
                .cause("neither HOME nor XDG_DATA_HOME is set")
                .hint("name its directory with --authority DIR or DOCKSEAL_AUTHORITY")
        })?;
        self.absolute(path).map(Home::new)
    }

    /// The run that docker's hook is: nobody gave it anything but the flags of the command before it.
    pub(crate) fn of_hook(docker: TlsFlags) -> Result<Self, Failure> {
        let authority = std::env::var_os("DOCKSEAL_AUTHORITY").map(PathBuf::from);
        let wait = Some("0".to_owned());
        Self::new(&Global { authority, at: None, wait, format: Format::Human }, Some(docker))
    }

    /// What people type to run this program.
    pub(crate) fn called(&self) -> &'static str {
        if self.docker.is_some() { "docker seal" } else { "dockseal" }
    }

    /// Whether it is asked about the docker command around it, rather than about an authority here.
    pub(crate) fn is_about_docker(&self) -> bool {
        let names_authority =
            |word: OsString| word == "--authority" || word.to_string_lossy().starts_with("--authority=");
        self.docker.is_some() && !std::env::args_os().any(names_authority)
    }

    /// Whether an environment variable is set to nothing.
    pub(crate) fn is_empty_variable(&self, name: &str) -> bool {
        std::env::var_os(name).is_some_and(|value| value.is_empty())
    }

    /// An environment variable that is set and not empty.
    pub(crate) fn variable(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name).filter(|value| !value.is_empty())
    }

    /// This program's own file.
    pub(crate) fn program(&self) -> Result<PathBuf, Failure> {
        std::env::current_exe().map_err(|error| Failure::trouble("cannot tell where this program is").cause(error))
    }

    /// `path` without `.` parts and from the root, symbolic links left as they are.
    pub(crate) fn absolute(&self, path: &Path) -> Result<PathBuf, Failure> {
        std::path::absolute(path)
            .map_err(|error| Failure::trouble(format!("cannot tell where {} is", path.display())).cause(error))
    }

    /// Whether it is the directory in which this program was started.
    pub(crate) fn is_current_directory(&self, path: &Path) -> bool {
        let same = || Some(std::env::current_dir().ok()?.canonicalize().ok()? == path.canonicalize().ok()?);
        same().unwrap_or(false)
    }
}

/// What tells this machine from others, and what people call it.
fn machine() -> (String, String) {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let id = std::fs::read_to_string(MACHINE_ID).map(|id| id.trim().to_owned()).unwrap_or_default();
    // Containers often have none, or `uninitialized`.
    let id = if id.len() == 32 { id } else { name.clone() };
    (id, name)
}

/// A word of a command line as people would type it again.
fn shown(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_=./:,@+*%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", dockseal_pki::printable(word).replace('\'', "'\\''"))
}

/// The docker that runs this program as its plugin, by the name that it was called by.
pub(crate) fn calling_docker() -> Option<OsString> {
    std::env::var_os(plugin::ORIGINAL_COMMAND).filter(|value| !value.is_empty())
}

/// The socket that docker keeps open for its plugin, until both are to end.
pub(crate) fn docker_socket() -> Option<UnixStream> {
    let address = std::env::var_os(plugin::SOCKET).filter(|address| !address.is_empty())?;
    #[cfg(target_os = "linux")]
    if let Some(name) = address.as_bytes().strip_prefix(b"@") {
        use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
        return UnixStream::connect_addr(&SocketAddr::from_abstract_name(name).ok()?).ok();
    }
    UnixStream::connect(address).ok()
}

/// Whether NO_COLOR and TERM leave room for colour (no-color.org).
pub(crate) fn colour_is_welcome() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
