"""The settings of the detector, each with the source of its default."""

from __future__ import annotations

from analyzer.detector import setting, thresholds

DEFAULT = "engineering default"
SLO = "SLOs of Kubernetes SIG Scalability (kubernetes/community sig-scalability/slos/api_call_latency.md)"


@thresholds
class Settings:
    per_minute: int = setting(
        10, "Failed, or slow, requests in a minute from which it is overload.", minimum=1, source=DEFAULT
    )
    share: float = setting(
        0.01,
        "Share of a minute's requests that also counts, with per_minute in all: the 99th percentile.",
        unit="fraction",
        minimum=0,
        source=SLO,
    )
    object_seconds: float = setting(
        1, "Latency of a request for one object from which it is slow.", unit="seconds", minimum=0, source=SLO
    )
    namespace_seconds: float = setting(
        5, "The same for a list of one namespace.", unit="seconds", minimum=0, source="older form of these SLOs"
    )
    cluster_seconds: float = setting(30, "The same for a list of the cluster.", unit="seconds", minimum=0, source=SLO)
    silent_seconds: float = setting(
        30, "Silence before a start of the server that fires by itself.", unit="seconds", minimum=0, source=DEFAULT
    )
    quiet_seconds: float = setting(300, "Quiet time that a baseline needs.", unit="seconds", minimum=1, source=DEFAULT)
