"""What an offset means: an order that can be told, a time zone, a shift."""

from __future__ import annotations

from typing import Any

import pytest

from analyzer.model import Offset
from analyzer.redact.words import ATOM, is_plain
from analyzer.story.clocks import in_words, ordered, remarks, shifts, spread, told, zone_of
from tests.build import T0


def offset(source: str, reference: str, seconds: float, spread: float = 0.01, **more: Any) -> Offset:
    known: dict[str, Any] = {"events": 9, "matched_by": "turns of pods"} | more
    return Offset(source=source, reference=reference, seconds=seconds, spread_seconds=spread, **known)


def test_an_order_needs_more_than_the_offset_and_its_spread() -> None:
    known = [offset("kubelet", "audit", 0.02, 0.03)]
    assert spread(known, "kubelet", "audit") == spread(known, "audit", "kubelet") == 0.05
    assert ordered(known, "audit", "kubelet", 0.051)
    assert not ordered(known, "audit", "kubelet", 0.05)
    assert not ordered(known, "audit", "kubelet", -0.05)


def test_an_offset_that_was_applied_leaves_its_spread() -> None:
    assert spread([offset("kubelet", "audit", 10800.0, 0.03, applied=True)], "audit", "kubelet") == 0.03


def test_inputs_that_have_a_reference_in_common_are_compared_over_it() -> None:
    known = [offset("n1", "audit", 2.0, 0.1), offset("n2", "audit", 1.5, 0.2)]
    assert spread(known, "n1", "n2") == pytest.approx(0.8)


def test_within_one_input_lines_are_in_order_and_where_nothing_compares_nothing_is_refused() -> None:
    assert spread([], "audit", "audit") == 0.0
    assert ordered([], "audit", "audit", 0.0)
    assert spread([offset("n1", "audit", 0)], "n1", "dns.pcap") is None
    assert ordered([], "n1", "dns.pcap", 0.001)


@pytest.mark.parametrize(
    ("hours", "zone"),
    [
        (3, "Etc/GMT-3"),
        (-5, "Etc/GMT+5"),
        (14, "Etc/GMT-14"),
        (5.5, "Asia/Kolkata"),
        (5.75, "Asia/Kathmandu"),
        (-3.5, "America/St_Johns"),
        (0, ""),
        (15, ""),
        (-13, ""),
        (7.5, ""),
        (0.25, ""),
    ],
)
def test_whole_hours_and_the_zones_between_them_are_named(hours: float, zone: str) -> None:
    assert zone_of(hours * 3600, T0, "UTC") == zone
    assert zone_of(hours * 3600 + 59, T0, "UTC") == zone
    assert zone_of(hours * 3600 + 61, T0, "UTC") == ""


def test_the_zone_is_told_from_the_one_that_was_assumed() -> None:
    # 14 March: Berlin is one hour ahead.
    assert zone_of(7200, T0, "Europe/Berlin") == "Etc/GMT-3"
    assert zone_of(-3600, T0, "Europe/Berlin") == "UTC"


def test_the_remark_names_the_option() -> None:
    [one] = told([offset("kubelet.log", "audit.log", 10799.9, 0.1)], {"kubelet.log": T0}, "UTC", {})
    assert one.remark == "3 h 00 min ahead of its reference: a time zone; read this input with --tz Etc/GMT-3"
    assert remarks([one]) == (f"Clock of kubelet.log: {one.remark} (audit.log; 9 turns of pods).",)
    [one] = told([offset("a.pcap", "b.pcap", -10799.9, 0.1)], {}, "UTC", {})
    assert one.remark.startswith("3 h 00 min behind its reference: a clock set to a time zone as if it were UTC;")
    [one] = told([offset("kubelet.log", "audit.log", 1.7, 0.1)], {"kubelet.log": T0}, "UTC", {})
    assert one.remark == "1.7 s ahead of its reference; --apply-offsets corrects it"
    [one] = told([offset("kubelet.log", "audit.log", 1.7, 0.1)], {}, "UTC", {("kubelet.log", ""): 1.7})
    assert (one.applied, one.remark) == (True, "1.7 s ahead of its reference; corrected")


