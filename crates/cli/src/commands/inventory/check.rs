//! `dockseal inventory check`: is what the inventory says what the disk holds?

use std::{io, os::unix::fs::PermissionsExt, path::Path, process::ExitCode};

use dockseal_docker::layout;
use dockseal_inventory::{Destination, Entry, Inventory, InventoryError, KeyHolder, Kind, Place};
use dockseal_lifecycle::authority::Trust;
use dockseal_pki::{Certificate, PrivateKey, RevocationList, Signer, certificates_in_pem, printable};
use dockseal_store::{Home, ReadError, read};
use serde_json::{Value, json};

use crate::{
    authority::{read_certificates, trust_of},
    failure::Failure,
    hints::{home_failure, inventory_failure},
    invocation::Invocation,
    ledger::{leaf_in, lock, newer_lists, open_to_read},
    output::{Format, Output},
    report::SCHEMA,
};

const WHAT: &str = "cannot check the inventory";
const PAGE: u32 = 256;

#[derive(clap::Args)]
#[command(
    after_help = "Looks at the database itself, the authority's own files, and every directory of this machine that got a bundle.\n\
    Exit codes: 0 all is as recorded, 1 something is not, 2 could not tell. Nothing is changed.\n\n\
    Examples:\n  dockseal inventory check\n  dockseal inventory check --format json"
)]
pub(crate) struct Args {}

/// Something that is not as it was recorded, or cannot be looked at.
struct Finding {
    /// One word for programs.
    id: &'static str,
    place: String,
    text: String,
    /// It could not be told.
    unknown: bool,
}

impl Finding {
    fn new(id: &'static str, place: &Path, text: impl Into<String>) -> Self {
        Self { id, place: printable(&place.to_string_lossy()), text: text.into(), unknown: false }
    }

    /// What the system says of a file: not there, or not to be looked at by this user.
    fn unreadable(place: &Path, name: &str, error: &ReadError) -> Self {
        match error {
            ReadError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Self { unknown: true, ..Self::new("unreadable", place, format!("{name} may not be read by this user")) }
            }
            error if error.is_not_found() => Self::new("gone", place, format!("{name} is not there")),
            error => Self::new("unreadable", place, error.to_string()),
        }
    }

    fn wire(&self) -> Value {
        json!({ "id": self.id, "place": self.place, "text": self.text, "unknown": self.unknown })
    }
}

/// Anchors of another time, as a backup has them.
fn former_anchors(trust: &Trust, place: &Path, name: &str, pem: &[u8]) -> Option<Finding> {
    let anchors = certificates_in_pem(pem).unwrap_or_default();
    if let Some(anchor) = anchors.iter().find(|anchor| trust.replaced.contains(anchor)) {
        let text = format!("{name} trusts {}, which was rolled over; dockseal renew NAME mends it", anchor.subject);
        return Some(Finding::new("anchors", place, text));
    }
    let is_current = anchors.iter().any(|anchor| trust.anchors.contains(anchor));
    let text = || format!("{name} has no certificate of the authority as it is now; dockseal renew NAME mends it");
    (!is_current).then(|| Finding::new("anchors", place, text()))
}

/// What was looked at.
#[derive(Default)]
struct Count {
    places: u64,
    as_recorded: u64,
    elsewhere: u64,
    /// Directories that are recorded for other machines; hosts over ssh are no machine's.
    of_others: u64,
}

