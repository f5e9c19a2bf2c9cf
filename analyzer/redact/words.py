"""The words that a report may say to anybody: those of this program, and no word of the evidence."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

_LETTER = (
    r"\w\u02b0-\u061b\u061d-\u1fff\u2070-\u218f\u2300-\u24ff\u25a0-\ud7ff\uf900-\ufefe\uff01-\uffef"
    r"\U00010000-\U000dffff"
)
"""What names are made of, with marks on letters, emoji and other symbols; without general punctuation, arrows, signs of
arithmetic and blocks, which this program's texts have, and what does not print, which a form escapes."""

ATOM = re.compile(rf"[{_LETTER}](?:[{_LETTER}.-]*[{_LETTER}])?")
"""What is replaced as one: a name with its dots and hyphens. Everything between atoms stays."""

PUBLIC = frozenset(
    (
        *("com", "org", "net", "io", "dev", "local", "internal", "svc", "cluster", "arpa", "in-addr", "ip6", "pod"),
        *("kube-system", "kube-public", "kube-node-lease", "default", "system", "serviceaccount", "masters", "nodes"),
        *(
            "kubelet",
            "apiserver",
            "kube-proxy",
            "kube-apiserver",
            "kube-scheduler",
            "kube-controller-manager",
            "coredns",
            "kube-dns",
        ),
        *(
            "log",
            "gz",
            "zst",
            "bz2",
            "xz",
            "tar",
            "tgz",
            "zip",
            "pcap",
            "pcapng",
            "json",
            "jsonl",
            "txt",
            "yaml",
            "csv",
        ),
        *("node", "cluster.local", "svc.cluster.local", "kubernetes", "anonymous", "authenticated", "unauthenticated"),
    )
)
"""Names that every cluster has: they say nothing of this one, and a report without them cannot be read."""

_HOME = Path(__file__).parent.parent


@cache
def vocabulary() -> frozenset[str]:
    """Every atom of the program's own texts and templates, in lower case."""
    words: set[str] = set()
    for path in sorted(_HOME.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # documentation is not output
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
                words.update(atom.lower() for atom in ATOM.findall(node.value))
    for path in sorted(_HOME.rglob("*.j2")):
        words.update(atom.lower() for atom in ATOM.findall(path.read_text(encoding="utf-8")))
    return frozenset(words) | PUBLIC


_QUANTITY = re.compile(
    r"""
    \d{1,11}(?:\.\d+|\.\d{1,11}\.\d{1,11})?(?:[smhd]|ms|us|ns|min|kB|MB|GB|[KMGT]i?B?|k|x|th|st|nd|rd)?  # a number
    | \d{4}-\d\d-\d\d(?:[T-]\d\d-?\d\d-?\d\d(?:\.\d+)?Z?)?                  # a date, a time as in names of rotated logs
    | audit-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d                                # a rotated audit log up to its fraction
    | \d{4}-\d\d-\d\dT\d\d | \d\d(?:\.\d+)?Z | [IWEF]\d{4}                  # parts of times; klog's day
    """,
    re.VERBOSE | re.ASCII,
)
"""Not the numbers that name somebody: accounts of clouds have 12 digits, cards 16; four numbers may be an address."""


def is_quantity(atom: str) -> bool:
    """Whether an atom is a number, with or without a unit, or a time."""
    return _QUANTITY.fullmatch(atom) is not None


def is_plain(atom: str) -> bool:
    """Whether an atom is a number, a quantity or a time, or a word of this program."""
    if is_quantity(atom):
        return True
    word = atom.lower()
    known = vocabulary()
    return (word in known and not word.isdecimal()) or (word.isalpha() and word.endswith("s") and word[:-1] in known)
