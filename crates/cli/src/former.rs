//! What an authority revoked while somebody else kept it: their lists, openssl's or easy-rsa's index, and the number of the
//! next list. Who was revoked once stays so, and numbers of lists only grow (RFC 5280 section 5.2.3).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use dockseal_inventory::{Inventory, InventoryError, Revocation};
use dockseal_pki::{
    Certificate, Fingerprint, IndexedRevocation, RevocationList, Revoked, SerialNumber, index_line, moment, pem,
    read_index,
};
use dockseal_store::{Heritage, Home};
use time::OffsetDateTime;

use crate::{
    failure::Failure,
    hints::{home_failure, read_hint},
    output::Output,
    revocations::to_pem,
};

/// Lists as openssl's manual, CA.pl and easy-rsa call them, from the authority's directory.
const LISTS: [&str; 4] = ["crl.pem", "ca.crl", "crl/crl.pem", "crl/ca.crl.pem"];
/// The index of `openssl ca` and easy-rsa.
const INDEX: &str = "index.txt";
/// Beside it: the number of the next list.
const NEXT_NUMBER: &str = "crlnumber";
/// Where certificates and keys are often put, below the authority's directory.
const BELOW: [&str; 2] = ["certs", "private"];
/// Numbers up to this leave room for the lists to come.
const LARGEST_NUMBER: u64 = (i64::MAX / 2).unsigned_abs();

/// Where to look for it, as it was typed.
#[derive(clap::Args)]
pub(crate) struct FormerArgs {
    /// A revocation list of the authority, PEM or DER, besides those that are found
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// The index of `openssl ca` or easy-rsa, which tells what it revoked
    #[arg(long, value_name = "FILE")]
    index: Option<PathBuf>,
}

/// All that is known of it.
pub(crate) struct Former {
    issuers: Vec<Certificate>,
    revoked: Vec<BTreeMap<SerialNumber, Revoked>>,
    /// The newest list of each.
    lists: Vec<Option<RevocationList>>,
    /// The greatest number that a list of each had.
    numbers: Vec<u64>,
    /// The files that told of it.
    pub(crate) files: Vec<PathBuf>,
    what: &'static str,
}

impl Former {
    /// Nothing is known yet. `what` cannot be done where a file is of no use.
    pub(crate) fn new(issuers: Vec<Certificate>, what: &'static str) -> Self {
        let count = issuers.len();
        Self {
            issuers,
            revoked: vec![BTreeMap::new(); count],
            lists: vec![None; count],
            numbers: vec![0; count],
            files: Vec::new(),
            what,
        }
    }

    /// What lies beside an authority's certificate and its key, and what was named.
    pub(crate) fn beside(&mut self, files: [&Path; 2], args: &FormerArgs, output: &mut Output) -> Result<(), Failure> {
        let mut directories: Vec<PathBuf> = Vec::new();
        for file in files {
            let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            directories.extend(with_what_is_above(directory));
        }
        let known = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
        directories.sort_by_key(known);
        directories.dedup_by_key(|path| known(path));
        for directory in &directories {
            for list in LISTS.map(|name| directory.join(name)).iter().filter(|path| path.exists()) {
                self.take_list(list, output)?;
            }
            let index = directory.join(INDEX);
            if args.index.is_none() && index.exists() {
                self.take_index(&index, 0)?;
            }
        }
        self.named(args, output)
    }

    /// What was named.
    pub(crate) fn named(&mut self, args: &FormerArgs, output: &mut Output) -> Result<(), Failure> {
        for list in &args.crl {
            self.take_list(list, output)?;
        }
        // The generation that came from elsewhere is the first.
        args.index.iter().try_for_each(|index| self.take_index(index, 0))
    }

