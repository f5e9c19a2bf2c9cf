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

from collections.abc import Callable, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Any

import msgspec
import polars as pl
from msgspec import Raw, Struct

from analyzer.frames.contract import TIME
from analyzer.sources import klogheaders
from analyzer.sources.nested import Nested
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
    kind: Any = None


_NESTED = frozenset({"host", "kubernetes", "labels", "fields", "resource", "file", "source_location"})

_DOCKER = msgspec.json.Decoder(_Docker)
_JOURNAL = msgspec.json.Decoder(_Journal)
_ALL = msgspec.json.Decoder(_Line)
_FAULTS = (msgspec.DecodeError, RecursionError, UnicodeError)

_POD_LOG = r"([a-z0-9][a-z0-9.-]*)_[a-z0-9-]+_[a-z0-9-]+-[0-9a-f]{64}\.log$|/pods/[a-z0-9-]+_([a-z0-9][a-z0-9.-]*)_"
"""Names of container logs on a node: /var/log/containers/POD_NAMESPACE_CONTAINER-ID.log, and
/var/log/pods/NAMESPACE_POD_UID/CONTAINER/0.log (kubernetes, pkg/kubelet/kuberuntime/legacy.go and helpers.go)."""

_EKS_STREAM = r"^(kube-apiserver|kube-controller-manager|kube-scheduler|cloud-controller-manager)-(?:audit-)?[0-9a-f]+$"
"""Streams of an EKS control plane in CloudWatch Logs: kube-apiserver-audit-ID (Amazon EKS User Guide, control plane
logs)."""

_PODS = ("pod_name", "pod", "k8s_pod_name", "kubernetes_pod_name")
_NODES = ("host", "node_name", "pod_node_name", "node", "hostname", "nodename")
_CONTAINERS = ("container_name", "container")
_WRITERS = ("SYSLOG_IDENTIFIER", "syslog_identifier", "unit", "systemd_unit", "_COMM")


def decode_json_lines(lines: pl.Series) -> pl.DataFrame:
    """One row of JSON_LINES per line. All lines are decoded in one call; only where that fails, each line alone."""
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
    columns = _columns(rows)
    made = {name: _strings(columns[key]) for name, key in _DOCKER_KEYS.items()}
    known = pl.DataFrame(made, schema=dict.fromkeys(made, pl.String)).with_columns(pl.lit(True).alias("docker"))
    return _fitted(known.with_columns(parse_rfc3339(known["time"]).alias("time")))


def _journal_rows(rows: list[_Journal]) -> pl.DataFrame:
    columns = _columns(rows)
    text = _strings(columns["journal"], _bytes_as_text)
    clock = _strings(columns["realtime"]).cast(pl.Int64, strict=False)
    clock = clock.set(~clock.is_between(0, MICROS_LIMIT, closed="left"), None)
    writers = [_strings(columns[name]) for name in ("identifier", "command")]
    return _fitted(
        pl.select(
            text.alias("text"),
            clock.cast(TIME).alias("time"),
            _strings(columns["node"]).alias("host"),
            pl.coalesce(*writers).str.strip_suffix(".service").alias("component"),
            text.is_null().alias("lost"),
        )
    )


class _Columns(Struct, frozen=True):
    """The fields of many rows, field by field: as values, and as objects of which few are distinct."""

    plain: dict[str, list[Any]]
    nested: dict[str, Nested]

    def __getitem__(self, name: str) -> list[Any] | Nested:
        return self.nested[name] if name in self.nested else self.plain[name]


def _columns(rows: Sequence[Any]) -> _Columns:
    made = {name: list(map(attrgetter(name), rows)) for name in type(rows[0]).__struct_fields__}
    return _Columns(made, {name: Nested(made.pop(name)) for name in _NESTED & made.keys()})


_DOCKER_KEYS = {"text": "log", "stream": "stream", "time": "time"}


