"""Result to JSON and back, and the schema of that JSON. Times are RFC 3339 in UTC with `Z`."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import msgspec

from analyzer.errors import InputError
from analyzer.model.result import SCHEMA, Result

SHOWN = 120
"""Characters of each end of a message about a document: it may quote a value of any length."""


def encode(result: Result) -> bytes:
    """One JSON object, two-space indent, ending in a newline. The same result gives the same bytes."""
    plain = msgspec.to_builtins(result)
    plain["findings"] = [finding.key for finding in result.findings]
    return document(plain, indent=2)


def document(plain: Any, indent: int) -> bytes:
    """Those values as JSON that a terminal can be shown: what does not print stands as `\\u202e`, which reads back."""
    made = msgspec.json.format(msgspec.json.encode(plain), indent=indent) + b"\n"
    if made.isascii() and b"\x7f" not in made:
        return made
    return _UNPRINTED.sub(_escaped, made.decode()).encode()


_UNPRINTED = re.compile(
    r"[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Control, bidi and other format characters; those below a space JSON escapes by itself."""


def _escaped(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]


def decode(data: bytes) -> Result:
    """The Result that `encode` wrote; raises InputError where it is none."""
    try:
        plain = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"not a result of this tool: {error}; give the file that -f json wrote") from error
    if not isinstance(plain, dict) or plain.get("schema") != SCHEMA:
        found = plain.get("schema") if isinstance(plain, dict) else None
        raise InputError(f"not a result of this tool: schema is {found!r}, wanted {SCHEMA!r}")
    plain.pop("findings", None)
    try:
        result = msgspec.convert(plain, Result)
    except msgspec.ValidationError as error:
        raise InputError(f"not a whole result of this tool: {_plain(str(error))}") from error
    _check(result)
    return result


def _check(result: Result) -> None:
    """What no type says and every form builds on: a finding has a key of its own, and stands with its detector."""
    ids = [run.detector for run in result.runs]
    keys = [finding.key for finding in result.findings]
    for what, names in (("detector", ids), ("finding", keys)):
        if twice := next((name for name, count in Counter(names).items() if count > 1), None):
            raise InputError(f"not a whole result of this tool: {what} {_plain(twice)} stands in it twice")
    for run in result.runs:
        if stray := next((finding for finding in run.findings if finding.detector != run.detector), None):
            raise InputError(f"not a whole result of this tool: {_plain(stray.key)} stands with another detector")


def _plain(text: str) -> str:
    """A message in words and places alone; of a long one what it begins with and the place at its end."""
    cut = text if len(text) <= 2 * SHOWN else f"{text[:SHOWN]} ... {text[-SHOWN:]}"
    return re.sub(r"[^\w$.\[\] `,:/-]", "?", cut)


def schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of what `encode` writes."""
    (made,), parts = msgspec.json.schema_components((Result,), ref_template="#/$defs/{name}")
    whole = parts[made["$ref"].rsplit("/", 1)[1]]
    whole["properties"]["schema"] = {"const": SCHEMA}
    whole["properties"]["findings"] = {
        "type": "array",
        "items": {"type": "string"},
        "description": "Keys of all findings, ranked.",
    }
    whole["required"] = sorted({*whole["required"], "schema", "findings"})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": SCHEMA, **made, "$defs": parts}
