//! `dockseal rollback`: the bundle that a renewal replaced comes back.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use dockseal_inventory::{CertificateId, Delivered, Destination, Entry, Matches, State};
use dockseal_lifecycle::authority;
use dockseal_pki::{Certificate, certificates_in_pem, printable};
use dockseal_store::{Placed, kept_by_another, previous_path, read, roll_back};
use serde_json::{Value, json};

use crate::{
    authority::{read as read_authority, trust_of},
    contexts::shown,
    failure::Failure,
    held::{self, keep_what_a_kill_left},
    hints::{inventory_failure, write_failure},
    invocation::Invocation,
    ledger::Ledger,
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
    dockseal rollback /etc/docker/tls      one directory, also where the authority is not\n  \
    dockseal rollback ./tls --force        also what another user put there, or what trusts more authorities"
)]
pub(crate) struct Args {
    /// Whose bundle: a user, a daemon's name, ROLE/NAME, a serial number, or a directory
    #[arg(value_name = "NAME|DIR")]
    what: String,
    /// Bring back also what another user keeps there, what is for somebody else, or what trusts an authority that is not
    /// trusted now
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let directory = Path::new(&args.what);
    let home = invocation.home().ok().filter(|home| home.inventory_path().exists());
    let mut trust = Trust { force: args.force, ..Trust::default() };
    let mut ledger = match &home {
        None => None,
        Some(home) => {
            let ledger = Ledger::open(home, invocation.around(), output)?;
            read_authority(home)?;
            trust.of_authority = trust_of(home, WHAT)?;

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
                let refuse = |held: &held::Held| trust.refuse_more(&path, held);
                let (done, placed) = alone(&path, &trust, ledger.as_ref(), invocation, refuse)?;
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

/// What may be brought back.
#[derive(Default)]
struct Trust {
    /// Nothing where there is no authority.
    of_authority: authority::Trust,
    /// What only an authority's inventory could vouch for is brought back without it.
    force: bool,
}

impl Trust {
    /// What nobody recorded: another user may have put it there, who knows its key.
    fn refuse_of_another(&self, path: &Path) -> Result<(), Failure> {
        match kept_by_another(path).map_err(|error| write_failure(WHAT, &error))? {
            Some(user) if !self.force => Err(Failure::no(WHAT)
                .cause(format!(
                    "what is kept beside {} belongs to user {user}, who has nothing else to do with it",
                    path.display()
                ))
                .hint("see who put it there; --force brings it back nevertheless")),
            _ => Ok(()),
        }
    }

    /// Where no inventory tells what was rolled over: an authority that is trusted no more does not come back unsaid.
    fn refuse_more(&self, path: &Path, held: &held::Held) -> Result<(), Failure> {
        // Where what is there cannot be read, it is what the rollback mends.
        let Some(present) = anchors_in(path).filter(|_| !self.force) else { return Ok(()) };
        let is_trusted = |anchor: &&Certificate| present.contains(anchor) || self.of_authority.anchors.contains(anchor);
        let Some(more) = held.bundle.anchors.certificates().iter().find(|anchor| !is_trusted(anchor)) else {
            return Ok(());
        };
        Err(Failure::no(WHAT)
            .cause(format!("what {} had before trusts {}, which it does not trust now", path.display(), more.subject))
            .hint(
                "a roll-over may have taken it away: ask who runs the authority; --force brings it back nevertheless",
            ))
    }

    /// A bundle that is known, and another's than the one in the place.
    fn refuse_for_another(
        &self,
        path: &Path,
        held: &held::Held,
        ledger: &Ledger,
        there: Option<CertificateId>,
    ) -> Result<(), Failure> {
        let entry_of = |leaf: &Certificate| ledger.inventory.entry_of(leaf.fingerprint()).map_err(failure);
        let kept = held.bundle.leaf().map(entry_of).transpose()?.flatten();
        let there = there.map(|id| ledger.inventory.entry(id).map_err(failure)).transpose()?.flatten();
        let (Some(kept), Some(there)) = (kept, there) else { return Ok(()) };
        if self.force || (kept.role, &kept.name) == (there.role, &there.name) {
            return Ok(());
        }
        Err(Failure::no(WHAT)
            .cause(format!(
                "what is kept beside {} is for {} {}, and the place for {} {}",
                path.display(),
                kept.role,
                printable(&kept.name),
                there.role,
                printable(&there.name)
            ))
            .hint("see who put it there; --force brings it back nevertheless"))
    }

    /// Whoever got it back would let the replaced authority's users in again.
    fn refuse_replaced(&self, path: &Path, held: &held::Held, hint: &str) -> Result<(), Failure> {
        let anchors = held.bundle.anchors.certificates();
        let Some(anchor) = anchors.iter().find(|anchor| self.of_authority.replaced.contains(anchor)) else {
            return Ok(());
        };
        Err(Failure::no(WHAT)
            .cause(format!(
                "what {} had before trusts {}, an authority that was rolled over",
                path.display(),
                anchor.subject
            ))
            .hint(hint))
    }
}

/// What a place trusts now, if that can be read.
fn anchors_in(directory: &Path) -> Option<Vec<Certificate>> {
    let bytes = read(&directory.join(held::names_in(directory).anchors)).ok()?.bytes;
    certificates_in_pem(&bytes).ok()
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
    let path = &destination.place.path;
    let refuse = |held: &held::Held| trust.refuse_for_another(path, held, ledger, destination.certificate);
    let returned = alone(path, trust, Some(ledger), invocation, refuse);
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
    if trust.of_authority.issuers.iter().all(|issuer| issuer.subject != entry.certificate.issuer) {
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
    // The certificate is the recorded one; what it lies beside is not recorded, and a roll-over may have been aborted since.
    trust.refuse_more(&path, &held)?;
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
    refuse: impl Fn(&held::Held) -> Result<(), Failure>,
) -> Result<(Done, Placed), Failure> {
    keep_what_a_kill_left(path);
    let held = judged(path, invocation)?;
    trust.refuse_of_another(path)?;
    let known = ledger.zip(held.bundle.leaf()).map(|(ledger, leaf)| ledger.inventory.entry_of(leaf.fingerprint()));
    if let Some(entry) = known.transpose().map_err(failure)?.flatten() {
        refuse_revoked(path, &entry)?;
    }
    trust.refuse_replaced(path, &held, "keep what is in it, or issue another one for it")?;
    refuse(&held)?;
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
