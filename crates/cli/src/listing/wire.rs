//! Rows as programs read them: one JSON object, written a row at a time.

use dockseal_inventory::State;
use serde::Serialize;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::{Row, Sink};
use crate::{
    failure::Failure,
    report::{CertificateReport, SCHEMA, rfc3339},
};

/// How the certificates that count stand.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Counts {
    pub(crate) valid: u64,
    /// Those of whose life two thirds are gone, ended or not, that are not valid yet, or that nobody trusts.
    pub(crate) due: u64,
    pub(crate) not_yet_valid: u64,
    pub(crate) untrusted: u64,
    pub(crate) expired: u64,
    pub(crate) revoked: u64,
}

/// The object, open until [`finish`](Self::finish).
pub(crate) struct List {
    now: OffsetDateTime,
    rows: u64,
}

impl List {
    pub(crate) fn begin(now: OffsetDateTime, sink: &mut Sink<'_>) -> Result<Self, Failure> {
        sink.write(&format!(
            "{{\n  \"schema\": {SCHEMA},\n  \"at\": {},\n  \"certificates\": [",
            Value::from(rfc3339(now))
        ))?;
        Ok(Self { now, rows: 0 })
    }

    pub(crate) fn page(&mut self, rows: &[Row], sink: &mut Sink<'_>) -> Result<(), Failure> {
        for shown in rows {
            let comma = if self.rows == 0 { "" } else { "," };
            sink.write(&format!("{comma}\n    {}", row(shown, self.now)))?;
            self.rows += 1;
        }
        Ok(())
    }

    /// The rest of the object: these fields.
    pub(crate) fn finish(self, fields: &Map<String, Value>, sink: &mut Sink<'_>) -> Result<(), Failure> {
        sink.write(if self.rows == 0 { "]" } else { "\n  ]" })?;
        for (name, value) in fields {
            sink.write(&format!(",\n  {}: {value}", Value::from(name.as_str())))?;
        }
        sink.write("\n}\n")
    }
}

/// One row.
pub(crate) fn row(row: &Row, now: OffsetDateTime) -> Value {
    let places: Vec<Value> = row
        .places
        .iter()
        .map(|spot| {
            json!({
                "kind": spot.kind,
                "machine": spot.machine,
                "path": spot.path.to_string_lossy(),
                "context": spot.context,
                "delivered_at": spot.delivered_at.map(rfc3339),
                "holds_another": spot.holds_another,
            })
        })
        .collect();
    let revocation = match &row.state {
        State::Revoked(revocation) => Some(revocation),
        _ => None,
    };
    json!({
        "name": row.name,
        "role": row.role.word(),
        "state": row.state.word(),
        "standing": row.standing(now).word(),
        "seconds_left": (row.validity().not_after - now).whole_seconds(),
        "due_at": rfc3339(row.due_at),
        "generation": row.generation,
        "key": row.key_holder.map(dockseal_inventory::KeyHolder::word),
        "revoked_at": revocation.map(|revocation| rfc3339(revocation.at)),
        "reason": revocation.map(|revocation| revocation.reason.word()),
        "certificate": CertificateReport::new(row.role, &row.certificate),
        "places": places,
    })
}
