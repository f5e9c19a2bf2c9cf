"""Thresholds, each with the source of its default."""

from __future__ import annotations

from analyzer.detector import setting, thresholds

DEFAULT = "engineering default"


@thresholds
class Settings:
    timeouts: int = setting(
        3, "Timeouts of a container within `periods` periods.", unit="timeouts", minimum=2, source=DEFAULT
    )
    periods: int = setting(10, "Periods in which they come.", unit="periods", minimum=1, source=DEFAULT)
    period_seconds: float = setting(
        60, "Longest period that is believed.", unit="seconds", minimum=1, source="periodSeconds is 10 by default"
    )
    hourly: int = setting(10, "Timeouts of a container in an hour.", unit="timeouts", minimum=2, source=DEFAULT)
    together: int = setting(
        5,
        "Workloads of a node in one minute that make it the node's.",
        unit="workloads",
        minimum=2,
        source=DEFAULT,
    )
    processes_per_probe: int = setting(
        2,
        "Processes that one timeout may leave.",
        unit="processes",
        minimum=1,
        source="a published incident: a shell and its child, 16,018 defunct processes",
    )
    high_processes: int = setting(
        1000, "Processes left from which the severity is high.", unit="processes", minimum=1, source=DEFAULT
    )
