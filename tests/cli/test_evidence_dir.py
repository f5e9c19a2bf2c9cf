"""`--evidence-dir`: whole or not at all, linked from the report, and never at the cost of anybody's files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analyzer.cli.evidence import write_evidence
from analyzer.pipeline import Slices
from tests.cli.test_cli import COREDNS, analyze, storm

CAPTURE = Path(__file__).parents[2] / "captures" / "imds-credential-storm" / "node.pcap.gz"

HELD = ["F1.coredns.log", "findings.json", "index.json"]


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    folder = tmp_path / "evidence"
    folder.mkdir()
    (folder / "coredns.log").write_text(COREDNS + storm())
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_beside_the_page_that_leads_to_it(evidence: Path, tmp_path: Path) -> None:
    out = ("-o", "out/report.html", "-o", "out/report.md", "-o", "result.json")
    done = analyze("postmortem", "evidence", "--evidence-dir", "out/a b:c", *out, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert b"wrote out/a b:c (3 files, " in done.stderr
    folder = tmp_path / "out" / "a b:c"
    assert names(folder) == HELD
    assert 'href="a%20b%3Ac/F1.coredns.log"' in (tmp_path / "out" / "report.html").read_text()
    assert "- F1: [F1.coredns.log](a%20b%3Ac/F1.coredns.log)" in (tmp_path / "out" / "report.md").read_text()
    assert (folder / "findings.json").read_bytes() == (tmp_path / "result.json").read_bytes()
    log = (evidence / "coredns.log").read_text().splitlines()
    index = json.loads((folder / "index.json").read_text())
    [made] = index["findings"][0]["slices"]
    slices = (folder / made["file"]).read_text().splitlines()
    assert slices == [log[line["number"] - 1] for line in made["lines"]]
    assert names(tmp_path) == ["evidence", "out", "result.json"]


def test_the_result_does_not_know_of_it_and_a_rerun_gives_the_same_bytes(evidence: Path, tmp_path: Path) -> None:
    plain = analyze("coredns-logs", "evidence", "-f", "json", cwd=tmp_path).stdout
    words = ("coredns-logs", "evidence", "-f", "json", "--evidence-dir")
    assert analyze(*words, "one", cwd=tmp_path).stdout == plain
    analyze(*words, "two", cwd=tmp_path)
    first = {name: (tmp_path / "one" / name).read_bytes() for name in HELD}
    assert {name: (tmp_path / "two" / name).read_bytes() for name in HELD} == first
    # its own folder is replaced, and no file of the one before stays
    (tmp_path / "one" / "F9.pcapng").write_bytes(b"")
    assert analyze(*words, "one", cwd=tmp_path).returncode == 0
    assert {name: (tmp_path / "one" / name).read_bytes() for name in names(tmp_path / "one")} == first
    assert names(tmp_path) == ["evidence", "one", "two"]


def test_a_folder_below_an_input_is_no_evidence(evidence: Path, tmp_path: Path) -> None:
    words = ("postmortem", "evidence", "-f", "json")
    plain = analyze(*words, cwd=tmp_path).stdout
    assert analyze(*words, "--evidence-dir", "evidence/slices", cwd=tmp_path).stdout == plain
    assert analyze(*words, "--evidence-dir", "evidence/slices", cwd=tmp_path).stdout == plain
    later = json.loads(analyze(*words, cwd=tmp_path).stdout)
    assert [(one["path"], one["kind"]) for one in later["inputs"]] == [
        ("coredns.log", "coredns"),
        ("slices", "refused"),
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--evidence-dir", "foreign"], b"foreign holds what this tool did not write"),
        (["--evidence-dir", "added"], b"added holds what this tool did not write"),
        (["--evidence-dir", "foreign/notes.txt"], b"is a file"),
        (["--evidence-dir", "evidence"], b"is an input and lies in"),
        (["--evidence-dir", ".", "--force"], b"is an input and lies in"),
        (["--evidence-dir", "new", "-o", "new/report.html"], b"would lie in"),
        (["--evidence-dir", "evidence/deep", "--force"], b"lies in a directory of inputs"),
    ],
)
def test_what_it_would_destroy_is_refused(words: list[str], told: bytes, evidence: Path, tmp_path: Path) -> None:
    for name in ("foreign", "evidence/deep", "added"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.txt").write_text("mine")
    (tmp_path / "added" / "index.json").write_text('{\n "schema": "analyzer-evidence/1"')
    done = analyze("postmortem", "evidence", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert names(tmp_path) == ["added", "evidence", "foreign"]
    assert all((tmp_path / name / "notes.txt").read_text() == "mine" for name in ("foreign", "evidence/deep", "added"))


def test_the_folder_in_which_it_runs_is_not_replaced_under_its_feet(evidence: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = analyze("postmortem", "../evidence", "--evidence-dir", ".", "-o", "../r.html", cwd=tmp_path / "empty")
    assert done.returncode == 2, done.stderr
    assert b"name a folder inside it" in done.stderr
    assert names(tmp_path) == ["empty", "evidence"]


def test_with_force_it_is_written_among_the_files_of_others(evidence: Path, tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "notes.txt").write_text("mine")
    (tmp_path / "foreign" / "F1.coredns.log").write_text("old")
    assert analyze("postmortem", "evidence", "--evidence-dir", "foreign", "--force", cwd=tmp_path).returncode == 0
    assert names(tmp_path / "foreign") == [*HELD[:-1], "index.json", "notes.txt"]
    assert (tmp_path / "foreign" / "notes.txt").read_text() == "mine"
    assert (tmp_path / "foreign" / "F1.coredns.log").read_text() != "old"


def test_redacted_slices_bear_the_names_of_the_redacted_report(evidence: Path, tmp_path: Path) -> None:
    words = ("--redact", "--map", "map.json", "-o", "r.json", "--evidence-dir", "slices")
    assert analyze("postmortem", "evidence", *words, cwd=tmp_path).returncode == 0
    slice_ = (tmp_path / "slices" / "F1.coredns.log").read_text()
    assert slice_
    everything = "".join(path.read_text() for path in (tmp_path / "slices").iterdir())
    assert "10.244.0.7" not in everything
    for line in slice_.splitlines():
        (tmp_path / "slice.txt").write_text(line)
        done = analyze("unredact", "slice.txt", "--map", "map.json", cwd=tmp_path)
        assert done.stdout.decode().strip() in (evidence / "coredns.log").read_text().splitlines()
    quoted = json.loads((tmp_path / "r.json").read_text())
    texts = [r["text"] for run in quoted["runs"] for f in run["findings"] for r in f["evidence"]["records"]]
    assert slice_.splitlines() == [text for text in texts if text in slice_.splitlines()]


def test_a_case_is_sliced_while_its_inputs_are_there_and_says_when_they_are_gone(
    evidence: Path, tmp_path: Path
) -> None:
    analyze("ingest", "evidence", "--case", "kept", cwd=tmp_path)
    analyze("postmortem", "evidence", "--evidence-dir", "fresh", cwd=tmp_path)
    analyze("postmortem", "kept", "--evidence-dir", "again", cwd=tmp_path)
    slices = [(tmp_path / name / "F1.coredns.log").read_bytes() for name in ("fresh", "again")]
    assert slices[0] == slices[1]
    (evidence / "coredns.log").unlink()
    done = analyze("postmortem", "kept", "--evidence-dir", "again", "-o", "again.html", cwd=tmp_path)
    assert done.returncode == 0
    assert names(tmp_path / "again") == ["findings.json", "index.json"]
    [left] = json.loads((tmp_path / "again" / "index.json").read_text())["findings"][0]["left_out"]
    assert (left["source"], left["reason"][:34]) == ("coredns.log", "the input cannot be opened again, ")
    assert 'href="again/' not in (tmp_path / "again.html").read_text()


def test_it_says_what_is_in_no_slice_and_why(tmp_path: Path) -> None:
    entry = {"left_out": [{"source": "a.pcap", "numbers": [3, 9], "reason": "packets hold names"}]}
    slices = Slices({"index.json": json.dumps({"schema": "x", "findings": [entry, {"left_out": []}]}).encode()})
    told = write_evidence(tmp_path / "slices", slices)
    assert told[1:] == [f"left out of {tmp_path / 'slices'}: 2 records: packets hold names"]


def test_a_redacted_report_says_that_packets_are_in_no_slice(tmp_path: Path) -> None:
    words = ("--redact", "-o", "r.html", "--evidence-dir", "slices")
    done = analyze("postmortem", CAPTURE, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert b"packets hold addresses and names, so none are written beside a redacted report" in done.stderr
