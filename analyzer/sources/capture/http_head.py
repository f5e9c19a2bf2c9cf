"""What may be kept of an HTTP/1 message: never a body, never a token, never a credential."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct

HEAD_MOST = 16 << 10
TEXT_MOST = 512
"""Characters kept of a path or a user agent."""
HOST_MOST = 255
"""Characters kept of a Host field: no name of DNS is longer."""
QUERY_KEPT = ("api-version", "resource")

_REQUEST = re.compile(rb"(GET|PUT|POST|HEAD|DELETE|PATCH|OPTIONS) ([^ \r\n]{1,8192}) HTTP/1\.[01]\r?\n")
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})[ \r\n]")
_EXPIRATION = re.compile(rb'"Expiration"\s*:\s*"([0-9T:.+\-]{10,40}Z?)"')
_EXPIRES_ON = re.compile(rb'"expires_on"\s*:\s*"?([0-9]{1,12})[",\s}]')
_EXPIRES_IN = re.compile(rb'"expires_in"\s*:\s*"?([0-9]{1,9})[",\s}]')
_CAPABILITY = re.compile(r"(/credentials/)[^/]+")
"""The id behind /v2/credentials/ of the container credential endpoint opens the credentials: it is one itself."""


class Head(Struct, frozen=True):
    """One message without its body. `body` is its length, None if chunks or the end of the connection tell it."""

    response: bool
    method: str | None
    path: str | None
    status: int | None
    user_agent: str | None
    host: str | None
    token_ttl: int | None
    body: int | None
    chunked: bool


def begins(data: bytes | bytearray, *, response: bool) -> bool:
    """Whether data begins like a message."""
    if response:
        return bytes(data[:7]) == b"HTTP/1."[: len(data)]
    return any(
        data.startswith(m[: len(data)]) for m in (b"GET /", b"PUT /", b"POST /", b"HEAD /", b"GET http", b"PUT http")
    )


def read_head(data: bytes, *, response: bool) -> Head | None:
    """The allowed parts of a head that ends before its empty line; None if it is none."""
    start = (_STATUS if response else _REQUEST).match(data + b"\r\n")
    if start is None:
        return None
    kept = _headers(data)
    length, chunked = _whole(kept.get(b"content-length")), b"chunked" in kept.get(b"transfer-encoding", b"").lower()
    ttl = _whole(kept.get(b"x-aws-ec2-metadata-token-ttl-seconds"))
    if not response:
        agent, host = kept.get(b"user-agent"), kept.get(b"host")
        return Head(
            response=False,
            method=start[1].decode(),
            path=reduced_path(start[2]),
            status=None,
            user_agent=printable(agent) if agent is not None else None,
            host=printable(host)[:HOST_MOST] if host is not None else None,
            token_ttl=ttl,
            body=length or 0,
            chunked=chunked,
        )
    status = int(start[1])
    bodiless = status < 200 or status in (204, 304)
    return Head(
        response=True,
        method=None,
        path=None,
        status=status,
        user_agent=None,
        host=None,
        token_ttl=ttl,
        body=0 if bodiless else None if chunked else length,
        chunked=chunked and not bodiless,
    )


_ALLOWED = (b"host", b"content-length", b"transfer-encoding", b"user-agent", b"x-aws-ec2-metadata-token-ttl-seconds")


def _headers(data: bytes) -> dict[bytes, bytes]:
    kept: dict[bytes, bytes] = {}
    for line in data.split(b"\n")[1:]:
        name, _, value = line.partition(b":")
        if (name := name.strip().lower()) in _ALLOWED:
            kept.setdefault(name, value.strip())
    return kept


def _whole(value: bytes | None) -> int | None:
    return int(value) if value is not None and re.fullmatch(rb"[0-9]{1,12}", value) else None


def reduced_path(target: bytes) -> str:
    """The path, and of the query string only what says which resource is asked for."""
    text = target.decode("latin-1")
    try:
        parts = urlsplit(text)
        query = parse_qsl(parts.query, max_num_fields=64)
    except ValueError:
        return printable(_CAPABILITY.sub(r"\1*", text.partition("?")[0]).encode("latin-1"))
    # Parameters of a path (RFC 3986, section 3.3) carry session ids.
    path = _CAPABILITY.sub(r"\1*", parts.path.partition(";")[0] or "/")
    kept = "&".join(f"{name}={value}" for name, value in query if name in QUERY_KEPT)
    return printable((f"{path}?{kept}" if kept else path).encode("utf-8"))


def printable(value: bytes) -> str:
    """ASCII text of at most TEXT_MOST characters; other octets as \\xNN."""
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}" for byte in value[:TEXT_MOST])[:TEXT_MOST]


def looks_like_metadata(path: str | None) -> bool:
    """Whether a path is one of the metadata services', for proxies that listen elsewhere."""
    return path is not None and path.startswith(("/latest/", "/computeMetadata/", "/metadata/"))


def expiry(body: bytes, seen: datetime | None) -> datetime | None:
    """When the credential in this body expires; `expires_in` counts from when the answer was seen."""
    if found := _EXPIRATION.search(body):
        try:
            moment = datetime.fromisoformat(found[1].decode())
        except ValueError:
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    try:
        if found := _EXPIRES_ON.search(body):
            return datetime.fromtimestamp(int(found[1]), UTC)
        if (found := _EXPIRES_IN.search(body)) and seen is not None:
            return seen + timedelta(seconds=int(found[1]))
    except (OverflowError, ValueError, OSError):
        return None
    return None
