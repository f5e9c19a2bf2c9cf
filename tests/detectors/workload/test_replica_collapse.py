from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from analyzer.detector import NotObservable
from analyzer.detectors.workload.replica_collapse import DETECTOR
from analyzer.frames import AUDIT_EVENTS, AUDIT_OBJECTS, KUBE_EVENTS, Table
from analyzer.model import Confidence, Finding, Severity
from tests.build import at, remarks, rows, run

Given = dict[Table, pl.LazyFrame]
Row = dict[str, Any]
HPA = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"
SETS = "system:serviceaccount:kube-system:replicaset-controller"
LETTERS = "bcdfghjklmnpqrstvwxz2456789"
NONE = object()


def write(seconds: float, asked: object = NONE, stored: object = NONE, **changed: Any) -> tuple[Row, list[Row]]:
    """A write of Deployment shop/web with its bodies: replicas asked for and stored; without them at level Metadata."""
    event: Row = {"time": seconds, "stage_time": seconds, "stage": "ResponseComplete", "verb": "patch", "code": 200}
    event |= {"resource": "deployments", "namespace": "shop", "name": "web", "user": "ops", "agent": "kubectl"}
    event |= changed
    about = {key: event[key] for key in ("time", "verb", "code", "resource", "namespace", "name")}
    bodies = [about | {"body": body, "replicas": value, "selector": "app=web"}
              for body, value in (("request", asked), ("response", stored)) if value is not NONE]  # fmt: skip
    return event, bodies


def scale(seconds: float, replicas: object = NONE, user: str = HPA, **changed: Any) -> tuple[Row, list[Row]]:
    return write(seconds, replicas, replicas, user=user, verb="update", subresource="scale", **changed)


def gone(seconds: float, number: int, **changed: Any) -> tuple[Row, list[Row]]:
    """A pod that the ReplicaSet controller deletes."""
    name = f"web-5d9c7f6b8-x2k{LETTERS[number // 27]}{LETTERS[number % 27]}"
    return write(seconds, verb="delete", resource="pods", user=SETS, **{"name": name} | changed)


def log(*given: tuple[Row, list[Row]]) -> Given:
    events, objects = [], []
    for number, (event, bodies) in enumerate(sorted(given, key=lambda one: one[0]["time"]), 1):
        events.append({"audit_id": f"a{number}", "number": number} | event)
        objects += [{"audit_id": f"a{number}", "number": number} | body for body in bodies]
    return {AUDIT_EVENTS: rows(AUDIT_EVENTS, *events), AUDIT_OBJECTS: rows(AUDIT_OBJECTS, *objects)}


def told(*given: Row) -> Given:
    return {KUBE_EVENTS: rows(KUBE_EVENTS, *given)}


def scaling(seconds: float, message: str, **changed: Any) -> Row:
    made: Row = {
        "time": seconds,
        "first_time": seconds,
        "count": 1,
        "reason": "ScalingReplicaSet",
        "kind": "Deployment",
    }
    return made | {"namespace": "shop", "name": "web", "message": message} | changed


def rescale(seconds: float, size: int) -> Row:
    text = f"New size: {size}; reason: cpu resource utilization above target"
    return scaling(seconds, text, reason="SuccessfulRescale", kind="HorizontalPodAutoscaler")


DELETED = [gone(101 + i / 10, i) for i in range(11)]
COLLAPSE = (scale(10, 12), write(100, None, 1), *DELETED, scale(115, 4), scale(130, 8), scale(145, 12), gone(400, 20))


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


def test_fires_on_an_apply_that_takes_the_replicas_away() -> None:
    [finding] = run(DETECTOR, log(*COLLAPSE))
    assert finding.subject == "shop/web"
    assert finding.summary == (
        "12 replicas of shop/web became 1 after a write of kubectl that names no replicas, 11 pods were deleted within "
        "a minute, and 45 s passed until it had as many again."
    )
    assert (finding.start, finding.end) == (at(100), at(145))
    assert figures(finding) == {
        "replicas before": 12,
        "replicas after": 1,
        "pods deleted": 11,
        "seconds until recovery": 45,
        "replica-seconds lost": 15 * 11 + 15 * 8 + 15 * 4,
    }
    assert [record.number for record in finding.evidence.records] == list(range(2, 14))
    assert finding.severity is Severity.HIGH
    assert finding.confidence is Confidence.HIGH
    assert finding.stories == (13,)
    assert finding.evidence.tables[0].rows == ((0.0, 1, "ops"), (15.0, 4, HPA), (30.0, 8, HPA), (45.0, 12, HPA))
    assert len(finding.evidence.tables[1].rows) == 11


