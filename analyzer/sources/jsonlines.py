"""Lines that a log shipper wrote as JSON objects.

docker's json-file (`log`, `stream`, `time`), journald's JSON export (systemd, Journal JSON Format), Filebeat
(`message`, `kubernetes.pod.name`, `log.file.path`, `@timestamp`), Fluent Bit (`date`, `log`), Fluentd, Vector and
OpenShift's ViaQ records (`message`, `kubernetes`, `@timestamp` or `timestamp`), stern (`message`, `podName`,
`containerName`), Loki by logcli (`labels`, `line`, `timestamp`) and by Grafana (`line`, `timestamp`, `fields`), Cloud
Logging's LogEntry (`textPayload` or `jsonPayload`, `resource.labels`, `timestamp`) and CloudWatch Logs (`timestamp`,
`message`).

The agents of Google Cloud and the fluentd of Kubernetes' addons take the header of a klog line off and keep its parts
as fields (`severity`, `pid`, `sourceLocation` or `source`, the time; cluster/addons/fluentd-gcp, fluentd-elasticsearch;
entries as GoogleCloudPlatform/khi tests them): here the line is put together again.
"""

from __future__ import annotations

from typing import Any

import msgspec
import polars as pl
from msgspec import Raw

from analyzer.frames.contract import TIME
from analyzer.sources import klogheaders
from analyzer.sources.jsoncolumns import (
    Columns,
    by_distinct,
    bytes_as_text,
    columns_of,
    dig,
    inside,
    none,
    strings,
    there,
)
from analyzer.sources.jsonrecords import plainer
from analyzer.sources.times import MICROS_LIMIT, parse_rfc3339, since_1970

JSON_LINES = pl.Schema(
    {
        "text": pl.String(),
        "time": TIME,
        "stream": pl.String(),
        "pod": pl.String(),
        "host": pl.String(),
        "component": pl.String(),
        "container": pl.String(),
        "goes_on": pl.Boolean(),
        "docker": pl.Boolean(),
        "lost": pl.Boolean(),
    }
)
"""`text` is null where the line is no such object. `goes_on` is what a CRI flag beside the text says (true for `P`),
null without one; `docker` says that the text came under `log` without such a flag, where a missing newline means that
the line goes on; `lost` marks a journal entry whose message is null, as journalctl writes what is too long for it."""


SHIPPED = ("stream", "pod", "host", "component", "container")
"""One of these columns is told by every shipper, and hardly by a program's own JSON, which may have a `message`."""


