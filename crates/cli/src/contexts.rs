//! Docker contexts, for every command that makes, mends or names one.

use std::{
    fmt,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use dockseal_docker::{
    FilePlan, Layout, Ownership,
    client_settings::{Choice, ClientRequest},
    context::{self, ContextFiles, Meta, copy, is_valid_name},
    flags::TlsFlags,
    layout,
    settings::Environment,
};
use dockseal_inventory::{CertificateId, Kind, Place};
use dockseal_store::{ContextStore, Displaced, Existing, ReadError, WriteError, stage};
use zeroize::Zeroizing;

use crate::{
    connection,
    correction::dialled_host,
    endpoint::Issued,
    failure::Failure,
    hints::{read_hint, undelivered_failure, write_failure},
    invocation::Invocation,
    judgement,
    ledger::{Ledger, Undelivered},
};

/// A context that is to be there.
pub(crate) struct Wanted<'w> {
    pub(crate) name: &'w str,
    /// What docker is to dial, as [`host`] gives it.
    pub(crate) host: &'w str,
    /// `None` leaves the description that is there.
    pub(crate) description: Option<&'w str>,
    /// The directory to look at for newer files, where no inventory knows of the certificate.
    pub(crate) source: Option<&'w Path>,
    /// Whether a context of that name that is another one may be changed.
    pub(crate) existing: Existing,
}

/// The inventory's part in it.
pub(crate) enum Books<'b> {
    /// The certificate was just signed, and is in no place yet.
    New(&'b mut Ledger, &'b Issued),
    /// The certificate was delivered somewhere before.
    Known(&'b mut Ledger, CertificateId),
    /// No inventory here knows of it: the place is no destination of the one that is here any more.
    Unknown(Option<&'b mut Ledger>),
}

/// What was done about a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Made,
    Changed,
    /// All of it was as it is to be.
    Nothing,
}

impl Done {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Changed => "changed",
            Self::Nothing => "unchanged",
        }
    }
}

/// Makes a context of a client's files, or changes the one that is there, and records it as a destination of the
/// certificate, so that renewals go there too. Judges first; nothing is written of what Docker would refuse.
///
/// `plan` has the client's ca.pem, cert.pem and key.pem: of [`dockseal_docker::plan`] for a bundle, or of [`files_in`] for a
/// directory. With a ledger, the authority is this run's alone meanwhile. What was done and what the judge advises comes back.
/// After `ledger.deliver(&issued, …)` into a directory the same bundle gets its context with `Books::Known(ledger, issued.id)`.
pub(crate) fn put(
    wanted: &Wanted<'_>,
    plan: FilePlan,
    books: Books<'_>,
    invocation: &Invocation,
) -> Result<(Done, Vec<String>), Failure> {
    let Wanted { name, host, description, source, existing } = *wanted;
    let what = format!("cannot make the context {name}");
    check_name(name, &what)?;
    let notes = judgement::of_client_files(&plan, invocation.now, &what)?;
    let store = store(invocation)?;
    let files = store.files(name);
    let lock = store.lock().map_err(|error| write_failure(&what, &error))?;
    let ownership = store.ownership(&lock).map_err(|error| write_failure(&what, &error))?;
    let plan = FilePlan { ownership, ..plan.for_context() };
    let place = invocation.place(&files.tls)?;

    let present = read_meta(&files.meta);
    let is_there = !matches!(&present, Err(MetaTrouble::Read(error)) if error.is_not_found());
    let mut meta = present.as_ref().map_or_else(|_| Meta::new(name), Meta::clone);
    meta.dial(host);
    if let Some(description) = description {
        meta.describe(description);
    }
    let remembered = dockseal_store::read(&files.source()).ok().map(|file| file.bytes.to_vec());
    let source = source.map(|source| source.as_os_str().as_bytes());
    let has_files = holds(&files.tls, &plan);
    let is_described = present.is_ok_and(|present| present == meta) && remembered.as_deref() == source;
    if is_there && existing == Existing::Keep && !(has_files && is_described) {
        return Err(another(&what));
    }
    store.begin(&files, &lock).map_err(|error| write_failure(&what, &error))?;
    let delivered = match books {
        Books::New(ledger, issued) => {
            ledger.deliver_to(issued, &plan, place, Layout::Docker, Existing::Replace).map(drop)
        }
        Books::Known(ledger, id) => ledger.install(id, Some(&plan).filter(|_| !has_files), &place, Displaced::Keep),
        Books::Unknown(ledger) => {
            let put = || stage(&plan, &files.tls, Existing::Replace, Displaced::Keep)?.put_in_place()?.check();
            let there = if has_files { Ok(()) } else { put() };
            there
                .map_err(Undelivered::Place)
                .and_then(|()| Ok(ledger.map_or(Ok(()), |ledger| ledger.forget_place(&place))?))
        }
    };
    delivered.map_err(|error| {
        store.tidy(&files, &lock);
        let is_foreign = matches!(error, Undelivered::Place(WriteError::ForeignFiles { .. }));
        let failure = undelivered_failure(&what, &error);
        if is_foreign { failure.hint("docker warns of them, too; put them somewhere else") } else { failure }
    })?;
    if is_described {
        return Ok((if has_files { Done::Nothing } else { Done::Changed }, notes));
    }
    store.write(&files, &meta.to_json(), source, &lock).map_err(|error| write_failure(&what, &error))?;
    Ok((if is_there { Done::Changed } else { Done::Made }, notes))
}