    /// What the authority's directory has of it.
    pub(crate) fn of_home(home: &Home, issuers: Vec<Certificate>, what: &'static str) -> Result<Self, Failure> {
        let mut former = Self::new(issuers, what);
        if let Some(file) = home.read_crls().map_err(|error| home_failure(what, &error))? {
            let path = home.crl_path();
            let lists = former.lists_in(&path, &file.bytes)?;
            // Those of authorities that are not known any more say nothing of ours.
            for list in lists {
                former.take(&path, list)?;
            }
            former.files.push(path);
        }
        former.take_kept(home)?;
        Ok(former)
    }

    /// What the directory's record has, without its lists.
    pub(crate) fn kept(home: &Home, issuers: Vec<Certificate>, what: &'static str) -> Result<Self, Failure> {
        let mut former = Self::new(issuers, what);
        former.take_kept(home)?;
        Ok(former)
    }

    fn take_kept(&mut self, home: &Home) -> Result<(), Failure> {
        let path = home.revoked_path();
        let Some(file) = home.read_revoked().map_err(|error| home_failure(self.what, &error))? else { return Ok(()) };
        for IndexedRevocation { revoked, file } in
            read_index(&file.bytes).map_err(|error| self.damaged(&path, &error))?
        {
            let is_it = |issuer: &Certificate| mark(issuer) == file || issuer.fingerprint().to_string() == file;
            let issuer = self.issuers.iter().position(is_it);
            if let Some(issuer) = issuer {
                self.add(issuer, revoked);
            }
        }
        self.files.push(path);
        Ok(())
    }

    /// Takes what an inventory knows that is about to be replaced.
    pub(crate) fn take_inventory(&mut self, inventory: &Inventory, path: &Path) -> Result<(), InventoryError> {
        let before = self.count();
        for position in 0..self.issuers.len() {
            let Some(issuer) = self.issuers.get(position) else { continue };
            let Some(generation) = inventory.generation_of(issuer)? else { continue };
            let number = inventory.crl_number(generation)?;
            for (serial, Revocation { at, reason }) in inventory.revoked(generation, OffsetDateTime::UNIX_EPOCH)? {
                self.add(position, Revoked { serial, at, reason });
            }
            if let Some(known) = self.numbers.get_mut(position) {
                *known = number.max(*known);
            }
        }
        if self.count() > before {
            self.files.push(path.to_owned());
        }
        Ok(())
    }

    /// Takes a file of lists; one of them or more is the authority's.
    fn take_list(&mut self, path: &Path, output: &mut Output) -> Result<(), Failure> {
        let lists = self.lists_in(path, &self.read(path)?)?;
        let mut foreign = Vec::new();
        let all = lists.len();
        for list in lists {
            let issuer = list.issuer.clone();
            if !self.take(path, list)? {
                foreign.push(issuer);
            }
        }
        if foreign.len() == all {
            let whose: Vec<String> = foreign.iter().map(ToString::to_string).collect();
            return Err(self.refuse(format!("the list {} is that of {}", path.display(), whose.join(", "))));
        }
        for issuer in foreign {
            output.warn(&format!("left out of {}: the list of {issuer}", path.display()));
        }
        self.files.push(path.to_owned());
        Ok(())
    }

    /// Takes the lists of this authority that a file holds which is looked at because it is there.
    pub(crate) fn take_found(&mut self, path: &Path, bytes: &[u8]) -> Result<(), Failure> {
        let mut taken = false;
        for block in pem::decode_all(bytes).unwrap_or_default() {
            if block.tag() != RevocationList::PEM_LABEL {
                continue;
            }
            let list = RevocationList::from_der(block.contents()).ok_or_else(|| self.damaged(path, &"no list"))?;
            taken |= self.take(path, list)?;
        }
        if taken {
            self.files.push(path.to_owned());
        }
        Ok(())
    }

    /// Takes an index that lies in a directory with the certificate of an authority, if that is this one.
    pub(crate) fn take_index_beside(&mut self, certificate: &Certificate, directory: &Path) -> Result<(), Failure> {
        let Some(issuer) = self.issuers.iter().position(|issuer| issuer.is_of_same_authority(certificate)) else {
            return Ok(());
        };
        for directory in with_what_is_above(directory) {
            let index = directory.join(INDEX);
            if index.exists() && !self.files.contains(&index) {
                self.take_index(&index, issuer)?;
            }
        }
        Ok(())
    }

