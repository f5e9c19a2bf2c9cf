"""What is said on stderr, free of anything that could drive a terminal."""

from __future__ import annotations

import sys
import unicodedata

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
    sys.stderr.write(f"analyze: {safe(text)}\n")


def tell(text: str) -> None:
    """One plain line on stderr."""
    sys.stderr.write(f"{safe(text)}\n")


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
