"""The few fields of request and response bodies that facts need; nothing else of a body leaves this module.

A body is opened only where its resource is one that can tell something; whatever may hold a secret is not on the list,
nor is it counted. Field names: kubernetes `staging/src/k8s.io/api/{core,apps,batch,autoscaling}/v1/types.go`; patches:
`apimachinery/pkg/types/patch.go` (merge and strategic merge patches have the shape of the object, RFC 6902 a list).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
import polars as pl
from msgspec import Raw, Struct, field

from analyzer.frames import AUDIT_OBJECTS
from analyzer.sources.audit.body import Bodies
from analyzer.sources.audit.clock import EARLIEST, LATEST, moment
from analyzer.sources.secrets import scrub

READ = frozenset(
    {
        *("pods", "services", "deployments", "replicasets", "statefulsets", "daemonsets", "replicationcontrollers"),
        *("jobs", "cronjobs", "poddisruptionbudgets"),
    }
)
"""Resources whose objects are read. Everything that may hold a secret is absent by name: secrets, config maps, service
accounts and their tokens, token, access and self subject reviews, and every resource that is not known."""

COUNTED = READ | {
    *(
        "endpoints",
        "endpointslices",
        "events",
        "horizontalpodautoscalers",
        "ingresses",
        "leases",
        "namespaces",
        "nodes",
    ),
    *("networkpolicies", "persistentvolumeclaims", "persistentvolumes", "storageclasses", "volumeattachments"),
    *("clusterrolebindings", "clusterroles", "csinodes", "customresourcedefinitions", "limitranges", "priorityclasses"),
    *("replicasets", "resourcequotas", "rolebindings", "roles", "servicecidrs", "ipaddresses", "podtemplates"),
}
"""Resources whose lists are counted too: nothing in their items is looked at."""

PARTS = frozenset({None, "status", "scale", "binding"})
"""Subresources whose bodies are objects of their resource, or a Scale or a Binding of it."""

_PHASES = frozenset({"Pending", "Running", "Succeeded", "Failed", "Unknown"})
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)
"""Names of pods, nodes and workloads: subdomains of RFC 1123 (apimachinery `util/validation`)."""
_KIND = re.compile(r"[A-Z][A-Za-z0-9]{0,62}", re.ASCII)
_UID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_LABEL = re.compile(r"(?:[A-Za-z0-9._-]{1,253}/)?[A-Za-z0-9._-]{1,63}", re.ASCII)
_VALUE = re.compile(r"[A-Za-z0-9._-]{0,63}", re.ASCII)
"""Keys and values of labels (apimachinery `util/validation`)."""

LONGEST_NAME = 253
"""Characters of a subdomain of RFC 1123."""

REMEMBERED = 1 << 14
"""Names and addresses whose checked form is remembered: the same few thousand stand in all bodies of a log."""

SELECTOR_LABELS = 32
"""Most labels of a selector that are kept."""


class _Owner(Struct):
    kind: str | None = None
    name: str | None = None
    controller: bool | None = None


class _Metadata(Struct):
    name: str | None = None
    uid: str | None = None
    owners: list[_Owner] | None = field(default=None, name="ownerReferences")


class _Spec(Struct):
    node_name: str | None = field(default=None, name="nodeName")
    replicas: int | None = None
    selector: Any = None


class _Status(Struct):
    pod_ip: str | None = field(default=None, name="podIP")
    host_ip: str | None = field(default=None, name="hostIP")
    phase: str | None = None
    start_time: str | None = field(default=None, name="startTime")


class _Target(Struct):
    name: str | None = None


class _Object(Struct):
    """`spec` and `status` stay bytes: what stands there is another shape for each resource."""

    metadata: Raw = Raw()
    spec: Raw = Raw()
    status: Raw = Raw()
    target: Raw = Raw()


class _List(Struct):
    items: list[Raw] | None = None


class _Operation(Struct):
    """One step of a JSON patch (RFC 6902)."""

    op: str
    path: str
    value: Raw = Raw()


_OBJECT, _LISTED = msgspec.json.Decoder(_Object), msgspec.json.Decoder(_List)
_OPERATIONS = msgspec.json.Decoder(list[_Operation])
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    "metadata": msgspec.json.Decoder(_Metadata | None),
    "spec": msgspec.json.Decoder(_Spec | None),
    "status": msgspec.json.Decoder(_Status | None),
    "target": msgspec.json.Decoder(_Target | None),
}
_ERRORS = (msgspec.DecodeError, UnicodeError, RecursionError)

_TOLD = ("pod_ip", "host_ip", "phase", "start_time", "node_name", "owner_name", "replicas", "selector", "items")


def object_rows(bodies: Bodies, table: pl.DataFrame) -> pl.DataFrame:
    """AUDIT_OBJECTS of these events, whose rows are `table`; Python runs for the bodies that are opened only."""
    empty = pl.DataFrame(schema=AUDIT_OBJECTS.schema)
    listed = pl.col("verb") == "list"
    wanted = (
        pl.when(listed).then(pl.col("resource").is_in(list(COUNTED))).otherwise(pl.col("resource").is_in(list(READ)))
        & (pl.col("subresource").is_null() | pl.col("subresource").is_in([part for part in PARTS if part]))
        & (pl.col("request_body_bytes") + pl.col("response_body_bytes") > 0)
    )
    columns = ("time", "source", "number", "audit_id", "verb", "code", "resource", "subresource", "namespace", "name")
    chosen = table.with_row_index("place").filter(wanted).select("place", *columns).rows(named=True)
    rows = []
    for row in chosen:
        place = row.pop("place")
        for body, text in object_bodies(bodies(place), str(row["verb"]), row["code"]):
            if told := read_body(text, counts=row["verb"] == "list"):
                name = row["name"] or told.pop("name", None)
                rows.append(row | told | {"body": body, "name": name})
    if not rows:
        return empty
    return AUDIT_OBJECTS.check(pl.DataFrame(rows, schema=AUDIT_OBJECTS.schema).lazy()).collect()


def object_bodies(bodies: tuple[bytes, bytes], verb: str, code: int | None) -> Iterator[tuple[str, bytes]]:
    """request and response with their bytes, those that may hold an object. Delete takes options, not an object, and
    the answer to a refusal is a Status."""
    asked, answered = bodies
    if not verb.startswith("delete") and asked:
        yield "request", asked
    if (code or 200) < 300 and answered:
        yield "response", answered


def read_body(text: bytes, *, counts: bool = False) -> dict[str, Any]:
    """The columns that one body tells, checked and without secrets; {} where it tells none, or is not to be understood.

    `counts` says that it is the answer to a list.
    """
    try:
        if counts:
            items = _LISTED.decode(text).items
            return {} if items is None else {"items": len(items)}
        parts = _patched(text) if text.lstrip()[:1] == b"[" else _parts(text)
    except _ERRORS:
        return {}
    told = _columns(**parts)
    return told if any(told.get(name) is not None for name in _TOLD) else {}


def _parts(text: bytes) -> dict[str, Any]:
    found = _OBJECT.decode(text)
    return {name: _part(name, getattr(found, name)) for name in _DECODERS}


def _part(name: str, raw: Raw) -> Any:
    """One part of an object; a part with other types than expected tells nothing and costs no other."""
    if not len(memoryview(raw)):
        return None
    try:
        return _DECODERS[name].decode(raw)
    except _ERRORS:
        return None


def _patched(text: bytes) -> dict[str, Any]:
    """What the steps of a JSON patch put in place: whole parts, or one field of a part."""
    fields: dict[str, dict[str, Raw]] = {name: {} for name in _DECODERS}
    for step in _OPERATIONS.decode(text):
        if step.op not in ("add", "replace") or not len(memoryview(step.value)):
            continue
        first, _, rest = step.path.removeprefix("/").partition("/")
        if first not in fields:
            continue
        if not rest:
            fields[first] = msgspec.json.decode(step.value, type=dict[str, Raw])
        elif "/" not in rest:
            fields[first][rest] = step.value
    return {name: _part(name, Raw(msgspec.json.encode(found))) for name, found in fields.items() if found}


def _columns(
    metadata: _Metadata | None = None,
    spec: _Spec | None = None,
    status: _Status | None = None,
    target: _Target | None = None,
) -> dict[str, Any]:
    meta, spec, status = metadata or _Metadata(), spec or _Spec(), status or _Status()
    owners = sorted(meta.owners or [], key=lambda owner: not owner.controller)
    owner = owners[0] if owners else _Owner()
    start = moment(status.start_time, "UTC") if status.start_time else None
    return {
        "name": sound_name(meta.name),
        "uid": sound_uid(meta.uid),
        "pod_ip": sound_address(status.pod_ip),
        "host_ip": sound_address(status.host_ip),
        "phase": sound_phase(status.phase),
        "start_time": sound_time(start),
        "node_name": sound_name(spec.node_name or (target.name if target else None)),
        "owner_kind": owner.kind if owner.kind and _KIND.fullmatch(owner.kind) else None,
        "owner_name": sound_name(owner.name),
        "replicas": spec.replicas if spec.replicas is not None and 0 <= spec.replicas < 2**31 else None,
        "selector": sound_selector(spec.selector),
    }


def sound_phase(text: str | None) -> str | None:
    """The phase of a pod, if it is one."""
    return text if text in _PHASES else None


def sound_time(time: datetime | None) -> datetime | None:
    """The time, if it lies between 2010 and 2099."""
    return time if time is not None and EARLIEST <= time < LATEST else None


def sound_uid(text: str | None) -> str | None:
    """The UID, if it is one."""
    return text if text and _UID.fullmatch(text) else None


def sound_name(text: str | None) -> str | None:
    """The name, if it is one; without what looks like a secret."""
    return _name(text) if text and len(text) <= LONGEST_NAME else None


@lru_cache(REMEMBERED)
def _name(text: str) -> str | None:
    return scrub(text) if _NAME.fullmatch(text) else None


def sound_address(text: str | None) -> str | None:
    """The address as canonical text, if it is one."""
    return _address(text) if text and len(text) <= LONGEST_NAME else None


@lru_cache(REMEMBERED)
def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def sound_selector(value: object) -> str | None:
    """Labels as key=value: of services and replication controllers the map itself, of others its `matchLabels`."""
    labels = value.get("matchLabels", value) if isinstance(value, dict) else None
    if not isinstance(labels, dict):
        return None
    sound = [
        f"{key}={text}"
        for key, text in sorted(labels.items())[:SELECTOR_LABELS]
        if isinstance(text, str)
        and _LABEL.fullmatch(key)
        and (not text or (_LABEL.fullmatch(text) and "/" not in text))
    ]
    return scrub(",".join(sound)) or None
