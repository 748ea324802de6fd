//! `dockseal bootstrap`: the main job in one step.

mod remote;

use std::{
    collections::BTreeSet,
    net::{AddrParseError, IpAddr, Ipv6Addr},
    path::{Path, PathBuf},
    process::ExitCode,
};

use dockseal_ca::Endpoint;
use dockseal_docker::{FilePlan, Layout, PlannedFile, Role, daemon_json, host_plan::Aim, layout, plan, unit};
use dockseal_lifecycle::init::draft;
use dockseal_pki::{Bundle, Certificate, KeyAlgorithm, PrivateKey, Signer, SubjectAltName, TrustAnchors};
use dockseal_store::{Existing, Heritage, HomeError, WriteError, check_destination, remove_stale};
use serde::Serialize;

use super::{init::AuthorityArgs, issue::check_not_here};
use crate::{
    authority::{Opened, chains, read, read_certificates, unlock},
    contexts,
    endpoint::{Issued, Permitted, SubjectKey, new_key, parse_user, permit, plain},
    failure::Failure,
    groups::{LeafArgs, NamesArgs, OwnerArgs, PassphraseArgs, key_word},
    hints::{home_failure, init_failure, inventory_failure, no_names, undelivered_failure, write_failure},
    invocation::Invocation,
    judgement,
    ledger::{Ledger, Undelivered, settle},
    next,
    output::{Output, table},
    passphrase,
    report::{CertificateReport, SCHEMA, until},
};

const WHAT: &str = "cannot bootstrap";

#[derive(clap::Args)]
#[command(
    after_help = "DIR/daemon is for the Docker host, DIR/clients/USER for the user; what to do with them is printed at the end.\n\
    Running it again changes nothing; running it with one more --client adds that client.\n\n\
    Examples:\n  \
    dockseal bootstrap 10.0.0.5 build.example.com --client alice\n  \
    dockseal bootstrap build.example.com --client alice --client ci --out ./build\n  \
    dockseal bootstrap build.example.com --client ci --passphrase-file /run/secrets/ca --format json\n\n\
    With --ssh the daemon's side is done on the host itself: looked at, shown, changed below a dead-man switch, proved.\n  \
    dockseal bootstrap build.example.com --ssh root@build.example.com --client alice --dry-run\n  \
    dockseal bootstrap --ssh root@one --ssh root@two --client alice --yes"
)]
pub(crate) struct Args {
    #[command(flatten)]
    names: NamesArgs,
    #[command(flatten)]
    ssh: SshArgs,
    /// A user who may use the daemon (repeatable)
    #[arg(long = "client", value_name = "USER", required = true)]
    clients: Vec<String>,
    /// The directory that gets daemon/ and clients/ [default: the first NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Issue what is there already anew and put it in the old one's place
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    leaf: LeafArgs,
    #[command(flatten)]
    owner: OwnerArgs,
    #[command(flatten)]
    authority: AuthorityArgs,
    /// The kind of a new authority's private key
    #[arg(long, value_parser = key_word(), default_value = "p256", value_name = "KIND")]
    authority_key: KeyAlgorithm,
    /// How long a new authority lives [default: 10y]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    authority_lifetime: Option<String>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// What is to be done on hosts.
#[derive(clap::Args)]
#[command(next_help_heading = "On the host, over ssh")]
struct SshArgs {
    /// The host, as ssh takes it: USER@HOST, an alias, ssh://USER@HOST:PORT (repeatable) [default name: what ssh dials]
    #[arg(long = "ssh", value_name = "HOST")]
    targets: Vec<String>,
    /// Show what would be changed, and change nothing
    #[arg(long, requires = "targets")]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short = 'y', requires = "targets")]
    yes: bool,
    /// The address on which dockerd listens [default: as it does, or all]
    #[arg(long, value_name = "ADDRESS", requires = "targets", value_parser = address)]
    listen: Option<IpAddr>,
    /// Let containers run on while dockerd restarts
    #[arg(long, requires = "targets")]
    live_restore: bool,
    /// Map root in containers to another user of the host: default, USER, UID, USER:GROUP or UID:GID
    #[arg(long, value_name = "WHO", requires = "targets")]
    userns_remap: Option<String>,
    /// The context's name, of one host [default: the name by which it was reached]
    #[arg(long, value_name = "NAME", requires = "targets", conflicts_with = "no_context")]
    context: Option<String>,
    /// Make no Docker context
    #[arg(long, requires = "targets")]
    no_context: bool,
    /// When the host takes the change back by itself unless it was proved to work [default: 2m]
    #[arg(long, value_name = "DURATION", requires = "targets")]
    confirm_within: Option<String>,
}

/// An address, an IPv6 one in brackets too, as it stands in a URL.
fn address(text: &str) -> Result<IpAddr, AddrParseError> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    bare.map_or_else(|| text.parse(), |bare| bare.parse::<Ipv6Addr>().map(IpAddr::from))
}

