//! One thing found in a file, with the facts about it that may be shown.

use dockseal_pki::{
    Certificate, ExtendedKeyUsage, Extension, KeyError, KeyForm, PrivateKey, PublicKey, RequestError, Signer, Validity,
    printable,
};
use dockseal_store::ReadError;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use x509_parser::{
    certification_request::X509CertificationRequest,
    der_parser::Oid,
    extensions::ParsedExtension,
    objects::{oid_registry, oid2sn},
    prelude::FromDer,
    revocation_list::CertificateRevocationList,
    time::ASN1Time,
    x509::{ReasonCode, X509Name},
};

use crate::report::rfc3339;

/// One thing.
pub(super) struct Item {
    pub(super) content: Content,
    /// What Docker does with it that one would not expect.
    remark: Option<&'static str>,
}

impl From<Content> for Item {
    fn from(content: Content) -> Self {
        Self { content, remark: None }
    }
}

pub(super) enum Content {
    Certificate(Box<Certificate>),
    PrivateKey(Box<KeyFacts>),
    PublicKey(PublicKey),
    Request(Box<RequestFacts>),
    RevocationList(Box<RevocationFacts>),
}

/// What may be said of a private key.
pub(super) struct KeyFacts {
    form: &'static str,
    /// How it is encrypted, if it is.
    encrypted: Option<String>,
    algorithm: Option<String>,
    pub(super) public: Option<PublicKey>,
}

pub(super) struct RequestFacts {
    subject: String,
    public_key: PublicKey,
    /// Whether its sender holds the key; `None` when the algorithm is not supported.
    signature_fits: Option<bool>,
    names: Vec<String>,
    other_extensions: Vec<String>,
}

pub(super) struct RevocationFacts {
    issuer: String,
    number: Option<String>,
    this_update: OffsetDateTime,
    next_update: Option<OffsetDateTime>,
    signature_algorithm: String,
    /// Serial number, date and reason.
    revoked: Vec<(String, OffsetDateTime, Option<String>)>,
}

/// The most revoked serials that are shown to people; programs get all.
const MOST_REVOKED: usize = 20;

pub(super) fn read_problem(error: &ReadError) -> String {
    match error {
        ReadError::Io { source, .. } => source.to_string(),
        ReadError::NotAFile { kind, .. } => format!("it is a {kind}, not a file"),
        ReadError::TooLarge { limit, .. } => format!("it is larger than the {} MiB that are read", limit >> 20),
        ReadError::UnsafeLink { .. } => error.to_string(),
    }
}

/// A certificate under a PEM label. Docker knows one such label (crypto/x509 cert_pool.go AppendCertsFromPEM, crypto/tls
/// tls.go X509KeyPair).
pub(super) fn certificate(der: &[u8], label: &str) -> Result<Item, String> {
    let certificate = Certificate::from_der(der).map_err(|error| error.to_string())?;
    let skipped = label != "CERTIFICATE";
    let remark = skipped.then_some("docker and dockerd skip it, because its PEM label is not CERTIFICATE");
    Ok(Item { content: Content::Certificate(Box::new(certificate)), remark })
}

pub(super) fn public_key(der: &[u8]) -> Result<Item, String> {
    let key = PublicKey::from_spki(der).ok_or("not a readable public key")?;
    Ok(Content::PublicKey(key).into())
}

/// A request, whoever signed it: what is shown here is not acted upon.
pub(super) fn request(der: &[u8]) -> Result<Item, String> {
    let malformed = || RequestError::Malformed.to_string();
    let (rest, parsed) = X509CertificationRequest::from_der(der).map_err(|_| malformed())?;
    if !rest.is_empty() {
        return Err(malformed());
    }
    let checked = dockseal_pki::CertificateRequest::from_der(der);
    let signature_fits = match &checked {
        Ok(_) => Some(true),
        Err(RequestError::Signature) => Some(false),
        Err(RequestError::Unsupported) => None,
        Err(RequestError::Malformed) => return Err(malformed()),
    };
    let info = &parsed.certification_request_info;
    let public_key = PublicKey::from_spki(info.subject_pki.raw).ok_or_else(malformed)?;
    let (names, other_extensions) = match checked {
        Ok(request) => (request.names.iter().map(ToString::to_string).collect(), request.other_extensions),
        // Unverified wishes are shown as x509-parser writes them.
        Err(_) => {
            let names = |extension: &ParsedExtension<'_>| match extension {
                ParsedExtension::SubjectAlternativeName(san) => {
                    san.general_names.iter().map(|name| printable(&name.to_string())).collect()
                }
                _ => Vec::new(),
            };
            (parsed.requested_extensions().into_iter().flatten().flat_map(names).collect(), Vec::new())
        }
    };
    let subject = name_text(&info.subject);
    let facts = RequestFacts { subject, public_key, signature_fits, names, other_extensions };
    Ok(Content::Request(Box::new(facts)).into())
}

