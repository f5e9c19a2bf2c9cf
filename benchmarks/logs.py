"""Log lines as CoreDNS, an apiserver's audit log and a kubelet write them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

SUFFIXES = ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "")
HOSTS = [f"api-{i}.example.com" for i in range(2000)]


def _clock(i: int, count: int, digits: int = 9) -> str:
    second, rest = divmod(i * 3600 * 10**9 // count, 10**9)
    return f"2026-03-14T{9 + second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}.{rest:09d}"[: 20 + digits]


def clock(microseconds: int) -> str:
    """The moment so many microseconds after nine o'clock."""
    second, rest = divmod(microseconds, 10**6)
    return f"2026-03-14T{9 + second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}.{rest:06d}"


def coredns(count: int, chance: random.Random) -> Iterator[bytes]:
    for i in range(count):
        suffix = SUFFIXES[i % 4]
        name = f"{HOSTS[i // 4 % 2000]}.{suffix}." if suffix else f"{HOSTS[i // 4 % 2000]}."
        answer = "NXDOMAIN qr,aa,rd 149" if suffix else "NOERROR qr,rd,ra 98"
        client = f"10.244.{i // 4 % 8}.{i // 32 % 200 + 2}:{30000 + i // 4 % 20000}"
        query = f'"A IN {name} udp {len(name)} false 512" {answer} 0.000{chance.randrange(100, 999)}s'
        yield f"{_clock(i, count)}Z stdout F [INFO] {client} - {i % 65536} {query}\n".encode()


def audit(count: int, chance: random.Random) -> Iterator[bytes]:
    for i in range(count):
        agent = f"agent-{i % 40}"
        time = _clock(i, count, 6) + "Z"
        event = {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": "Metadata",
            "auditID": f"{i:08x}-0000-4000-8000-{i:012x}",
            "stage": "ResponseComplete",
            "requestURI": f"/api/v1/namespaces/ns-{i % 50}/pods?limit=500&resourceVersion={i}",
            "verb": chance.choice(("get", "list", "update")),
            "user": {
                "username": f"system:serviceaccount:ns-{i % 50}:{agent}",
                "uid": f"{i % 50:08x}-0000-4000-8000-000000000000",
                "groups": ["system:serviceaccounts", f"system:serviceaccounts:ns-{i % 50}", "system:authenticated"],
                "extra": {"authentication.kubernetes.io/pod-name": [f"{agent}-{i % 200}"]},
            },
            "sourceIPs": [f"10.0.{i % 4}.{i % 200}"],
            "userAgent": f"{agent}/v1.2.3 (linux/amd64) kubernetes/abcdef0",
            "objectRef": {"resource": "pods", "namespace": f"ns-{i % 50}", "name": f"p-{i}", "apiVersion": "v1"},
            "responseStatus": {"metadata": {}, "code": 200},
            "requestReceivedTimestamp": time,
            "stageTimestamp": time,
            "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""},
        }
        yield json.dumps(event, separators=(",", ":")).encode() + b"\n"


def klog(count: int, chance: random.Random) -> Iterator[bytes]:
    texts = (
        'prober.go:107] "Probe failed" probeType="Readiness" pod="shop/web-{}" probeResult="failure"',
        'kubelet.go:2528] "SyncLoop (PLEG): event for pod" pod="shop/web-{}" event={{"Type":"ContainerStarted"}}',
        'kuberuntime_container.go:808] "Killing container with a grace period" pod="shop/web-{}" gracePeriod=30',
    )
    for i in range(count):
        time = _clock(i, count, 6)[11:]
        yield f"I0314 {time}    1234 {texts[i % 3].format(chance.randrange(500))}\n".encode()
