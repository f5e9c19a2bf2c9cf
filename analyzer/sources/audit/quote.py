"""The text of single events as evidence: as they were written, without bodies and without secrets."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from analyzer.sources.audit import body, google
from analyzer.sources.audit.columns import NOT_TOLD, without_secrets
from analyzer.sources.audit.decode import DEPTH
from analyzer.sources.audit.envelope import NOTHING, opened
from analyzer.sources.lines import QUOTE_LIMIT
from analyzer.sources.secrets import scrub

LINE_LOOKED_AT = 64 << 10
"""Bytes of a text line that may be quoted; what is masked in them makes it shorter, never by so much."""

_RAWS = msgspec.json.Decoder(dict[str, Raw])
_BODIES = ("requestObject", "responseObject")
_PATCHES = ("patch.webhook.", "mutation.webhook.")


def shown(text: bytes, depth: int = DEPTH, *, most: int = QUOTE_LIMIT) -> str:
    """At most `most` bytes of what a record says; '' where it cannot be shown without the risk of showing a secret."""
    text = text.strip(b" \t\r\n,\x00")
    fields = _fields(text)
    if fields is not None and ("auditID" in fields or "requestURI" in fields or "verb" in fields):
        told = _event(fields)
    else:
        inside = opened(text) if depth else NOTHING
        parts = inside.parts
        at = text.rfind(body.HEAD)
        if not parts and at > 0:
            # a line whose rest was lost in front of it
            parts = (text[at:],)
        if inside.translated and fields is not None and google.payload(fields) is not None:
            told = _entry(fields)
        else:
            told = " ".join(part for raw in parts[:3] if (part := shown(raw, depth - 1, most=most)))
    return told.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")


def shown_line(line: bytes, most: int = QUOTE_LIMIT) -> str:
    """At most `most` bytes of a line of the legacy text format, without tokens in its URI."""
    text = line[:LINE_LOOKED_AT].decode("utf-8", "replace")
    return scrub(without_secrets(text)).encode()[:most].decode("utf-8", "ignore")


def _entry(fields: dict[str, Raw]) -> str:
    """An entry of Google Cloud Logging as it was written, without bodies."""
    try:
        return scrub(_json(google.lean(fields, NOT_TOLD)))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ""


def _fields(text: bytes) -> dict[str, Raw] | None:
    """The fields of an object, undecoded. A body that nests too deep for the decoder is cut out first."""
    lean = body.excise(text)[0]
    for version in (lean, text, text.decode("utf-8", "replace").encode()):
        try:
            return _RAWS.decode(version)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
    return None


def _event(fields: dict[str, Raw]) -> str:
    ref = _plain(fields.get("objectRef"))
    private = isinstance(ref, dict) and ref.get("resource") in NOT_TOLD
    parts: list[str] = []
    for name, raw in fields.items():
        if name in _BODIES:
            continue
        text = bytes(raw).decode("utf-8", "replace")
        value = _plain(raw)
        if name == "requestURI" and isinstance(value, str):
            if (clean := without_secrets(value)) != value:
                text = _json(clean)
        elif isinstance(value, dict) and (kept := _kept(name, value, private)) != value:
            text = _json(kept)
        parts.append(f"{_json(name)}:{text}")
    return scrub("{" + ",".join(parts) + "}")


def _kept(name: str, value: dict[str, object], private: bool) -> dict[str, object]:
    """A field of an event without what may quote an object: webhooks' patches, answers about secrets."""
    if name == "annotations":
        return {key: note for key, note in value.items() if not key.startswith(_PATCHES)}
    if name == "responseStatus" and private:
        return {key: part for key, part in value.items() if key not in ("message", "details")}
    return value


def _plain(raw: Raw | None) -> object:
    try:
        return msgspec.json.decode(raw) if raw is not None else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
