"""What a request is about, by its method and path, as the API server itself takes it apart.

After kubernetes `staging/src/k8s.io/apiserver/pkg/endpoints/request/requestinfo.go` (NewRequestInfo). It is wanted
where a log keeps the method and the path alone: the legacy text format, and entries of Google Cloud Logging.
"""

from __future__ import annotations

from urllib.parse import parse_qs

from msgspec import Struct

_VERBS = {"post": "create", "get": "get", "head": "get", "put": "update", "patch": "patch", "delete": "delete"}
_SPECIAL = ("proxy", "watch")
_OF_A_NAMESPACE = ("status", "finalize")
_TRUE = ("1", "t", "true")
"""strconv.ParseBool, in lower case."""


class RequestInfo(Struct, frozen=True):
    """`resource` is empty for non-resource URLs; `group` is empty for the core group too."""

    verb: str
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""

    def object_ref(self) -> dict[str, str] | None:
        """objectRef of an audit event; None for non-resource URLs."""
        if not self.resource:
            return None
        told = {
            "resource": self.resource,
            "namespace": self.namespace,
            "name": self.name,
            "apiGroup": self.group,
            "apiVersion": self.version,
            "subresource": self.subresource,
        }
        return {name: value for name, value in told.items() if value}


def request_info(method: str, uri: str) -> RequestInfo:
    """The verb and the object of `GET /api/v1/namespaces/shop/pods?watch=true`. The method may be in any case."""
    path, _, query = uri.partition("?")
    method = method.lower()
    parts = path.strip("/").split("/")
    plain = RequestInfo(verb=method)
    if len(parts) < 3 or parts[0] not in ("api", "apis"):
        return plain
    group = ""
    if parts[0] == "apis":
        group, parts = parts[1], parts[1:]
        if len(parts) < 3:
            return plain
    version, parts = parts[1], parts[2:]
    verb = _VERBS.get(method, "")
    if parts[0] in _SPECIAL:
        if len(parts) < 2:
            return plain
        verb, parts = parts[0], parts[1:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = parts[1]
        if len(parts) > 2 and parts[2] not in _OF_A_NAMESPACE:
            parts = parts[2:]
    name = parts[1] if len(parts) > 1 else ""
    if not name:
        verb = {"get": "watch" if _watches(query) else "list", "delete": "deletecollection"}.get(verb, verb)
    subresource = parts[2] if len(parts) > 2 and verb != "proxy" else ""
    return RequestInfo(verb or method, group, version, namespace, parts[0], subresource, name)


def _watches(query: str) -> bool:
    try:
        values = parse_qs(query, max_num_fields=100).get("watch", [])
    except ValueError:
        return False
    return any(value.lower() in _TRUE for value in values)
