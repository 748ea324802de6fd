"""Makes the material of the matrix: SCENARIO/{daemon,client}/{ca,cert,key}.pem and scenarios.json.

Usage: make.py DIRECTORY
"""

import datetime
import ipaddress
import os
import subprocess

from cryptography.hazmat.primitives import serialization

from maker import *  # noqa: F403 - one program in two files

# ---- the good case in every mode --------------------------------------------------
scenario("good", files(ROOT, GOOD["daemon"], key_pem(GOOD["daemon"].key)),
         files(ROOT, GOOD["client"], key_pem(GOOD["client"].key)),
         clients=["none", *EVERY, "env-tls", "env-verify"], daemons=["verify", "tls", "noverify", "none"])

# ---- key types ----------------------------------------------------------------------
for kind in ["rsa1024", "rsa2048", "rsa3072", "rsa4096", "p224", "p256", "p384", "p521", "ed25519", "k256", "ed448",
             *ML_DSA]:
    either(f"leaf-{kind}", lambda role: leaf(role, ROOT, new_key(kind)))
for kind in ["rsa1024", "rsa2048", "rsa4096", "p224", "p384", "p521", "ed25519", *ML_DSA]:
    root = ca(f"root {kind}", key=new_key(kind))
    either(f"root-{kind}", lambda role: (leaf(role, root), root))
ML_DSA_ROOT = ca("ml-dsa root", key=new_key("mldsa65"))
either("ml-dsa-everywhere", lambda role: (leaf(role, ML_DSA_ROOT, new_key("mldsa65")), ML_DSA_ROOT))
either("ml-dsa-signature-broken", lambda role: (leaf(role, ML_DSA_ROOT, break_signature=True), ML_DSA_ROOT))
either("ml-dsa-signature-of-another-kind", lambda role: (leaf(
    role, ML_DSA_ROOT, algorithm=seq(oid(ML_DSA["mldsa44"]))), ML_DSA_ROOT))
either("ml-dsa-algorithm-with-null", lambda role: (leaf(
    role, ML_DSA_ROOT, algorithm=seq(oid(ML_DSA["mldsa65"]), tlv(0x05))), ML_DSA_ROOT))
for what, public in {
    "short": seq(seq(oid(ML_DSA["mldsa44"])), bits(b"x" * 1311)),
    "with-null": seq(seq(oid(ML_DSA["mldsa44"]), tlv(0x05)), bits(b"x" * 1312)),
    "nobodys": seq(seq(oid(ML_DSA["mldsa44"])), bits(b"x" * 1312)),
}.items():
    extra = certificate("superfluous", STRANGER, public=public)
    either(f"superfluous-key-ml-dsa-{what}", lambda role: [leaf(role, ROOT), extra])
made = {role: leaf(role, ROOT, new_key("mldsa44")) for role in ROLES}
scenario("ml-dsa-both", files(ROOT, made["daemon"], key_pem(made["daemon"].key)),
         files(ROOT, made["client"], key_pem(made["client"].key)), clients=EVERY, daemons=["verify", "noverify"])
for role in ROLES:
    kind = seq(oid(ML_DSA["mldsa44"]))
    plain, seed = made[role], made[role].key.private_bytes_raw()
    for what, key in {
        "of-another": key_pem(new_key("mldsa44")), "of-another-set": key_pem(new_key("mldsa65")),
        "expanded": pem("PRIVATE KEY", seq(integer(0), kind, tlv(0x04, tlv(0x04, b"x" * 2560)))),
        "both": pem("PRIVATE KEY", seq(integer(0), kind, tlv(0x04, seq(tlv(0x04, seed), tlv(0x04, b"x" * 2560))))),
        "with-null": pem("PRIVATE KEY", seq(integer(0), seq(oid(ML_DSA["mldsa44"]), tlv(0x05)), tlv(0x04, tlv(0x80, seed)))),
        "short": pem("PRIVATE KEY", seq(integer(0), kind, tlv(0x04, tlv(0x80, seed[1:])))),
        "trailing": pem("PRIVATE KEY", seq(integer(0), kind, tlv(0x04, tlv(0x80, seed) + b"\0"))),
    }.items():
        OF[role](f"ml-dsa-key-{what}", plain, key)
pss_root = ca("pss root", key=new_key("rsa2048"))
either("signed-pss", lambda role: (leaf(role, pss_root, pss=True), pss_root))
for digest in ["sha384", "sha512"]:
    either(f"signed-{digest}-by-p256", lambda role: leaf(role, ROOT, digest=digest))
for bits_ in ["512", "768"]:
    text = subprocess.run(["openssl", "genrsa", "-traditional", bits_], check=True, capture_output=True).stdout
    public = subprocess.run(["openssl", "rsa", "-pubout", "-outform", "DER"], input=text, check=True,
                            capture_output=True).stdout
    for role in ROLES:
        made = leaf(role, ROOT, public=public)
        OF[role](f"leaf-rsa{bits_}", made, text)
public_pss = seq(seq(oid("1.2.840.113549.1.1.10")), bits(new_key("rsa2048").public_key().public_bytes(
    serialization.Encoding.DER, serialization.PublicFormat.PKCS1)))
either("leaf-key-of-algorithm-pss", lambda role: leaf(role, ROOT, new_key("rsa2048"), public=public_pss))

# ---- names of the daemon and how the client spells them -------------------------------
HOSTS = {
    "name": (["DNS:docker.test"], ["docker.test", "DOCKER.test", "docker.test.", "other.test", "a.docker.test",
                                   "127.0.0.1"]),
    "localhost": (["DNS:localhost"], ["localhost", "localhost.", "LocalHost", "127.0.0.1", "::1"]),
    "upper-case": (["DNS:DOCKER.Test"], ["docker.test", "DOCKER.TEST"]),
    "wildcard": (["DNS:*.docker.test"], ["a.docker.test", "docker.test", "a.b.docker.test", "*.docker.test",
                                         "A.DOCKER.TEST."]),
    "wildcard-of-a-suffix": (["DNS:*.test"], ["docker.test", "a.docker.test"]),
    "wildcard-within-a-label": (["DNS:d*.docker.test", "DNS:x.*.test"], ["da.docker.test", "x.y.test"]),
    "wildcard-bare": (["DNS:*"], ["localhost", "docker.test"]),
    "wildcard-of-an-address": (["DNS:*.0.0.1"], ["127.0.0.1"]),
    "ipv4": (["IP:127.0.0.1"], ["127.0.0.1", "localhost", "::1", "::ffff:127.0.0.1", "10.0.0.5"]),
    "ipv4-of-another-network": (["IP:10.0.0.5"], ["10.0.0.5", "127.0.0.1"]),
    "ipv6": (["IP:::1"], ["::1", "0:0:0:0:0:0:0:1", "127.0.0.1"]),
    "mapped-ipv6": (["IP:::ffff:127.0.0.1"], ["127.0.0.1", "::ffff:127.0.0.1"]),
    "address-in-a-dns-name": (["DNS:127.0.0.1"], ["127.0.0.1"]),
    "mail-only": (["MAIL:root@localhost"], ["localhost"]),
    "uri-only": (["URI:https://localhost/"], ["localhost"]),
    "directory-only": (["DIR:localhost"], ["localhost"]),
    "underscore": (["DNS:my_docker.test"], ["my_docker.test"]),
    "punycode": (["DNS:xn--bcher-kva.test"], ["xn--bcher-kva.test", "bücher.test"]),
    "long": (["DNS:" + ".".join(["a" * 63] * 3 + ["test"])], [".".join(["a" * 63] * 3 + ["test"])]),
    "numeric": (["DNS:1.test"], ["1.test"]),
}
for what, (texts, hosts) in HOSTS.items():
    made = leaf("daemon", ROOT, names=texts)
    for host in hosts:
        shown = host if len(host) < 60 else "itself"
        of_daemon(f"names-{what}-dialled-{shown}", made, key_pem(made.key), host=host,
                  clients=["verify+cert", "verify", "tls+cert"] if host == hosts[-1] else ["verify+cert"])
