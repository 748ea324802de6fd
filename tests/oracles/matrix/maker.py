"""The makers of certificates and of scenarios; make.py says which.

Python's cryptography makes every certificate that it agrees to make; what it refuses (an odd version, serial,
signature or encoding) is written as DER here and signed by its keys, or made by openssl. Nothing of Dockseal's is used.
"""

import datetime
import ipaddress
import json
import os
import sys
import warnings

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, padding, rsa
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID, ObjectIdentifier as Oid

warnings.simplefilter("ignore")
OUT = sys.argv[1]
NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
DAY = datetime.timedelta(days=1)


# ---- DER ----------------------------------------------------------------------
def tlv(tag, *parts):
    body = b"".join(parts)
    n = len(body)
    if n < 0x80:
        head = bytes([n])
    else:
        size = n.to_bytes((n.bit_length() + 7) // 8, "big")
        head = bytes([0x80 | len(size)]) + size
    return bytes([tag]) + head + body


def seq(*parts):
    return tlv(0x30, *parts)


def integer(n):
    return tlv(0x02, n.to_bytes((n if n >= 0 else ~n).bit_length() // 8 + 1, "big", signed=True))


def oid(dotted):
    first, second, *rest = (int(part) for part in dotted.split("."))
    out = bytearray()
    for arc in [first * 40 + second, *rest]:
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.append(0x80 | arc & 0x7F)
        out += bytes(reversed(septets))
    return tlv(0x06, bytes(out))


def bits(body):
    return tlv(0x03, b"\0", body)


def moment(when):
    # RFC 5280 4.1.2.5: GeneralizedTime from 2050 on.
    if 1950 <= when.year < 2050:
        return tlv(0x17, when.strftime("%y%m%d%H%M%SZ").encode())
    return tlv(0x18, when.strftime("%Y%m%d%H%M%SZ").encode())


# ---- keys ---------------------------------------------------------------------
CURVES = {"p224": ec.SECP224R1, "p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1, "k256": ec.SECP256K1}
# RFC 9881, section 2.
ML_DSA = {"mldsa44": "2.16.840.1.101.3.4.3.17", "mldsa65": "2.16.840.1.101.3.4.3.18", "mldsa87": "2.16.840.1.101.3.4.3.19"}
ML_DSA_KEYS = {kind: getattr(mldsa, f"MLDSA{kind[-2:]}PrivateKey") for kind in ML_DSA}
SPARE = {}


def new_key(kind="p256"):
    if kind in CURVES:
        return ec.generate_private_key(CURVES[kind]())
    if kind in ML_DSA:
        return ML_DSA_KEYS[kind].generate()
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind == "ed448":
        return ed448.Ed448PrivateKey.generate()
    # RSA keys take long: leaves of one size share one.
    if kind not in SPARE:
        SPARE[kind] = rsa.generate_private_key(65537, int(kind.removeprefix("rsa")))
    return SPARE[kind]


def key_pem(key, form="pkcs8", password=None):
    forms = {"pkcs8": serialization.PrivateFormat.PKCS8, "traditional": serialization.PrivateFormat.TraditionalOpenSSL,
             "openssh": serialization.PrivateFormat.OpenSSH}
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, forms[form], how)


def key_der(key):
    return key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


def spki(key):
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


# ---- extensions ---------------------------------------------------------------
def ext(dotted, value, critical=False):
    return (dotted, critical, value)


def typed(value, critical=False):
    return ext(value.oid.dotted_string, value.public_bytes(), critical)


def bc(ca=True, path=None, critical=True):
    return typed(x509.BasicConstraints(ca, path), critical)


USAGES = ["digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
          "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"]


def ku(*names, critical=True):
    return typed(x509.KeyUsage(**{usage: usage in names for usage in USAGES}), critical)


PURPOSES = {"server": "1.3.6.1.5.5.7.3.1", "client": "1.3.6.1.5.5.7.3.2", "code": "1.3.6.1.5.5.7.3.3",
            "email": "1.3.6.1.5.5.7.3.4", "any": "2.5.29.37.0", "unknown": "1.3.6.1.4.1.55555.7",
            "netscape": "2.16.840.1.113730.4.1", "microsoft": "1.3.6.1.4.1.311.10.3.3"}


def eku(*names, critical=False):
    if not names:
        return ext("2.5.29.37", seq(), critical)
    return typed(x509.ExtendedKeyUsage([Oid(PURPOSES[name]) for name in names]), critical)


def general(text):
    kind, _, value = text.partition(":")
    if kind == "DNS":
        return x509.DNSName(value)
    if kind == "IP":
        return x509.IPAddress(ipaddress.ip_address(value))
    if kind == "NET":
        return x509.IPAddress(ipaddress.ip_network(value))
    if kind == "MAIL":
        return x509.RFC822Name(value)
    if kind == "URI":
        return x509.UniformResourceIdentifier(value)
    if kind == "DIR":
        return x509.DirectoryName(name(value))
    return x509.RegisteredID(Oid(value))


def san(*texts, critical=False):
    return typed(x509.SubjectAlternativeName([general(text) for text in texts]), critical)


def raw_san(*pairs):
    return ext("2.5.29.17", seq(*(tlv(tag, body) for tag, body in pairs)))


def nc(permitted=(), excluded=(), critical=True):
    trees = [[general(text) for text in texts] or None for texts in (permitted, excluded)]
    return typed(x509.NameConstraints(*trees), critical)


def ski(key):
    return typed(x509.SubjectKeyIdentifier.from_public_key(key.public_key()))


def aki(key):
    return typed(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()))


def name(*texts):
    """CN unless written as ATTRIBUTE=VALUE."""
    kinds = {"CN": NameOID.COMMON_NAME, "O": NameOID.ORGANIZATION_NAME, "OU": NameOID.ORGANIZATIONAL_UNIT_NAME}
    pairs = [text.split("=", 1) if "=" in text else ("CN", text) for text in texts]
    return x509.Name([x509.NameAttribute(kinds[kind], value) for kind, value in pairs])


def printable(common):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common, _type=_ASN1Type.PrintableString)])


