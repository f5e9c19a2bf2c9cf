"""An admission check denies what controllers make, again and again."""

from __future__ import annotations

import pytest

from analyzer.detectors.workload.admission_denial_loop import DETECTOR
from analyzer.frames import KLOG_LINES, KUBE_EVENTS
from analyzer.model import Confidence, Severity
from analyzer.redact.words import ATOM, is_plain
from tests.build import at, rows, run
from tests.detectors.workload.denials import (
    ANY,
    DENIED,
    FAILING,
    FORBIDDEN,
    LOOP,
    OLD_EVENT,
    POLICY,
    QUOTA,
    SECURITY,
    TIMEOUT,
    TLS,
    UNREACHABLE,
    Body,
    create,
    event,
    figures,
    log,
    owned,
)


def test_fires_on_a_webhook_that_refuses_the_pods_of_a_deployment() -> None:
    [finding] = run(DETECTOR, log(*LOOP))
    assert finding.subject == "image.example.com"
    assert finding.summary == (
        "3 denials by webhook image.example.com kept 1 owner from making pods for 300 s (shop/web), 1 still "
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
    assert (finding.subject, finding.variant, finding.stories) == (subject, variant, ())


@pytest.mark.parametrize(
    ("message", "title"),
    [
        (DENIED, "An admission webhook denies what controllers make, again and again"),
        (
            FAILING.format("connect: connection refused"),
            "An admission webhook cannot be reached, and so controllers can make nothing",
        ),
        (
            FAILING.format("context deadline exceeded"),
            "An admission webhook does not answer in time, and so controllers can make nothing",
        ),
        (FAILING.format("an error"), "An admission webhook cannot be called, and so controllers can make nothing"),
        (QUOTA, "A quota denies what controllers make, again and again"),
    ],
)
def test_what_stands_over_it_says_whether_a_check_denied_or_was_not_there(message: str, title: str) -> None:
    [finding] = run(DETECTOR, log(*(owned(create(s, message=message)) for s in (1, 2, 3))))
    assert finding.title == title
    assert not [atom for atom in ATOM.findall(title) if not is_plain(atom)]  # a redacted report has it too


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
