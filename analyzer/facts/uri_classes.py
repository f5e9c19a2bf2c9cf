"""The URIs of kube-apiserver without what tells one object from another, so that requests of one kind have one name.

Paths: kubernetes `staging/src/k8s.io/apiserver/pkg/endpoints/request/requestinfo.go` (resources),
`pkg/server/routes/` and `pkg/server/healthz` (all others).
"""

from __future__ import annotations

import polars as pl

_WORD = r"^/[A-Za-z0-9._-]{1,32}"
_DISCOVERY = r"^/(?:api|apis|openapi)(?:/|$)"


def uri_class() -> pl.Expr:
    """`/apis/apps/*/namespaces/*/deployments/*/scale`: `*` for version, namespace and name.

    Other paths: `/apis/*/*` for discovery (version 3 of OpenAPI keeps its `v3`), `/readyz/*` for checks, else the first
    part with `/*` for all below. Null where the request has neither resource nor path.
    """
    return pl.when(pl.col("resource").is_not_null()).then(_of_resource()).otherwise(_of_path())


def _of_resource() -> pl.Expr:
    group = pl.col("api_group").fill_null("")
    resource = pl.col("resource")
    # a namespace is said to lie in itself
    inside = pl.col("namespace").is_not_null() & (resource != "namespaces")
    return pl.concat_str(
        pl.when(group == "").then(pl.lit("/api/*")).otherwise("/apis/" + group + "/*"),
        pl.when(inside).then(pl.lit("/namespaces/*/")).otherwise(pl.lit("/")),
        resource,
        pl.when(pl.col("name").is_not_null() | (pl.col("subresource").is_not_null()))
        .then(pl.lit("/*"))
        .otherwise(pl.lit("")),
        pl.when(pl.col("subresource").is_not_null()).then("/" + pl.col("subresource")).otherwise(pl.lit("")),
    )


def _of_path() -> pl.Expr:
    path = pl.col("path").str.strip_chars_end("/")
    parts = path.str.count_matches("/", literal=True)
    first = path.str.extract(f"({_WORD})")
    below = pl.when(parts > 1).then(pl.lit("/*")).otherwise(pl.lit(""))
    discovered = pl.concat_str(
        path.str.extract(r"^(/openapi/v[23]|/openapi|/apis?)"),
        pl.when(parts > 3)
        .then(pl.lit("/*/*/*"))
        .when(path.str.contains(r"^/openapi/v[23]$") | (parts == 1))
        .then(pl.lit(""))
        .when((parts == 3) & path.str.starts_with("/apis/"))
        .then(pl.lit("/*/*"))
        .otherwise(pl.lit("/*")),
    )
    return (
        pl.when(pl.col("path").is_null())
        .then(None)
        .when(path == "")
        .then(pl.lit("/"))
        .when(path.str.contains(_DISCOVERY))
        .then(discovered)
        .otherwise(pl.concat_str(first.fill_null("/*"), below))
    )
