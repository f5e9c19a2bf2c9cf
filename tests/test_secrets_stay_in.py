"""Credentials planted in every kind of log reach no page, no result, no summary and no table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from analyzer.model.codec import encode
from analyzer.pipeline import RunOptions, Slices, ingest, investigate
from analyzer.render.html import render_html
from analyzer.render.text import render_text
from tests.carving import carved
from tests.sources.capture.make import dns_frame, ethernet, icmp, ipv4, pcap, query, tcp, udp, vxlan

SECRETS = [f"CANARY{i:02d}x9Zq7Lm2Wv8" for i in range(54)]


def kubelet(*texts: str) -> str:
    return "".join(f"I0314 09:00:{i:02d}.500000    1234 kubelet.go:2406] {text}\n" for i, text in enumerate(texts))


def event(number: int, **more: Any) -> str:
    """An audit event that the server rejected, so that a finding quotes it."""
    time = f"2026-03-14T09:00:{number % 60:02d}.000000Z"
    plain = {
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "RequestResponse", "auditID": f"id-{number}",
        "stage": "ResponseComplete", "requestURI": "/api/v1/pods", "verb": "list", "user": {"username": "u"},
        "sourceIPs": ["192.0.2.1"], "userAgent": "agent/1", "objectRef": {"resource": "pods", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 429}, "requestReceivedTimestamp": time, "stageTimestamp": time,
    }  # fmt: skip
    return json.dumps(plain | more, separators=(",", ":")) + "\n"


def opened(s: Iterator[str]) -> Iterator[str]:
    """Audit events whose bodies or annotations are looked into, with secrets beside and in what is read there."""
    done = {"verb": "get", "responseStatus": {"metadata": {}, "code": 200}}
    applied = {"kubectl.kubernetes.io/last-applied-configuration": next(s)}
    pod = {
        "metadata": {"name": "p", "annotations": applied, "managedFields": [{"manager": next(s)}]},
        "spec": {"nodeName": f"token={next(s)}", "containers": [{"env": [{"value": next(s)}], "args": [next(s)]}]},
        "status": {"podIP": next(s), "hostIP": "10.0.0.1", "phase": next(s), "startTime": next(s)},
    }
    yield event(14, **done, responseObject=pod)
    for number, resource, part in ((15, "configmaps", None), (16, "serviceaccounts", "token")):
        ref = {"resource": resource, "subresource": part}
        yield event(number, **done, objectRef=ref, responseObject={"status": {"hostIP": "10.0.0.1", "token": next(s)}})
    webhook = {"patch": [{"op": "add", "path": "/spec", "value": next(s)}]}
    violated = f"would violate: password={next(s)}"
    notes = {"patch.webhook.admission.k8s.io/round_0_index_0": json.dumps(webhook)}
    yield event(17, annotations=notes | {"pod-security.kubernetes.io/audit-violations": violated})


def spoken(s: Iterator[str]) -> list[bytes]:
    """Plaintext HTTP at an ordinary port and a miner's login, with a secret wherever one may stand."""
    asks = (
        f"GET /orders?access_token={next(s)} HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer {next(s)}\r\n"
        f"Cookie: sid={next(s)}\r\nX-Api-Key: {next(s)}\r\nContent-Length: 40\r\n\r\npassword={next(s)}"
        "|"
        f"POST http://u:{next(s)}@shop/login;jsessionid={next(s)} HTTP/1.1\r\n"
        f"User-Agent: job Authorization: Basic {next(s)}\r\n\r\n"
        "|"
        # this head never becomes whole
        f"GET /late?sig={next(s)} HTTP/1.1\r\nAuthorization: Bearer {next(s)}"
    ).split("|")
    answer = f"HTTP/1.1 200 OK\r\nSet-Cookie: sid={next(s)}\r\nContent-Length: 9\r\n\r\ntoken={SECRETS[0]}"
    login = {"id": 1, "method": "login", "params": {"login": "4" + "x" * 90 + "abcd", "pass": SECRETS[0], "agent": "a"}}
    frames = [
        ethernet(ipv4(tcp(text.encode(), 40000 + i, 8080), 6, "10.0.0.7", "10.96.3.4")) for i, text in enumerate(asks)
    ]
    frames.append(ethernet(ipv4(tcp(answer.encode(), 8080, 40000), 6, "10.96.3.4", "10.0.0.7")))
    frames.append(ethernet(ipv4(tcp(json.dumps(login).encode(), 41000, 3333), 6, "10.0.0.7", "192.0.2.80")))
    return frames


