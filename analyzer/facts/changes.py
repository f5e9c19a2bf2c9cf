"""The change ledger: who wrote what to the cluster, and when."""

from __future__ import annotations

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.frames import AUDIT_EVENTS, Col, Table
from analyzer.frames.contract import PLACE

WRITES = ("create", "update", "patch", "delete", "deletecollection")

WATCHED = (
    "deployments",
    "daemonsets",
    "statefulsets",
    "replicasets",
    "jobs",
    "cronjobs",
    "configmaps",
    "services",
    "nodes",
    "namespaces",
    "horizontalpodautoscalers",
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "flowschemas",
    "prioritylevelconfigurations",
    "clusterroles",
    "clusterrolebindings",
    "roles",
    "rolebindings",
    "serviceaccounts",
    "customresourcedefinitions",
    "resourcequotas",
    "networkpolicies",
    "poddisruptionbudgets",
    "ingresses",
)
"""Objects whose change can start an incident. Secrets are left out on purpose: their names alone may tell too much."""

ROUTINE = (
    r"^(system:(kube-|node:|apiserver|serviceaccount:kube-system:|volume-scheduler|masters)"
    r"|eks:|aksService|masterclient)"
)
"""Actors that write all day: the control plane, kubelets and the controllers of kube-system."""

_TABLE = Table(
    "changes",
    "One row per successful write to an object whose change can start an incident, by other than the control plane.",
    (
        *PLACE,
        Col("actor", pl.String(), "user.username of the writer."),
        Col("agent", pl.String(), "User agent family of the writer."),
        Col("verb", pl.String(), "create, update, patch, delete or deletecollection."),
        Col("resource", pl.String(), "Plural resource, with its subresource after a slash."),
        Col("namespace", pl.String(), "Namespace; null if cluster-wide."),
        Col("name", pl.String(), "Object name; null where the server generated it."),
    ),
)


def _derive(frames: Frames) -> pl.LazyFrame:
    resource = pl.col("resource")
    return (
        frames[AUDIT_EVENTS]
        .filter(
            pl.col("stage") == "ResponseComplete",
            pl.col("verb").is_in(WRITES),
            resource.is_in(WATCHED),
            pl.col("code").is_between(200, 299),
            pl.col("subresource").is_null() | (pl.col("subresource") == "scale"),
            ~pl.col("user").fill_null("").str.contains(ROUTINE),
        )
        .with_columns(actor="user", resource=pl.concat_str(resource, "subresource", separator="/", ignore_nulls=True))
        .select(list(_TABLE.schema))
        .sort("time", "source", "number")
    )


CHANGES = Fact(table=_TABLE, needs_any=((AUDIT_EVENTS,),), derive=_derive)
