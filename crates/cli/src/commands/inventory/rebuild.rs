//! `dockseal inventory rebuild`: what is known of an authority's certificates, from the certificates themselves.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use dockseal_docker::{Layout, Role, layout::Names};
use dockseal_inventory::{
    Access, Found, GenerationId, Inventory, InventoryError, KeyHolder, Place, Revocation, Run, State,
};
use dockseal_pki::{Certificate, Fingerprint, PrivateKey, SerialNumber, Signer, pem};
use dockseal_store::{Existing, Home, ReadError, Walk, WriteError, check_destination, previous_path, read};
use serde_json::json;

use super::lay_out::{Keys, Offer, Stray, Strays, describe};
use crate::{
    authority::{known_issuers, signing_issuer},
    failure::Failure,
    former::{Former, FormerArgs},
    held,
    hints::{home_failure, inventory_failure, read_hint},
    invocation::Invocation,
    ledger::{leaf_in, lock, open_inventory},
    output::Output,
    report::{SCHEMA, rfc3339},
};
use dockseal_lifecycle::identity::{Nobody, identify};

const WHAT: &str = "cannot make the inventory again";
/// How many directories below the named ones are entered.
const DEPTH: usize = 16;
/// The most that a file with certificates has, in bytes; larger ones are passed over.
const LIMIT: u64 = 1 << 20;
/// How many certificates are remembered in one transaction.
const BATCH: usize = 256;
/// How the directories begin and go on in which replaced bundles and those in the making are.
const HIDDEN: (&str, &str) = (".", ".dockseal");

#[derive(clap::Args)]
#[command(
    after_help = "Looks for every certificate below the directories that this authority signed. A directory whose cert.pem is one becomes a\n\
    place that renewals know of. What the authority's crl.pem revokes, lists of it that are found, and an index.txt of openssl ca\n\
    or easy-rsa beside its certificate, is revoked. Symbolic links to directories are not entered.\n\
    What lies as docker-machine, docker:dind, easy-rsa or Docker's instructions lay it cannot be renewed there: the commands\n\
    are printed that make Docker's three files of it, in a directory of its own.\n\
    Ends with 2 when something could not be read or a certificate was left out.\n\
    What cannot be found again: certificates that are nowhere below, places on other machines, and the trail.\n\n\
    Examples:\n  \
    dockseal inventory rebuild /etc/docker ~/clients\n  \
    dockseal inventory rebuild --replace ."
)]
pub(crate) struct Args {
    /// Where to look
    #[arg(value_name = "DIR", required = true)]
    directories: Vec<PathBuf>,
    /// Even if the inventory that is there is healthy; it is kept beside the new one
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    former: FormerArgs,
}

/// A certificate that was found, and whether it is where bundles are.
struct Discovery {
    generation: GenerationId,
    role: Role,
    name: String,
    certificate: Certificate,
    key_holder: KeyHolder,
    place: Option<(Place, Layout)>,
    replaced: bool,
}

/// A certificate that is not in the inventory, so that no renewal reaches it.
struct LeftOut {
    file: PathBuf,
    /// Which one; none where it cannot be read.
    certificate: Option<Certificate>,
    reason: String,
}