    /// Takes a list. False for one of another authority; one in this authority's name that it did not sign is refused.
    fn take(&mut self, path: &Path, list: RevocationList) -> Result<bool, Failure> {
        let of_name = |issuer: &&Certificate| issuer.subject == list.issuer;
        if !self.issuers.iter().any(|issuer| of_name(&issuer)) {
            return Ok(false);
        }
        let Some(issuer) = self.issuers.iter().position(|issuer| list.is_of(issuer)) else {
            return Err(self.refuse(format!("the list {} is not signed by this authority", path.display())));
        };
        if list.is_delta {
            return Err(self.refuse(format!("the list {} says only what changed since another", path.display())));
        }
        if list.is_numbered_beyond {
            return Err(self.refuse(format!("the number of the list {} is too large to go on from", path.display())));
        }
        self.number(path, issuer, list.number.unwrap_or(0))?;
        for revoked in &list.revoked {
            self.add(issuer, revoked.clone());
        }
        let age = |list: &RevocationList| (list.number, list.this_update);
        if let Some(newest) = self.lists.get_mut(issuer)
            && newest.as_ref().is_none_or(|newest| age(newest) < age(&list))
        {
            *newest = Some(list);
        }
        Ok(true)
    }

    fn take_index(&mut self, path: &Path, issuer: usize) -> Result<(), Failure> {
        let bytes = self.read(path)?;
        for revoked in read_index(&bytes).map_err(|error| self.damaged(path, &error))? {
            self.add(issuer, revoked.revoked);
        }
        self.files.push(path.to_owned());
        let next = path.with_file_name(NEXT_NUMBER);
        if !next.exists() {
            return Ok(());
        }
        let text = self.read(&next)?;
        let text = String::from_utf8_lossy(&text);
        let digits = text.trim();
        // As SerialNumber, but it is counted on from.
        let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !is_number {
            return Err(self.damaged(&next, &"it is not a number in hexadecimal"));
        }
        let number = u64::from_str_radix(digits, 16).unwrap_or(u64::MAX);
        self.number(&next, issuer, number.saturating_sub(1))?;
        self.files.push(next);
        Ok(())
    }

    fn number(&mut self, path: &Path, issuer: usize, number: u64) -> Result<(), Failure> {
        if number > LARGEST_NUMBER {
            return Err(self.refuse(format!("the number in {} is too large to go on from", path.display())));
        }
        if let Some(known) = self.numbers.get_mut(issuer) {
            *known = number.max(*known);
        }
        Ok(())
    }

    /// What is known already stays as it is: a list is signed, and is read before an index.
    fn add(&mut self, issuer: usize, revoked: Revoked) {
        if let Some(known) = self.revoked.get_mut(issuer) {
            known.entry(revoked.serial.clone()).or_insert(revoked);
        }
    }

