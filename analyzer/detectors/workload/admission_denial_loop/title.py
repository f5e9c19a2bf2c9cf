"""What stands over a loop: which check it was, and whether it denied or was not there to ask."""

from __future__ import annotations

from analyzer.detectors.workload.admission_denial_loop.measure import Loop
from analyzer.facts.admission_texts import CONSTRAINT, DENIED, FAILING, POD_SECURITY, POLICY, QUOTA, RANGE

_TITLES = {
    DENIED: "An admission webhook denies what controllers make, again and again",
    POD_SECURITY: "PodSecurity denies what controllers make, again and again",
    QUOTA: "A quota denies what controllers make, again and again",
    POLICY: "A ValidatingAdmissionPolicy denies what controllers make, again and again",
    CONSTRAINT: "A pod security policy or constraint denies what controllers make, again and again",
    RANGE: "A LimitRange denies what controllers make, again and again",
}
_FAILURES = {
    "timeout": "An admission webhook does not answer in time, and so controllers can make nothing",
    "TLS": "An admission webhook cannot be called for its certificate, and so controllers can make nothing",
    "unreachable": "An admission webhook cannot be reached, and so controllers can make nothing",
}
_FAILED = "An admission webhook cannot be called, and so controllers can make nothing"


def title(loop: Loop) -> str:
    """What stands over the finding: a webhook that was not there denied nothing, and is mended otherwise."""
    return _FAILURES.get(loop.cause, _FAILED) if loop.check == FAILING else _TITLES.get(loop.check, "")