RAW_NAMES = {
    "trailing-dot": raw_san((0x82, b"docker.test.")), "leading-dot": raw_san((0x82, b".docker.test")),
    "empty-name-and-good": raw_san((0x82, b""), (0x82, b"docker.test")),
    "blank-in-a-name-and-good": raw_san((0x82, b"a b.test"), (0x82, b"docker.test")),
    "utf8-in-a-name": raw_san((0x82, "dück.test".encode()), (0x82, b"docker.test")),
    "nul-in-a-name": raw_san((0x82, b"docker.test\0.evil.test"), (0x82, b"docker.test")),
    "five-byte-address": raw_san((0x87, b"\x7f\0\0\1\0"), (0x82, b"docker.test")),
    "bad-uri": raw_san((0x86, b"http://[::1"), (0x82, b"docker.test")),
    "uri-with-a-bad-host": raw_san((0x86, b"http://a..b/"), (0x82, b"docker.test")),
    "no-names-in-it": raw_san(),
    "other-name": raw_san((0xA0, oid("1.2.3.4") + tlv(0xA0, tlv(0x0C, b"x"))), (0x82, b"docker.test")),
    "garbage": ext("2.5.29.17", b"\x30\x05\x01"),
}
for what, value in RAW_NAMES.items():
    made = leaf("daemon", ROOT, exts=[bc(False), eku("server"), value])
    for host in ["docker.test", "docker.test."] if what == "trailing-dot" else ["docker.test"]:
        of_daemon(f"names-{what}-dialled-{host}", made, key_pem(made.key), host=host)
made = leaf("daemon", ROOT, subject="localhost", exts=[bc(False), eku("server")])
of_daemon("names-common-name-only", made, key_pem(made.key), host="localhost")
made = leaf("daemon", ROOT, subject="127.0.0.1", exts=[bc(False), eku("server")])
of_daemon("names-common-name-is-the-address", made, key_pem(made.key))
made = leaf("daemon", ROOT, subject="localhost", names=["DNS:other.test"])
of_daemon("names-common-name-beside-others", made, key_pem(made.key), host="localhost")
made = leaf("daemon", ROOT, subject=x509.Name([]), exts=[bc(False), eku("server"), san(*NAMES, critical=True)])
of_daemon("names-critical-and-no-subject", made, key_pem(made.key))
made = leaf("client", ROOT, subject=x509.Name([]))
of_client("no-subject", made, key_pem(made.key))

# ---- purposes and usages ---------------------------------------------------------------
CERTIFICATE_EKU = {"none": None, "empty": [], "both": ["server", "client"], "any": ["any"], "other-and-any": ["code", "any"],
                   "code": ["code"], "unknown": ["unknown"], "netscape": ["netscape"], "microsoft": ["microsoft"]}


def purposes_of(names_, **how):
    return [] if names_ is None else [eku(*names_, **how)]


for what, names_ in CERTIFICATE_EKU.items():
    either(f"eku-leaf-{what}", lambda role: leaf(role, ROOT, exts=[bc(False), *purposes_of(names_), san(*NAMES)]))
either("eku-leaf-of-the-other-role", lambda role: leaf(role, ROOT, purposes=eku(PURPOSE[
    "client" if role == "daemon" else "daemon"])))
either("eku-leaf-critical", lambda role: leaf(role, ROOT, purposes=eku(PURPOSE[role], critical=True)))
for what in ["both", "any", "code", "empty"]:
    root = ca(f"root eku {what}", extra=purposes_of(CERTIFICATE_EKU[what]))
    either(f"eku-root-{what}", lambda role: (leaf(role, root), root))
    middle = ca(f"middle eku {what}", ROOT, extra=purposes_of(CERTIFICATE_EKU[what]))
    either(f"eku-middle-{what}", lambda role: [leaf(role, middle), middle])
for own in ["server", "client"]:
    root = ca(f"root eku {own}", extra=[eku(own)])
    either(f"eku-root-{own}", lambda role: (leaf(role, root), root))
    middle = ca(f"middle eku {own}", ROOT, extra=[eku(own)])
    either(f"eku-middle-{own}", lambda role: [leaf(role, middle), middle])
USAGE = {"none": [], "sign-ca-only": ["key_cert_sign"], "encipher-only": ["key_encipherment"], "agree": ["key_agreement"]}
for what, usages in USAGE.items():
    either(f"ku-leaf-{what}", lambda role: leaf(role, ROOT, exts=[
        bc(False), *([ku(*usages)] if usages else []), eku(PURPOSE[role]), san(*NAMES)]))
ZERO_USAGE = ext("2.5.29.15", b"\x03\x02\x07\x00", True)
for what, value in {"absent": [], "zero": [ZERO_USAGE], "crl-only": [ku("crl_sign")],
                    "digital-only": [ku("digital_signature")], "not-critical": [ku(*CA_USAGE, critical=False)],
                    "garbage": [ext("2.5.29.15", b"\x04\x00", True)]}.items():
    root = ca(f"root ku {what}", exts=[bc(), *value])
    either(f"ku-root-{what}", lambda role: (leaf(role, root), root))
    middle = ca(f"middle ku {what}", ROOT, exts=[bc(), *value])
    either(f"ku-middle-{what}", lambda role: [leaf(role, middle), middle])

# ---- validity of each link -----------------------------------------------------------------
TIMES = {"expired": {"begin": -9 * DAY, "end": -DAY}, "not-yet-valid": {"begin": DAY, "end": 9 * DAY},
         "inverted": {"begin": 9 * DAY, "end": -9 * DAY}}
for what, span in TIMES.items():
    # cryptography refuses an inverted span.
    span = {**span, "surgery": what == "inverted"}
    either(f"{what}-leaf", lambda role: leaf(role, ROOT, **span))
    root = ca(f"root {what}", **span)
    either(f"{what}-root", lambda role: (leaf(role, root), root))
    middle = ca(f"middle {what}", ROOT, **span)
    either(f"{what}-middle", lambda role: [leaf(role, middle), middle])
either("leaf-outlives-its-root", lambda role: leaf(role, ROOT, end=3650 * DAY))
either("leaf-older-than-its-root", lambda role: leaf(role, ROOT, begin=-3650 * DAY))
either("validity-to-9999", lambda role: leaf(role, ROOT, moments=(
    moment(NOW - DAY), tlv(0x18, b"99991231235959Z"))))
either("validity-from-1950", lambda role: leaf(role, ROOT, moments=(tlv(0x17, b"500101000000Z"), moment(NOW + DAY))))
for what, text in {"without-seconds": b"2601010000Z", "with-an-offset": b"260101000000+0100",
                   "with-month-13": b"261301000000Z", "without-zone": b"260101000000"}.items():
    either(f"time-{what}", lambda role: leaf(role, ROOT, moments=(tlv(0x17, text), moment(NOW + DAY))))
either("time-with-fraction", lambda role: leaf(role, ROOT, moments=(tlv(0x18, b"20260101000000.5Z"), moment(NOW + DAY))))

