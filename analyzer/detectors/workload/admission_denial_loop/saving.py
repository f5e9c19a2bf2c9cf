"""What would be left of the denials with another rule, counted on the records, and what a quota would have to be."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

import polars as pl
from msgspec import Struct

from analyzer.detectors.workload.admission_denial_loop.measure import Loop
from analyzer.facts import admission_texts
from analyzer.model import Saving

UNIT = "denied requests"

SYSTEM = "kube-system"

_AMOUNT = r"([a-z0-9./-]{1,120})=([0-9]{1,18}(?:\.[0-9]{1,9})?)(m|k|Ki|Mi|M|Gi|G|Ti|T|Pi|P)?"
_FACTORS: dict[str | None, Decimal | int] = {
    None: 1,
    "m": Decimal("0.001"),
    **{unit: 1000**i for i, unit in enumerate("kMGTP", 1)},
}
_FACTORS |= {f"{unit}i": 1024**i for i, unit in enumerate("KMGTP", 1)}
"""Suffixes of quantities (apimachinery `pkg/api/resource/quantity.go`)."""


class Quota(Struct, frozen=True):
    """One resource of an exceeded quota, in whole units: what one pod asks for, what is used, what is allowed."""

    resource: str
    asked: Decimal
    used: Decimal
    limit: Decimal
    missing: int

    @property
    def needed(self) -> Decimal:
        """What is used and what the missing replicas ask for."""
        return self.used + self.missing * self.asked


def quotas(loop: Loop) -> tuple[Quota, ...]:
    """The exceeded resources by the last message (`requested: cpu=1, used: cpu=9500m, limited: cpu=10`)."""
    texts = loop.rows.filter(pl.col("message").str.contains("exceeded quota: "))["message"]
    if not texts.len():
        return ()
    asked, used, limit = (_amounts(texts[-1], word) for word in ("requested", "used", "limited"))
    missing = max(1, sum(owner.missing for owner in loop.owners))
    return tuple(
        Quota(name, asked[name], used[name], limit[name], missing)
        for name in sorted(asked.keys() & used.keys() & limit.keys())
    )


def _amounts(text: str, word: str) -> dict[str, Decimal]:
    part = re.search(rf"{word}: ([^:]{{1,2000}}?)(?:, [a-z]+:|$)", text)
    found = {}
    for name, number, unit in re.findall(_AMOUNT, part[1]) if part else ():
        try:
            found[name] = Decimal(number) * _FACTORS[unit or None]
        except InvalidOperation:  # pragma: no cover - the pattern lets numbers through only
            continue
    return found


def savings(loop: Loop, people: int) -> tuple[Saving, tuple[Saving, ...]]:
    """The first saving and its alternatives. `people`: requests that no controller sent, denied by the same check."""
    observed = loop.denials + people
    if loop.check == admission_texts.FAILING:
        system = sum(owner.denials for owner in loop.owners if owner.namespace == SYSTEM)
        ignored = Saving(
            fix="failurePolicy: Ignore",
            observed=observed,
            modelled=0,
            unit=UNIT,
            assumption="A webhook that cannot be called then decides nothing: all of these requests go on to the other "
            "checks. What it exists to refuse passes meanwhile.",
            formula="requests answered 'failed calling webhook' by this webhook - all of them",
        )
        spared = Saving(
            fix="namespaceSelector that leaves out kube-system",
            observed=observed,
            modelled=observed - system,
            unit=UNIT,
            assumption="Only requests in kube-system are no longer sent to the webhook.",
            formula="requests answered 'failed calling webhook' - those in kube-system",
        )
        return ignored, (spared,)
    if loop.check == admission_texts.QUOTA:
        needs = ", ".join(f"{quota.resource} {quota.needed.normalize():f}" for quota in quotas(loop))
        told = f"With {needs} the replicas that are missing fit." if needs else "The messages do not tell the amounts."
        return _of_people("a quota that holds what the workloads ask for", observed, people, told), ()
    return (
        _of_people(
            "the check asks people and pipelines only: pods that a controller owns are left out, their templates are "
            "checked when Deployments and Jobs are written",
            observed,
            people,
            "A template that violates is refused when it is written, to the person who writes it.",
        ),
        (),
    )


def _of_people(fix: str, observed: int, people: int, assumption: str) -> Saving:
    return Saving(
        fix=fix,
        observed=observed,
        modelled=people,
        unit=UNIT,
        assumption=assumption,
        formula="denials by this check - those of controllers = those of people and pipelines",
    )
