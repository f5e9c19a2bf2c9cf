from __future__ import annotations

from typing import Any

from analyzer.facts.request_parameters import REQUEST_PARAMETERS
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.frames import AUDIT_EVENTS
from tests.build import frames_for, rows

LIST: dict[str, Any] = {"stage": "ResponseComplete", "code": 200, "verb": "list", "resource": "pods"}


def parameters(*uris: str) -> list[dict[str, Any]]:
    events = rows(AUDIT_EVENTS, *[LIST | {"uri": uri, "audit_id": uri} for uri in uris])
    made = frames_for([AUDIT_REQUESTS, REQUEST_PARAMETERS], {AUDIT_EVENTS: events})
    return made[REQUEST_PARAMETERS].collect().rows(named=True)


def test_every_parameter_has_its_column() -> None:
    [row] = parameters(
        "/api/v1/pods?allowWatchBookmarks=true&continue=eyJ2&fieldSelector=spec.nodeName%3Dnode-1&limit=500"
        "&labelSelector=app%3Dweb%2Ctier+in+%28a%29&resourceVersion=0&resourceVersionMatch=NotOlderThan"
        "&timeoutSeconds=344&watch=true"
    )
    assert row["resource_version"] == "0"
    assert row["resource_version_match"] == "NotOlderThan"
    assert (row["limit"], row["timeout_seconds"]) == (500, 344)
    assert (row["continued"], row["watch"]) == (True, True)
    assert row["label_selector"] == "app=web,tier in (a)"
    assert row["field_selector"] == "spec.nodeName=node-1"


def test_a_request_without_them_has_no_row() -> None:
    assert parameters("/api/v1/pods", "/healthz?timeout=10s", "/api/v1/pods?limit=&resourceVersion=&watch=false") == []


def test_what_is_no_number_is_null() -> None:
    [row] = parameters("/api/v1/pods?limit=many&timeoutSeconds=99999999999999999999999&resourceVersion=7")
    assert (row["limit"], row["timeout_seconds"], row["resource_version"]) == (None, None, "7")


def test_a_secret_behind_percent_signs_is_masked() -> None:
    [row] = parameters("/api/v1/pods?labelSelector=password%3Dhunter2hunter2")
    assert "hunter2" not in str(row["label_selector"])
