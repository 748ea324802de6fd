//! Where other TLS stacks and Docker are known to disagree, by cause.

use dockseal_verify::Check;

/// A verifier that is not Docker's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stack {
    /// rustls 0.23 with webpki and ring: the whole mutual handshake.
    Rustls,
    /// `openssl verify`, of one side's chain.
    OpenSsl,
    /// `openssl verify -x509_strict`, of one side's chain.
    OpenSslStrict,
    /// Python's ssl with the flags of 3.13: the whole mutual handshake.
    Python,
    /// Java's PKIX trust manager, of one side's chain, hosts aside.
    Java,
}

use Stack::{Java, OpenSsl, OpenSslStrict, Python, Rustls};

impl Stack {
    /// Whether the judge's advice means this stack by these words.
    pub(super) fn is_meant_by(self, words: &str) -> bool {
        match words {
            "OpenSSL" => OPENSSLS.contains(&self),
            // Python has the flags of 3.13 here.
            "OpenSSL (without partial_chain)" => matches!(self, OpenSsl | OpenSslStrict),
            "strict OpenSSL (Python since 3.13)" => matches!(self, OpenSslStrict | Python),
            "Python (security level 2)" => self == Python,
            "rustls (with ring)" => self == Rustls,
            "Java" => self == Java,
            unknown => panic!("{unknown}: a stack that nobody asks"),
        }
    }
}

/// Who says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refuses {
    /// Docker accepts. The judge's advice says so, if the stack's own words are among `says`.
    Other { advised: bool, says: &'static [&'static str] },
    /// The other stack accepts; Docker's reason is one of these.
    Docker(&'static [Check]),
}

/// One cause of disagreements.
pub(super) struct Class {
    pub(super) id: &'static str,
    pub(super) refuses: Refuses,
    pub(super) stacks: &'static [Stack],
    /// Parts of the scenarios' names; none stands for every scenario.
    pub(super) scenarios: &'static [&'static str],
    pub(super) reason: &'static str,
}

impl Class {
    /// Whether this is the cause.
    pub(super) fn explains(&self, scenario: &str, stack: Stack, said: Option<&str>, docker: &[Check]) -> bool {
        let reason = match (self.refuses, said) {
            (Refuses::Other { says, .. }, Some(said)) => says.iter().any(|words| said.contains(words)),
            (Refuses::Docker(checks), None) => docker.iter().any(|check| checks.contains(check)),
            _ => false,
        };
        let named = self.scenarios.is_empty() || self.scenarios.iter().any(|part| scenario.contains(part));
        reason && named && self.stacks.contains(&stack)
    }
}

const OPENSSLS: &[Stack] = &[OpenSsl, OpenSslStrict, Python];

const fn advised(says: &'static [&'static str]) -> Refuses {
    Refuses::Other { advised: true, says }
}

const fn not_advised(says: &'static [&'static str]) -> Refuses {
    Refuses::Other { advised: false, says }
}

