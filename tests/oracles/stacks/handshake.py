"""Mutual handshakes between Python's ssl as server and as client, in memory.

Usage: handshake.py LABEL DAEMON_DIR CLIENT_DIR STRANGER_DIR [NAME ...]
Prints one line per proof and ends with "done"; any surprise is an exception.
"""

import ssl
import sys

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def server(bundle, version):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(f"{bundle}/cert.pem", f"{bundle}/key.pem")
    context.load_verify_locations(f"{bundle}/ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def client(anchors, pair, version):
    context = ssl.create_default_context(cafile=f"{anchors}/ca.pem")
    context.minimum_version = context.maximum_version = version
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    if pair:
        context.load_cert_chain(f"{pair}/cert.pem", f"{pair}/key.pem")
    return context


def handshake(server_context, client_context, host):
    """Pumps both sides until each has sent the other a line; the client's CN."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = server_context.wrap_bio(to_server, to_client, server_side=True)
    two = client_context.wrap_bio(to_client, to_server, server_hostname=host)
    todo = [one.do_handshake, two.do_handshake]
    for _ in range(20):
        for step in list(todo):
            try:
                step()
                todo.remove(step)
            except ssl.SSLWantReadError:
                pass
    if todo:
        raise RuntimeError("the handshake does not end")
    # With TLS 1.3 a refused client certificate shows only now.
    one.write(b"from server\n")
    two.write(b"from client\n")
    assert two.read() == b"from server\n"
    assert one.read() == b"from client\n"
    subject = dict(pair[0] for pair in one.getpeercert()["subject"])
    return subject["commonName"]


def refused(why, *arguments):
    try:
        handshake(*arguments)
    except ssl.SSLError as error:
        text = str(error).lower()
        assert any(word.lower() in text for word in why), f"refused, but not for {why}: {error}"
        return
    raise AssertionError(f"accepted, but should be refused: {why}")


def main():
    label, daemon, alice, stranger, *names = sys.argv[1:]
    for version in VERSIONS:
        listening = server(daemon, version)
        for name in names:
            who = handshake(listening, client(alice, alice, version), name)
            assert who == "alice", who
            print(f"{label}: {version.name} {name}: mutual handshake with {who}")
        refused(["peer did not return a certificate"], listening, client(alice, None, version), names[0])
        refused(["certificate verify failed"], listening, client(alice, stranger, version), names[0])
        refused(["certificate verify failed"], listening, client(alice, daemon, version), names[0])
        refused(["mismatch"], listening, client(alice, alice, version), "other.example.com")
        refused(["mismatch"], listening, client(alice, alice, version), "127.0.0.2")
        refused(["certificate verify failed"], listening, client(stranger, alice, version), names[0])
        refused(["certificate verify failed"], server(alice, version), client(alice, alice, version), names[0])
    print("done")


main()