def _rows(rows: list[_Line]) -> pl.DataFrame:
    if not rows:
        return pl.DataFrame(schema=JSON_LINES)
    columns = _columns(rows)
    text = {name: _strings(columns[name]) for name in _TEXTS}
    text["journal"] = _strings(columns["journal"], _bytes_as_text)
    text["payload"] = _strings(columns["json_payload"], _inside(("MESSAGE", "message", "log")))
    journal = _there(columns["realtime"]) | text["journal"].is_not_null()
    # an audit event has a kind and may have a message, but is not somebody's log line
    own = ~_there(columns["kind"])
    flag = pl.select(pl.coalesce(text["logtag"], text["flag"])).to_series()
    cloud = pl.coalesce(text["text_payload"], text["payload"])
    # other programs write a `line` too, as the line of their source
    loki = _there(columns["labels"]) | _there(columns["timestamp"])
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
                *(_strings(columns[at], _inside(_CONTAINERS)) for at in ("kubernetes", "labels", "fields")),
                _strings(columns["resource"], _inside(_CONTAINERS, "labels")),
            ).alias("container"),
            flag.str.starts_with("P").alias("goes_on"),
            (own & ~journal & text["log"].is_not_null() & flag.is_null() & text["line"].is_null()).alias("docker"),
            (journal & text["journal"].is_null()).alias("lost"),
        )
    )
    return _with_klog_headers(made, columns)


def _with_klog_headers(made: pl.DataFrame, columns: _Columns) -> pl.DataFrame:
    """The rows with the header of klog before the text where an agent took it off."""
    told = columns["source_location"], columns["source"], columns["json_payload"]
    if all(_none(one) for one in told):
        return made
    caller = pl.select(pl.coalesce(_strings(one, klogheaders.caller) for one in told)).to_series()
    if caller.null_count() == caller.len():
        return made
    inner = _strings(columns["json_payload"], lambda payload: klogheaders.thread(_dig(payload, "pid")))
    pid = pl.select(pl.coalesce(_strings(columns["pid"], klogheaders.thread), inner)).to_series()
    return klogheaders.put_back(made, caller, pid, _strings(columns["severity"]))


_TEXTS = ("log", "message", "line", "text_payload", "stream", "logtag", "flag", "container_name")


def _time(columns: _Columns) -> pl.Expr:
    """The first of the times that can be read; a Journal's clock is text of microseconds."""
    texts = [_strings(columns[name]) for name in ("time", "stamp", "timestamp", "date") if not _none(columns[name])]
    numbers = [since_1970(columns.plain[name]) for name in ("realtime", "timestamp", "date", "time")]
    return pl.coalesce(*map(parse_rfc3339, texts), *numbers)


def _pods(columns: _Columns) -> pl.Expr:
    paths = [_strings(columns[name]) for name in ("file", "tag")]
    if not all(isinstance(log, str) for log in columns.plain["log"]):
        paths.append(_strings(columns["log"], lambda log: _dig(log, "file", "path")))
    paths.append(_strings(columns["labels"], _inside(("filename",))))
    named = _by_distinct(pl.select(pl.coalesce(*paths)).to_series(), _pod_in)
    found = [_strings(columns[at], _inside(_PODS)) for at in ("kubernetes", "labels", "fields")]
    found.append(_strings(columns["resource"], _inside(_PODS, "labels")))
    return pl.coalesce(_strings(columns["pod_name"]), *found, named)


def _pod_in(paths: pl.Series) -> pl.Series:
    return pl.select(pl.coalesce(paths.str.extract(_POD_LOG, 1), paths.str.extract(_POD_LOG, 2))).to_series()