def test_the_replay_keeps_the_field_or_raises_to_a_minimum() -> None:
    [finding] = run(DETECTOR, log(*COLLAPSE))
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled) == (345, 0)
    [other] = finding.alternatives
    assert (other.fix, other.modelled) == ("minReplicas: 6 of its HorizontalPodAutoscaler", 15 * 11 + 15 * 6 + 15 * 4)


@pytest.mark.parametrize("verb", ["update", "patch"])
@pytest.mark.parametrize("user", ["ops", "system:serviceaccount:argocd:argocd-application-controller"])
def test_whoever_writes_without_the_field_is_found(verb: str, user: str) -> None:
    assert len(run(DETECTOR, log(scale(10, 12), write(100, None, 1, verb=verb, user=user)))) == 1


def test_without_recovery_the_loss_runs_to_the_end_of_the_evidence() -> None:
    [finding] = run(DETECTOR, log(scale(10, 4), write(100, None, 1), gone(200, 0)))
    assert figures(finding) == {
        "replicas before": 4,
        "replicas after": 1,
        "pods deleted": 0,
        "replica-seconds lost": 300,
    }
    assert "it never had as many again" in finding.summary
    assert finding.severity is Severity.HIGH


@pytest.mark.parametrize(
    "known",
    [
        write(10, NONE, 5, verb="get", user="ops"),
        write(10, 5, 5, verb="update", subresource="status", user="system:kube-controller-manager"),
        write(10, 5, 5, verb="create"),
        write(10, 5, 5),
        scale(10, 5, user="ops"),
    ],
)
def test_what_was_there_before_is_known_from_any_earlier_body(known: Any) -> None:
    [finding] = run(DETECTOR, log(known, write(100, None, 1)))
    assert finding.figure("replicas before") == 5


@pytest.mark.parametrize(
    "message",
    ["Scaled down replica set web-5d9c7f6b8 to 1 from 60", "Scaled down replica set web-5d9c7f6b8 from 60 to 1"],
)
def test_what_was_there_before_is_known_from_the_event(message: str) -> None:
    [finding] = run(DETECTOR, log(write(100, None, 1)) | told(scaling(101, message)))
    assert finding.figure("replicas before") == 60


def test_what_was_there_before_is_known_from_the_pods_that_were_deleted() -> None:
    [finding] = run(DETECTOR, log(write(100, None, 1), *DELETED))
    assert finding.figure("replicas before") == 12


def test_a_scale_whose_number_is_not_told_makes_what_was_there_unknown() -> None:
    assert run(DETECTOR, log(scale(10, 12), scale(50, user="ops"), write(100, None, 1))) == []


@pytest.mark.parametrize(("before", "findings"), [(3, 1), (2, 0)])
def test_threshold_of_the_replicas_that_were_there(before: int, findings: int) -> None:
    assert len(run(DETECTOR, log(scale(10, before), write(100, None, 1)))) == findings


@pytest.mark.parametrize(("share", "findings"), [(0.75, 1), (0.76, 0)])
def test_threshold_of_the_share_that_is_lost(share: float, findings: int) -> None:
    assert len(run(DETECTOR, log(scale(10, 4), write(100, None, 1)), share=share)) == findings


def test_severity_follows_how_much_went_and_for_how_long() -> None:
    def severity(before: int, until: float) -> Severity:
        [finding] = run(DETECTOR, log(scale(10, before), write(100, None, 1), scale(until, before)))
        return finding.severity

    assert severity(9, 399) is Severity.MEDIUM
    assert severity(9, 400) is Severity.HIGH
    assert severity(10, 399) is Severity.HIGH
    assert severity(10, 400) is Severity.CRITICAL


