//! What a row of a table says.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::PathBuf};

use dockseal_docker::{Layout, Ownership, Role};
use dockseal_pki::{Certificate, RevocationReason};
use rusqlite::{Row, types::Type};
use time::OffsetDateTime;

use crate::{
    CertificateId, Destination, DestinationId, Entry, GenerationId, KeyHolder, Kind, Place, Revocation, State,
};

pub(crate) const ENTRY: &str = "certificate.id, generation, role, certificate.name, state, key_holder, due_at, predecessor, revoked_at, reason, der";

pub(crate) fn damaged(column: usize, what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, what.into())
}

pub(crate) fn moment(row: &Row<'_>, column: usize) -> rusqlite::Result<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(row.get(column)?).map_err(|_| damaged(column, "not a moment"))
}

pub(crate) fn role(row: &Row<'_>, column: usize) -> rusqlite::Result<Role> {
    Role::parse(row.get_ref(column)?.as_str()?).ok_or_else(|| damaged(column, "not a role"))
}

pub(crate) fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let state = match row.get_ref(4)?.as_str()? {
        "issued" => State::Issued,
        "superseded" => State::Superseded,
        "revoked" => {
            let reason =
                RevocationReason::parse(row.get_ref(9)?.as_str()?).ok_or_else(|| damaged(9, "not a reason"))?;
            State::Revoked(Revocation { at: moment(row, 8)?, reason })
        }
        _ => State::Reserved,
    };
    let key_holder = match row.get_ref(5)?.as_str()? {
        "here" => KeyHolder::Here,
        _ => KeyHolder::Elsewhere,
    };
    Ok(Entry {
        id: CertificateId(row.get(0)?),
        generation: GenerationId(row.get(1)?),
        role: role(row, 2)?,
        name: row.get(3)?,
        state,
        certificate: Certificate::from_der(row.get_ref(10)?.as_blob()?)
            .map_err(|_| damaged(10, "not a certificate"))?,
        key_holder,
        due_at: moment(row, 6)?,
        predecessor: row.get::<_, Option<i64>>(7)?.map(CertificateId),
    })
}

/// Whether the time of a run was given, in a file of this version.
pub(crate) fn time_given_column(version: u32) -> &'static str {
    if version < 3 { "0" } else { "time_given" }
}

/// The columns of a destination, in a file of this version.
pub(crate) fn destination_columns(version: u32) -> String {
    let layout = if version < 2 { "'docker'" } else { "layout" };
    format!(
        "id, kind, machine, machine_name, place, owner, owner_group, key_mode, certificate, pending, previous, \
         delivered_at, command_due, {layout}"
    )
}

pub(crate) fn destination(row: &Row<'_>) -> rusqlite::Result<Destination> {
    let kind = match row.get_ref(1)?.as_str()? {
        "context" => Kind::Context,
        "ssh" => Kind::Ssh,
        _ => Kind::Directory,
    };
    let path = PathBuf::from(OsStr::from_bytes(row.get_ref(4)?.as_blob()?));
    let certificate = |column| row.get::<_, Option<i64>>(column).map(|id| id.map(CertificateId));
    let delivered_at = match row.get::<_, Option<i64>>(11)? {
        None => None,
        Some(_) => Some(moment(row, 11)?),
    };
    Ok(Destination {
        id: DestinationId(row.get(0)?),
        place: Place { kind, machine: row.get(2)?, machine_name: row.get(3)?, path },
        layout: Layout::parse(row.get_ref(13)?.as_str()?).ok_or_else(|| damaged(13, "not a layout"))?,
        ownership: Ownership { user: row.get(5)?, group: row.get(6)?, key_mode: row.get(7)? },
        certificate: certificate(8)?,
        pending: certificate(9)?,
        previous: certificate(10)?,
        delivered_at,
        command_due: row.get(12)?,
    })
}