def test_a_redacted_report_still_names_the_option() -> None:
    [one] = told([offset("kubelet.log", "audit.log", 10799.9, 0.1)], {"kubelet.log": T0}, "UTC", {})
    assert [atom for atom in ATOM.findall(one.remark) if not is_plain(atom)] == []


@pytest.mark.parametrize(("seconds", "spread_"), [(0.1, 0.0), (1.7, 0.6), (4000.0, 3900.0)])
def test_what_delivery_or_chance_explain_is_no_wrong_clock(seconds: float, spread_: float) -> None:
    [one] = told([offset("kubelet.log", "audit.log", seconds, spread_)], {}, "UTC", {})
    assert one.remark == ""
    assert shifts([one]) == {}


def test_packets_need_less_than_kubelets() -> None:
    assert shifts([offset("b.pcap", "a.pcap", 0.006, 0.0, matched_by="DNS queries")]) == {("b.pcap", ""): 0.006}
    assert shifts([offset("b.pcap", "a.pcap", 0.005, 0.0, matched_by="DNS queries")]) == {}


def test_a_shift_carries_what_was_compared_with_the_input_along() -> None:
    known = [offset("dns.log", "b.pcap", 0.5, matched_by="DNS queries"), offset("b.pcap", "a.pcap", 2.0)]
    assert shifts(known) == {("b.pcap", ""): 2.0, ("dns.log", ""): 2.5}
    agreed = [offset("dns.log", "b.pcap", 0.0, matched_by="DNS queries"), offset("b.pcap", "a.pcap", 2.0)]
    assert shifts(agreed) == {("b.pcap", ""): 2.0, ("dns.log", ""): 2.0}


def test_a_zone_is_taken_whole_where_the_rest_is_chance_and_the_best_reference_counts() -> None:
    assert shifts([offset("kubelet", "audit", 10799.9, 0.1)]) == {("kubelet", ""): 10800.0}
    assert shifts([offset("kubelet", "audit", 10805.0, 0.1)]) == {("kubelet", ""): 10805.0}
    two = [offset("kubelet", "audit-1", 2.0, 0.3), offset("kubelet", "audit-2", 1.8, 0.1)]
    assert shifts(two) == {("kubelet", ""): 1.8}


def test_each_wrong_clock_is_one_remark_and_many_are_counted() -> None:
    two = [offset("n1", f"audit-{i}", 5.0 + i, remark="wrong") for i in (1, 2)]
    assert len(remarks(two)) == 1
    many = [offset(f"n{i}", "audit", float(i + 1), remark="wrong") for i in range(7)]
    assert [text[:12] for text in remarks(many)] == [*(f"Clock of n{i}:"[:12] for i in (6, 5, 4, 3, 2)), "2 more clock"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(10799.9, "3 h 00 min"), (-19800, "5 h 30 min"), (150, "2 min 30 s"), (1.7, "1.7 s"), (0.012, "12 ms")],
)
def test_amounts_read_as_people_write_them(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_a_journal_of_several_hosts_has_a_clock_for_each_of_them() -> None:
    known = [offset("journal", "audit", 2.0, 0.1, host="n1"), offset("journal", "audit", 0.02, 0.1, host="n2")]
    assert shifts(known) == {("journal", "n1"): 2.0}
    assert spread(known, "journal", "audit") == pytest.approx(2.1)  # the host that agrees the least
    assert spread(known, "journal", "journal") == pytest.approx(2.18)  # of two lines either host may be the writer
    assert not ordered(known, "journal", "journal", 2.0)
    one, other = told(known, {}, "UTC", {})
    assert (one.remark, other.remark) == ("2 s ahead of its reference; --apply-offsets corrects it", "")
    assert remarks([one, other])[0].startswith("Clock of journal (n1): 2 s ahead")
    one, other = told(known, {}, "UTC", {("journal", "n1"): 2.0})
    assert (one.applied, other.applied) == (True, False)