# ---- chains, bundles and anchors -------------------------------------------------------------
MIDDLE, DEEP = ca("middle", ROOT), None
DEEP = ca("deep", MIDDLE)
either("middle-sent", lambda role: [leaf(role, MIDDLE), MIDDLE])
either("middle-missing", lambda role: leaf(role, MIDDLE))
either("middle-among-the-anchors", lambda role: (leaf(role, MIDDLE), [ROOT, MIDDLE]))
either("middle-as-only-anchor", lambda role: (leaf(role, MIDDLE), MIDDLE))
either("middle-as-only-anchor-and-sent", lambda role: ([leaf(role, MIDDLE), MIDDLE], MIDDLE))
either("two-middles", lambda role: [leaf(role, DEEP), DEEP, MIDDLE])
either("two-middles-unordered", lambda role: [leaf(role, DEEP), MIDDLE, DEEP])
either("two-middles-upper-missing", lambda role: [leaf(role, DEEP), DEEP])
either("two-middles-lower-missing", lambda role: [leaf(role, DEEP), MIDDLE])
either("root-sent-too", lambda role: [leaf(role, MIDDLE), MIDDLE, ROOT])
either("foreign-certificates-sent-too", lambda role: [leaf(role, MIDDLE), STRANGER, MIDDLE, GOOD["client"]])
either("leaf-sent-twice", lambda role: (lambda made: [made, made])(leaf(role, ROOT)))
either("stranger-as-anchor", lambda role: (leaf(role, ROOT), STRANGER))
either("stranger-and-root-as-anchors", lambda role: (leaf(role, ROOT), [STRANGER, ROOT]))
either("root-twice-as-anchor", lambda role: (leaf(role, ROOT), [ROOT, ROOT]))
either("issued-by-a-stranger", lambda role: leaf(role, STRANGER))
for role in ROLES:
    made = [leaf(role, MIDDLE), MIDDLE]
    OF[role]("chain-with-the-leaf-last", made[::-1], key_pem(made[0].key))
OLD, NEW = ca("old root"), ca("new root")
NEW_BY_OLD = ca("new root", OLD, NEW.key)
OLD_BY_NEW = ca("old root", NEW, OLD.key)
either("cross-signed-old-anchor", lambda role: ([leaf(role, NEW), NEW_BY_OLD], OLD))
either("cross-signed-new-anchor", lambda role: ([leaf(role, NEW), NEW_BY_OLD], NEW))
either("cross-signed-not-sent", lambda role: (leaf(role, NEW), OLD))
either("cross-signed-in-a-ring", lambda role: ([leaf(role, NEW), NEW_BY_OLD, OLD_BY_NEW], STRANGER))
either("cross-signed-as-anchor", lambda role: (leaf(role, NEW), NEW_BY_OLD))
EXPIRED_CROSS = ca("new root", OLD, NEW.key, begin=-9 * DAY, end=-DAY)
either("cross-signed-one-expired", lambda role: ([leaf(role, NEW), EXPIRED_CROSS, NEW_BY_OLD], OLD))
either("cross-signed-all-expired", lambda role: ([leaf(role, NEW), EXPIRED_CROSS], OLD))
TWIN = ca("matrix root")
either("equal-subjects-both-anchors", lambda role: (leaf(role, ROOT), [TWIN, ROOT]))
either("equal-subjects-wrong-anchor", lambda role: (leaf(role, ROOT), TWIN))
RENEWED = ca("matrix root", key=ROOT.key)
either("renewed-root", lambda role: (leaf(role, ROOT), RENEWED))
either("renewed-root-and-expired-one", lambda role: (leaf(role, ROOT), [
    ca("matrix root", key=ROOT.key, begin=-9 * DAY, end=-DAY), RENEWED]))
SAME = ca("same")
either("leaf-named-as-its-root", lambda role: (leaf(role, SAME, subject="same"), SAME))
either("case-of-the-issuer-differs", lambda role: leaf(role, ROOT, issuer_name=name("Matrix Root")))
either("string-type-of-the-issuer-differs", lambda role: leaf(role, ROOT, issuer_name=printable("matrix root")))
EMPTY = ca(x509.Name([]))
either("root-without-subject", lambda role: (leaf(role, EMPTY), EMPTY))
either("self-signed", lambda role: (lambda made: (made, made))(leaf(role, None)))
either("self-signed-not-an-anchor", lambda role: leaf(role, None))
either("self-signed-without-purpose", lambda role: (lambda made: (made, made))(leaf(role, None, exts=[san(*NAMES)])))
either("self-signed-of-the-other-purpose", lambda role: (lambda made: (made, made))(
    leaf(role, None, purposes=eku(PURPOSE["client" if role == "daemon" else "daemon"]))))
either("self-signed-expired", lambda role: (lambda made: (made, made))(leaf(role, None, begin=-9 * DAY, end=-DAY)))
either("self-signed-broken-signature", lambda role: (lambda made: (made, made))(leaf(role, None, break_signature=True)))
either("self-signed-root-as-leaf", lambda role: (lambda made: (made, made))(ca("root and leaf", extra=[san(*NAMES)])))
either("pinned-leaf-of-an-absent-root", lambda role: (lambda made: (made, made))(leaf(role, STRANGER)))
either("pinned-leaf-beside-a-stranger", lambda role: (lambda made: (made, [made, STRANGER]))(leaf(role, STRANGER)))
either("broken-signature-leaf", lambda role: leaf(role, ROOT, break_signature=True))
either("broken-signature-root", lambda role: (lambda root: (leaf(role, root), root))(ca("broken", break_signature=True)))
BROKEN = ca("broken middle", ROOT, break_signature=True)
either("broken-signature-middle", lambda role: [leaf(role, BROKEN), BROKEN])

# ---- CAs: basicConstraints, path lengths, versions, signatures ------------------------------------
USAGE_OF_CA = ku(*CA_USAGE)
for what, exts in {"absent": [USAGE_OF_CA], "false": [bc(False), USAGE_OF_CA], "not-critical": [bc(critical=False)],
                   "no-extensions": [], "garbage": [ext("2.5.29.19", b"\x30\x03\x01\x01", True)],
                   "explicit-false": [ext("2.5.29.19", seq(tlv(0x01, b"\0")), True)],
                   "path-without-ca": [ext("2.5.29.19", seq(integer(0)), True)]}.items():
    root = ca(f"root bc {what}", exts=exts, surgery=True)
    either(f"bc-root-{what}", lambda role: (leaf(role, root), root))
    middle = ca(f"middle bc {what}", ROOT, exts=exts, surgery=True)
    either(f"bc-middle-{what}", lambda role: [leaf(role, middle), middle])
