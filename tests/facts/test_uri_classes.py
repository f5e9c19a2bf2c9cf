from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analyzer.facts.callers import caller, writes_all_day
from analyzer.facts.uri_classes import uri_class

EMPTY: dict[str, str | None] = dict.fromkeys(("api_group", "resource", "subresource", "namespace", "name", "path"))
TEXTS = dict.fromkeys(EMPTY, pl.String)


def of(**columns: Any) -> str | None:
    told: str | None = pl.DataFrame([EMPTY | columns], schema=TEXTS).select(uri_class()).item()
    return told


def test_a_request_for_an_object_keeps_group_resource_and_subresource() -> None:
    asked = {"api_group": "apps", "resource": "deployments", "subresource": "scale", "namespace": "shop", "name": "web"}
    assert of(**asked) == "/apis/apps/*/namespaces/*/deployments/*/scale"


def test_lists_of_a_namespace_and_of_the_cluster_are_two_classes() -> None:
    assert of(api_group="", resource="pods", namespace="shop") == "/api/*/namespaces/*/pods"
    assert of(api_group="", resource="pods") == "/api/*/pods"


def test_a_namespace_does_not_lie_in_itself() -> None:
    assert of(api_group="", resource="namespaces", namespace="shop", name="shop") == "/api/*/namespaces/*"


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/", "/"),
        ("/api", "/api"),
        ("/api/v1", "/api/*"),
        ("/apis", "/apis"),
        ("/apis/apps", "/apis/*"),
        ("/apis/apps/v1", "/apis/*/*"),
        ("/apis/apps/v1/x/y", "/apis/*/*/*"),
        ("/openapi/v2", "/openapi/v2"),
        ("/openapi/v3", "/openapi/v3"),
        ("/openapi/v3/apis/apps/v1", "/openapi/v3/*/*/*"),
        ("/healthz", "/healthz"),
        ("/readyz/poststarthook/crd", "/readyz/*"),
        ("/metrics", "/metrics"),
        ("/apish", "/apish"),
        ("/logs/secret-file.txt", "/logs/*"),
        ("/\u202eevil" + "x" * 5000, "/*"),
        (None, None),
    ],
)
def test_other_paths_keep_what_is_theirs_by_definition(path: str | None, told: str | None) -> None:
    assert of(path=path) == told


@pytest.mark.parametrize(
    ("user", "kind", "routine"),
    [
        ("system:node:node-1", "node", True),
        ("system:kube-scheduler", "control plane", True),
        ("system:apiserver", "control plane", True),
        ("eks:cloud-controller-manager", "control plane", True),
        ("masterclient", "control plane", True),
        ("system:serviceaccount:kube-system:replicaset-controller", "service account", True),
        ("system:serviceaccount:openshift-monitoring:prometheus", "service account", True),
        ("system:serviceaccount:shop:web", "service account", False),
        ("system:anonymous", "anonymous", False),
        ("alice", "user", False),
        (None, None, False),
    ],
)
def test_callers_by_their_names(user: str | None, kind: str | None, routine: bool) -> None:
    frame = pl.DataFrame({"user": [user]}, schema={"user": pl.String})
    assert frame.select(caller(), writes_all_day().alias("routine")).row(0) == (kind, routine)
