"""Holds an inventory against the directories: what is wrong, a line each. Read by Python's own SQLite.

Usage: books.py INVENTORY settled|open DIR...
"settled": a run has come to its end since the last kill, so nothing may be announced and not delivered.
"""

import base64
import os
import sqlite3
import sys

inventory, state, directories = sys.argv[1], sys.argv[2], sys.argv[3:]
books = sqlite3.connect(f"file:{inventory}?mode=rw", uri=True, timeout=20)


def leaf(directory):
    """The DER of the first certificate in a directory's cert.pem."""
    with open(os.path.join(directory, "cert.pem"), encoding="ascii") as file:
        body = file.read().split("-----BEGIN CERTIFICATE-----")[1].split("-----END")[0]
    return base64.b64decode(body)


for (line,) in books.execute("PRAGMA integrity_check"):
    if line != "ok":
        print("integrity:", line)
for generation, serial, count in books.execute(
    "SELECT generation, hex(serial), count(*) FROM certificate GROUP BY 1, 2 HAVING count(*) > 1"
):
    print(f"serial {serial} of generation {generation} was used {count} times")
for directory in filter(os.path.isdir, directories):
    row = books.execute("SELECT state FROM certificate WHERE der = ?", [leaf(directory)]).fetchone()
    if row is None:
        print(f"{directory} holds a certificate that nobody remembers")
    elif state == "settled" and row[0] == "reserved":
        print(f"{directory} holds a certificate that counts as reserved")
if state == "settled":
    for place, pending in books.execute("SELECT place, pending FROM destination WHERE pending IS NOT NULL"):
        print(f"{place}: {pending} is announced")
    rows = books.execute("SELECT place, der FROM destination JOIN certificate ON certificate.id = destination.certificate")
    for place, der in rows:
        directory = os.fsdecode(place)
        if not os.path.isdir(directory):
            print(f"{directory} is gone")
        elif leaf(directory) != der:
            print(f"{directory} holds another certificate than is remembered")
