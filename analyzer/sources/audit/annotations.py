"""Annotations of audit events that only few events have, as rows of their own.

Keys and payloads: kubernetes `staging/src/k8s.io/apiserver/pkg/admission/plugin/webhook/mutating/dispatcher.go` and
`.../validating/dispatcher.go`, `pkg/endpoints/filters/audit.go`; the page "Audit Annotations" of the documentation of
Kubernetes. Patches of webhooks (`patch.webhook.admission.k8s.io/`) are parts of bodies and are not kept.
"""

from __future__ import annotations

import re

import msgspec
import polars as pl
from msgspec import Struct

from analyzer.frames import AUDIT_ANNOTATIONS
from analyzer.sources.audit.durations import seconds_of
from analyzer.sources.audit.event import LATENCY
from analyzer.sources.audit.parts import Parts
from analyzer.sources.secrets import scrub

VALUE_LIMIT = 512
"""Characters of an annotation that are kept."""

_KEPT = frozenset(
    {
        "k8s.io/deprecated",
        "k8s.io/removed-release",
        "pod-security.kubernetes.io/enforce-policy",
        "pod-security.kubernetes.io/audit-violations",
        "pod-security.kubernetes.io/exempt",
        "pod-security.kubernetes.io/error",
        # what the apiserver's request log calls flow schema and priority level (`filters/priority-and-fairness.go`)
        "apf_fs",
        "apf_pl",
    }
)
_WEBHOOK = re.compile(
    r"((?:failed-open\.)?(?:mutation|validating)\.webhook\.admission\.k8s\.io)/round_\d{1,4}_index_\d{1,4}", re.ASCII
)
_MUTATION = "mutation.webhook.admission.k8s.io"


class _Mutation(Struct):
    """The value of a mutation annotation (`mutationAnnotationPayload`)."""

    webhook: str
    configuration: str | None = None
    mutated: bool | None = None


_DECODER = msgspec.json.Decoder(_Mutation)

Row = tuple[str, str | None, float | None, str | None, bool | None]

_TOLD = ("annotation", "value", "seconds", "configuration", "mutated")


def annotation_rows(parts: Parts, events: pl.DataFrame) -> pl.DataFrame:
    """AUDIT_ANNOTATIONS of these events, in their order; Python runs for the distinct sets of annotations only."""
    part = parts.named["annotations"]
    told = [(place, *row) for place, notes in enumerate(part.values) for row in _rows(notes or {})]
    if not told:
        return pl.DataFrame(schema=AUDIT_ANNOTATIONS.schema)
    schema = {"place": pl.UInt32()} | {name: AUDIT_ANNOTATIONS.schema[name] for name in _TOLD}
    places = pl.lit(0, pl.UInt32) if part.places is None else part.places
    found = (
        events.lazy()
        .select("time", "source", "number", "audit_id", places.alias("place"))
        .join(pl.LazyFrame(told, schema=schema, orient="row"), on="place", how="inner", maintain_order="left_right")
        .select(AUDIT_ANNOTATIONS.schema.names())
    )
    return AUDIT_ANNOTATIONS.check(found).collect()


def _rows(notes: dict[str, str | None]) -> list[Row]:
    return [row for key, text in notes.items() if text and (row := _row(key, text)) is not None]


def _row(key: str, text: str) -> Row | None:
    if key.startswith(LATENCY):
        seconds = seconds_of(text)
        return None if seconds is None else (key[:VALUE_LIMIT], None, seconds, None, None)
    if key in _KEPT:
        return key, scrub(text[:VALUE_LIMIT]), None, None, None
    found = _WEBHOOK.fullmatch(key)
    if found is None:
        return None
    if found[1] != _MUTATION:
        return found[1], scrub(text[:VALUE_LIMIT]), None, None, None
    try:
        told = _DECODER.decode(text)
    except msgspec.DecodeError:
        return None
    configuration = told.configuration and scrub(told.configuration[:VALUE_LIMIT])
    return _MUTATION, scrub(told.webhook[:VALUE_LIMIT]), None, configuration, told.mutated
