"""Which ports a service opens, and to whom, as bodies of audit events tell it.

Field names: kubernetes `staging/src/k8s.io/api/core/v1/types.go` (ServiceSpec, ServicePort, LoadBalancerIngress). The
annotations are those by which clouds are asked for an internal load balancer or for allowed source ranges
(kubernetes.io/docs/concepts/services-networking/service, "Internal load balancer"; core/v1/annotation_key_constants.go;
the cloud controllers' documentation where it names more). No other annotation is read.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

import msgspec
import polars as pl
from msgspec import UNSET, Struct, UnsetType, field

from analyzer.frames import AUDIT_SERVICE_PORTS
from analyzer.sources.audit.body import Bodies
from analyzer.sources.audit.objects import object_bodies, sound_name, sound_selector

PORTS_MOST = 100
"""Ports taken of one body: a service of a cloud's load balancer has at most 50 listeners."""
RANGES_MOST = 64

_AWS = "service.beta.kubernetes.io/aws-load-balancer-"
_INTERNAL: dict[str, frozenset[str] | None] = {
    _AWS + "internal": None,
    _AWS + "scheme": frozenset({"internal"}),
    "service.beta.kubernetes.io/azure-load-balancer-internal": None,
    "networking.gke.io/load-balancer-type": frozenset({"internal"}),
    "cloud.google.com/load-balancer-type": frozenset({"internal"}),
    "service.beta.kubernetes.io/openstack-internal-load-balancer": None,
    "service.beta.kubernetes.io/oci-load-balancer-internal": None,
    "service.beta.kubernetes.io/alibaba-cloud-loadbalancer-address-type": frozenset({"intranet"}),
    "service.kubernetes.io/qcloud-loadbalancer-internal-subnetid": None,
    "service.kubernetes.io/ibm-load-balancer-cloud-provider-ip-type": frozenset({"private"}),
    "service.beta.kubernetes.io/cce-load-balancer-internal-vpc": None,
    "service.beta.kubernetes.io/do-loadbalancer-network": frozenset({"internal"}),
    "service.beta.kubernetes.io/scw-loadbalancer-private": None,
    "load-balancer.hetzner.cloud/disable-public-network": None,
    "yandex.cloud/load-balancer-type": frozenset({"internal"}),
}
"""Annotations that ask for an internal load balancer, with the values that do; None: all but an empty text or false.
An internal one of AWS was written 0.0.0.0/0 before it was written true."""

_RANGES = (
    "service.beta.kubernetes.io/load-balancer-source-ranges",
    "service.beta.kubernetes.io/azure-allowed-ip-ranges",
)
_READ = frozenset({*_INTERNAL, *_RANGES, _AWS + "type"})
"""All annotations that are read."""

_CONTROLLER_TYPES = frozenset({"external", "nlb-ip"})
"""Values of aws-load-balancer-type that hand a service to the AWS Load Balancer Controller, whose default is internal
(kubernetes-sigs/aws-load-balancer-controller, docs/guide/service/annotations.md)."""

_TYPES = frozenset({"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"})
_PROTOCOLS = frozenset({"TCP", "UDP", "SCTP"})
_ERRORS = (msgspec.DecodeError, UnicodeError, RecursionError)


class _Port(Struct):
    port: int | None = None
    target: int | str | None = field(default=None, name="targetPort")
    node_port: int | None = field(default=None, name="nodePort")
    protocol: str | None = None
    name: str | None = None


class _Spec(Struct):
    type: str | None = None
    ports: list[_Port] | None = None
    ranges: list[str] | UnsetType | None = field(default=UNSET, name="loadBalancerSourceRanges")
    balancer_class: str | None = field(default=None, name="loadBalancerClass")
    selector: Any = None


class _Metadata(Struct):
    name: str | None = None
    annotations: dict[str, Any] | None = None


class _Ingress(Struct):
    ip: str | None = None
    hostname: str | None = None


class _Balancer(Struct):
    ingress: list[_Ingress] | None = None


class _Status(Struct):
    balancer: _Balancer | None = field(default=None, name="loadBalancer")


class _Service(Struct):
    metadata: _Metadata | None = None
    spec: _Spec | None = None
    status: _Status | None = None


_DECODER = msgspec.json.Decoder(_Service)
Told = dict[str, Any]


