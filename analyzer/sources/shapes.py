"""The shapes of wrapped lines: one regular expression for each wrapper, in the order in which they are tried.

Where they come from: CRI (kubernetes, pkg/kubelet/kuberuntime/logs), kubectl (staging/src/k8s.io/kubectl, logs.go),
stern (default template `POD CONTAINER MESSAGE`, before it the namespace with --all-namespaces), syslog (RFC 3164, RFC
5424), journalctl (systemd, logs-show.c), logcli and Grafana (logcli output/default.go; Explore's
downloadLogsModelAsTxt), the AWS CLI (customizations/logs/tail.py; `--output text` prints an event of filter-log-events
as its id, ingestion time, stream, message and time, one of get-log-events without id and stream), Fluent Bit (plugins
out_stdout and out_file), Fluentd (out_file: time, tag, record).
"""

from __future__ import annotations

from enum import StrEnum

ISO = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,9})?(?:Z|[+-][0-9]{2}:?[0-9]{2})"
SHORT = r"[A-Z][a-z]{2} [ 0-3][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?"
_DAY = r"[A-Z][a-z]{2} [0-9]{4}-[0-9]{2}-[0-9]{2}"
FULL = rf"{_DAY} [0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}(?:\.[0-9]{{1,6}})? (?:[A-Z]{{1,5}}|[+-][0-9]{{2,4}})"
MONOTONIC = r"\[ *[0-9]+\.[0-9]{1,6}(?: <[ 0-9.]*>)?\]"
UNIX = r"[0-9]{9,10}\.[0-9]{1,6}"
PRI = r"<[0-9]{1,3}>"
PROGRAM = r"[^ \[\]:{}\"]+ [^ \[\]:{}\"]+(?:\[[0-9]+\])?:(?: |$)"
PREFIX = r"^\[pod/[^/\] ]+/[^/\] ]+\] "
COLOUR = r"\x1b\[[0-9;]*m"
ELEMENTS = r'(?:-|(?:\[[^ =\]"]+(?: [^ =\]"]+="(?:[^"\\\]]|\\.)*")*\])+)'
NODE = r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|[a-z0-9-]*[0-9.-][a-z0-9.-]*:)"
"""A node before each line; talosctl writes a colon behind its name or address."""
LABELS = r'\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\]|\\.)*"(?:, ?)?)*\}'
AWS_EVENT = r"^EVENTS\t(?:[0-9]+\t)?[0-9]{13}\t(?:([^\t {}]+)\t)?(.*)\t([0-9]{13})$"
NAME = r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?"

KNOWN = (
    r'(?:[IWEF][0-9]{4} [0-9]{2}:[0-9]{2}:|\[(?:INFO|ERROR|WARNING|DEBUG)\] |\{"|time="|\[?[0-9a-f.:]+\]?:[0-9]+ - |'
    rf"{ISO} |[0-9]{{2}}-[0-9]{{2}} [0-9:]{{8}} |(?:{SHORT}|{FULL}) {PROGRAM})"
)
"""How a line begins that is worth taking a bare word off: any word could stand before any text."""


class Kind(StrEnum):
    RAW = "raw"
    CRI = "CRI"
    TIMESTAMPS = "kubectl --timestamps"
    STERN = "stern"
    AWS_SHORT = "aws logs tail --format short"
    AWS_TEXT = "aws logs --output text"
    NODE = "lines with the name of a node or stream before them"
    SYSLOG = "journald or syslog"
    SYSLOG_ISO = "journald or syslog with ISO times"
    SYSLOG_5424 = "syslog (RFC 5424)"
    JOURNAL_FULL = "journalctl -o short-full"
    JOURNAL_MONOTONIC = "journalctl -o short-monotonic"
    JOURNAL_UNIX = "journalctl -o short-unix"
    LOGCLI = "logcli"
    GRAFANA = "a text download of Grafana"
    FLUENT_BIT = "Fluent Bit's output"
    FLUENTD = "Fluentd's output"
    JSON = "JSON lines of a log shipper"


SHAPES = {
    Kind.CRI: rf"^{ISO} (?:stdout|stderr) [FP](?::[^ ]*)?(?: |$)",
    Kind.SYSLOG_ISO: rf"^(?:{PRI})?{ISO} {PROGRAM}",
    Kind.LOGCLI: rf"^{ISO} {LABELS} ",
    Kind.TIMESTAMPS: rf"^{ISO} ",
    Kind.FLUENTD: rf"^{ISO}\t[^\t ]+\t\{{",
    Kind.SYSLOG: rf"^(?:{PRI})?{SHORT} {PROGRAM}",
    Kind.SYSLOG_5424: rf"^{PRI}[1-9][0-9]? (?:-|{ISO}) [^ ]+ [^ ]+ [^ ]+ [^ ]+ {ELEMENTS}(?: |$)",
    Kind.JOURNAL_FULL: rf"^{FULL} {PROGRAM}",
    Kind.JOURNAL_MONOTONIC: rf"^{MONOTONIC} {PROGRAM}",
    Kind.JOURNAL_UNIX: rf"^{UNIX} {PROGRAM}",
    Kind.GRAFANA: rf"^[0-9]{{13}}\t{ISO}\t",
    Kind.FLUENT_BIT: r"^(?:\[[0-9]+\] )?(?:[^ \[\]{}\"]+: )?\[\[?[0-9]{9,10}(?:\.[0-9]+)?(?:, \{.*?\}\])?, \{.*\}\]$",
    Kind.AWS_SHORT: rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T[0-9:]{{8}} {KNOWN}",
    Kind.AWS_TEXT: AWS_EVENT,
    Kind.NODE: rf"^{NODE} {KNOWN}",
    Kind.STERN: rf"^(?:{NAME} )?{NAME} {NAME} {KNOWN}",
}
"""In the order of trial: a CRI line also looks like a line with a timestamp, and so on."""

_TAILED = frozenset({Kind.CRI, Kind.SYSLOG_5424, Kind.SYSLOG, Kind.SYSLOG_ISO, Kind.JSON})

INNER: dict[Kind, frozenset[Kind]] = {
    Kind.NODE: frozenset(Kind) - {Kind.NODE, Kind.STERN},
    Kind.STERN: frozenset({Kind.TIMESTAMPS, Kind.JSON}),
    Kind.TIMESTAMPS: frozenset({Kind.NODE, Kind.JSON}),
    **dict.fromkeys((Kind.CRI, Kind.SYSLOG_5424, Kind.SYSLOG, Kind.SYSLOG_ISO), frozenset({Kind.JSON})),
    **dict.fromkeys((Kind.AWS_SHORT, Kind.AWS_TEXT), frozenset({Kind.JSON})),
    **dict.fromkeys((Kind.JSON, Kind.LOGCLI, Kind.GRAFANA, Kind.FLUENT_BIT, Kind.FLUENTD), _TAILED),
}
"""What may lie inside a wrapper: a shipper that does not know CRI passes its lines on as they are, a store
keeps the records of an agent (Container Insights in CloudWatch Logs, Fluent Bit in Loki), an agent forwards them by
syslog (OpenShift) or prints them into a log of its own. Times that a
program writes itself are left to the program's source."""
