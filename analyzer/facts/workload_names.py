"""What the names of pods, ReplicaSets and Jobs tell of the workload that made them, where no owner reference is known.

The forms of names stand here alone; `pod_owners` builds on them.
"""

from __future__ import annotations

import polars as pl

LETTERS = "[bcdfghjklmnpqrstvwxz2456789]"
"""Of generated parts of names (apimachinery `pkg/util/rand/rand.go`)."""

SUFFIX = f"{LETTERS}{{5}}"
"""What a pod of a ReplicaSet, a DaemonSet or a Job ends in (apiserver `pkg/storage/names/generate.go`)."""

HASH = f"(?:[bcdf4-9]{{6,10}}|{LETTERS}{{8,10}})"
"""What a Deployment's ReplicaSet ends in: a hash of the template (`pkg/controller/deployment/sync.go`), a number of 32
bits in decimals, of which `SafeEncodeString` makes ten of the letters; other letters are believed where there are so
many of them that they are no word."""

DUE = "[123][0-9]{7,9}"
"""What a CronJob's Job ends in: the time in minutes, before 1.21 in seconds (`pkg/controller/cronjob/utils.go`). No
hash of a template has the digits 1 to 3."""

ORDINAL = "[0-9]{1,6}"
"""What a pod of a StatefulSet ends in (`pkg/controller/statefulset/stateful_set_utils.go`)."""


def of_pod(pod: pl.Expr) -> pl.Expr:
    """A struct of `kind` and `workload` by the name of a pod. Kind is '' where several would do (DaemonSet, Job, bare
    ReplicaSet); the workload is the name itself, and the kind Pod, where nothing was generated."""
    parts = pod.str.split("-")
    last, middle = parts.list.get(-1), parts.list.get(-2, null_on_oob=True)
    one = pod.str.slice(0, pod.str.len_chars() - last.str.len_chars() - 1)
    two = one.str.slice(0, one.str.len_chars() - middle.str.len_chars() - 1)
    made = last.str.contains(f"^{SUFFIX}$") & (parts.list.len() > 1)
    deep = made & (parts.list.len() > 2)
    forms = (
        ("CronJob", deep & middle.str.contains(f"^{DUE}$"), two),
        ("Deployment", deep & middle.str.contains(f"^{HASH}$"), two),
        ("StatefulSet", last.str.contains(f"^{ORDINAL}$") & (parts.list.len() > 1), one),
        ("", made, one),
    )
    return _struct(forms, pl.lit("Pod"), pod)


def of_owner(kind: pl.Expr, owner: pl.Expr) -> pl.Expr:
    """A struct of `kind` and `workload`: the Deployment of a ReplicaSet, the CronJob of a Job, else the owner."""
    parts = owner.str.split("-")
    last = parts.list.get(-1)
    one = owner.str.slice(0, owner.str.len_chars() - last.str.len_chars() - 1)
    several = parts.list.len() > 1
    forms = (
        ("Deployment", (kind == "ReplicaSet") & several & last.str.contains(f"^{HASH}$"), one),
        ("CronJob", (kind == "Job") & several & last.str.contains(f"^{DUE}$"), one),
    )
    return _struct(forms, kind, owner)


def _struct(forms: tuple[tuple[str, pl.Expr, pl.Expr], ...], kind: pl.Expr, name: pl.Expr) -> pl.Expr:
    """The first form that fits, else the kind and name that are given."""
    for told, fits, short in reversed(forms):
        kind = pl.when(fits).then(pl.lit(told)).otherwise(kind)
        name = pl.when(fits).then(short).otherwise(name)
    return pl.struct(kind.alias("kind"), name.alias("workload"))
