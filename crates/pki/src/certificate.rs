//! Certificates: the DER and the facts read from it (RFC 5280 section 4).

use std::{fmt, net::IpAddr};

use x509_parser::{
    certificate::X509Certificate,
    extensions::{self, ParsedExtension},
    oid_registry,
    prelude::FromDer,
};

use crate::{
    DistinguishedName, Fingerprint, PublicKey, PublicKeyAlgorithm, SerialNumber, Validity, ecdsa_p521::verify_p521,
    pem, printable,
};

/// A certificate that could be read. What Docker thinks of it is another matter: see `dockseal-verify`.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    /// 1, 2 or 3.
    pub version: u32,
    /// Who it is for.
    pub subject: DistinguishedName,
    /// Who signed it.
    pub issuer: DistinguishedName,
    /// Its number at that issuer.
    pub serial: SerialNumber,
    /// When it counts.
    pub validity: Validity,
    /// The key that it certifies.
    pub public_key: PublicKey,
    /// The signature algorithm, by name where it has one, else as a dotted object identifier.
    pub signature_algorithm: String,
    /// The subject alternative names; none when the extension is absent.
    pub names: Vec<GeneralName>,
    /// The basicConstraints extension.
    pub basic_constraints: Option<BasicConstraints>,
    /// The keyUsage extension: RFC 5280's names of the bits that are set.
    pub key_usage: Option<Vec<&'static str>>,
    /// The extKeyUsage extension.
    pub extended_key_usage: Option<Vec<ExtendedKeyUsage>>,
    /// The subject key identifier.
    pub subject_key_id: Option<Vec<u8>>,
    /// The key identifier of the authority key identifier.
    pub authority_key_id: Option<Vec<u8>>,
    /// Permitted name constraints, as text.
    pub permitted_names: Vec<String>,
    /// Excluded name constraints, as text.
    pub excluded_names: Vec<String>,
    /// Every extension, in order.
    pub extensions: Vec<Extension>,
}

/// One extension, known or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// The dotted object identifier.
    pub oid: String,
    /// Whether who does not know it must refuse the certificate.
    pub critical: bool,
    /// What it says, in DER.
    pub value: Vec<u8>,
}

/// The content of basicConstraints (RFC 5280 section 4.2.1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasicConstraints {
    /// Whether it may sign certificates.
    pub ca: bool,
    /// How many intermediates may follow below it.
    pub path_length: Option<u32>,
    /// Whether the extension is critical.
    pub critical: bool,
}

/// One extended key usage (RFC 5280 section 4.2.1.12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtendedKeyUsage {
    /// id-kp-serverAuth: a daemon.
    ServerAuth,
    /// id-kp-clientAuth: a client.
    ClientAuth,
    /// anyExtendedKeyUsage.
    Any,
    /// Another, by name or dotted object identifier.
    Other(String),
}

impl fmt::Display for ExtendedKeyUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ServerAuth => "serverAuth",
            Self::ClientAuth => "clientAuth",
            Self::Any => "anyExtendedKeyUsage",
            Self::Other(name) => name,
        })
    }
}

/// One subject alternative name, of any kind (RFC 5280 section 4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GeneralName {
    /// dNSName.
    Dns(String),
    /// iPAddress.
    Ip(IpAddr),
    /// rfc822Name.
    Email(String),
    /// uniformResourceIdentifier.
    Uri(String),
    /// directoryName.
    Directory(DistinguishedName),
    /// Anything else, or something unreadable, described.
    Other(String),
}

/// `DNS:name`, `IP:address`, …, with everything unprintable escaped.
impl fmt::Display for GeneralName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => write!(f, "DNS:{}", printable(name)),
            Self::Ip(address) => write!(f, "IP:{address}"),
            Self::Email(address) => write!(f, "email:{}", printable(address)),
            Self::Uri(uri) => write!(f, "URI:{}", printable(uri)),
            Self::Directory(name) => write!(f, "directory name {name}"),
            Self::Other(text) => f.write_str(&printable(text)),
        }
    }
}

/// Why bytes are not a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateError {
    /// Not the DER of a certificate, or an extension in it is broken.
    Malformed,
    /// More bytes follow the certificate.
    TrailingBytes,
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a readable X.509 certificate",
            Self::TrailingBytes => "more bytes follow the certificate",
        })
    }
}

impl std::error::Error for CertificateError {}

