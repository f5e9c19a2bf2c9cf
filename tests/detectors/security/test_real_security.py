"""The detectors of break-ins against public samples of audit logs, counted independently from their JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analyzer.detectors.security.exposed_admin_service import DETECTOR
from analyzer.frames import AUDIT_SERVICE_PORTS
from analyzer.sources import audit
from tests.build import run
from tests.recordings import RECORDED, read

AUDIT = RECORDED.parent / "data" / "audit"

pytestmark = pytest.mark.skipif(not AUDIT.is_dir(), reason="the public samples of audit logs are not here")

EKS = AUDIT / "panther-labs__panther-analysis" / "eks_events.jsonl"
CREATED = AUDIT / "sysdiglabs__stackdriver-webhook-bridge" / "k8s_audit_events__create_vanilla_service.json"


def allowed(path: Path) -> set[str]:
    """The ids of anonymous requests for objects that were allowed."""
    found = set()
    for line in path.read_text().splitlines():
        event: dict[str, Any] = json.loads(line)
        decision = event.get("annotations", {}).get("authorization.k8s.io/decision")
        anonymous = event.get("user", {}).get("username") == "system:anonymous"
        if (
            anonymous
            and decision == "allow"
            and not event["requestURI"].startswith(("/healthz", "/livez", "/readyz", "/version"))
        ):
            found.add(event["auditID"])
    return found


def test_anonymous_requests_of_a_public_sample() -> None:
    [finding] = [one for one in run(DETECTOR, read(audit.SOURCE, str(EKS))) if one.variant == "anonymous"]
    assert finding.figure("anonymous requests allowed") == len(allowed(EKS)) == 1


def test_the_ports_of_a_service_in_a_public_sample() -> None:
    event = json.loads(CREATED.read_text())
    rows = read(audit.SOURCE, str(CREATED))[AUDIT_SERVICE_PORTS].collect().to_dicts()
    spec = event["responseObject"]["spec"]
    told = [(row["type"], row["port"], row["target_port"], row["protocol"]) for row in rows]
    assert told == [(spec["type"], one["port"], str(one["targetPort"]), one["protocol"]) for one in spec["ports"]]
    assert run(DETECTOR, read(audit.SOURCE, str(CREATED))) == []
