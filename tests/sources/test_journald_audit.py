"""The kernel's audit records as journald writes them itself: the type first, neither stamp nor serial."""

from __future__ import annotations

from analyzer import sources
from analyzer.frames import KERNEL_MESSAGES
from analyzer.sources.kernel import SOURCE
from tests.sources.texts import read_text

JOURNALD = [
    "Nov 26 07:00:00 n1 kernel: Linux version 6.1.0",
    'Nov 26 07:00:01 n1 audit[812]: AVC apparmor="DENIED" operation="open" pid=812 comm="cat"',
    'Nov 26 07:00:01 n1 audit[812]: SYSCALL arch=c000003e syscall=257 success=no pid=812 comm="cat" key="exec"',
    "Nov 26 07:00:02 n1 audit: CONFIG_CHANGE op=set audit_enabled=1 old=0 auid=4294967295 ses=4294967295 res=1",
    "Nov 26 07:00:03 n1 audit[1]: AUDIT1334 prog-id=12 op=LOAD",
    "Nov 26 07:00:04 n1 audit[812]: no record",
]


def test_journalds_own_audit_lines_are_records_without_a_serial() -> None:
    reading = read_text(SOURCE, JOURNALD, year=2026)
    made = reading.rows(KERNEL_MESSAGES)
    assert [(one["number"], one["kind"], one.get("audit_type"), one.get("pid")) for one in made] == [
        (1, "boot", None, None),
        (2, "audit", "AVC", 812),
        (3, "audit", "SYSCALL", 812),
        (4, "audit", "CONFIG_CHANGE", None),
        (5, "audit", "AUDIT1334", None),
    ]
    assert {one.get("audit_serial") for one in made} == {None}
    assert made[2]["process"] == "cat"
    assert reading.skipped == {"not-a-record": 1}
    known = sources.identify("".join(f"{one}\n" for one in JOURNALD[1:5]).encode())
    assert known is not None
    assert known[0].name == "kernel"
