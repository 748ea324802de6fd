//! The steps of which transactions are made.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use dockseal_pki::{Certificate, GeneralName};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::{CertificateId, Delivered, Delivery, DestinationId, Found, KeyHolder, Place, Reservation, Run, State};

pub(crate) fn begin(connection: &Connection, run: &Run) -> rusqlite::Result<i64> {
    connection
        .prepare_cached(
            "INSERT INTO run (at, user, machine, machine_name, command, time_given) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .insert(params![
            run.at.unix_timestamp(),
            run.user,
            run.machine,
            run.machine_name,
            run.command,
            run.time_is_given
        ])
}

/// The names by which a certificate may be asked for, besides its main one.
fn names(certificate: &Certificate) -> impl Iterator<Item = String> {
    certificate.names.iter().filter_map(|name| match name {
        GeneralName::Dns(name) => Some(name.clone()),
        GeneralName::Ip(address) => Some(address.to_string()),
        _ => None,
    })
}

/// A transaction in progress.
pub(crate) struct Writer<'t> {
    pub(crate) transaction: Transaction<'t>,
    pub(crate) run: i64,
    pub(crate) at: i64,
}

impl Writer<'_> {
    /// Takes a serial.
    pub(crate) fn reserve(&self, wanted: &Reservation) -> rusqlite::Result<CertificateId> {
        let predecessor = wanted.predecessor.map(|id| id.0);
        let (serial, role) = (wanted.serial.der_content(), wanted.role.word());
        self.transaction
            .prepare_cached(
                "INSERT INTO certificate (generation, serial, role, name, state, reserved_at, predecessor)
                 VALUES (?1, ?2, ?3, ?4, 'reserved', ?5, ?6)",
            )?
            .insert(params![wanted.generation.0, serial, role, wanted.name, self.at, predecessor])
            .map(CertificateId)
    }

    pub(crate) fn event(
        &self,
        what: &str,
        certificate: Option<CertificateId>,
        destination: Option<DestinationId>,
        detail: Option<&str>,
    ) -> rusqlite::Result<()> {
        let (certificate, destination) = (certificate.map(|id| id.0), destination.map(|id| id.0));
        self.transaction
            .prepare_cached(
                "INSERT INTO event (run, at, what, certificate, destination, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![self.run, self.at, what, certificate, destination, detail])
            .map(drop)
    }

    pub(crate) fn keep(&self, id: CertificateId, certificate: &Certificate, holder: KeyHolder) -> rusqlite::Result<()> {
        let validity = certificate.validity;
        self.transaction
            .prepare_cached(
                "UPDATE certificate SET not_before = ?2, not_after = ?3, due_at = ?4, key_holder = ?5, fingerprint = ?6,
                 der = ?7 WHERE id = ?1",
            )?
            .execute(params![
                id.0,
                validity.not_before.unix_timestamp(),
                validity.not_after.unix_timestamp(),
                validity.due_at().unix_timestamp(),
                holder.word(),
                certificate.fingerprint().as_bytes(),
                certificate.der()
            ])?;
        let mut name =
            self.transaction.prepare_cached("INSERT OR IGNORE INTO name (name, certificate) SELECT ?2, ?1")?;
        for text in names(certificate) {
            name.execute(params![id.0, text])?;
        }
        self.transaction
            .prepare_cached(
                "INSERT OR IGNORE INTO name (name, certificate) SELECT name, id FROM certificate WHERE id = ?1",
            )?
            .execute([id.0])
            .map(drop)
    }

    pub(crate) fn destination(&self, place: &Place) -> rusqlite::Result<DestinationId> {
        let octets = OsStr::as_bytes(place.path.as_os_str());
        self.transaction
            .prepare_cached(
                "INSERT INTO destination (kind, machine, machine_name, place) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (kind, machine, place) DO UPDATE SET machine_name = excluded.machine_name RETURNING id",
            )?
            .query_row(params![place.kind.word(), place.machine, place.machine_name, octets], |row| row.get(0))
            .map(DestinationId)
    }

    /// A place that is about to hold this certificate, and whether a command is to follow there.
    pub(crate) fn announce(
        &self,
        delivery: &Delivery,
        id: CertificateId,
        command_follows: bool,
    ) -> rusqlite::Result<DestinationId> {
        let Delivery { place, layout, ownership } = delivery;
        let destination = self.destination(place)?;
        self.transaction
            .prepare_cached(
                "UPDATE destination SET pending = ?2, owner = ?3, owner_group = ?4, key_mode = ?5, layout = ?6,
                 command_follows = ?7 WHERE id = ?1",
            )?
            .execute(params![
                destination.0,
                id.0,
                ownership.user,
                ownership.group,
                ownership.key_mode,
                layout.word(),
                command_follows
            ])?;
        Ok(destination)
    }

    pub(crate) fn deliver(&self, Delivered { id, keeps_previous, command_due }: Delivered) -> rusqlite::Result<()> {
        let predecessor: Option<i64> = self
            .transaction
            .prepare_cached(
                "UPDATE certificate SET state = 'issued' WHERE id = ?1 AND state <> 'revoked' RETURNING predecessor",
            )?
            .query_row([id.0], |row| row.get(0))
            .optional()?
            .flatten();
        let pending: Vec<(i64, Option<i64>)> = self
            .transaction
            .prepare_cached("SELECT id, certificate FROM destination WHERE pending = ?1")?
            .query_map([id.0], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (destination, before) in pending {
            let kept = before.filter(|_| keeps_previous);
            self.transaction
                .prepare_cached(
                    "UPDATE destination SET certificate = pending, pending = NULL, previous = ?2, delivered_at = ?3,
                     command_due = max(command_due, command_follows, ?4), command_follows = 0 WHERE id = ?1",
                )?
                .execute(params![destination, kept, self.at, command_due])?;
            self.event("delivered", Some(id), Some(DestinationId(destination)), None)?;
            if let Some(before) = before.filter(|before| *before != id.0) {
                self.supersede_unless_in_use(CertificateId(before))?;
            }
        }
        predecessor.map_or(Ok(()), |before| self.supersede_unless_in_use(CertificateId(before)))
    }

    /// A certificate that is at no destination any more, and that another takes the place of, no longer counts.
    pub(crate) fn supersede_unless_in_use(&self, id: CertificateId) -> rusqlite::Result<()> {
        self.transaction
            .prepare_cached(
                "UPDATE certificate SET state = 'superseded' WHERE id = ?1 AND state = 'issued'
                 AND NOT EXISTS (SELECT 1 FROM destination WHERE certificate = ?1)",
            )?
            .execute([id.0])
            .map(drop)
    }

    pub(crate) fn find(&self, found: &Found<'_>) -> rusqlite::Result<()> {
        let serial = found.certificate.serial.der_content();
        let known: Option<i64> = self
            .transaction
            .prepare_cached("SELECT id FROM certificate WHERE generation = ?1 AND serial = ?2")?
            .query_row(params![found.generation.0, serial], |row| row.get(0))
            .optional()?;
        let id = match known {
            Some(id) => {
                // Found before where its key is not.
                if found.key_holder == KeyHolder::Here {
                    self.transaction
                        .prepare_cached("UPDATE certificate SET key_holder = ?2 WHERE id = ?1")?
                        .execute(params![id, found.key_holder.word()])?;
                }
                CertificateId(id)
            }
            None => {
                let values = params![found.generation.0, serial, found.role.word(), found.name, self.at];
                let id = self
                    .transaction
                    .prepare_cached(
                        "INSERT INTO certificate (generation, serial, role, name, state, reserved_at)
                         VALUES (?1, ?2, ?3, ?4, 'reserved', ?5)",
                    )?
                    .insert(values)
                    .map(CertificateId)?;
                self.keep(id, found.certificate, found.key_holder)?;
                self.transaction
                    .prepare_cached("UPDATE certificate SET state = ?2 WHERE id = ?1")?
                    .execute(params![id.0, State::Issued.word()])?;
                self.event("found", Some(id), None, None)?;
                id
            }
        };
        if let Some((place, layout)) = found.place {
            let destination = self.destination(place)?;
            let before: Option<i64> = self
                .transaction
                .prepare_cached("SELECT certificate FROM destination WHERE id = ?1")?
                .query_row([destination.0], |row| row.get(0))?;
            self.transaction
                .prepare_cached(
                    "UPDATE destination SET certificate = ?2, delivered_at = ?3, layout = ?4 WHERE id = ?1",
                )?
                .execute(params![destination.0, id.0, self.at, layout.word()])?;
            // What is in a recorded place is in use, whatever took its place elsewhere.
            let again = self
                .transaction
                .prepare_cached(
                    "UPDATE certificate SET state = 'issued'
                     WHERE id = ?1 AND der IS NOT NULL AND state IN ('superseded', 'reserved')",
                )?
                .execute([id.0])?;
            self.event("found", Some(id), Some(destination), (again > 0).then_some("in use again"))?;
            if let Some(before) = before.filter(|before| *before != id.0) {
                self.supersede_unless_in_use(CertificateId(before))?;
            }
        }
        Ok(())
    }
}