def service_rows(bodies: Bodies, table: pl.DataFrame) -> pl.DataFrame:
    """AUDIT_SERVICE_PORTS of these events, whose rows are `table`; Python runs for bodies of services only."""
    empty = pl.DataFrame(schema=AUDIT_SERVICE_PORTS.schema)
    wanted = (
        (pl.col("resource") == "services")
        & pl.col("api_group").is_in(["", "core"])
        & (pl.col("subresource").is_null() | (pl.col("subresource") == "status"))
        & pl.col("verb").is_in(["create", "update", "patch", "get"])
        & pl.col("code").is_between(200, 299)
        & (pl.col("request_body_bytes") + pl.col("response_body_bytes") > 0)
    )
    columns = ("time", "source", "number", "audit_id", "verb", "code", "namespace", "name")
    rows: list[Told] = []
    for row in table.with_row_index("place").filter(wanted).select("place", *columns).rows(named=True):
        place, verb, code = row.pop("place"), str(row["verb"]), row.pop("code")
        told = list(object_bodies(bodies(place), verb, code))
        if told:
            body, text = told[-1]
            patch = verb == "patch" and body == "request"
            found = ports_of(text, patch=patch)
            rows += [row | one | {"body": body, "name": row["name"] or one["name"]} for one in found]
    if not rows:
        return empty
    return AUDIT_SERVICE_PORTS.check(pl.DataFrame(rows, schema=AUDIT_SERVICE_PORTS.schema).lazy()).collect()


def ports_of(text: bytes, *, patch: bool = False) -> list[Told]:
    """One entry per port that a body tells, one without a port where it tells of the service only; [] where nothing,
    or where it is a list of steps or not to be understood. What a `patch` does not name stays as it was: null."""
    try:
        found = _DECODER.decode(text)
    except _ERRORS:
        return []
    meta, spec, status = found.metadata or _Metadata(), found.spec or _Spec(), found.status or _Status()
    notes = {key: value for key, value in (meta.annotations or {}).items() if key in _READ}
    ingress = (status.balancer.ingress if status.balancer else None) or []
    whole = not patch and found.spec is not None
    same: Told = {
        "name": sound_name(meta.name),
        "type": spec.type if spec.type in _TYPES else "ClusterIP" if whole else None,
        "internal": internal(notes, spec.balancer_class) if whole or _INTERNAL.keys() & notes.keys() else None,
        "source_ranges": _ranges(spec.ranges, notes, whole=whole),
        "balancer": sound_name(next((one.hostname or one.ip for one in ingress), None)),
        "selector": sound_selector(spec.selector),
    }
    ports = [_port(one) for one in (spec.ports or [])[:PORTS_MOST] if one.port is not None and 0 < one.port < 65536]
    if ports:
        return [same | one for one in ports]
    known = ("type", "internal", "source_ranges", "balancer")
    return [same | _port(_Port())] if any(same[name] is not None for name in known) else []


def _port(one: _Port) -> Told:
    target = one.target
    if isinstance(target, str):
        target = sound_name(target.lower())
    return {
        "port": one.port,
        "target_port": None if target is None else str(target)[:63],
        "node_port": one.node_port if one.node_port and 0 < one.node_port < 65536 else None,
        "protocol": one.protocol if one.protocol in _PROTOCOLS else None,
        "port_name": sound_name(one.name),
    }


def internal(notes: Mapping[str, object], balancer_class: str | None = None) -> bool:
    """Whether the annotations, or the class of the load balancer, keep it inside."""
    texts = {key: str(value).strip().lower() for key, value in notes.items() if value is not None}
    for key, values in _INTERNAL.items():
        value = texts.get(key, "")
        if value and (value in values if values else value not in ("false", "0", "no")):
            return True
    controller = texts.get(_AWS + "type") in _CONTROLLER_TYPES or balancer_class == "service.k8s.aws/nlb"
    if controller and texts.get(_AWS + "scheme") != "internet-facing":
        return True
    return balancer_class == "tailscale"


def _ranges(stated: list[str] | UnsetType | None, notes: Mapping[str, object], *, whole: bool) -> str | None:
    """Allowed source ranges, sorted and joined by commas; '' where there are none, null where nothing is said."""
    texts = list(stated) if isinstance(stated, list) else []
    for key in _RANGES:
        texts += str(notes.get(key) or "").split(",")
    sound = {network for text in texts[:RANGES_MOST] if (network := _network(text)) is not None}
    if sound or whole or stated is not UNSET or notes.keys() & set(_RANGES):
        return ",".join(sorted(sound))
    return None


def _network(text: str) -> str | None:
    try:
        return str(ipaddress.ip_network(text.strip(), strict=False)) if text else None
    except ValueError:
        return None
