"""What the names of pods, ReplicaSets and Jobs tell of the workload that made them, where no owner reference is known.

Generated suffixes have five characters (apiserver `pkg/storage/names/generate.go`) of an alphabet without vowels
(apimachinery `pkg/util/rand/rand.go`); a ReplicaSet ends in its template hash in the same alphabet
(`pkg/controller/controller_utils.go`, ComputeHash), and the Job of a CronJob in the minutes, before Kubernetes 1.21 the
seconds, since the epoch (`pkg/controller/cronjob/utils.go`, getJobName).
"""

from __future__ import annotations

import polars as pl

_LETTERS = "[bcdfghjklmnpqrstvwxz2456789]"

_SUFFIX, _HASH = rf"^{_LETTERS}{{5}}$", rf"^{_LETTERS}{{8,10}}$"
_DUE, _ORDINAL = r"^[0-9]{8,10}$", r"^[0-9]{1,5}$"


def of_pod(pod: pl.Expr) -> pl.Expr:
    """A struct of `kind` and `workload` by the name of a pod. Kind is '' where several would do (DaemonSet, Job, bare
    ReplicaSet); the workload is the name itself, and the kind Pod, where nothing was generated."""
    parts = pod.str.split("-")
    last, middle = parts.list.get(-1), parts.list.get(-2, null_on_oob=True)
    one = pod.str.slice(0, pod.str.len_chars() - last.str.len_chars() - 1)
    two = one.str.slice(0, one.str.len_chars() - middle.str.len_chars() - 1)
    made = last.str.contains(_SUFFIX) & (parts.list.len() > 1)
    deep = made & (parts.list.len() > 2)
    forms = (
        ("CronJob", deep & middle.str.contains(_DUE), two),
        ("Deployment", deep & middle.str.contains(_HASH), two),
        ("StatefulSet", last.str.contains(_ORDINAL) & (parts.list.len() > 1), one),
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
        ("Deployment", (kind == "ReplicaSet") & several & last.str.contains(_HASH), one),
        ("CronJob", (kind == "Job") & several & last.str.contains(_DUE), one),
    )
    return _struct(forms, kind, owner)


def _struct(forms: tuple[tuple[str, pl.Expr, pl.Expr], ...], kind: pl.Expr, name: pl.Expr) -> pl.Expr:
    """The first form that fits, else the kind and name that are given."""
    for told, fits, short in reversed(forms):
        kind = pl.when(fits).then(pl.lit(told)).otherwise(kind)
        name = pl.when(fits).then(short).otherwise(name)
    return pl.struct(kind.alias("kind"), name.alias("workload"))