either("bc-leaf-true", lambda role: leaf(role, ROOT, exts=[bc(), eku(PURPOSE[role]), san(*NAMES)]))
either("bc-leaf-absent", lambda role: leaf(role, ROOT, exts=[eku(PURPOSE[role]), san(*NAMES)]))
ISSUED_BY_LEAF = leaf("client", ROOT)
either("issued-by-a-leaf", lambda role: [leaf(role, ISSUED_BY_LEAF), ISSUED_BY_LEAF])
FLAT, ONE = ca("root path 0", path=0), ca("root path 1", path=1)
UNDER_FLAT, UNDER_ONE = ca("under 0", FLAT), ca("under 1", ONE)
UNDER_UNDER = ca("under under 1", UNDER_ONE)
either("path-0-leaf", lambda role: (leaf(role, FLAT), FLAT))
either("path-0-one-middle", lambda role: ([leaf(role, UNDER_FLAT), UNDER_FLAT], FLAT))
either("path-1-one-middle", lambda role: ([leaf(role, UNDER_ONE), UNDER_ONE], ONE))
either("path-1-two-middles", lambda role: ([leaf(role, UNDER_UNDER), UNDER_UNDER, UNDER_ONE], ONE))
FLAT_MIDDLE = ca("flat middle", ROOT, path=0)
UNDER_FLAT_MIDDLE = ca("under flat middle", FLAT_MIDDLE)
either("path-0-middle-leaf", lambda role: [leaf(role, FLAT_MIDDLE), FLAT_MIDDLE])
either("path-0-middle-another-middle", lambda role: [leaf(role, UNDER_FLAT_MIDDLE), UNDER_FLAT_MIDDLE, FLAT_MIDDLE])
SELF_ISSUED = ca("root path 0", FLAT)
either("path-0-self-issued-middle", lambda role: ([leaf(role, SELF_ISSUED), SELF_ISSUED], FLAT))
long_chain = [ca("long 0", ROOT)]
for depth in range(1, 8):
    long_chain.append(ca(f"long {depth}", long_chain[-1]))
either("eight-middles", lambda role: [leaf(role, long_chain[-1]), *reversed(long_chain)])
V1_ROOT, V1_MIDDLE = ca("v1 root", exts=[], version=1), ca("v1 middle", ROOT, exts=[], version=1)
either("version-1-root", lambda role: (leaf(role, V1_ROOT), V1_ROOT))
either("version-1-middle", lambda role: [leaf(role, V1_MIDDLE), V1_MIDDLE])
either("version-1-leaf", lambda role: leaf(role, ROOT, exts=[], version=1))
either("version-1-leaf-with-extensions", lambda role: leaf(role, ROOT, version=1))
either("version-2-leaf", lambda role: leaf(role, ROOT, version=2))
either("version-4-leaf", lambda role: leaf(role, ROOT, version=4))
RSA_ROOT = ca("rsa root", key=new_key("rsa2048"))
for digest in ["sha1", "md5"]:
    either(f"{digest}-leaf", lambda role: (leaf(role, RSA_ROOT, digest=digest), RSA_ROOT))
    root = ca(f"root {digest}", key=new_key("rsa2048"), digest=digest)
    either(f"{digest}-root", lambda role: (leaf(role, root), root))
    middle = ca(f"middle {digest}", RSA_ROOT, digest=digest)
    either(f"{digest}-middle", lambda role: ([leaf(role, middle), middle], RSA_ROOT))
either("sha1-leaf-by-p256", lambda role: leaf(role, ROOT, digest="sha1"))
either("sha224-leaf-by-p256", lambda role: leaf(role, ROOT, digest="sha224", surgery=True))
either("outer-algorithm-differs", lambda role: leaf(role, ROOT, outer=seq(oid(EC_SIGNATURES["sha384"]))))
either("ecdsa-algorithm-with-null", lambda role: leaf(role, ROOT, algorithm=seq(oid(EC_SIGNATURES["sha256"]), tlv(0x05))))
either("rsa-algorithm-without-null", lambda role: (leaf(
    role, RSA_ROOT, algorithm=seq(oid("1.2.840.113549.1.1.11"))), RSA_ROOT))
either("algorithm-unknown", lambda role: leaf(role, ROOT, algorithm=seq(oid("1.3.6.1.4.1.55555.8"))))

# ---- extensions -------------------------------------------------------------------------------------
UNKNOWN = "1.3.6.1.4.1.55555.1"
EXTRA = {
    "unknown-critical": [ext(UNKNOWN, b"\x05\x00", True)], "unknown": [ext(UNKNOWN, b"\x05\x00")],
    "unknown-twice": [ext(UNKNOWN, b"\x05\x00")] * 2,
    "policies-critical": [ext("2.5.29.32", seq(seq(oid("2.5.29.32.0"))), True)],
    "policies-twice-the-same": [ext("2.5.29.32", seq(*[seq(oid("1.2.3"))] * 2))],
    "must-staple": [ext("1.3.6.1.5.5.7.1.24", seq(integer(5)))],
    "must-staple-critical": [ext("1.3.6.1.5.5.7.1.24", seq(integer(5)), True)],
    "issuer-alternative-name-critical": [ext("2.5.29.18", seq(tlv(0x82, b"a.test")), True)],
    "crl-points-critical": [ext("2.5.29.31", seq(seq(tlv(0xA0, tlv(0xA0, tlv(0x86, b"http://127.0.0.1:1/x"))))), True)],
    "authority-information": [ext("1.3.6.1.5.5.7.1.1", seq(seq(oid("1.3.6.1.5.5.7.48.1"), tlv(0x86, b"http://127.0.0.1:1/"))))],
    "authority-information-critical": [ext("1.3.6.1.5.5.7.1.1", seq(seq(oid("1.3.6.1.5.5.7.48.1"), tlv(0x86, b"http://127.0.0.1:1/"))), True)],
    "inhibit-any-policy-critical": [ext("2.5.29.54", integer(0), True)],
    "policy-constraints-critical": [ext("2.5.29.36", seq(tlv(0x80, b"\0")), True)],
    "policy-mappings-critical": [ext("2.5.29.33", seq(seq(oid("1.2.3"), oid("1.2.4"))), True)],
    "key-id-critical": [ext("2.5.29.14", tlv(0x04, b"12345678"), True)],
    "key-id-garbage": [ext("2.5.29.14", b"\x01\x02\x03")],
}
for what, extra in EXTRA.items():
    either(f"ext-leaf-{what}", lambda role: leaf(role, ROOT, extra=extra))
for what in ["unknown-critical", "unknown-twice", "policies-critical", "inhibit-any-policy-critical",
             "policy-constraints-critical", "key-id-critical", "must-staple-critical"]:
    basis = [bc(), ku(*CA_USAGE), *EXTRA[what]]
    root = ca(f"root {what}", exts=basis)
    either(f"ext-root-{what}", lambda role: (leaf(role, root), root))
    middle = ca(f"middle {what}", ROOT, exts=basis)
    either(f"ext-middle-{what}", lambda role: [leaf(role, middle), middle])
either("aki-right", lambda role: leaf(role, ROOT, extra=[aki(ROOT.key)]))
either("aki-absent", lambda role: leaf(role, ROOT, anonymous=True))
ANONYMOUS = ca("anonymous root", anonymous=True)
either("key-id-absent-root", lambda role: (leaf(role, ANONYMOUS), ANONYMOUS))
ANONYMOUS_MIDDLE = ca("anonymous middle", ROOT, anonymous=True)
either("key-id-absent-middle", lambda role: [leaf(role, ANONYMOUS_MIDDLE), ANONYMOUS_MIDDLE])
either("aki-of-a-stranger", lambda role: leaf(role, ROOT, extra=[aki(STRANGER.key)]))
either("aki-of-a-stranger-both-anchors", lambda role: (leaf(role, ROOT, extra=[aki(TWIN.key)]), [TWIN, ROOT]))
either("aki-critical", lambda role: leaf(role, ROOT, extra=[ext("2.5.29.35", seq(tlv(0x80, b"12345678")), True)]))
either("aki-garbage", lambda role: leaf(role, ROOT, extra=[ext("2.5.29.35", b"\x04\x01")]))

