from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import polars as pl
import pytest

from analyzer.detector import NotObservable
from analyzer.detectors.workload.admission_denial_loop import DETECTOR
from analyzer.frames import AUDIT_ANNOTATIONS, AUDIT_EVENTS, AUDIT_OBJECTS, KLOG_LINES, KUBE_EVENTS, Table
from analyzer.model import Confidence, Finding, Severity
from tests.build import at, remarks, rows, run

SETS = "system:serviceaccount:kube-system:replicaset-controller"
DENIED = "admission webhook \"image.example.com\" denied the request: image tag ':latest' is not allowed"
FAILING = (
    'Internal error occurred: failed calling webhook "image.example.com": failed to call webhook: '
    'Post "https://image.policy.svc:443/v?timeout=5s": {}'
)
UNREACHABLE = ("image.example.com (unreachable)", "webhook failure (unreachable)")
TIMEOUT = ("image.example.com (timeout)", "webhook failure (timeout)")
TLS = ("image.example.com (TLS)", "webhook failure (TLS)")
FORBIDDEN = 'pods "web-x" is forbidden: '
SECURITY = FORBIDDEN + 'violates PodSecurity "restricted:latest": runAsNonRoot != true'
QUOTA = FORBIDDEN + "exceeded quota: compute, requested: cpu=1, used: cpu=10, limited: cpu=10"
POLICY = FORBIDDEN + "ValidatingAdmissionPolicy 'no-latest' with binding 'all' denied request: no"
ANY = FORBIDDEN + "unable to validate against any {}: []"
OLD_EVENT = (
    'Event(v1.ObjectReference{{Kind:"DaemonSet", Namespace:"shop", Name:"agent", UID:"1", APIVersion:"apps/v1", '
    "ResourceVersion:\"2\", FieldPath:\"\"}}): type: 'Warning' reason: 'FailedCreate' Error creating: {}"
)
Given = dict[Table, pl.LazyFrame]
Body = dict[str, Any]


def create(seconds: float, code: int = 403, message: str | None = DENIED, **changed: Any) -> Body:
    """A pod that the ReplicaSet controller wants to make."""
    made: Body = {"time": seconds, "stage_time": seconds, "stage": "ResponseComplete", "verb": "create", "code": code}
    made |= {"resource": "pods", "namespace": "shop", "user": SETS, "decision": "allow"}
    return made | {"message": message if code >= 400 else None} | changed


def owned(
    event: Body, owner: str | None = "web-5d9c7f6b8", kind: str | None = "ReplicaSet", **changed: Any
) -> tuple[Body, Body]:
    """The event with the body that it carried."""
    return event, {"body": "request", "owner_kind": kind, "owner_name": owner} | changed


def log(*parts: Body | tuple[Body, Body]) -> Given:
    """An audit log of these events, each on the line of its place, with the bodies that they carried."""
    events, objects = [], []
    for number, part in enumerate(parts, 1):
        event, body = part if isinstance(part, tuple) else (part, None)
        events.append({"audit_id": f"id-{number}", "number": number} | event)
        if body:
            objects.append({"number": number, "time": event["time"]} | body)
    return {AUDIT_EVENTS: rows(AUDIT_EVENTS, *events), AUDIT_OBJECTS: rows(AUDIT_OBJECTS, *objects)}


def asked(seconds: float, name: str | None = None, **changed: Any) -> Body:
    """Any other request."""
    return create(seconds, 200, verb="get", name=name, user="ops", **changed)


LOOP = (
    owned(
        create(
            9,
            201,
            resource="replicasets",
            name="web-5d9c7f6b8",
            user="system:serviceaccount:kube-system:deployment-controller",
        ),
        owner="web",
        kind="Deployment",
        replicas=3,
        name="web-5d9c7f6b8",
    ),
    owned(create(10)),
    owned(create(11)),
    owned(create(130)),
    asked(310),
)


def test_fires_on_a_webhook_that_refuses_the_pods_of_a_deployment() -> None:
    [finding] = run(DETECTOR, log(*LOOP))
    assert finding.subject == "image.example.com"
    assert finding.summary == (
        "3 denials by webhook denial image.example.com over 300 s kept 1 owner from making pods (shop/web), 1 still "
        "stuck at the end."
    )
    assert (finding.start, finding.end) == (at(10), at(310))
    assert figures(finding) == {
        "denials": 3,
        "owners stuck": 1,
        "owners stuck at the end": 1,
        "replicas missing": 3,
        "seconds since the first denial": 300,
    }
    assert [record.number for record in finding.evidence.records] == [2, 3, 4]
    assert finding.severity is Severity.HIGH
    assert finding.confidence is Confidence.HIGH
    assert finding.stories == (8,)
    assert finding.evidence.tables[0].rows == (("shop/web", "Deployment", 3, 0.0, 120.0, 3, "stuck"),)
    assert finding.evidence.tables[1].rows == ((DENIED, 3),)


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