impl SshArgs {
    fn aim(&self, replace: bool) -> Result<Aim, Failure> {
        Ok(Aim {
            listen: self.listen,
            replace,
            live_restore: self.live_restore,
            userns_remap: self.userns_remap.clone(),
        })
    }
}

/// One directory that is to exist in the end.
struct Wanted {
    endpoint: Endpoint,
    directory: PathBuf,
}

/// What becomes of it.
enum Outcome {
    /// It is there and right.
    Kept(Box<Certificate>, Vec<String>),
    /// It is signed, judged and planned.
    Made(Box<Issued>, FilePlan),
}

#[derive(Serialize)]
struct Wire {
    schema: u32,
    changed: bool,
    authority: WireAuthority,
    bundles: Vec<WireBundle>,
    next: Vec<String>,
}

#[derive(Serialize)]
struct WireAuthority {
    directory: String,
    made: bool,
    certificate: CertificateReport,
}

#[derive(Serialize)]
struct WireBundle {
    state: &'static str,
    directory: String,
    certificate: CertificateReport,
    notes: Vec<String>,
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    if !args.ssh.targets.is_empty() {
        if let Some(name) = &args.ssh.context {
            contexts::check_name(name, WHAT)?;
            if args.ssh.targets.len() > 1 {
                return Err(Failure::trouble(WHAT)
                    .cause("one context was named, and several hosts")
                    .hint("leave --context out: each host's is called by the name by which it was reached"));
            }
        }
        return remote::run(args, invocation, output);
    }
    let names = args.names.resolve(output)?;
    let Some(first) = names.first() else {
        return Err(Failure { what: WHAT.to_owned(), ..no_names() });
    };
    let out = match &args.out {
        Some(out) => invocation.absolute(out)?,
        None => invocation.absolute(Path::new(&first.to_string().replace("*.", "")))?,
    };
    let wanted = wanted(&names, &args.clients, &out)?;
    for Wanted { directory, .. } in &wanted {
        check_not_here(directory, invocation, WHAT)?;
    }
    let done = attempt_until_done(args, &wanted, invocation, output)?;
    report(&done, &wanted, &names, &out, invocation, output);
    Ok(ExitCode::SUCCESS)
}

/// Another process that makes the same things at the same moment wins a rename; what it made is looked at again.
fn attempt_until_done(
    args: &Args,
    wanted: &[Wanted],
    invocation: &Invocation,
    output: &mut Output,
) -> Result<Done, Failure> {
    let mut last = None;
    for _attempt in 0..8 {
        match attempt(args, wanted, invocation, output)? {
            Attempt::Done(done) => return Ok(*done),
            Attempt::SomebodyWasFaster(failure) => last = Some(failure),
        }
    }
    Err(last.unwrap_or_else(|| Failure::trouble(WHAT)))
}

fn wanted(names: &[SubjectAltName], clients: &[String], out: &Path) -> Result<Vec<Wanted>, Failure> {
    let daemon = Endpoint::Daemon { names: names.to_vec() };
    let mut wanted = vec![Wanted { endpoint: daemon, directory: out.join("daemon") }];
    wanted.extend(wanted_clients(clients, out)?);
    Ok(wanted)
}

fn wanted_clients(clients: &[String], out: &Path) -> Result<Vec<Wanted>, Failure> {
    let mut wanted: Vec<Wanted> = Vec::new();
    for client in clients {
        let user = parse_user(client)?;
        let directory = out.join("clients").join(user.as_str());
        if !wanted.iter().any(|other| other.directory == directory) {
            wanted.push(Wanted { endpoint: Endpoint::Client { user }, directory });
        }
    }
    Ok(wanted)
}

/// What a run did.
struct Done {
    authority: Certificate,
    home: PathBuf,
    made_authority: bool,
    outcomes: Vec<Outcome>,
    /// The authority, where it had to be opened.
    opened: Option<Opened>,
}

/// How a try ended.
enum Attempt {
    Done(Box<Done>),
    /// Something that was missing is there now; if it is not a bundle that can be kept, this is why.
    SomebodyWasFaster(Failure),
}

