//! The TLS side: rustls with everything seen and nothing judged but the proof that the peer has its key.

use std::{
    io::{self, Read, Write},
    sync::{Arc, Mutex, PoisonError},
};

use dockseal_docker::version::Version;
use rustls::{
    CertificateError, CipherSuite, ClientConfig, ClientConnection, DigitallySignedStruct, Error as TlsError,
    PeerMisbehaved, ProtocolVersion, SignatureScheme, SupportedProtocolVersion,
    client::{
        ResolvesClientCert, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};

use crate::{Identity, Offer, Target, group, proof, wire::Wire};

/// A version of TLS that Docker speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// 1.2.
    V1_2,
    /// 1.3.
    V1_3,
}

impl std::fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        })
    }
}

/// Whether the peer has proved that the key of its certificate is its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Proof {
    /// The handshake did not come to it.
    #[default]
    NotSeen,
    /// It has.
    Verified,
    /// The signature is not that key's.
    Wrong,
    /// It signed in a way that this program cannot check, for this reason.
    NotChecked(String),
}

/// What became of the client's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificate {
    /// The daemon asked for none.
    #[default]
    NotAskedFor,
    /// It asked, and there was none to send.
    NothingToSend,
    /// It asked for one of issuers that are not this one's; as docker does, it was kept back.
    Withheld,
    /// It asked, and takes no signature that this key can make.
    KeyUnusable,
    /// It asked, and the certificate was sent.
    Sent,
}

/// What a handshake showed, as far as it came.
#[derive(Clone, Debug, Default)]
pub struct Handshake {
    /// Whether it was finished on this side. In TLS 1.3 the daemon may still refuse.
    pub complete: bool,
    /// The version that was agreed on.
    pub version: Option<TlsVersion>,
    /// The cipher suite, by its IANA name.
    pub suite: Option<String>,
    /// The key exchange, by its IANA name.
    pub group: Option<String>,
    /// The certificates that were served, as DER, in their order.
    pub chain: Vec<Vec<u8>>,
    /// Whether the peer proved that it has the key.
    pub proof: Proof,
    /// The names of the authorities whose certificates the daemon asks for, as DER; none when it did not ask.
    pub authorities: Option<Vec<Vec<u8>>>,
    /// What became of the client's certificate.
    pub client_certificate: ClientCertificate,
}

/// One TLS connection.
pub(crate) struct Session {
    connection: ClientConnection,
    observer: Arc<Observer>,
}

impl Session {
    /// A session that has not begun.
    pub(crate) fn new(
        offer: Offer,
        docker: Version,
        target: &Target,
        identity: Option<&Identity>,
    ) -> Result<Self, TlsError> {
        let versions: &[&SupportedProtocolVersion] = match offer {
            Offer::Tls12 => &[&TLS12],
            Offer::Tls13 => &[&TLS13],
            Offer::Plain | Offer::WithCertificate => &[&TLS13, &TLS12],
        };
        let mut provider = ring::default_provider();
        provider.cipher_suites.retain(|suite| is_offered(suite.suite(), docker));
        provider.kx_groups.push(group::SECP521R1);
        let provider = Arc::new(provider);
        let observer = Arc::new(Observer { identity: identity.cloned(), notes: Mutex::default() });
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&observer) as _)
            .with_client_cert_resolver(Arc::clone(&observer) as _);
        config.resumption = Resumption::disabled();
        let connection = ClientConnection::new(Arc::new(config), server_name(target))?;
        Ok(Self { connection, observer })
    }

    /// Goes through the handshake.
    pub(crate) fn shake_hands(&mut self, wire: &mut Wire) -> Result<(), Failed> {
        while self.connection.is_handshaking() {
            self.write(wire).map_err(|failed| self.reason(wire, failed))?;
            if !self.connection.is_handshaking() {
                break;
            }
            self.read(wire)?;
        }
        self.write(wire).map_err(|failed| self.reason(wire, failed))
    }

    /// Why the peer stopped listening: it may have sent an alert before, which is still to be read.
    fn reason(&mut self, wire: &mut Wire, failed: Failed) -> Failed {
        while self.connection.read_tls(wire).is_ok_and(|count| count > 0) {
            if let Err(error) = self.connection.process_new_packets() {
                return Failed::Tls(error);
            }
        }
        failed
    }

    /// Sends a request. When the peer has stopped listening, why is still to be read.
    pub(crate) fn send(&mut self, wire: &mut Wire, bytes: &[u8]) -> Result<(), Failed> {
        self.connection.writer().write_all(bytes)?;
        self.write(wire)
    }

    /// Reads some of the answer; nothing at its end.
    pub(crate) fn receive(&mut self, wire: &mut Wire, buffer: &mut [u8]) -> Result<usize, Failed> {
        loop {
            match self.connection.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Without close_notify: an end all the same.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                other => return Ok(other?),
            }
            self.read(wire)?;
            // Answers to what came: key updates, alerts.
            self.write(wire)?;
        }
    }

    /// Says goodbye, if anybody listens.
    pub(crate) fn close(&mut self, wire: &mut Wire) {
        self.connection.send_close_notify();
        let _ = self.write(wire);
    }

    fn write(&mut self, wire: &mut Wire) -> Result<(), Failed> {
        while self.connection.wants_write() {
            self.connection.write_tls(wire)?;
        }
        Ok(())
    }

    fn read(&mut self, wire: &mut Wire) -> Result<(), Failed> {
        if self.connection.read_tls(wire)? == 0 && self.connection.is_handshaking() {
            return Err(Failed::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        if let Err(error) = self.connection.process_new_packets() {
            // The peer is told.
            let _ = self.write(wire);
            return Err(Failed::Tls(error));
        }
        Ok(())
    }

    /// What has been seen until now.
    pub(crate) fn seen(&self) -> Handshake {
        let mut seen = self.observer.notes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        seen.complete = !self.connection.is_handshaking();
        seen.version = match self.connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => Some(TlsVersion::V1_2),
            Some(ProtocolVersion::TLSv1_3) => Some(TlsVersion::V1_3),
            _ => None,
        };
        // rustls names TLS 1.3's suites TLS13_…, IANA and Go do not.
        let suite = self.connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
        seen.suite = suite.map(|name| name.replacen("TLS13_", "TLS_", 1));
        let group = self.connection.negotiated_key_exchange_group();
        seen.group = group.and_then(|group| group.name().as_str()).map(str::to_owned);
        seen
    }
}

