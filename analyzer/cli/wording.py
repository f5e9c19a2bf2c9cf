"""What is said on stderr, free of anything that could drive a terminal."""

from __future__ import annotations

import os
import sys
import unicodedata
from typing import TextIO

_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def safe(text: str) -> str:
    """The text on one line, with control, bidi and other invisible characters written as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if unicodedata.category(c) not in _UNSAFE else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def say(text: str) -> None:
    """One line on stderr, headed by the command's name."""
    tell(f"analyze: {text}")


def tell(text: str) -> None:
    """One plain line on stderr; that nobody listens there must not cost the report."""
    stderr: TextIO | None = sys.stderr
    if stderr is None:
        return
    try:
        stderr.write(f"{safe(text)}\n")
        stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stderr.fileno())  # else Python tries once more when it ends


def storable(text: str) -> str:
    """The text with bytes that are not UTF-8, which a file name may hold, written as `\\xff`."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def size(count: int) -> str:
    """Bytes for people: 812 B, 266 kB, 3.1 GB."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            return f"{value:.3g} {unit}"
    raise AssertionError


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