/// An inventory in the making.
struct Draft<'r> {
    inventory: Inventory,
    run: &'r Run,
    /// What was revoked, by all that tells of it.
    former: Former,
    generations: Vec<(GenerationId, Certificate)>,
    waiting: Vec<Discovery>,
    replaced: Vec<Certificate>,
    /// What has which number: that of the issuer, and that of the certificate.
    numbers: BTreeMap<(GenerationId, SerialNumber), Fingerprint>,
    left_out: Vec<LeftOut>,
    places: BTreeMap<PathBuf, Names>,
    /// What lies where no renewal can put another, and the keys that some of it has.
    strays: Strays,
    keys: Keys,
    /// The files that each generation's leaves chain to.
    above: Vec<Vec<PathBuf>>,
    /// How many files and directories could not be read.
    passed_over: usize,
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let home = invocation.home()?;
    home.check_there().map_err(|error| home_failure(WHAT, &error))?;
    let issuers = known_issuers(&home, WHAT)?;
    let run = invocation.around().run.clone();
    let _lock = lock(&home, invocation.around())?;
    let healthy = is_healthy(&home)?;
    if healthy && !args.replace {
        return Err(Failure::no(WHAT)
            .cause(format!("the inventory {} is healthy", home.inventory_path().display()))
            .hint("--replace makes it again all the same; what only it knows is lost to the new one: places on other machines, the trail"));
    }

    let failed = |error: InventoryError| inventory_failure(WHAT, &error);
    let former = Former::of_home(&home, issuers.clone(), WHAT)?;
    let mut draft = Draft::new(issuers, former, &run).map_err(failed)?;
    draft.above = files_above(&home)?;
    draft.former.named(&args.former, output)?;
    for directory in &args.directories {
        draft.look_below(directory, invocation, output)?;
    }
    // What an authority of the time before inventories kept of everything that it issued.
    for (path, file) in home.old_records().map_err(|error| home_failure(WHAT, &error))?.unwrap_or_default() {
        draft.take(&path, &file.bytes, invocation, output)?;
    }
    draft.flush().map_err(failed)?;
    draft.remember_kept(invocation, output)?;
    if healthy {
        let before = open_inventory(&home, Access::Read).map_err(failed)?;
        draft.former.take_inventory(&before, &home.inventory_path()).map_err(failed)?;
        draft.take_commands_due(&before).map_err(failed)?;
    }
    let (revoked, unknown) = draft.revoke().map_err(failed)?;
    let where_from: Vec<String> = args.directories.iter().map(|path| path.display().to_string()).collect();
    draft.inventory.as_run(&run).note("rebuilt", &where_from.join(", ")).map_err(failed)?;
    let bytes = draft.inventory.to_bytes().map_err(failed)?;
    // First what was revoked: a run that is killed in between leaves nobody who is let in again.
    if draft.former.count() > 0 {
        home.write_revoked(&draft.former.index()).map_err(|error| home_failure(WHAT, &error))?;
    }
    if healthy {
        // Closing it takes what is in its log into the file itself.
        open_inventory(&home, Access::Write).map(drop).map_err(failed)?;
    }
    let kept = home.replace_inventory(&bytes).map_err(|error| home_failure(WHAT, &error))?;

    let (certificates, places) = (draft.numbers.len(), draft.places.len());
    let mut human = format!("Made the inventory again: {certificates} certificates, in {places} directories.\n");
    if revoked > 0 || unknown > 0 {
        human.push_str(&format!(
            "{} are revoked by {}, {unknown} of them found nowhere.\n",
            revoked + unknown,
            draft.former.names(&home)
        ));
    }
    if let Some(kept) = &kept {
        human.push_str(&format!("The one before is kept as {}\n", kept.display()));
    }
    human.push_str(
        "Certificates that were found nowhere are not known any more, nor are places on other machines and the trail.\n",
    );
    let offers = draft.offers(&home).map_err(failed)?;
    let has_ended = signing_issuer(&home, WHAT)?.validity.not_after < invocation.now;
    if has_ended && !offers.is_empty() {
        human.push_str(
            "The authority has ended, so no place can be recorded: first dockseal renew-ca, then run this again with --replace.\n",
        );
    } else {
        human.push_str(&describe(&offers));
    }
    let passed_over = draft.passed_over;
    if passed_over > 0 {
        human.push_str(&format!(
            "{passed_over} files or directories could not be read: what is in them is missing. See the warnings, and run it again \
             with --replace as a user who may read them.\n"
        ));
    }
    let left_out = draft.left_out;
    if !left_out.is_empty() {
        human.push_str(&format!(
            "{} certificates were left out, so that no renewal reaches them and nobody is told when they end:\n",
            left_out.len()
        ));
        left_out.iter().for_each(|one| human.push_str(&one.line()));
    }
    let json = json!({
        "schema": SCHEMA,
        "passed_over": passed_over,
        "to_lay_out": offers.iter().map(Offer::wire).collect::<Vec<_>>(),
        "left_out": left_out.iter().map(LeftOut::wire).collect::<Vec<_>>(),
        "certificates": certificates,
        "places": places,
        "revoked": revoked,
        "revoked_and_not_found": unknown,
        "kept": kept.map(|kept| kept.to_string_lossy().into_owned()),
    });
    output.result(&human, &json);
    Ok(if passed_over > 0 || !left_out.is_empty() { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

/// The certificates that leaves of each generation chain to, the anchor last.
fn files_above(home: &Home) -> Result<Vec<Vec<PathBuf>>, Failure> {
    let numbers = home.known_generations().map_err(|error| home_failure(WHAT, &error))?;
    let files = |number| {
        let directory = home.generation_path(number);
        let issuer = Some(directory.join("issuer.pem")).filter(|path| path.exists());
        issuer.into_iter().chain([directory.join("ca.pem")]).collect()
    };
    Ok(numbers.into_iter().map(files).collect())
}

/// Whether the inventory that is there can be read to its end; one that is lost or damaged is to be made again.
fn is_healthy(home: &Home) -> Result<bool, Failure> {
    match open_inventory(home, Access::Read) {
        Ok(inventory) => {
            Ok(inventory.integrity().is_ok_and(|damage| damage.is_empty()) && inventory.generations().is_ok())
        }
        Err(InventoryError::Missing { .. } | InventoryError::Damaged { .. }) => Ok(false),
        Err(error) => Err(inventory_failure(WHAT, &error)),
    }
}

impl LeftOut {
    fn line(&self) -> String {
        let which = self.certificate.as_ref().map_or_else(
            || "a certificate".to_owned(),
            |certificate| format!("{}, serial {}", certificate.subject, certificate.serial),
        );
        format!("  {}: {which}: {}\n", self.file.display(), self.reason)
    }

    fn wire(&self) -> serde_json::Value {
        let certificate = self.certificate.as_ref();
        json!({
            "file": self.file.to_string_lossy(),
            "subject": certificate.map(|certificate| certificate.subject.to_string()),
            "serial": certificate.map(|certificate| certificate.serial.to_string()),
            "expires": certificate.map(|certificate| rfc3339(certificate.validity.not_after)),
            "reason": self.reason,
        })
    }
}

impl<'r> Draft<'r> {
    /// `issuers` are all generations, the oldest first: so each gets its number again.
    fn new(issuers: Vec<Certificate>, former: Former, run: &'r Run) -> Result<Self, InventoryError> {
        let mut inventory = Inventory::in_memory()?;
        let mut generations = Vec::new();
        for issuer in issuers {
            generations.push((inventory.as_run(run).generation(&issuer)?, issuer));
        }
        Ok(Self {
            inventory,
            run,
            former,
            generations,
            waiting: Vec::new(),
            replaced: Vec::new(),
            numbers: BTreeMap::new(),
            left_out: Vec::new(),
            places: BTreeMap::new(),
            strays: Strays::default(),
            keys: Keys::default(),
            above: Vec::new(),
            passed_over: 0,
        })
    }

    fn look_below(&mut self, directory: &Path, invocation: &Invocation, output: &mut Output) -> Result<(), Failure> {
        let directory = invocation.absolute(directory)?;
        for path in Walk::new(&directory, DEPTH, LIMIT) {
            match path {
                Err(ReadError::Io { path, source }) if path == directory => {
                    let error = ReadError::Io { path, source };
                    return Err(read_hint(Failure::trouble(WHAT).cause(&error), &error));
                }
                Err(error) => self.pass_over(&error, output),
                Ok(path) => match read(&path) {
                    Err(error) => self.pass_over(&error, output),
                    Ok(file) => self.take(&path, &file.bytes, invocation, output)?,
                },
            }
        }
        Ok(())
    }

    /// What is kept beside the places, for `rollback`.
    fn remember_kept(&mut self, invocation: &Invocation, output: &mut Output) -> Result<(), Failure> {
        let failed = |error| inventory_failure(WHAT, &error);
        for (path, names) in &self.places {
            let Some(previous) = previous_path(path).ok().filter(|previous| previous.is_dir()) else { continue };
            let Some(kept) = leaf_in(&previous, *names) else {
                self.passed_over += 1;
                output.warn(&format!("passed over: no certificate can be read in {}", previous.display()));
                continue;
            };
            let Some(kept) = self.inventory.entry_of(kept).map_err(failed)? else { continue };
            if let Some(destination) = self.inventory.destination_at(&invocation.place(path)?).map_err(failed)? {
                self.inventory.as_run(self.run).keeps(destination.id, kept.id).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// A command of `renew --exec` that has yet to succeed stays due where its place holds the same certificate.
    fn take_commands_due(&mut self, before: &Inventory) -> Result<(), InventoryError> {
        for due in before.commands_due()? {
            let Some(entry) = due.certificate.map(|id| before.entry(id)).transpose()?.flatten() else { continue };
            let Some(known) = self.inventory.entry_of(entry.fingerprint())? else { continue };
            let here = self.inventory.destination_at(&due.place)?;
            if let Some(here) = here.filter(|here| here.certificate == Some(known.id)) {
                let why = "not run to its end before the inventory was made again";
                self.inventory.as_run(self.run).command_ran(here.id, Some(why))?;
            }
        }
        Ok(())
    }

    fn pass_over(&mut self, error: &ReadError, output: &mut Output) {
        self.passed_over += 1;
        output.warn(&format!("passed over: {error}"));
    }

    /// Takes what is in a file.
    fn take(&mut self, path: &Path, bytes: &[u8], invocation: &Invocation, output: &mut Output) -> Result<(), Failure> {
        const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
        const BEGIN_LIST: &[u8] = b"-----BEGIN X509 CRL-----";
        let holds = |begin: &[u8]| bytes.windows(begin.len()).any(|window| window == begin);
        if holds(BEGIN_LIST) {
            self.former.take_found(path, bytes)?;
        }
        self.keys.take(path, bytes);
        if !holds(BEGIN) {
            return Ok(());
        }
        let Ok(blocks) = pem::decode_all(bytes) else {
            self.leave_unreadable(path, "its PEM is damaged", output);
            return Ok(());
        };
        for (position, block) in blocks.iter().filter(|block| block.tag() == "CERTIFICATE").enumerate() {
            match Certificate::from_der(block.contents()) {
                Ok(certificate) => self.take_certificate(path, position, certificate, invocation)?,
                Err(error) => self.leave_unreadable(path, &error.to_string(), output),
            }
        }
        if self.waiting.len() < BATCH {
            return Ok(());
        }
        self.flush().map_err(|error| inventory_failure(WHAT, &error))
    }

    /// Takes the certificate at this position in a file, if this authority issued it.
    fn take_certificate(
        &mut self,
        path: &Path,
        position: usize,
        certificate: Certificate,
        invocation: &Invocation,
    ) -> Result<(), Failure> {
        let directory = path.parent().unwrap_or(Path::new("/"));
        self.former.take_index_beside(&certificate, directory)?;
        let Some(generation) = self.generation_of(&certificate) else { return Ok(()) };
        let (role, name) = match identify(&certificate, Some(path)) {
            Ok(identity) => identity,
            Err(Nobody::Authority) if self.is_generation(&certificate) => return Ok(()),
            Err(nobody) => {
                self.leave_out(path, Some(certificate), nobody.to_string());
                return Ok(());
            }
        };
        let fingerprint = certificate.fingerprint();
        let number = (generation, certificate.serial.clone());
        if *self.numbers.entry(number).or_insert(fingerprint) != fingerprint {
            let reason = "another certificate of this authority has its serial number, and was found before it";
            self.leave_out(path, Some(certificate), reason.to_owned());
            return Ok(());
        }
        let file = path.file_name();
        let names = Names::ALL.into_iter().find(|names| position == 0 && file == Some(OsStr::new(names.chain)));
        let replaced = is_hidden(directory);
        let layout = names.map_or(Layout::Docker, held::layout_of);
        let place = if names.is_some() && !replaced { Some((invocation.place(directory)?, layout)) } else { None };
        let is_renewed = names.is_some_and(|names| is_bundles_own(directory, names));
        if position == 0 && !is_renewed && !replaced && certificate.validity.contains(invocation.now) {
            let key = names.map(|names| directory.join(names.key)).filter(|key| key.exists());
            let (path, fingerprint, serial) = (path.to_owned(), certificate.fingerprint(), certificate.serial.clone());
            let public_key = certificate.public_key.spki().to_vec();
            let of = self.generations.iter().position(|(known, _)| *known == generation);
            let above = of.and_then(|position| self.above.get(position)).cloned().unwrap_or_default();
            let is_place = place.is_some();
            self.strays.push(Stray {
                is_place,
                path,
                role,
                name: name.clone(),
                fingerprint,
                public_key,
                serial,
                key,
                above,
            });
        }
        let key_holder = match names {
            Some(names) => key_holder(&directory.join(names.key), &certificate),
            None => KeyHolder::Elsewhere,
        };
        self.places.extend(place.as_ref().zip(names).map(|((place, _), names)| (place.path.clone(), names)));
        self.waiting.push(Discovery { generation, role, name, certificate, key_holder, place, replaced });
        Ok(())
    }

    /// What lies where bundles have their certificate is missed; whose anything else was, nobody can tell.
    fn leave_unreadable(&mut self, path: &Path, reason: &str, output: &mut Output) {
        if Names::ALL.iter().any(|names| path.file_name() == Some(OsStr::new(names.chain))) {
            self.leave_out(path, None, reason.to_owned());
        } else {
            output.warn(&format!("passed over a certificate in {}: {reason}", path.display()));
        }
    }

    /// Each certificate once, wherever it was found.
    fn leave_out(&mut self, file: &Path, certificate: Option<Certificate>, reason: String) {
        if certificate.is_none() || !self.left_out.iter().any(|other| other.certificate == certificate) {
            self.left_out.push(LeftOut { file: file.to_owned(), certificate, reason });
        }
    }

    /// Whether it is one of the authority's own certificates, or links two of them.
    fn is_generation(&self, certificate: &Certificate) -> bool {
        let has_its_key = |issuer: &Certificate| issuer.public_key.spki() == certificate.public_key.spki();
        self.generations.iter().any(|(_, issuer)| has_its_key(issuer))
    }

    fn generation_of(&self, certificate: &Certificate) -> Option<GenerationId> {
        let signs = |issuer: &Certificate| certificate.issuer == issuer.subject && certificate.is_signed_by(issuer);
        self.generations.iter().find(|(_, issuer)| signs(issuer)).map(|(generation, _)| *generation)
    }

    /// How what has no place that is renewed gets one: each certificate once, unless it ended, was revoked or replaced.
    fn offers(&self, home: &Home) -> Result<Vec<Offer>, InventoryError> {
        let mut offers: Vec<Offer> = Vec::new();
        for copies in self.strays.copies() {
            let Some(entry) = self.inventory.entry_of(copies.fingerprint())? else { continue };
            let destinations = self.inventory.destinations_of(entry.id)?;
            let is_renewed = destinations.iter().any(|destination| !copies.are_in(&destination.place.path));
            if entry.state == State::Issued && !is_renewed {
                offers.extend(copies.offer(&self.keys, home.path(), &offers));
            }
        }
        Ok(offers)
    }

    /// Remembers what was found so far.
    fn flush(&mut self) -> Result<(), InventoryError> {
        let discoveries = std::mem::take(&mut self.waiting);
        let found: Vec<Found<'_>> = discoveries
            .iter()
            .map(|discovery| Found {
                generation: discovery.generation,
                role: discovery.role,
                name: discovery.name.clone(),
                certificate: &discovery.certificate,
                key_holder: discovery.key_holder,
                place: discovery.place.as_ref().map(|(place, layout)| (place, *layout)),
            })
            .collect();
        self.inventory.as_run(self.run).found(&found)?;
        self.replaced.extend(discoveries.into_iter().filter(|one| one.replaced).map(|one| one.certificate));
        Ok(())
    }

    /// Revokes what is told to be revoked: how many of it was found, and how many was not. What was found only where replaced
    /// bundles are kept counts no longer either.
    fn revoke(&mut self) -> Result<(usize, usize), InventoryError> {
        let mut replaced = Vec::new();
        for certificate in &self.replaced {
            replaced.extend(self.inventory.entry_of(certificate.fingerprint())?.map(|entry| entry.id));
        }
        self.inventory.as_run(self.run).replaced(&replaced)?;
        let (mut revoked, mut unknown) = (0, 0);
        for (generation, issuer) in &self.generations {
            for entry in self.former.revoked_by(issuer) {
                let Some(known) = self.inventory.numbered(*generation, &entry.serial)? else {
                    unknown += 1;
                    continue;
                };
                let revocation = Revocation { at: entry.at, reason: entry.reason };
                self.inventory.as_run(self.run).revoke(&[known.id], revocation)?;
                revoked += 1;
            }
            self.inventory.as_run(self.run).crl_number_was(*generation, self.former.number_of(issuer))?;
        }
        Ok((revoked, unknown))
    }
}

/// Whether a renewal can exchange the directory: nobody else's files are in it.
fn is_bundles_own(directory: &Path, names: Names) -> bool {
    let found = check_destination(&names.each(), directory, Existing::Replace);
    !matches!(found, Err(WriteError::ForeignFiles { .. }))
}

/// Whether it is a bundle that was replaced, or that a killed run left in the making.
fn is_hidden(directory: &Path) -> bool {
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(HIDDEN.0) && name.contains(HIDDEN.1)
}

fn key_holder(path: &Path, certificate: &Certificate) -> KeyHolder {
    let key = read(path).ok().and_then(|file| PrivateKey::from_pem(&file.bytes, None).ok());
    match key {
        Some((key, _)) if key.public_key().spki() == certificate.public_key.spki() => KeyHolder::Here,
        _ => KeyHolder::Elsewhere,
    }
}