pub(super) fn revocation_list(der: &[u8]) -> Result<Item, String> {
    let malformed = "not a readable certificate revocation list";
    let (rest, parsed) = CertificateRevocationList::from_der(der).map_err(|_| malformed)?;
    if !rest.is_empty() {
        return Err(malformed.to_owned());
    }
    let revoked = parsed.iter_revoked_certificates().map(|entry| {
        let serial = hexadecimal(entry.raw_serial(), "");
        let reason = entry.reason_code().map(|(_, reason)| reason_name(reason));
        (serial, entry.revocation_date.to_datetime(), reason)
    });
    let facts = RevocationFacts {
        issuer: name_text(parsed.issuer()),
        number: parsed.crl_number().map(ToString::to_string),
        this_update: parsed.last_update().to_datetime(),
        next_update: parsed.next_update().as_ref().map(ASN1Time::to_datetime),
        signature_algorithm: algorithm_name(&parsed.signature_algorithm.algorithm),
        revoked: revoked.collect(),
    };
    let remark = Some("docker and dockerd look at no revocation list");
    Ok(Item { content: Content::RevocationList(Box::new(facts)), remark })
}

/// A private key in PEM; `dek_info` is the header of RFC 1423's encryption.
pub(super) fn private_key(text: &[u8], label: &str, dek_info: Option<&str>) -> Result<Item, String> {
    let form = match label {
        "RSA PRIVATE KEY" => "PKCS#1",
        "EC PRIVATE KEY" => "SEC1",
        "ENCRYPTED PRIVATE KEY" => "encrypted PKCS#8",
        _ => "PKCS#8",
    };
    if let Some(dek_info) = dek_info {
        let cipher: String = printable(dek_info.split(',').next().unwrap_or_default()).chars().take(40).collect();
        return Ok(key(form, Some(format!("{cipher}, as OpenSSL did before PKCS#8")), None, None));
    }
    if label == "ENCRYPTED PRIVATE KEY" {
        return Ok(encrypted_der_key());
    }
    key_facts(PrivateKey::from_pem(text, None), form)
}

pub(super) fn private_key_from_der(der: &[u8]) -> Result<Item, String> {
    key_facts(PrivateKey::from_der(der), "DER")
}

pub(super) fn encrypted_der_key() -> Item {
    key("encrypted PKCS#8", Some("PKCS#8".to_owned()), None, None)
}

fn key_facts(read: Result<(PrivateKey, KeyForm), KeyError>, form: &'static str) -> Result<Item, String> {
    match read {
        Ok((private, found)) => {
            let public = PublicKey::from_spki(private.public_key().spki());
            let algorithm = private.public_key().algorithm().to_string();
            let form = match found {
                KeyForm::Pkcs1 => "PKCS#1",
                KeyForm::Sec1 => "SEC1",
                KeyForm::Pkcs8 => "PKCS#8",
                KeyForm::EncryptedPkcs8 => "encrypted PKCS#8",
                KeyForm::LegacyEncrypted => "legacy",
            };
            Ok(key(form, None, Some(algorithm), public))
        }
        // It is there, and what it is can be said.
        Err(KeyError::UnsupportedAlgorithm { algorithm }) => Ok(key(form, None, Some(printable(&algorithm)), None)),
        Err(error) => Err(error.to_string()),
    }
}

fn key(form: &'static str, encrypted: Option<String>, algorithm: Option<String>, public: Option<PublicKey>) -> Item {
    Content::PrivateKey(Box::new(KeyFacts { form, encrypted, algorithm, public })).into()
}

impl Item {
    /// What it is, in a few words.
    pub(super) fn title(&self) -> String {
        match &self.content {
            Content::Certificate(certificate) => format!("certificate: {}", uses(certificate).join(" and ")),
            Content::PrivateKey(key) if key.encrypted.is_some() => "private key, encrypted".to_owned(),
            Content::PrivateKey(_) => "private key".to_owned(),
            Content::PublicKey(_) => "public key".to_owned(),
            Content::Request(_) => "certificate request".to_owned(),
            Content::RevocationList(_) => "certificate revocation list".to_owned(),
        }
    }

