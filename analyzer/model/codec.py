"""Result to JSON and back, and the schema of that JSON. Times are RFC 3339 in UTC with `Z`."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from analyzer.errors import InputError
from analyzer.model.result import SCHEMA, Result


def encode(result: Result) -> bytes:
    """One JSON object, two-space indent, ending in a newline. The same result gives the same bytes."""
    plain = msgspec.to_builtins(result)
    plain["findings"] = [finding.key for finding in result.findings]
    return msgspec.json.format(msgspec.json.encode(plain), indent=2) + b"\n"


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
        return msgspec.convert(plain, Result)
    except msgspec.ValidationError as error:
        place = re.sub(r"[^\w$.\[\] `,-]", "?", str(error))
        raise InputError(f"not a whole result of this tool: {place}") from error


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
