//! What works and could be better. Advice never changes a verdict.

use time::OffsetDateTime;

use crate::check::Check;
use crate::judge::Report;
use crate::load::Chain;
use crate::material::{FileKind, Material, Side};
use crate::path::Moment;
use crate::verdict::Place;

/// A certificate is worth a word this long before its end.
const SOON: time::Duration = time::Duration::days(30);

/// Looks at a side's own leaf.
pub(crate) fn add(report: &mut Report, side: Side, material: &Material, chain: Option<&Chain>, now: OffsetDateTime) {
    let Some(leaf) = chain.and_then(|chain| chain.leaf.as_ref()) else {
        return;
    };
    let place =
        || Some(Place { side, file: FileKind::Cert, path: material.cert.provenance.path.clone(), offset: None });
    let left = leaf.not_after.saturating_sub(now.unix_timestamp());
    if (0..SOON.whole_seconds()).contains(&left) {
        report.add(None, Check::ExpiresSoon, place(), format!("the certificate expires at {}", Moment(leaf.not_after)));
    }
    if leaf.key_is_weak {
        report.add(None, Check::WeakKey, place(), format!("the key is {}", leaf.key));
    }
    if leaf.serial_is_negative {
        report.add(None, Check::NegativeSerial, place(), "the serial number is negative");
    }
    let usages = leaf.usages;
    if usages.any || usages.server == usages.client {
        report.add(None, Check::BothUsages, place(), "the certificate may be used by a daemon and by a client");
    }
}
