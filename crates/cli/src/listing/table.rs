//! Rows as people read them.

use dockseal_inventory::State;
use dockseal_pki::printable;
use time::OffsetDateTime;

use super::{Row, Spot, Standing};
use crate::report::distance;

const HEADINGS: [&str; 8] = ["who", "role", "also", "state", "expires in", "life left", "CA", "where"];
/// How many of its other names a daemon's row shows.
const NAMES: usize = 2;
/// How long the bar is that stands for a whole life.
const BAR: usize = 10;

/// A table that is printed while its rows are read: its columns are as wide as its first page needs them.
pub(crate) struct Table {
    now: OffsetDateTime,
    widths: Option<[usize; 8]>,
}

impl Table {
    pub(crate) fn new(now: OffsetDateTime) -> Self {
        Self { now, widths: None }
    }

    /// The text of the next rows, below the headings if they are the first.
    pub(crate) fn page(&mut self, rows: &[Row]) -> String {
        let lines: Vec<[String; 8]> = rows.iter().flat_map(|row| lines(row, self.now)).collect();
        let mut text = String::new();
        let widths = match self.widths {
            Some(widths) => widths,
            None => {
                let heading = HEADINGS.map(str::to_owned);
                let width = |column: usize| {
                    let cells = lines.iter().chain([&heading]).filter_map(|line| line.get(column));
                    cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
                };
                let widths = std::array::from_fn(width);
                text.push_str(&line(&heading, &widths));
                self.widths = Some(widths);
                widths
            }
        };
        lines.iter().for_each(|cells| text.push_str(&line(cells, &widths)));
        text
    }
}

fn line(cells: &[String; 8], widths: &[usize; 8]) -> String {
    let cells: Vec<String> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
    format!("  {}\n", cells.join("  ").trim_end())
}

/// A row, and below it a line for each further place.
fn lines(row: &Row, now: OffsetDateTime) -> Vec<[String; 8]> {
    let mut places = row.places.iter().map(place);
    let first = [
        printable(&row.name),
        row.role.to_string(),
        also(row),
        state(row, now),
        expires(row, now),
        bar(row, now),
        row.generation.map_or_else(|| "-".to_owned(), |number| number.to_string()),
        places.next().unwrap_or_else(|| "-".to_owned()),
    ];
    let more = places.map(|place| {
        let mut cells: [String; 8] = std::array::from_fn(|_| String::new());
        if let Some(last) = cells.last_mut() {
            *last = place;
        }
        cells
    });
    std::iter::once(first).chain(more).collect()
}

fn also(row: &Row) -> String {
    let names: Vec<String> = row.other_names().map(|name| printable(&name)).collect();
    let more = names.len().saturating_sub(NAMES);
    let mut shown = names.into_iter().take(NAMES).collect::<Vec<_>>().join(", ");
    if more > 0 {
        shown.push_str(&format!(", +{more}"));
    }
    shown
}

fn state(row: &Row, now: OffsetDateTime) -> String {
    match (&row.state, row.standing(now)) {
        (State::Issued, standing) => standing.text().to_owned(),
        (State::Revoked(revocation), _) => format!("revoked ({})", revocation.reason),
        (other, _) => other.word().to_owned(),
    }
}

fn expires(row: &Row, now: OffsetDateTime) -> String {
    let left = row.validity().not_after - now;
    match row.standing(now) {
        Standing::Expired => format!("{} ago", distance(left.abs())),
        Standing::Valid | Standing::Due | Standing::NotYetValid | Standing::Untrusted => distance(left),
    }
}

/// How much of its life is left; an empty bar is an expired certificate.
fn bar(row: &Row, now: OffsetDateTime) -> String {
    let validity = row.validity();
    let life = (validity.not_after - validity.not_before).whole_seconds().max(1);
    let left = (validity.not_after - now).whole_seconds().clamp(0, life);
    let cells = i64::try_from(BAR).unwrap_or(0);
    // Rounded up: something is left until nothing is.
    let full = left.saturating_mul(cells).saturating_add(life - 1) / life;
    let full = usize::try_from(full).unwrap_or(0).min(BAR);
    format!("{}{}", "█".repeat(full), "░".repeat(BAR - full))
}

fn place(spot: &Spot) -> String {
    let path = match &spot.context {
        Some(name) => format!("context {name}"),
        None => printable(&spot.path.to_string_lossy()),
    };
    match &spot.machine {
        None if spot.holds_another => format!("{path} (holds another certificate)"),
        None => path,
        Some(machine) => format!("{}:{path}", printable(machine)),
    }
}