pub(crate) fn another(what: &str) -> Failure {
    Failure::no(what)
        .cause("there is another context of that name")
        .hint("--replace puts this one in its place; dockseal context list shows what it is")
}

pub(crate) fn unknown(name: &str, what: &str) -> Failure {
    Failure::trouble(what)
        .cause(format!("docker knows no context {name:?}"))
        .hint("dockseal context list shows which there are")
}

/// The store of the docker CLI of who runs this: docker's `--config`, DOCKER_CONFIG, else `~/.docker`.
pub(crate) fn store(invocation: &Invocation) -> Result<ContextStore, Failure> {
    configuration(invocation).map(|directory| ContextStore::new(&directory))
}

/// Where docker keeps its configuration.
pub(crate) fn configuration(invocation: &Invocation) -> Result<PathBuf, Failure> {
    let environment = Environment::read(|name| invocation.variable(name));
    let is_named = config_flag(invocation).is_some_and(|directory| !directory.is_empty());
    if !is_named && environment.docker_config.is_none() && environment.home.is_none() {
        return Err(Failure::trouble("cannot tell where docker keeps its contexts")
            .cause("neither DOCKER_CONFIG nor HOME is set")
            .hint("set DOCKER_CONFIG as docker has it"));
    }
    invocation.absolute(&connection::config_directory(invocation))
}

/// `docker REST`, for a shell, with the configuration of this run.
pub(crate) fn docker_line(rest: &str, invocation: &Invocation) -> String {
    let config = config_flag(invocation).map(|directory| ("config".to_owned(), directory.to_owned()));
    let flags = TlsFlags { given: config.into_iter().collect(), ..TlsFlags::default() };
    connection::docker_line(&flags, rest)
}

/// The `--config` of the docker that called this.
fn config_flag(invocation: &Invocation) -> Option<&str> {
    invocation.docker.as_ref()?.config.as_deref()
}

/// Refuses what docker refuses as a name.
pub(crate) fn check_name(name: &str, what: &str) -> Result<(), Failure> {
    if name == context::DEFAULT {
        return Err(Failure::trouble(what)
            .cause("default is what docker calls having no context")
            .hint("choose another name"));
    }
    if is_valid_name(name) {
        return Ok(());
    }
    Err(Failure::trouble(what)
        .cause(format!("docker takes no context of the name {name:?}"))
        .hint("give at least two letters, digits, or _ . + - after the first"))
}

/// A context of the store, whoever made it.
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) files: ContextFiles,
    pub(crate) meta: Result<Meta, MetaTrouble>,
}