pub(crate) fn run(_: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let home = invocation.home()?;
    home.check_there().map_err(|error| home_failure(WHAT, &error))?;
    let inventory = open_to_read(&home)?;
    let failed = |error: InventoryError| inventory_failure(WHAT, &error);
    let damage = inventory.integrity().map_err(failed)?;
    if let Some(first) = damage.first() {
        let damaged = InventoryError::Damaged { path: home.inventory_path(), detail: first.clone() };
        return Err(inventory_failure(WHAT, &damaged));
    }
    let format = output.format();
    let (mut findings, mut count) = (Vec::new(), Count::default());
    let (mut wrong, mut unknown) = (false, false);
    let mut say = |found: Vec<Finding>, output: &mut Output| {
        for finding in found {
            wrong |= !finding.unknown;
            unknown |= finding.unknown;
            match format {
                Format::Json => findings.push(finding.wire()),
                Format::Human | Format::Prometheus => {
                    output.raw(format!("  {:12}  {}: {}\n", finding.id, finding.place, finding.text));
                }
            }
        }
    };
    say(authority(&home, &inventory, &failed)?, output);
    let newer = newer_lists(&inventory, &home, output)?;
    let forgot = |(_, list): &(_, RevocationList)| {
        let text = "is newer than the inventory, which may have come back from a copy; the next run that writes takes what it revokes";
        Finding::new("revoked", &home.crl_path(), format!("the list of {} {text}", list.issuer))
    };
    say(newer.iter().map(forgot).collect(), output);
    let trust = trust_of(&home, WHAT)?;
    let mut may_wait = true;
    let mut after = None;
    loop {
        let page = inventory.destinations(after, PAGE).map_err(failed)?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        for destination in &page {
            if !invocation.has(&destination.place) {
                count.elsewhere += 1;
                count.of_others += u64::from(destination.place.kind != Kind::Ssh);
                say(of_former_id(destination, &inventory, invocation).map_err(failed)?.into_iter().collect(), output);
                continue;
            }
            let mut found = place(destination, &inventory, &trust).map_err(failed)?;
            // Another run may be at work on it right now: once none is, what is found is so.
            if !found.is_empty() && may_wait {
                let waited = lock(&home, invocation.around());
                may_wait = waited.is_ok();
                if may_wait {
                    found = again(destination, &open_to_read(&home)?, &trust).map_err(failed)?;
                }
            }
            count.places += 1;
            count.as_recorded += u64::from(found.is_empty());
            say(found, output);
        }
    }
    let json = json!({
        "schema": SCHEMA,
        "places": count.places,
        "as_recorded": count.as_recorded,
        "elsewhere": count.elsewhere,
        "findings": findings,
    });
    output.result(&summary(&count), &json);
    let nothing_seen = count.places == 0 && count.of_others > 0;
    Ok(match (wrong, unknown || nothing_seen) {
        (true, _) => ExitCode::from(1),
        (false, true) => ExitCode::from(2),
        (false, false) => ExitCode::SUCCESS,
    })
}

fn summary(count: &Count) -> String {
    let Count { places, as_recorded, elsewhere, of_others } = count;
    let mut text = format!("{as_recorded} of {places} directories of this machine are as recorded.");
    if *elsewhere > 0 {
        text.push_str(&format!(" {elsewhere} on other machines were not looked at."));
    }
    if *places == 0 && *of_others > 0 {
        text.push_str(
            "\nNothing was looked at. If this machine got another name and machine-id since: dockseal inventory record DIR",
        );
    }
    text.push('\n');
    text
}

/// The authority's own files.
fn authority(
    home: &Home,
    inventory: &Inventory,
    failed: &impl Fn(InventoryError) -> Failure,
) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    let chain = home.read_chain().map_err(|error| home_failure(WHAT, &error))?;
    let chain = read_certificates(&chain, &home.path().join(layout::CA_FILE))?;
    let generations = inventory.generations().map_err(failed)?;
    let signs =
        |issuer: &Certificate| generations.iter().any(|generation| generation.certificate.is_of_same_authority(issuer));
    if !chain.first().is_some_and(signs) && !generations.is_empty() {
        let text = "the inventory is another authority's: it does not know the certificate that signs here";
        findings.push(Finding::new("foreign", &home.inventory_path(), text));
    }
    match home.read() {
        Ok(files) if files.key.is_readable_by_others() => {
            let text = format!("has mode {:04o}: others can read the authority's key", files.key.mode);
            findings.push(Finding::new("mode", &files.key_path, text));
        }
        // Whoever may not read the key, or keeps it elsewhere, checks the rest.
        Ok(_) | Err(_) => {}
    }
    Ok(findings)
}

/// One directory as it is recorded now.
fn again(destination: &Destination, inventory: &Inventory, trust: &Trust) -> Result<Vec<Finding>, InventoryError> {
    match inventory.destination_at(&destination.place)?.filter(|now| now.certificate.is_some()) {
        Some(now) => place(&now, inventory, trust),
        None => Ok(Vec::new()),
    }
}

/// A directory of a machine of this one's name that had another machine-id: most likely it is this one, and nobody looks at
/// that directory any more.
fn of_former_id(
    destination: &Destination,
    inventory: &Inventory,
    invocation: &Invocation,
) -> Result<Option<Finding>, InventoryError> {
    let place = &destination.place;
    let may_be_here = place.kind != Kind::Ssh && place.machine_name == invocation.machine_name();
    let here = Place { machine: invocation.machine.clone(), ..place.clone() };
    if !may_be_here || inventory.destination_at(&here)?.is_some() {
        return Ok(None);
    }
    // Many machines have the same name; the certificate is one machine's.
    let recorded = destination.certificate.map(|id| inventory.entry(id)).transpose()?.flatten();
    let holds = |entry: &Entry| leaf_in(&place.path, destination.layout.names(entry.role)) == Some(entry.fingerprint());
    if !recorded.is_some_and(|entry| holds(&entry)) {
        return Ok(None);
    }
    let text = "was recorded on a machine of this name with another machine-id (/etc/machine-id), so nothing looks at it; \
                if it is this machine: dockseal inventory record DIR";
    Ok(Some(Finding { unknown: true, ..Finding::new("machine", &place.path, text) }))
}