# ---- certificates --------------------------------------------------------------
class Made:
    """A certificate with its key; `subject` is what those it issues name as their issuer."""

    def __init__(self, der, key, subject):
        self.der, self.key, self.subject = der, key, subject

    @property
    def pem(self):
        return pem("CERTIFICATE", self.der)


def pem(label, der, eol="\n"):
    import base64
    text = base64.b64encode(der).decode()
    lines = [text[at:at + 64] for at in range(0, len(text), 64)]
    return (eol.join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----"]) + eol).encode()


HASHES = {"sha1": hashes.SHA1, "md5": hashes.MD5, "sha224": hashes.SHA224, "sha256": hashes.SHA256,
          "sha384": hashes.SHA384, "sha512": hashes.SHA512}
RSA_SIGNATURES = {"md5": 4, "sha1": 5, "sha256": 11, "sha384": 12, "sha512": 13, "sha224": 14}
EC_SIGNATURES = {"sha1": "1.2.840.10045.4.1", "sha224": "1.2.840.10045.4.3.1", "sha256": "1.2.840.10045.4.3.2",
                 "sha384": "1.2.840.10045.4.3.3", "sha512": "1.2.840.10045.4.3.4"}


def sign(key, digest, body):
    """The signature and its AlgorithmIdentifier."""
    if isinstance(key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)):
        return key.sign(body), seq(oid("1.3.101.112" if isinstance(key, ed25519.Ed25519PrivateKey) else "1.3.101.113"))
    for kind, dotted in ML_DSA.items():
        if isinstance(key, ML_DSA_KEYS[kind]):
            return key.sign(body), seq(oid(dotted))
    if isinstance(key, rsa.RSAPrivateKey):
        algorithm = seq(oid(f"1.2.840.113549.1.1.{RSA_SIGNATURES[digest]}"), tlv(0x05))
        return key.sign(body, padding.PKCS1v15(), HASHES[digest]()), algorithm
    return key.sign(body, ec.ECDSA(HASHES[digest]())), seq(oid(EC_SIGNATURES[digest]))


COUNT = [1000]


def certificate(subject, issuer=None, key=None, exts=(), *, issuer_name=None, begin=-DAY, end=30 * DAY, serial=None,
                digest="sha256", pss=False, version=3, public=None, surgery=False, outer=None, break_signature=False,
                serial_der=None, moments=None, algorithm=None):
    """One certificate, self-signed without `issuer`. `subject` and `issuer_name` are names or DER."""
    key = key or new_key()
    signer = issuer.key if issuer else key
    if isinstance(subject, str):
        subject = name(subject)
    issuer_name = issuer_name or (issuer.subject if issuer else subject)
    if serial is None:
        COUNT[0] += 1
        serial = COUNT[0]
    begin, end = NOW + begin, NOW + end
    twice = len({dotted for dotted, _, _ in exts}) != len(exts)
    surgery = (surgery or twice or version != 3 or serial <= 0 or serial.bit_length() > 159 or serial_der or moments
               or digest in ("sha1", "md5") or public or outer or algorithm
               or not isinstance(subject, x509.Name) or not isinstance(issuer_name, x509.Name))
    if not surgery:
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer_name)
                   .public_key(key.public_key()).serial_number(serial)
                   .not_valid_before(begin).not_valid_after(end))
        for dotted, critical, value in exts:
            builder = builder.add_extension(x509.UnrecognizedExtension(Oid(dotted), value), critical)
        plain = isinstance(signer, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey, *ML_DSA_KEYS.values()))
        how = padding.PSS(padding.MGF1(hashes.SHA256()), 32) if pss else None
        der = builder.sign(signer, None if plain else HASHES[digest](), rsa_padding=how).public_bytes(
            serialization.Encoding.DER)
    else:
        def of(value):
            return value.public_bytes() if isinstance(value, x509.Name) else value
        _, inner = sign(signer, digest, b"")
        inner = algorithm or inner
        listed = [seq(oid(dotted), *([tlv(0x01, b"\xff")] if critical else []), tlv(0x04, value))
                  for dotted, critical, value in exts]
        tbs = seq(*([tlv(0xA0, integer(version - 1))] if version != 1 else []), serial_der or integer(serial), inner,
                  of(issuer_name), seq(*(moments or (moment(begin), moment(end)))), of(subject), public or spki(key),
                  *([tlv(0xA3, seq(*listed))] if listed else []))
        signature, _ = sign(signer, digest, tbs)
        der = seq(tbs, outer or inner, bits(signature))
    if break_signature:
        der = der[:-1] + bytes([der[-1] ^ 1])
    return Made(der, key, subject)


