"""Objects of a YAML list or series of documents, one at a time, as `kubectl get -o yaml` writes them.

A list is cut at its items before anything is parsed, so that memory is that of one object. Anchors and aliases are
refused: kubectl writes none, and with them a few lines could stand for gigabytes. Scalars stay text (BaseLoader).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO

from analyzer.sources.audit.split import Element
from analyzer.sources.contract import ByteStream, Ledger
from analyzer.sources.lines import windows

OBJECT_LIMIT = 1 << 20
"""Bytes of one object; etcd takes 1.5 MiB at most, and an Event is 1 KiB or two."""

_ANCHOR = re.compile(rb"(?:^|[\s\[{,:-])[&*][^\s,\[\]{}]", re.MULTILINE)
_TOP = re.compile(rb"[A-Za-z]")


def begins_like_yaml(text: bytes) -> bool:
    """Whether the first key of the text is one that every Kubernetes object has."""
    return re.match(rb"(?:---\s*\n|#[^\n]*\n|\s*\n)*(?:- )?(?:apiVersion|kind|items|metadata): *\S*", text) is not None


def elements(stream: ByteStream, ledger: Ledger) -> Iterator[Element]:
    """The text of every object, not yet parsed, with the line on which it begins.

    Lines are looked at one by one: parsing YAML costs a hundred times as much. What is longer than OBJECT_LIMIT is
    skipped, as `object too long`.
    """
    parts: list[bytes] = []
    begin = size = ordinal = 0
    ends_open = named = False
    at = "document"  # or within an `item` of a list, or `between` them

    def whole() -> Iterator[Element]:
        nonlocal parts, size, ordinal
        if size > OBJECT_LIMIT:
            ledger.skip("object too long", [begin])
        elif parts:
            ordinal += 1
            yield Element(ordinal, begin, b"".join(parts))
        parts, size = [], 0

    for window in windows(stream, ledger):
        ends_open = not window.data.endswith(b"\n")
        for number, line in enumerate(BytesIO(window.data), window.first_number):
            if line.startswith(b"---"):
                yield from whole()
                at = "document"
                continue
            named = named or (at == "document" and line.startswith(b"kind:"))
            if line.startswith(b"items:") and at == "document":
                parts, size, at = [], 0, "between"
                continue
            if line.startswith(b"- ") and (at != "document" or not parts):
                yield from whole()
                at, line = "item", b"  " + line[2:]
            elif at == "item" and _TOP.match(line):
                yield from whole()
                at = "between"
            if at == "between" or not (parts or size or line.strip()):
                continue
            begin = begin if size else number
            size += len(line)
            if size <= OBJECT_LIMIT:
                parts.append(line)
    # behind the items kubectl writes what kind of a list it is: without that the last item may have been cut
    if parts and (ends_open or (at == "item" and not named)):
        ledger.tail()
    else:
        yield from whole()


def parse(text: bytes) -> object:
    """The object of one element; ValueError where it is no YAML, or has anchors or aliases."""
    import yaml  # few inputs are YAML

    try:
        if _ANCHOR.search(text):
            for event in yaml.parse(text, Loader=yaml.CBaseLoader):
                if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                    raise ValueError("anchors and aliases are not read")
        return yaml.load(text, Loader=yaml.CBaseLoader)  # BaseLoader makes no objects but text, lists and mappings
    except (yaml.YAMLError, RecursionError, UnicodeError) as error:
        raise ValueError("no YAML") from error
