"""What keeps a log shipper from falling silent unseen."""

from __future__ import annotations

from analyzer.model import Remedy

REMEDIES = (
    Remedy(
        text="Let the probe of the shipper ask for its output, not for its process: fluent-bit answers 500 when too "
        "many chunks failed or were retried.",
        snippet="# fluent-bit.conf\n[SERVICE]\n    HTTP_Server On\n    HTTP_Port 2020\n    Health_Check On\n"
        "    HC_Errors_Count 5\n    HC_Retry_Failure_Count 5\n    HC_Period 60\n---\nlivenessProbe:\n"
        "  httpGet: {path: /api/v1/health, port: 2020}\n  periodSeconds: 30\n  failureThreshold: 4\n",
    ),
    Remedy(
        text="Alert on every node that sends nothing: a counter that stands still is not seen by an alert on errors.",
        snippet="- alert: LogShipperSilent\n"
        "  expr: sum by (pod) (rate(fluentbit_output_proc_records_total[10m])) == 0\n  for: 5m\n",
    ),
    Remedy(
        text="Buffer on disk and give up after some tries, so that one sink that refuses does not hold up everything.",
        snippet="[SERVICE]\n    storage.path /var/lib/fluent-bit\n[INPUT]\n    storage.type filesystem\n"
        "[OUTPUT]\n    Retry_Limit 5\n    storage.total_limit_size 1G\n",
    ),
    Remedy(text="Restart the shipper of this node now: what it did not send lies on the node until it is rotated."),
)