def proxied(s: Iterator[str]) -> Iterator[str]:
    """Lines of kube2iam and kiam about refused requests, so that a finding quotes them."""
    path = "/latest/meta-data/iam/security-credentials/role"
    for number in range(3):
        yield (
            f'time="2026-03-14T09:00:{number:02d}Z" level=info msg="GET {path} (403) took 5 ms '
            f'SecretAccessKey={next(s)}" '
            f"req.method=GET req.path={path} req.remote=10.0.0.7 res.duration=5 res.status=403\n"
        )
    headers = {"X-Aws-Ec2-Metadata-Token": [next(s)]}
    told = {"addr": "10.0.0.7:5", "method": "GET", "path": f"{path}?token={next(s)}", "status": 403, "headers": headers}
    yield json.dumps(told | {"level": "info", "msg": "processed request", "time": "2026-03-14T09:00:05Z"}) + "\n"


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    folder = tmp_path / "evidence"
    folder.mkdir()
    s = iter(SECRETS)
    (folder / "kubelet.log").write_text(
        kubelet(
            f'"Request" headers="Authorization: Bearer {next(s)}"',
            f"X-Api-Key: {next(s)}",
            f"pulling https://user:{next(s)}@registry.example.com/v2",
            f"GET /api?token={next(s)}",
            f'"Failed" err="password={next(s)} refused"',
            f"DB_PASSWORD={next(s)}",
            f"Cookie: sid={next(s)}",
            f"client_secret={next(s)}",
            f"Authorization: Basic {next(s)}",
        )
    )
    (folder / "coredns.log").write_text(
        '2026-03-14T09:00:00.0Z [INFO] 10.0.0.1:4000 - 1 "A IN a.example.com. udp 40 false 512" NOERROR qr 60 0.001s\n'
        f"2026-03-14T09:01:00.0Z [ERROR] plugin/errors: 2 a. A: https://u:{next(s)}@h Authorization: Bearer {next(s)}\n"
    )
    secret = {"kind": "Secret", "data": {"k": next(s)}}
    applied = {"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": next(s)}}}
    (folder / "audit.log").write_text(
        event(1, requestURI=f"/api/v1/watch?token={next(s)}&access_token={next(s)}")
        + event(2, userAgent=f"agent/1 Authorization: Bearer {next(s)}")
        + event(3, objectRef={"resource": "secrets"}, requestObject=secret, responseObject=applied)
        + event(4, objectRef={"resource": "tokenreviews"}, requestObject={"spec": {"token": next(s)}})
        + event(5, responseStatus={"code": 429, "message": f"password: {next(s)}"})
        + event(6, userAgent=f"agent/1 cookie: {next(s)}")
        + event(7, userAgent=f"agent/1 Basic {next(s)}")
        + event(8, requestURI=f"https://u:{next(s)}@h/x")
        + event(9, annotations={"example.com/token": next(s)})
        + event(10, user={"username": "u", "extra": {"example.com/token": [next(s)]}})
        + "".join(event(number) for number in range(11, 14))
        + "".join(opened(s))
    )
    (folder / "node.pcap").write_bytes(pcap(spoken(s)))
    (folder / "kube2iam.log").write_text("".join(proxied(s)))
    (folder / "ps.txt").write_text(
        "UID          PID    PPID  C STIME TTY          TIME CMD\n"
        f"root        4711    4690  0 07:02 ?        00:00:03 /usr/bin/mysql -p{next(s)} --host db\n"
        f"root        4712    4711  0 07:02 ?        00:00:03 sh -c curl -u root:{next(s)} http://db\n"
    )
    assert next(s, None) == SECRETS[-1]  # all but the last were planted
    return folder


