"""What Python's ssl says of many daemons and clients, each in a mutual handshake in memory.

Reads lines "NAME<TAB>HOST<TAB>DIRECTORY" and answers each with "NAME<TAB>" and "ok" or who refuses and why. Both sides
have the flags that are Python's default since 3.13: strict, and partial chains.
"""

import ssl
import sys

FLAGS = ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN


def context(kind, folder):
    made = ssl.SSLContext(kind)
    made.load_verify_locations(f"{folder}/ca.pem")
    made.load_cert_chain(f"{folder}/cert.pem", f"{folder}/key.pem", password=b"wrong")
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= FLAGS
    return made


def handshake(folder, host):
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        server = context(ssl.PROTOCOL_TLS_SERVER, f"{folder}/daemon").wrap_bio(to_server, to_client, server_side=True)
    except (ssl.SSLError, OSError) as error:
        return f"daemon's files: {error}"
    try:
        client = context(ssl.PROTOCOL_TLS_CLIENT, f"{folder}/client").wrap_bio(
            to_client, to_server, server_hostname=host)
    except (ssl.SSLError, OSError, ValueError) as error:
        return f"client's files: {error}"
    todo = {"client": client.do_handshake, "daemon": server.do_handshake}
    for _ in range(20):
        for side, step in list(todo.items()):
            try:
                step()
                del todo[side]
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                return f"{side}: {error}"
    if todo:
        return "the handshake does not end"
    return "ok"


for line in sys.stdin:
    name, host, folder = line.rstrip("\n").split("\t")
    print(name, " ".join(handshake(folder, host).split()), sep="\t")
