"""Formats of the log plugin that somebody configured: by --coredns-format, and JSON known by its keys."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from analyzer import sources
from analyzer.errors import UsageError
from analyzer.frames import COREDNS_QUERIES
from analyzer.sources.contract import ReadOptions
from analyzer.sources.coredns import SOURCE
from analyzer.sources.coredns.formats import COMBINED, COMMON, FORMAT_LIMIT, compile_format
from tests.sources.texts import Reading, read_text

LINE = '[INFO] 10.244.1.5:40000 - 1000 "A IN web.shop.svc.cluster.local. udp 54 false 1232" NXDOMAIN qr,aa,rd 147 0.5s'


def read(*lines: str, **options: Any) -> Reading:
    return read_text(SOURCE, lines, **options)


def rows(*lines: str, **options: Any) -> list[dict[str, Any]]:
    return read(*lines, **options).tables[COREDNS_QUERIES].to_dicts()


@pytest.mark.parametrize(("given", "line"), [(COMMON, LINE), ("{common}", LINE), (COMBINED, f'{LINE} "0"')])
def test_a_format_like_the_plugins_own_gives_the_same_row(given: str, line: str) -> None:
    assert rows(line, coredns_format=given) == rows(line)


def test_every_placeholder_of_the_plugin_is_known() -> None:
    given = (
        "{remote}|{port}|{local}|{>id}|{>opcode}|{type}|{class}|{name}|{proto}|{size}|{>do}|{>bufsize}|{rcode}|{>rflags}|"
        "{rsize}|{duration}|{/kubernetes/client-namespace}|{whatever}"
    )
    told = "[fd00::5]|40000|[fd00::a]|7|0|AAAA|IN|Web.example.com.|tcp|40|true|4096|NOERROR|qr,rd,ra|90|0.25s|shop|x y"
    line = f"[INFO] {told}"
    [row] = rows(f"2026-03-14T09:00:01Z {line}", coredns_format=given)
    assert {key: row[key] for key in ("client", "client_port", "dns_id", "qtype", "name", "transport")} == {
        "client": "fd00::5",
        "client_port": 40000,
        "dns_id": 7,
        "qtype": "AAAA",
        "name": "web.example.com",
        "transport": "tcp",
    }
    assert (row["query_bytes"], row["rcode"], row["flags"], row["answer_bytes"]) == (40, "NOERROR", "qr,rd,ra", 90)
    assert row["query_time"] == datetime(2026, 3, 14, 9, 0, 0, 750_000, tzinfo=UTC)


def test_what_a_format_leaves_out_is_null() -> None:
    [row] = rows("[INFO] A web.example.com.", coredns_format="{type} {name}")
    assert (row["qtype"], row["name"]) == ("A", "web.example.com")
    absent = ("client", "client_port", "dns_id", "rcode", "flags", "query_bytes", "answer_bytes", "duration_seconds")
    assert {row[key] for key in absent} == {None}


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("{type} {name} {rcode} {>rflags} {rsize}", "A a. NOERROR - 0"),  # until 1.8.4
        ("{type} {name} {rcode} {>rflags} {rsize}", "A a. - - 0"),  # until 1.14.4
        ("{type} {name} {rcode} {rsize}", "A a. NOERROR 0"),
        ("{type} {name} {rcode}", "A a. -"),
    ],
)
def test_a_query_without_an_answer_has_no_reply(given: str, line: str) -> None:
    assert rows(f"[INFO] {line}", coredns_format=given)[0]["rcode"] == "NO_REPLY"


def test_other_lines_are_still_what_they_are() -> None:
    reading = read(
        "[INFO] A a.", LINE, ".:53", "[ERROR] plugin/errors: 2 a. A: EOF", "x", coredns_format="{type} {name}"
    )
    assert reading.tables[COREDNS_QUERIES].height == 2
    assert reading.skipped == {"malformed line": 1}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("{remote} {name}", "--coredns-format lacks {type}: without it no line says what was asked"),
        ("{remote}", "--coredns-format lacks {name} and {type}: without them no line says what was asked"),
        ("{name} {type}" + "x" * FORMAT_LIMIT, f"--coredns-format has 1,037 characters, more than {FORMAT_LIMIT:,}"),
    ],
)
def test_a_format_that_names_no_question_is_refused_with_one_sentence(given: str, sentence: str) -> None:
    with pytest.raises(UsageError) as refused:
        compile_format(given)
    assert str(refused.value) == sentence


def test_signs_of_regular_expressions_in_a_format_are_only_signs() -> None:
    [row] = rows("[INFO] (A) [a.b.] .* $", coredns_format="({type}) [{name}] .* $")
    assert row["name"] == "a.b"
    assert rows("[INFO] (A) [a.b.] xx $", coredns_format="({type}) [{name}] .* $") == []


JSON = {
    "remote": "10.244.1.5",
    "port": "40000",
    "id": "1000",
    "type": "A",
    "class": "IN",
    "name": "web.shop.svc.cluster.local.",
    "proto": "udp",
    "size": "54",
    "rcode": "NXDOMAIN",
    "rflags": "qr,aa,rd",
    "rsize": "147",
    "duration": "0.5s",
}


def as_json(**other: Any) -> str:
    return f"[INFO] {json.dumps(JSON | other)}"


def test_json_is_known_by_its_keys() -> None:
    [row], [common] = rows(as_json()), rows(LINE)
    assert row == common | {"line_bytes": row["line_bytes"]}


def test_keys_may_be_spelt_as_people_spell_them_and_numbers_be_numbers() -> None:
    line = {"clientIP": "[fd00::5]:53", "query_name": "a.", "qtype": "AAAA", "Response-Code": "NOERROR", "rsize": 90}
    [row] = rows(json.dumps(line))
    assert (row["client"], row["client_port"], row["name"], row["rcode"]) == ("fd00::5", 53, "a", "NOERROR")
    assert row["answer_bytes"] == 90


def test_json_may_be_given_as_a_format_too() -> None:
    given = '{"remote":"{remote}","q":"{name}","t":"{type}","c":"{rcode}"}'
    [row] = rows('[INFO] {"remote":"10.0.0.1","q":"a.","t":"A","c":"NXDOMAIN"}', coredns_format=given)
    assert (row["client"], row["name"], row["qtype"], row["rcode"]) == ("10.0.0.1", "a", "A", "NXDOMAIN")


@pytest.mark.parametrize(
    "damaged",
    [
        as_json()[:-9],
        as_json(remote="10.0.0.555"),
        as_json(rcode="<script>"),
        as_json(id="99999"),
        as_json(name="no dot"),
        as_json(duration="nans"),
        "[INFO] " + '{"a":' * 100_000,
        '[INFO] {"name": "a.", "type": ["A"]}',
    ],
)
def test_damage_in_json_costs_its_line(damaged: str) -> None:
    reading = read(as_json(), damaged, as_json())
    assert reading.column(COREDNS_QUERIES, "number") == [1, 3]
    assert reading.report.skipped == 1


def test_a_log_of_json_is_recognised_and_other_json_is_not() -> None:
    def confidence(*lines: str) -> float:
        match = SOURCE.identify("".join(f"{line}\n" for line in lines).encode())
        return match.confidence if match else 0.0

    assert confidence(as_json(), as_json()) > 0.9
    assert confidence(json.dumps({"log": f"{as_json()}\n", "stream": "stdout", "time": "2026-03-14T09:00:00Z"})) > 0.9
    assert confidence('{"kind":"Event","name":"web","type":"Warning"}') < 0.3
    assert confidence('{"name":"web.example.com.","status":200}') < 0.3


def known(*lines: str, given: str | None = None) -> str | None:
    """The kind that lines are taken for, where the options name that format."""
    found = sources.identify("".join(f"{line}\n" for line in lines).encode(), ReadOptions(coredns_format=given))
    return found[0].name if found is not None else None


OWN = [f"10.0.0.{n} asked web{n}.example.com. for A got NOERROR" for n in range(9)]
GIVEN = "{remote} asked {name} for {type} got {rcode}"


def test_a_log_in_the_format_that_was_given_is_recognised() -> None:
    assert known(*OWN) is None
    assert known(*OWN, given=GIVEN) == "coredns"
    assert known(*(f"2026-03-14T09:00:01Z stdout F {line}" for line in OWN), given=GIVEN) == "coredns"
    assert known(".:53", "CoreDNS-1.11.1", *OWN, given=GIVEN) == "coredns"


def test_logs_of_others_keep_their_kind_whatever_format_is_given() -> None:
    klog = [f'I0314 09:00:0{n}.000000    1234 prober.go:107] "Probe failed" pod="shop/web"' for n in range(9)]
    audit = json.dumps({"kind": "Event", "apiVersion": "audit.k8s.io/v1", "auditID": "a", "verb": "get"})
    for given in (GIVEN, "{type} {name}", "{type}{/any}{name}"):
        assert known(*klog, given=given) == "kubelet"
        assert known(audit, audit, given=given) == "audit"
        assert known("some words of another", "x", given=given) is None
        assert known(LINE, LINE, given=given) == "coredns"
