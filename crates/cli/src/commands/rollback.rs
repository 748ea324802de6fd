//! `dockseal rollback`: the bundle that a renewal replaced comes back.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use dockseal_inventory::{Delivered, Destination, Entry, Matches, State};
use dockseal_pki::Certificate;
use dockseal_store::{Placed, previous_path, roll_back};
use serde_json::{Value, json};

use crate::{
    authority::{chains, known_chains, read as read_authority, write_failure},
    contexts::shown,
    failure::Failure,
    held::{self, keep_what_a_kill_left},
    invocation::Invocation,
    ledger::{Ledger, inventory_failure},
    named,
    output::Output,
    report::{SCHEMA, rfc3339, until},
};

const WHAT: &str = "cannot roll back";

#[derive(clap::Args)]
#[command(
    after_help = "A renewal keeps the bundle that it replaces. rollback judges that one and puts it back, in every directory that\n\
    the certificate is in; what it replaces is kept in turn, so that doing it twice changes nothing.\n\n\
    Examples:\n  \
    dockseal rollback alice\n  \
    dockseal rollback /etc/docker/tls      one directory, also where the authority is not"
)]
pub(crate) struct Args {
    /// Whose bundle: a user, a daemon's name, ROLE/NAME, a serial number, or a directory
    #[arg(value_name = "NAME|DIR")]
    what: String,
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let directory = Path::new(&args.what);
    let home = invocation.home().ok().filter(|home| home.inventory_path().exists());
    let mut trust = Trust::default();
    let mut ledger = match &home {
        None => None,
        Some(home) => {
            let ledger = Ledger::open(home, invocation.around(), output)?;
            let files = read_authority(home)?;
            trust = Trust::new(&chains(home, &files)?, &known_chains(home, WHAT)?);
            Some(ledger)
        }
    };
    let (mut rows, mut wires) = (Vec::new(), Vec::new());
    if is_directory(&args.what, ledger.as_ref())? {
        let path = invocation.place(directory)?.path;
        let known = match &ledger {
            None => None,
            Some(ledger) => ledger.inventory.destination_at(&invocation.place(directory)?).map_err(failure)?,
        };
        let done = match (known, &mut ledger) {
            (Some(destination), Some(ledger)) => at(ledger, &destination, &trust, invocation)?,
            (_, ledger) => {
                let (done, placed) = alone(&path, &trust, ledger.as_ref(), invocation)?;
                placed.check().map_err(|error| write_failure(WHAT, &error))?;
                done
            }
        };
        done.show(invocation, &mut rows, &mut wires);
    } else {
        let Some(ledger) = &mut ledger else {
            return Err(Failure::trouble(WHAT)
                .cause("there is no authority here that knows names")
                .hint("name the directory, or the authority with --authority DIR"));
        };
        for destination in with_previous(ledger, &args.what, invocation)? {
            at(ledger, &destination, &trust, invocation)?.show(invocation, &mut rows, &mut wires);
        }
    }
    let mut human = rows.concat();
    human.push_str("dockerd reads its files only when it starts: restart it if this was a daemon's.\n");
    output.result(&human, &json!({ "schema": SCHEMA, "rolled_back": wires }));
    Ok(ExitCode::SUCCESS)
}