impl Certificate {
    /// Reads one DER certificate.
    ///
    /// # Errors
    /// When it is malformed or bytes follow it.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|_| CertificateError::Malformed)?;
        if !rest.is_empty() {
            return Err(CertificateError::TrailingBytes);
        }
        Ok(Self::from_parsed(der, &parsed))
    }

    fn from_parsed(der: &[u8], parsed: &X509Certificate<'_>) -> Self {
        let mut certificate = Self {
            der: der.to_vec(),
            version: parsed.version.0 + 1,
            subject: DistinguishedName::from_der(parsed.subject.as_raw()),
            issuer: DistinguishedName::from_der(parsed.issuer.as_raw()),
            serial: SerialNumber::from_der_content(parsed.raw_serial()),
            validity: Validity {
                not_before: parsed.validity.not_before.to_datetime(),
                not_after: parsed.validity.not_after.to_datetime(),
            },
            public_key: PublicKey::from_parsed(parsed.public_key()),
            signature_algorithm: signature_algorithm_name(&parsed.signature_algorithm.algorithm),
            names: Vec::new(),
            basic_constraints: None,
            key_usage: None,
            extended_key_usage: None,
            subject_key_id: None,
            authority_key_id: None,
            permitted_names: Vec::new(),
            excluded_names: Vec::new(),
            extensions: Vec::new(),
        };
        for extension in parsed.extensions() {
            certificate.extensions.push(Extension {
                oid: extension.oid.to_id_string(),
                critical: extension.critical,
                value: extension.value.to_vec(),
            });
            certificate.take_extension(extension.parsed_extension(), extension.critical);
        }
        certificate
    }

    fn take_extension(&mut self, extension: &ParsedExtension<'_>, critical: bool) {
        match extension {
            ParsedExtension::SubjectAlternativeName(san) => self.names = general_names(&san.general_names),
            ParsedExtension::BasicConstraints(bc) => {
                self.basic_constraints =
                    Some(BasicConstraints { ca: bc.ca, path_length: bc.path_len_constraint, critical });
            }
            ParsedExtension::KeyUsage(usage) => self.key_usage = Some(key_usage_names(usage)),
            ParsedExtension::ExtendedKeyUsage(usage) => self.extended_key_usage = Some(extended_key_usages(usage)),
            ParsedExtension::SubjectKeyIdentifier(id) => self.subject_key_id = Some(id.0.to_vec()),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                self.authority_key_id = id.key_identifier.as_ref().map(|id| id.0.to_vec());
            }
            ParsedExtension::NameConstraints(constraints) => {
                let texts = |subtrees: &Option<Vec<extensions::GeneralSubtree<'_>>>| {
                    subtrees.iter().flatten().map(|subtree| constraint_text(&subtree.base)).collect()
                };
                self.permitted_names = texts(&constraints.permitted_subtrees);
                self.excluded_names = texts(&constraints.excluded_subtrees);
            }
            _ => {}
        }
    }

    /// The DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The SHA-256 of the DER.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.der)
    }

    /// The PEM text.
    pub fn to_pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.der)
    }

    /// Whether subject and issuer are the same name.
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// The subject alternative names that say more than the subject: ours of clients say that once more.
    pub fn further_names(&self) -> impl Iterator<Item = &GeneralName> {
        self.names.iter().filter(|name| !matches!(name, GeneralName::Directory(name) if *name == self.subject))
    }

    /// Whether it says that it may sign certificates.
    pub fn is_ca(&self) -> bool {
        self.basic_constraints.is_some_and(|constraints| constraints.ca)
    }

    /// Whether both are certificates of one authority: the same name with the same key, which is all by which Go finds the
    /// issuer of a leaf (crypto/x509 cert_pool.go findPotentialParents).
    pub fn is_of_same_authority(&self, other: &Self) -> bool {
        self.subject == other.subject && self.public_key.spki() == other.public_key.spki()
    }

    /// Whether its authority key identifier names its issuer's certificate by serial number as well (RFC 5280 section 4.2.1.1).
    /// OpenSSL heeds that (crypto/x509/v3_purp.c X509_check_akid), Go does not.
    pub fn names_serial_of_issuer(&self) -> bool {
        let Ok((_, parsed)) = X509Certificate::from_der(&self.der) else { return false };
        parsed.extensions().iter().any(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(id) => id.authority_cert_serial.is_some(),
            _ => false,
        })
    }

    /// Whether it is signed by the key in `issuer`. Only the signature is looked at.
    pub fn is_signed_by(&self, issuer: &Self) -> bool {
        let (Ok((_, own)), Ok((_, theirs))) =
            (X509Certificate::from_der(&self.der), X509Certificate::from_der(&issuer.der))
        else {
            return false;
        };
        let key = theirs.public_key();
        match issuer.public_key.algorithm() {
            PublicKeyAlgorithm::P521 => {
                verify_p521(own.tbs_certificate.as_ref(), &own.signature_algorithm, key, &own.signature_value.data)
            }
            _ => own.verify_signature(Some(key)),
        }
        .is_ok()
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({}, serial {})", self.subject, self.serial)
    }
}

