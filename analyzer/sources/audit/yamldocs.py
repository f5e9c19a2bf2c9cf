"""YAML documents as JSON texts: what `gcloud logging read` prints, and audit events that somebody kept as YAML.

YAML is a language with much more than data. Only the JSON schema of it is read (YAML 1.2.2, chapter 10.2), by libyaml,
one document at a time: a document with anchors, aliases or tags is refused, so nothing is multiplied and nothing is
built. libyaml itself refuses what nests deeper than a thousand levels. This runs Python once a document: gcloud prints
some thousand entries, and nobody keeps a large log in this form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, ClassVar

import msgspec

from analyzer.sources.contract import Ledger
from analyzer.sources.textwindow import Window

DOCUMENT_LIMIT = 4 << 20
"""Bytes of one document; an audit event of 2 MB was recorded."""

NOT_YAML = "not YAML"
REFERENCES = "YAML with anchors, aliases or tags"
TOO_LONG = "YAML document too long"

_MARKS = (b"protoPayload:", b"audit.k8s.io/")
_FIRST = re.compile(rb"(?:---(?:\s|$)|- |[\"']?[@A-Za-z_][\w@./-]*[\"']?:(?:\s|$))")
_END = re.compile(rb"(?m)^(?:---|\.\.\.|-)(?=\s|$)")
"""The marks between documents, and where an item of a list may begin: at the margin nothing else looks so."""

_REFERENCE = re.compile(r"(?m)(?:^|[\s,\[{:?-])[&*!][^\s,\[\]{}]")
"""What an anchor, an alias or a tag looks like; the same may stand inside a text."""

_NOTHING = re.compile(rb"(?:(?:[ \t\r]*(?:#[^\n]*)?|%[^\n]*)(?:\n|$))*+")
"""Blank lines, comments and directives."""


def is_yaml(text: bytes) -> bool:
    """Whether the first line that is no comment begins a mapping or a document, and an event is in sight."""
    if not any(mark in text for mark in _MARKS):
        return False
    lines = (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith((b"#", b"%")))
    return bool(_FIRST.match(next(lines, b"")))


def documents(parts: Iterable[Window], ledger: Ledger, line: int = 1) -> Iterator[list[tuple[int, bytes]]]:
    """The documents, or the items of a document that is a list, with the line on which each begins, from `line` on.

    What is no YAML costs its document or item.
    """
    held = b""
    for window in parts:
        data = held + window.data
        found: list[tuple[int, bytes]] = []
        begin, listed = 0, _is_list(data, 0)
        for mark in _END.finditer(data):
            if mark[0] == b"-" and not listed:
                # a list inside a mapping may stand at the margin too
                continue
            found += _document(data[begin : mark.start()], line, ledger)
            end = mark.start() if mark[0] == b"-" else mark.end()
            line += data.count(b"\n", begin, end)
            begin, listed = end, mark[0] == b"-" or _is_list(data, end)
        held = data[begin:]
        if len(held) > DOCUMENT_LIMIT:
            # too long already: of the rest of it only the line breaks count
            held = held[: DOCUMENT_LIMIT + 1] + b"\n" * held.count(b"\n", DOCUMENT_LIMIT + 1)
        yield found
    yield _document(held, line, ledger, last=True)


def _is_list(data: bytes, begin: int) -> bool:
    nothing = _NOTHING.match(data, begin)
    return data.startswith((b"- ", b"-\n"), nothing.end() if nothing else begin)


def _document(data: bytes, line: int, ledger: Ledger, *, last: bool = False) -> list[tuple[int, bytes]]:
    nothing = _NOTHING.match(data)
    begin = nothing.end() if nothing else 0
    if begin == len(data):
        return []
    line += data.count(b"\n", 0, begin)
    why, values = (TOO_LONG, []) if len(data) > DOCUMENT_LIMIT else _values(data.decode("utf-8", "replace"))
    if not why:
        return [(line, _json(value)) for value in values]
    if last and why == NOT_YAML:
        ledger.tail()
    else:
        ledger.skip(why, [line])
    return []


def _values(text: str) -> tuple[str, list[Any]]:
    """The document's value, or the values of its list; else why there is none."""
    import yaml  # only this shape wants it

    loader = _loader()
    try:
        if _REFERENCE.search(text) and any(_refers(event) for event in yaml.parse(text, Loader=loader)):
            return REFERENCES, []
        value = yaml.load(text, Loader=loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return NOT_YAML, []
    return "", value if isinstance(value, list) else [value]


def _refers(event: Any) -> bool:
    """Whether a parser's event has an anchor or a tag, or is an alias, whose anchor is the name it refers to."""
    return bool(getattr(event, "anchor", None) or getattr(event, "tag", None))


def _json(value: object) -> bytes:
    try:
        return msgspec.json.encode(value) if isinstance(value, dict) else b"null"
    except (TypeError, ValueError, RecursionError):
        return b"null"


@cache
def _loader() -> Any:
    """libyaml's parser with the JSON schema: no times, no sexagesimal numbers, no objects."""
    import yaml

    class Loader(yaml.CSafeLoader):  # type: ignore[misc]
        yaml_implicit_resolvers: ClassVar[dict[str, list[Any]]] = {}
        yaml_constructors: ClassVar[dict[str | None, Any]] = {
            **{
                f"tag:yaml.org,2002:{name}": yaml.CSafeLoader.yaml_constructors[f"tag:yaml.org,2002:{name}"]
                for name in ("null", "str", "seq", "map")
            },
            "tag:yaml.org,2002:bool": lambda loader, node: node.value in ("true", "True", "TRUE"),
            "tag:yaml.org,2002:int": lambda loader, node: int(node.value),
            "tag:yaml.org,2002:float": lambda loader, node: float(node.value),
            None: yaml.CSafeLoader.construct_undefined,
        }

    for tag, shape, first in (
        ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
        ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
        ("int", r"-?[0-9]{1,18}", "-0123456789"),
        ("float", r"-?[0-9]{1,18}(?:\.[0-9]{0,18})?(?:[eE][-+]?[0-9]{1,3})?", "-0123456789"),
    ):
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(rf"^(?:{shape})$"), list(first))
    return Loader
