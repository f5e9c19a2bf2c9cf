"""What kind of caller a user name of kube-apiserver stands for.

Names: kubernetes `staging/src/k8s.io/apiserver/pkg/authentication/user/user.go` and `.../serviceaccount/util.go`.
"""

from __future__ import annotations

import polars as pl

NODE, CONTROL_PLANE, SERVICE_ACCOUNT = "node", "control plane", "service account"
ANONYMOUS, USER = "anonymous", "user"

COMPONENTS = (
    r"^(?:system:(?:kube-|apiserver$|volume-scheduler$|cloud-controller-manager$|masters)"
    r"|eks:|aksService$|aks-service$|masterclient$)"
)
"""Users of the control plane itself, and those under which EKS and AKS run it."""

CONTROLLERS = r"^system:serviceaccount:(?:kube-system|openshift-[a-z0-9-]+):"
"""Service accounts of what belongs to the cluster: the controllers of the controller manager and of OpenShift."""


def caller() -> pl.Expr:
    """node, control plane, service account, anonymous or user, from a column `user`; null where there is none."""
    user = pl.col("user")
    return (
        pl.when(user.is_null())
        .then(None)
        .when(user.str.starts_with("system:node:"))
        .then(pl.lit(NODE))
        .when(user.str.contains(COMPONENTS))
        .then(pl.lit(CONTROL_PLANE))
        .when(user.str.starts_with("system:serviceaccount:"))
        .then(pl.lit(SERVICE_ACCOUNT))
        .when(user == "system:anonymous")
        .then(pl.lit(ANONYMOUS))
        .otherwise(pl.lit(USER))
    )


def writes_all_day() -> pl.Expr:
    """Whether the user is a kubelet, the control plane or one of the cluster's own controllers."""
    user = pl.col("user").fill_null("")
    return user.str.starts_with("system:node:") | user.str.contains(COMPONENTS) | user.str.contains(CONTROLLERS)
