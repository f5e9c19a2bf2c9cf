"""What the names of pods, ReplicaSets and Jobs tell of the workload that made them, where no owner reference is known.

Generated suffixes have five characters (apiserver `pkg/storage/names/generate.go`) of an alphabet without vowels
(apimachinery `pkg/util/rand/rand.go`); a ReplicaSet ends in its template hash in the same alphabet
(`pkg/controller/controller_utils.go`, ComputeHash), and the Job of a CronJob in the minutes, before Kubernetes 1.21 the
seconds, since the epoch (`pkg/controller/cronjob/utils.go`, getJobName).
"""

from __future__ import annotations

import polars as pl

_LETTER = "[bcdfghjklmnpqrstvwxz2456789]"
_FORMS = (
    ("CronJob", r"^(.+)-[0-9]{8,10}-" + _LETTER + r"{5}$"),
    ("Deployment", rf"^(.+)-{_LETTER}{{8,10}}-{_LETTER}{{5}}$"),
    ("StatefulSet", r"^(.+)-[0-9]{1,5}$"),
    ("", rf"^(.+)-{_LETTER}{{5}}$"),
)
"""Kinds by the form of a pod's name; '' is a DaemonSet, a Job or a bare ReplicaSet."""

_OWNERS = {"ReplicaSet": ("Deployment", rf"^(.+)-{_LETTER}{{8,10}}$"), "Job": ("CronJob", r"^(.+)-[0-9]{8,10}$")}
"""What owns an owner, and how its name lies in the name of what it owns."""


def of_pod(pod: pl.Expr) -> pl.Expr:
    """A struct of `kind` and `workload` by the name of a pod. Kind is '' where several would do; the workload is the
    name itself, and the kind Pod, where nothing was generated."""
    kind, name = pl.lit("Pod"), pod
    for told, form in reversed(_FORMS):
        fits = pod.str.contains(form)
        kind = pl.when(fits).then(pl.lit(told)).otherwise(kind)
        name = pl.when(fits).then(pod.str.extract(form, 1)).otherwise(name)
    return pl.struct(kind.alias("kind"), name.alias("workload"))


def of_owner(kind: pl.Expr, owner: pl.Expr) -> pl.Expr:
    """A struct of `kind` and `workload`: the Deployment of a ReplicaSet, the CronJob of a Job, else the owner."""
    top, name = kind, owner
    for low, (high, form) in _OWNERS.items():
        fits = (kind == low) & owner.str.contains(form)
        top = pl.when(fits).then(pl.lit(high)).otherwise(top)
        name = pl.when(fits).then(owner.str.extract(form, 1)).otherwise(name)
    return pl.struct(top.alias("kind"), name.alias("workload"))