def held(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret[:10] in text or secret[-8:] in text]


def test_no_output_holds_a_part_of_a_planted_secret(evidence: Path, tmp_path: Path) -> None:
    slices = Slices()
    result = investigate(RunOptions(inputs=(evidence,), slices=slices))
    assert {report.kind for report in result.inputs if report.used} == {
        *("audit", "coredns", "iam-proxy", "kubelet", "pcap", "processes")
    }
    findings = {finding.detector: finding for finding in result.findings}
    storm, refusal = findings["apiserver-throttle-storm"], findings["imds-credential-refusal"]
    assert {record.source for record in refusal.evidence.records} == {"kube2iam.log"}
    assert {record.number for record in storm.evidence.records} >= set(range(1, 11)), "the planted events are quoted"
    assert held(encode(result).decode()) == []
    assert held(render_html(result)) == []
    assert held(render_text(result)) == []
    assert {"audit.jsonl", "iam-proxy.log"} <= {name.partition(".")[2] for name in slices.files}
    assert [name for name, data in slices.files.items() if held(data.decode("latin-1"))] == []
    ingest(RunOptions(inputs=(evidence,)), tmp_path / "case")
    tables = {path.parent.parent.name for path in (tmp_path / "case").rglob("*.parquet")}
    wanted = {
        "http_messages",
        "mining_messages",
        "audit_annotations",
        "audit_objects",
        "iam_proxy_messages",
        "processes",
    }
    assert wanted <= tables, "what carried secrets was read"
    for path in sorted((tmp_path / "case").rglob("*.parquet")):
        assert held("\n".join(map(str, pl.read_parquet(path).rows()))) == [], path.parent.parent.name


def carried() -> list[bytes]:
    """Frames with a secret wherever a protocol carries what is not its own."""
    secret = SECRETS[0].encode()
    text = b"GET / HTTP/1.1\r\nAuthorization: Bearer " + secret + b"\r\n\r\n"
    quoted = ipv4(tcp(text, 80, 40000), 6, "10.0.0.9", "10.0.0.7")
    inner = ethernet(ipv4(tcp(text, 40000, 80), 6, "10.0.0.7", "10.0.0.9"))
    bodies = [
        (udp(text, 40000, 514), 17),
        (udp(vxlan(inner), 40000, 4789), 17),
        (udp(vxlan(text), 40000, 4789), 17),
        (icmp(3, 4, quoted), 1),
        (icmp(3, 1, text), 1),
        (icmp(8, 0, text), 1),
        (tcp(b"\x16\x03\x01\x00\x80\x01" + text, 40000, 443), 6),
        (tcp(text, 40000, 53), 6),
        (text, 47),
        (text, 6),
    ]
    frames = [ethernet(ipv4(body, protocol, "10.0.0.7", "10.0.0.9")) for body, protocol in bodies]
    return [*frames, ethernet(text, 0x88CC), ethernet(text, 0x0806), ethernet(text), dns_frame(query("a.b")) + secret]


def test_slices_of_every_record_hold_no_part_of_one(evidence: Path) -> None:
    (evidence / "other.pcap").write_bytes(pcap(carried()))
    quoted = [(path.name, number) for path in sorted(evidence.iterdir()) for number in range(1, 20)]
    files = carved([evidence], quoted)
    assert {name.partition(".")[2] for name in files} == {
        *("json", "pcapng", "audit.jsonl", "coredns.log", "iam-proxy.log", "kubelet.log", "processes.log")
    }
    index = json.loads(files["index.json"])
    assert sum(len(one.get("packets", ())) for one in index["findings"][0]["slices"]) == len(carried()) + 5
    for name, data in files.items():
        assert held(data.decode("latin-1")) == [], name
