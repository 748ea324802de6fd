//! Rows as Prometheus reads them: its text format, for node_exporter's textfile collector.
//!
//! Sources: <https://prometheus.io/docs/instrumenting/exposition_formats/> (each metric's lines in one group, after its HELP
//! and TYPE; `\`, `"` and line feeds escaped in labels), <https://prometheus.io/docs/practices/naming/>.

use dockseal_inventory::State;
use time::OffsetDateTime;

use super::{Question, Row, Sink, View};
use crate::{failure::Failure, hints::inventory_failure};

/// One metric that each certificate has.
struct Metric {
    name: &'static str,
    help: &'static str,
    value: fn(&Row) -> OffsetDateTime,
}

const METRICS: [Metric; 3] = [
    Metric {
        name: "dockseal_certificate_not_before_timestamp_seconds",
        help: "When the certificate begins to count.",
        value: |row| row.validity().not_before,
    },
    Metric {
        name: "dockseal_certificate_due_timestamp_seconds",
        help: "When two thirds of the certificate's life are gone and it is due for renewal.",
        value: |row| row.due_at,
    },
    Metric {
        name: "dockseal_certificate_not_after_timestamp_seconds",
        help: "When the certificate expires.",
        value: |row| row.validity().not_after,
    },
];

/// Writes what a question selects, and how the whole authority stands.
pub(crate) fn write(
    view: &View,
    question: &Question,
    now: OffsetDateTime,
    sink: &mut Sink<'_>,
    what: &str,
) -> Result<(), Failure> {
    for Metric { name, help, value } in METRICS {
        sink.write(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n"))?;
        // Once for each metric, since its lines belong together and memory is not to grow with them.
        let mut rows = view.rows(question, what)?;
        while let Some(page) = rows.next_page()? {
            let lines = page.iter().map(|row| format!("{name}{{{}}} {}\n", labels(row), value(row).unix_timestamp()));
            sink.write(&lines.collect::<String>())?;
        }
    }
    let counts = view.counts(now, what)?;
    sink.write(&format!(
        "# HELP dockseal_certificates Certificates by how they stand: all but revoked ones count, and those have not ended.\n\
         # TYPE dockseal_certificates gauge\n\
         dockseal_certificates{{state=\"valid\"}} {}\n\
         dockseal_certificates{{state=\"expired\"}} {}\n\
         dockseal_certificates{{state=\"not_yet_valid\"}} {}\n\
         dockseal_certificates{{state=\"untrusted\"}} {}\n\
         dockseal_certificates{{state=\"revoked\"}} {}\n\
         # HELP dockseal_certificates_due Certificates of whose life two thirds are gone, expired ones included, that are not valid yet or not trusted any more.\n\
         # TYPE dockseal_certificates_due gauge\n\
         dockseal_certificates_due {}\n\
         # HELP dockseal_commands_due Places where the command that follows a renewal has yet to succeed.\n\
         # TYPE dockseal_commands_due gauge\n\
         dockseal_commands_due {}\n",
        counts.valid, counts.expired, counts.not_yet_valid, counts.untrusted, counts.revoked, counts.due, view.commands_due(question, what)?.len()
    ))?;
    if let Some(last) = view.inventory.last_written().map_err(|error| inventory_failure(what, &error))? {
        sink.write(&single("dockseal_last_run_timestamp_seconds", "When the authority was last worked on.", last))?;
    }
    sink.write(&single("dockseal_written_timestamp_seconds", "When these metrics were written.", now))
}

fn single(name: &str, help: &str, at: OffsetDateTime) -> String {
    format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {}\n", at.unix_timestamp())
}

/// What tells a certificate from others, and what alerts are sorted by.
fn labels(row: &Row) -> String {
    let state = match &row.state {
        State::Issued => "issued",
        other => other.word(),
    };
    let labels = [
        ("name", row.name.clone()),
        ("role", row.role.word().to_owned()),
        ("serial", row.certificate.serial.to_string()),
        ("generation", row.generation.map_or_else(String::new, |number| number.to_string())),
        ("state", state.to_owned()),
    ];
    labels.map(|(name, value)| format!("{name}=\"{}\"", escaped(&value))).join(",")
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_as_the_format_says() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
        assert_eq!(escaped("Zoë, 10.0.0.5"), "Zoë, 10.0.0.5");
    }
}