/// Every class; the first that fits explains.
pub(super) const CLASSES: &[Class] = &[
    // ---- files: what is in them is good, and written as only some read it ---------------------------------------
    Class {
        id: "pem-that-others-do-not-read",
        refuses: not_advised(&[""]),
        stacks: &[Rustls, OpenSsl, OpenSslStrict, Python, Java],
        scenarios: &["file-", "recorded-bundle-"],
        reason: "PEM headers, odd labels, blank lines and blocks that do not parse: Go passes over what it cannot use",
    },
    Class {
        id: "pem-that-docker-does-not-read",
        refuses: Refuses::Docker(&[
            Check::CaUnusable,
            Check::CertificateMissing,
            Check::CertificateUnparsable,
            Check::ChainUnreadable,
            Check::KeyMissing,
            Check::KeyMismatch,
            Check::UnknownAuthority,
            Check::HostMismatch,
        ]),
        stacks: &[Rustls, OpenSsl, OpenSslStrict, Python, Java],
        scenarios: &["file-", "recorded-bundle-"],
        reason: "byte order marks, CR alone, labels such as TRUSTED CERTIFICATE, bytes after the DER, bare DER",
    },
    // ---- parsing -------------------------------------------------------------------------------------------------
    Class {
        id: "der-that-docker-does-not-read",
        refuses: Refuses::Docker(&[Check::CaUnusable, Check::CertificateUnparsable, Check::ChainUnreadable]),
        stacks: &[Rustls, OpenSsl, OpenSslStrict, Python, Java],
        scenarios: &[],
        reason: "Go parses all of a certificate, extensions and keys included, and nothing that is not as written",
    },
    Class {
        id: "ca-that-docker-does-not-read",
        refuses: Refuses::Docker(&[Check::UnknownAuthority, Check::ClientCertificateWithheld]),
        stacks: &[Rustls, OpenSsl, OpenSslStrict, Python, Java],
        scenarios: &[
            "ext-root-unknown-twice",
            "ext-middle-unknown-twice",
            "ku-middle-garbage",
            "serial-negative-root",
            "nc-odd-mask",
            "nc-empty",
            "nc-garbage",
            "nc-of-mailbox-dot",
            "nc-of-mailbox-trailing-dot",
        ],
        reason: "the same in a CA: Go skips it, so that the issuer is unknown",
    },
    Class {
        id: "der-that-others-do-not-read",
        refuses: not_advised(&["BadEncoding", "STORE routines", "PEM lib", "AVA, extra bytes", "exponent is smaller"]),
        stacks: &[Rustls, OpenSsl, OpenSslStrict, Python, Java],
        scenarios: &[
            "der-extensions-twice",
            "der-trailing-in-the-tbs",
            "der-unique-ids",
            "subject-trailing",
            "ext-leaf-bc-trailing",
            "ext-leaf-eku-trailing",
            "superfluous-key-rsa-exponent-1",
        ],
        reason: "bytes where Go does not look",
    },
    Class {
        id: "times",
        refuses: advised(&["BadEncoding", "format error in certificate's notBefore"]),
        stacks: &[Rustls, OpenSsl, OpenSslStrict, Python],
        scenarios: &["time-", "validity-from-1950"],
        reason: "UTCTime without seconds or with an offset; years before 1970 with webpki",
    },
    Class {
        id: "constraint-that-java-does-not-read",
        refuses: not_advised(&["RFC822Name may not end with @"]),
        stacks: &[Java],
        scenarios: &["nc-of-mailbox-at-the-end"],
        reason: "a constraint of mailboxes that ends with @: Go takes it, and no certificate for Docker has a mailbox",
    },
    Class {
        id: "anchor-of-megabytes",
        refuses: not_advised(&["no root trust anchors were provided"]),
        stacks: &[Rustls],
        scenarios: &["anchor-of-two-mebibytes"],
        reason: "webpki reads no certificate of this size",
    },
    Class {
        id: "ml-dsa-in-a-leaf",
        refuses: Refuses::Docker(&[Check::KeyKindUnsupported]),
        stacks: &[Java],
        scenarios: &["mldsa", "ml-dsa"],
        reason: "a docker before Go 1.27 does not load such a key; a trust manager looks at no leaf's key",
    },
    // ---- what the leaf may be used for ------------------------------------------------------------------------------
    Class {
        id: "empty-or-any-extended-key-usage",
        refuses: advised(&[
            "unsuitable certificate purpose",
            "EmptyEkuExtension",
            "does not allow extended key usage",
            "Extended key usage does not permit",
        ]),
        stacks: &[Rustls, OpenSsl, OpenSslStrict, Python, Java],
        scenarios: &["eku-"],
        reason: "to Go both mean every purpose",
    },
    Class {
        id: "extended-key-usage-of-the-root",
        refuses: Refuses::Docker(&[Check::UsageIncompatible]),
        stacks: &[Rustls, Java],
        scenarios: &["eku-root-", "eku-server-root-other"],
        reason: "webpki and Java look at a root's name and key alone",
    },
    Class {
        id: "extended-key-usage-above-the-leaf",
        refuses: Refuses::Docker(&[Check::UsageIncompatible]),
        stacks: &[Java],
        scenarios: &["eku-middle-"],
        reason: "Java looks at the leaf's",
    },
    Class {
        id: "server-gated-cryptography",
        refuses: Refuses::Docker(&[Check::UsageIncompatible]),
        stacks: &[OpenSsl, OpenSslStrict, Python, Java],
        scenarios: &["eku-leaf-netscape", "eku-leaf-microsoft"],
        reason: "they count for a server with OpenSSL and Java",
    },
    Class {
        id: "leaf-key-usage",
        refuses: advised(&[
            "unsuitable certificate purpose",
            "KeyUsage does not allow digital signatures",
            "incorrect KeyUsage extension bits",
            "Key usage keyCertSign invalid for non-CA",
            "INVALID_CERTIFICATE",
            "unable to get local issuer certificate",
        ]),
        stacks: &[OpenSsl, OpenSslStrict, Python, Java],
        scenarios: &[
            "ku-leaf-",
            "ext-leaf-ku-",
            "self-signed-root-as-leaf",
            "chain-with-the-leaf-last",
            "chain-client-int-first",
        ],
        reason: "Go does not look at a leaf's keyUsage",
    },
    Class {
        id: "netscape-certificate-type",
        refuses: not_advised(&["unsuitable certificate purpose"]),
        stacks: &[OpenSsl, OpenSslStrict],
        scenarios: &["netscape-cert-type"],
        reason: "only OpenSSL still knows it",
    },
    Class {
        id: "ca-as-leaf",
        refuses: advised(&["CaUsedAsEndEntity"]),
        stacks: &[Rustls],
        scenarios: &[],
        reason: "webpki takes no leaf with CA:TRUE",
    },
    // ---- CAs -----------------------------------------------------------------------------------------------------
    Class {
        id: "ca-key-usage-of-zero",
        refuses: advised(&["unable to get local issuer certificate", "KeyUsage extension"]),
        stacks: &[OpenSsl, OpenSslStrict, Python, Java],
        scenarios: &["ku-root-zero", "ku-middle-zero"],
        reason: "to Go a keyUsage of zero is none",
    },
    Class {
        id: "ca-without-key-usage",
        refuses: advised(&["CA cert does not include key usage extension"]),
        stacks: &[OpenSslStrict, Python],
        scenarios: &[],
        reason: "X509_V_FLAG_X509_STRICT; so are the CAs of Docker's documentation",
    },
    Class {
        id: "basic-constraints-not-critical",
        refuses: advised(&["Basic Constraints of CA cert not marked critical"]),
        stacks: &[OpenSslStrict, Python],
        scenarios: &[],
        reason: "X509_V_FLAG_X509_STRICT",
    },
    Class {
        id: "key-identifiers-missing",
        refuses: advised(&["Missing Authority Key Identifier", "Missing Subject Key Identifier"]),
        stacks: &[OpenSslStrict, Python],
        scenarios: &[],
        reason: "X509_V_FLAG_X509_STRICT",
    },
    Class {
        id: "key-identifier-of-another",
        refuses: advised(&[
            "unable to get local issuer certificate",
            "certificate signature failure",
            "Path does not chain with any of the trust anchors",
            "Signature does not match",
        ]),
        stacks: &[OpenSsl, OpenSslStrict, Python, Java],
        scenarios: &["aki-"],
        reason: "to Go key identifiers only order candidates",
    },
    Class {
        id: "empty-names",
        refuses: advised(&["name empty", "Subject empty", "Empty issuer DN", "subject field is empty"]),
        stacks: &[OpenSslStrict, Python, Java],
        scenarios: &[],
        reason: "Go looks at no subject; the others ask for one, or for a critical subjectAltName",
    },
    Class {
        id: "old-versions",
        refuses: advised(&[
            "UnsupportedCertVersion",
            "requires at least X509v3",
            "invalid CA certificate",
            "no more data allowed for version 1",
            "Extensions not allowed in v2",
        ]),
        stacks: &[Rustls, OpenSslStrict, Python, Java],
        scenarios: &["version-"],
        reason: "Go takes roots of version 1 and clients of any, and does not look for extensions there",
    },
    Class {
        id: "names-in-version-1",
        refuses: Refuses::Docker(&[Check::HostMismatch]),
        stacks: &[OpenSsl],
        scenarios: &["version-"],
        reason: "OpenSSL looks for extensions whatever the version",
    },
    Class {
        id: "intermediate-as-anchor",
        refuses: advised(&["unable to get issuer certificate"]),
        stacks: &[OpenSsl, OpenSslStrict],
        scenarios: &["cross-signed-as-anchor", "middle-as-only-anchor", "only-int-in-ca-file"],
        reason: "OpenSSL wants a self-signed root unless told -partial_chain",
    },
    Class {
        id: "leaf-as-anchor",
        refuses: advised(&["unable to get local issuer certificate", "UnknownIssuer"]),
        stacks: &[Rustls, OpenSsl, OpenSslStrict],
        scenarios: &["pinned-leaf"],
        reason: "Go trusts a leaf that is in ca.pem whoever issued it",
    },
    Class {
        id: "leaf-as-anchor-with-a-broken-signature",
        refuses: not_advised(&["BadSignature"]),
        stacks: &[Rustls],
        scenarios: &["self-signed-broken-signature"],
        reason: "and whatever its signature",
    },
    Class {
        id: "leaf-as-anchor-in-any-names",
        refuses: Refuses::Docker(&[Check::ClientCertificateWithheld]),
        stacks: &[Python],
        scenarios: &["pinned-leaf"],
        reason: "Go's client sends a certificate only of an issuer that the daemon names, OpenSSL's sends it always",
    },
    Class {
        id: "leaf-as-anchor-whatever-its-usage",
        refuses: Refuses::Docker(&[Check::UsageIncompatible, Check::Expired]),
        stacks: &[Java],
        scenarios: &["self-signed-"],
        reason: "Java looks no further once a certificate is trusted",
    },
    Class {
        id: "roots-that-may-not-sign",
        refuses: Refuses::Docker(&[Check::UnknownAuthority]),
        stacks: &[Rustls],
        scenarios: &["ku-root-", "ku-middle-", "bc-root-", "root-v3-no-exts", "server-root-ku-no-certsign"],
        reason: "webpki looks at no keyUsage, and at a root's name, key and constraints alone",
    },
    Class {
        id: "root-without-basic-constraints",
        refuses: Refuses::Docker(&[Check::UnknownAuthority]),
        stacks: &[OpenSsl],
        scenarios: &["bc-root-absent"],
        reason: "keyCertSign is enough for OpenSSL",
    },
    Class {
        id: "dates-of-the-root",
        refuses: Refuses::Docker(&[Check::Expired, Check::NotYetValid]),
        stacks: &[Rustls, Java],
        scenarios: &["expired-root", "not-yet-valid-root", "inverted-root", "time-ca-not-yet"],
        reason: "webpki and Java do not look at an anchor's dates",
    },
    Class {
        id: "critical-extensions-of-the-root",
        refuses: Refuses::Docker(&[Check::CriticalExtension]),
        stacks: &[Rustls, Java],
        scenarios: &["ext-root-"],
        reason: "nor at its extensions",
    },
    Class {
        id: "path-length",
        refuses: Refuses::Docker(&[Check::PathTooLong]),
        stacks: &[Rustls, OpenSsl, OpenSslStrict, Python, Java],
        scenarios: &["path-", "pathlen"],
        reason: "webpki and Java know no length in an anchor; self-issued CAs do not count, and do with Go",
    },
    Class {
        id: "long-paths",
        refuses: advised(&["MaximumPathDepthExceeded"]),
        stacks: &[Rustls],
        scenarios: &[],
        reason: "six intermediates are webpki's most",
    },
    Class {
        id: "namesakes",
        refuses: not_advised(&["MaximumSignatureChecksExceeded"]),
        stacks: &[Rustls],
        scenarios: &["anchors-of-one-name-over-the-budget"],
        reason: "webpki ends the search before Go does where key identifiers would have told Go",
    },
    Class {
        id: "spelling-of-the-issuer",
        refuses: Refuses::Docker(&[Check::UnknownAuthority, Check::ClientCertificateWithheld]),
        stacks: &[OpenSsl, OpenSslStrict, Python, Java],
        scenarios: &["of-the-issuer-differs"],
        reason: "Go compares names byte for byte, the others by RFC 5280",
    },
    Class {
        id: "policies",
        refuses: Refuses::Docker(&[Check::PolicyMissing]),
        stacks: OPENSSLS,
        scenarios: &[],
        reason: "OpenSSL looks at policies when told to",
    },
    Class {
        id: "critical-extensions",
        refuses: advised(&["UnsupportedCriticalExtension", "unrecognized critical extension"]),
        stacks: &[Rustls, Java],
        scenarios: &[],
        reason: "webpki knows no policies, Java no distribution points where it does not look for revocation",
    },
    // ---- keys and signatures ---------------------------------------------------------------------------------------
    Class {
        id: "keys-of-others",
        refuses: advised(&[
            "failed to parse private key",
            "BadSignature",
            "UnsupportedSignatureAlgorithm",
            "key too weak",
            "KEY_TOO_SMALL",
            "Curve not supported",
            "keysize limits",
        ]),
        stacks: &[Rustls, Python, Java],
        scenarios: &[
            "rsa512",
            "rsa768",
            "rsa1024",
            "p224",
            "p521",
            "ecdsa-algorithm-with-null",
            "ecdsa-with-null",
            "signed-sha512",
        ],
        reason: "ring has no P-224, no P-521, no small RSA, ECDSA with one hash for a curve; Python asks for 112 bits",
    },
    Class {
        id: "unused-keys",
        refuses: not_advised(&["CA_KEY_TOO_SMALL"]),
        stacks: &[Python],
        scenarios: &["superfluous-key-"],
        reason: "Python's security level counts for certificates that are sent for nothing",
    },
    Class {
        id: "old-hashes",
        refuses: Refuses::Docker(&[Check::UnknownAuthority]),
        stacks: &[OpenSsl, OpenSslStrict, Python, Java],
        scenarios: &["sha1-", "sha224-", "md5-", "rsa-md5", "der-signature-with-unused-bits"],
        reason: "SHA-1, MD5 and SHA-224 are a matter of the security level there",
    },
    Class {
        id: "kinds-of-keys",
        refuses: Refuses::Docker(&[Check::KeyKindUnsupported, Check::KeyUnparsable]),
        stacks: &[OpenSsl, OpenSslStrict, Python, Java],
        scenarios: &["ed448", "algorithm-pss", "rsapss-spki"],
        reason: "Go has no Ed448, and no keys that are for PSS alone",
    },
    Class {
        id: "large-rsa-keys",
        refuses: Refuses::Docker(&[Check::RsaTooLarge]),
        stacks: &[Rustls, OpenSsl, OpenSslStrict, Python, Java],
        scenarios: &[],
        reason: "Go takes no RSA key of more than 8192 bits, needed or not",
    },
    // ---- hosts ---------------------------------------------------------------------------------------------------
    Class {
        id: "spelling-of-the-host",
        refuses: not_advised(&["ostname mismatch", "IP address mismatch", "not valid for name", "invalid dns name"]),
        stacks: &[Rustls, OpenSsl, OpenSslStrict, Python],
        scenarios: &["names-", "san-mapped-by-ipv4", "san-trailing-dot"],
        reason: "final dots, mapped addresses, IDNA, wildcards of a suffix: what is dialled, not what is issued",
    },
    Class {
        id: "names-of-the-host",
        refuses: Refuses::Docker(&[Check::HostMismatch]),
        stacks: OPENSSLS,
        scenarios: &["common-name-only", "cn-only", "wildcard-within-a-label"],
        reason: "the common name where there is no other, and d*.example",
    },
    // ---- name constraints ------------------------------------------------------------------------------------------
    Class {
        id: "name-constraints-that-docker-passes-over",
        refuses: not_advised(&["NameConstraintViolation", "subtree violation", "minimum and maximum", "BadEncoding"]),
        stacks: &[Rustls, OpenSsl, OpenSslStrict, Python],
        scenarios: &["nc-"],
        reason: "directory names, minimum, common names; webpki has none for mail and URIs; URIs mean one host",
    },
    Class {
        id: "name-constraints-that-docker-does-not-know",
        refuses: Refuses::Docker(&[Check::CriticalExtension]),
        stacks: &[Rustls, OpenSsl, OpenSslStrict, Python, Java],
        scenarios: &["nc-directory", "nc-registered-id"],
        reason: "others compare directory names; registered identifiers constrain nobody's",
    },
    Class {
        id: "name-constraints-of-the-root",
        refuses: Refuses::Docker(&[Check::NameConstrained]),
        stacks: &[Java],
        scenarios: &["nc-"],
        reason: "Java looks at those of intermediates",
    },
    Class {
        id: "wildcards-under-exclusion",
        refuses: Refuses::Docker(&[Check::NameConstrained]),
        stacks: &[OpenSsl, OpenSslStrict],
        scenarios: &["nc-wildcard-san-excluded-child"],
        reason: "Go 1.26 alone sees that the wildcard may mean the excluded name",
    },
    Class {
        id: "addresses-beyond-the-mask",
        refuses: Refuses::Docker(&[Check::NameConstrained]),
        stacks: &[Rustls, OpenSsl, OpenSslStrict, Python],
        scenarios: &["nc-unmasked-", "nc-mapped-wide"],
        reason: "Go 1.26 searches ranges by their addresses as written, bits beyond the mask and IPv4 in IPv6 included",
    },
    Class {
        id: "mailbox-with-two-ats",
        refuses: Refuses::Docker(&[Check::NameConstrained]),
        stacks: &[OpenSsl, OpenSslStrict, Python],
        scenarios: &["nc-mailbox-two-ats"],
        reason: "Go reads no such mailbox; OpenSSL takes what follows the last @",
    },
    // ---- sizes -----------------------------------------------------------------------------------------------------
    Class {
        id: "long-messages",
        refuses: not_advised(&["HandshakePayloadTooLarge", "EXCESSIVE_MESSAGE_SIZE"]),
        stacks: &[Rustls, Python],
        scenarios: &["kilobytes"],
        reason: "rustls reads 64 KiB, OpenSSL 100 KiB, Go 256 KiB",
    },
    Class {
        id: "long-messages-of-docker",
        refuses: Refuses::Docker(&[Check::MessageTooLarge]),
        stacks: &[OpenSsl, OpenSslStrict, Python, Java],
        scenarios: &["anchors-more-than-fit-in-a-request", "kilobytes"],
        reason: "Python's server lists no names of CAs, and a chain alone is no message",
    },
];