# ---- serial numbers -----------------------------------------------------------------------------------
for what, how in {"zero": {"serial": 0}, "negative": {"serial": -5}, "of-20-octets": {"serial": 2**159 - 1},
                  "of-21-octets": {"serial": 2**167 - 1}, "of-100-octets": {"serial": 2**799 - 1},
                  "not-minimal": {"serial_der": b"\x02\x02\x00\x05"}, "empty": {"serial_der": b"\x02\x00"}}.items():
    either(f"serial-{what}-leaf", lambda role: leaf(role, ROOT, **how))
for what, serial in {"negative": -5, "zero": 0}.items():
    root = ca(f"root serial {what}", serial=serial)
    either(f"serial-{what}-root", lambda role: (leaf(role, root), root))
either("serials-equal", lambda role: (lambda root: (leaf(role, root, serial=7), root))(ca("serial 7", serial=7)))

# ---- name constraints ------------------------------------------------------------------------------------
CONSTRAINTS = {
    "dns-permitted": (["DNS:docker.test"], [], ["docker.test", "a.docker.test", "other.test"]),
    "dns-excluded": ([], ["DNS:docker.test"], ["docker.test", "a.docker.test", "other.test"]),
    "dns-case": (["DNS:DOCKER.test"], [], ["docker.test"]),
    "ip-permitted": (["NET:127.0.0.0/8"], [], ["127.0.0.1"]),
    "ip-permitted-elsewhere": (["NET:10.0.0.0/8"], [], ["127.0.0.1"]),
    "ip-excluded": ([], ["NET:127.0.0.0/8"], ["127.0.0.1", "docker.test"]),
    "ip-of-the-other-family": (["NET:::/0"], [], ["127.0.0.1", "::1"]),
    "dns-does-not-touch-addresses": (["DNS:docker.test"], [], ["127.0.0.1"]),
    "both-permitted-and-excluded": (["DNS:test"], ["DNS:docker.test"], ["docker.test", "other.test"]),
}
for what, (permitted, excluded, hosts) in CONSTRAINTS.items():
    for critical in (True, False):
        root = ca(f"root nc {what} {critical}", extra=[nc(permitted, excluded, critical)])
        for host in hosts if critical else hosts[:1]:
            kind = "IP" if host[0].isdigit() or ":" in host else "DNS"
            made = leaf("daemon", root, names=[f"{kind}:{host}"])
            of_daemon(f"nc-{what}-{'critical' if critical else 'lax'}-{host}", made, key_pem(made.key), root, host=host)
MIDDLE_NC = ca("middle nc", ROOT, extra=[nc(["DNS:docker.test"])])
for host in ["docker.test", "other.test"]:
    made = leaf("daemon", MIDDLE_NC, names=[f"DNS:{host}"])
    of_daemon(f"nc-middle-{host}", [made, MIDDLE_NC], key_pem(made.key), host=host)
MIXED = ca("root nc mixed", extra=[nc(["DNS:docker.test"])])
made = leaf("daemon", MIXED, names=["DNS:docker.test", "DNS:other.test"])
of_daemon("nc-another-name-outside", made, key_pem(made.key), MIXED, host="docker.test")
RAW_NC = {
    "leading-dot": seq(tlv(0xA0, seq(tlv(0x82, b".docker.test")))),
    "odd-mask": seq(tlv(0xA0, seq(tlv(0x87, b"\x7f\0\0\0\xff\0\xff\0")))),
    "empty": seq(), "empty-permitted": seq(tlv(0xA0)), "empty-name-excluded": seq(tlv(0xA1, seq(tlv(0x82, b"")))),
    "minimum-1": seq(tlv(0xA0, seq(tlv(0x82, b"test"), tlv(0x80, b"\1")))),
    "registered-id": seq(tlv(0xA0, seq(tlv(0x88, b"\x2a\x03")))),
    "wildcard": seq(tlv(0xA0, seq(tlv(0x82, b"*.docker.test")))),
    "garbage": b"\x30\x02\xa0\x05",
}
for what, value in RAW_NC.items():
    for critical in (True, False):
        root = ca(f"root nc raw {what} {critical}", extra=[ext("2.5.29.30", value, critical)])
        for host in ["docker.test", "a.docker.test"] if what == "leading-dot" else ["a.docker.test"]:
            made = leaf("daemon", root, names=[f"DNS:{host}"])
            of_daemon(f"nc-{what}-{'critical' if critical else 'lax'}-{host}", made, key_pem(made.key), root, host=host)
for what, permitted, excluded in [("mail", ["MAIL:example.test"], []), ("uri", ["URI:example.test"], []),
                                  ("directory", ["DIR:O=Matrix"], []), ("mail-excluded", [], ["MAIL:example.test"]),
                                  ("uri-excluded", [], ["URI:.example.test"]), ("directory-excluded", [], ["DIR:O=Matrix"])]:
    for critical in (True, False):
        root = ca(f"root nc {what} {critical}", extra=[nc(permitted, excluded, critical)])
        for fits, names_ in {"inside": ["MAIL:a@example.test", "URI:https://a.example.test/x"],
                             "outside": ["MAIL:a@other.test", "URI:https://other.test/x"], "without": []}.items():
            if critical or fits == "inside":
                for role in ROLES if critical else ["client"]:
                    subject = name("O=Matrix", "leaf")
                    texts = [*names_, *(NAMES if role == "daemon" else [])]
                    made = leaf(role, root, subject=subject, exts=[bc(False), eku(PURPOSE[role]), *(
                        [san(*texts)] if texts else [])])
                    OF[role](f"nc-{what}-{'critical' if critical else 'lax'}-{fits}", made, key_pem(made.key), root,
                             clients=["verify+cert"])
for what, texts in {"wildcard-under-permitted": ["DNS:*.docker.test"], "wildcard-above-excluded": ["DNS:*.test"]}.items():
    root = ca(f"root nc {what}", extra=[nc(["DNS:docker.test"], [])] if "permitted" in what else [nc([], ["DNS:docker.test"])])
    made = leaf("daemon", root, names=texts)
    of_daemon(f"nc-{what}", made, key_pem(made.key), root, host="a.docker.test" if "permitted" in what else "other.test")
def range_(address, mask):
    return seq(tlv(0x87, ipaddress.ip_address(address).packed + ipaddress.ip_address(mask).packed))


# Ranges whose addresses have bits that their masks have not, and an address that the lowest of them holds.
for what, trees in {"permitted": tlv(0xA0, range_("127.5.0.0", "255.0.0.0"), range_("9.0.0.0", "255.0.0.0")),
                    "excluded": tlv(0xA1, range_("127.5.0.0", "255.0.0.0"), range_("9.0.0.0", "255.0.0.0")),
                    "one-permitted": tlv(0xA0, range_("127.5.0.0", "255.0.0.0")),
                    "ipv6-permitted": tlv(0xA0, range_("::5", "ffff::"), range_("9::", "ffff::"), range_(
                        "127.0.0.0", "255.0.0.0"))}.items():
    root = ca(f"root nc unmasked {what}", extra=[ext("2.5.29.30", seq(trees), True)])
    made = leaf("daemon", root, names=["IP:::1"] if "ipv6" in what else ["IP:127.0.0.1"])
    of_daemon(f"nc-unmasked-{what}", made, key_pem(made.key), root, host="::1" if "ipv6" in what else "127.0.0.1")
for what, mask in {"short": "ffff:ffff:ffff:ffff:ffff:ffff:ff00::", "wide": "ffff::"}.items():
    trees = tlv(0xA0, range_("::ffff:127.0.0.0", mask), range_("127.0.0.0", "255.0.0.0"))
    root = ca(f"root nc mapped {what}", extra=[ext("2.5.29.30", seq(trees), True)])
    either(f"nc-mapped-{what}", lambda role: (leaf(role, root), root))
