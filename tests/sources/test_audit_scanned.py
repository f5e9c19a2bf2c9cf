"""Audit events that kernels scan give the rows that msgspec gives, and whatever kernels refuse it reads alone."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzer import kernels
from analyzer.errors import InputError
from analyzer.sources.audit import SOURCE
from analyzer.sources.audit.scanned import scanned
from analyzer.sources.contract import Item, Ledger, ReadOptions
from tests.sources.audit_log import event, line

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
RECORDED = sorted(path for path in SHARED.glob("[dbr][ae]*/**/*.log") if "audit" in str(path))
CASES = sorted((Path(__file__).resolve().parents[2] / "captures").rglob("audit*.log"))

AT_MOST = 4 << 20
"""Bytes of each recording."""

pytestmark = pytest.mark.skipif(not kernels.there(), reason="no compiled kernels: rustc was not there at the build")


def read(data: bytes) -> tuple[dict[str, pl.DataFrame], Ledger | str]:
    """Every table and the ledger; the error where there is no event."""
    ledger, parts = Ledger(), dict[str, list[pl.DataFrame]]()
    try:
        for batch in SOURCE.read(io.BytesIO(data), Item(id="audit.log", path=Path("audit.log")), ReadOptions(), ledger):
            for table, frame in batch.items():
                parts.setdefault(table.name, []).append(frame)
    except InputError as error:
        return {}, str(error)
    return {name: pl.concat(frames) for name, frames in parts.items()}, ledger


def same(data: bytes) -> dict[str, pl.DataFrame]:
    """The tables, after it was seen that they and the ledger are the same without kernels."""
    tables, ledger = read(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_library", None)
        others, other = read(data)
    assert ledger == other
    assert tables.keys() == others.keys()
    for name, table in tables.items():
        assert table.equals(others[name], null_equal=True)
        assert table.schema == others[name].schema
    return tables


def is_scanned(*lines: bytes) -> bool:
    ends = np.cumsum([len(one) + 1 for one in lines]) - 1
    starts = ends - [len(one) for one in lines]
    try:
        rows = scanned(b"\n".join(lines) + b"\n", starts, ends, np.arange(len(lines)), ends - starts + 1, None)
    except msgspec.DecodeError:
        return False
    assert rows is None or len(rows.numbers) == len(lines)
    return rows is not None


def go(**changed: Any) -> bytes:
    """An event with the escapes that Go writes for `<`, `>` and `&` (encoding/json, HTMLEscape)."""
    told = json.dumps(event(**changed), separators=(",", ":"), ensure_ascii=False)
    return "".join(f"\\u{ord(one):04x}" if one in "<>&" else one for one in told).encode()


USUAL = {
    "plain": line(1),
    "query with escapes": go(requestURI="/api/v1/pods?limit=500&resourceVersion=0&labelSelector=a%3Db"),
    "other letters": go(requestURI="/api/v1/namespaces/größe/pods/\U0001f600", userAgent="<agent> & co"),
    "no object": line(2, objectRef=None, requestURI="/readyz"),
    "empty names": line(3, objectRef={"resource": "pods", "name": "", "apiGroup": "", "namespace": ""}),
    "group and subresource": line(4, objectRef={"resource": "leases", "apiGroup": "x.io", "subresource": "status"}),
    "null texts": line(5).replace(b'"verb":"get"', b'"verb":null').replace(b'"id-5"', b"null"),
    "bodies": line(6, requestObject={"spec": {"nodeName": "n1"}}, responseObject={"status": {"podIP": "10.0.0.9"}}),
    "reordered": json.dumps(dict(reversed(event(7).items()))).encode(),
    "unknown fields": line(8, extra={"verb": [1, 2.5e3, {"verb": None}]}, log_source="kubeAPI", tag=".k8s-audit.log"),
    "impersonated": line(9, impersonatedUser={"username": "jane"}, annotations={"k8s.io/deprecated": "true"}),
    "a token in the query": line(10, requestURI="/api/v1/pods/exec?token=abcdef123456"),
    "Unicode of a collector": line(11, userAgent="größe"),
}

UNUSUAL = {
    "one time": line(1, requestReceivedTimestamp=None),
    "a time with a zone": line(2, stageTimestamp="2026-01-01T01:00:00.100000+01:00"),
    "a time of another year": line(3, requestReceivedTimestamp="0001-01-01T00:00:00.000000Z"),
    "the time of v1alpha1": line(4, timestamp="2026-01-01T00:00:00Z"),
    "no kind": line(5, kind=None),
    "a list": line(6, kind="EventList"),
    "another version": line(7, apiVersion="audit.k8s.io/v7"),
    "a key twice": line(8).replace(b'"verb":"get"', b'"verb":"get","verb":"list"'),
    "an escaped key": line(9).replace(b'"verb"', rb'"v\u0065rb"'),
    "half a pair": line(10).replace(b'"id-10"', rb'"id-\ud800"'),
    "a number for a text": line(11, auditID=11, requestURI=7),
    "a text for a number": line(12, responseStatus={"code": "404"}),
    "an object that is null": line(13).replace(b'"objectRef":{', b'"objectRef":null,"other":{'),
    "an object with a number": line(14, objectRef={"resource": "pods", "name": 7}),
    "no UTF-8": line(15).replace(b"p15", b"p\xff"),
    "deep": line(16, requestObject=json.loads("[" * 150 + "]" * 150)),
    "two on a line": line(17) + line(18),
    "cut": line(19)[:-40],
    "blanks": b"  " + line(20) + b" ",
    "nothing": b"",
    "no JSON": b"what is this",
    "control characters": line(21).replace(b"web/v1.2", b"web\x01v1.2"),
}


@pytest.mark.parametrize("name", USUAL)
def test_usual_events_are_scanned_and_give_the_same_rows(name: str) -> None:
    assert is_scanned(USUAL[name])
    assert same(line(50) + b"\n" + USUAL[name] + b"\n")["audit_events"].height == 2


def test_usual_events_are_scanned_together() -> None:
    assert is_scanned(*USUAL.values())
    assert same(b"\n".join(USUAL.values()) + b"\n")["audit_events"].height == len(USUAL)
    assert same(b"\r\n".join([*USUAL.values()] * 3))["audit_events"].height == 3 * len(USUAL)


@pytest.mark.parametrize("name", UNUSUAL)
def test_one_unusual_line_sends_the_window_to_msgspec(name: str) -> None:
    assert not is_scanned(line(50), UNUSUAL[name])
    tables = same(line(50) + b"\n" + UNUSUAL[name] + b"\n" + line(51) + b"\n")
    assert tables["audit_events"].height >= 2


def test_unusual_lines_together_are_read_alike() -> None:
    same(b"\n".join([*UNUSUAL.values(), *USUAL.values()]) + b"\n")


def test_bodies_that_are_cut_out_before_are_measured_and_read_alike() -> None:
    pods = [{"metadata": {"name": f"p{n}"}, "status": {"podIP": f"10.0.0.{n}"}, "more": "x" * 3000} for n in range(9)]
    logged = [line(n, verb="create", requestObject=pods[n], responseObject=pods[n]) for n in range(9)]
    odd = line(10, requestObject={"responseObject": 1, "x": {"requestReceivedTimestamp": "?"}})
    tables = same(b"\n".join([*logged, odd]) + b"\n")
    assert tables["audit_addresses"]["address"].to_list() == [f"10.0.0.{n}" for n in range(9)]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_whatever_is_changed_kernels_and_msgspec_read_the_same(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(USUAL)), min_size=1, max_size=4))
    text = b"\n".join(USUAL[name] for name in names) + b"\n"
    for _ in range(data.draw(st.integers(0, 3))):
        at, gone = data.draw(st.integers(0, len(text) - 1)), data.draw(st.integers(0, 3))
        put = data.draw(
            st.sampled_from([b"", b'"', b"\\", b"{", b"}", b",", b":", b" ", b"\n", b"0", b"\xc3", b"null"])
        )
        text = text[:at] + put + text[at + gone :]
    same(text)


def test_no_room_is_made_for_more_lines_than_can_be_events() -> None:
    assert not is_scanned(*[b"{}"] * 1000, line(1))
    assert same(b"{}\n" * 1000 + line(1) + b"\n")["audit_events"].height == 1


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.parent.name)
def test_logs_of_cases_are_read_alike(path: Path) -> None:
    same(path.read_bytes()[:AT_MOST])


@pytest.mark.skipif(not RECORDED, reason=f"no evidence in {SHARED}")
def test_recorded_logs_are_read_alike() -> None:
    for path in RECORDED:
        same(path.read_bytes()[:AT_MOST])
