//! The gates at which a side reads its own files.
//!
//! Source: go-connections tlsconfig/config.go (`Server`); docker/cli cli/context/tlsdata.go (`TLSDataFromFiles`) and
//! cli/context/docker/load.go (`tlsConfig`).

use dockseal_docker::gate::Gate;
use dockseal_docker::version::{Go, Version};

use std::rc::Rc;

use super::{Hearing, place};
use crate::check::Check;
use crate::load::{Chain, FirstKeyBlock, Unusable};
use crate::material::{Content, FileKind, MaterialFile, Side};
use crate::pool::Anchors;
use crate::scenario::SystemRoots;
use crate::verdict::Status;

/// What a side trusts.
pub(super) enum Trust {
    /// Its CA file.
    File(Rc<Anchors>),
    /// The system's roots: no CA file is named.
    System(Option<Rc<Anchors>>),
    /// Nothing that could be read.
    Unusable,
}

impl Trust {
    pub(super) fn anchors(&self) -> Option<&Anchors> {
        match self {
            Self::File(anchors) | Self::System(Some(anchors)) => Some(anchors),
            Self::System(None) | Self::Unusable => None,
        }
    }
}

impl<'j> Hearing<'j> {
    /// `--tlscacert=` without certificate and key leaves no TLS data at all (docker/cli load.go `tlsConfig`).
    pub(super) fn client_drops_tls(&self) -> bool {
        let mode = self.scenario.client_mode;
        let has_file = |file: &MaterialFile| mode.has_certificate() && !file.is_passed_over();
        mode.verifies_daemon()
            && self.client.ca.content == Content::NotNamed
            && self.scenario.docker != Version::V20_10
            && !has_file(&self.client.cert)
            && !has_file(&self.client.key)
    }

    /// A file of the client whose path was given as empty.
    fn empty_client_path(&self) -> Option<(FileKind, &'j MaterialFile)> {
        let kinds: &[FileKind] = if self.scenario.client_mode.has_certificate() {
            &[FileKind::Ca, FileKind::Cert, FileKind::Key]
        } else {
            &[FileKind::Ca]
        };
        let client = self.client;
        let files = kinds.iter().map(|kind| (*kind, client.file(*kind)));
        files.into_iter().find(|(_, file)| file.content == Content::NotNamed)
    }

    pub(super) fn daemon_starts(&mut self, go: Go) -> (Status, Option<Rc<Chain>>, Trust) {
        const GATE: Gate = Gate::DaemonStarts;
        let daemon = self.daemon;
        let mut status = Status::Passed;
        let (cert, key) = match (daemon.cert.held(), daemon.key.held()) {
            (Some(cert), Some(key)) => (cert, key),
            _ => {
                for kind in [FileKind::Cert, FileKind::Key] {
                    if daemon.file(kind).bytes().is_none() {
                        status = self.unavailable(GATE, Side::Daemon, daemon.file(kind), kind);
                    }
                }
                return (status, None, self.daemon_trust(&mut Status::Passed, go));
            }
        };
        let chain = match self.judge.load_pair(cert, key, FirstKeyBlock::Any, go) {
            Ok(chain) => Some(chain),
            Err(unusable) => {
                status = self.unusable(GATE, Side::Daemon, unusable);
                None
            }
        };
        let trust = self.daemon_trust(&mut status, go);
        (status, chain, trust)
    }

    pub(super) fn daemon_trust(&mut self, status: &mut Status, go: Go) -> Trust {
        if !self.scenario.daemon_mode.verifies_client() {
            return Trust::Unusable;
        }
        self.trust(Gate::DaemonStarts, Side::Daemon, status, go)
    }

