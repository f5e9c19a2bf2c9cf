"""Which server wrote an audit event, where an envelope, a prefix, or the name of the file says so; it is never guessed.

OpenShift has several: kube-apiserver, openshift-apiserver, oauth-apiserver and oauth-server write to
/var/log/SERVER/audit.log on each control plane node, must-gather saves them as audit_logs/SERVER/NODE-audit.log.gz, and
its collector gives the first the tag `k8s-audit.log` or the source `kubeAPI`, all others together `openshift-audit.log`
or `openshiftAPI` (openshift/cluster-logging-operator, internal/generator/vector/input/audit.go), which tells none of
them. An event itself does not say who wrote it: a request to an aggregated API passes two of these servers, and each
writes one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

import msgspec
import polars as pl
from msgspec import Raw

SERVERS = ("kube-apiserver", "openshift-apiserver", "oauth-apiserver", "oauth-server")

_SERVER = re.compile(rf"(?<![a-z0-9])({'|'.join(SERVERS)})(?![a-z0-9]|-operator)")
_COLLECTED = {"kubeAPI": "kube-apiserver", "k8s-audit.log": "kube-apiserver", ".k8s-audit.log": "kube-apiserver"}
_LEADING = r"^([A-Za-z0-9][A-Za-z0-9_./-]{0,252})[ :] ?\{"

PLACES = ("logStreamName", "@logStream", "logStream", "PodName", "pod_s", "pod")
"""Fields of an envelope that name a pod or a stream after its server: EKS calls its streams kube-apiserver-audit-ID,
AKS tells the pod."""

COLLECTED = ("log_source", "tag", "filename", "file")
"""Fields that OpenShift's and other collectors put beside the fields of an event."""


@lru_cache(maxsize=1 << 10)
def server_in(text: str) -> str | None:
    """The one server that a name, tag or path names; of a path, the last part that names one counts."""
    if (known := _COLLECTED.get(text)) is not None:
        return known
    for part in reversed(re.split(r"[/!]", text.lower())):
        found = set(_SERVER.findall(part))
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def server_of(fields: Mapping[str, Raw], names: Iterable[str] = PLACES) -> str | None:
    """The server that the first of these fields names; their values may be of any type."""
    for name in names:
        if name in fields and (told := server_told(fields[name])) is not None:
            return told
    return None


def server_told(raw: Raw) -> str | None:
    """The server that an undecoded value names, if it is a text."""
    try:
        text = msgspec.json.decode(raw, type=str)
    except (msgspec.DecodeError, UnicodeError):
        return None
    return server_in(text)


def leading(lines: pl.Series) -> pl.Series:
    """The server that the host or file name before the JSON of a line names; null where there is none."""
    return named(lines.str.extract(_LEADING, 1))


def named(texts: pl.Series) -> pl.Series:
    """The server that each text names; few are distinct."""
    known = {text: server_in(text) for text in texts.unique().drop_nulls().sort()}
    told = {text: server for text, server in known.items() if server is not None}
    return texts.replace_strict(told, default=None, return_dtype=pl.String)
