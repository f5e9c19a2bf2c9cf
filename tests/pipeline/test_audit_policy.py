"""Coverage says which levels and stages the audit log holds, and whose bodies it leaves out."""

from __future__ import annotations

from typing import Any

import pytest

from analyzer.frames import AUDIT_EVENTS
from analyzer.pipeline.audit_policy import policy_of
from analyzer.pipeline.coverage import coverage_of
from analyzer.pipeline.store import Store
from tests.build import held, rows

Row = dict[str, Any]


def event(level: str, stage: str = "ResponseComplete", verb: str = "get", resource: str = "pods", **more: Any) -> Row:
    return {"level": level, "stage": stage, "verb": verb, "resource": resource, **more}


def told(*events: Row) -> str:
    return policy_of(rows(AUDIT_EVENTS, *events))


def test_levels_and_stages_stand_with_their_counts_in_the_order_of_the_api() -> None:
    every = [event("RequestResponse"), event("Metadata"), event("Metadata", "ResponseStarted"), event("Request")]
    assert told(*every, event("Metadata", "RequestReceived")) == (
        "policy as logged: levels Metadata 3, Request 1, RequestResponse 1, "
        "stages RequestReceived 1, ResponseStarted 1, ResponseComplete 3"
    )


def test_a_stage_that_every_request_has_is_missed() -> None:
    assert told(event("Request")) == "policy as logged: levels Request 1, stages ResponseComplete 1, no RequestReceived"
    assert ", no ResponseComplete" in told(event("Request", "RequestReceived"))


def test_a_log_of_metadata_alone_has_no_bodies() -> None:
    assert told(event("Metadata", verb="create", resource="secrets")).endswith("no RequestReceived, no bodies")


@pytest.mark.parametrize(
    ("writes", "named"),
    [
        ([event("Metadata", verb="create", resource="secrets")], ", no bodies of writes to secrets"),
        ([event("Metadata", verb="get", resource="secrets")], ""),  # reading asks with no body
        ([event("Metadata", verb="create", resource="pods", subresource="eviction")], ""),
        ([event("Metadata", verb="update", resource="deployments")], ""),  # some have one
        (
            [event("Metadata", verb="patch", resource=name) for name in ("b", "a", "d", "c", "e", "e")],
            ", no bodies of writes to e, a, b and 2 more",
        ),
    ],
)
def test_whose_bodies_are_left_out_is_named(writes: list[Row], named: str) -> None:
    deployed = event("RequestResponse", "RequestReceived", verb="patch", resource="deployments")
    sentence = told(deployed, *writes)
    assert sentence.partition(", no bodies")[1:] == (", no bodies", named[len(", no bodies") :]) if named else True
    assert ("no bodies" in sentence) is bool(named)


def test_inputs_and_servers_of_other_levels_are_told_apart_and_equal_ones_together() -> None:
    low = [event("Metadata", source=f"a{i}") for i in range(5)]
    high = event("Request", source="b", server="openshift-apiserver")
    assert told(*low, high) == (
        "policy as logged in a0, a1, a2 and 2 more: levels Metadata 5, stages ResponseComplete 5, no RequestReceived, "
        "no bodies; policy as logged in b (openshift-apiserver): levels Request 1, stages ResponseComplete 1, "
        "no RequestReceived"
    )


def test_a_watch_in_one_file_of_a_rotated_log_does_not_make_it_another() -> None:
    sentence = told(
        event("Request", source="a"), event("Request", "ResponseStarted", source="b"), event("Request", source="b")
    )
    assert sentence.startswith("policy as logged: levels Request 3, stages ResponseStarted 1, ResponseComplete 2")


def test_many_kinds_are_counted() -> None:
    stages = ("RequestReceived", "ResponseComplete", "Panic")
    each = [event(level, stage, source=f"{level}{stage}") for level in ("Metadata", "Request") for stage in stages]
    assert told(*each).endswith("; 3 more inputs or servers with other levels or stages")


def test_what_is_no_level_and_no_stage_is_not_repeated() -> None:
    assert told(event("<b>", "\x1b[31m", verb="patch")) == (
        "policy as logged: no RequestReceived, no ResponseComplete, no bodies"
    )
    assert told() == ""


def test_the_coverage_of_the_table_says_it() -> None:
    [coverage] = coverage_of(Store({AUDIT_EVENTS: held(rows(AUDIT_EVENTS, event("Request")))}), ())
    assert coverage.remark == "policy as logged: levels Request 1, stages ResponseComplete 1, no RequestReceived"
