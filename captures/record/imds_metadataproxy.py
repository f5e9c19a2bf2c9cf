"""The case imds-metadataproxy: a proxy keeps credentials longer than the SDK wants them, so that the SDK storms in the
last minutes of each."""

from __future__ import annotations

import random

from cluster import Cluster, moment, node
from imds import NEW_SDK, Client, credentials
from imds_credential_storm import S3, polite
from story import HOME, Truth
from tcp import Ports
from wire import SECOND, Capture, write

NAME = "imds-metadataproxy"
START = moment("2026-11-22T08:00:00")
MINUTE = 60 * SECOND
AGENT = "aws-sdk-java/1.11.546 Linux/6.8.0-1021-aws OpenJDK_64-Bit_Server_VM/25.402-b06 java/1.8.0_402"
ROLE = "prod-east-batch"
ROLES = "/latest/meta-data/iam/security-credentials/"
LIFE, RENEWED, WINDOW = 3600, 300, 900
"""Seconds that a credential lives; that it has left when the proxy renews it (metadataproxy before 2.0), and when the
SDK wants another (aws-sdk-java, BaseCredentialsFetcher, EXPIRATION_THRESHOLD)."""
LIVES = 2
EVERY = 30 * SECOND


def refresh(client: Client, at: int, issued: int) -> int:
    """List of roles and credential, the latter as it was issued; this SDK knows no tokens."""
    first, came = client.get(at, ROLES, ROLE)
    _, came = client.get(came + client.capture.rng.randrange(700, 1300), ROLES + ROLE, credentials(issued, LIFE))
    client.spent.append(came - first)
    return came


def main() -> None:
    rng = random.Random(NAME)
    here = node(36)
    capture, ports, cluster = Capture(here.subnet, rng), Ports(rng), Cluster(rng)
    client = Client(capture, ports, cluster.pod("logistics", "batch-writer", here).ip, AGENT, ROLE)
    other = cluster.pod("shop", "image-resizer", here)

    # A request every half minute; the proxy has had its first credential for a while.
    issued, held, renewals = START - 20 * MINUTE, 0, 0
    at = START + 5 * SECOND
    while renewals < LIVES:
        if at >= issued + (LIFE - RENEWED) * SECOND:
            issued += (LIFE - RENEWED) * SECOND
        came = at
        if at > held + (LIFE - WINDOW) * SECOND:
            came = refresh(client, at, issued)
            renewals += held != 0 and held != issued
            held = issued
        client.call(came + 900, S3, rng.randrange(600, 1300), rng.randrange(300, 420))
        at += EVERY + rng.randrange(SECOND)
    end = at + MINUTE
    polite(capture, ports, other.ip, NEW_SDK, [START + MINUTE])

    truth = Truth(START, end)
    figures = client.figures() | {"bursts": LIVES}
    truth.findings[f"imds-credential-storm:{client.ip}"] = figures
    truth.counts = {"packets": len(capture.frames)}
    folder = HOME / NAME
    write(folder / "node.pcap.gz", capture.pcap())
    truth.write(folder)