pub(crate) fn general_names(names: &[extensions::GeneralName<'_>]) -> Vec<GeneralName> {
    names.iter().map(general_name).collect()
}

fn general_name(name: &extensions::GeneralName<'_>) -> GeneralName {
    use extensions::GeneralName as Parsed;
    match name {
        Parsed::DNSName(name) => GeneralName::Dns((*name).to_owned()),
        Parsed::IPAddress(octets) => match (<[u8; 4]>::try_from(*octets), <[u8; 16]>::try_from(*octets)) {
            (Ok(v4), _) => GeneralName::Ip(v4.into()),
            (_, Ok(v6)) => GeneralName::Ip(v6.into()),
            _ => GeneralName::Other(format!("IP address of {} octets", octets.len())),
        },
        Parsed::RFC822Name(address) => GeneralName::Email((*address).to_owned()),
        Parsed::URI(uri) => GeneralName::Uri((*uri).to_owned()),
        Parsed::DirectoryName(name) => GeneralName::Directory(DistinguishedName::from_der(name.as_raw())),
        Parsed::OtherName(oid, _) => GeneralName::Other(format!("other name {oid}")),
        Parsed::RegisteredID(oid) => GeneralName::Other(format!("registered id {oid}")),
        _ => GeneralName::Other("unreadable name".to_owned()),
    }
}

fn constraint_text(base: &extensions::GeneralName<'_>) -> String {
    if let extensions::GeneralName::IPAddress(octets) = base {
        let (address, mask) = octets.split_at(octets.len() / 2);
        let prefix: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
        if let GeneralName::Ip(address) = general_name(&extensions::GeneralName::IPAddress(address)) {
            return format!("IP:{address}/{prefix}");
        }
    }
    match general_name(base) {
        GeneralName::Dns(name) if name.is_empty() => "DNS:(every name)".to_owned(),
        other => other.to_string(),
    }
}

fn key_usage_names(usage: &extensions::KeyUsage) -> Vec<&'static str> {
    [
        (usage.digital_signature(), "digitalSignature"),
        (usage.non_repudiation(), "contentCommitment"),
        (usage.key_encipherment(), "keyEncipherment"),
        (usage.data_encipherment(), "dataEncipherment"),
        (usage.key_agreement(), "keyAgreement"),
        (usage.key_cert_sign(), "keyCertSign"),
        (usage.crl_sign(), "cRLSign"),
        (usage.encipher_only(), "encipherOnly"),
        (usage.decipher_only(), "decipherOnly"),
    ]
    .into_iter()
    .filter_map(|(set, name)| set.then_some(name))
    .collect()
}

fn extended_key_usages(usage: &extensions::ExtendedKeyUsage<'_>) -> Vec<ExtendedKeyUsage> {
    let named = [
        (usage.any, ExtendedKeyUsage::Any),
        (usage.server_auth, ExtendedKeyUsage::ServerAuth),
        (usage.client_auth, ExtendedKeyUsage::ClientAuth),
        (usage.code_signing, ExtendedKeyUsage::Other("codeSigning".to_owned())),
        (usage.email_protection, ExtendedKeyUsage::Other("emailProtection".to_owned())),
        (usage.time_stamping, ExtendedKeyUsage::Other("timeStamping".to_owned())),
        (usage.ocsp_signing, ExtendedKeyUsage::Other("OCSPSigning".to_owned())),
    ];
    let other = usage.other.iter().map(|oid| ExtendedKeyUsage::Other(oid.to_id_string()));
    named.into_iter().filter_map(|(set, usage)| set.then_some(usage)).chain(other).collect()
}

fn signature_algorithm_name(oid: &x509_parser::der_parser::Oid<'_>) -> String {
    let name = match oid {
        o if *o == oid_registry::OID_SIG_ECDSA_WITH_SHA256 => "ecdsa-with-SHA256",
        o if *o == oid_registry::OID_SIG_ECDSA_WITH_SHA384 => "ecdsa-with-SHA384",
        o if *o == oid_registry::OID_SIG_ECDSA_WITH_SHA512 => "ecdsa-with-SHA512",
        o if *o == oid_registry::OID_SIG_ED25519 => "Ed25519",
        o if *o == oid_registry::OID_PKCS1_SHA256WITHRSA => "sha256WithRSAEncryption",
        o if *o == oid_registry::OID_PKCS1_SHA384WITHRSA => "sha384WithRSAEncryption",
        o if *o == oid_registry::OID_PKCS1_SHA512WITHRSA => "sha512WithRSAEncryption",
        o if *o == oid_registry::OID_PKCS1_SHA1WITHRSA => "sha1WithRSAEncryption",
        o if *o == oid_registry::OID_PKCS1_MD5WITHRSAENC => "md5WithRSAEncryption",
        o if *o == oid_registry::OID_PKCS1_RSASSAPSS => "rsassaPss",
        other => return other.to_id_string(),
    };
    name.to_owned()
}
