"""A node's kernel writes audit records far faster than before, or for nobody."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl
import pytest

from analyzer.detector import NotObservable
from analyzer.detectors.node.kernel_audit_flood import DETECTOR
from analyzer.facts.kernel_audit import KERNEL_AUDIT
from analyzer.frames import AUDIT_EVENTS, KERNEL_MESSAGES, LOG_SUPPRESSIONS, Table, empty
from analyzer.model import Confidence, Finding, Severity
from tests.build import at, frames_for, remarks, rows, run

Row = dict[str, Any]
Given = dict[Table, pl.LazyFrame]

HOST = "ip-10-0-12-33"
ONSET = 1200.0
"""Twenty quiet minutes, then the flood."""
FIRST = 1120
"""Serial of its first event."""


def record(time: float, serial: int, kind: str = "1300", *, host: str | None = HOST, text: str = "x" * 100) -> Row:
    return {
        "time": time,
        "audit_time": time,
        "kind": "audit",
        "audit_type": kind,
        "audit_serial": serial,
        "host": host,
        "text": text,
        "process": "runc",
        "count": 1,
    }


def quiet(start: float, end: float, serial: int, every: float = 10, **more: Any) -> list[Row]:
    """An event every ten seconds."""
    count = int((end - start) / every)
    return [record(start + i * every, serial + i, "1325", **more) for i in range(count)]


def flood(start: float, end: float, serial: int, rate: float = 30, every: float = 5, **more: Any) -> list[Row]:
    """`rate` events a second, of which one in five seconds is printed."""
    count = int((end - start) / every)
    return [record(start + i * every, serial + int(i * every * rate), **more) for i in range(count)]


def given(*messages: Row, source: str = "kern.log", **tables: pl.LazyFrame) -> Given:
    found: Given = {KERNEL_MESSAGES: rows(KERNEL_MESSAGES, *messages, source=source)}
    return found | ({AUDIT_EVENTS: tables["audit"]} if "audit" in tables else {})


def incident(end: float = ONSET + 600, **more: Any) -> list[Row]:
    """120 quiet events, then ten minutes of thirty a second: 17,851 to the last that is printed."""
    return [*quiet(0, ONSET, 1000, host=more.get("host", HOST)), *flood(ONSET, end, FIRST, **more)]


def daemonset(time: float, verb: str, name: str = "exec-audit") -> Row:
    event: Row = {"time": time, "stage_time": time, "stage": "ResponseComplete", "verb": verb, "resource": "daemonsets"}
    event |= {"namespace": "security", "name": name, "code": 200, "api_group": "apps", "audit_id": f"{name}{time}"}
    return event | {
        "user": "system:serviceaccount:platform:deployer",
        "user_agent": "kubectl/v1.36.2",
    }


def audit(*events: Row) -> pl.LazyFrame:
    return rows(AUDIT_EVENTS, *(one | {"number": i + 1} for i, one in enumerate(events)), source="audit.log")


def setting(time: float, serial: int, text: str) -> Row:
    return record(time, serial, "1305", text=f"audit: type=1305 audit(1.000:{serial}): {text} res=1")


def figures(finding: Finding) -> dict[str, int | float]:
    return {figure.name: figure.value for figure in finding.impact}


def test_fires_where_the_rate_of_serials_steps_up() -> None:
    [finding] = run(DETECTOR, given(*incident()))
    assert finding.subject == HOST
    assert figures(finding) == {
        "records by serial": 17_851,
        "rate before": pytest.approx(0.1, abs=0.02),
        "rate during": pytest.approx(30, abs=0.1),
        "records not in the log": 17_851 - 120,
        "messages suppressed": 0,
        "records lost by the full queue": 0,
        "log per day at this rate": pytest.approx(100 * 30 * 86_400, rel=0.01),
    }
    assert (finding.start, finding.end) == (at(ONSET), at(ONSET + 595))
    assert (finding.severity, finding.confidence) == (Severity.MEDIUM, Confidence.MEDIUM)
    assert finding.summary.startswith(f"17,851 audit events of {HOST} in 9.9 min, 30.0 a second, ")
    assert "mostly SYSCALL" in finding.summary
    assert finding.stories == (12,)
    assert finding.evidence.tables[0].rows[0] == ("SYSCALL", 120, 1.0, 12_000, "runc")
    assert finding.saving is not None
    assert finding.saving.observed == 17_851
    assert finding.saving.modelled == pytest.approx(60, abs=12)
    assert finding.evidence.series[0].values[0] == pytest.approx(0.1)
    assert finding.evidence.series[0].values[21] == pytest.approx(30)
    assert ("kern.log", 121) in {(one.source, one.number) for one in finding.evidence.records}
    assert any("auditctl" in command for command in finding.verify)


def test_the_type_that_fills_the_log_is_named_and_can_be_excluded() -> None:
    [finding] = run(DETECTOR, given(*quiet(0, ONSET, 1000), *flood(ONSET, ONSET + 600, FIRST, kind="1325")))
    assert "NETFILTER_CFG" in finding.summary
    assert "msgtype=NETFILTER_CFG" in finding.remedies[0].snippet
    assert finding.alternatives[-1].modelled == 0


def builds(share: float) -> list[Row]:
    """A node of builds: of its events that share are changes of iptables, the others calls that a rule asks for."""
    events = flood(ONSET, ONSET + 600, FIRST)
    kinds = ["1325" if i < share * len(events) else "1300" for i in range(len(events))]
    return [one | {"audit_type": kind} for one, kind in zip(events, kinds, strict=True)]


@pytest.mark.parametrize(("share", "severity"), [(0.79, Severity.MEDIUM), (0.8, Severity.LOW)])
def test_changes_of_the_firewall_that_pods_make_are_low(share: float, severity: Severity) -> None:
    [finding] = run(DETECTOR, given(*quiet(0, ONSET, 1000), *builds(share)))
    assert finding.severity is severity
    assert finding.variant == ("changes of the firewall" if severity is Severity.LOW else "")
    assert (finding.confidence is Confidence.LOW) is (severity is Severity.LOW)
    assert ("kube-proxy and the CNI make one for each pod" in finding.why) is (severity is Severity.LOW)


def test_changes_of_the_firewall_are_no_ordinary_load_where_auditing_was_turned_on_or_events_are_lost() -> None:
    change = setting(ONSET - 1, 1500, "op=set audit_enabled=1 old=0 auid=4294967295 ses=4294967295")
    written = audit(daemonset(ONSET - 600, "create"))
    usual = [*quiet(0, ONSET, 1000), *builds(1)]
    for evidence in (given(*usual, change), given(*usual, audit=written)):
        [finding] = run(DETECTOR, evidence)
        assert (finding.severity, finding.variant) == (Severity.MEDIUM, "")
    [big] = run(DETECTOR, given(*usual[:120], *(one | {"text": "x" * 5000} for one in builds(1))))
    assert big.severity is Severity.HIGH


def test_the_rule_that_asks_for_the_events_is_named() -> None:
    text = 'type=1300 audit(1.000:1): arch=c000003e syscall=59 comm="runc" key="exec"'
    [finding] = run(DETECTOR, given(*incident(text=text)))
    assert finding.remedies[0].snippet == "auditctl -D -k exec\n"
    hostile = text.replace('"exec"', '"x; reboot"')
    [finding] = run(DETECTOR, given(*incident(text=hostile)))
    assert all("reboot" not in remedy.snippet for remedy in finding.remedies)


@pytest.mark.parametrize(("rate", "fires"), [(4.9, False), (5.1, True)])
def test_five_a_second_are_the_threshold(rate: float, fires: bool) -> None:
    found = run(DETECTOR, given(*quiet(0, ONSET, 1000), *flood(ONSET, ONSET + 1200, FIRST, rate=rate)))
    assert bool(found) is fires


@pytest.mark.parametrize(("rate", "fires"), [(9.5, False), (10.6, True)])
def test_ten_times_the_quiet_rate_is_the_threshold(rate: float, fires: bool) -> None:
    """One a second before."""
    found = run(DETECTOR, given(*quiet(0, ONSET, 1000, every=1), *flood(ONSET, ONSET + 1200, 2200, rate=rate)))
    assert bool(found) is fires


@pytest.mark.parametrize(("rate", "fires"), [(99, False), (101, True)])
def test_a_hundred_a_second_are_too_many_whatever_was_before(rate: float, fires: bool) -> None:
    """Eleven a second before."""
    before = flood(0, ONSET, 1000, rate=11)
    found = run(DETECTOR, given(*before, *flood(ONSET, ONSET + 1200, 1000 + 11 * 1200, rate=rate)))
    assert [round(figures(one)["rate before"]) for one in found] == [11] * fires


@pytest.mark.parametrize(("minutes", "fires"), [(2, False), (3, True)])
def test_three_minutes_are_the_threshold(minutes: int, fires: bool) -> None:
    end = ONSET + 60 * minutes
    last = FIRST + 30 * 60 * minutes
    rest = quiet(end, end + 600, last)
    assert bool(run(DETECTOR, given(*incident(end=end), *rest))) is fires


@pytest.mark.parametrize(("rate", "fires"), [(19, False), (21, True)])
def test_without_a_quiet_time_twenty_a_second_are_the_threshold(rate: float, fires: bool) -> None:
    found = run(DETECTOR, given(*flood(0, 1800, 5_000_000, rate=rate)))
    assert bool(found) is fires
    for finding in found:
        assert "rate before" not in figures(finding)
        assert "no quiet time" in finding.confidence_reason


def test_a_setting_of_the_kernel_at_the_onset_makes_it_sure() -> None:
    change = setting(ONSET - 1, 1500, "op=set audit_enabled=1 old=0 auid=4294967295 ses=4294967295")
    rule = setting(ONSET - 0.5, 1501, 'op=add_rule auid=0 key="exec" list=4')
    [finding] = run(DETECTOR, given(*incident(), change, rule))
    assert finding.confidence is Confidence.HIGH
    told = finding.evidence.tables[1].rows
    assert [row[1:] for row in told] == [("audit system", "audit_enabled 0 to 1"), ("audit system", "rule")]


def test_a_daemonset_before_the_onset_is_named() -> None:
    written = audit(daemonset(ONSET - 1700, "create"), daemonset(ONSET - 1900, "create", "too-early"))
    [finding] = run(DETECTOR, given(*incident(), audit=written))
    assert finding.confidence is Confidence.HIGH
    assert "DaemonSet security/exec-audit" in finding.why
    assert finding.variant == ""


def test_fires_on_what_outlives_its_writer() -> None:
    """Deleted two minutes after the onset; 465 s of thirty a second follow, less the first pause of five."""
    changed = audit(daemonset(ONSET - 60, "create"), daemonset(ONSET + 122, "delete"))
    [finding] = run(DETECTOR, given(*incident(), audit=changed))
    assert finding.variant == "persists after its writer's removal"
    assert figures(finding)["records after the writer's removal"] == (595 - 125) * 30 + 1
    assert finding.stories == (12, 20)
    assert finding.saving is not None
    assert finding.saving.modelled == 17_851 - (595 - 125) * 30 - 1
    assert finding.remedies[0].text.startswith("Turn the audit system of the node off")


def test_a_daemon_that_leaves_is_a_removal_too() -> None:
    gone = setting(ONSET + 100, 5001, "op=set audit_pid=0 old=1311 auid=4294967295")
    [finding] = run(DETECTOR, given(*incident(), gone))
    assert finding.variant == "persists after its writer's removal"


def test_silent_on_a_removal_that_ended_it() -> None:
    """The flood goes on for less than five minutes: the queue was written."""
    changed = audit(daemonset(ONSET - 60, "create"), daemonset(ONSET + 400, "delete"))
    [finding] = run(DETECTOR, given(*incident(), audit=changed))
    assert finding.variant == ""
    assert "records after the writer's removal" not in figures(finding)


def test_a_daemonset_of_another_kind_is_no_writer() -> None:
    [finding] = run(DETECTOR, given(*incident(), audit=audit(daemonset(ONSET + 100, "delete", "log-agent"))))
    assert finding.variant == ""
    [finding] = run(DETECTOR, given(*incident(), audit=audit(daemonset(ONSET + 100, "delete", "auditbeat"))))
    assert finding.variant == "persists after its writer's removal"


def test_what_the_kernel_says_of_its_queue_is_counted() -> None:
    extra = [
        {"time": ONSET + 100 + i, "kind": "audit", "host": HOST, "count": 1, "text": text}
        for i, text in enumerate(
            (
                "audit: audit_backlog=65 > audit_backlog_limit=64",
                "audit: audit_lost=7 audit_rate_limit=0 audit_backlog_limit=64",
                "audit: audit_lost=26 audit_rate_limit=0 audit_backlog_limit=64",
            )
        )
    ]
    limited = {"time": ONSET + 110, "kind": "suppressed", "host": HOST, "count": 340}
    limited["text"] = "kauditd_printk_skb: 340 callbacks suppressed"
    other = limited | {"text": "net_ratelimit: 340 callbacks suppressed"}
    base = given(*incident(), *extra, limited, other)
    journal = {"time": ONSET + 120, "host": HOST, "component": "kernel", "kind": "left out", "count": 11}
    [finding] = run(DETECTOR, base | {LOG_SUPPRESSIONS: rows(LOG_SUPPRESSIONS, journal, source="journal")})
    assert figures(finding)["records lost by the full queue"] == 20
    assert figures(finding)["records that waited at most"] == 65
    assert figures(finding)["messages suppressed"] == 351
    assert finding.severity is Severity.HIGH


@pytest.mark.parametrize(("length", "severity"), [(4_100, Severity.MEDIUM), (4_200, Severity.HIGH)])
def test_ten_gibibytes_a_day_are_the_threshold_of_high(length: int, severity: Severity) -> None:
    [finding] = run(DETECTOR, given(*incident(text="x" * length)))
    assert finding.severity is severity


def test_silent_on_a_boot_and_says_so() -> None:
    boot = {"time": ONSET - 1, "kind": "boot", "host": HOST, "text": "Linux version 6.8.0", "count": 1}
    after = quiet(ONSET + 240, ONSET + 1800, 7300)
    messages = [*quiet(0, ONSET - 60, 60_000), boot, *flood(ONSET, ONSET + 240, 1), *after]
    assert run(DETECTOR, given(*messages)) == []
    [remark] = remarks(DETECTOR, given(*messages))
    assert "follow its boot" in remark


def test_silent_on_a_boot_that_only_the_serials_tell() -> None:
    messages = [*quiet(0, ONSET, 60_000), *flood(ONSET, ONSET + 240, 1), *quiet(ONSET + 240, ONSET + 1800, 7300)]
    assert run(DETECTOR, given(*messages)) == []


def test_fires_on_a_flood_that_outlasts_the_boot() -> None:
    boot = {"time": ONSET - 1, "kind": "boot", "host": HOST, "text": "Linux version 6.8.0", "count": 1}
    [finding] = run(DETECTOR, given(*quiet(0, ONSET - 60, 60_000), boot, *flood(ONSET, ONSET + 1200, 1)))
    assert figures(finding)["records by serial"] == 1195 * 30 + 1


@pytest.mark.parametrize("kind", ["1400", "AVC", "USER_AVC"])
def test_silent_on_a_burst_of_denials_and_says_so(kind: str) -> None:
    messages = [*incident(kind=kind, end=ONSET + 590), *quiet(ONSET + 590, ONSET + 1800, FIRST + 17_700)]
    assert run(DETECTOR, given(*messages)) == []
    [remark] = remarks(DETECTOR, given(*messages))
    assert "denials of a security module" in remark


@pytest.mark.parametrize(("others", "fires"), [(5, False), (4, True)])
def test_four_of_five_are_the_threshold_of_denials(others: int, fires: bool) -> None:
    """Each fifth, or each fourth, record is of the firewall."""
    mixed = [
        row | {"audit_type": "1325" if number % others == 0 else "1400"}
        for number, row in enumerate(flood(ONSET, ONSET + 300, FIRST))
    ]
    found = run(DETECTOR, given(*quiet(0, ONSET, 1000), *mixed, *quiet(ONSET + 300, ONSET + 900, FIRST + 9000)))
    assert bool(found) is fires
    assert all(one.variant == "" for one in found)


@pytest.mark.parametrize(("every", "named"), [(10, True), (12, False)])
def test_a_tenth_of_the_events_is_the_threshold_of_a_type_that_is_named(every: int, named: bool) -> None:
    mixed = [
        row | {"audit_type": "1334" if number % every == 0 else "1325"}
        for number, row in enumerate(flood(ONSET, ONSET + 600, FIRST))
    ]
    [finding] = run(DETECTOR, given(*quiet(0, ONSET, 1000), *mixed))
    assert ("BPF" in finding.summary) is named


def test_fires_on_denials_that_do_not_end() -> None:
    [finding] = run(DETECTOR, given(*incident(kind="1400", end=ONSET + 1500)))
    assert finding.variant == "denials of a security module"


def test_silent_on_the_cured_node_and_on_a_jump_that_no_kernel_makes() -> None:
    assert run(DETECTOR, given(*quiet(0, 3600, 1000))) == []
    jump = [*quiet(0, ONSET, 1000), *quiet(ONSET, ONSET + 1200, 10**15)]
    assert run(DETECTOR, given(*jump)) == []


def test_a_call_that_lasted_does_not_shift_the_serials() -> None:
    """Its stamp is of its beginning, its serial of its end."""
    long = record(600, 15_000)
    [finding] = run(DETECTOR, given(*incident(), long))
    assert figures(finding)["records by serial"] == 17_851


def test_two_nodes_have_a_finding_each() -> None:
    first, second = incident(), incident(host="ip-10-0-12-34")
    frame = pl.concat([rows(KERNEL_MESSAGES, *part, source=name) for part, name in ((first, "a"), (second, "b"))])
    assert [one.subject for one in run(DETECTOR, {KERNEL_MESSAGES: frame})] == [HOST, "ip-10-0-12-34"]


def test_of_many_nodes_ten_have_a_finding_and_the_others_are_counted() -> None:
    parts = [
        rows(KERNEL_MESSAGES, *incident(host=f"n{i:02}", end=ONSET + 300 + 10 * (11 - i)), source=f"{i}")
        for i in range(12)
    ]
    frames: Given = {KERNEL_MESSAGES: pl.concat(parts)}
    assert [one.subject for one in run(DETECTOR, frames)] == [f"n{i:02}" for i in range(10)]
    assert remarks(DETECTOR, frames) == ["2 more floods of audit events are like these."]


def test_the_audit_daemons_log_of_the_same_node_is_no_second_node() -> None:
    names = {"1325": "NETFILTER_CFG", "1300": "SYSCALL"}
    daemon = [one | {"host": None, "audit_type": names[one["audit_type"]]} for one in incident()]
    parts = [rows(KERNEL_MESSAGES, *part, source=name) for part, name in ((incident(), "j"), (daemon, "audit.log"))]
    [finding] = run(DETECTOR, {KERNEL_MESSAGES: pl.concat(parts)})
    assert figures(finding)["records by serial"] == 17_851


def test_unrelated_rows_change_nothing_and_without_the_evidence_there_is_no_finding() -> None:
    base = given(*incident())
    noise: Iterable[Row] = (
        {"time": i * 3.0, "kind": "other", "host": HOST, "text": "eth0: link", "count": 1} for i in range(500)
    )
    more = pl.concat([base[KERNEL_MESSAGES], rows(KERNEL_MESSAGES, *noise, source="noise")])
    assert [f.impact for f in run(DETECTOR, {KERNEL_MESSAGES: more})] == [f.impact for f in run(DETECTOR, base)]
    without = base[KERNEL_MESSAGES].filter(pl.col("audit_serial") < FIRST)
    assert run(DETECTOR, {KERNEL_MESSAGES: without}) == []


def test_silent_on_no_rows_and_on_rows_without_a_time() -> None:
    for frame in (
        empty(KERNEL_MESSAGES).lazy(),
        given(record(0, 1) | {"time": None, "audit_time": None})[KERNEL_MESSAGES],
    ):
        with pytest.raises(NotObservable):
            run(DETECTOR, {KERNEL_MESSAGES: frame})


def test_the_fact_names_types_and_settings() -> None:
    messages = [
        record(0, 1, "UNKNOWN[1334]"),
        record(1, 2, "9999"),
        setting(2, 3, "op=set audit_backlog_limit=8192 old=64 auid=1"),
    ]
    fact = frames_for([KERNEL_AUDIT], given(*messages))[KERNEL_AUDIT].collect()
    assert fact["type"].to_list() == ["BPF", "9999", "CONFIG_CHANGE"]
    assert fact.select("setting", "before", "value").row(2) == ("audit_backlog_limit", 64, 8192)