def test_two_deployments_are_two_findings_and_two_falls_of_one_as_well() -> None:
    api = [scale(10, 5, name="api"), write(90, None, 1, name="api"), scale(95, 5, name="api")]
    again = [write(500, None, 1), scale(520, 12)]
    findings = run(DETECTOR, log(*COLLAPSE, *api, *again))
    assert [(f.subject, f.start) for f in findings] == [
        ("shop/api", at(90)),
        ("shop/web", at(100)),
        ("shop/web", at(500)),
    ]


def test_a_second_write_before_the_recovery_is_the_same_collapse() -> None:
    assert len(run(DETECTOR, log(*COLLAPSE, write(120, None, 1)))) == 1


def test_without_bodies_the_event_after_the_write_tells_of_the_fall() -> None:
    given = log(write(100), gone(102, 0)) | told(
        scaling(101, "Scaled down replica set web-5d9c7f6b8 from 60 to 1"),
        scaling(130, "Scaled up replica set web-5d9c7f6b8 from 1 to 60"),
    )
    [finding] = run(DETECTOR, given)
    assert finding.confidence is Confidence.MEDIUM
    assert (finding.figure("replicas before"), finding.figure("seconds until recovery")) == (60, 30)


def test_without_bodies_and_events_the_sequence_hints_at_it() -> None:
    given = log(write(100), *DELETED, scale(115), scale(130))
    [finding] = run(DETECTOR, given)
    assert finding.confidence is Confidence.LOW
    assert finding.figure("replicas before") == 12
    made = write(101, verb="create", resource="pods", user=SETS, code=201)
    for other in (log(write(100), *DELETED), log(write(100), made, *DELETED, scale(115))):
        with pytest.raises(NotObservable, match="without the object"):
            run(DETECTOR, other)


FELL = scaling(100, "Scaled down replica set web-5d9c7f6b8 from 60 to 1")
ROSE = scaling(130, "Scaled up replica set web-5d9c7f6b8 from 1 to 4")


def test_with_events_alone_a_fall_counts_that_an_autoscaler_had_to_mend() -> None:
    [finding] = run(DETECTOR, told(FELL, ROSE, rescale(129, 4)))
    assert finding.figure("replicas before") == 60
    assert finding.confidence is Confidence.MEDIUM
    assert run(DETECTOR, told(FELL, ROSE)) == []
    assert run(DETECTOR, told(FELL, rescale(129, 4))) == []


def test_silent_on_an_autoscaler_that_goes_down_to_its_minimum() -> None:
    given = log(scale(10, 12), scale(100, 1), *DELETED)
    assert run(DETECTOR, given) == []
    assert remarks(DETECTOR, given) == ["1 write of autoscalers went down to one replica: that is their minimum."]
    assert run(DETECTOR, told(rescale(99, 1), FELL, ROSE, rescale(129, 4))) == []
    shared = {"user": "system:kube-controller-manager", "controller": HPA}
    assert run(DETECTOR, log(scale(10, 12), write(100, None, 1, **shared))) == []


def test_silent_on_whoever_scales_to_one_by_hand() -> None:
    for wanted in (scale(100, 1, user="ops"), write(100, 1, 1)):
        given = log(scale(10, 12), wanted, *DELETED)
        assert run(DETECTOR, given) == []
        assert remarks(DETECTOR, given) == ["1 write asked for one replica by name: that was wanted."]


def test_silent_on_a_scale_by_hand_without_bodies() -> None:
    given = log(write(95), scale(100, user="ops"), *DELETED, scale(115)) | told(FELL)
    assert run(DETECTOR, given) == []


def test_silent_on_pruning() -> None:
    pruned = write(100, verb="delete", user="system:serviceaccount:argocd:argocd-application-controller")
    assert run(DETECTOR, log(scale(10, 12), pruned, *DELETED)) == []


def test_silent_on_a_deployment_that_is_made_without_the_field() -> None:
    assert run(DETECTOR, log(scale(10, 12), write(100, None, 1, verb="create", code=201), *DELETED)) == []


