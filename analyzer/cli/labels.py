"""`--label NAME=VALUE`: what a report says of its case in the words of whoever ran the tool."""

from __future__ import annotations

import re
from collections.abc import Sequence

from analyzer.cli.wording import storable
from analyzer.errors import UsageError
from analyzer.model import Label

MOST_VALUE = 200
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?")
"""Names are as those of labels of Kubernetes objects; they stay readable in a report without names."""


def labels_of(given: Sequence[str]) -> tuple[Label, ...]:
    """The labels by their names. Raises UsageError for one that is none, and for a name that is given twice."""
    found: dict[str, Label] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not NAME.fullmatch(name):
            raise UsageError(f"--label {storable(pair)[:80]}: not a label; write it as team=payments")
        if len(value) > MOST_VALUE:
            raise UsageError(f"--label {name}: the value has {len(value)} characters; {MOST_VALUE} are allowed")
        if name in found:
            raise UsageError(f"--label {name}: given twice")
        found[name] = Label(name=name, value=storable(value))
    return tuple(found[name] for name in sorted(found))