    /// Label and value, for people.
    pub(super) fn rows(&self, now: OffsetDateTime) -> Vec<(&'static str, String)> {
        let mut rows = match &self.content {
            Content::Certificate(certificate) => certificate_rows(certificate, now),
            Content::PrivateKey(key) => key_rows(key),
            Content::PublicKey(key) => vec![("key", key.algorithm().to_string()), ("public key", digest(key))],
            Content::Request(request) => request_rows(request),
            Content::RevocationList(list) => revocation_rows(list, now),
        };
        rows.extend(self.remark.map(|remark| ("docker", remark.to_owned())));
        rows
    }

    /// The same for programs.
    pub(super) fn wire(&self, now: OffsetDateTime) -> Value {
        match &self.content {
            Content::Certificate(certificate) => certificate_wire(certificate, now),
            Content::PrivateKey(key) => json!({
                "kind": "private key",
                "form": key.form,
                "encrypted": key.encrypted.is_some(),
                "key": key.algorithm,
                "public_key_sha256": key.public.as_ref().map(digest),
            }),
            Content::PublicKey(key) => json!({
                "kind": "public key", "key": key.algorithm().to_string(), "public_key_sha256": digest(key),
            }),
            Content::Request(request) => json!({
                "kind": "certificate request",
                "subject": request.subject,
                "names": request.names,
                "other_extensions": request.other_extensions,
                "key": request.public_key.algorithm().to_string(),
                "public_key_sha256": digest(&request.public_key),
                "signature_fits": request.signature_fits,
            }),
            Content::RevocationList(list) => {
                let revoked: Vec<Value> = list
                    .revoked
                    .iter()
                    .map(|(serial, date, reason)| json!({ "serial": serial, "date": rfc3339(*date), "reason": reason }))
                    .collect();
                json!({
                    "kind": "certificate revocation list",
                    "issuer": list.issuer,
                    "number": list.number,
                    "this_update": rfc3339(list.this_update),
                    "next_update": list.next_update.map(rfc3339),
                    "signature_algorithm": list.signature_algorithm,
                    "revoked": revoked,
                })
            }
        }
    }
}

/// What Docker would let a certificate be: a CA signs, and a leaf is good for what its extKeyUsage has or, without one,
/// for both (crypto/x509 verify.go Verify). Whether it then works is the judge's business.
fn uses(certificate: &Certificate) -> Vec<&'static str> {
    if certificate.is_ca() {
        return vec!["authority"];
    }
    let allows = |usage| {
        let listed =
            |usages: &Vec<ExtendedKeyUsage>| usages.contains(&usage) || usages.contains(&ExtendedKeyUsage::Any);
        certificate.extended_key_usage.as_ref().is_none_or(listed)
    };
    let mut uses = Vec::new();
    if allows(ExtendedKeyUsage::ServerAuth) {
        uses.push("daemon");
    }
    if allows(ExtendedKeyUsage::ClientAuth) {
        uses.push("client");
    }
    if uses.is_empty() {
        uses.push("neither authority, daemon nor client");
    }
    uses
}

fn certificate_rows(certificate: &Certificate, now: OffsetDateTime) -> Vec<(&'static str, String)> {
    let critical = |oid| if is_critical(certificate, oid) { " (critical)" } else { "" };
    let mut rows = vec![
        ("subject", or_empty(certificate.subject.to_string())),
        ("issuer", or_empty(certificate.issuer.to_string())),
        ("serial", certificate.serial.to_string()),
        ("from", rfc3339(certificate.validity.not_before)),
        ("until", format!("{} ({})", rfc3339(certificate.validity.not_after), remaining(certificate.validity, now))),
        ("key", certificate.public_key.algorithm().to_string()),
        ("signature", certificate.signature_algorithm.clone()),
    ];
    if certificate.version != 3 {
        rows.push(("version", certificate.version.to_string()));
    }
    if !certificate.names.is_empty() {
        let names: Vec<String> = certificate.names.iter().map(ToString::to_string).collect();
        rows.push(("names", format!("{}{}", names.join(", "), critical(SUBJECT_ALT_NAME))));
    }
    if let Some(usage) = &certificate.key_usage {
        rows.push(("key usage", format!("{}{}", or_empty(usage.join(", ")), critical(KEY_USAGE))));
    }
    if let Some(usage) = &certificate.extended_key_usage {
        let usage: Vec<String> = usage.iter().map(ToString::to_string).collect();
        rows.push(("extended usage", format!("{}{}", or_empty(usage.join(", ")), critical(EXTENDED_KEY_USAGE))));
    }
    if let Some(constraints) = certificate.basic_constraints {
        let ca = if constraints.ca { "CA:TRUE" } else { "CA:FALSE" };
        let length = constraints.path_length.map(|length| format!(", path length {length}")).unwrap_or_default();
        rows.push(("constraints", format!("{ca}{length}{}", critical(BASIC_CONSTRAINTS))));
    }
    if !certificate.permitted_names.is_empty() {
        rows.push(("permitted", format!("{}{}", certificate.permitted_names.join(", "), critical(NAME_CONSTRAINTS))));
    }
    if !certificate.excluded_names.is_empty() {
        rows.push(("excluded", format!("{}{}", certificate.excluded_names.join(", "), critical(NAME_CONSTRAINTS))));
    }
    if let Some(id) = &certificate.subject_key_id {
        rows.push(("subject key id", hexadecimal(id, ":")));
    }
    if let Some(id) = &certificate.authority_key_id {
        rows.push(("authority key id", hexadecimal(id, ":")));
    }
    for extension in other_extensions(certificate) {
        let critical = if extension.critical { " (critical)" } else { "" };
        rows.push(("also", format!("{}{critical}", extension.oid)));
    }
    rows.push(("SHA-256", certificate.fingerprint().to_string()));
    rows
}

