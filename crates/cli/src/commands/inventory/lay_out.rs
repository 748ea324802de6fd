//! Certificates that lie as other tools lay them, where no renewal can put another: how they become Docker's three files.
//!
//! A directory of ours is exchanged as a whole, so that it holds nothing but the bundle. docker-machine (certs,
//! machines/NAME: server.pem beside the client's files), Docker's instructions and kekru's create-certs.sh (server-cert.pem,
//! client-NAME-cert.pem), easy-rsa (pki/issued, pki/private) and docker:dind (server, client, each with openssl's files) lay
//! them otherwise. They are found by what is in them and not by these names: a certificate, and the key that belongs to it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use dockseal_docker::{
    Role,
    env::{Shell, word_of_command},
    layout::{DIND_AUTHORITY_DIRECTORY, DIND_AUTHORITY_FILE, DIND_AUTHORITY_LINK, Names},
};
use dockseal_pki::{Fingerprint, KeyError, PrivateKey, SerialNumber, Signer, pem, printable};
use serde_json::{Value, json};

/// The private keys that were come by.
#[derive(Default)]
pub(super) struct Keys {
    by_public_key: BTreeMap<Vec<u8>, PathBuf>,
    /// Those under a passphrase, which tell by their names alone whose they are.
    locked: Vec<PathBuf>,
}

impl Keys {
    pub(super) fn take(&mut self, path: &Path, bytes: &[u8]) {
        const LABEL: &[u8] = b"PRIVATE KEY-----";
        let is_bundles = Names::ALL.iter().any(|names| path.file_name().is_some_and(|name| name == names.key));
        if is_bundles || !bytes.windows(LABEL.len()).any(|window| window == LABEL) {
            return;
        }
        for block in pem::private_keys(bytes) {
            match PrivateKey::from_pem(block.as_bytes(), None) {
                Ok((key, _)) => {
                    self.by_public_key.entry(key.public_key().spki().to_vec()).or_insert_with(|| path.to_owned());
                }
                Err(KeyError::Encrypted) => self.locked.push(path.to_owned()),
                Err(_) => {}
            }
        }
    }

    /// The file with the key of a certificate in this file.
    fn of(&self, public_key: &[u8], path: &Path) -> Option<&Path> {
        let fits = |key: &&PathBuf| stem(key) == stem(path) && is_near(key, path);
        let known = self.by_public_key.get(public_key);
        known.or_else(|| self.locked.iter().find(fits)).map(PathBuf::as_path)
    }
}

/// What is common to the names of a certificate's file and its key's: `alice` in `alice.crt`, `alice-cert.pem`, `alice-key.pem`.
fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let stem = stem.strip_suffix("-key").or_else(|| stem.strip_suffix("-cert")).unwrap_or(&stem);
    stem.to_owned()
}

/// In one directory, or in two that lie beside each other.
fn is_near(key: &Path, certificate: &Path) -> bool {
    let above = |path: &Path| path.parent().and_then(Path::parent).map(Path::to_owned);
    key.parent() == certificate.parent() || above(key) == above(certificate)
}

/// A file with a certificate that is where no renewal can put another.
pub(super) struct Stray {
    pub(super) path: PathBuf,
    pub(super) role: Role,
    pub(super) name: String,
    pub(super) fingerprint: Fingerprint,
    pub(super) public_key: Vec<u8>,
    pub(super) serial: SerialNumber,
    /// Whether the directory is a bundle's but for other files: a place that is known, and refuses renewals.
    pub(super) is_place: bool,
    /// Its key there.
    pub(super) key: Option<PathBuf>,
    /// The authority's files: what it chains to.
    pub(super) above: Vec<PathBuf>,
}

/// How such a certificate becomes a place.
pub(super) struct Offer {
    role: Role,
    name: String,
    file: PathBuf,
    directory: PathBuf,
    command: String,
}

/// All of them, as they were come by.
#[derive(Default)]
pub(super) struct Strays(Vec<Stray>);

impl Strays {
    pub(super) fn push(&mut self, copy: Stray) {
        self.0.push(copy);
    }

    /// The copies of each certificate, in the order of their first.
    pub(super) fn copies(&self) -> Vec<Copies<'_>> {
        let mut all: Vec<Copies<'_>> = Vec::new();
        let mut known: BTreeMap<Fingerprint, usize> = BTreeMap::new();
        for copy in &self.0 {
            let position = *known.entry(copy.fingerprint).or_insert(all.len());
            match all.get_mut(position) {
                Some(copies) => copies.others.push(copy),
                None => all.push(Copies { first: copy, others: Vec::new() }),
            }
        }
        all
    }
}