class _Docker(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """What docker's json-file writes, and what most windows of such lines hold."""

    log: str
    stream: str | None = None
    time: str | None = None


class _Journal(msgspec.Struct, gc=False):
    """What journald writes; the clock is in every entry and in nothing else."""

    realtime: str = msgspec.field(name="__REALTIME_TIMESTAMP")
    journal: Any = msgspec.field(default=None, name="MESSAGE")
    node: Any = msgspec.field(default=None, name="_HOSTNAME")
    identifier: Any = msgspec.field(default=None, name="SYSLOG_IDENTIFIER")
    command: Any = msgspec.field(default=None, name="_COMM")


_EMPTY = Raw()


class _Line(msgspec.Struct, gc=False):
    """The keys in use. Their types differ from writer to writer, so none is demanded. What stays undecoded here is the
    same in many records."""

    log: Any = None
    message: Any = None
    journal: Any = msgspec.field(default=None, name="MESSAGE")
    line: Any = None
    text_payload: Any = msgspec.field(default=None, name="textPayload")
    json_payload: Any = msgspec.field(default=None, name="jsonPayload")
    stream: Any = None
    logtag: Any = None
    flag: Any = msgspec.field(default=None, name="_p")
    time: Any = None
    stamp: Any = msgspec.field(default=None, name="@timestamp")
    timestamp: Any = None
    date: Any = None
    realtime: Any = msgspec.field(default=None, name="__REALTIME_TIMESTAMP")
    node: Any = msgspec.field(default=None, name="_HOSTNAME")
    hostname: Any = None
    host: Raw = _EMPTY
    node_name: Any = msgspec.field(default=None, name="nodeName")
    pod_name: Any = msgspec.field(default=None, name="podName")
    container_name: Any = msgspec.field(default=None, name="containerName")
    identifier: Any = msgspec.field(default=None, name="SYSLOG_IDENTIFIER")
    command: Any = msgspec.field(default=None, name="_COMM")
    kubernetes: Raw = _EMPTY
    labels: Raw = _EMPTY
    fields: Raw = _EMPTY
    resource: Raw = _EMPTY
    log_name: Any = msgspec.field(default=None, name="logName")
    file: Raw = _EMPTY
    tag: Any = None
    severity: Any = None
    pid: Any = None
    source: Any = None
    source_location: Raw = msgspec.field(default=_EMPTY, name="sourceLocation")
    log_stream: Any = msgspec.field(default=None, name="logStreamName")
    systemd: Raw = _EMPTY
    syslog: Raw = _EMPTY
    process: Raw = _EMPTY
    systemd_unit: Any = None
    unit: Any = msgspec.field(default=None, name="SYSTEMD_UNIT")
    ident: Any = None
    program: Any = msgspec.field(default=None, name="PROGRAM")
    upper_hostname: Any = msgspec.field(default=None, name="HOSTNAME")
    upper_host: Any = msgspec.field(default=None, name="HOST")
    kind: Any = None


_DOCKER = msgspec.json.Decoder(_Docker)
_JOURNAL = msgspec.json.Decoder(_Journal)
_ALL = msgspec.json.Decoder(_Line)
_FAULTS = (msgspec.DecodeError, RecursionError, UnicodeError)

_POD_LOG = r"([a-z0-9][a-z0-9.-]*)_[a-z0-9-]+_[a-z0-9-]+-[0-9a-f]{64}\.log$|/pods/[a-z0-9-]+_([a-z0-9][a-z0-9.-]*)_"
"""Names of container logs on a node: /var/log/containers/POD_NAMESPACE_CONTAINER-ID.log, and
/var/log/pods/NAMESPACE_POD_UID/CONTAINER/0.log (kubernetes, pkg/kubelet/kuberuntime/legacy.go and helpers.go)."""

CONTROL_PLANE = (
    r"^(kube-apiserver|kube-controller-manager|kube-scheduler|cloud-controller-manager)-(?:audit-)?[0-9a-f]+$"
)
"""Streams of an EKS control plane in CloudWatch Logs: kube-apiserver-audit-ID (Amazon EKS User Guide, control plane
logs)."""

_PODS = ("pod_name", "pod", "k8s_pod_name", "kubernetes_pod_name")
_NODES = ("host", "node_name", "pod_node_name", "node", "hostname", "nodename")
_CONTAINERS = ("container_name", "container")
_WRITERS = ("SYSLOG_IDENTIFIER", "syslog_identifier", "unit", "systemd_unit", "_COMM")


def decode_json_lines(lines: pl.Series) -> pl.DataFrame:
    """One row of JSON_LINES per line. All lines are decoded in one call; only where that fails, each line alone, and
    so are the records of stores that name things otherwise."""
    made = _decoded(lines)
    unknown = (made["text"].is_null() & ~made["lost"]).arg_true()
    if not unknown.len():
        return made
    plain = [(at, record) for at, line in zip(unknown, lines.gather(unknown), strict=True) if (record := plainer(line))]
    if not plain:
        return made
    known = _decoded(pl.Series([record.decode() for _, record in plain])).with_columns(
        pl.Series([at for at, _ in plain], dtype=pl.UInt32).alias("at")
    )
    rows = made.with_row_index("at").join(known, on="at", how="anti")
    return pl.concat([rows, known.select(rows.columns)]).sort("at").drop("at")


def _decoded(lines: pl.Series) -> pl.DataFrame:
    whole = lines.str.join("\n")[0] if lines.len() else ""
    plain = _decode_all(whole, lines.len(), _DOCKER)
    if plain is not None:
        return _docker_rows(plain)
    entries = _decode_all(whole, lines.len(), _JOURNAL)
    if entries:
        return _journal_rows(entries)
    rows = _decode_all(whole, lines.len(), _ALL)
    return _rows(rows if rows is not None else [_decode(line) for line in lines.to_list()])


def _decode_all(text: str, count: int, decoder: msgspec.json.Decoder[Any]) -> list[Any] | None:
    try:
        rows = decoder.decode_lines(text)
    except _FAULTS:
        return None
    return rows if len(rows) == count else None


def _decode(line: str) -> _Line:
    try:
        return _ALL.decode(line)
    except _FAULTS:
        return _Line()


def _docker_rows(rows: list[_Docker]) -> pl.DataFrame:
    if not rows:
        return pl.DataFrame(schema=JSON_LINES)
    columns = columns_of(rows)
    made = {name: strings(columns[key]) for name, key in _DOCKER_KEYS.items()}
    known = pl.DataFrame(made, schema=dict.fromkeys(made, pl.String)).with_columns(pl.lit(True).alias("docker"))
    return _fitted(known.with_columns(parse_rfc3339(known["time"]).alias("time")))


def _journal_rows(rows: list[_Journal]) -> pl.DataFrame:
    columns = columns_of(rows)
    text = strings(columns["journal"], bytes_as_text)
    clock = strings(columns["realtime"]).cast(pl.Int64, strict=False)
    clock = clock.set(~clock.is_between(0, MICROS_LIMIT, closed="left"), None)
    writers = [strings(columns[name]) for name in ("identifier", "command")]
    return _fitted(
        pl.select(
            text.alias("text"),
            clock.cast(TIME).alias("time"),
            strings(columns["node"]).alias("host"),
            pl.coalesce(*writers).str.strip_suffix(".service").alias("component"),
            text.is_null().alias("lost"),
        )
    )


_DOCKER_KEYS = {"text": "log", "stream": "stream", "time": "time"}


def _rows(rows: list[_Line]) -> pl.DataFrame:
    if not rows:
        return pl.DataFrame(schema=JSON_LINES)
    columns = columns_of(rows)
    text = {name: strings(columns[name]) for name in _TEXTS}
    text["journal"] = strings(columns["journal"], bytes_as_text)
    text["payload"] = strings(columns["json_payload"], inside(("MESSAGE", "message", "log")))
    journal = there(columns["realtime"]) | text["journal"].is_not_null()
    # an audit event has a kind and may have a message, but is not somebody's log line
    own = ~there(columns["kind"])
    flag = pl.select(pl.coalesce(text["logtag"], text["flag"])).to_series()
    cloud = pl.coalesce(text["text_payload"], text["payload"])
    # other programs write a `line` too, as the line of their source
    loki = there(columns["labels"]) | there(columns["timestamp"]) | there(columns["log_stream"])
    line = pl.when(loki).then(text["line"])
    made = _fitted(
        pl.select(
            pl.when(journal)
            .then(text["journal"])
            .when(own)
            .then(pl.coalesce(line, text["log"], text["message"], cloud))
            .alias("text"),
            _time(columns).alias("time"),
            text["stream"].alias("stream"),
            _pods(columns).alias("pod"),
            _hosts(columns).alias("host"),
            _components(columns).alias("component"),
            pl.coalesce(
                text["container_name"],
                *(strings(columns[at], inside(_CONTAINERS)) for at in ("kubernetes", "labels", "fields")),
                strings(columns["resource"], inside(_CONTAINERS, "labels")),
            ).alias("container"),
            flag.str.starts_with("P").alias("goes_on"),
            (own & ~journal & text["log"].is_not_null() & flag.is_null() & text["line"].is_null()).alias("docker"),
            (journal & text["journal"].is_null()).alias("lost"),
        )
    )
    return _with_klog_headers(made, columns)


def _with_klog_headers(made: pl.DataFrame, columns: Columns) -> pl.DataFrame:
    """The rows with the header of klog before the text where an agent took it off."""
    told = columns["source_location"], columns["source"], columns["json_payload"]
    if all(none(one) for one in told):
        return made
    caller = pl.select(pl.coalesce(strings(one, klogheaders.caller) for one in told)).to_series()
    if caller.null_count() == caller.len():
        return made
    inner = strings(columns["json_payload"], lambda payload: klogheaders.thread(dig(payload, "pid")))
    pid = pl.select(pl.coalesce(strings(columns["pid"], klogheaders.thread), inner)).to_series()
    return klogheaders.put_back(made, caller, pid, strings(columns["severity"]))


_TEXTS = ("log", "message", "line", "text_payload", "stream", "logtag", "flag", "container_name")


def _time(columns: Columns) -> pl.Expr:
    """The first of the times that can be read; a Journal's clock is text of microseconds."""
    texts = [strings(columns[name]) for name in ("time", "stamp", "timestamp", "date") if not none(columns[name])]
    numbers = [since_1970(columns.plain[name]) for name in ("realtime", "timestamp", "date", "time")]
    return pl.coalesce(*map(parse_rfc3339, texts), *numbers)


def _pods(columns: Columns) -> pl.Expr:
    paths = [strings(columns[name]) for name in ("file", "tag")]
    if not all(isinstance(log, str) for log in columns.plain["log"]):
        paths.append(strings(columns["log"], lambda log: dig(log, "file", "path")))
    paths.append(strings(columns["labels"], inside(("filename",))))
    named = by_distinct(pl.select(pl.coalesce(*paths)).to_series(), _pod_in)
    found = [strings(columns[at], inside(_PODS)) for at in ("kubernetes", "labels", "fields")]
    found.append(strings(columns["resource"], inside(_PODS, "labels")))
    return pl.coalesce(strings(columns["pod_name"]), *found, named)


def _pod_in(paths: pl.Series) -> pl.Series:
    return pl.select(pl.coalesce(paths.str.extract(_POD_LOG, 1), paths.str.extract(_POD_LOG, 2))).to_series()


def _hosts(columns: Columns) -> pl.Expr:
    payload = strings(columns["json_payload"], inside(("_HOSTNAME",)))
    found = [strings(columns[at], inside(_NODES)) for at in ("kubernetes", "labels", "fields")]
    resource = strings(columns["resource"], inside(("node_name",), "labels"))
    host = strings(columns["host"], lambda host: host if isinstance(host, str) else dig(host, "name"))
    named = strings(columns["host"], inside(("hostname",)))
    own = [strings(columns[name]) for name in ("node", "node_name", "hostname", "upper_hostname", "upper_host")]
    return pl.coalesce(own[0], payload, *found, own[1], resource, own[2], host, named, *own[3:])


def _components(columns: Columns) -> pl.Expr:
    found = [strings(columns[at], inside(_WRITERS)) for at in ("json_payload", "labels", "fields")]
    # GKE names the log of a node's unit after it: projects/PROJECT/logs/kubelet
    log = by_distinct(strings(columns["log_name"]), lambda names: names.str.extract(r"/logs/([a-z0-9-]+)$", 1))
    log = log.set(log.is_in(["stdout", "stderr"]), None)
    own = [strings(columns[name]) for name in ("identifier", "command")]
    control = strings(columns["resource"], _control_plane)
    eks = by_distinct(strings(columns["log_stream"]), lambda names: names.str.extract(CONTROL_PLANE, 1))
    return pl.coalesce(*own, *found, log, control, eks, *_units(columns)).str.strip_suffix(".service")


def _units(columns: Columns) -> list[pl.Series]:
    """The program by what agents make of a journal's fields: Filebeat and Journalbeat (`syslog.identifier`,
    `systemd.unit`; `process.name` of its syslog input), ViaQ (`systemd.u`, `systemd.t`), Fluent Bit with the fields
    renamed, as for Container Insights (`systemd_unit`, `ident` of its syslog parser), syslog-ng (`PROGRAM`)."""
    nested = [
        strings(columns[at], inside(names)) for at, names in (("syslog", ("identifier",)), ("systemd", ("unit",)))
    ]
    openshift = [
        strings(columns["systemd"], inside(("SYSLOG_IDENTIFIER", "COMM", "SYSTEMD_UNIT"), part)) for part in ("u", "t")
    ]
    plain = [strings(columns[name]) for name in ("ident", "program", "systemd_unit", "unit")]
    return [nested[0], *openshift, nested[1], *plain, strings(columns["process"], inside(("name",)))]


def _control_plane(resource: Any) -> object:
    """Components of a GKE control plane: apiserver, scheduler, controller-manager."""
    if not isinstance(resource, dict) or resource.get("type") != "k8s_control_plane_component":
        return None
    name = dig(resource, "labels", "component_name")
    return f"kube-{name}" if isinstance(name, str) else None


def _fitted(known: pl.DataFrame) -> pl.DataFrame:
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in JSON_LINES.items() if name not in known.columns]
    return (
        known.with_columns(missing).with_columns(pl.col("docker", "lost").fill_null(False)).select(JSON_LINES.names())
    )
