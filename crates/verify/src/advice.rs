//! What works and could be better. Advice never changes a verdict.

mod issued;
mod names;
mod stacks;

use dockseal_docker::gate::Gate;
use dockseal_docker::version::Go;
use time::OffsetDateTime;

pub(crate) use names::withheld;

use crate::check::Check;
use crate::judge::Report;
use crate::load::Chain;
use crate::material::{FileKind, Material, MaterialFile, Side};
use crate::path::{Moment, Purpose};
use crate::pool::Anchors;
use crate::signature::Signatures;
use crate::verdict::{Place, Status};
use crate::x509::{Curve, PublicKey};
use issued::Link;

/// A leaf is worth a word this long before its end.
const SOON: time::Duration = time::Duration::days(30);

/// A CA is worth one earlier: every side has to follow.
const SOON_FOR_A_CA: time::Duration = time::Duration::days(90);

/// A leaf for longer is refused by Apple's platforms where it is a server's (support.apple.com/103769), and unwise.
const LONG: time::Duration = time::Duration::days(825);

/// A side's chain and who verifies it.
pub(crate) struct Presented<'p> {
    pub(crate) side: Side,
    pub(crate) material: &'p Material,
    pub(crate) chain: Option<&'p Chain>,
    /// The CA file of the other side, and what it holds.
    pub(crate) trusted: &'p MaterialFile,
    pub(crate) anchors: Option<&'p Anchors>,
    pub(crate) signatures: &'p Signatures,
    pub(crate) go: Go,
}

impl Presented<'_> {
    fn purpose(&self) -> Purpose {
        match self.side {
            Side::Daemon => Purpose::Server,
            Side::Client => Purpose::Client,
        }
    }

    /// Whether the other side verified the chain and took it.
    fn is_accepted(&self, report: &Report) -> bool {
        let gate = match self.side {
            Side::Daemon => Gate::ClientAcceptsDaemon,
            Side::Client => Gate::DaemonAcceptsClient,
        };
        report.gates.contains(&(gate, Status::Passed))
    }

    fn place(&self, link: Option<&Link<'_>>) -> Option<Place> {
        let own = |offset| Place {
            side: self.side,
            file: FileKind::Cert,
            path: self.material.cert.provenance.path.clone(),
            offset,
        };
        Some(match link {
            None => own(None),
            Some(link) if link.offset.is_some() => own(link.offset),
            Some(_) => Place {
                side: match self.side {
                    Side::Daemon => Side::Client,
                    Side::Client => Side::Daemon,
                },
                file: FileKind::Ca,
                path: self.trusted.provenance.path.clone(),
                offset: None,
            },
        })
    }
}

/// Looks at a side's own leaf, and at its chain where the other side took it.
pub(crate) fn add(report: &mut Report, presented: &Presented<'_>, now: OffsetDateTime) {
    let Some((chain, leaf)) = presented.chain.and_then(|chain| Some((chain, chain.leaf.as_ref()?))) else {
        return;
    };
    let left = leaf.not_after.saturating_sub(now.unix_timestamp());
    if (0..SOON.whole_seconds()).contains(&left) {
        let text = format!("the certificate expires at {}", Moment(leaf.not_after));
        report.add(None, Check::ExpiresSoon, presented.place(None), text);
    }
    if leaf.key_is_weak {
        report.add(None, Check::WeakKey, presented.place(None), format!("the key is {}", leaf.key));
    }
    if leaf.serial_is_negative {
        report.add(None, Check::NegativeSerial, presented.place(None), "the serial number is negative");
    }
    if presented.side == Side::Client && leaf.key == PublicKey::ED25519_NAME {
        let text = "Java sends no Ed25519 certificate that it read through Bouncy Castle, as docker-java does";
        report.add(None, Check::BouncyCastleWithholds, presented.place(None), text);
    }
    let usages = leaf.usages;
    if usages.any || usages.server == usages.client {
        let text = "the certificate may be used by a daemon and by a client";
        report.add(None, Check::BothUsages, presented.place(None), text);
    }
    let Some(anchors) = presented.anchors.filter(|_| presented.is_accepted(report)) else { return };
    let issued = issued::chain(chain, anchors, presented.signatures, presented.go);
    let links: Vec<Link<'_>> = issued.iter().map_while(|issued| Link::read(issued, presented.go)).collect();
    lifetimes(report, presented, &links, now);
    for link in links.iter().skip(1) {
        if is_weak(&link.certificate.public_key) {
            let certificate = &link.certificate;
            let text = format!("the key of the CA {:?} is {}", certificate.name(), certificate.public_key.describe());
            report.add(None, Check::WeakKey, presented.place(Some(link)), text);
        }
    }
    // Nobody chose the system's roots for this daemon.
    if presented.trusted.bytes().is_some() {
        for objection in stacks::objections(&links, presented.purpose()) {
            let link = links.get(objection.link);
            report.add(None, Check::OtherStacksRefuse, presented.place(link), objection.to_string());
        }
    }
}

fn lifetimes(report: &mut Report, presented: &Presented<'_>, links: &[Link<'_>], now: OffsetDateTime) {
    let Some((leaf, issuers)) = links.split_first() else { return };
    let (begin, end) = (leaf.certificate.not_before, leaf.certificate.not_after);
    let lasts = end.saturating_sub(begin);
    if lasts > LONG.whole_seconds() {
        let days = lasts / time::Duration::DAY.whole_seconds();
        let because = match presented.side {
            Side::Daemon => "Apple's platforms refuse a server's certificate of more than 825 days",
            Side::Client => "whoever gets hold of it is root on the host for that long",
        };
        let text = format!("the certificate is valid for {days} days: {because}");
        report.add(None, Check::LongLifetime, presented.place(Some(leaf)), text);
    }
    if let Some(first) = issuers.iter().min_by_key(|link| link.certificate.not_after)
        && first.certificate.not_after < end
    {
        let text = format!(
            "the certificate is valid until {}, and its CA {:?} only until {}",
            Moment(end),
            first.certificate.name(),
            Moment(first.certificate.not_after)
        );
        report.add(None, Check::OutlivesCa, presented.place(Some(leaf)), text);
    }
    for issuer in issuers {
        let left = issuer.certificate.not_after.saturating_sub(now.unix_timestamp());
        if (0..SOON_FOR_A_CA.whole_seconds()).contains(&left) {
            let certificate = &issuer.certificate;
            let text = format!("the CA {:?} expires at {}", certificate.name(), Moment(certificate.not_after));
            report.add(None, Check::CaExpiresSoon, presented.place(Some(issuer)), text);
        }
    }
}

fn is_weak(key: &PublicKey<'_>) -> bool {
    match key {
        PublicKey::Ecdsa { curve, .. } => *curve == Curve::P224,
        key => key.rsa_bits().is_some_and(|bits| bits < 2048),
    }
}