    fn lists_in(&self, path: &Path, bytes: &[u8]) -> Result<Vec<RevocationList>, Failure> {
        let is_pem = bytes.windows(11).any(|window| window == b"-----BEGIN ");
        let ders = if is_pem {
            let blocks = pem::decode_all(bytes).map_err(|error| self.damaged(path, &error))?;
            blocks
                .iter()
                .filter(|block| block.tag() == RevocationList::PEM_LABEL)
                .map(|block| block.contents().to_vec())
                .collect()
        } else {
            vec![bytes.to_vec()]
        };
        let lists: Option<Vec<RevocationList>> = ders.iter().map(|der| RevocationList::from_der(der)).collect();
        lists.filter(|lists| !lists.is_empty()).ok_or_else(|| self.damaged(path, &"it is not a revocation list"))
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, Failure> {
        dockseal_store::read(path)
            .map(|file| file.bytes.to_vec())
            .map_err(|error| read_hint(Failure::trouble(self.what).cause(&error), &error))
    }

    fn damaged(&self, path: &Path, error: &dyn std::fmt::Display) -> Failure {
        self.refuse(format!("{} cannot be read: {error}", path.display()))
    }

    /// Nothing is gone on from without what it should say.
    fn refuse(&self, cause: String) -> Failure {
        Failure::trouble(self.what).cause(cause).hint(
            "who was revoked before would be let in again: bring the authority's own back from a copy; \
             if it is none of this authority's, move it away",
        )
    }

    /// What an issuer revoked, in the order of their numbers.
    pub(crate) fn revoked_by(&self, issuer: &Certificate) -> impl Iterator<Item = &Revoked> {
        let position = self.issuers.iter().position(|known| known == issuer);
        position.and_then(|position| self.revoked.get(position)).into_iter().flat_map(BTreeMap::values)
    }

    /// The greatest number that a list of it had.
    pub(crate) fn number_of(&self, issuer: &Certificate) -> u64 {
        let position = self.issuers.iter().position(|known| known == issuer);
        position.and_then(|position| self.numbers.get(position)).copied().unwrap_or(0)
    }

    /// The newest list of each issuer that had one.
    pub(crate) fn lists(&self) -> impl Iterator<Item = &RevocationList> {
        self.lists.iter().flatten()
    }

    /// Refuses a certificate that was revoked.
    pub(crate) fn refuse_revoked(&self, issuer: &Certificate, serial: &SerialNumber) -> Result<(), Failure> {
        let Some(revoked) = self.revoked_by(issuer).find(|revoked| revoked.serial == *serial) else { return Ok(()) };
        Err(revoked_failure(self.what, Revocation { at: revoked.at, reason: revoked.reason }))
    }

    /// The record that the authority's directory keeps of it: each entry names its issuer where openssl would name a file.
    pub(crate) fn index(&self) -> String {
        let each = self.issuers.iter().zip(&self.revoked).flat_map(|(issuer, revoked)| {
            let file = mark(issuer);
            revoked.values().map(move |revoked| IndexedRevocation { revoked: revoked.clone(), file: file.clone() })
        });
        each.map(|revocation| index_line(&revocation)).collect()
    }

    /// What a new directory of the authority begins with.
    pub(crate) fn heritage(&self) -> Heritage {
        let lists: Vec<RevocationList> = self.lists().cloned().collect();
        Heritage { lists: to_pem(&lists), revoked: self.index() }
    }

    /// The files that told of it, those of the authority's own directory by their names alone.
    pub(crate) fn names(&self, home: &Home) -> String {
        let name = |path: &PathBuf| path.strip_prefix(home.path()).unwrap_or(path).display().to_string();
        let mut names: Vec<String> = Vec::new();
        for name in self.files.iter().map(name) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.join(", ")
    }

    /// How much there is of it.
    pub(crate) fn count(&self) -> usize {
        self.revoked.iter().map(BTreeMap::len).sum()
    }
}

/// A revoked certificate is recorded nowhere.
pub(crate) fn revoked_failure(what: &str, revocation: Revocation) -> Failure {
    Failure::no(what)
        .cause(format!("its certificate was revoked on {} ({})", moment(revocation.at), revocation.reason))
        .hint("issue another one with dockseal issue, and put it there with --replace")
}

/// Which authority an entry of the record is of: its name and its key, which its next certificate has as well. Records of
/// before have the certificate's fingerprint.
fn mark(issuer: &Certificate) -> String {
    Fingerprint::of(&[issuer.subject.der(), issuer.public_key.spki()].concat()).to_string()
}

/// A directory, and the one above it where certificates or keys are put below the authority's own.
fn with_what_is_above(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let is_below = directory.file_name().is_some_and(|name| BELOW.iter().any(|below| name == *below));
    let above = directory.parent().filter(|_| is_below).map(Path::to_owned);
    std::iter::once(directory.to_owned()).chain(above)
}
