//! The catalogue of checks.

use crate::verdict::Severity;

macro_rules! checks {
    ($($(#[$meta:meta])* $name:ident, $id:literal, $severity:ident, $means:literal, $mend:literal, $source:literal;)*) => {
        /// One rule of Docker's, or one piece of advice.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Check {
            $(#[doc = $means] $name,)*
        }

        impl Check {
            /// Every check, in the order of the catalogue.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The check's stable name.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }

            /// How much it usually matters.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// What it means and why Docker cares.
            #[must_use]
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$name => $means,)* }
            }

            /// What to do about it.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$name => $mend,)* }
            }

            /// The clause or file behind it.
            #[must_use]
            pub const fn source(self) -> &'static str {
                match self { $(Self::$name => $source,)* }
            }
        }
    };
}

checks! {
    FileUnavailable, "file-unavailable", Refusal,
        "A file that Docker was told to read, or cannot do without, is missing or cannot be read.",
        "Put the file where it is expected, or name the right path.",
        "go-connections tlsconfig/config.go; docker/cli cli/context/tlsdata.go (TLSDataFromFiles)";
    CaUnusable, "ca-unusable", Refusal,
        "The CA file holds no certificate that Go can use: Docker skips other labels, PEM headers and undecodable blocks, and stops if nothing is left.",
        "Put at least one PEM block labelled CERTIFICATE, at the start of a line and without headers, into the CA file.",
        "Go src/crypto/x509/cert_pool.go (AppendCertsFromPEM)";
    CertificateMissing, "certificate-missing", Refusal,
        "The certificate file holds no PEM block labelled CERTIFICATE.",
        "Give the certificate in PEM form; where certificate and key files are switched, dockseal repair sorts them.",
        "Go src/crypto/tls/tls.go (X509KeyPair)";
    CertificateUnparsable, "certificate-unparsable", Refusal,
        "A certificate does not parse by the rules of Docker's Go.",
        "Issue the certificate anew with a tool that follows RFC 5280.",
        "Go src/crypto/x509/parser.go (parseCertificate)";
    KeyMissing, "key-missing", Refusal,
        "The key file holds no PEM block whose label ends in PRIVATE KEY.",
        "Give the private key in PEM form; where certificate and key files are switched, dockseal repair sorts them.",
        "Go src/crypto/tls/tls.go (X509KeyPair); docker/cli cli/context/docker/load.go (tlsConfig)";
    KeyEncrypted, "key-encrypted", Refusal,
        "The private key is encrypted with a passphrase, which Docker no longer supports.",
        "Store the key without a passphrase, readable by its owner only.",
        "docker/cli cli/context/docker/load.go (tlsConfig), 08a1ccc60a";
    KeyUnparsable, "key-unparsable", Refusal,
        "The private key is neither PKCS#1, PKCS#8 nor SEC 1 as Go reads them, or its numbers do not fit together.",
        "Convert the key to PKCS#8, or make a new one.",
        "Go src/crypto/tls/tls.go (parsePrivateKey), src/crypto/rsa/rsa.go (Validate)";
    KeyMismatch, "key-mismatch", Refusal,
        "The private key is not the one for the first certificate in the certificate file.",
        "Put the leaf certificate first, and use the key that it was issued for.",
        "Go src/crypto/tls/tls.go (X509KeyPair)";
    ClientPanics, "client-panics", Refusal,
        "docker 20.10 crashes on an empty --tlscacert, --tlscert or --tlskey.",
        "Name the file, or leave the flag out.",
        "docker/cli v20.10.24 opts/quotedstring.go (trimQuotes)";
    ProtocolsDiffer, "protocols-differ", Refusal,
        "One side speaks TLS and the other plain HTTP.",
        "Give both sides TLS options.",
        "moby daemon/command/options.go; docker/cli cli/flags/options.go (SetDefaultOptions)";
    DaemonKeyUnusable, "daemon-key-unusable", Refusal,
        "TLS 1.3 has no signature scheme for the daemon's key: P-224, or RSA too small for its program.",
        "Use P-256, P-384, P-521, Ed25519 or RSA of at least 2048 bits.",
        "Go src/crypto/tls/auth.go (signatureSchemesForPublicKey, selectSignatureScheme)";
    MessageTooLarge, "message-too-large", Refusal,
        "The certificates, or the CA names that the daemon lists, do not fit into the handshake message that the other side accepts.",
        "Send only the intermediates that are needed, and keep only the needed CAs in the daemon's CA file.",
        "Go src/crypto/tls/conn.go (readHandshake), common.go (maxHandshakeCertificateMsg)";
    ChainUnreadable, "chain-unreadable", Refusal,
        "A certificate in the chain that is sent does not parse at the other side, which then stops even if it is not needed.",
        "Remove everything but the leaf and its intermediates from the certificate file.",
        "Go src/crypto/tls/handshake_client.go (verifyServerCertificate), handshake_server.go (processCertsFromClient)";
    RsaTooLarge, "rsa-too-large", Refusal,
        "A certificate in the chain that is sent has an RSA key of more than 8192 bits.",
        "Use a smaller key.",
        "Go src/crypto/tls/handshake_client.go (checkKeySize)";
    KeyKindUnsupported, "key-kind-unsupported", Refusal,
        "The key in the leaf certificate is of a kind that TLS does not use.",
        "Use ECDSA, Ed25519 or RSA.",
        "Go src/crypto/tls/handshake_client.go (verifyServerCertificate)";
    Expired, "expired", Refusal,
        "A certificate of the chain has expired; Go checks roots as well.",
        "Renew the certificate; an expired CA's own with dockseal renew-ca.",
        "Go src/crypto/x509/verify.go (isValid)";
    NotYetValid, "not-yet-valid", Refusal,
        "A certificate of the chain is not valid yet; Go checks roots as well.",
        "Check the clock, or wait.",
        "Go src/crypto/x509/verify.go (isValid)";
    CriticalExtension, "critical-extension", Refusal,
        "A certificate of the chain has a critical extension that Docker's Go does not know.",
        "Issue it without the extension, or with the extension not critical.",
        "Go src/crypto/x509/parser.go (processExtensions), verify.go (isValid)";
    HostMismatch, "host-mismatch", Refusal,
        "The daemon's certificate does not name the host that the client dials; IP addresses match IP names only, and the common name never counts.",
        "Issue the daemon's certificate with every host name and address that clients dial.",
        "Go src/crypto/x509/verify.go (VerifyHostname)";
    UnknownAuthority, "unknown-authority", Refusal,
        "No chain leads from the certificate to one in the other side's CA file.",
        "Put the CA that issued the certificate into the other side's CA file, and the intermediates after the leaf.",
        "Go src/crypto/x509/verify.go (buildChains)";
    NotACa, "not-a-ca", Refusal,
        "An intermediate is no CA by its basicConstraints.",
        "Issue the intermediate with CA:TRUE and keyCertSign.",
        "Go src/crypto/x509/verify.go (isValid)";
    PathTooLong, "path-too-long", Refusal,
        "There are more CAs below a CA than its path length allows.",
        "Issue from a CA higher up, or raise the path length.",
        "Go src/crypto/x509/verify.go (isValid)";
    UsageIncompatible, "usage-incompatible", Refusal,
        "An extendedKeyUsage in the chain, the root's included, does not allow serverAuth for a daemon or clientAuth for a client.",
        "Issue with the right extendedKeyUsage; leave it out of CAs.",
        "Go src/crypto/x509/verify.go (checkChainForKeyUsage)";
    PolicyMissing, "policy-missing", Refusal,
        "A CA requires an explicit certificate policy and the chain has none in common.",
        "Issue with the policies that the CA requires.",
        "Go src/crypto/x509/verify.go (policiesValid), since 1.24";
    NameConstrained, "name-constrained", Refusal,
        "A CA's name constraints do not allow a subject alternative name of the certificate.",
        "Issue from a CA that may, or for names that it permits.",
        "Go src/crypto/x509/verify.go (checkNameConstraints), constraints.go since 1.26";
    SearchTooLong, "search-too-long", Refusal,
        "Go gives up after a hundred signature checks.",
        "Remove certificates with equal names from the CA file and the chain.",
        "Go src/crypto/x509/verify.go (maxChainSignatureChecks)";
    BeyondTheJudge, "beyond-the-judge", Refusal,
        "It is more than the judge takes on, so it cannot tell: an RSA key of more than 16384 bits, a certificate or key of more than 1 MiB, more than 400,000 CA certificates, or 200,000 that might have issued one another.",
        "Use smaller keys and fewer certificates.",
        "none: a limit of this program";
    SystemRootsUnknown, "system-roots-unknown", Refusal,
        "No CA file is given, so Go trusts the system's roots, which the judge was not shown.",
        "Name the CA file: with system roots every publicly issued certificate is accepted.",
        "go-connections tlsconfig/config.go (Server); Go src/crypto/x509/verify.go (Verify)";
    ClientCertificateMissing, "client-certificate-missing", Refusal,
        "The daemon requires a client certificate and the client has none to offer.",
        "Give the client a certificate and its key.",
        "Go src/crypto/tls/handshake_server.go (processCertsFromClient)";
    ClientCertificateWithheld, "client-certificate-withheld", Refusal,
        "The client does not send its certificate, because no certificate in its chain was issued by a name that the daemon lists.",
        "Issue the client's certificate from the CA in the daemon's CA file, or add its CA there.",
        "Go src/crypto/tls/common.go (CertificateRequestInfo.SupportsCertificate)";
    ClientKeyUnusable, "client-key-unusable", Refusal,
        "TLS 1.3 has no signature scheme for the client's key, or one of the programs does not take it.",
        "Use P-256, P-384, P-521, Ed25519 or RSA of at least 2048 bits.",
        "Go src/crypto/tls/auth.go (signatureSchemesForPublicKey), src/crypto/rsa (checkKeySize)";
    CaBlockSkipped, "ca-block-skipped", Warning,
        "Docker silently skips a block of the CA file.",
        "Remove the block, or put it in order.",
        "Go src/crypto/x509/cert_pool.go (AppendCertsFromPEM)";
    CertificateIncomplete, "certificate-incomplete", Warning,
        "Only one of certificate and key is there, so the client silently goes without.",
        "Give both.",
        "docker/cli cli/context/docker/load.go (tlsConfig)";
    ClientWithoutTls, "client-without-tls", Warning,
        "With an empty --tlscacert and no certificate, docker silently speaks plain HTTP.",
        "Name the CA file.",
        "docker/cli cli/context/docker/load.go (tlsConfig)";
    DaemonNotVerified, "daemon-not-verified", Warning,
        "docker --tls never verifies the daemon, with a CA or without; anyone can answer in its place.",
        "Use --tlsverify.",
        "docker/cli cli/flags/options.go (SetDefaultOptions)";
    DaemonTlsVerifies, "daemon-tls-verifies", Warning,
        "dockerd --tls has required and verified client certificates since 20.10, exactly as --tlsverify does.",
        "Write --tlsverify, which says what happens.",
        "moby daemon/command/options.go, 5f5285a6e2";
    ClientsNotVerified, "clients-not-verified", Warning,
        "With --tlsverify=false whoever reaches the daemon is root on its host.",
        "Use --tlsverify.",
        "moby daemon/command/daemon.go (newAPIServerTLSConfig)";
    SystemRootsTrusted, "system-roots-trusted", Warning,
        "Without a CA file the other side may be anyone with a publicly issued certificate.",
        "Name the CA file.",
        "go-connections tlsconfig/config.go (Server)";
    PlainHttp, "plain-http", Warning,
        "Nothing is encrypted and nobody is authenticated: whoever reaches the port is root on the host.",
        "Use --tlsverify on both sides.",
        "moby daemon/listeners";
    VersionDependent, "version-dependent", Warning,
        "Other generations of docker or dockerd answer otherwise, because their Go has other rules. go1.27 is a docker built with that Go: its answers are from Go, not yet from a docker.",
        "Issue certificates that every generation takes, or keep the versions that you have.",
        "Go 1.19, 1.24, 1.26 and 1.27 src/crypto/x509";
    ExpiresSoon, "expires-soon", Advice,
        "A certificate expires within thirty days.",
        "Renew it.",
        "RFC 5280, section 4.1.2.5";
    WeakKey, "weak-key", Advice,
        "An RSA key has less than 2048 bits, or a curve less than 256.",
        "Use P-256, or RSA of at least 2048 bits.",
        "CA/Browser Forum Baseline Requirements, section 6.1.5; Go crypto/rsa, Minimum key size";
    NegativeSerial, "negative-serial", Advice,
        "The serial number is negative, which RFC 5280 forbids; dockerd 29 refuses the certificate where docker takes it.",
        "Issue the certificate anew.",
        "RFC 5280, section 4.1.2.2; Go src/crypto/x509/parser.go (x509negativeserial)";
    BothUsages, "both-usages", Advice,
        "The certificate may be used by daemons and by clients, so a stolen client certificate can play the daemon.",
        "Issue with one extendedKeyUsage.",
        "RFC 5280, section 4.2.1.12";
    CaExpiresSoon, "ca-expires-soon", Advice,
        "A CA of the chain expires within ninety days, and with it everything that it issued: Go checks roots as well.",
        "Roll over to a new CA; every daemon and client needs the new CA file before the old CA ends.",
        "Go src/crypto/x509/verify.go (isValid)";
    OutlivesCa, "outlives-ca", Advice,
        "The certificate is valid for longer than a CA above it, so it stops working before its own end.",
        "Issue certificates that end before their CA does.",
        "Go src/crypto/x509/verify.go (isValid)";
    LongLifetime, "long-lifetime", Advice,
        "The certificate is valid for more than 825 days: Apple's platforms refuse such a server, and Docker cannot revoke a client.",
        "Issue for a year or less, and renew.",
        "Apple support article 103769; moby has no revocation";
    BouncyCastleWithholds, "bouncy-castle-withholds", Advice,
        "Docker takes the client's Ed25519 certificate, and Java does not send one that it read through Bouncy Castle, as docker-java, Testcontainers and Jenkins do: Bouncy Castle calls the key Ed25519, and Java looks for EdDSA.",
        "For such clients issue the certificate for a key on P-256 or of RSA.",
        "Bouncy Castle BCEdDSAPublicKey (getAlgorithm); JDK sun.security.ssl.X509Authentication, SunX509KeyManagerImpl (getAliases); docker-java CertificateUtils";
    OtherStacksRefuse, "other-stacks-refuse", Advice,
        "Docker takes the chain and another TLS stack does not: client libraries in Python, Java, Rust or Node, or a proxy in front of the daemon, will refuse it.",
        "Issue the certificate that is named anew, as RFC 5280 has it: critical basicConstraints, keyUsage and key identifiers in CAs; digitalSignature and one extendedKeyUsage in leaves; P-256 or RSA of at least 2048 bits.",
        "RFC 5280, section 4.2.1; OpenSSL crypto/x509/x509_vfy.c (check_extensions), v3_purp.c; Python Doc/whatsnew/3.13 (ssl); webpki src/verify_cert.rs; JDK sun/security/validator";
}
