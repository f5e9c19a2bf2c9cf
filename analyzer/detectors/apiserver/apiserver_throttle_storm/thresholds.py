"""The settings of the detector, each with the source of its default."""

from __future__ import annotations

from analyzer.detector import setting, thresholds

DEFAULT = "engineering default"


@thresholds
class Settings:
    per_minute: int = setting(
        10, "Rejected requests in a minute from which it is a storm.", unit="requests", minimum=1, source=DEFAULT
    )
    share: float = setting(
        0.01,
        "Rejected share of a minute's requests that also counts, with per_minute in all.",
        unit="fraction",
        minimum=0,
        source=DEFAULT,
    )
    offender_share: float = setting(
        0.2, "Share of the load from which an agent is an offender.", unit="fraction", minimum=0, source=DEFAULT
    )
    critical_share: float = setting(
        0.1,
        "Share of heartbeats, leases and control plane among the rejected from which it is critical.",
        unit="fraction",
        minimum=0,
        source=DEFAULT,
    )
    quiet_seconds: float = setting(300, "Quiet time that a baseline needs.", unit="seconds", minimum=1, source=DEFAULT)
    retry_after_seconds: float = setting(
        1,
        "Wait that a rejected client is told at least.",
        unit="seconds",
        minimum=0,
        source="Retry-After of kube-apiserver's max-in-flight filter",
    )
    inflight_limit: float = setting(
        0,
        "Requests in flight that the server allows (flags: 400 reading and 200 writing); 0 takes it from the log.",
        unit="requests",
        minimum=0,
        source="the log: in flight while requests were rejected",
    )
    retry_within_seconds: float = setting(
        35,
        "Time after a rejection within which the same request of the same client is a retry of it.",
        unit="seconds",
        minimum=0,
        source="3 s more than the longest Retry-After of priority and fairness (apiserver dropped_requests_tracker.go)",
    )
    most_storms: int = setting(
        20, "Storms told one by one; of more those that rejected most.", unit="storms", minimum=1, source=DEFAULT
    )
