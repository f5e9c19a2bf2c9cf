"""The invented cluster: nodes, pods, service accounts, and the names that all evidence of one case agrees on.

The shop runs on a cluster called prod-east in account 123456789012. Nodes are 10.0.12.x, pods 10.244.N.x,
services 10.96.x.x; what is outside lies in the documentation ranges of RFC 5737.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from wire import SECOND

CLUSTER_DNS = "10.96.0.10"
VERSION = "v1.36.2"
COMMIT = "3d8a7f2"
AGENT_TAIL = f"{VERSION} (linux/amd64) kubernetes/{COMMIT}"
HASH_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""The letters that Kubernetes makes name suffixes of: no vowels, so that no words come out."""


def moment(text: str) -> int:
    """Microseconds since the epoch of `2026-11-17T13:00:00`."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


def rfc3339(at: int, digits: int = 6) -> str:
    """UTC with so many digits: 0 as in object metadata, 6 as in the audit log, 9 as in CRI (three of them invented)."""
    text = datetime.fromtimestamp(at // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    if not digits:
        return text + "Z"
    return f"{text}.{at % SECOND:06d}" + (f"{at * 7919 % 1000:03d}" if digits == 9 else "") + "Z"


def suffix(rng: random.Random, length: int) -> str:
    return "".join(rng.choice(HASH_LETTERS) for _ in range(length))


def new_uid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


@dataclass(frozen=True, slots=True)
class Node:
    name: str
    ip: str
    subnet: str
    """The first three octets of its pods, with the final dot."""


def node(number: int) -> Node:
    """Node 33 is ip-10-0-12-33.ec2.internal, 10.0.12.33, with pods in 10.244.33.0/24."""
    return Node(f"ip-10-0-12-{number}.ec2.internal", f"10.0.12.{number}", f"10.244.{number}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    namespace: str
    owner: str
    """The Deployment, or DaemonSet where there is no hash."""
    name: str
    ip: str
    node: Node
    uid: str
    image: str = "registry.example.com/app:1"

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def search(self) -> tuple[str, ...]:
        """What the kubelet writes into resolv.conf under dnsPolicy ClusterFirst on a node with one search domain."""
        return (f"{self.namespace}.svc.cluster.local", "svc.cluster.local", "cluster.local", "ec2.internal")


def _halves(key: str) -> tuple[str, str]:
    namespace, _, name = key.partition("/")
    return namespace, name


@dataclass
class Cluster:
    """Hands out names and addresses, each once."""

    rng: random.Random
    taken: dict[str, int] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)

    def address(self, on: Node) -> str:
        self.taken[on.subnet] = self.taken.get(on.subnet, 1) + 1
        return f"{on.subnet}{self.taken[on.subnet]}"

    def template_hash(self, owner: str) -> str:
        """The pod-template-hash of a Deployment's current ReplicaSet."""
        return self.hashes.setdefault(owner, suffix(self.rng, self.rng.choice((9, 10))))

    def pod(self, namespace: str, owner: str, on: Node, image: str = "registry.example.com/app:1") -> Pod:
        """A pod of a Deployment. `owner` may carry a revision after `@`, which makes another ReplicaSet."""
        base = owner.split("@", 1)[0]
        name = f"{base}-{self.template_hash(namespace + '/' + owner)}-{suffix(self.rng, 5)}"
        ip, uid = self.address(on), new_uid(self.rng)
        return Pod(namespace=namespace, owner=base, name=name, ip=ip, node=on, uid=uid, image=image)

    def pods(self, owners: Sequence[str], on: Node) -> list[Pod]:
        """One pod for each `namespace/deployment`."""
        return [self.pod(*_halves(owner), on) for owner in owners]

    def daemons(self, namespace: str, owner: str, nodes: Sequence[Node], image: str) -> list[Pod]:
        """A DaemonSet's pods, one a node, on the network of the node."""
        made = [(f"{owner}-{suffix(self.rng, 5)}", one, new_uid(self.rng)) for one in nodes]
        parts = {"namespace": namespace, "owner": owner, "image": image}
        return [Pod(name=name, ip=one.ip, node=one, uid=uid, **parts) for name, one, uid in made]


SERVICES: dict[str, str] = {
    "kubernetes.default": "10.96.0.1",
    "storefront.shop": "10.96.14.20",
    "catalog.shop": "10.96.31.7",
    "cart.checkout": "10.96.52.118",
    "orders.checkout": "10.96.77.41",
    "ledger.payments": "10.96.103.9",
    "charge-api.payments": "10.96.118.66",
    "tokens.payments": "10.96.120.12",
    "index.search": "10.96.140.3",
    "suggest.search": "10.96.141.58",
    "stock.logistics": "10.96.160.77",
    "routes.logistics": "10.96.161.5",
    "prometheus.monitoring": "10.96.200.15",
    "queue.platform": "10.96.210.30",
    "cache.platform": "10.96.211.31",
}
"""`service.namespace` to cluster address."""

OUTSIDE: dict[str, tuple[str, ...]] = {
    "api.fraud-check.example.com": ("192.0.2.17", "192.0.2.18"),
    "rates.example.net": ("192.0.2.40",),
    "hooks.partner.example.org": ("198.51.100.23",),
    "mail.example.com": ("198.51.100.77",),
    "tax.example.net": ("203.0.113.9",),
    "images.cdn.example.com": ("192.0.2.80", "192.0.2.81", "192.0.2.82"),
    "telemetry.example.org": ("198.51.100.140",),
    "registry.example.com": ("203.0.113.50",),
    "s3.us-east-1.amazonaws.com": ("192.0.2.200", "192.0.2.201"),
    "sts.us-east-1.amazonaws.com": ("192.0.2.210",),
    "sqs.us-east-1.amazonaws.com": ("192.0.2.220",),
}
"""Names outside the cluster and what they resolve to."""
