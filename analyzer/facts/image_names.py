"""Image references and what a failed pull says, as expressions over columns of text."""

from __future__ import annotations

import polars as pl

DOCKER_HUB = "docker.io"
"""The registry of references that name none (distribution/reference `normalize.go`, splitDockerDomain)."""

OTHER = "other"

CLASSES: dict[str, str] = {
    "disk": r"no space left on device|disk quota exceeded",
    "own limit": r"pull qps exceeded",
    "quota": r"toomanyrequests|too many requests|\b429\b|rate ?limit|rate exceeded|quota|throttl|resource_?exhausted",
    "permission": r"denied|unauthorized|forbidden|\b40[13]\b|no basic auth credentials|authentication required|"
    r"authorization (?:failed|token has expired)|insufficient_scope|unauthenticated",
    "network": r"timeout|timed out|connection re(?:set|fused)|\beof\b|no such host|server misbehaving|no route to host|"
    r"network is unreachable|deadline exceeded|request canceled|broken pipe|x509: |tls: ",
    "registry": r"\b50[0234]\b|internal server error|bad gateway|service unavailable",
    "missing": r"not found|manifest unknown|name unknown|no such image|\b404\b|does not exist|no match for platform",
}
"""What the text of a failed pull is about; the first that fits. The texts are those of containerd (`remotes/docker`),
dockerd, CRI-O and the registries behind them; `pull QPS exceeded` is the kubelet's own registryPullQPS
(`pkg/kubelet/images/puller.go`). Docker says `denied` for what is missing too: it does not tell who is not let in."""

_REFERENCE = (
    r"\b(?:image|reference|for) \\*\"[^\"\\]+\\*\"|\bfor [^\s,]+|https?://\S+"
    r"|\b[a-z0-9][\w-]*(?:\.[\w-]+)+(?::[0-9]+)?/\S+|\b[\w.-]+(?:/[\w.-]+)+(?::[\w.-]+)?|sha256:[0-9a-f]+"
)
"""What names an image or its place is left out: it may hold any of the words."""


_CREDENTIALS = r"^[^/@]+:[^/@]*@([^/]+/)"
"""Somebody may write a user and a password before the registry; no runtime takes that, and nobody shall read it."""


def registry(image: pl.Expr) -> pl.Expr:
    """The host of a reference: what stands before the first slash, if it can be one."""
    first = image.str.extract(r"^([^/]+)/", 1)
    is_host = first.str.contains(r"[.:]") | (first == "localhost")
    host = pl.when(is_host.fill_null(False)).then(first).otherwise(pl.lit(DOCKER_HUB))
    return pl.when(host == "index.docker.io").then(pl.lit(DOCKER_HUB)).otherwise(host)


def canonical(image: pl.Expr) -> pl.Expr:
    """The reference with registry and tag, as `nginx` is `docker.io/library/nginx:latest`."""
    bare = image.str.strip_chars().str.replace(_CREDENTIALS, "$1").str.replace(r"^index\.docker\.io/", "docker.io/")
    host = registry(bare)
    path = pl.when(bare.str.starts_with(host + "/")).then(bare.str.slice(host.str.len_chars() + 1)).otherwise(bare)
    named = pl.when((host == DOCKER_HUB) & ~path.str.contains("/")).then("library/" + path).otherwise(path)
    tagged = named.str.contains(r":[\w.-]+$|@")
    return host + "/" + pl.when(tagged).then(named).otherwise(named + ":latest")


def error_class(error: pl.Expr) -> pl.Expr:
    """permission, quota, missing, network ... of the text of a failed pull; `other` where nothing fits."""
    text = error.str.to_lowercase().str.replace_all(_REFERENCE, " ")
    found = pl.lit(OTHER)
    for name, pattern in reversed(CLASSES.items()):
        found = pl.when(text.str.contains(pattern)).then(pl.lit(name)).otherwise(found)
    return pl.when(error.is_not_null()).then(found)
