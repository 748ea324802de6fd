//! The certificates of a docker command: what it shows and what it trusts, read from its files.

use std::path::{Path, PathBuf};

use dockseal_docker::{
    Role,
    env::{Shell, word_of_command},
    settings::FileSetting,
};
use dockseal_inventory::State;
use dockseal_pki::{Certificate, printable};

use crate::{commands::probe::pem_certificates, connection::Connection, invocation::Invocation, ledger::open_to_read};
use dockseal_lifecycle::identity::role_and_name;

/// A certificate and the file that it was read from.
pub(crate) struct InUse {
    pub(crate) role: Role,
    pub(crate) name: String,
    pub(crate) certificate: Certificate,
    pub(crate) path: PathBuf,
}

impl InUse {
    /// What docker shows: nothing where it has no certificate, or no key for it.
    pub(crate) fn shown(connection: &Connection) -> Option<Self> {
        let files = connection.files()?;
        files.key.path().filter(|path| path.exists())?;
        read(&files.cert).into_iter().next()
    }

    /// What docker trusts, as far as a file says so.
    pub(crate) fn trusted(connection: &Connection) -> Vec<Self> {
        connection.files().map(|files| read(&files.ca)).unwrap_or_default()
    }

    /// The command that puts a new one in its place, and where to run it.
    pub(crate) fn remedy(&self, invocation: &Invocation) -> String {
        let name = word_of_command(Shell::Sh, &printable(&self.name));
        match self.state_here(invocation) {
            Some(State::Issued) => format!("renew it: {} renew {name}", invocation.called()),
            Some(State::Superseded) => {
                let directory = self.path.parent().unwrap_or(Path::new("."));
                format!(
                    "it was renewed already, and this is an old copy: {} list --name {name} tells where the new one is, \
                     which belongs into {}",
                    invocation.called(),
                    printable(&directory.to_string_lossy())
                )
            }
            _ => format!("have it renewed where its authority is: dockseal renew {name}"),
        }
    }

    /// How it stands with the authority of this machine; nothing where there is none, or it knows nothing of it.
    fn state_here(&self, invocation: &Invocation) -> Option<State> {
        let home = invocation.home().ok()?;
        home.check_there().ok()?;
        let entry = open_to_read(&home).ok()?.entry_of(self.certificate.fingerprint()).ok()??;
        Some(entry.state)
    }
}

fn read(file: &FileSetting) -> Vec<InUse> {
    let Some(path) = file.path() else { return Vec::new() };
    let Ok(opened) = dockseal_store::read_as_docker(path) else { return Vec::new() };
    let in_use = |certificate: Certificate| {
        let subject = || (Role::Client, certificate.subject.to_string());
        let (role, name) = role_and_name(&certificate).unwrap_or_else(subject);
        InUse { role, name, certificate, path: path.to_owned() }
    };
    pem_certificates(&opened.bytes).into_iter().map(in_use).collect()
}