/// Every context of the store, by name. One whose metadata cannot be read goes by the name of its directory.
pub(crate) fn all(invocation: &Invocation, what: &str) -> Result<Vec<Stored>, Failure> {
    let metas = store(invocation)?.metas().map_err(|error| read_hint(Failure::trouble(what).cause(&error), &error))?;
    let mut found: Vec<Stored> = metas
        .into_iter()
        .filter_map(|path| {
            let files = ContextFiles::of_meta(&path)?;
            let meta = read_meta(&path);
            let named = meta.as_ref().ok().map(|meta| meta.name().to_owned()).filter(|name| is_valid_name(name));
            let directory = path.parent()?.file_name()?.to_string_lossy().into_owned();
            Some(Stored { name: named.unwrap_or(directory), files, meta })
        })
        .collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// The context that docker uses when nothing else is said, by the flags it was called with, its environment and its
/// config.json.
pub(crate) fn current(invocation: &Invocation) -> Option<String> {
    let environment = Environment::read(|name| invocation.variable(name));
    let config = configuration(invocation).ok()?.join("config.json");
    let said = dockseal_store::read(&config).ok().and_then(|file| context::current_context(&file.bytes).ok().flatten());
    let flags = invocation.docker.clone().unwrap_or_default();
    let request = ClientRequest { flags, environment, ..ClientRequest::default() };
    match request.choose(said.as_deref()).ok()?.0 {
        Choice::Named { name, .. } => Some(name),
        Choice::Default => None,
    }
}

/// What docker is to dial: `tcp://HOST:PORT`, where TLS counts.
pub(crate) fn host(text: &str, what: &str) -> Result<String, Failure> {
    match dialled_host(text) {
        Ok(url) => Ok(url),
        Err((cause, None)) => Err(Failure::trouble(what)
            .cause(cause)
            .hint("give the daemon as docker dials it, e.g. --host tcp://build.example.com:2376")),
        Err((cause, Some(meant))) => Err(Failure::trouble(what).cause(cause).hint(format!("give --host {meant}"))),
    }
}

/// A client's three files as they are.
pub(crate) fn files_in(directory: &Path, ownership: Ownership, what: &str) -> Result<FilePlan, Failure> {
    let file = |name: &str| {
        let path = directory.join(name);
        dockseal_store::read(&path)
            .map(|file| file.bytes)
            .map_err(|error| read_hint(Failure::trouble(what).cause(&error), &error))
    };
    let key = file(layout::KEY_FILE)?;
    let key = std::str::from_utf8(&key).map(|text| Zeroizing::new(text.to_owned())).map_err(|_| {
        Failure::trouble(what)
            .cause(format!("{} is not text", directory.join(layout::KEY_FILE).display()))
            .hint("it is to be PEM: a line -----BEGIN … PRIVATE KEY-----")
    })?;
    Ok(copy(file(layout::CA_FILE)?.to_vec(), file(layout::CERT_FILE)?.to_vec(), key, ownership))
}

/// Whether a directory holds these files, octet for octet.
fn holds(directory: &Path, plan: &FilePlan) -> bool {
    plan.files.iter().all(|file| {
        dockseal_store::read(&directory.join(&file.path)).is_ok_and(|there| *there.bytes == *file.contents.bytes())
    })
}

/// Why a context's metadata says nothing.
#[derive(Debug)]
pub(crate) enum MetaTrouble {
    Read(ReadError),
    Parse(context::MetaError),
}

impl fmt::Display for MetaTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::Parse(error) => write!(f, "its meta.json is damaged: {error}"),
        }
    }
}

/// A context's metadata.
pub(crate) fn read_meta(path: &Path) -> Result<Meta, MetaTrouble> {
    let file = dockseal_store::read(path).map_err(MetaTrouble::Read)?;
    Meta::parse(&file.bytes).map_err(MetaTrouble::Parse)
}

/// A place as people know it: a context by its name, everything else by its path.
pub(crate) fn shown(place: &Place) -> String {
    name_of(place.kind, &place.path).map_or_else(|| place.to_string(), |name| format!("context {name}"))
}

/// What the context is called whose TLS files are there.
pub(crate) fn name_of(kind: Kind, path: &Path) -> Option<String> {
    let files = ContextFiles::of_tls(path).filter(|_| kind == Kind::Context)?;
    let name = read_meta(&files.meta).ok()?.name().to_owned();
    Some(name).filter(|name| is_valid_name(name))
}