for what, text in {"two-ats": b"a@b@example.test", "quoted-at": b'"a@b"@example.test', "at-the-end": b"a@", "dot": b"a@.test",
                   "trailing-dot": b"a@example.test."}.items():
    root = ca(f"root nc mailbox {what}", extra=[nc(["MAIL:example.test"])])
    names_ = raw_san((0x81, text), (0x87, b"\x7f\0\0\1"))
    either(f"nc-mailbox-{what}", lambda role: (leaf(role, root, names=names_), root))
    root = ca(f"root nc of mailbox {what}", extra=[ext("2.5.29.30", seq(tlv(0xA1, seq(tlv(0x81, text)))), True)])
    either(f"nc-of-mailbox-{what}", lambda role: (leaf(role, root), root))
OWN_NAME = ca("root nc own name", extra=[nc(["DNS:docker.test"]), san("DNS:elsewhere.test")])
made = leaf("daemon", OWN_NAME, names=["DNS:docker.test"])
of_daemon("nc-own-name-of-the-root-outside", made, key_pem(made.key), OWN_NAME, host="docker.test")
CN_NC = ca("root nc common name", extra=[nc(["DNS:docker.test"])])
made = leaf("client", CN_NC, subject="evil.test")
of_client("nc-does-not-touch-the-common-name", made, key_pem(made.key), CN_NC)
made = leaf("client", CN_NC, names=["DNS:evil.test"])
of_client("nc-touches-the-names-of-a-client", made, key_pem(made.key), CN_NC)

# ---- files --------------------------------------------------------------------------------------------------
BOM, OTHER_KEY = b"\xef\xbb\xbf", key_pem(new_key())


def crlf(text):
    return text.replace(b"\n", b"\r\n")


