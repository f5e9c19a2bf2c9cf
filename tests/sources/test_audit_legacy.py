"""The text format of audit logs before events."""

from __future__ import annotations

import io

import pytest

from analyzer.sources.audit import SOURCE
from analyzer.sources.audit import legacy as module
from tests.sources.audit_log import read

PODS = "/api/v1/namespaces/default/pods"


def request(audit_id: str = "a1", second: int = 1, method: str = "GET", uri: str = PODS) -> str:
    """kubernetes 1.5, staging .../endpoints/filters/legacy_audit.go."""
    return (
        f'2016-09-07T13:03:{second:02d}.400333046Z AUDIT: id="{audit_id}" ip="127.0.0.1" method="{method}"'
        f' user="admin" groups="\\"system:masters\\",\\"x\\"" as="<self>" asgroups="<lookup>" namespace="default"'
        f' uri="{uri}"'
    )


def response(audit_id: str = "a1", second: int = 2, code: int = 200) -> str:
    return f'2016-09-07T13:03:{second:02d}.400710987Z AUDIT: id="{audit_id}" response="{code}"'


def data(*lines: str) -> bytes:
    return "".join(line + "\n" for line in lines).encode()


def test_a_request_and_its_response_are_two_events_of_one_id() -> None:
    log = data(request(), response())
    match = SOURCE.identify(log)
    assert match is not None
    assert match.confidence > 0.9
    table, ledger = read(log)
    assert table.select("number", "audit_id", "stage", "verb", "resource", "namespace", "user", "code").rows() == [
        (1, "a1", "RequestReceived", "list", "pods", "default", "admin", None),
        (2, "a1", "ResponseComplete", "list", "pods", "default", "admin", 200),
    ]
    assert [str(time) for time in table["time"]] == ["2016-09-07 13:03:01.400333+00:00"] * 2
    assert str(table["stage_time"][1]) == "2016-09-07 13:03:02.400710+00:00"
    assert table["event_bytes"].sum() == len(log)
    assert any("derived from the method" in note for note in ledger.notes)


def test_requests_that_overlap_keep_their_own_fields() -> None:
    log = data(request("a1"), request("b2", uri="/api/v1/nodes/n1"), response("b2", code=404), response("a1"))
    table, _ = read(log)
    assert table.select("audit_id", "resource", "code").rows()[2:] == [("b2", "nodes", 404), ("a1", "pods", 200)]


def test_a_response_whose_request_is_in_another_file_keeps_what_it_says() -> None:
    table, ledger = read(data(response("zz", code=500)))
    assert table.select("audit_id", "verb", "code", "stage").rows() == [("zz", None, 500, "ResponseComplete")]
    assert ledger.skipped == 0


def test_a_watch_has_begun_when_its_headers_are_sent() -> None:
    table, _ = read(data(request(uri=PODS + "?watch=true"), response()))
    assert table.select("verb", "stage").rows()[1] == ("watch", "ResponseStarted")


def test_an_event_a_line_since_1_7() -> None:
    """kubernetes staging/src/k8s.io/apiserver/pkg/audit/format.go, EventString."""
    one = (
        '2018-03-21T21:47:07.603214Z AUDIT: id="c3" stage="ResponseComplete" ip="192.0.2.1" method="update" user="u"'
        ' groups="\\"g\\"" as="<self>" asgroups="<lookup>" user-agent="kubelet/v1.9 \\"x\\" \\u00e9" namespace="a"'
        ' uri="/api/v1/namespaces/a/pods/b/status" response="409"'
    )
    deferred = one.replace("ResponseComplete", "RequestReceived").replace('"409"', '"<deferred>"')
    table, _ = read(data(deferred, one))
    assert table.select("stage", "verb", "subresource", "code").rows() == [
        ("RequestReceived", "update", "status", None),
        ("ResponseComplete", "update", "status", 409),
    ]
    assert table["user_agent"].to_list() == ['kubelet/v1.9 "x" é'] * 2


def test_lines_that_are_none_and_a_cut_end_are_counted() -> None:
    log = data(request(), "I0907 13:03:57 something else", 'AUDIT: id="x"', response()) + request("b2")[:-20].encode()
    table, ledger = read(log)
    assert table["number"].to_list() == [1, 4]
    assert (ledger.skipped, ledger.incomplete_tail) == (2, 1)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda line: "2030-01-01T00:00:00.5Z stdout F " + line,
        lambda line: "Jan 01 00:00:00 master origin[7]: " + line,
        lambda line: "2030-01-01T00:00:00.5Z " + line,
        lambda line: "[pod/kube-apiserver-m/kube-apiserver] " + line,
    ],
)
def test_wrapped_lines_keep_their_own_times(wrap: object) -> None:
    assert callable(wrap)
    table, ledger = read(data(wrap(request()), wrap(response())))
    assert table["time"].dt.year().to_list() == [2016, 2016]
    assert ledger.skipped == 0


def test_openshift_origin_wrote_no_year() -> None:
    table, _ = read(data("I0907 13:03:57.400333       1 audit.go:45] " + request().split(" ", 1)[1]))
    assert table.select("time", "resource").row(0) == (None, "pods")


def test_lines_are_quoted_without_tokens() -> None:
    log = data(request(uri=PODS + "?access_token=hunter2"), response())
    quoted = SOURCE.quote(io.BytesIO(log), frozenset({1, 2}))
    assert 'method="GET"' in quoted[1]
    assert "hunter2" not in quoted[1] + str(read(log)[0].rows())
    assert quoted[2] == response()


def test_requests_without_a_response_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KNOWN_LIMIT", 10_000)
    log = module.Legacy()
    for number in range(1000):
        log.event(request(f"a{number}").encode())
    assert len(log._known) < 10
    assert log._held <= 10_000
    assert b'"verb"' not in (log.event(response("a0").encode()) or b"")
    assert b'"verb"' in (log.event(response("a999").encode()) or b"")