fn certificate_wire(certificate: &Certificate, now: OffsetDateTime) -> Value {
    let mut wire = Map::new();
    let mut put = |field: &str, value: Value| wire.insert(field.to_owned(), value);
    put("kind", json!("certificate"));
    put("uses", json!(uses(certificate)));
    put("version", json!(certificate.version));
    put("subject", json!(certificate.subject.to_string()));
    put("issuer", json!(certificate.issuer.to_string()));
    put("serial", json!(certificate.serial.to_string()));
    put("not_before", json!(rfc3339(certificate.validity.not_before)));
    put("not_after", json!(rfc3339(certificate.validity.not_after)));
    put("is_valid_now", json!(certificate.validity.contains(now)));
    put("remaining_seconds", json!((certificate.validity.not_after - now).whole_seconds()));
    put("key", json!(certificate.public_key.algorithm().to_string()));
    put("public_key_sha256", json!(digest(&certificate.public_key)));
    put("signature_algorithm", json!(certificate.signature_algorithm));
    put("names", json!(certificate.names.iter().map(ToString::to_string).collect::<Vec<_>>()));
    put("key_usage", json!(certificate.key_usage));
    let usage = certificate.extended_key_usage.as_ref();
    put("extended_key_usage", json!(usage.map(|usage| usage.iter().map(ToString::to_string).collect::<Vec<_>>())));
    let constraints = certificate.basic_constraints;
    put("basic_constraints", json!(constraints.map(|c| json!({ "ca": c.ca, "path_length": c.path_length }))));
    put("permitted_names", json!(certificate.permitted_names));
    put("excluded_names", json!(certificate.excluded_names));
    put("subject_key_id", json!(certificate.subject_key_id.as_ref().map(|id| hexadecimal(id, ":"))));
    put("authority_key_id", json!(certificate.authority_key_id.as_ref().map(|id| hexadecimal(id, ":"))));
    let extension = |extension: &Extension| json!({ "oid": extension.oid, "critical": extension.critical });
    put("extensions", json!(certificate.extensions.iter().map(extension).collect::<Vec<_>>()));
    put("unknown_extensions", json!(other_extensions(certificate).map(extension).collect::<Vec<_>>()));
    put("fingerprint_sha256", json!(certificate.fingerprint().to_string()));
    Value::Object(wire)
}

fn key_rows(key: &KeyFacts) -> Vec<(&'static str, String)> {
    let mut rows = vec![("form", key.form.to_owned())];
    if let Some(how) = &key.encrypted {
        rows.push(("encrypted", format!("yes ({how}); docker and dockerd cannot use it")));
    }
    if let Some(algorithm) = &key.algorithm {
        rows.push(("key", algorithm.clone()));
    }
    if let Some(public) = &key.public {
        rows.push(("public key", digest(public)));
    }
    rows
}

fn request_rows(request: &RequestFacts) -> Vec<(&'static str, String)> {
    let mut rows =
        vec![("subject", or_empty(request.subject.clone())), ("key", request.public_key.algorithm().to_string())];
    if !request.names.is_empty() {
        rows.push(("names", request.names.join(", ")));
    }
    if !request.other_extensions.is_empty() {
        rows.push(("also asks for", request.other_extensions.join(", ")));
    }
    let signature = match request.signature_fits {
        Some(true) => "its sender holds the key",
        Some(false) => "WRONG: its sender has not shown to hold the key",
        None => "of a kind that is not checked here",
    };
    rows.push(("signature", signature.to_owned()));
    rows.push(("public key", digest(&request.public_key)));
    rows
}