def truncated(text):
    return text[:len(text) // 2]


def mangled_label(text, label):
    return text.replace(b"CERTIFICATE", label)


TRICKS = {
    "empty": lambda text: b"", "missing": lambda text: None, "truncated": truncated, "crlf": crlf,
    "cr-only": lambda text: text.replace(b"\n", b"\r"), "bom": lambda text: BOM + text,
    "preambled": lambda text: b"Certificate:\n    Data: of a kind\n" + text,
    "preambled-on-the-line": lambda text: b"x" + text, "trailing-text": lambda text: text + b"the end\n",
    "indented": lambda text: b"".join(b"  " + line for line in text.splitlines(keepends=True)),
    "trailing-blanks": lambda text: text.replace(b"\n", b"  \n"), "no-final-newline": lambda text: text.rstrip(b"\n"),
    "one-long-line": lambda text: (lambda lines: b"\n".join([lines[0], b"".join(lines[1:-1]), lines[-1]]) + b"\n")(
        text.splitlines()),
    "blank-lines": lambda text: text.replace(b"\n", b"\n\n"), "lower-case-label": lambda text: text.replace(
        b"CERTIFICATE", b"certificate").replace(b"PRIVATE KEY", b"private key"),
    "utf-16": lambda text: text.decode().encode("utf-16"), "nuls-after": lambda text: text + b"\0" * 64,
    "headers": lambda text: text.replace(b"-----\n", b"-----\nComment: a header\n\n", 1),
    "end-missing": lambda text: text[:text.index(b"-----END")],
    "end-of-another-kind": lambda text: text.replace(b"-----END ", b"-----END X"),
    "a-letter-lost": lambda text: text[:100] + text[101:], "garbage": lambda text: os.urandom(500),
}


def tricked(side, file, what, change, **how):
    sides = {role: files(ROOT, GOOD[role], key_pem(GOOD[role].key)) for role in ROLES}
    sides[side][file] = change(sides[side][file])
    if side == "client":
        clients = ["verify", "tls"] if file == "ca.pem" else ["tls+cert"]
        how = {"clients": ["verify+cert", "env-verify", *clients], **how}
    else:
        how = {"clients": ["verify+cert"], "daemons": ["verify", "tls", "noverify"] if file == "ca.pem" else ["verify"], **how}
    scenario(f"file-{side}-{file.removesuffix('.pem')}-{what}", sides["daemon"], sides["client"], **how)


for side in ROLES:
    for file in ["ca.pem", "cert.pem", "key.pem"]:
        for what, change in TRICKS.items():
            tricked(side, file, what, change)
    for what, text in {"ca": ROOT.der, "cert": GOOD[side].der, "key": key_der(GOOD[side].key)}.items():
        tricked(side, f"{what}.pem", "der", lambda _: text)
    own = key_pem(GOOD[side].key)
    for what, text in {
        "of-another": OTHER_KEY, "of-another-kind": key_pem(new_key("rsa2048")),
        "traditional": key_pem(GOOD[side].key, "traditional"), "openssh": key_pem(GOOD[side].key, "openssh"),
        "encrypted": key_pem(GOOD[side].key, password=b"x"),
        "encrypted-traditional": key_pem(GOOD[side].key, "traditional", password=b"x"),
        "is-a-certificate": GOOD[side].pem, "after-parameters": pem("EC PARAMETERS", oid("1.2.840.10045.3.1.7")) + own,
        "after-its-certificate": GOOD[side].pem + own, "after-another": OTHER_KEY + own,
        "before-another": own + OTHER_KEY, "labelled-foo": own.replace(b"PRIVATE", b"FOO PRIVATE"),
        "labelled-rsa": own.replace(b"PRIVATE", b"RSA PRIVATE"), "labelled-public": own.replace(b"PRIVATE", b"PUBLIC"),
        "is-public": GOOD[side].key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        "trailing-bytes": pem("PRIVATE KEY", key_der(GOOD[side].key) + b"\0"),
        "after-an-encrypted": key_pem(GOOD[side].key, "traditional", password=b"x") + own,
    }.items():
        tricked(side, "key.pem", what, lambda _: text)
    certificate_ = GOOD[side].pem
    for what, text in {
        "is-a-key": own, "after-its-key": own + certificate_, "is-the-ca": ROOT.pem,
        "labelled-x509": mangled_label(certificate_, b"X509 CERTIFICATE"),
        "labelled-trusted": mangled_label(certificate_, b"TRUSTED CERTIFICATE"),
        "before-garbage": certificate_ + pem("CERTIFICATE", b"\x30\x03\x02\x01\x05"),
        "after-garbage": pem("CERTIFICATE", b"\x30\x03\x02\x01\x05") + certificate_,
        "trailing-bytes": pem("CERTIFICATE", GOOD[side].der + b"\0"),
        "bundle-with-bom": BOM + certificate_ + ROOT.pem, "of-the-other-side": GOOD["client" if side == "daemon" else "daemon"].pem,
        "on-one-line-with-another": certificate_.rstrip(b"\n") + ROOT.pem,
        "before-a-request": certificate_ + pem("CERTIFICATE REQUEST", b"\x30\x00"),
    }.items():
        tricked(side, "cert.pem", what, lambda _: text)
    for what, text in {
        "is-a-key": own, "is-the-leaf": certificate_, "before-garbage": ROOT.pem + pem("CERTIFICATE", b"\x30\x00"),
        "after-garbage": pem("CERTIFICATE", b"\x30\x00") + ROOT.pem, "after-a-key": own + ROOT.pem,
        "labelled-trusted": mangled_label(ROOT.pem, b"TRUSTED CERTIFICATE"), "only-garbage": pem("CERTIFICATE", b"\x30\x00"),
        "after-bom-and-stranger": BOM + STRANGER.pem + ROOT.pem, "before-bom-and-stranger": ROOT.pem + BOM + STRANGER.pem,
        "after-a-truncated-one": truncated(STRANGER.pem) + b"\n" + ROOT.pem,
        "on-one-line-with-another": STRANGER.pem.rstrip(b"\n") + ROOT.pem,
        "headers-and-another": STRANGER.pem.replace(b"-----\n", b"-----\nA: b\n\n", 1) + ROOT.pem,
        "unusable-key-and-root": certificate("odd", key=new_key(), public=seq(seq(oid("1.2.3.4")), bits(b"x"))).pem + ROOT.pem,
        "trailing-bytes": pem("CERTIFICATE", ROOT.der + b"\0"),
    }.items():
        tricked(side, "ca.pem", what, lambda _: text)
    tricked(side, "cert.pem", "swapped-with-the-key", lambda _: own)
for role in ROLES:
    both = files(ROOT, GOOD[role], key_pem(GOOD[role].key))
    both["cert.pem"], both["key.pem"] = both["key.pem"], both["cert.pem"]
    other = "client" if role == "daemon" else "daemon"
    sides = {role: both, other: files(ROOT, GOOD[other], key_pem(GOOD[other].key))}
    scenario(f"file-{role}-cert-and-key-swapped", sides["daemon"], sides["client"],
             clients=[*EVERY, "env-verify"] if role == "client" else ["verify+cert"])
    sides[role] = files(ROOT, None, None)
    scenario(f"file-{role}-cert-and-key-missing", sides["daemon"], sides["client"],
             clients=[*EVERY, "env-verify", "env-tls"] if role == "client" else ["verify+cert"],
             daemons=["verify", "noverify"])

# ---- encodings that parsers differ on ------------------------------------------------------------------
def rdn(tag, body, kind="2.5.4.3"):
    return seq(tlv(0x31, seq(oid(kind), tlv(tag, body))))


for what, subject in {
    "t61": rdn(0x14, b"leaf"), "bmp": rdn(0x1E, "leaf".encode("utf-16-be")), "bmp-odd": rdn(0x1E, b"lea"),
    "universal": rdn(0x1C, "leaf".encode("utf-32-be")), "printable-with-at": rdn(0x13, b"a@b"),
    "printable-with-star": rdn(0x13, b"*.test"), "utf8-broken": rdn(0x0C, b"\xff\xfe"), "ia5-broken": rdn(0x16, b"\xfc"),
    "integer": rdn(0x02, b"\x05"), "numeric": rdn(0x12, b"12 3"), "numeric-broken": rdn(0x12, b"x"),
    "integer-too-long": rdn(0x02, b"\1" * 9), "boolean": rdn(0x01, b"\xff"), "boolean-of-1": rdn(0x01, b"\1"),
    "bits": rdn(0x03, b"\0x"), "bits-unused-9": rdn(0x03, b"\x09x"), "octets": rdn(0x04, b"x"), "null": rdn(0x05, b""),
    "null-with-content": rdn(0x05, b"x"), "oid": rdn(0x06, b"\x2a\x03"), "oid-cut": rdn(0x06, b"\x2a\x83"),
    "time": rdn(0x17, b"260101000000Z"), "time-broken": rdn(0x18, b"2026"), "sequence": rdn(0x30, b"\x02\x01\x05"),
    "context": rdn(0x80, b"x"), "general": rdn(0x1B, b"x"), "visible": rdn(0x1A, b"x"),
    "empty-set": seq(tlv(0x31)), "two-in-a-set": seq(tlv(0x31, seq(oid("2.5.4.3"), tlv(0x0C, b"a")), seq(
        oid("2.5.4.10"), tlv(0x0C, b"b")))), "empty-value": rdn(0x0C, b""), "trailing": seq(
        tlv(0x31, seq(oid("2.5.4.3"), tlv(0x0C, b"a"), tlv(0x05)))),
}.items():
    either(f"subject-{what}", lambda role: leaf(role, ROOT, subject=subject))
for what, moments_ in {
    "generalized-before-2050": (tlv(0x18, b"20260101000000Z"), moment(NOW + DAY)),
    "utc-of-2049": (tlv(0x17, b"260101000000Z"), tlv(0x17, b"491231235959Z")),
    "utc-of-1950-as-end": (tlv(0x17, b"260101000000Z"), tlv(0x17, b"500101000000Z")),
    "leap-day-that-is-none": (tlv(0x17, b"250229000000Z"), moment(NOW + DAY)),
    "second-60": (tlv(0x17, b"260101000060Z"), moment(NOW + DAY)),
    "hour-24": (tlv(0x17, b"260101240000Z"), moment(NOW + DAY)),
    "generalized-with-offset": (tlv(0x18, b"20260101000000+0000"), moment(NOW + DAY)),
    "utc-with-zero-offset": (tlv(0x17, b"260101000000+0000"), moment(NOW + DAY)),
    "year-0": (tlv(0x18, b"00000101000000Z"), moment(NOW + DAY)),
}.items():
    either(f"time-{what}", lambda role: leaf(role, ROOT, moments=moments_))
for what, value in {
    "eku-garbage": ext("2.5.29.37", b"\x30\x01"), "eku-trailing": ext("2.5.29.37", eku("server", "client")[2] + b"\0"),
    "ku-empty": ext("2.5.29.15", b"\x03\x01\x00"), "ku-two-octets": ext("2.5.29.15", b"\x03\x03\x07\x00\x80"),
    "ku-unused-bits-9": ext("2.5.29.15", b"\x03\x02\x09\x00"), "ku-dirty-padding": ext("2.5.29.15", b"\x03\x02\x07\xff"),
    "bc-boolean-1": ext("2.5.29.19", seq(tlv(0x01, b"\x01"))), "bc-path-negative": ext(
        "2.5.29.19", seq(tlv(0x01, b"\xff"), integer(-1))), "bc-path-huge": ext("2.5.29.19", seq(tlv(0x01, b"\xff"), integer(2**70))),
    "bc-trailing": ext("2.5.29.19", seq() + b"\0"), "policies-garbage": ext("2.5.29.32", b"\x30\x02\x30\x05"),
    "aia-garbage": ext("1.3.6.1.5.5.7.1.1", b"\x04\x00"), "crl-points-garbage": ext("2.5.29.31", b"\x30\x02\xa0\x05"),
    "nc-in-a-leaf": nc(["DNS:elsewhere.test"], critical=True), "nc-in-a-leaf-garbage": ext("2.5.29.30", b"\x04\x00"),
    "of-no-bytes": ext(UNKNOWN, b""),
}.items():
    either(f"ext-leaf-{what}", lambda role: leaf(role, ROOT, exts=[
        *([] if value[0] == "2.5.29.37" else [eku(PURPOSE[role])]), san(*NAMES), value], surgery=True))


def rebuilt(made, signer, change):
    """The certificate with its TBS's members changed, signed anew."""
    def member(data):
        size, start = data[1], 2
        if size & 0x80:
            start = 2 + (size & 0x7F)
            size = int.from_bytes(data[2:start], "big")
        return data[:start + size], data[start + size:], data[start:start + size]
    tbs, _, _ = member(member(made.der)[2])
    parts, rest = [], member(tbs)[2]
    while rest:
        part, rest, _ = member(rest)
        parts.append(part)
    body, unused = change(parts)
    signature, algorithm = sign(signer.key, "sha256", body)
    # An unused bit must be zero, or the bit string is another case.
    while unused and signature[-1] & 1:
        signature, algorithm = sign(signer.key, "sha256", body)
    return Made(seq(body, algorithm, tlv(0x03, bytes([unused]) + signature)), made.key, made.subject)


def long_form(data):
    return data[:1] + b"\x81" + data[1:] if data[1] < 0x80 else data[:1] + b"\x83" + b"\0" * (3 - (data[1] & 0x7F)) + data[2:]


REBUILT = {
    "unique-ids": lambda parts: (seq(*parts[:7], tlv(0x81, b"\0ab"), tlv(0x82, b"\0cd"), *parts[7:]), 0),
    "extensions-empty": lambda parts: (seq(*parts[:7], tlv(0xA3, seq())), 0),
    "extensions-twice": lambda parts: (seq(*parts, parts[7]), 0),
    "trailing-in-the-tbs": lambda parts: (seq(*parts, tlv(0x05)), 0),
    "length-not-minimal": lambda parts: (long_form(seq(*parts)), 0),
    "serial-length-not-minimal": lambda parts: (seq(parts[0], long_form(parts[1]), *parts[2:]), 0),
    "signature-with-unused-bits": lambda parts: (seq(*parts), 1),
    "version-explicit-1-with-extensions": lambda parts: (seq(tlv(0xA0, integer(0)), *parts[1:]), 0),
    "without-serial": lambda parts: (seq(parts[0], *parts[2:]), 0),
}
for what, change in REBUILT.items():
    either(f"der-{what}", lambda role: rebuilt(leaf(role, ROOT), ROOT, change))


# ---- keys nobody has, in certificates that nobody asks about ---------------------------------------------
def odd_rsa(modulus, exponent=65537):
    return seq(seq(oid("1.2.840.113549.1.1.1"), tlv(0x05)), bits(seq(integer(modulus), integer(exponent))))


def odd_point(point, curve="1.2.840.10045.3.1.7"):
    return seq(seq(oid("1.2.840.10045.2.1"), oid(curve)), bits(point))


from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: E402

ODD_KEYS = {
    "rsa9000": odd_rsa(2**9000 - 1), "rsa8192": odd_rsa(2**8192 - 1), "rsa-exponent-1": odd_rsa(2**2048 - 1, 1),
    "rsa-exponent-negative": odd_rsa(2**2048 - 1, -3), "rsa-exponent-huge": odd_rsa(2**2048 - 1, 2**40 + 1),
    "rsa-exponent-64-bits": odd_rsa(2**2048 - 1, 2**65 + 1), "rsa-modulus-negative": odd_rsa(-(2**2048) + 1),
    "rsa-modulus-even": odd_rsa(2**2048), "point-off-the-curve": odd_point(b"\x04" + b"\x05" * 64),
    "point-compressed": odd_point(new_key().public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)),
    "point-at-infinity": odd_point(b"\0"), "point-short": odd_point(b"\x04" + b"\x05" * 60),
    "curve-unknown": odd_point(b"\x04" + b"\x05" * 64, "1.2.3.4"), "ed25519-short": seq(seq(oid("1.3.101.112")), bits(b"x" * 31)),
    "ed25519-with-null": seq(seq(oid("1.3.101.112"), tlv(0x05)), bits(b"x" * 32)), "x25519": seq(seq(oid("1.3.101.110")), bits(b"x" * 32)),
    "dsa": seq(seq(oid("1.2.840.10040.4.1"), seq(integer(23), integer(11), integer(4))), bits(integer(8))),
    "dsa-of-zero": seq(seq(oid("1.2.840.10040.4.1"), seq(integer(0), integer(11), integer(4))), bits(integer(8))),
}
for what, public in ODD_KEYS.items():
    extra = certificate("superfluous", STRANGER, public=public)
    either(f"superfluous-key-{what}", lambda role: [leaf(role, ROOT), extra])
    anchor = certificate("superfluous", STRANGER, public=public)
    for role in ROLES:
        tricked(role, "ca.pem", f"odd-key-{what}", lambda _: anchor.pem, clients=["verify+cert"], daemons=["verify"])

