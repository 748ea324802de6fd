"""pyca/cryptography's own verifiers, of clients and of servers.

Usage: verifiers.py LABEL DAEMON_DIR CLIENT_DIR STRANGER_DIR [NAME ...]
Ends with "done"; any surprise is an exception.
"""

import datetime
import ipaddress
import sys

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError


def read(directory, name):
    with open(f"{directory}/{name}", "rb") as file:
        return x509.load_pem_x509_certificates(file.read())


def subject(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def main():
    label, daemon, client, stranger, *names = sys.argv[1:]
    policy = PolicyBuilder().store(Store(read(daemon, "ca.pem"))).time(datetime.datetime.now())
    clients = policy.build_client_verifier()

    def accepts(verifier, directory):
        leaf, *rest = read(directory, "cert.pem")
        try:
            verifier.verify(leaf, rest)
        except VerificationError as error:
            print(f"{label}: {directory}: {error}")
            return False
        return True

    # The profile of the web's authorities, which these verifiers have, knows no signatures of Ed25519.
    anchors = read(daemon, "ca.pem")
    known = not any(isinstance(anchor.public_key(), ed25519.Ed25519PublicKey) for anchor in anchors)
    assert accepts(clients, client) == known, "the client"
    assert not accepts(clients, stranger), "a stranger"
    assert not accepts(clients, daemon), "a daemon as a client"
    for name in names:
        assert accepts(policy.build_server_verifier(subject(name)), daemon) == known, name
    print("done")


main()