fn revocation_rows(list: &RevocationFacts, now: OffsetDateTime) -> Vec<(&'static str, String)> {
    let mut rows = vec![("issuer", or_empty(list.issuer.clone()))];
    rows.extend(list.number.iter().map(|number| ("number", number.clone())));
    rows.push(("from", rfc3339(list.this_update)));
    rows.extend(list.next_update.map(|next| {
        let validity = Validity { not_before: list.this_update, not_after: next };
        ("until", format!("{} ({})", rfc3339(next), remaining(validity, now)))
    }));
    rows.push(("signature", list.signature_algorithm.clone()));
    rows.push(("revoked", list.revoked.len().to_string()));
    rows.extend(list.revoked.iter().take(MOST_REVOKED).map(|(serial, date, reason)| {
        let reason = reason.as_ref().map(|reason| format!(", {reason}")).unwrap_or_default();
        ("", format!("{serial} at {}{reason}", rfc3339(*date)))
    }));
    if list.revoked.len() > MOST_REVOKED {
        rows.push(("", format!("and {} more", list.revoked.len() - MOST_REVOKED)));
    }
    rows
}

const SUBJECT_ALT_NAME: &str = "2.5.29.17";
const KEY_USAGE: &str = "2.5.29.15";
const EXTENDED_KEY_USAGE: &str = "2.5.29.37";
const BASIC_CONSTRAINTS: &str = "2.5.29.19";
const NAME_CONSTRAINTS: &str = "2.5.29.30";
const SUBJECT_KEY_ID: &str = "2.5.29.14";
const AUTHORITY_KEY_ID: &str = "2.5.29.35";

fn is_critical(certificate: &Certificate, oid: &str) -> bool {
    certificate.extensions.iter().any(|extension| extension.oid == oid && extension.critical)
}

/// The extensions that have no line of their own.
fn other_extensions(certificate: &Certificate) -> impl Iterator<Item = &Extension> {
    const SHOWN: [&str; 7] = [
        SUBJECT_ALT_NAME,
        KEY_USAGE,
        EXTENDED_KEY_USAGE,
        BASIC_CONSTRAINTS,
        NAME_CONSTRAINTS,
        SUBJECT_KEY_ID,
        AUTHORITY_KEY_ID,
    ];
    certificate.extensions.iter().filter(|extension| !SHOWN.contains(&extension.oid.as_str()))
}

fn digest(key: &PublicKey) -> String {
    key.fingerprint().to_string()
}

/// How far away the end is.
fn remaining(validity: Validity, now: OffsetDateTime) -> String {
    if now < validity.not_before {
        return format!("begins in {}", duration(validity.not_before - now));
    }
    if now > validity.not_after {
        return format!("EXPIRED {} ago", duration(now - validity.not_after));
    }
    format!("{} left", duration(validity.not_after - now))
}

fn duration(duration: time::Duration) -> String {
    let (count, unit) = match (duration.whole_days(), duration.whole_hours(), duration.whole_minutes()) {
        (days @ 2.., ..) => (days, "days"),
        (_, hours @ 2.., _) => (hours, "hours"),
        (_, _, minutes @ 2..) => (minutes, "minutes"),
        _ => (duration.whole_seconds(), "seconds"),
    };
    format!("{count} {unit}")
}

fn or_empty(text: String) -> String {
    if text.is_empty() { "(empty)".to_owned() } else { text }
}

fn name_text(name: &X509Name<'_>) -> String {
    printable(&name.to_string())
}

fn algorithm_name(oid: &Oid<'_>) -> String {
    oid2sn(oid, oid_registry()).map_or_else(|_| oid.to_id_string(), str::to_owned)
}

/// RFC 5280 section 5.3.1.
fn reason_name(reason: ReasonCode) -> String {
    let name = match reason.0 {
        0 => "unspecified",
        1 => "keyCompromise",
        2 => "cACompromise",
        3 => "affiliationChanged",
        4 => "superseded",
        5 => "cessationOfOperation",
        6 => "certificateHold",
        8 => "removeFromCRL",
        9 => "privilegeWithdrawn",
        10 => "aACompromise",
        other => return format!("reason {other}"),
    };
    name.to_owned()
}

fn hexadecimal(octets: &[u8], separator: &str) -> String {
    let octets = match octets {
        // A serial's sign octet; openssl does not show it either.
        [0, rest @ ..] if separator.is_empty() && !rest.is_empty() => rest,
        all => all,
    };
    octets.iter().map(|octet| format!("{octet:02X}")).collect::<Vec<_>>().join(separator)
}
