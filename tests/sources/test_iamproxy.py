"""Logs of kube2iam and kiam: every form of both, and damage that costs only its line."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from analyzer import sources
from analyzer.frames import IAM_PROXY_MESSAGES
from analyzer.sources.iamproxy import SOURCE
from tests.sources.texts import read_text

ROLES = "/latest/meta-data/iam/security-credentials/"
MOMENT = datetime(2023, 5, 18, 8, 16, 35, tzinfo=UTC)


def answered(status: int = 404, took: str = "2693.093905", unit: str = "ms", path: str = ROLES) -> str:
    """As server.go writes each request."""
    return (
        f'time="2023-05-18T08:16:35Z" level=info msg="GET {path} ({status}) took {took} {unit}" req.method=GET '
        f"req.path={path} req.remote=10.0.0.7 res.duration={took} res.status={status}"
    )


UPDATED = (
    'time="2023-05-18T08:16:35Z" level=debug msg="Pod OnUpdate" pod.iam.role="arn:aws:iam::123456789012:role/app" '
    "pod.name=web-0 pod.namespace=shop pod.status.ip= pod.status.phase=Pending"
)


def rows(*lines: str) -> list[dict[str, Any]]:
    return read_text(SOURCE, lines).rows(IAM_PROXY_MESSAGES)


def as_json(line: dict[str, object]) -> str:
    return json.dumps({"time": "2023-05-18T08:16:35Z", "level": "info", **line}, separators=(",", ":"))


def test_an_answered_request_gives_every_column() -> None:
    assert rows(answered()) == [
        {
            "time": MOMENT,
            "source": "a.log",
            "number": 1,
            "component": "kube2iam",
            "level": "info",
            "message": f"GET {ROLES} (404) took 2693.093905 ms",
            "client": "10.0.0.7",
            "method": "GET",
            "path": ROLES,
            "status": 404,
            "duration_seconds": pytest.approx(2.693093905),
        }
    ]


@pytest.mark.parametrize(("took", "unit"), [("86562", "ns"), ("86562.000000", "ns"), ("0.086562", "ms")])
def test_the_message_tells_the_unit_of_the_duration(took: str, unit: str) -> None:
    assert rows(answered(200, took, unit))[0]["duration_seconds"] == pytest.approx(86.562e-6)


def test_pods_that_kube2iam_is_told_of_are_kept() -> None:
    [one] = rows(UPDATED)
    assert (one["pod"], one["namespace"], one["role"]) == ("shop/web-0", "shop", "arn:aws:iam::123456789012:role/app")
    assert "pod_ip" not in one
    assert one["phase"] == "Pending"
    assert rows(UPDATED.replace("ip= ", "ip=10.0.0.7 "))[0]["pod_ip"] == "10.0.0.7"


def test_a_refused_role_tells_both_roles() -> None:
    line = (
        'time="2023-05-18T08:16:35Z" level=error msg="Invalid role: does not match annotated role" ns.name=shop '
        'params.iam.role=other pod.iam.role="arn:aws:iam::123456789012:role/app" req.method=GET '
        f"req.path={ROLES}other req.remote=10.0.0.7"
    )
    [one] = rows(line)
    assert (one["level"], one["wanted_role"], one["namespace"]) == ("error", "other", "shop")


def test_kube2iam_in_json() -> None:
    plain = {
        "msg": f"GET {ROLES} (404) took 2210569707.000000 ns",
        "req.method": "GET",
        "req.path": ROLES,
        "req.remote": "10.0.0.7",
        "res.duration": 2210569707,
        "res.status": 404,
    }
    [one] = rows(as_json(plain))
    assert (one["component"], one["client"], one["status"]) == ("kube2iam", "10.0.0.7", 404)
    assert one["duration_seconds"] == pytest.approx(2.210569707)


def test_kiam_in_both_forms() -> None:
    told = {"addr": "10.0.0.7:34940", "method": "GET", "path": ROLES + "app", "status": 500}
    message = "error processing request: error checking assume role permissions: pod not found"
    text = (
        f'time="2023-05-18T08:16:35Z" level=error msg="{message}" addr="10.0.0.7:34940" method=GET path={ROLES}app '
        "status=500"
    )
    first, second, warned = rows(
        as_json(told | {"msg": message, "level": "error"}),
        text,
        as_json({"msg": "error finding role for pod: pod not found", "level": "warning", "pod.ip": "10.0.0.7"}),
    )
    assert first | {"number": 2} == second
    assert (first["component"], first["client"], first["path"], first["status"]) == (
        "kiam",
        "10.0.0.7",
        ROLES + "app",
        500,
    )
    assert (warned["client"], warned["level"]) == ("10.0.0.7", "warning")


def test_response_headers_and_secrets_are_not_kept() -> None:
    canary = "CANARY77x9Zq7Lm2Wv8"
    told = {"msg": f"processed request Authorization: Bearer {canary}", "headers": {"X-Token": [canary]}, "status": 200}
    lines = [
        as_json(told | {"addr": "10.0.0.7:1", "path": f"{ROLES}?token={canary}"}),
        answered() + f" token={canary}",
        answered().replace("(404)", f"(404) SecretAccessKey={canary}"),
    ]
    assert canary not in str(rows(*lines))
    assert len(rows(*lines)) == 3


def test_damage_is_counted_and_costs_only_its_line() -> None:
    lines = [
        answered(),
        '{"level":"info","msg":"a","x":' + "[" * 100_000 + "]" * 100_000 + "}",
        "panic: runtime error: invalid memory address",
        'time="2023-05-18T08:16:35Z" level=info msg="GET / (20',
        as_json({"msg": "processed request"})[:-3] + ",",
        'time="2023-99-18T08:16:35Z" level=info msg="GET / (200)" req.remote=10.0.0.7',
        answered(200),
    ]
    reading = read_text(SOURCE, lines)
    assert [row["number"] for row in reading.rows(IAM_PROXY_MESSAGES)] == [1, 7]
    assert reading.skipped == {"not-a-record": 1, "malformed line": 4}
    assert reading.report.records == 7


def test_a_line_that_is_cut_is_the_incomplete_tail() -> None:
    for last in (answered()[:90], as_json({"msg": "processed request", "addr": "10.0.0.7:1"})[:60], 'time="2023'):
        reading = read_text(SOURCE, answered() + "\n" + last)
        assert (reading.report.used, reading.report.incomplete_tail, reading.report.skipped) == (1, 1, 0), last


@pytest.mark.parametrize("status", ["99999999999", "-1", "abc", "0"])
def test_a_status_that_is_none_is_unknown(status: str) -> None:
    assert "status" not in rows(answered().replace("res.status=404", f"res.status={status}"))[0]


def wrapped(line: str) -> dict[str, str]:
    return {
        "raw": line,
        "cri": f"2023-05-18T08:16:35.123456789Z stderr F {line}",
        "docker": json.dumps({"log": line + "\n", "stream": "stderr", "time": "2023-05-18T08:16:35.123456789Z"}),
        "kubectl": f"[pod/kube2iam-x7k2p/kube2iam] {line}",
    }


@pytest.mark.parametrize("kind", ["raw", "cri", "docker", "kubectl"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_is_recognised_and_read_in_every_wrapper(kind: str, form: str) -> None:
    plain = {"msg": "GET / (404) took 5 ns", "req.remote": "10.0.0.7", "res.duration": 5, "res.status": 404}
    line = answered(404) if form == "text" else as_json(plain)
    data = "".join(wrapped(line)[kind] + "\n" for _ in range(5)).encode()
    found = sources.identify(data)
    assert found is not None
    assert found[0].name == "iam-proxy"
    made = read_text(SOURCE, data).rows(IAM_PROXY_MESSAGES)
    assert [(row["client"], row["status"]) for row in made] == [("10.0.0.7", 404)] * 5


def test_other_logs_in_logfmt_are_left_to_others() -> None:
    other = 'time="2024-05-07T11:59:43.775569203Z" level=info msg="PullImage \\"nginx\\""\n' * 5
    found = sources.identify(other.encode())
    assert found is None or found[0].name != "iam-proxy"
