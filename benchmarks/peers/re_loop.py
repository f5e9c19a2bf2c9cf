"""Every line of a log through one compiled expression."""

from __future__ import annotations

import re
import sys
from pathlib import Path

LINES = {
    "coredns": re.compile(
        rb"^(\S+) \S+ \S+ \[INFO\] (\S+):(\d+) - (\d+) "
        rb'"(\S+) IN (\S+) (\S+) (\d+) \S+ \d+" (\S+) (\S+) (\d+) (\S+)s$'
    ),
    "klog": re.compile(rb"^([IWEF])(\d{4} [\d:.]+)\s+(\d+) ([^\]]+)\] (.*)$"),
}

with Path(sys.argv[2]).open("rb") as file:
    rows = [found.groups() for found in map(LINES[sys.argv[1]].match, file) if found]
print(len(rows))
