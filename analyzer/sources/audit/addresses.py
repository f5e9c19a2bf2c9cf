"""Whose an address is, as bodies of audit events tell it: pods, cluster IPs of services, endpoints, nodes.

Field names: kubernetes `staging/src/k8s.io/api/core/v1/types.go` (PodStatus, ServiceSpec, EndpointSubset, NodeStatus)
and `discovery/v1/types.go` (Endpoint). The kubelet puts `podIP`, `podIPs` and `hostIP` into its patches of pods/status
(kubernetes `pkg/kubelet/kubelet_pods.go`, `generateAPIPodStatus`), and a pod's UID into each of them
(`pkg/util/pod/pod.go`). Nothing else of a body is kept.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import msgspec
import polars as pl
from msgspec import Struct, field

from analyzer.frames import AUDIT_ADDRESSES
from analyzer.sources.audit.body import Bodies
from analyzer.sources.audit.clock import moment
from analyzer.sources.audit.objects import (
    REMEMBERED,
    object_bodies,
    sound_address,
    sound_name,
    sound_phase,
    sound_time,
    sound_uid,
)

MOST = 1000
"""Addresses taken of one body: the most endpoints that a slice may have (discovery/v1, EndpointSlice)."""

PARTS: dict[str, set[str | None]] = {
    "pods": {None, "status"},
    "services": {None},
    "endpoints": {None},
    "endpointslices": {None},
    "nodes": {None, "status"},
}
"""Resources whose bodies are opened, and their subresources: no field that is read of them can hold a secret."""

Claim = dict[str, Any]


class _Named(Struct):
    name: str | None = None
    uid: str | None = None


class _Ip(Struct):
    ip: str | None = None


class _PodSpec(Struct):
    node_name: str | None = field(default=None, name="nodeName")


class _PodStatus(Struct):
    pod_ip: str | None = field(default=None, name="podIP")
    pod_ips: list[_Ip] | None = field(default=None, name="podIPs")
    host_ip: str | None = field(default=None, name="hostIP")
    phase: str | None = None
    start_time: str | None = field(default=None, name="startTime")


class _Pod(Struct):
    metadata: _Named | None = None
    spec: _PodSpec | None = None
    status: _PodStatus | None = None


class _ServiceSpec(Struct):
    cluster_ip: str | None = field(default=None, name="clusterIP")
    cluster_ips: list[str] | None = field(default=None, name="clusterIPs")


class _Service(Struct):
    spec: _ServiceSpec | None = None


class _Target(Struct):
    kind: str | None = None
    namespace: str | None = None
    name: str | None = None
    uid: str | None = None


class _Conditions(Struct):
    ready: bool | None = None


class _Endpoint(Struct):
    """Of a slice (addresses) or of an Endpoints object (ip)."""

    addresses: list[str] | None = None
    ip: str | None = None
    target: _Target | None = field(default=None, name="targetRef")
    node: str | None = field(default=None, name="nodeName")
    conditions: _Conditions | None = None


class _Slice(Struct):
    endpoints: list[_Endpoint] | None = None


class _Subset(Struct):
    ready: list[_Endpoint] | None = field(default=None, name="addresses")
    not_ready: list[_Endpoint] | None = field(default=None, name="notReadyAddresses")


class _Endpoints(Struct):
    subsets: list[_Subset] | None = None


class _NodeAddress(Struct):
    type: str | None = None
    address: str | None = None


class _NodeStatus(Struct):
    addresses: list[_NodeAddress] | None = None


class _Node(Struct):
    status: _NodeStatus | None = None


def _pod(told: _Pod, caller: str | None) -> Iterator[Claim]:
    status, meta = told.status or _PodStatus(), told.metadata or _Named()
    node = sound_name(told.spec.node_name if told.spec else None) or caller
    start = moment(status.start_time, "UTC") if status.start_time else None
    same: Claim = {"uid": sound_uid(meta.uid), "node": node, "phase": sound_phase(status.phase)}
    same |= {"start_time": sound_time(start), "name": sound_name(meta.name)}
    for text in dict.fromkeys([status.pod_ip, *(one.ip for one in status.pod_ips or [])]):
        yield {"kind": "pod", "address": text, **same}
    if node:
        yield {"kind": "node", "address": status.host_ip, "name": node, "namespace": None}


def _service(told: _Service, _: str | None) -> Iterator[Claim]:
    spec = told.spec or _ServiceSpec()
    for text in dict.fromkeys([spec.cluster_ip, *(spec.cluster_ips or [])]):
        yield {"kind": "service", "address": text}


def _slice(told: _Slice, _: str | None) -> Iterator[Claim]:
    for one in told.endpoints or []:
        # What is not told is to be taken as ready (discovery/v1, EndpointConditions); who ends never is.
        ready = one.conditions is None or one.conditions.ready is not False
        yield from _endpoint(one, one.addresses or [], ready=ready)


def _endpoints(told: _Endpoints, _: str | None) -> Iterator[Claim]:
    for subset in told.subsets or []:
        for ready, ones in ((True, subset.ready), (False, subset.not_ready)):
            for one in ones or []:
                yield from _endpoint(one, [one.ip], ready=ready)


def _endpoint(one: _Endpoint, addresses: list[Any], *, ready: bool) -> Iterator[Claim]:
    target = one.target or _Target()
    if target.kind == "Pod":
        pod = {"name": sound_name(target.name), "namespace": sound_name(target.namespace), "node": sound_name(one.node)}
        for text in addresses:
            yield {"kind": "pod", "address": text, "uid": sound_uid(target.uid), "ready": ready, **pod}


def _node(told: _Node, _: str | None) -> Iterator[Claim]:
    for one in (told.status.addresses if told.status else None) or []:
        if one.type in ("InternalIP", "ExternalIP"):
            yield {"kind": "node", "address": one.address, "namespace": None}


_Read = Callable[[Any, str | None], Iterator[Claim]]

_READERS: dict[str, tuple[msgspec.json.Decoder[Any], _Read]] = {
    "pods": (msgspec.json.Decoder(_Pod), _pod),
    "services": (msgspec.json.Decoder(_Service), _service),
    "endpoints": (msgspec.json.Decoder(_Endpoints), _endpoints),
    "endpointslices": (msgspec.json.Decoder(_Slice), _slice),
    "nodes": (msgspec.json.Decoder(_Node), _node),
}
_ERRORS = (msgspec.DecodeError, UnicodeError, RecursionError)


def address_rows(bodies: Bodies, table: pl.DataFrame) -> pl.DataFrame:
    """AUDIT_ADDRESSES of these events, whose rows are `table`; Python runs for the bodies that are opened only."""
    empty = pl.DataFrame(schema=AUDIT_ADDRESSES.schema)
    part = pl.concat_str("resource", pl.lit("/"), pl.col("subresource").fill_null(""))
    parts = [f"{resource}/{one or ''}" for resource, ones in PARTS.items() for one in ones]
    wanted = (pl.col("verb") != "list") & part.is_in(parts) & pl.col("code").is_between(200, 299)
    wanted &= pl.col("request_body_bytes") + pl.col("response_body_bytes") > 0
    columns = ("time", "source", "number", "audit_id", "verb", "code", "resource", "subresource", "namespace", "name")
    rows: list[Claim] = []
    for row in table.with_row_index("place").filter(wanted).select("place", *columns, "node").rows(named=True):
        place, caller = row.pop("place"), row.pop("node")
        told = list(object_bodies(bodies(place), str(row.pop("verb")), row.pop("code")))
        if told:
            claims = claims_of(str(row["resource"]), told[-1][1], sound_name(caller))
            rows += [_row(row, claim, kubelet=caller is not None) for claim in claims]
    if not rows:
        return empty
    return AUDIT_ADDRESSES.check(pl.DataFrame(rows, schema=AUDIT_ADDRESSES.schema).lazy()).collect()


def _row(row: Claim, claim: Claim, *, kubelet: bool) -> Claim:
    """One claim with its place; the name of the request's own object where the body leaves it out."""
    name = claim.get("name") or row["name"]
    return row | claim | {"name": name, "kubelet": kubelet}


def claims_of(resource: str, text: bytes, caller: str | None) -> list[Claim]:
    """Who has which address by this body; [] where it tells none, or is not to be understood.

    `caller` is the node whose kubelet asked: a kubelet writes of the pods of its own node only.
    """
    if b"IP" not in text and b"ddress" not in text:
        return []
    decoder, read = _READERS[resource]
    try:
        told = read(decoder.decode(text), caller)
        claims = [claim | {"address": _own(claim["address"])} for claim in told]
    except _ERRORS:
        return []
    return [claim for claim in claims if claim["address"]][:MOST]


def _own(text: object) -> str | None:
    """The address, if somebody may have it for himself: not this host's, not everybody's, not "None" of a headless
    service."""
    found = sound_address(text if isinstance(text, str) else None)
    return found if found and _single(found) else None


@lru_cache(REMEMBERED)
def _single(text: str) -> bool:
    address = ipaddress.ip_address(text)
    return not (address.is_loopback or address.is_unspecified or address.is_multicast)