/// A name that the inventory knows is a name, also where a directory happens to be called the same.
fn is_directory(what: &str, ledger: Option<&Ledger>) -> Result<bool, Failure> {
    if what.starts_with(['/', '.', '~']) {
        return Ok(true);
    }
    let known = match ledger {
        None => false,
        Some(ledger) => !matches!(ledger.inventory.find(what, None).map_err(failure)?, Matches::None),
    };
    Ok(!known && Path::new(what).is_dir())
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failure(error: dockseal_inventory::InventoryError) -> Failure {
    inventory_failure(WHAT, &error)
}

/// Whom the endpoints of an authority trust at present, and no longer.
#[derive(Default)]
struct Trust {
    /// The issuers whose certificates are accepted.
    issuers: Vec<Certificate>,
    /// The anchors that a roll-over took away.
    replaced: Vec<Certificate>,
}

impl Trust {
    /// From the chains that are trusted, and all that ever were; each ends with its anchor.
    fn new(trusted: &[Vec<Certificate>], known: &[Vec<Certificate>]) -> Self {
        let anchors: Vec<&Certificate> = trusted.iter().filter_map(|chain| chain.last()).collect();
        let replaced = known.iter().filter_map(|chain| chain.last()).filter(|anchor| !anchors.contains(anchor));
        Self {
            replaced: replaced.cloned().collect(),
            issuers: trusted.iter().filter_map(|chain| chain.first()).cloned().collect(),
        }
    }

    /// Whoever got it back would let the replaced authority's users in again.
    fn refuse_replaced(&self, path: &Path, held: &held::Held, hint: &str) -> Result<(), Failure> {
        let anchors = held.bundle.anchors.certificates();
        let Some(anchor) = anchors.iter().find(|anchor| self.replaced.contains(anchor)) else { return Ok(()) };
        Err(Failure::no(WHAT)
            .cause(format!(
                "what {} had before trusts {}, an authority that was rolled over",
                path.display(),
                anchor.subject
            ))
            .hint(hint))
    }
}

struct Done {
    path: PathBuf,
    held: held::Held,
}

impl Done {
    fn show(&self, invocation: &Invocation, rows: &mut Vec<String>, wires: &mut Vec<Value>) {
        let Some(leaf) = self.held.bundle.leaf() else { return };
        let path = self.path.display().to_string();
        let place = invocation.place(&self.path).map_or_else(|_| path.clone(), |place| shown(&place));
        rows.push(format!(
            "{place} holds the certificate of {} again, serial {}, valid until {}\n",
            leaf.subject,
            leaf.serial,
            until(leaf.validity, invocation.now)
        ));
        wires.push(json!({
            "directory": path,
            "serial": leaf.serial.to_string(),
            "not_after": rfc3339(leaf.validity.not_after),
        }));
    }
}

/// The places of the certificates of this name that keep what was there before.
fn with_previous(ledger: &Ledger, name: &str, invocation: &Invocation) -> Result<Vec<Destination>, Failure> {
    let mut found = Vec::new();
    for entry in named::counting(&ledger.inventory, name, None, WHAT)? {
        for destination in ledger.inventory.destinations_of(entry.id).map_err(failure)? {
            let is_kept = || previous_path(&destination.place.path).is_ok_and(|kept| kept.is_dir());
            if invocation.has(&destination.place)
                && invocation.places().include_place(&destination.place)
                && (destination.previous.is_some() || is_kept())
            {
                found.push(destination);
            }
        }
    }
    if found.is_empty() {
        return Err(nothing_kept(name));
    }
    Ok(found)
}

fn nothing_kept(name: &str) -> Failure {
    Failure::no(WHAT)
        .cause(format!("nothing is kept of what {name} had before"))
        .hint("a renewal keeps the bundle that it replaces, on the machine where it is")
}

/// In one place that is known.
fn at(ledger: &mut Ledger, destination: &Destination, trust: &Trust, invocation: &Invocation) -> Result<Done, Failure> {
    if destination.previous.is_some() {
        return recorded(ledger, destination, trust, invocation);
    }
    // What was there before is nothing that this authority recorded: somebody else's, perhaps.
    // Announced as the certificate that goes, so that a kill in between is told by what the place has then.
    if let Some(id) = destination.certificate {
        ledger.recorder().about_to_return(destination.id, id).map_err(failure)?;
    }
    let returned = alone(&destination.place.path, trust, Some(ledger), invocation);
    if returned.is_err() && destination.certificate.is_some() {
        ledger.recorder().missed(&[destination.id]).map_err(failure)?;
    }
    let (done, placed) = returned?;
    let leaf = done.held.bundle.leaf().map(Certificate::fingerprint);
    ledger.holds_another(destination, leaf).map_err(failure)?;
    placed.check().map_err(|error| write_failure(WHAT, &error))?;
    Ok(done)
}

/// Judges what is kept, swaps it in, and remembers that.
fn recorded(
    ledger: &mut Ledger,
    destination: &Destination,
    trust: &Trust,
    invocation: &Invocation,
) -> Result<Done, Failure> {
    let path = destination.place.path.clone();
    let Some(id) = destination.previous else { return Err(nothing_kept(&path.display().to_string())) };
    let entry =
        ledger.inventory.entry(id).map_err(failure)?.ok_or_else(|| nothing_kept(&path.display().to_string()))?;
    refuse_revoked(&path, &entry)?;
    if trust.issuers.iter().all(|issuer| issuer.subject != entry.certificate.issuer) {
        return Err(Failure::no(WHAT)
            .cause(format!(
                "what {} had before is of an authority that was rolled over: nobody trusts it",
                path.display()
            ))
            .hint("dockseal renew makes a new one"));
    }
    let held = judged(&path, invocation)?;
    if held.bundle.leaf().map(|leaf| leaf.fingerprint()) != Some(entry.fingerprint()) {
        return Err(Failure::no(WHAT)
            .cause(format!("what is kept beside {} is not what the inventory says", path.display()))
            .hint("see who changed it; dockseal renew makes a new one"));
    }
    trust.refuse_replaced(&path, &held, "dockseal renew makes a new one")?;
    ledger.recorder().about_to_return(destination.id, id).map_err(failure)?;
    let placed = match roll_back(&path) {
        Ok(placed) => placed,
        Err(error) => {
            ledger.recorder().missed(&[destination.id]).map_err(failure)?;
            return Err(write_failure(WHAT, &error));
        }
    };
    let delivered = Delivered { id, keeps_previous: true, command_due: false };
    ledger.recorder().delivered(&[delivered]).map_err(failure)?;
    placed.check().map_err(|error| write_failure(WHAT, &error))?;
    Ok(Done { path, held })
}

fn refuse_revoked(path: &Path, entry: &Entry) -> Result<(), Failure> {
    let State::Revoked(revocation) = &entry.state else { return Ok(()) };
    Err(Failure::no(WHAT)
        .cause(format!("what {} had before was revoked ({})", path.display(), revocation.reason))
        .hint("issue another one"))
}

/// The same where no inventory knows of what is kept.
fn alone(
    path: &Path,
    trust: &Trust,
    ledger: Option<&Ledger>,
    invocation: &Invocation,
) -> Result<(Done, Placed), Failure> {
    keep_what_a_kill_left(path);
    let held = judged(path, invocation)?;
    let known = ledger.zip(held.bundle.leaf()).map(|(ledger, leaf)| ledger.inventory.entry_of(leaf.fingerprint()));
    if let Some(entry) = known.transpose().map_err(failure)?.flatten() {
        refuse_revoked(path, &entry)?;
    }
    trust.refuse_replaced(path, &held, "keep what is in it, or issue another one for it")?;
    let placed = roll_back(path).map_err(|error| write_failure(WHAT, &error))?;
    Ok((Done { path: path.to_owned(), held }, placed))
}

fn judged(path: &Path, invocation: &Invocation) -> Result<held::Held, Failure> {
    let previous = previous_path(path).map_err(|error| write_failure(WHAT, &error))?;
    if !previous.is_dir() {
        return Err(nothing_kept(&path.display().to_string()));
    }
    let held = held::read(&previous, WHAT)?;
    held::judge(&held, invocation, WHAT)?;
    Ok(held)
}