/// Why a session went no further.
#[derive(Debug)]
pub(crate) enum Failed {
    Io(io::Error),
    Tls(TlsError),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Whether docker of this generation offers the suite. rustls has all three of TLS 1.3, which Go does not let one choose
/// among, and of TLS 1.2 those of 29; those before have no ChaCha20 (go-connections tlsconfig/config.go
/// `clientCipherSuites`, v0.5.0 and v0.8.0).
fn is_offered(suite: CipherSuite, docker: Version) -> bool {
    let is_chacha = matches!(
        suite,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
    );
    docker >= Version::V29 || !is_chacha
}

/// The name for SNI, which is sent for names only (Go crypto/tls handshake_client.go `hostnameInSNI`).
fn server_name(target: &Target) -> ServerName<'static> {
    let fallback = std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
    match target.address() {
        Some(address) => ServerName::IpAddress(address.into()),
        // A name that TLS has no form for is dialled without one.
        None => ServerName::try_from(target.host.clone()).unwrap_or(ServerName::IpAddress(fallback.into())),
    }
}

/// rustls asks it everything, and it takes notes.
struct Observer {
    identity: Option<Identity>,
    notes: Mutex<Handshake>,
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observer")
    }
}

impl Observer {
    fn note(&self, write: impl FnOnce(&mut Handshake)) {
        write(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// A wrong proof ends the handshake, as it does in Go; one that cannot be checked is noted.
    fn proven(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let proof = proof::check(message, certificate, signed);
        let is_wrong = proof == Proof::Wrong;
        self.note(|seen| seen.proof = proof);
        if is_wrong { Err(CertificateError::BadSignature.into()) } else { Ok(HandshakeSignatureValid::assertion()) }
    }
}

impl ServerCertVerifier for Observer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let chain = std::iter::once(end_entity).chain(intermediates).map(|der| der.to_vec()).collect();
        self.note(|seen| seen.chain = chain);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.proven(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        // PKCS#1 is for TLS 1.2 only (RFC 8446 section 4.2.3).
        if matches!(
            signed.scheme,
            SignatureScheme::RSA_PKCS1_SHA256 | SignatureScheme::RSA_PKCS1_SHA384 | SignatureScheme::RSA_PKCS1_SHA512
        ) {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        }
        self.proven(message, certificate, signed)
    }

    /// Go's (crypto/tls defaults.go `defaultSupportedSignatureAlgorithms`), in its order.
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::ED25519,
            SignatureScheme::RSA_PSS_SHA384,
            SignatureScheme::RSA_PSS_SHA512,
            SignatureScheme::RSA_PKCS1_SHA256,
            SignatureScheme::RSA_PKCS1_SHA384,
            SignatureScheme::RSA_PKCS1_SHA512,
            SignatureScheme::ECDSA_NISTP384_SHA384,
            SignatureScheme::ECDSA_NISTP521_SHA512,
        ]
    }
}

impl ResolvesClientCert for Observer {
    fn resolve(&self, authorities: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let answer = match &self.identity {
            None => ClientCertificate::NothingToSend,
            Some(identity) if !identity.is_issued_by_one_of(authorities) => ClientCertificate::Withheld,
            Some(identity) if identity.certified.key.choose_scheme(schemes).is_none() => ClientCertificate::KeyUnusable,
            Some(_) => ClientCertificate::Sent,
        };
        self.note(|seen| {
            seen.authorities = Some(authorities.iter().map(|name| name.to_vec()).collect());
            seen.client_certificate = answer;
        });
        let identity = self.identity.as_ref().filter(|_| answer == ClientCertificate::Sent);
        identity.map(|identity| Arc::clone(&identity.certified))
    }

    fn has_certs(&self) -> bool {
        self.identity.is_some()
    }
}