def test_silent_on_a_rollout() -> None:
    steps = [
        scaling(99, "Scaled up replica set web-7f9c6bd54 from 0 to 3"),
        scaling(100, "Scaled down replica set web-5d9c7f6b8 from 4 to 1"),
        scaling(110, "Scaled down replica set web-5d9c7f6b8 from 1 to 0"),
    ]
    assert run(DETECTOR, told(*steps)) == []
    assert run(DETECTOR, log(write(98)) | told(*steps)) == []


def test_silent_on_a_write_that_keeps_what_is_there() -> None:
    assert run(DETECTOR, log(scale(10, 12), write(100, None, 12))) == []


def test_silent_on_a_deployment_that_had_one_all_along() -> None:
    given = log(write(10, 1, 1), write(100, None, 1))
    assert run(DETECTOR, given) == []
    assert remarks(DETECTOR, given) == []


def test_silent_on_a_write_that_was_refused() -> None:
    assert run(DETECTOR, log(scale(10, 12), write(100, None, 1, code=403))) == []


def test_silent_on_the_cured_system() -> None:
    assert run(DETECTOR, log(scale(10, 12), write(100, None, 12), scale(115, 14), write(200, None, 14))) == []


def test_silent_on_no_rows_where_a_collapse_could_be_seen() -> None:
    assert run(DETECTOR, told(scaling(1, "x", reason="Pulled"))) == []
    assert (
        run(DETECTOR, log(write(1, verb="update", subresource="status", user="system:kube-controller-manager"))) == []
    )


def test_not_observable_where_the_policy_keeps_no_bodies() -> None:
    with pytest.raises(NotObservable, match="2 writes of Deployments without the object that was stored"):
        run(DETECTOR, log(write(100), write(200, None)))
    with pytest.raises(NotObservable, match="no request for a Deployment"):
        run(DETECTOR, log(gone(1, 1)))


def test_the_snippet_brings_the_replicas_back_and_hands_the_field_over() -> None:
    [finding] = run(DETECTOR, log(*COLLAPSE))
    snippet = finding.remedies[0].snippet
    assert "kubectl -n shop scale deployment web --replicas=12" in snippet
    assert "--field-manager=handover-to-hpa" in snippet
    assert '{"spec":{"minReplicas":6}}' in snippet


@pytest.mark.parametrize("name", ["a; rm -rf /", "x\ny", "$(id)", "A_B"])
def test_a_name_that_is_not_well_formed_is_not_written_into_a_command(name: str) -> None:
    [finding] = run(DETECTOR, log(scale(10, 12, name=name), write(100, None, 1, name=name)))
    assert finding.remedies[0].snippet == ""
    assert name not in "".join(finding.verify)


def test_without_the_evidence_the_finding_goes_and_other_rows_change_nothing() -> None:
    [finding] = run(DETECTOR, log(*COLLAPSE))
    assert run(DETECTOR, log(*(one for one in COLLAPSE if one[0]["time"] != 100))) == []
    given = log(*COLLAPSE)
    noise = [write(450 + i / 10, 3, 3, name="cart", namespace="cart")[0] | {"number": 1000 + i} for i in range(500)]
    later = rows(AUDIT_EVENTS, *[row | {"audit_id": f"n{row['number']}"} for row in noise])
    [again] = run(DETECTOR, given | {AUDIT_EVENTS: pl.concat([given[AUDIT_EVENTS], later])})
    assert again == finding


def test_the_command_prints_the_same_write(tmp_path: Path) -> None:
    if not shutil.which("jq"):
        pytest.skip("jq is not here")
    [finding] = run(DETECTOR, log(*COLLAPSE))
    line = {"stage": "ResponseComplete", "requestReceivedTimestamp": "T", "user": {"username": "ops"}}
    line |= {"objectRef": {"resource": "deployments", "namespace": "shop", "name": "web"}}
    bodies = [({"replicas": None}, {"replicas": 1}), ({"replicas": 1}, {"replicas": 1}), ({}, {"replicas": 12})]
    lines = [line | {"requestObject": {"spec": asked}, "responseObject": {"spec": got}} for asked, got in bodies]
    (tmp_path / "t").write_text("\n".join(json.dumps(one) for one in lines))
    out = subprocess.run(["sh", "-c", finding.verify[0]], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["T", "ops", "shop", "web"]