# ---- sizes ----------------------------------------------------------------------------------------------
PADDED = [certificate(f"padding {at}", STRANGER, extra_key := new_key(), [ext(UNKNOWN, bytes(9000))]) for at in range(32)]
for count in [5, 8, 27, 32]:
    either(f"chain-of-{count * 9}-kilobytes", lambda role: [leaf(role, ROOT), *PADDED[:count]])
LARGE = ca("large root", extra=[ext(UNKNOWN, bytes(2 << 20))])
either("anchor-of-two-mebibytes", lambda role: (leaf(role, LARGE), LARGE))
NAMESAKES = [ca("matrix root") for _ in range(110)]
either("anchors-of-one-name-right-one-last", lambda role: (leaf(role, ROOT), [*NAMESAKES[:20], ROOT]))
either("anchors-of-one-name-over-the-budget", lambda role: (leaf(role, ROOT), [*NAMESAKES, ROOT]))
MANY = [ca(name("O=" + "m" * 60, "OU=" + "n" * 60, f"many {at}")) for at in range(400)]
either("anchors-many", lambda role: (leaf(role, ROOT), [*MANY[:300], ROOT]))
either("anchors-more-than-fit-in-a-request", lambda role: (leaf(role, ROOT), [*MANY, ROOT]))

# ---- hosts that only look like addresses -------------------------------------------------------------------
made = leaf("daemon", ROOT, names=[*NAMES, "DNS:127.1", "DNS:0x7f.0.0.1", "DNS:127.0.0.01", "DNS:2130706433"])
for host in ["127.1", "0x7f.0.0.1", "127.0.0.01", "127.0.0.1.", "2130706433"]:
    of_daemon(f"names-address-spelled-{host}", made, key_pem(made.key), host=host, clients=["verify+cert"])

# ---- openssl alone, as Docker's documentation has it ---------------------------------------------------------
DOCUMENTED = r"""set -e
openssl genrsa -out ca-key.pem 2048
openssl req -new -x509 -days 9 -key ca-key.pem -sha256 -out ca.pem -subj /CN=documented
for side in server client; do
    openssl genrsa -out $side-key.pem 2048
    openssl req -subj "/CN=$side" -sha256 -new -key $side-key.pem -out $side.csr
done
echo "subjectAltName = DNS:localhost,IP:127.0.0.1
extendedKeyUsage = serverAuth" >server.cnf
echo "extendedKeyUsage = clientAuth" >client.cnf
for side in server client; do
    openssl x509 -req -days 9 -sha256 -in $side.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out $side.pem -extfile $side.cnf
done
"""
folder = os.path.join(OUT, ".openssl")
os.mkdir(folder)
subprocess.run(["sh", "-c", DOCUMENTED], cwd=folder, check=True, capture_output=True)


def made_by_openssl(file):
    with open(os.path.join(folder, file), "rb") as text:
        return text.read()


by_openssl = {side: files(made_by_openssl("ca.pem"), made_by_openssl(f"{stem}.pem"), made_by_openssl(f"{stem}-key.pem"))
              for side, stem in (("daemon", "server"), ("client", "client"))}
scenario("openssl-as-documented", by_openssl["daemon"], by_openssl["client"], clients=EVERY, daemons=["verify", "tls", "noverify"])
scenario("openssl-client-as-daemon", by_openssl["client"], by_openssl["client"], clients=EVERY)
scenario("openssl-daemon-as-client", by_openssl["daemon"], by_openssl["daemon"], clients=EVERY)

finish()
