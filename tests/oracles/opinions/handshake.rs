//! A mutual handshake between two rustls endpoints in memory, with its own path validation (webpki) and ring.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection};
use time::OffsetDateTime;

use super::Subject;

/// The clock stands still.
#[derive(Debug)]
struct Standing(OffsetDateTime);

impl TimeProvider for Standing {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.unix_timestamp().try_into().ok()?)))
    }
}

/// Whether both sides come through, and who refuses why.
pub(super) fn shake(subject: &Subject) -> Result<(), String> {
    let provider = Arc::new(ring::default_provider());
    let server = server(subject, &provider).map_err(|why| format!("daemon's files: {why}"))?;
    let client = client(subject, &provider).map_err(|why| format!("client's files: {why}"))?;
    pump(client.into(), server.into())
}

fn server(subject: &Subject, provider: &Arc<CryptoProvider>) -> Result<ServerConnection, String> {
    let roots = roots(subject, "daemon")?;
    // rustls has an assertion where others have an error.
    if roots.subjects().iter().map(|name| name.as_ref().len() + 2).sum::<usize>() > 0xffff {
        return Err("the names of the CAs do not fit into a request".to_owned());
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| error.to_string())?;
    let (chain, key) = pair(subject, "daemon")?;
    let config = ServerConfig::builder_with_details(Arc::clone(provider), Arc::new(Standing(subject.at)))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| error.to_string())?;
    ServerConnection::new(Arc::new(config)).map_err(|error| error.to_string())
}

fn client(subject: &Subject, provider: &Arc<CryptoProvider>) -> Result<ClientConnection, String> {
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots(subject, "client")?), Arc::clone(provider))
            .build()
            .map_err(|error| error.to_string())?;
    let (chain, key) = pair(subject, "client")?;
    let config = ClientConfig::builder_with_details(Arc::clone(provider), Arc::new(Standing(subject.at)))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_webpki_verifier(verifier)
        .with_client_auth_cert(chain, key)
        .map_err(|error| error.to_string())?;
    let name = ServerName::try_from(subject.host.clone()).map_err(|error| format!("host: {error}"))?;
    ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())
}

fn roots(subject: &Subject, side: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    // As Docker does: what does not parse is passed over.
    let _ = roots.add_parsable_certificates(certificates(subject, side, "ca.pem")?);
    Ok(roots)
}

fn certificates(subject: &Subject, side: &str, file: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(&subject.file(side, file))
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{file}: {error}"))
}

type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn pair(subject: &Subject, side: &str) -> Result<Pair, String> {
    let key =
        PrivateKeyDer::from_pem_slice(&subject.file(side, "key.pem")).map_err(|error| format!("key.pem: {error}"))?;
    Ok((certificates(subject, side, "cert.pem")?, key))
}

/// Carries the bytes until both have finished, or one refuses.
fn pump(mut client: Connection, mut server: Connection) -> Result<(), String> {
    for _ in 0..20 {
        carry(&mut client, &mut server, "daemon")?;
        carry(&mut server, &mut client, "client")?;
        let still = [&client, &server].iter().any(|side| side.is_handshaking() || side.wants_write());
        if !still {
            return Ok(());
        }
    }
    Err("the handshake does not end".to_owned())
}

fn carry(from: &mut Connection, to: &mut Connection, receiver: &str) -> Result<(), String> {
    let mut bytes = Vec::new();
    while from.wants_write() {
        let _ = from.write_tls(&mut bytes).map_err(|error| error.to_string())?;
    }
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let _ = to.read_tls(&mut rest).map_err(|error| error.to_string())?;
        let _ = to.process_new_packets().map_err(|error| format!("{receiver}: {error}"))?;
    }
    Ok(())
}
