"""A redacted result: the same findings, no name, and back again in every form."""

from __future__ import annotations

import html
import stat
from pathlib import Path

import pytest

from analyzer.cli.options import Kind
from analyzer.cli.output import rendered
from analyzer.model import Finding, Result
from analyzer.model.codec import decode, encode
from analyzer.pipeline import RunOptions, investigate
from analyzer.redact import Map, atoms_of, redacted, shown_again
from tests.cases import CAPTURES, CASES, committed
from tests.cli.test_cli import analyze

KEY = bytes(range(32)).hex()

NAMES = ("payments", "charge-api", "10.244.33.4", "node-agent", "queue-operator", "logistics", "ip-10-0-12-33")
"""Of the case `outage`: a namespace, workloads, an address, an agent, a node."""


def same(finding: Finding) -> tuple[object, ...]:
    figures = tuple((f.name, f.value, f.unit) for f in finding.impact)
    records = tuple((record.number, record.time) for record in finding.evidence.records)
    return finding.detector, finding.severity, finding.confidence, finding.start, finding.end, figures, records


@pytest.mark.parametrize("case", CASES)
def test_findings_are_identical_both_ways_and_the_json_comes_back_byte_for_byte(case: str) -> None:
    result = committed(case)
    kept = Map(key=KEY)
    hidden = redacted(result, kept, {})
    assert [[same(finding) for finding in run.findings] for run in hidden.runs] == [
        [same(finding) for finding in run.findings] for run in result.runs
    ]
    assert decode(shown_again(encode(hidden).decode(), kept).encode()) == result


@pytest.fixture(scope="module")
def both() -> tuple[Result, Result, Map]:
    inputs, kept = (CAPTURES / "outage",), Map(key=KEY)
    return investigate(RunOptions(inputs=inputs)), investigate(RunOptions(inputs=inputs, names=kept)), kept


@pytest.mark.parametrize("kind", list(Kind))
def test_no_form_holds_a_name_and_each_comes_back(kind: Kind, both: tuple[Result, Result, Map]) -> None:
    whole, hidden, kept = both
    text = rendered(hidden, kind).decode()
    assert [name for name in NAMES if name in html.unescape(text)] == []
    again = " ".join(html.unescape(shown_again(text, kept)).split())
    assert [name for name in NAMES if name not in again] == []
    assert [finding.key for finding in whole.findings if finding.summary not in again] == []


def test_every_name_of_the_tables_is_hidden(both: tuple[Result, Result, Map]) -> None:
    whole, hidden, kept = both
    named = {
        original for token, original in kept.tokens.items() if token.startswith(("ns-", "pod-", "user-", "object-"))
    }
    assert named >= {"payments", "logistics", "charge-api-vq9l8fbmb-2phr8", "queue-operator"}
    assert named & atoms_of(hidden) == set()
    assert named <= atoms_of(whole)


def test_curves_and_heat_maps_hide_agents_and_keep_their_figures(both: tuple[Result, Result, Map]) -> None:
    whole, hidden, kept = both
    [heat], [shown] = whole.heats, hidden.heats
    assert (heat.id, heat.unit, heat.title) == (shown.id, shown.unit, shown.title)
    assert [lane.values for lane in heat.lanes] == [lane.values for lane in shown.lanes]
    assert "node-agent" in {lane.name for lane in heat.lanes} - {lane.name for lane in shown.lanes}
    assert [shown_again(lane.name, kept) for lane in shown.lanes] == [lane.name for lane in heat.lanes]
    assert whole.curves == hidden.curves  # codes and verbs are nobody's name


def test_the_map_is_private_and_undoes_the_page(tmp_path: Path) -> None:
    case = CAPTURES / "imds-hop-limit"
    plain = analyze("postmortem", case, "-f", "text", cwd=tmp_path).stdout
    done = analyze("postmortem", case, "--redact", "-o", "r.txt", cwd=tmp_path)
    assert done.returncode == 0
    assert stat.S_IMODE((tmp_path / "r.txt.names.json").stat().st_mode) == 0o600
    assert b"10.244.33.18" in plain
    assert b"10.244.33.18" not in (tmp_path / "r.txt").read_bytes() + done.stderr
    again = analyze("unredact", "r.txt", "--map", "r.txt.names.json", cwd=tmp_path).stdout
    assert b"10.244.33.18" in again


def test_a_setting_that_names_somebody_is_hidden() -> None:
    kept = Map(key=KEY)
    settings = {"cryptominer-traffic": {"own_pools": "pool.acmepay.example"}}
    options = RunOptions(inputs=(CAPTURES / "imds-hop-limit",), overrides=(settings,), names=kept)
    hidden = investigate(options)
    assert b"acmepay" not in encode(hidden)
    assert b"acmepay" in shown_again(encode(hidden).decode(), kept).encode()


def test_a_map_is_never_written_over_by_a_report_or_where_nothing_can_be_written(tmp_path: Path) -> None:
    case = CAPTURES / "imds-hop-limit"
    for place in ("r.json", "./r.json"):
        done = analyze("postmortem", case, "--redact", "-o", "r.json", "--map", place, cwd=tmp_path)
        assert done.returncode == 2
        assert b"another name" in done.stderr
    (tmp_path / "folder").mkdir()
    assert analyze("postmortem", case, "--redact", "-o", "r.json", "--map", "folder", cwd=tmp_path).returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_second_report_with_the_same_map_has_the_same_names(tmp_path: Path) -> None:
    words = ("postmortem", CAPTURES / "imds-hop-limit", "--redact", "--map", "m.json")
    first = analyze(*words, "-f", "json", cwd=tmp_path).stdout
    assert analyze(*words, "-f", "json", cwd=tmp_path).stdout == first


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("postmortem", "x.log", "--redact", "-f", "json"), b"say with --map"),
        (("postmortem", "x.log", "--map", "m.json"), b"with --redact only"),
        (("postmortem", "x.log", "--redact", "--map", "x.log"), b"not a map"),
        (("unredact", "x.log", "--map", "x.log"), b"not a map"),
        (("unredact", "none", "--map", "none"), b"cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(tmp_path: Path, words: tuple[str, ...], said: bytes) -> None:
    (tmp_path / "x.log").write_text("x\n")
    done = analyze(*words, cwd=tmp_path)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert said in done.stderr