/// Everything once: look, issue and judge in memory, then write.
fn attempt(args: &Args, wanted: &[Wanted], invocation: &Invocation, output: &mut Output) -> Result<Attempt, Failure> {
    let home = invocation.home()?;
    let ownership = args.owner.resolve()?;
    let wish = args.leaf.wish()?;
    for directory in wanted.iter().map(|wanted| wanted.directory.as_path()).chain([home.path()]) {
        remove_stale(directory).map_err(|error| write_failure(WHAT, &error))?;
    }
    let existing = if args.replace { Existing::Replace } else { Existing::Keep };

    let there = home.check_free().is_err();
    let (opened, new_key_pem, kept) = if there {
        let files = read(&home)?;
        let generations = chains(&home, &files)?;
        let kept = keep(wanted, &generations, existing, invocation, output)?;
        if kept.iter().all(Option::is_some) {
            let Some(authority) = generations.into_iter().flatten().next() else { return Err(Failure::trouble(WHAT)) };
            settle(&home, invocation.around(), output)?;
            let outcomes = kept.into_iter().flatten().collect();
            let home = home.path().to_owned();
            let done = Done { authority, home, made_authority: false, outcomes, opened: None };
            return Ok(Attempt::Done(Box::new(done)));
        }
        (unlock(home, &files, &args.passphrase, invocation, output)?, None, kept)
    } else {
        let request = args.authority.request(args.authority_lifetime.as_deref())?;
        let kept = keep(wanted, &[], existing, invocation, output)?;
        let passphrase = passphrase::for_new_key(&args.passphrase, invocation, output)?;
        let draft = draft(&request, args.authority_key, passphrase.as_ref(), home, invocation.around())
            .map_err(|error| init_failure(WHAT, error))?;
        (draft.opened, Some(draft.key_pem), kept)
    };

    // All that may be refused comes before anything is changed.
    let permitted: Vec<Result<Outcome, Permitted>> = wanted
        .iter()
        .zip(kept)
        .map(|(wanted, kept)| match kept {
            Some(kept) => Ok(Ok(kept)),
            None => {
                let names = file_names(wanted.endpoint.role());
                check_destination(&names, &wanted.directory, existing).or_else(|error| match error {
                    // Somebody was faster, perhaps: delivering will tell.
                    WriteError::AlreadyThere { .. } => Ok(()),
                    error => Err(write_failure(WHAT, &error)),
                })?;
                let key = SubjectKey::Here(Box::new(new_key(args.leaf.key, output)?));
                Ok(Err(permit(&opened.authority, &wanted.endpoint, key, wish, invocation.around())?))
            }
        })
        .collect::<Result<_, Failure>>()?;
    let issuer = opened.authority.issuer();
    let mut ledger = match new_key_pem {
        Some(_) => Ledger::draft(issuer, invocation.around())?,
        None => Ledger::open_to_sign(&opened, invocation.around(), output)?,
    };
    let mut outcomes = Vec::new();
    for (wanted, permitted) in wanted.iter().zip(permitted) {
        outcomes.push(match permitted {
            Ok(kept) => kept,
            Err(permitted) => {
                let issued = permitted.issue(&opened.authority, &mut ledger, None, invocation.around())?;
                let mut plan = plan(&issued.bundle, wanted.endpoint.role(), Layout::Docker, ownership);
                if wanted.endpoint.role() == Role::Daemon {
                    plan.files.extend(configuration());
                }
                Outcome::Made(Box::new(issued), plan)
            }
        });
    }

    let made_authority = new_key_pem.is_some();
    if let Some(key_pem) = new_key_pem {
        // The serials are taken in the inventory that is written with the authority, so none was signed with unrecorded.
        let inventory = ledger.inventory.to_bytes().map_err(|error| inventory_failure(WHAT, &error))?;
        match opened.home.create(opened.authority.chain(), key_pem, inventory, Heritage::default()) {
            Err(error @ HomeError::AlreadyThere { .. }) => {
                return Ok(Attempt::SomebodyWasFaster(home_failure(WHAT, &error)));
            }
            other => other.map_err(|error| home_failure("cannot make the authority", &error))?,
        }
        ledger = Ledger::open_to_sign(&opened, invocation.around(), output)?;
    }
    for (wanted, outcome) in wanted.iter().zip(&outcomes) {
        let Outcome::Made(issued, plan) = outcome else { continue };
        match ledger.deliver(issued, plan, Layout::Docker, &wanted.directory, existing, invocation.around()) {
            Err(Undelivered::Place(error @ WriteError::AlreadyThere { .. })) => {
                return Ok(Attempt::SomebodyWasFaster(write_failure(WHAT, &error)));
            }
            other => other.map(drop).map_err(|error| undelivered_failure(WHAT, &error))?,
        }
    }
    Ok(Attempt::Done(Box::new(Done {
        authority: opened.authority.issuer().clone(),
        home: opened.home.path().to_owned(),
        made_authority,
        outcomes,
        opened: Some(opened),
    })))
}