/// One directory.
fn place(destination: &Destination, inventory: &Inventory, trust: &Trust) -> Result<Vec<Finding>, InventoryError> {
    let path = &destination.place.path;
    let mut findings = Vec::new();
    if destination.pending.is_some() {
        // A killed run left it, or one is at work right now.
        let text = "a delivery was not finished; the next run that works on the authority settles it";
        findings.push(Finding::new("unfinished", path, text));
    }
    let Some(entry) = expected(destination, inventory)? else { return Ok(findings) };
    let whose = format!("{} {}", entry.role, printable(&entry.name));
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            findings.push(Finding::new("gone", path, format!("the directory of {whose} is not there")));
            return Ok(findings);
        }
        Ok(metadata) if !metadata.is_dir() => {
            findings.push(Finding::new("gone", path, format!("{whose} was here, and this is no directory")));
            return Ok(findings);
        }
        Ok(_) | Err(_) => {}
    }
    let names = destination.layout.names(entry.role);
    let cert_path = path.join(names.chain);
    let leaf = match read(&cert_path) {
        Err(error) => {
            findings.push(Finding::unreadable(path, names.chain, &error));
            return Ok(findings);
        }
        Ok(file) => read_certificates(&file.bytes, &cert_path).ok().and_then(|all| all.into_iter().next()),
    };
    match leaf {
        Some(leaf) if leaf == entry.certificate => {}
        Some(leaf) => findings.push(Finding::new("other", path, other(&whose, &leaf, inventory)?)),
        None => findings.push(Finding::new("other", path, format!("{} is no certificate", names.chain))),
    }
    match read(&path.join(names.anchors)) {
        Err(error) => findings.push(Finding::unreadable(path, names.anchors, &error)),
        Ok(file) => findings.extend(former_anchors(trust, path, names.anchors, &file.bytes)),
    }
    findings.extend(key(destination, &entry));
    Ok(findings)
}

/// What is to be there: what is recorded, or what an unfinished delivery has put in its place already.
fn expected(destination: &Destination, inventory: &Inventory) -> Result<Option<Entry>, InventoryError> {
    if let Some(pending) = destination.pending.map(|id| inventory.entry(id)).transpose()?.flatten()
        && leaf_in(&destination.place.path, destination.layout.names(pending.role)) == Some(pending.fingerprint())
    {
        return Ok(Some(pending));
    }
    Ok(destination.certificate.map(|id| inventory.entry(id)).transpose()?.flatten())
}

fn other(whose: &str, leaf: &Certificate, inventory: &Inventory) -> Result<String, InventoryError> {
    Ok(match inventory.entry_of(leaf.fingerprint())? {
        Some(known) => format!(
            "holds the certificate {} of {} {} ({}), not the one recorded for {whose}",
            known.serial(),
            known.role,
            printable(&known.name),
            known.state.word()
        ),
        None => format!("holds a certificate of {}, which is not recorded, not that of {whose}", leaf.subject),
    })
}

/// The private key beside it, and who may get at it.
fn key(destination: &Destination, entry: &Entry) -> Vec<Finding> {
    let path = &destination.place.path;
    let name = destination.layout.names(entry.role).key;
    let file = match read(&path.join(name)) {
        Err(error) if entry.key_holder == KeyHolder::Elsewhere && error.is_not_found() => return Vec::new(),
        Err(error) => return vec![Finding::unreadable(path, name, &error)],
        Ok(file) => file,
    };
    let mut findings = Vec::new();
    let matches = PrivateKey::from_pem(&file.bytes, None)
        .is_ok_and(|(key, _)| key.public_key().spki() == entry.certificate.public_key.spki());
    if !matches {
        findings.push(Finding::new("key", path, format!("{name} is not the certificate's key")));
    }
    let wanted = destination.ownership.key_mode.unwrap_or_else(|| layout::key_mode(entry.role));
    if file.mode & 0o777 & !(wanted | 0o600) != 0 {
        let text = format!("{name} has mode {:04o}, wider than {wanted:04o}", file.mode);
        findings.push(Finding::new("mode", path, text));
    }
    let mode = path.metadata().map_or(0, |metadata| metadata.permissions().mode() & 0o7777);
    if mode & 0o022 != 0 {
        findings.push(Finding::new("mode", path, format!("others can write to the directory (mode {mode:04o})")));
    }
    findings
}
