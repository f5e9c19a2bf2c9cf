"""Result to JSON and back. Times are RFC 3339 in UTC with `Z`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from analyzer.errors import InputError
from analyzer.model.result import SCHEMA, Result

_RENAMED = {"from_": "from"}


def _time(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    raise TypeError(f"cannot write {type(value).__name__} into a result")


def _walk(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {names.get(key, key): _walk(item, names) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_walk(item, names) for item in value]
    return value


def encode(result: Result) -> bytes:
    """One JSON object, two-space indent, ending in a newline. The same result gives the same bytes."""
    plain = msgspec.to_builtins(result, builtin_types=(datetime,))
    plain["findings"] = [finding.key for finding in result.findings]
    text = msgspec.json.encode(_walk(plain, _RENAMED), enc_hook=_time)
    # msgspec writes offsets of aware datetimes in UTC as Z already; floats that are whole keep their point.
    return msgspec.json.format(text, indent=2) + b"\n"


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
    back = {new: old for old, new in _RENAMED.items()}
    try:
        return msgspec.convert(_causes_back(plain, back), Result)
    except msgspec.ValidationError as error:
        place = re.sub(r"[^\w$.\[\] `,-]", "?", str(error))
        raise InputError(f"not a whole result of this tool: {place}") from error


def _causes_back(plain: dict[str, Any], back: dict[str, str]) -> dict[str, Any]:
    story = plain.get("story")
    if isinstance(story, dict) and isinstance(story.get("causes"), list):
        story = {**story, "causes": [{back.get(k, k): v for k, v in cause.items()} for cause in story["causes"]]}
        return {**plain, "story": story}
    return plain
