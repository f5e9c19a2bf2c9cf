"""Inputs for the benchmarks: the same bytes for the same scale."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Iterator
from pathlib import Path

START = 1773478800  # 2026-03-14T09:00:00Z
SUFFIXES = ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "")
HOSTS = [f"api-{i}.example.com" for i in range(2000)]


def write_all(folder: Path, scale: float) -> dict[str, Path]:
    """Name of the workload to its file."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {
        "capture": folder / f"capture-{scale:g}.pcap",
        "coredns": folder / f"coredns-{scale:g}.log",
        "audit": folder / f"audit-{scale:g}.log",
        "klog": folder / f"kubelet-{scale:g}.log",
    }
    writers = {"capture": _capture, "coredns": _coredns, "audit": _audit, "klog": _klog}
    counts = {"capture": 200_000, "coredns": 500_000, "audit": 100_000, "klog": 300_000}
    for name, path in made.items():
        if not path.exists():
            with path.open("wb") as file:
                for part in writers[name](int(counts[name] * scale), random.Random(7)):
                    file.write(part)
    return made


def _clock(i: int, count: int, digits: int = 9) -> str:
    second, rest = divmod(i * 3600 * 10**9 // count, 10**9)
    return f"2026-03-14T{9 + second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}.{rest:09d}"[: 20 + digits]


def _capture(count: int, chance: random.Random) -> Iterator[bytes]:
    yield struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
    made = 0
    while made < count:
        client = bytes([10, 244, chance.randrange(8), chance.randrange(2, 250)])
        server = b"\x0a\x60\x00\x0a"
        frames = list(_lookup(client, server, chance)) if chance.random() < 0.1 else [_segment(client, chance)]
        for frame in frames:
            micros = made * 3600 * 10**6 // count
            yield struct.pack("<IIII", START + micros // 10**6, micros % 10**6, len(frame), len(frame)) + frame
            made += 1
            if made == count:
                return


def _lookup(client: bytes, server: bytes, chance: random.Random) -> Iterator[bytes]:
    host, port = chance.choice(HOSTS), chance.randrange(32768, 61000)
    for suffix in SUFFIXES:
        name = f"{host}.{suffix}" if suffix else host
        labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
        for kind in (1, 28):
            ident = chance.randrange(65536)
            question = labels + struct.pack(">HH", kind, 1)
            flags = 0x8183 if suffix else 0x8180
            yield _udp(client, server, port, 53, struct.pack(">6H", ident, 0x0100, 1, 0, 0, 0) + question)
            yield _udp(server, client, 53, port, struct.pack(">6H", ident, flags, 1, 0, 0, 0) + question)


def _udp(src: bytes, dst: bytes, sport: int, dport: int, payload: bytes) -> bytes:
    return _ip(src, dst, 17, struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload)


def _segment(client: bytes, chance: random.Random) -> bytes:
    seq, size = chance.randrange(2**32), chance.choice((0, 0, 120, 600))
    header = struct.pack(">HHIIBBHHH", chance.randrange(32768, 61000), 443, seq, 1, 0x50, 0x10, 502, 0, 0)
    return _ip(client, b"\xc0\x00\x02\x0a", 6, header + bytes(size))


def _ip(src: bytes, dst: bytes, proto: int, payload: bytes) -> bytes:
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0x4000, 64, proto, 0) + src + dst
    return b"\x02\0\0\0\0\1\x02\0\0\0\0\2\x08\0" + head + payload


def _coredns(count: int, chance: random.Random) -> Iterator[bytes]:
    for i in range(count):
        suffix = SUFFIXES[i % 4]
        name = f"{HOSTS[i // 4 % 2000]}.{suffix}." if suffix else f"{HOSTS[i // 4 % 2000]}."
        answer = "NXDOMAIN qr,aa,rd 149" if suffix else "NOERROR qr,rd,ra 98"
        client = f"10.244.{i // 4 % 8}.{i // 32 % 200 + 2}:{30000 + i // 4 % 20000}"
        query = f'"A IN {name} udp {len(name)} false 512" {answer} 0.000{chance.randrange(100, 999)}s'
        yield f"{_clock(i, count)}Z stdout F [INFO] {client} - {i % 65536} {query}\n".encode()


def _audit(count: int, chance: random.Random) -> Iterator[bytes]:
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


def _klog(count: int, chance: random.Random) -> Iterator[bytes]:
    texts = (
        'prober.go:107] "Probe failed" probeType="Readiness" pod="shop/web-{}" probeResult="failure"',
        'kubelet.go:2528] "SyncLoop (PLEG): event for pod" pod="shop/web-{}" event={{"Type":"ContainerStarted"}}',
        'kuberuntime_container.go:808] "Killing container with a grace period" pod="shop/web-{}" gracePeriod=30',
    )
    for i in range(count):
        time = _clock(i, count, 6)[11:]
        yield f"I0314 {time}    1234 {texts[i % 3].format(chance.randrange(500))}\n".encode()
