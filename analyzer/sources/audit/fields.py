"""What writes put into objects, field by field, from an allow-list of fields; nothing else of a body leaves it.

Images, requests and the priority class of pods and pod templates, cordons, webhook configurations, the role of a
binding, type and ports of a service, and the names (never the values) of the keys of a ConfigMap. Every value is
checked against the form it must have. Secrets are not read. Field names: kubernetes `staging/src/k8s.io/api/{core,apps,
batch,rbac,admissionregistration}/v1/types.go`; patches: `apimachinery/pkg/types/patch.go`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import msgspec
import polars as pl
from msgspec import UNSET, Raw, Struct, UnsetType, field

from analyzer.frames import AUDIT_FIELDS
from analyzer.sources.audit.body import Bodies
from analyzer.sources.audit.objects import REMEMBERED, object_bodies, sound_name
from analyzer.sources.audit.quantities import amount
from analyzer.sources.secrets import scrub

WRITES = ("create", "update", "patch")

MOST = 32
"""Containers, webhooks, rules, ports or keys of one object that are told."""

LONGEST = 400
"""Characters of one value."""

_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,254}(?:@sha256:[0-9a-f]{64})?", re.ASCII)
"""distribution `reference/regexp.go`, without other digests than SHA-256."""
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}", re.ASCII)
"""Keys of a ConfigMap (apimachinery `util/validation`, IsConfigMapKey)."""
_WORD = re.compile(r"[A-Za-z0-9*][A-Za-z0-9._/*-]{0,316}", re.ASCII)
"""API groups, resources, operations, roles, keys and values of labels, names of resources and of ports."""
_ROLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,252}", re.ASCII)
"""Names of roles may hold colons: system:node (apimachinery `api/validation/path`)."""

_OPERATORS = frozenset({"In", "NotIn", "Exists", "DoesNotExist"})
_POLICIES = frozenset({"Fail", "Ignore"})
_TYPES = frozenset({"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"})
_PROTOCOLS = frozenset({"TCP", "UDP", "SCTP"})


class _Resources(Struct):
    requests: dict[str, Any] | None = None
    limits: dict[str, Any] | None = None


class _Container(Struct):
    name: str | None = None
    image: str | None = None
    resources: _Resources | None = None


class _Pod(Struct):
    containers: list[_Container] | None = None
    first: list[_Container] | None = field(default=None, name="initContainers")
    overhead: dict[str, Any] | None = None
    priority_class: str | None = field(default=None, name="priorityClassName")


class _Template(Struct):
    spec: _Pod | None = None


class _Workload(Struct):
    template: _Template | None = None


class _Job(Struct):
    spec: _Workload | None = None


class _Cron(Struct):
    job: _Job | None = field(default=None, name="jobTemplate")


class _Node(Struct):
    unschedulable: bool | UnsetType | None = UNSET


class _Port(Struct):
    port: int | None = None
    protocol: str | None = None
    node_port: int | None = field(default=None, name="nodePort")


class _Service(Struct):
    type: str | None = None
    ports: list[_Port] | None = None


class _Requirement(Struct):
    key: str | None = None
    operator: str | None = None
    values: list[str] | None = None


class _Selector(Struct):
    labels: dict[str, str] | None = field(default=None, name="matchLabels")
    requirements: list[_Requirement] | None = field(default=None, name="matchExpressions")


class _Rule(Struct):
    groups: list[str] | None = field(default=None, name="apiGroups")
    resources: list[str] | None = None
    operations: list[str] | None = None


class _Webhook(Struct):
    name: str | None = None
    policy: str | None = field(default=None, name="failurePolicy")
    rules: list[_Rule] | None = None
    namespaces: _Selector | None = field(default=None, name="namespaceSelector")


class _Metadata(Struct):
    name: str | None = None


class _Role(Struct):
    kind: str | None = None
    name: str | None = None


class _Object(Struct):
    """Parts stay bytes until the resource says which shape they have."""

    metadata: Raw = Raw()
    spec: Raw = Raw()
    data: Raw = Raw()
    binary: Raw = field(default=Raw(), name="binaryData")
    webhooks: Raw = Raw()
    role: Raw = field(default=Raw(), name="roleRef")


Told = Iterator[tuple[str, str]]
Read = Callable[[_Object, bool], Told]


def _part(raw: Raw, decoder: msgspec.json.Decoder[Any]) -> Any:
    return decoder.decode(raw) if len(memoryview(raw)) else None


_POD, _NODE, _SERVICE = (msgspec.json.Decoder(kind | None) for kind in (_Pod, _Node, _Service))
_WORKLOAD, _CRON = (msgspec.json.Decoder(kind | None) for kind in (_Workload, _Cron))
_HOOKS, _ROLE_REF = msgspec.json.Decoder(list[_Webhook] | None), msgspec.json.Decoder(_Role | None)
_KEYS = msgspec.json.Decoder(dict[str, Raw] | None)
_METADATA = msgspec.json.Decoder(_Metadata | None)


def _pod(found: _Pod | None, whole: bool) -> Told:
    if found is None:
        return
    every = [*(found.first or []), *(found.containers or [])][:MOST]
    for one in every:
        if (name := sound_name(one.name)) and one.image and _IMAGE.fullmatch(one.image):
            yield f"image of {name}", one.image
    if found.priority_class and (name := sound_name(found.priority_class)):
        yield "priorityClassName", name
    if whole and found.containers:
        for resource, value in sorted(_requests(found).items()):
            yield f"requests.{resource}", f"{value:.12g}"


def _requests(pod: _Pod) -> dict[str, float]:
    """What the scheduler counts for a pod, in cores, bytes or pieces: the sum of its containers, or its largest init
    container (kubernetes `component-helpers/resource/helpers.go`, PodRequests; init containers that stay are taken for
    such that end). A limit stands in for a request that is absent (`pkg/apis/core/v1/defaults.go`). cpu and memory are
    always told."""
    sums: dict[str, float] = {"cpu": 0.0, "memory": 0.0}
    for one in (pod.containers or [])[:MOST]:
        for name, value in _asked(one.resources).items():
            sums[name] = sums.get(name, 0.0) + value
    for one in (pod.first or [])[:MOST]:
        for name, value in _asked(one.resources).items():
            sums[name] = max(sums.get(name, 0.0), value)
    for name, value in _amounts(pod.overhead).items():
        sums[name] = sums.get(name, 0.0) + value
    return sums


def _asked(resources: _Resources | None) -> dict[str, float]:
    return {} if resources is None else _amounts(resources.limits) | _amounts(resources.requests)


def _amounts(quantities: dict[str, Any] | None) -> dict[str, float]:
    found = {name: amount(text) for name, text in list((quantities or {}).items())[:MOST] if _WORD.fullmatch(name)}
    return {name: value for name, value in found.items() if value is not None}


def _of_pod(found: _Object, whole: bool) -> Told:
    yield from _pod(_part(found.spec, _POD), whole)


def _of_workload(found: _Object, whole: bool) -> Told:
    spec = _part(found.spec, _WORKLOAD)
    yield from _pod(spec.template.spec if spec and spec.template else None, whole)


def _of_cron(found: _Object, whole: bool) -> Told:
    spec = _part(found.spec, _CRON)
    template = spec.job.spec.template if spec and spec.job and spec.job.spec else None
    yield from _pod(template.spec if template else None, whole)


def _of_node(found: _Object, whole: bool) -> Told:
    spec = _part(found.spec, _NODE)
    said = UNSET if spec is None else spec.unschedulable
    # a patch with null takes the field away, and what is whole without it is not cordoned
    if said is not UNSET or whole:
        yield "spec.unschedulable", "true" if said is True else "false"


def _of_service(found: _Object, whole: bool) -> Told:
    spec = _part(found.spec, _SERVICE)
    if spec is None:
        return
    if spec.type in _TYPES:
        yield "type", spec.type
    ports = [_port(one) for one in (spec.ports or [])[:MOST]]
    if told := ", ".join(port for port in ports if port):
        yield "ports", told


def _port(one: _Port) -> str:
    if one.port is None or not 0 < one.port < 1 << 16:
        return ""
    outer = f":{one.node_port}" if one.node_port and 0 < one.node_port < 1 << 16 else ""
    return f"{one.port}{outer}/{one.protocol if one.protocol in _PROTOCOLS else 'TCP'}"


def _of_webhooks(found: _Object, whole: bool) -> Told:
    for one in (_part(found.webhooks, _HOOKS) or [])[:MOST]:
        name = sound_name(one.name)
        if not name:
            continue
        if one.policy in _POLICIES:
            yield f"failurePolicy of {name}", one.policy
        if one.rules is not None:
            yield f"rules of {name}", "; ".join(map(_rule, one.rules[:MOST])) or "none"
        if one.namespaces is not None:
            yield f"namespaceSelector of {name}", _selector(one.namespaces)


def _words(texts: list[str] | None) -> list[str]:
    return [text for text in (texts or [])[:MOST] if _WORD.fullmatch(text)]


def _rule(rule: _Rule) -> str:
    groups = [f" of {group}" for group in _words(rule.groups) if group != "*"]
    return f"{','.join(_words(rule.operations))} {','.join(_words(rule.resources))}{''.join(groups[:4])}"


def _selector(selector: _Selector) -> str:
    pairs = sorted((selector.labels or {}).items())[:MOST]
    told = [f"{key}={value}" for key, value in pairs if _WORD.fullmatch(key) and (not value or _WORD.fullmatch(value))]
    for one in (selector.requirements or [])[:MOST]:
        if one.key and _WORD.fullmatch(one.key) and one.operator in _OPERATORS:
            values = f" ({','.join(_words(one.values))})" if one.values else ""
            told.append(f"{one.key} {one.operator}{values}")
    return ", ".join(told) or "every namespace"


def _of_binding(found: _Object, whole: bool) -> Told:
    role = _part(found.role, _ROLE_REF)
    if role and role.kind in ("Role", "ClusterRole") and role.name and _ROLE.fullmatch(role.name):
        yield "roleRef", f"{role.kind} {role.name}"


def _of_config(found: _Object, whole: bool) -> Told:
    """The names of the keys; their values are never decoded."""
    names = {*(_part(found.data, _KEYS) or {}), *(_part(found.binary, _KEYS) or {})}
    told = sorted(name for name in names if _KEY.fullmatch(name))
    if told:
        more = len(told) - MOST
        yield "keys", ", ".join(told[:MOST]) + (f" and {more} more" if more > 0 else "")


_READ: dict[str, Read] = {
    "pods": _of_pod,
    **dict.fromkeys(("deployments", "daemonsets", "statefulsets", "replicationcontrollers", "jobs"), _of_workload),
    "cronjobs": _of_cron,
    "nodes": _of_node,
    "services": _of_service,
    "configmaps": _of_config,
    **dict.fromkeys(("mutatingwebhookconfigurations", "validatingwebhookconfigurations"), _of_webhooks),
    **dict.fromkeys(("rolebindings", "clusterrolebindings"), _of_binding),
}
"""Every resource of which fields are told."""

_DECODER = msgspec.json.Decoder(_Object)
_STEPS = msgspec.json.Decoder(list[dict[str, Any]])
_ERRORS = (msgspec.DecodeError, UnicodeError, RecursionError)

_MADE = {
    "place": pl.UInt32(),
    **{name: AUDIT_FIELDS.schema[name] for name in ("body", "whole", "name", "field", "value")},
}


def field_rows(bodies: Bodies, table: pl.DataFrame) -> pl.DataFrame:
    """AUDIT_FIELDS of these events, whose rows are `table`; Python runs for the bodies of writes to these resources."""
    empty = pl.DataFrame(schema=AUDIT_FIELDS.schema)
    # what becomes of a pod later is its own, and no change of anybody's
    later = (pl.col("resource") == "pods") & (pl.col("verb") != "create")
    wanted = (
        pl.col("verb").is_in(WRITES)
        & pl.col("resource").is_in(list(_READ))
        & pl.col("subresource").is_null()
        & ~later
        & (pl.col("code").fill_null(200) < 300)
        & (pl.col("request_body_bytes") + pl.col("response_body_bytes") > 0)
    )
    chosen = table.with_row_index("place").filter(wanted).select("place", "verb", "code", "resource", "name")
    rows: list[tuple[int, str, bool, str | None, str, str]] = []
    for place, verb, code, resource, name in chosen.iter_rows():
        for body, text in object_bodies(bodies(place), verb, code):
            whole = body == "response" or verb != "patch"
            if told := read_fields(resource, text, whole=whole):
                # the server may have made the name
                named = name or _name(text)
                rows += [(place, body, whole, named, *one) for one in told]
    if not rows:
        return empty
    made = pl.DataFrame(rows, schema=_MADE, orient="row")
    kept = table[made["place"]].select("time", "source", "number", "audit_id", "verb", "code", "resource", "namespace")
    return AUDIT_FIELDS.check(pl.concat([kept, made.drop("place")], how="horizontal").lazy()).collect()


def _name(text: bytes) -> str | None:
    try:
        found = _part(_DECODER.decode(text).metadata, _METADATA)
    except _ERRORS:
        return None
    return sound_name(found.name) if found else None


def read_fields(resource: str, text: bytes, *, whole: bool) -> list[tuple[str, str]]:
    """Field and value, checked and without secrets; [] where the body tells none or is not to be understood.

    `whole` says that the body is the object itself, and no patch of it.
    """
    try:
        patched = text.lstrip()[:1] == b"["
        found = _DECODER.decode(msgspec.json.encode(_patched(text)) if patched else text)
        told = list(_READ[resource](found, whole))
    except _ERRORS:
        return []
    return [(name, _clean(value)) for name, value in told]


@lru_cache(REMEMBERED)
def _clean(value: str) -> str:
    return scrub(value)[:LONGEST]


def _patched(text: bytes) -> dict[str, Any]:
    """The object that the steps of a JSON patch put together, without what stands in lists (RFC 6902, RFC 6901)."""
    made: dict[str, Any] = {}
    for step in _STEPS.decode(text):
        path = str(step.get("path", "")).removeprefix("/").split("/")
        if step.get("op") not in ("add", "replace", "remove") or any(part.isdigit() or part == "-" for part in path):
            continue
        *parents, last = (part.replace("~1", "/").replace("~0", "~") for part in path)
        at = made
        for parent in parents:
            inner = at.setdefault(parent, {})
            if not isinstance(inner, dict):
                break
            at = inner
        else:
            at[last] = None if step["op"] == "remove" else step.get("value")
    return made
