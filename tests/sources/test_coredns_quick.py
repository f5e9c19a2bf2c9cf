"""The quick way through a window gives the rows of the patient one, whatever stands in a line."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from analyzer.frames import COREDNS_QUERIES
from analyzer.sources.coredns import SOURCE
from analyzer.sources.coredns import lines as dispatch
from analyzer.sources.coredns.quick import Quick, quick_rows
from analyzer.sources.textwindow import Window
from tests.sources.texts import read_text

BODY = (
    '[INFO] 10.244.1.5:4000{n} - 100{n} "A IN web{n}.example.com. udp 54 false 1232" NXDOMAIN qr,aa,rd 147 0.00012{n}s'
)
WRAPS: dict[str, Callable[[str, int], str]] = {
    "raw": lambda line, n: line,
    "timestamps": lambda line, n: f"2026-03-14T09:00:0{n % 10}.12345678{n % 10}Z {line}",
    "CRI": lambda line, n: f"2026-03-14T09:00:0{n % 10}.5Z stdout F {line}",
    "CRI with an offset": lambda line, n: f"2026-03-14T09:00:0{n % 10}.123456789+02:00 stdout F {line}",
    "CRI without decimals": lambda line, n: f"2026-03-14T09:00:0{n % 10}Z stderr F {line}",
    "CRI around midnight": lambda line, n: f"2026-0{2 + n % 2}-{28 if n % 2 == 0 else '01'}T23:59:59Z stdout F {line}",
}
LETTERS = ' .:-"\\,/0123456789AZazTFP[]+sZ\t\0é'


def line(n: int) -> str:
    return BODY.replace("{n}", str(n % 10))


def outcome(text: bytes) -> tuple[object, ...]:
    reading = read_text(SOURCE, text)
    return reading.tables[COREDNS_QUERIES].to_dicts(), reading.report


def patiently(text: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[object, ...]:
    with monkeypatch.context() as patch:
        patch.setattr(dispatch, "quick_rows", lambda window, lead: None)
        return outcome(text)


@pytest.mark.parametrize("wrap", WRAPS)
def test_it_takes_the_usual_line_under_every_wrapper(wrap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(f"{WRAPS[wrap](line(n), n)}\n" for n in range(50)).encode()
    lead = () if wrap == "raw" else ("stamp",) if wrap == "timestamps" else ("stamp", "stream", "part")
    found = quick_rows(Window(1, text), lead)
    assert isinstance(found, Quick)
    assert found.rows.height == 50
    assert not found.left.any()
    assert outcome(text) == patiently(text, monkeypatch)


@pytest.mark.parametrize("wrap", WRAPS)
def test_damage_anywhere_gives_what_the_patient_way_gives(wrap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(wrap)
    for _ in range(8):
        lines = [WRAPS[wrap](line(n), n) for n in range(60)]
        for at in chance.sample(range(60), 4):
            place = chance.randrange(len(lines[at]))
            cut = place + chance.randrange(3)
            lines[at] = lines[at][:place] + "".join(chance.choices(LETTERS, k=chance.randrange(3))) + lines[at][cut:]
        text = "".join(f"{one}\n" for one in lines).encode()
        assert outcome(text) == patiently(text, monkeypatch)


ODD = {
    "an upper case name": ("web5", "WEB5"),
    "an IPv6 client": ("10.244.1.5:", "[fd00::5]:"),
    "a mapped client": ("10.244.1.5:", "[::ffff:10.244.1.5]:"),
    "an address with a leading zero": ("10.244.1.5:", "10.244.1.05:"),
    "a long type": ("A IN", "NSEC3PARAM IN"),
    "a type by number": ("A IN", "TYPE65 IN"),
    "the root": ("web5.example.com.", "."),
    "all flags": ("qr,aa,rd", "qr,aa,tc,rd,ra,z,ad,cd"),
    "no answer": ("NXDOMAIN qr,aa,rd 147", "- - 0"),
    "tcp": (" udp ", " tcp "),
    "twelve seconds": ("0.000125s", "12.000125s"),
    "whole seconds": ("0.000125s", "2s"),
    "nanoseconds": ("0.000125s", "0.000125499s"),
    "half a microsecond": ("0.000125s", "0.0001255s"),
    "many decimals": ("0.000125s", "0.000125499123456s"),
    "more decimals than a double has": ("0.000125s", "9.123456789123456s"),
    "too many digits": ("0.000125s", "0.00000000000000000125s"),
    "the opcode": ("0.000125s", '0.000125s "0"'),
    "a large answer": (" 147 ", " 9999999 "),
    "an answer too large": (" 147 ", " 99999999 "),
    "an id of zeros": (" 1005 ", " 00001005 "),
    "an id beyond all": (" 1005 ", " 65536 "),
    "a port beyond all": (":40005", ":65536"),
    "an escaped space": ("web5", "we\\ b5"),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("wrap", ["raw", "CRI"])
def test_odd_values_give_what_the_patient_way_gives(wrap: str, odd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [WRAPS[wrap](line(n).replace(*ODD[odd]) if n == 5 else line(n), n) for n in range(40)]
    text = "".join(f"{one}\n" for one in lines).encode()
    assert outcome(text) == patiently(text, monkeypatch)


def test_blocks_of_a_large_window_follow_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.sources.coredns.quick.BLOCK", 1000)
    text = "".join(f"{WRAPS['CRI'](line(n), n)}\n" for n in range(500)).encode()
    assert outcome(text) == patiently(text, monkeypatch)
