"""Ports and names of what administers clusters, and requests that anybody may make by design."""

from __future__ import annotations

import re
from collections.abc import Mapping

import polars as pl

SURE: dict[int, str] = {
    4040: "Weave Scope or another console",
    10250: "the kubelet's API",
    10255: "the kubelet's read-only API",
    2375: "the Docker API",
    2376: "the Docker API",
    2379: "etcd",
    15672: "RabbitMQ's management",
}
"""Ports that hardly anything else uses (weaveworks/scope prog/main.go; kubernetes pkg/cluster/ports; Docker, etcd and
RabbitMQ by their documentation, as registered with IANA)."""

MUTUAL = frozenset({10250, 2376, 2379})
"""Of these, ports that ask for a client's certificate: a control plane outside may be meant to connect."""

LIKELY: dict[int, str] = {8001: "kubectl proxy", 9090: "Prometheus or Cockpit"}
COMMON = (8080, 8443)
"""Ports of many dashboards and of far more applications."""

_NAMES: tuple[tuple[str, str], ...] = (
    (r"weave-?scope", "Weave Scope"),
    (r"(?:kubernetes|k8s)-dashboard(?:-kong-proxy)?", "Kubernetes Dashboard"),
    (r"prometheus", "Prometheus"),
    (r"alertmanager", "Alertmanager"),
    (r"argo-?cd", "Argo CD"),
    (r"jenkins", "Jenkins"),
    (r"kubeview|octant|headlamp|portainer|lens-proxy", "a cluster console"),
    (r"phpmyadmin|adminer|pgadmin", "a database console"),
    (r"jupyter(?:hub|lab)?", "Jupyter"),
    (r"hubble-ui|longhorn-frontend|kiali", "a console of the cluster's network or storage"),
)
_OF_A_WHOLE = frozenset({"instance", "release", "part-of", "managed-by", "heritage", "chart"})
"""Labels that say to what a pod belongs, not what it is (kubernetes.io, "Recommended Labels")."""
_WORDS = tuple((rf"(?:^|[-_./=,])(?:{pattern})(?:$|[-_./=,])", product) for pattern, product in _NAMES)

_INGRESS = r"ingress|gateway|envoy|traefik|nginx|contour|kong|haproxy|istio|proxy-public"

ACCOUNTS = r"^system:serviceaccount:(?:weave:[^:]+|[^:]+:(?:weave-scope|kubernetes-dashboard)[^:]*)$"
"""Service accounts of consoles that run commands in containers for whoever uses them."""

CONSOLE_EXEC = (
    r"^/api/control/[^/]+/[^/]+/[a-z_]*(?:exec|attach)[a-z_]*$"
    r"|^/(?:v[0-9.]+/)?(?:containers/[^/]+/(?:exec|attach)|exec/[^/]+/start)"
    r"|^/(?:run|exec|attach|portForward)/[^/]+/[^/]+"
)
"""Commands in containers through Weave Scope (app/controls.go: POST /api/control/{probeID}/{nodeID}/{control}), the
Docker API and the kubelet (pkg/kubelet/server/server.go)."""

KUBELET_EXEC = r"^/(?:run|exec|attach|portForward)/(?P<namespace>[^/]+)/(?P<name>[^/]+)"
"""The pod of such a command at the kubelet (pkg/kubelet/server/server.go: /exec/{podNamespace}/{podID}, by name)."""

_OPEN_PATHS = (
    r"^/(?:healthz|livez|readyz|version|api|apis|openapi|swagger|\.well-known|openid|oauth|ui|favicon|robots)?"
)
_OPEN_PATHS += r"(?:[-./][^?]*)?$"


def product(row: Mapping[str, object]) -> tuple[str, int, bool] | None:
    """What a service's port administers, by its name or port; the port that tells it; whether that is sure. None where
    it is nobody's, or an ingress."""
    named = _product(row)
    port = int(str(row["port"]))
    target = str(row["target_port"] or "")
    for number in (port, int(target) if target.isdecimal() else 0):
        if number in SURE:
            return named or SURE[number], number, True
    if named:
        return named, port, True
    if port in LIKELY and not ingress(row):
        return LIKELY[port], port, False
    return None


def _product(row: Mapping[str, object]) -> str | None:
    """By the service's name and what its pods are; of its namespace only what runs nothing else.

    Not by labels that name a release or a whole: Grafana of a chart called prometheus is not Prometheus. Nor by names
    of ports: an application's metrics are called prometheus too.
    """
    labels = (label.partition("=") for label in str(row["selector"] or "").lower().split(","))
    pods = [value for key, _, value in labels if key.rsplit("/", 1)[-1] not in _OF_A_WHOLE]
    told = ",".join([str(row["name"] or "").lower(), *pods])
    space = str(row["namespace"] or "").lower()
    return next((name for word, name in _WORDS if re.search(word, told)), None) or next(
        (name for word, name in _WORDS[:2] if re.search(word, space)), None
    )


def ingress(row: Mapping[str, object]) -> bool:
    """Whether the service is one that is meant to be reached by all."""
    return (
        re.search(_INGRESS, ",".join(str(row[name] or "") for name in ("name", "selector", "namespace")).lower())
        is not None
    )


def by_design() -> pl.Expr:
    """Anonymous requests that Kubernetes or OpenShift allow by default: health, version, discovery (until 1.13), OpenID
    and OAuth paths, kubeadm's cluster-info, reviews of one's own access, webhooks of builds (kubernetes
    plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go; kubeadm phases/bootstraptoken/clusterinfo)."""
    resource, name = pl.col("resource").fill_null(""), pl.col("name").fill_null("")
    info = (resource == "configmaps") & (name == "cluster-info") & (pl.col("namespace") == "kube-public")
    own = resource.is_in(["selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"])
    hooks = (resource == "buildconfigs") & (pl.col("subresource").fill_null("") == "webhooks")
    path = pl.col("path").fill_null("").str.contains(_OPEN_PATHS) & (resource == "")
    return (path | info.fill_null(value=False) | own | hooks).fill_null(value=False)
