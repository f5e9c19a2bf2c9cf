"""The instance metadata service of a node, and the clients that ask it for credentials.

Only the example credentials of the cloud's own documentation occur.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from email.utils import formatdate

from cluster import OUTSIDE, rfc3339
from tcp import Connection, Ports, tls
from wire import SECOND, Capture, Ends

METADATA = "169.254.169.254"
TOKEN_LIFE = 21600
OLD_SDK = "Botocore/1.20.112 Python/3.8.10 Linux/6.8.0-1021-aws"
NEW_SDK = "Boto3/1.40.61 md/Botocore#1.40.61 ua/2.1 os/linux#6.8.0-1021-aws md/arch#x86_64 lang/python#3.12.8"
CLI = "aws-cli/2.31.4 md/awscrt#0.27.6 ua/2.1 os/linux#6.8.0-1021-aws md/arch#x86_64 lang/python#3.13.7"
PROBE = "Go-http-client/1.1"


def _date(at: int) -> str:
    return formatdate(at // SECOND, usegmt=True)


def _reply(at: int, body: str, extra: str = "") -> bytes:
    head = (
        f"HTTP/1.1 200 OK\r\nServer: EC2ws\r\nDate: {_date(at)}\r\nContent-Type: text/plain\r\nAccept-Ranges: none\r\n"
    )
    return (head + f"Content-Length: {len(body)}\r\n{extra}Connection: close\r\n\r\n{body}").encode()


def credentials(at: int, life: int) -> str:
    """The document of a role. `life` in seconds from now."""
    filler = "EXAMPLETOKEN" + "x" * 568
    lines = [
        '"Code" : "Success"',
        f'"LastUpdated" : "{rfc3339(at, 0)}"',
        '"Type" : "AWS-HMAC"',
        '"AccessKeyId" : "AKIAIOSFODNN7EXAMPLE"',
        '"SecretAccessKey" : "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"',
        f'"Token" : "{filler}"',
        f'"Expiration" : "{rfc3339(at + life * SECOND, 0)}"',
    ]
    return "{\n  " + ",\n  ".join(lines) + "\n}"


@dataclass
class Client:
    """One pod that talks to the metadata service, and what it cost, counted while it is written."""

    capture: Capture
    ports: Ports
    ip: str
    agent: str
    role: str
    spent: list[int] = field(default_factory=list)
    """Microseconds from the first request to the last answer of each refresh."""
    requests: int = 0
    calls: int = 0

    def _exchange(self, at: int, request: str, reply: bytes, think: int) -> tuple[int, int]:
        """One connection with one request, as the SDK makes it; when the request left and when its answer came."""
        ends = Ends(self.ip, self.ports.next(self.ip), METADATA, 80)
        connection = Connection(self.capture, ends, rtt=self.capture.rng.randrange(90, 260))
        sent = connection.open(at) + self.capture.rng.randrange(60, 300)
        came = connection.ask(sent, request.encode(), reply, think)
        connection.close(came + self.capture.rng.randrange(60, 140), by_server=True)
        self.requests += 1
        return sent, came

    def get(self, at: int, path: str, body: str, token: str = "", slow: int = 0) -> tuple[int, int]:
        header = f"x-aws-ec2-metadata-token: {token}\r\n" if token else ""
        request = f"GET {path} HTTP/1.1\r\nHost: {METADATA}\r\nAccept-Encoding: identity\r\n{header}"
        request += f"User-Agent: {self.agent}\r\n\r\n"
        return self._exchange(at, request, _reply(at, body), slow + self.capture.rng.randrange(150, 900))

    def put_token(self, at: int) -> tuple[int, int, str]:
        token = "EXAMPLE" + "".join(self.capture.rng.choice("ABCDEFghijkl0123456789-_") for _ in range(45)) + "=="
        life = f"-aws-ec2-metadata-token-ttl-seconds: {TOKEN_LIFE}\r\n"
        request = (
            f"PUT /latest/api/token HTTP/1.1\r\nHost: {METADATA}\r\nAccept-Encoding: identity\r\n"
            f"x{life}User-Agent: {self.agent}\r\nContent-Length: 0\r\n\r\n"
        )
        sent, came = self._exchange(at, request, _reply(at, token, "X" + life), self.capture.rng.randrange(200, 1500))
        return sent, came, token

    def refresh(self, at: int, life: int, slow: int = 0) -> int:
        """Token, list of roles, credentials of the role; returns when they are there. `slow` delays the last answer."""
        first, came, token = self.put_token(at)
        base = "/latest/meta-data/iam/security-credentials/"
        _, came = self.get(came + self.capture.rng.randrange(700, 1300), base, self.role, token)
        body = credentials(came, life)
        _, came = self.get(came + self.capture.rng.randrange(700, 1300), base + self.role, body, token, slow)
        self.spent.append(came - first)
        return came

    def call(self, at: int, service: str, request: int, reply: int) -> int:
        """One request to a cloud service over a TLS connection of its own."""
        where = self.capture.rng.choice(OUTSIDE[service])
        ends = Ends(self.ip, self.ports.next(self.ip), where, 443)
        self.calls += 1
        return tls(
            Connection(self.capture, ends, rtt=self.capture.rng.randrange(700, 1600)), at, service, request, reply
        )

    def figures(self) -> dict[str, int | float]:
        """The figures of an imds-credential-storm finding."""
        return {
            "refreshes": len(self.spent),
            "metadata requests": self.requests,
            "seconds spent": round(sum(self.spent) / 1e6, 6),
            "median refresh seconds": round(statistics.median(self.spent) / 1e6, 6),
            "application requests": self.calls,
        }


def health_check(client: Client, at: int) -> int:
    """A node agent that asks whether the service is there, without a token and without credentials."""
    listing = "ami-id\nhostname\niam/\ninstance-id\ninstance-type\nlocal-hostname\nlocal-ipv4\nmac\nplacement/"
    return client.get(at, "/latest/meta-data/", listing)[1]
