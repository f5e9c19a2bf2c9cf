"""A service for administration is open to strangers.

## What it finds
Services of the type LoadBalancer or NodePort that open what administers the cluster (Weave Scope, dashboards, kubelet,
Docker, etcd, RabbitMQ's management ...), by port or by name, without an internal load balancer or source ranges;
connections from public addresses to such ports that were answered; commands in containers that were run through them;
and requests without any credential that the API server allowed. Severity is critical where strangers ran commands or
changed objects, high for a public load balancer and for allowed anonymous requests, medium for a port of the nodes, low
for a port that others use too. Confidence is high where strangers were seen at it or the API server says that they were
allowed, medium by a sure port or name, else low.

## Why it matters
Whoever can reach such a service runs commands in every container: miners come in this way.

## What does not count
Internal load balancers, private addresses of balancers, source ranges that leave somebody out. Ingress controllers and
other services at common ports, which are remarked on at most. Probes that get no answer. A control plane outside the
cluster, which comes to the kubelets from few addresses and knocks at no other door: a remark says what would tell.
What anonymous callers are meant to read: health, version, discovery, kubeadm's cluster-info. A service that was open
for less than a minute.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.detector import Detector, Remark, setting, thresholds
from analyzer.detectors.security.exposed_admin_service.anonymous import anonymous
from analyzer.detectors.security.exposed_admin_service.evidence import evidence, impact
from analyzer.detectors.security.exposed_admin_service.exposed import Exposed, confidence, reason, severity
from analyzer.detectors.security.exposed_admin_service.remedy import REMEDIES, remedies, verify
from analyzer.detectors.security.exposed_admin_service.services import services
from analyzer.detectors.security.exposed_admin_service.wire import wire
from analyzer.facts.audit_windows import counted
from analyzer.facts.contract import Frames
from analyzer.facts.http_requests import HTTP_REQUESTS
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.facts.service_exposures import SERVICE_EXPOSURES
from analyzer.facts.tcp_connections import TCP_CONNECTIONS
from analyzer.model import Finding

DEFAULT = "engineering default"
MOST = 100
"""Services and ports that are told one by one; what comes after them is counted."""


@thresholds
class Settings:
    min_open_seconds: float = setting(
        60, "Time that a service must be open; a balancer takes a minute to come.", minimum=0, source=DEFAULT
    )
    min_requests: int = setting(
        1, "Anonymous requests that were allowed beyond those meant for all.", minimum=1, source=DEFAULT
    )
    min_connections: int = setting(
        1, "Answered connections from public addresses to one port.", minimum=1, source=DEFAULT
    )


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    found, told = services(frames, settings.min_open_seconds)
    found, meant = wire(found, frames, settings.min_connections)
    told += meant[:MOST]
    found += anonymous(found, frames, settings.min_requests)
    found.sort(key=lambda one: -severity(one).rank)
    yield from map(_finding, found[:MOST])
    if len(found) > MOST:
        told.append(
            f"{len(found) - MOST:,} more such services and ports, after the first {MOST}, are not told one by one"
        )
    yield from map(Remark, told)


def _finding(one: Exposed) -> Finding:
    return Finding(
        detector="exposed-admin-service",
        subject=one.subject,
        variant=one.variant,
        summary=_summary(one),
        severity=severity(one),
        confidence=confidence(one),
        confidence_reason=reason(one),
        start=one.start,
        end=one.end,
        impact=impact(one),
        evidence=evidence(one),
        why="What administers the cluster answers to people who were never asked who they are.",
        refuted_by="A firewall before it, a login of its own that was in force, or clients that are one's own.",
        remedies=remedies(one),
        verify=verify(one),
        stories=() if one.variant == "anonymous" else (34,),
    )


def _summary(one: Exposed) -> str:
    execs = f" {one.execs:,} of them ran commands in containers." if one.execs else ""
    if one.variant == "anonymous":
        return f"The API server allowed {counted(one.anonymous.height, 'request')} without any credential.{execs}"
    commands = counted(one.account.height, "command")
    if one.variant == "exec":
        return f"{one.subject}, the account of {one.product}, ran {commands} in containers."
    met = f"{counted(one.connections.height, 'connection')} from {_addresses(one.strangers)}"
    if one.variant == "connections":
        head = f"{one.subject} answered {met} at port {one.port}, {one.product}."
    else:
        how = "a public load balancer" if one.reach == "public" else "a port of every node"
        who = f" by {one.actor}" if one.actor else ""
        head = f"{one.product} was opened through {how}{who}: service {one.subject}, port {one.port}."
        were = "was" if one.connections.height == 1 else "were"
        head += f" {met} {were} answered." if one.connections.height else ""
    were = "was" if one.http.height == 1 else "were"
    asked = f" {counted(one.http.height, 'request')} {were} allowed." if one.http.height else ""
    return head + asked + execs + (f" Its account ran {commands}." if one.account.height else "")


def _addresses(count: int) -> str:
    return "1 public address" if count == 1 else f"{count:,} public addresses"


DETECTOR = Detector(
    id="exposed-admin-service",
    title="A service for administration is open to strangers",
    needs_any=((AUDIT_REQUESTS,), (TCP_CONNECTIONS,)),
    uses=(SERVICE_EXPOSURES, HTTP_REQUESTS),
    settings=Settings(),
    detect=detect,
    remedies=REMEDIES,
    stories=(34,),
)