@pytest.mark.parametrize(
    ("message", "subject", "variant"),
    [
        (FAILING.format("dial tcp 10.0.0.1:443: connect: connection refused"), *UNREACHABLE),
        (FAILING.format('no endpoints available for service "image"'), *UNREACHABLE),
        ('Internal error: failed calling admission webhook "image.example.com": Post https://x: EOF', *UNREACHABLE),
        (FAILING.format("context deadline exceeded"), *TIMEOUT),
        (FAILING.format("net/http: request canceled (Client.Timeout exceeded while awaiting headers)"), *TIMEOUT),
        (FAILING.format("x509: certificate has expired or is not yet valid"), *TLS),
        (FAILING.format("remote error: tls: bad certificate"), *TLS),
        (FAILING.format("an error on the server"), "image.example.com (other)", "webhook failure (other)"),
        (SECURITY, "shop/restricted:latest", "PodSecurity"),
        (QUOTA, "shop/compute", "quota"),
        (FORBIDDEN + "failed quota: compute: must specify limits.cpu for: web", "shop/compute", "quota"),
        (POLICY, "no-latest", "ValidatingAdmissionPolicy"),
        (ANY.format("pod security policy"), "pod security policy", "security policy"),
        (ANY.format("security context constraint"), "security context constraint", "security policy"),
        (FORBIDDEN + "maximum memory usage per Pod is 1Gi", "shop/maximum memory usage per Pod", "LimitRange"),
    ],
)
def test_fires_on_every_check_by_the_text_of_its_answer(message: str, subject: str, variant: str) -> None:
    [finding] = run(DETECTOR, log(*(owned(create(s, message=message)) for s in (1, 2, 3))))
    assert (finding.subject, finding.variant) == (subject, variant)


def event(seconds: float | None, count: int, message: str = f"Error creating: {DENIED}", **changed: Any) -> Body:
    made = {"time": seconds, "first_time": seconds, "count": count, "reason": "FailedCreate", "message": message}
    return made | {"kind": "ReplicaSet", "namespace": "shop", "name": "web-5d9c7f6b8"} | changed


def test_fires_on_events_alone_and_counts_an_event_once_however_often_it_was_saved() -> None:
    saved = [event(s, n, event_uid="u1", first_time=0) for s, n in ((1, 2), (2, 5), (3, 9))]
    scaled = event(0, 1, "Scaled up replica set web-5d9c7f6b8 from 0 to 4", reason="ScalingReplicaSet", name="web")
    one = event(4, 1, "Created pod: web-5d9c7f6b8-x2k8m", reason="SuccessfulCreate", time=0, first_time=0)
    [finding] = run(DETECTOR, {KUBE_EVENTS: rows(KUBE_EVENTS, *saved, scaled, one)})
    assert finding.figure("denials") == 9
    assert finding.figure("replicas missing") == 3
    assert finding.confidence is Confidence.MEDIUM


def test_events_without_a_time_are_taken_together_with_low_confidence() -> None:
    [finding] = run(DETECTOR, {KUBE_EVENTS: rows(KUBE_EVENTS, event(None, 3))})
    assert finding.confidence is Confidence.LOW
    assert (finding.start, finding.end) == (None, None)


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ({"text": '"Unhandled Error" err=..', "error": f'sync "shop/web-5d9c7f6b8" failed with {DENIED}'}, "shop/web"),
        ({"text": f'sync "shop/web-5d9c7f6b8" failed with {DENIED}'}, "shop/web"),
        ({"text": f"shop/agent failed with : {DENIED}"}, "shop/agent"),
        ({"text": f"error syncing StatefulSet shop/db, requeuing: {DENIED}"}, "shop/db"),
        ({"text": OLD_EVENT.format(DENIED)}, "shop/agent"),
        ({"text": "Failed creating a mirror pod", "error": DENIED, "pod": "shop/proxy-node1"}, "shop/proxy-node1"),
    ],
)
def test_fires_on_the_log_of_a_controller_in_every_form(line: Body, label: str) -> None:
    lines = [{"component": "kube-controller-manager", "message": line["text"][:40]} | line for _ in range(3)]
    [finding] = run(DETECTOR, {KLOG_LINES: rows(KLOG_LINES, *lines)})
    assert finding.evidence.tables[0].rows[0][0] == label


def test_two_sources_of_the_same_denials_count_once_and_name_the_owner_that_metadata_does_not() -> None:
    line = {"text": f'sync "shop/web-5d9c7f6b8" failed with {DENIED}', "component": "kube-controller-manager"}
    given = log(create(0), create(1), create(2)) | {KLOG_LINES: rows(KLOG_LINES, line, line)}
    [finding] = run(DETECTOR, given)
    assert finding.figure("denials") == 3
    assert finding.figure("owners stuck") == 1
    assert "shop/web" in finding.summary
    assert finding.confidence_reason == "the server's answers name the check (audit and log)"


def test_a_log_with_a_clock_of_its_own_does_not_hide_the_cure() -> None:
    line = {"text": f'sync "shop/web-5d9c7f6b8" failed with {DENIED}', "component": "kube-controller-manager"}
    late = rows(KLOG_LINES, *(line | {"time": 600 + s} for s in (0, 1, 2)))
    [finding] = run(DETECTOR, log(*(owned(create(s)) for s in (0, 1, 2)), owned(create(30, 201))) | {KLOG_LINES: late})
    assert finding.figure("owners stuck at the end") == 0
    assert (finding.start, finding.figure("seconds since the first denial")) == (at(0), 30)


def test_an_audit_log_without_bodies_names_the_controller() -> None:
    [finding] = run(DETECTOR, log(create(0), create(1), create(2)))
    assert "(shop/(replicaset-controller))" in finding.summary
    [finding] = run(DETECTOR, log(*(create(s, user="system:kube-controller-manager") for s in (0, 1, 2))))
    assert "(shop/(kube-controller-manager))" in finding.summary


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