CA_USAGE = ("key_cert_sign", "crl_sign")


def identified(exts, key, issuer, how):
    """With key identifiers, as RFC 5280 has them, so that what is odd about a certificate is what its maker meant."""
    present = {dotted for dotted, _, _ in exts}
    if not exts or how.get("version", 3) != 3 or how.pop("anonymous", False):
        return exts
    own = [ski(key)] if "2.5.29.14" not in present and any(dotted == "2.5.29.19" for dotted in present) else []
    above = [aki(issuer.key)] if issuer and "2.5.29.35" not in present else []
    return [*exts, *own, *above]


def ca(subject, issuer=None, key=None, *, path=None, exts=None, extra=(), **how):
    key = key or new_key()
    exts = [bc(True, path), ku(*CA_USAGE)] if exts is None else list(exts)
    return certificate(subject, issuer, key, identified([*exts, *extra], key, issuer, how), **how)


NAMES = ["DNS:localhost", "IP:127.0.0.1", "IP:::1"]


def leaf(role, issuer, key=None, *, subject=None, exts=None, extra=(), names=None, usage=None, purposes=None, **how):
    """An ordinary leaf of a daemon or a client, changed as told."""
    key = key or new_key()
    if exts is None:
        exts = [bc(False), usage or ku("digital_signature"), purposes or eku(PURPOSE[role])]
        if role == "daemon" or names:
            exts.append(names if isinstance(names, tuple) and len(names) == 3 and isinstance(names[1], bool)
                        else san(*(names or NAMES)))
    exts = identified([*exts, *extra], key, issuer, how)
    return certificate(subject if subject is not None else f"{role} leaf", issuer, key, exts, **how)


PURPOSE = {"daemon": "server", "client": "client"}
OTHER = {"daemon": "client", "client": "server"}
ROLES = ["daemon", "client"]

# ---- scenarios -----------------------------------------------------------------
SCENARIOS = []
ROOT = ca("matrix root")
GOOD = {role: leaf(role, ROOT) for role in ROLES}
STRANGER = ca("matrix stranger")
MUTUAL = ["verify+cert", "tls+cert"]
EVERY = ["tls", "tls+cert", "verify", "verify+cert"]


def files(anchors, chain, key):
    def joined(parts):
        if parts is None or isinstance(parts, bytes):
            return parts
        parts = parts if isinstance(parts, list) else [parts]
        return b"".join(part.pem if isinstance(part, Made) else part for part in parts)
    return {"ca.pem": joined(anchors), "cert.pem": joined(chain), "key.pem": key}


def scenario(title, daemon, client, *, host="127.0.0.1", clients=None, daemons=None):
    assert title not in [known["name"] for known in SCENARIOS], title
    for side, content in (("daemon", daemon), ("client", client)):
        folder = os.path.join(OUT, title, side)
        os.makedirs(folder)
        for file, data in content.items():
            if data is not None:
                with open(os.path.join(folder, file), "wb") as out:
                    out.write(data)
    SCENARIOS.append({"name": title, "host": host, "clients": clients or MUTUAL, "daemons": daemons or ["verify"]})


def of_daemon(title, chain, key, anchors=None, **how):
    """The daemon's chain, before a client that trusts `anchors`."""
    anchors = ROOT if anchors is None else anchors
    how.setdefault("clients", MUTUAL)
    scenario(f"daemon-{title}", files(ROOT, chain, key), files(anchors, GOOD["client"], key_pem(GOOD["client"].key)),
             **how)


def of_client(title, chain, key, anchors=None, **how):
    """The client's chain, before a daemon that trusts `anchors`."""
    anchors = ROOT if anchors is None else anchors
    how.setdefault("daemons", ["verify"])
    scenario(f"client-{title}", files(anchors, GOOD["daemon"], key_pem(GOOD["daemon"].key)), files(ROOT, chain, key),
             **how)


OF = {"daemon": of_daemon, "client": of_client}


def either(title, make, **how):
    """One scenario for each role: `make(role)` gives the chain (leaf first) and the anchors (None: the good root)."""
    for role in ROLES:
        made = make(role)
        chain, anchors = made if isinstance(made, tuple) else (made, None)
        chain = chain if isinstance(chain, list) else [chain]
        OF[role](title, chain, key_pem(chain[0].key), anchors, **how)


def finish():
    with open(os.path.join(OUT, "scenarios.json"), "w") as out:
        json.dump(SCENARIOS, out, indent=1)
    print(len(SCENARIOS), "scenarios")