    /// Reads a side's CA file and lowers the gate's status where it is of no use.
    pub(super) fn trust(&mut self, gate: Gate, side: Side, status: &mut Status, go: Go) -> Trust {
        let (file, roots) = match side {
            Side::Daemon => (&self.daemon.ca, &self.scenario.dockerd_roots),
            Side::Client => (&self.client.ca, &self.scenario.docker_roots),
        };
        let bytes = match &file.content {
            Content::Bytes(bytes) => bytes,
            Content::NotNamed => {
                self.report.add(
                    Some(gate),
                    Check::SystemRootsTrusted,
                    place(side, file, FileKind::Ca, None),
                    match side {
                        Side::Daemon => "no CA file is named: a client certificate of any public CA lets its holder in",
                        Side::Client => "no CA file is named: a certificate of any public CA for the host passes",
                    },
                );
                return Trust::System(match roots {
                    SystemRoots::Unknown => None,
                    SystemRoots::Pem(pem) => Some(self.judge.anchors(pem, go)),
                });
            }
            Content::Missing | Content::Unreadable(_) => {
                *status = self.unavailable(gate, side, file, FileKind::Ca);
                return Trust::Unusable;
            }
        };
        let anchors = self.judge.anchors(bytes, go);
        for (offset, reason) in &anchors.skipped {
            self.report.add(Some(gate), Check::CaBlockSkipped, place(side, file, FileKind::Ca, Some(*offset)), *reason);
        }
        if anchors.is_beyond_the_judge {
            let text = "the CA file has more or larger certificates than are looked at here";
            *status = self.report.refuse(gate, Check::BeyondTheJudge, place(side, file, FileKind::Ca, None), text);
            return Trust::Unusable;
        }
        if anchors.is_empty() {
            *status = self.report.refuse(
                gate,
                Check::CaUnusable,
                place(side, file, FileKind::Ca, None),
                "the CA file holds no certificate that Docker can use",
            );
            return Trust::Unusable;
        }
        Trust::File(anchors)
    }

    pub(super) fn unavailable(&mut self, gate: Gate, side: Side, file: &MaterialFile, kind: FileKind) -> Status {
        let text = match &file.content {
            Content::Missing => "the file does not exist".to_owned(),
            Content::Unreadable(reason) => format!("the file cannot be read: {reason}"),
            Content::NotNamed | Content::Bytes(_) => "no file is named".to_owned(),
        };
        self.report.refuse(gate, Check::FileUnavailable, place(side, file, kind, None), text)
    }

    pub(super) fn unusable(&mut self, gate: Gate, side: Side, unusable: Unusable) -> Status {
        let material = match side {
            Side::Daemon => self.daemon,
            Side::Client => self.client,
        };
        let place = place(side, material.file(unusable.file), unusable.file, unusable.offset);
        let status = self.report.refuse(gate, unusable.check, place, unusable.text);
        self.report.mend_last(unusable.remedy);
        status
    }

    pub(super) fn client_loads(&mut self, go: Go) -> (Status, Option<Rc<Chain>>, Trust) {
        const GATE: Gate = Gate::ClientLoads;
        let client = self.client;
        let mut status = Status::Passed;
        if self.scenario.docker == Version::V20_10
            && let Some((kind, file)) = self.empty_client_path()
        {
            status = self.report.refuse(
                GATE,
                Check::ClientPanics,
                place(Side::Client, file, kind, None),
                "docker 20.10 crashes on the empty value of a file flag",
            );
            return (status, None, Trust::Unusable);
        }
        let trust = if client.ca.content == Content::NotNamed && self.client_drops_tls() {
            self.report.add(
                Some(GATE),
                Check::ClientWithoutTls,
                place(Side::Client, &client.ca, FileKind::Ca, None),
                "docker silently speaks plain HTTP",
            );
            Trust::Unusable
        } else {
            self.trust(GATE, Side::Client, &mut status, go)
        };
        if !self.scenario.client_mode.has_certificate() {
            return (status, None, trust);
        }
        for kind in [FileKind::Cert, FileKind::Key] {
            let file = client.file(kind);
            if file.bytes().is_none() && !file.is_passed_over() {
                status = self.unavailable(GATE, Side::Client, file, kind);
            }
        }
        let (Some(cert), Some(key)) = (client.cert.held(), client.key.held()) else {
            for (kind, other) in [(FileKind::Cert, &client.key), (FileKind::Key, &client.cert)] {
                if client.file(kind).is_passed_over() && other.bytes().is_some() {
                    self.report.add(
                        Some(GATE),
                        Check::CertificateIncomplete,
                        place(Side::Client, client.file(kind), kind, None),
                        "the file is missing, so docker silently offers no certificate",
                    );
                }
            }
            return (status, None, trust);
        };
        match self.judge.load_pair(cert, key, FirstKeyBlock::NotEncrypted, go) {
            Ok(chain) => (status, Some(chain), trust),
            Err(unusable) => (self.unusable(GATE, Side::Client, unusable), None, trust),
        }
    }
}