/// What is there and right, for each thing wanted.
fn keep(
    wanted: &[Wanted],
    generations: &[Vec<Certificate>],
    existing: Existing,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<Vec<Option<Outcome>>, Failure> {
    wanted
        .iter()
        .map(|wanted| match existing {
            Existing::Replace => Ok(None),
            Existing::Keep => keep_one(wanted, generations, invocation, output),
        })
        .collect()
}

fn keep_one(
    wanted: &Wanted,
    generations: &[Vec<Certificate>],
    invocation: &Invocation,
    output: &mut Output,
) -> Result<Option<Outcome>, Failure> {
    let directory = &wanted.directory;
    let file = |name: &str| directory.join(name);
    let there = [layout::CA_FILE, layout::CERT_FILE, layout::KEY_FILE].iter().any(|name| file(name).exists());
    if !there {
        return Ok(None);
    }
    let differs = |cause: String| {
        Failure::no(format!("cannot keep {}", directory.display()))
            .cause(cause)
            .hint("run it with --replace to issue it anew, or with another --out")
    };
    let certificates = |name: &str| -> Result<Vec<Certificate>, Failure> {
        let bytes = dockseal_store::read(&file(name)).map_err(|error| differs(error.to_string()))?.bytes;
        read_certificates(&bytes, &file(name)).map_err(|error| differs(format!("{error}: {}", error.source)))
    };
    let anchors = certificates(layout::CA_FILE)?;
    let own = certificates(layout::CERT_FILE)?;
    let key_file = dockseal_store::read(&file(layout::KEY_FILE)).map_err(|error| differs(error.to_string()))?;
    let (key, _) = PrivateKey::from_pem(&key_file.bytes, None).map_err(|error| differs(error.to_string()))?;
    let Some(leaf) = own.first().cloned() else { return Err(differs("cert.pem is empty".to_owned())) };
    if key.public_key().spki() != leaf.public_key.spki() {
        return Err(differs("its key does not belong to its certificate".to_owned()));
    }
    if generations.is_empty() {
        return Err(differs("it is there, but the authority that issued it is not".to_owned()));
    }
    let issued_by = |chain: &Vec<Certificate>| match (chain.first(), chain.last()) {
        (Some(issuer), Some(anchor)) => {
            anchors.contains(anchor) && leaf.issuer == issuer.subject && leaf.is_signed_by(issuer)
        }
        _ => false,
    };
    let Some(generation) = generations.iter().position(issued_by) else {
        return Err(differs(format!("it was issued by another authority, {}", leaf.issuer)));
    };
    // While a roll-over goes on, the signing generation's leaves beside the anchors of all are the newest there is.
    let newest =
        generation == 0 && generations.iter().filter_map(|chain| chain.last()).all(|one| anchors.contains(one));
    match &wanted.endpoint {
        Endpoint::Daemon { names } => {
            let asked: BTreeSet<String> = names.iter().map(ToString::to_string).collect();
            let has: BTreeSet<String> = leaf.names.iter().map(plain).collect();
            if asked != has {
                let list = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
                return Err(differs(format!("it is for {}, and not for {}", list(&has), list(&asked))));
            }
        }
        Endpoint::Client { user } => {
            if leaf.subject.common_name().as_deref() != Some(user.as_str()) {
                return Err(differs(format!("it is for {}, and not for {user}", leaf.subject)));
            }
        }
    }
    let Some(anchors) = TrustAnchors::new(anchors) else { return Err(differs("ca.pem is empty".to_owned())) };
    let bundle = Bundle { anchors, chain: own, key: Some(key) };
    let mut notes = judgement::of_bundle(&bundle, &wanted.endpoint, invocation.now, WHAT)
        .map_err(|failure| differs(failure.cause.unwrap_or_default()))?;
    if !newest {
        notes.push("it awaits the roll-over that is under way: see dockseal rollover status".to_owned());
    }
    // A group that may read it was somebody's wish (--mode 0440); everybody never is.
    if key_file.mode & 0o004 != 0 {
        let path = file(layout::KEY_FILE);
        output.warn(&format!("{} can be read by everybody (mode {:04o}); chmod it", path.display(), key_file.mode));
    }
    Ok(Some(Outcome::Kept(Box::new(leaf), notes)))
}

/// What a bundle brings at the top of its directory.
fn file_names(role: Role) -> Vec<&'static str> {
    let mut names = vec![layout::CA_FILE, layout::CERT_FILE, layout::KEY_FILE];
    if role == Role::Daemon {
        names.extend([layout::DAEMON_JSON_FILE, "docker.service.d"]);
    }
    names
}

