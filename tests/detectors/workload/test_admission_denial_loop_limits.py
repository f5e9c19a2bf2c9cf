"""Where the thresholds of admission-denial-loop lie, and what only looks like it."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest

from analyzer.detector import NotObservable
from analyzer.detectors.workload.admission_denial_loop import DETECTOR
from analyzer.frames import AUDIT_ANNOTATIONS, KLOG_LINES, KUBE_EVENTS
from analyzer.model import Severity
from tests.build import remarks, rows, run
from tests.detectors.workload.denials import (
    DENIED,
    FAILING,
    LOOP,
    POLICY,
    QUOTA,
    SECURITY,
    SETS,
    asked,
    create,
    event,
    log,
    owned,
)


@pytest.mark.parametrize(("times", "findings"), [((0, 150, 300), 1), ((0, 150, 301), 0), ((0, 10), 0)])
def test_threshold_of_three_denials_in_five_minutes(times: tuple[int, ...], findings: int) -> None:
    denied = [owned(create(s)) for s in times]
    cured = owned(create(400, 201))
    assert len(run(DETECTOR, log(*denied, cured))) == findings


@pytest.mark.parametrize(("end", "findings"), [(69, 0), (70, 1)])
def test_threshold_of_the_minute_after_a_single_denial(end: float, findings: int) -> None:
    assert len(run(DETECTOR, log(owned(create(10)), asked(end)))) == findings


@pytest.mark.parametrize(("seconds", "findings"), [(900, 1), (901, 0)])
def test_an_event_spreads_its_count_evenly(seconds: float, findings: int) -> None:
    one = event(seconds, 9, first_time=0)
    made = event(seconds + 1, 1, "Created pod: web-5d9c7f6b8-x2k8m", reason="SuccessfulCreate")
    assert len(run(DETECTOR, {KUBE_EVENTS: rows(KUBE_EVENTS, one, made)})) == findings


def test_two_webhooks_are_two_findings_and_two_owners_of_one_are_one() -> None:
    other = DENIED.replace("image.", "label.")
    first = [owned(create(s)) for s in (0, 1, 2)] + [owned(create(s), "api-6c8d7f9b5") for s in (3, 4, 5)]
    second = [owned(create(s, message=other)) for s in (6, 7, 8)]
    findings = run(DETECTOR, log(*first, *second))
    assert [(f.subject, f.figure("denials"), f.figure("owners stuck")) for f in findings] == [
        ("image.example.com", 6, 2),
        ("label.example.com", 3, 1),
    ]


def test_a_second_time_of_one_webhook_is_a_finding_of_its_own() -> None:
    early, late = ([owned(create(start + s)) for s in (0, 1, 2)] for start in (0, 9000))
    assert len(run(DETECTOR, log(*early, owned(create(3, 201)), *late))) == 2


def test_quotas_of_two_namespaces_are_two_findings() -> None:
    denied = [owned(create(s, message=QUOTA, namespace=n)) for s in (0, 1, 2) for n in ("shop", "cart")]
    assert [f.subject for f in run(DETECTOR, log(*denied))] == ["shop/compute", "cart/compute"]


def test_replicas_that_are_missing_follow_what_was_removed_and_made() -> None:
    removed = [
        create(s, 200, verb="delete", name=f"web-5d9c7f6b8-x2k8{c}", user="ops")
        for s, c in ((1, "b"), (2, "c"), (3, "d"))
    ]
    twice = create(4, 200, verb="delete", name="web-5d9c7f6b8-x2k8b", user="system:node:n1")
    bound = create(5, 201, subresource="binding", name="web-5d9c7f6b8-x2k8f", user="system:kube-scheduler")
    denied = [owned(create(s)) for s in (6, 7, 8)]
    [finding] = run(DETECTOR, log(*removed, twice, bound, *denied))
    assert finding.figure("replicas missing") == 2


@pytest.mark.parametrize(
    ("cure", "text"),
    [
        (owned(create(200, 201)), "made at last"),
        (create(200, 201, subresource="binding", name="web-5d9c7f6b8-x2k8f", user="s"), "made at last"),
        (owned(create(200, 201), "web-7f9c6bd54"), "made at last"),
        (create(200, 200, verb="delete", resource="replicasets", name="web-5d9c7f6b8"), "removed"),
        (create(200, 200, verb="delete", resource="deployments", name="web", user="ops"), "removed"),
        (
            owned(create(200, 200, verb="patch", resource="deployments", name="web"), None, None, replicas=0),
            "scaled to 0",
        ),
    ],
)
def test_an_owner_that_was_cured_is_not_stuck(cure: Any, text: str) -> None:
    [finding] = run(DETECTOR, log(*(owned(create(s)) for s in (10, 11, 12)), cure, asked(500)))
    assert finding.figure("owners stuck at the end") == 0
    assert finding.figure("replicas missing") == 0
    assert finding.figure("seconds since the first denial") == 190
    assert finding.evidence.tables[0].rows[0][6] == text
    assert finding.severity is Severity.MEDIUM


def test_severity_follows_who_is_stuck_and_for_how_long() -> None:
    def severity(*namespaces: str, cured: float | None = None) -> Severity:
        denied = [owned(create(s, namespace=n)) for n in namespaces for s in (0, 1, 2)]
        ends = [owned(create(cured, 201, namespace=n)) for n in namespaces] if cured else []
        [finding] = run(DETECTOR, log(*denied, *ends))
        return finding.severity

    assert severity("shop", cured=59) is Severity.LOW
    assert severity("shop", cured=60) is Severity.MEDIUM
    assert severity("shop", "cart") is Severity.HIGH
    assert severity("shop", "cart", "pay") is Severity.CRITICAL
    assert severity("kube-system") is Severity.CRITICAL


def test_the_saving_leaves_what_people_are_denied() -> None:
    people = [create(s, user="ci") for s in (20, 21)]
    [finding] = run(DETECTOR, log(*LOOP, *people))
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled) == (5, 2)


def test_a_webhook_that_fails_is_replayed_failing_open_and_without_kube_system() -> None:
    text = FAILING.format("EOF")
    denied = [owned(create(s, 500, text, namespace=n)) for n in ("shop", "kube-system") for s in (0, 1, 2)]
    [finding] = run(DETECTOR, log(*denied))
    assert finding.saving is not None
    assert (finding.saving.observed, finding.saving.modelled) == (6, 0)
    assert [(saving.observed, saving.modelled) for saving in finding.alternatives] == [(6, 3)]
    assert "failurePolicy: Ignore" in finding.remedies[0].snippet


def test_a_quota_says_what_would_be_needed() -> None:
    text = (
        'pods "x" is forbidden: exceeded quota: compute, requested: limits.memory=512Mi,requests.cpu=500m, used: '
        "limits.memory=4Gi,requests.cpu=9800m, limited: limits.memory=4Gi,requests.cpu=10"
    )
    made = LOOP[0]
    [finding] = run(DETECTOR, log(made, *(owned(create(s, message=text)) for s in (10, 11, 12))))
    assert finding.evidence.tables[2].rows == (
        ("limits.memory", 2.0**29, 2.0**32, 2.0**32, 2.0**32 + 3 * 2.0**29),
        ("requests.cpu", 0.5, 9.8, 10.0, 11.3),
    )
    assert 'requests.cpu: "11.3"' in finding.remedies[0].snippet
    assert 'limits.memory: "5905580032"' in finding.remedies[0].snippet


def test_remedies_are_ready_to_paste() -> None:
    [first] = run(DETECTOR, log(*(owned(create(s, message=SECURITY)) for s in (0, 1, 2))))
    assert "pod-security.kubernetes.io/warn: restricted" in first.remedies[0].snippet
    [second] = run(DETECTOR, log(*(owned(create(s, message=POLICY)) for s in (0, 1, 2))))
    assert "policyName: no-latest\n  validationActions: [Audit, Warn]" in second.remedies[0].snippet
    [third] = run(DETECTOR, log(*LOOP))
    assert "- name: image.example.com\n" in third.remedies[0].snippet


@pytest.mark.parametrize("name", ['a"; evil', "x\n- y", "A_B", "a" * 300])
def test_a_name_that_is_not_well_formed_is_not_written_into_yaml(name: str) -> None:
    text = f'admission webhook "{name}" denied the request: no'
    for finding in run(DETECTOR, log(*(owned(create(s, message=text)) for s in (0, 1, 2)))):
        assert name not in finding.remedies[0].snippet


def test_silent_on_people_and_pipelines_and_counts_them() -> None:
    given = log(*(create(s, user="system:serviceaccount:ci:runner") for s in range(20)))
    assert run(DETECTOR, given) == []
    assert remarks(DETECTOR, given) == [
        "20 requests of people or pipelines were denied by webhook denial image.example.com: there the rule works."
    ]


def test_silent_on_a_namespace_that_is_being_deleted() -> None:
    text = 'pods "x" is forbidden: unable to create new content in namespace shop because it is being terminated'
    assert run(DETECTOR, log(*(owned(create(s, message=text)) for s in range(20)))) == []


def test_silent_on_what_a_role_forbids() -> None:
    forbidden = [create(s, message='pods is forbidden: User "x"', decision="forbid") for s in range(20)]
    assert run(DETECTOR, log(*forbidden, create(30, 201))) == []


def test_silent_on_other_errors_of_controllers() -> None:
    conflicts = [owned(create(s, 409, 'pods "web-x" already exists')) for s in range(20)]
    limited = [owned(create(s, 429, None, decision=None)) for s in range(20, 40)]
    assert run(DETECTOR, log(*conflicts, *limited)) == []


def test_silent_on_a_webhook_that_fails_open_and_says_so() -> None:
    passed = rows(
        AUDIT_ANNOTATIONS,
        *({"audit_id": f"{i}", "value": "image.example.com"} for i in range(4)),
        annotation="failed-open.validating.webhook.admission.k8s.io",
    )
    given = log(*(owned(create(s, 201)) for s in range(4))) | {AUDIT_ANNOTATIONS: passed}
    assert run(DETECTOR, given) == []
    assert remarks(DETECTOR, given) == [
        "4 requests passed although image.example.com could not be called: it fails open."
    ]


def test_silent_on_the_cured_system() -> None:
    assert run(DETECTOR, log(*(owned(create(s, 201)) for s in range(20)))) == []


def test_silent_on_no_rows_where_creations_could_be_seen() -> None:
    assert run(DETECTOR, {KUBE_EVENTS: rows(KUBE_EVENTS, event(0, 1, "x", reason="Pulled"))}) == []
    assert run(DETECTOR, {KLOG_LINES: rows(KLOG_LINES, {"component": "kube-controller-manager", "text": "x"})}) == []


def test_not_observable_where_no_source_could_hold_a_denial() -> None:
    for given in (log(), log(asked(1)), {KLOG_LINES: rows(KLOG_LINES, {"component": "kubelet", "text": "x"})}):
        with pytest.raises(NotObservable, match="no creation of a pod stands in the audit log"):
            run(DETECTOR, given)


def test_without_the_evidence_the_finding_goes_and_other_rows_change_nothing() -> None:
    [finding] = run(DETECTOR, log(*LOOP))
    assert run(DETECTOR, log(LOOP[0], LOOP[4])) == []
    noise = [owned(create(20 + s / 10, 201, namespace="other"), "cart-6c8d7f9b5") for s in range(500)]
    [again] = run(DETECTOR, log(*LOOP, *noise))
    assert again == finding


def test_the_command_counts_the_same_denials(tmp_path: Any) -> None:
    jq = shutil.which("jq")
    if not jq:
        pytest.skip("jq is not here")
    [finding] = run(DETECTOR, log(*LOOP))
    done = {
        "stage": "ResponseComplete",
        "verb": "create",
        "user": {"username": SETS},
        "objectRef": {"namespace": "shop"},
    }
    lines = [done | {"responseStatus": {"code": code, "message": DENIED}} for code in (403, 403, 201, 403)]
    (tmp_path / "t").write_text("\n".join(json.dumps(line) for line in lines))
    out = subprocess.run(["sh", "-c", finding.verify[0]], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert out.stdout.split()[0] == "3"