def _by_distinct(texts: pl.Series, make: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """What is made of each text, where few are distinct."""
    distinct = texts.unique().drop_nulls()
    return texts.replace_strict(distinct, make(distinct), default=None, return_dtype=pl.String)


def _hosts(columns: _Columns) -> pl.Expr:
    payload = _strings(columns["json_payload"], _inside(("_HOSTNAME",)))
    found = [_strings(columns[at], _inside(_NODES)) for at in ("kubernetes", "labels", "fields")]
    resource = _strings(columns["resource"], _inside(("node_name",), "labels"))
    host = _strings(columns["host"], lambda host: host if isinstance(host, str) else _dig(host, "name"))
    own = [_strings(columns[name]) for name in ("node", "node_name", "hostname")]
    return pl.coalesce(own[0], payload, *found, own[1], resource, own[2], host)


def _components(columns: _Columns) -> pl.Expr:
    found = [_strings(columns[at], _inside(_WRITERS)) for at in ("json_payload", "labels", "fields")]
    # GKE names the log of a node's unit after it: projects/PROJECT/logs/kubelet
    log = _by_distinct(_strings(columns["log_name"]), lambda names: names.str.extract(r"/logs/([a-z0-9-]+)$", 1))
    log = log.set(log.is_in(["stdout", "stderr"]), None)
    own = [_strings(columns[name]) for name in ("identifier", "command")]
    control = _strings(columns["resource"], _control_plane)
    eks = _by_distinct(_strings(columns["log_stream"]), lambda names: names.str.extract(_EKS_STREAM, 1))
    return pl.coalesce(*own, *found, log, control, eks).str.strip_suffix(".service")


def _control_plane(resource: Any) -> object:
    """Components of a GKE control plane: apiserver, scheduler, controller-manager."""
    if not isinstance(resource, dict) or resource.get("type") != "k8s_control_plane_component":
        return None
    name = _dig(resource, "labels", "component_name")
    return f"kube-{name}" if isinstance(name, str) else None


def _fitted(known: pl.DataFrame) -> pl.DataFrame:
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in JSON_LINES.items() if name not in known.columns]
    return (
        known.with_columns(missing).with_columns(pl.col("docker", "lost").fill_null(False)).select(JSON_LINES.names())
    )


def _none(values: Sequence[Any] | Nested) -> bool:
    return values.none if isinstance(values, Nested) else values.count(None) == len(values)


def _there(values: Sequence[Any] | Nested) -> pl.Series:
    """Which of the values are not null."""
    if isinstance(values, Nested):
        return values.spread(_there)
    return pl.Series([value is not None for value in values], dtype=pl.Boolean)


def _strings(values: Sequence[Any] | Nested, pick: Callable[[Any], object] | None = None) -> pl.Series:
    """Those values, or what is picked of them, that are text; null for the others."""
    if isinstance(values, Nested):
        return values.spread(lambda distinct: _strings(distinct, pick))
    if _none(values):
        return pl.Series([None], dtype=pl.String).new_from_index(0, len(values))
    if pick is not None:
        values = [None if value is None else pick(value) for value in values]
    # one look spares many a failed try: what is no text in one record is mostly none in any
    if isinstance(next((value for value in values if value is not None), ""), str):
        with suppress(TypeError, pl.exceptions.PolarsError):
            return pl.Series(values, dtype=pl.String, strict=True)
    return pl.Series([value if isinstance(value, str) else None for value in values], dtype=pl.String)


def _inside(keys: tuple[str, ...], *path: str) -> Callable[[Any], object]:
    """The first of these keys of an object that is text, or an object with a name (Filebeat: `pod: {name}`)."""

    def pick(value: Any) -> object:
        place = _dig(value, *path)
        if not isinstance(place, dict):
            return None
        for key in keys:
            found = place.get(key)
            found = found.get("name") if isinstance(found, dict) else found
            if isinstance(found, str) and found:
                return found
        return None

    return pick


def _dig(value: Any, *path: str) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _bytes_as_text(message: object) -> object:
    """journald gives a list of byte values where a message is not UTF-8, and a list of values where it has several."""
    if not isinstance(message, list):
        return message
    if message and all(isinstance(part, str) for part in message):
        return "\n".join(message)
    if all(isinstance(byte, int) and 0 <= byte < 256 for byte in message):
        return bytes(message).decode("utf-8", "replace")
    return None
