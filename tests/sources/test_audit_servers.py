"""Who wrote an audit event, and whose code it is: said where an envelope or a name says so, null or false elsewhere."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from analyzer.frames import AUDIT_EVENTS
from analyzer.sources.audit import SOURCE
from analyzer.sources.audit.around import Around, server_around
from analyzer.sources.audit.servers import server_in
from analyzer.sources.audit.split import elements
from analyzer.sources.contract import Item, Ledger, ReadOptions
from tests.sources.audit_log import event, line, lines
from tests.sources.enveloped import diagnostic, dumped, table_row


def told(data: bytes, name: str = "audit.log", *columns: str) -> list[Any]:
    """The server (or other columns) of each row of an input with that name."""
    ledger = Ledger()
    batches = SOURCE.read(io.BytesIO(data), Item(id=name, path=Path("x")), ReadOptions(), ledger)
    table = pl.concat([batch[AUDIT_EVENTS] for batch in batches])
    assert ledger.records == ledger.used + ledger.skipped + ledger.incomplete_tail
    return table.select(columns or ("server",)).rows() if columns else table["server"].to_list()


@pytest.mark.parametrize(
    ("name", "server"),
    [
        ("audit.log", None),
        ("must-gather.tar!mg/audit_logs/openshift-apiserver/master-0-audit.log.gz", "openshift-apiserver"),
        ("node/var/log/oauth-apiserver/audit-2024-05-01T10-00-00.000.log", "oauth-apiserver"),
        ("kube-apiserver-audit.log", "kube-apiserver"),
        ("openshift-oauth-apiserver/audit.log", "oauth-apiserver"),
        ("kube-apiserver/openshift-apiserver.log", "openshift-apiserver"),
        ("kube-apiserver-and-oauth-apiserver.log", None),
        ("openshift-apiserver-operator.log", None),
        ("my-kube-apiservers.log", None),
        (".k8s-audit.log", "kube-apiserver"),
        (".openshift-audit.log", None),  # three servers share it
        ("kubeAPI", "kube-apiserver"),
        ("openshiftAPI", None),
    ],
)
def test_a_name_tells_one_server_or_none(name: str, server: str | None) -> None:
    assert server_in(name) == server


def test_the_input_is_named_after_its_server() -> None:
    assert told(lines(1, 2), "audit_logs/oauth-apiserver/m0-audit.log") == ["oauth-apiserver"] * 2
    assert told(lines(1)) == [None]


def test_the_prefix_of_a_line_tells_more_than_the_name_of_the_input() -> None:
    data = b"".join(
        prefix + line(n) + b"\n"
        for n, prefix in enumerate((b"openshift-apiserver/audit.log:", b"kube-apiserver/audit.log:", b"master-0 "))
    )

    assert told(data, "oauth-apiserver.log") == ["openshift-apiserver", "kube-apiserver", "oauth-apiserver"]


def test_a_damaged_line_does_not_move_the_names_of_the_others() -> None:
    data = b"kube-apiserver/a.log:" + line(1) + b"\n\n" + b"kube-apiserver/a.log:{broken\n"
    data += b"oauth-apiserver/a.log:" + line(2) + b"\n"

    assert told(data) == ["kube-apiserver", "oauth-apiserver"]


def test_pods_and_programs_of_wrapped_lines() -> None:
    data = b"".join(b"[pod/kube-apiserver-n1/kube-apiserver] " + line(n) + b"\n" for n in (1, 2))
    assert told(data) == ["kube-apiserver"] * 2

    data = b"".join(b"May  1 10:00:00 m0 oauth-apiserver[7]: " + line(n) + b"\n" for n in (1, 2))
    assert told(data) == ["oauth-apiserver"] * 2


def test_what_openshift_s_collector_puts_beside_an_event() -> None:
    data = dumped(
        event(1, tag=".k8s-audit.log", level="default", k8s_audit_level="Metadata"),
        event(2, tag=".openshift-audit.log", level="info", openshift_audit_level="Request"),
        event(3, log_source="kubeAPI"),
        event(4, log_source="openshiftAPI", filename="/var/log/oauth-server/audit.log"),
        event(5, tag=7, file=["x"]),
    )

    assert told(data, "x.log", "server", "level") == [
        ("kube-apiserver", "Metadata"),
        (None, "Request"),
        ("kube-apiserver", "Metadata"),
        ("oauth-server", "Metadata"),
        (None, "Metadata"),
    ]


def test_streams_and_pods_of_clouds() -> None:
    fetched = {"logStreamName": "kube-apiserver-audit-01", "eventId": "1", "timestamp": 1, "message": line(2).decode()}

    assert told(dumped(fetched)) == ["kube-apiserver"]
    assert told(dumped(diagnostic(line(3).decode()))) == ["kube-apiserver"]
    assert told(dumped(table_row(4))) == ["kube-apiserver"]


EKS = "kube-apiserver-audit-0123456789abcdef"


def delivered(stream: str, *numbers: int) -> dict[str, Any]:
    """What a subscription of CloudWatch Logs delivers (Amazon CloudWatch Logs User Guide, subscriptions)."""
    return {
        "messageType": "DATA_MESSAGE",
        "owner": "111111111111",
        "logGroup": "/aws/eks/dev/cluster",
        "logStream": stream,
        "subscriptionFilters": ["to-firehose"],
        "logEvents": [{"id": f"{n}", "timestamp": 1736000000000, "message": line(n).decode()} for n in numbers],
    }


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("between", ["", "\n"])
@pytest.mark.parametrize("sort", [False, True])
def test_each_delivery_of_a_subscription_names_its_stream(indent: int | None, between: str, sort: bool) -> None:
    deliveries = [delivered(EKS, 1, 2), delivered("authenticator-01", 3), delivered(EKS, 4)]
    texts = [json.dumps(one, indent=indent, sort_keys=sort) for one in deliveries]

    assert told(between.join(texts).encode(), "x.log", "audit_id", "server", "number") == [
        ("id-1", "kube-apiserver", 1),
        ("id-2", "kube-apiserver", 2),
        ("id-3", None, 3),
        ("id-4", "kube-apiserver", 4),
    ]


@pytest.mark.parametrize("size", [1, 2, 7, 50, 333])
def test_the_stream_of_a_delivery_is_known_in_whatever_pieces_it_comes(size: int) -> None:
    data = dumped(delivered(EKS, 1, 2), delivered("authenticator-01", 3), delivered(EKS, 4))
    pieces = (data[at : at + size] for at in range(0, len(data), size))
    found = [one for batch in elements(pieces, Ledger(), 2, Around()) for one in batch]

    assert [server_around(one.around) for one in found] == ["kube-apiserver", "kube-apiserver", None, "kube-apiserver"]


def test_behind_damage_the_stream_is_not_guessed() -> None:
    damaged = dumped(delivered(EKS, 1, 2)).replace(b'\\"id-2\\"', b'"id-2', 1)
    data = damaged + b"\n" + dumped(delivered("kube-apiserver-audit-02", 3), delivered(EKS, 4))
    ledger = Ledger()
    batches = list(SOURCE.read(io.BytesIO(data), Item(id="x", path=Path("x")), ReadOptions(), ledger))
    table = pl.concat([batch[AUDIT_EVENTS] for batch in batches])

    assert table["audit_id"].to_list()[-1] == "id-4"
    assert table["server"].to_list()[-1] == "kube-apiserver"
    assert ledger.skipped > 0


def test_a_delivery_that_is_cut_costs_only_its_last_event() -> None:
    data = dumped(delivered(EKS, 1, 2, 3))
    whole, end = data[: data.index(b'{"id": "3"')], data.index(b"id-3")

    assert told(data[:end]) == told(whole) == ["kube-apiserver"] * 2


def gke(code: int | None, response: object = None) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
        "serviceName": "k8s.io",
        "methodName": "io.k8s.core.v1.pods.get",
        "resourceName": "core/v1/namespaces/shop/pods/p1",
        "status": {} if code is None else {"code": code},
    }
    payload |= {"response": response} if response else {}
    return {"insertId": "i", "timestamp": "2026-01-01T00:00:00Z", "protoPayload": payload}


def test_codes_that_were_grpc_codes_are_marked() -> None:
    own = {"kind": "Status", "code": 429, "reason": "TooManyRequests"}
    data = dumped(gke(8), gke(None), gke(8, own), gke(77), event(1))

    assert told(data, "gke.json", "code", "translated") == [
        (429, True),
        (200, True),
        (429, False),  # the server's own Status
        (None, False),  # no code of google.rpc.Code
        (200, False),
    ]


def test_an_event_cannot_call_itself_translated() -> None:
    assert told(json.dumps(event(1) | {"translated": True, "grpc": True}).encode(), "a", "translated") == [(False,)]