/// All files with one certificate.
pub(super) struct Copies<'c> {
    first: &'c Stray,
    others: Vec<&'c Stray>,
}

impl Copies<'_> {
    fn each(&self) -> impl Iterator<Item = &Stray> {
        std::iter::once(self.first).chain(self.others.iter().copied())
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        self.first.fingerprint
    }

    /// Whether one of them is in this directory.
    pub(super) fn are_in(&self, directory: &Path) -> bool {
        self.each().any(|copy| copy.path.parent() == Some(directory))
    }

    /// None where its key is not here: then it is laid out where that is. easy-rsa keeps another copy by serial number.
    pub(super) fn offer(&self, keys: &Keys, authority: &Path, taken: &[Offer]) -> Option<Offer> {
        let with_key = || self.each().filter_map(|copy| Some((copy, copy.key_in(keys)?)));
        let (copy, key) = with_key().find(|(copy, key)| stem(key) == stem(&copy.path)).or_else(|| with_key().next())?;
        let directory = copy.directory(key, taken)?;
        let word = |path: &Path| word_of_command(Shell::Sh, &path.to_string_lossy());
        let files = [copy.path.as_path(), key].into_iter().chain(copy.above.iter().map(PathBuf::as_path));
        let from: String = files.map(|file| format!(" --from {}", word(file))).collect();
        let place = word(&directory);
        let inventory = format!("dockseal --authority {} inventory", word(authority));
        let mut command = format!(
            "mkdir -p {} && dockseal repair {place}{from} && {inventory} record {place}",
            word(directory.parent()?)
        );
        for known in self.each().filter(|copy| copy.is_place).filter_map(|copy| copy.path.parent()) {
            command.push_str(&format!(" && {inventory} forget {}", word(known)));
        }
        if copy.is_dind() && copy.role == Role::Daemon {
            // Without it docker:dind before 23.0 signs over the rest.
            let ca = directory.parent()?.join(DIND_AUTHORITY_DIRECTORY);
            let link = word(&ca.join(DIND_AUTHORITY_FILE));
            command.push_str(&format!(" && mkdir -p {} && ln -s {DIND_AUTHORITY_LINK} {link}", word(&ca)));
        }
        Some(Offer { role: copy.role, name: copy.name.clone(), file: copy.path.clone(), directory, command })
    }
}

impl Stray {
    fn key_in<'k>(&'k self, keys: &'k Keys) -> Option<&'k Path> {
        self.key.as_deref().or_else(|| keys.of(&self.public_key, &self.path))
    }

    /// docker:dind's server and client, with its authority beside them.
    fn is_dind(&self) -> bool {
        let Some(directory) = self.path.parent() else { return false };
        let is_named = directory.file_name().is_some_and(|name| name == "server" || name == "client");
        is_named && directory.with_file_name(DIND_AUTHORITY_DIRECTORY).join(DIND_AUTHORITY_FILE).exists()
    }

    /// A directory of its own, below what certificate and key have in common; a tree of dind's stays one.
    fn directory(&self, key: &Path, taken: &[Offer]) -> Option<PathBuf> {
        let here = self.path.parent()?;
        if self.is_dind() {
            return Some(here.parent()?.join("dockseal").join(here.file_name()?));
        }
        let top = here.ancestors().find(|above| key.starts_with(above))?.join("dockseal");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
        let (role, serial) = (self.role, &self.serial);
        let by_name = top.join(format!("{role}-{}", self.name));
        let is_usable = self.name.len() < 100 && self.name.chars().all(is_plain);
        let is_free = by_name.symlink_metadata().is_err() && taken.iter().all(|offer| offer.directory != by_name);
        Some(if is_usable && is_free { by_name } else { top.join(format!("{role}-{serial}")) })
    }
}

impl Offer {
    pub(super) fn text(&self) -> String {
        let Self { role, name, file, command, .. } = self;
        format!("  {role} {}, {}:\n    {command}\n", printable(name), file.display())
    }

    pub(super) fn wire(&self) -> Value {
        json!({
            "role": self.role.word(),
            "name": self.name,
            "file": self.file.to_string_lossy(),
            "directory": self.directory.to_string_lossy(),
            "command": self.command,
        })
    }
}

/// All of them, for people.
pub(super) fn describe(offers: &[Offer]) -> String {
    if offers.is_empty() {
        return String::new();
    }
    let commands: String = offers.iter().map(Offer::text).collect();
    format!(
        "{} certificates lie where no renewal can put another, since they have other names or other files beside them. To lay them \
         out as Docker's three files, which are renewed then (docker or dockerd has to be told of the directory):\n{commands}",
        offers.len()
    )
}
