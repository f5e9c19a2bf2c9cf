"""What strangers and consoles did through an API server that let them, and what they only tried."""

from __future__ import annotations

from typing import Any

import pytest

from analyzer.detectors.security.exposed_admin_service import DETECTOR
from analyzer.model import Severity
from tests.build import run
from tests.detectors.security.test_exposed_admin_service import audit, exec_by, figures, nobody

Row = dict[str, Any]


@pytest.mark.parametrize("code", [400, 404, 500])
def test_a_command_that_was_allowed_and_failed_was_not_run(code: int) -> None:
    """kubectl asks by WebSocket first, and once more by SPDY where the upgrade failed; the pod may be gone as well."""
    failed = nobody(9, "get", subresource="exec", name="web-1", code=code)
    [finding] = run(DETECTOR, audit(calls=[failed]))
    assert figures(finding) == {"anonymous requests allowed": 1, "exec calls among them": 0}
    assert (finding.severity, "ran commands" in finding.summary) == (Severity.HIGH, False)
    again = nobody(9.1, "create", subresource="exec", name="web-1", code=101)
    [finding] = run(DETECTOR, audit(calls=[failed, again]))
    assert figures(finding) == {"anonymous requests allowed": 2, "exec calls among them": 1}
    accounts = [exec_by("weave:weave-scope", verb="get", code=code), exec_by("weave:weave-scope", code=101)]
    assert run(DETECTOR, audit(calls=accounts[:1])) == []
    [ran] = run(DETECTOR, audit(calls=accounts))
    assert figures(ran)["commands run by its account"] == 1


@pytest.mark.parametrize(
    "more",
    [
        {"code": 409},
        {"code": 404},
        {"code": 201, "uri": "/api/v1/namespaces/shop/pods?dryRun=All"},
        {"code": 101, "subresource": "portforward", "name": "web-1"},
        {"code": 201, "resource": "subjectaccessreviews", "namespace": None},
    ],
    ids=["is there already", "is not there", "only tried", "a port", "a question"],
)
def test_a_write_that_changed_nothing_is_not_critical(more: Row) -> None:
    [finding] = run(DETECTOR, audit(calls=[nobody(9, "create", **more)]))
    assert (finding.severity, figures(finding)["exec calls among them"]) == (Severity.HIGH, 0)


def test_who_acts_as_nobody_is_somebody_and_nobody_may_act_as_somebody() -> None:
    """`kubectl auth can-i --as=system:anonymous`; and a stranger who is allowed to impersonate."""
    assert run(DETECTOR, audit(calls=[nobody(0, user="alice", impersonated_user="system:anonymous")])) == []
    assert len(run(DETECTOR, audit(calls=[nobody(0, impersonated_user="admin")]))) == 1