fn configuration() -> [PlannedFile; 2] {
    let json = daemon_json::fragment(daemon_json::INSTALL_DIRECTORY);
    [
        PlannedFile::public(layout::DAEMON_JSON_FILE, layout::CONFIGURATION_MODE, json),
        PlannedFile::public(layout::DROP_IN_FILE, layout::CONFIGURATION_MODE, unit::drop_in().to_owned()),
    ]
}

/// Rows for the authority and each bundle, the same for programs, and whether anything is new.
fn client_rows(
    done: &Done,
    wanted: &[Wanted],
    invocation: &Invocation,
    output: &mut Output,
) -> (Vec<[String; 4]>, Vec<WireBundle>, bool) {
    let mut rows = Vec::new();
    let mut bundles = Vec::new();
    let mut changed = done.made_authority;
    let state = if done.made_authority { "made" } else { "used" };
    rows.push([
        state.to_owned(),
        Role::Authority.to_string(),
        done.home.display().to_string(),
        until(done.authority.validity, invocation.now),
    ]);
    for (wanted, outcome) in wanted.iter().zip(&done.outcomes) {
        let role = wanted.endpoint.role();
        let (state, certificate, notes) = match outcome {
            Outcome::Kept(certificate, notes) => ("kept", certificate.as_ref(), notes),
            Outcome::Made(issued, _) => ("made", &issued.certificate, &issued.notes),
        };
        changed |= state == "made";
        let who = match &wanted.endpoint {
            Endpoint::Daemon { .. } => role.to_string(),
            Endpoint::Client { user } => format!("{role} {user}"),
        };
        for note in notes {
            output.note(&format!("{who}: {note}"));
        }
        let directory = wanted.directory.display().to_string();
        rows.push([state.to_owned(), who, directory.clone(), until(certificate.validity, invocation.now)]);
        bundles.push(WireBundle {
            state,
            directory,
            certificate: CertificateReport::new(role, certificate),
            notes: notes.clone(),
        });
    }
    (rows, bundles, changed)
}

fn report(
    done: &Done,
    wanted: &[Wanted],
    names: &[SubjectAltName],
    out: &Path,
    invocation: &Invocation,
    output: &mut Output,
) {
    let (rows, bundles, changed) = client_rows(done, wanted, invocation, output);
    let made = |role| {
        let made = wanted.iter().zip(&done.outcomes).filter(|(_, outcome)| matches!(outcome, Outcome::Made(..)));
        let mut directories =
            made.filter(|(wanted, _)| wanted.endpoint.role() == role).map(|(wanted, _)| &wanted.directory);
        directories.next()
    };
    let client = made(Role::Client).or(wanted.last().map(|wanted| &wanted.directory));
    let steps = next::steps(names, made(Role::Daemon), client);
    let mut human = String::new();
    if !changed {
        human.push_str(&format!("Nothing to do: everything is in {} and right.\n\n", out.display()));
    }
    human.push_str(&table(&["", "who", "in", "valid until"], &rows));
    if changed {
        human.push_str(&steps.text);
    }
    let wire = Wire {
        schema: SCHEMA,
        changed,
        authority: WireAuthority {
            directory: done.home.display().to_string(),
            made: done.made_authority,
            certificate: CertificateReport::new(Role::Authority, &done.authority),
        },
        bundles,
        next: steps.commands,
    };
    output.result(&human, &wire);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_to_listen_on() {
        for (text, parsed) in [("10.0.0.5", "10.0.0.5"), ("::", "::"), ("[fd00::5]", "fd00::5")] {
            assert_eq!(address(text).unwrap().to_string(), parsed);
        }
        for text in ["", "[]", "[10.0.0.5]", "[::", "::]", "host", "0.0.0.0:2376", "fe80::1%eth0"] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
