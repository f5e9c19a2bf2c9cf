"""Masks what must not leave the machine: credentials by their shape, wherever they stand in a quoted record.

Structure comes first: bodies and credential fields are dropped where they are parsed. This is the second line, for
text that is quoted as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import polars as pl

MASK = "[masked]"

COMMAND_LINES = (
    (r"\bargc=[0-9]{1,7} ", "a0=.+"),
    (r"\ba[0-9]{1,7}\[[0-9]{1,7}\]=", r"\S+"),
    (r"\bproctitle=", r'"[^"]*"|[0-9A-Fa-f]+'),
    (r"\bcwd=\S{1,4096} cmd=", r'"[^"]*"|[0-9A-F]+'),
)
"""Command lines in the kernel's audit records, plain or in hexadecimal digits: what stands before them, and they.
EXECVE and its further parts, PROCTITLE, USER_CMD of sudo (kernel/auditsc.c, audit_log_execve_info,
audit_log_proctitle). A flood holds millions: who reads such records masks them by column, before `scrub_column`."""

_PATTERNS = (
    # key = value in any of the usual spellings; the value ends at a quote, a comma, an ampersand or white space
    (
        r"""(?ix) (?P<keep> ["']? \b [\w.-]{0,40}? (?: pass(?:word|wd)? | secret(?:_?access_?key|_?key)? | token |
        api[_-]?key | private[_-]?key | client[_-]?secret | credential | authorization |
        cookie | x-aws-ec2-metadata-token )
        ["']? \s? [:=] \s? \[? \s? ["']? (?: (?:bearer|basic|digest) \s )? ) (?P<hide> [^\s"'&,;}{\\]{6,} )"""
    ),
    r"(?i)(?P<keep>\b(?:bearer|basic)\s)(?P<hide>[A-Za-z0-9._~+/=-]{8,})",
    # a JWT, also where its signature was cut off; tried once for each run of its letters, so that the work is linear
    (
        r"(?P<keep>(?<![A-Za-z0-9_-])(?:(?!\beyJ)[A-Za-z0-9_-])*)"
        r"(?P<hide>eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?)"
    ),
    # AWS key ids (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html)
    r"(?P<keep>)(?P<hide>\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,20}\b)",
    r"(?s)(?P<keep>-----BEGIN [A-Z ]*PRIVATE KEY-----)(?P<hide>.*?)(?=-----END|$)",
    # user information of a URL
    r"(?P<keep>://[^/@\s:]{0,80}:)(?P<hide>[^/@\s]+)(?=@)",
    # the same before an image, which has no scheme
    (r"(?P<keep>\b[\w.-]{1,64}:)(?P<hide>[^/@\s:\"]{4,128})(?=@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}(?::[0-9]{1,5})?/)"),
    # what signs a URL (AWS Signature Version 4, Google Cloud Storage, Azure SAS), as that of an image's layer
    r"(?i)(?P<keep>(?:[?&]|\\u0026)(?:X-(?:Amz|Goog)-)?sig(?:nature)?=)(?P<hide>[^\s\"'&\\]{6,})",
    # a kubeadm bootstrap token: six, a point, sixteen
    r"(?P<keep>)(?P<hide>\b[a-z0-9]{6}\.[a-z0-9]{16}\b)",
    *(f"(?P<keep>{keep})(?P<hide>{hide})" for keep, hide in COMMAND_LINES),
)


@cache
def _compiled() -> tuple[re.Pattern[str], ...]:
    """Compiled when there is something to mask, which takes a millisecond or two of every start otherwise."""
    return tuple(map(re.compile, _PATTERNS))


_HINT = (
    r"(?i)pass|secret|token|api[_-]?key|private[_-]?key|credential|authoriz|cookie|bearer|basic|eyJ|AKIA|ASIA|ABIA|ACCA"
    r"|://[^/@\s]*@|:[^/@\s:\"]{4,128}@[\w.-]+|sig(?:nature)?=|[a-z0-9]{6}\.[a-z0-9]{16}"
    r"|argc=[0-9]+ a0=|proctitle=[\"0-9a-f]|\ba[0-9]+\[[0-9]+\]=[^\[\s]|cwd=\S+ cmd=[\"0-9a-f]"
)
"""What must stand in a text that `scrub` changes."""


def scrub_column(texts: pl.Series) -> pl.Series:
    """`scrub` for every text of a column; only the few that may hold something are handled one by one."""
    suspect = texts.str.contains(_HINT).fill_null(False).arg_true()
    if not suspect.len():
        return texts
    cleaned = [scrub(text) for text in texts.gather(suspect).to_list()]
    return texts.clone().scatter(suspect, pl.Series(cleaned, dtype=pl.String))


def scrub_all(texts: Sequence[str]) -> list[str]:
    """`scrub` for each of these texts: one pass over all finds the few that may hold something."""
    cleaned: list[str] = scrub_column(pl.Series(texts, dtype=pl.String)).to_list()
    return cleaned


def without_command_lines(texts: pl.Series) -> pl.Series:
    """Audit records without the command lines in them, masked by column."""
    for keep, hide in COMMAND_LINES:
        texts = texts.str.replace_all(f"({keep})(?:{hide})", f"${{1}}{MASK}")
    return texts


def scrub(text: str) -> str:
    """The text with everything that has the shape of a credential replaced by `[masked]`."""
    for pattern in _compiled():
        text = pattern.sub(lambda found: f"{found['keep']}{MASK}", text)
    return text
