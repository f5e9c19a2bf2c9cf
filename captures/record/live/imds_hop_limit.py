"""Record the case imds-hop-limit: real HTTP clients behind a router that drops what has no hop left.

    sudo python captures/record/live/imds_hop_limit.py OUTPUT-DIRECTORY

Needs Linux, root, ip and tcpdump. A metadata service stands in a namespace of its own; the node is a namespace that
forwards between it and two pods, and the capture is the node's, on all interfaces. The service sends the answer to a
token request with as many hops to live as the hop limit says (1), and all others with the system's default, as EC2
does. The clients ask in the order of botocore (botocore/utils.py, InstanceMetadataFetcher): token, list of roles,
credential; a second without an answer to the first means to go on without a token. No two recordings are equal; the
truth is what the clients measured. Credentials are the examples of the cloud's documentation.
"""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

METADATA, POD, OTHER, NODE = "169.254.169.254", "10.244.33.18", "10.244.33.19", "10.0.12.33"
HOP_LIMIT = 1
ROLE = "prod-east-node"
ROLES = "/latest/meta-data/iam/security-credentials/"
AGENT = "Boto3/1.40.61 md/Botocore#1.40.61 ua/2.1 os/linux#6.8.0-1021-aws md/arch#x86_64 lang/python#3.12.8"
TIMEOUT = 1
"""Botocore's metadata_service_timeout."""
PROCESSES, PAUSE = 12, 1.5
"""Processes of the pod, each of which fetches a credential once, and seconds between them."""


class Service(BaseHTTPRequestHandler):
    """The metadata service, version 1 allowed."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "EC2ws", ""

    def do_PUT(self) -> None:
        self.connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, HOP_LIMIT)
        self._answer("EXAMPLETOKEN" + "x" * 44, "X-Aws-Ec2-Metadata-Token-Ttl-Seconds")

    def do_GET(self) -> None:
        if self.path == ROLES:
            self._answer(ROLE)
        elif self.path == ROLES + ROLE:
            now = datetime.now(UTC)
            told = {
                "Code": "Success",
                "LastUpdated": f"{now:%Y-%m-%dT%H:%M:%SZ}",
                "Type": "AWS-HMAC",
                "AccessKeyId": "AKIAIOSFODNN7EXAMPLE",
                "SecretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                "Token": "EXAMPLETOKEN" + "x" * 568,
                "Expiration": f"{now + timedelta(hours=6):%Y-%m-%dT%H:%M:%SZ}",
            }
            self._answer(json.dumps(told, indent=2))
        else:
            self._answer("ami-id\nhostname\niam/\ninstance-id\n")

    def _answer(self, body: str, header: str = "") -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        if header:
            self.send_header(header, "21600")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


def _ask(path: str, method: str = "GET", **headers: str) -> str:
    asked = urllib.request.Request(f"http://{METADATA}{path}", method=method, headers={"User-Agent": AGENT} | headers)
    with urllib.request.urlopen(asked, timeout=TIMEOUT) as answer:
        text: str = answer.read().decode()
        return text


def fetch(tokens: bool) -> None:
    """Fetch a credential as botocore does, and print what it took; without `tokens` as an SDK of before 2019."""
    began = time.perf_counter()
    waited, headers = 0.0, {}
    if tokens:
        try:
            life = {"X-aws-ec2-metadata-token-ttl-seconds": "21600"}
            headers = {"X-aws-ec2-metadata-token": _ask("/latest/api/token", "PUT", **life)}
        except (TimeoutError, urllib.error.URLError):
            waited = time.perf_counter() - began
    role = _ask(ROLES, **headers)
    _ask(ROLES + role, **headers)
    print(json.dumps({"waited": waited, "seconds": time.perf_counter() - began}), flush=True)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _namespaces() -> None:
    for name in ("imds", "node", "pod", "other"):
        _run("ip", "netns", "add", name)
        _run("ip", "-n", name, "link", "set", "lo", "up")
    for name, address, link in (("imds", METADATA, "eth0"), ("pod", POD, "eth0"), ("other", OTHER, "eth0")):
        _run("ip", "link", "add", link, "netns", name, "type", "veth", "peer", "name", f"v-{name}", "netns", "node")
        _run("ip", "-n", name, "address", "add", f"{address}/32", "dev", link)
        _run("ip", "-n", name, "link", "set", link, "up")
        _run("ip", "-n", "node", "link", "set", f"v-{name}", "up")
        _run("ip", "-n", name, "route", "add", NODE, "dev", link)
        _run("ip", "-n", name, "route", "add", "default", "via", NODE)
        _run("ip", "-n", "node", "route", "add", address, "dev", f"v-{name}")
    _run("ip", "-n", "node", "address", "add", f"{NODE}/32", "dev", "lo")
    _run("ip", "netns", "exec", "node", "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.icmp_ratelimit=0")


def _inside(name: str, *words: str) -> list[str]:
    return ["ip", "netns", "exec", name, sys.executable, str(Path(__file__).resolve()), *words]


def _fetch(name: str, tokens: str) -> dict[str, float]:
    done = subprocess.run(_inside(name, "fetch", tokens), check=True, capture_output=True, text=True)
    told: dict[str, float] = json.loads(done.stdout)
    return told


def record(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    raw = folder / "node.pcap"
    capture = ["ip", "netns", "exec", "node", "tcpdump", "-i", "any", "-s", "0", "-U", "-w", str(raw), "tcp or icmp"]
    began = datetime.now(UTC)
    try:
        _namespaces()
        with subprocess.Popen(_inside("imds", "serve")) as server, subprocess.Popen(capture) as tcpdump:
            time.sleep(2)
            mine = []
            for _ in range(PROCESSES):
                mine.append(_fetch("pod", "tokens"))
                _fetch("other", "plain")
                _fetch("node", "tokens")
                time.sleep(PAUSE)
            time.sleep(1)
            tcpdump.terminate()
            server.terminate()
    finally:
        for name in ("imds", "node", "pod", "other"):
            subprocess.run(("ip", "netns", "del", name), check=False)
    _finish(folder, raw, mine, began)


def _finish(folder: Path, raw: Path, mine: list[dict[str, float]], began: datetime) -> None:
    (folder / "node.pcap.gz").write_bytes(gzip.compress(raw.read_bytes(), mtime=0))
    raw.unlink()
    waits = [one["waited"] for one in mine if one["waited"]]
    figures = {
        "token requests without an answer": len(waits),
        "token requests": len(mine),
        "other metadata requests": 2 * len(mine),
        "other metadata requests answered": 2 * len(mine),
        "requests refused for lack of a token": 0,
        "answers dropped for want of a hop": len(waits),
    }
    document = {
        "findings": {f"imds-hop-limit:{POD}": figures},
        "window": {"start": f"{began:%Y-%m-%dT%H:%M:%SZ}", "end": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"},
        "counts": {"processes": 3 * len(mine), "milliseconds waited": round(1000 * sum(waits))},
    }
    (folder / "truth.json").write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "serve":
        ThreadingHTTPServer((METADATA, 80), Service).serve_forever()
    elif what == "fetch":
        fetch(rest[0] == "tokens")
    else:
        os.umask(0o022)
        record(Path(what))
