"""The command as its users meet it: exit codes, streams, files that appear whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from analyzer.cli.investigate import memory_of
from analyzer.errors import UsageError
from tests.sources.bundles import regular, special, tar

COREDNS = "".join(
    f"2026-03-14T09:00:{i:02d}.000000000Z [INFO] 10.244.0.5:4{i:04d} - {i} "
    f'"A IN api.shop.svc.cluster.local. udp 50 false 512" NOERROR qr,aa,rd 98 0.0001s\n'
    for i in range(20)
)


def storm() -> str:
    """A pod that walks three suffixes for 30 outside names."""
    lines = []
    for i in range(30):
        for j, suffix in enumerate((".shop.svc.cluster.local", ".svc.cluster.local", ".cluster.local", "")):
            rcode, flags = ("NOERROR", "qr,rd,ra") if not suffix else ("NXDOMAIN", "qr,aa,rd")
            lines.append(
                f"2026-03-14T09:{i:02d}:00.0{j}0000000Z [INFO] 10.244.0.7:4{i:03d}{j} - {i * 4 + j} "
                f'"A IN api.example.com{suffix}. udp 50 false 512" {rcode} {flags} 98 0.0001s\n'
            )
    return "".join(lines)


def analyze(*words: str | Path, cwd: Path, stdin: bytes = b"", **more: str) -> subprocess.CompletedProcess[bytes]:
    """The program as it is run; `more` are variables of its environment."""
    env = {"PATH": os.environ["PATH"], "HOME": str(cwd), "LANG": "C", "PYTHONPATH": os.pathsep.join(sys.path)} | more
    program = [sys.executable, "-c", "from analyzer.cli import main; main()"]
    return subprocess.run([*program, *map(str, words)], cwd=cwd, env=env, input=stdin, capture_output=True, check=False)


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    folder = tmp_path / "evidence"
    folder.mkdir()
    (folder / "coredns.log").write_text(COREDNS + storm())
    return folder


def test_postmortem_writes_report_html_and_sums_up_on_stderr(evidence: Path, tmp_path: Path) -> None:
    done = analyze("postmortem", "evidence", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == b""
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    told = done.stderr.decode()
    assert told.splitlines()[-1].startswith("wrote report.html")
    assert "1 finding: 1 " in told
    assert "read 1 file" in told


def test_json_on_stdout_is_the_document_and_nothing_else(evidence: Path, tmp_path: Path) -> None:
    done = analyze("postmortem", "evidence", "-f", "json", "-o", "-", cwd=tmp_path)
    plain = json.loads(done.stdout)
    assert plain["schema"] == "analyzer-result/1"
    assert plain["command"] == "analyze postmortem evidence"
    assert [i["path"] for i in plain["inputs"]] == ["coredns.log"]
    assert not (tmp_path / "report.html").exists()


def test_a_kind_of_its_own_prints_a_summary(evidence: Path, tmp_path: Path) -> None:
    done = analyze("coredns-logs", evidence, cwd=tmp_path)
    assert done.returncode == 0
    assert b"10.244.0.7" in done.stdout


def test_exit_1_when_a_finding_is_as_severe_as_asked_and_the_report_is_written(evidence: Path, tmp_path: Path) -> None:
    assert analyze("postmortem", "evidence", "--fail-on", "low", cwd=tmp_path).returncode == 1
    assert (tmp_path / "report.html").exists()
    assert analyze("postmortem", "evidence", "--fail-on", "critical", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["postmortem", "nowhere"], b"no such file"),
        (["postmortem", "evidence", "--tz", "Mars/Olympus"], b"no such time zone"),
        (["postmortem", "evidence", "--from", "yesterday"], b"not a time"),
        (["postmortem", "evidence", "--only", "dns-serch-chain"], b"did you mean dns-search-chain?"),
        (["postmortem", "evidence", "--set", "dns-search-chain.nope=1"], b"has no setting nope"),
        (["postmortem", "evidence", "--as", "netflow"], b"there is no kind"),
        (["postmortem", "evidence", "-o", "report.pdf"], b"names no format"),
        (["postmortem", "evidence", "-o", "report.html", "-f", "text"], b"the suffix says html"),
        (["postmortem", "evidence", "-o", "evidence/coredns.log", "-f", "html"], b"not written by this tool"),
        (["pcap", "evidence/coredns.log", "-o", "evidence/coredns.log", "-f", "json", "--force"], b"of the inputs"),
        (["render", "evidence/coredns.log"], b"not a result"),
        (["detectors", "nope"], b"there is no detector"),
        (["detectors", "dns-search"], b"did you mean dns-search-chain?"),
        (["nope"], b"No such command"),
        (["coredns-logs", "evidence", "--coredns-format", "{remote} {type}"], b"--coredns-format lacks {name}"),
    ],
)  # fmt: skip
def test_exit_2_with_one_sentence_and_nothing_touched(
    words: list[str], told: bytes, evidence: Path, tmp_path: Path
) -> None:
    done = analyze(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert b"Traceback" not in done.stderr
    assert (evidence / "coredns.log").read_text() == COREDNS + storm()


def test_a_format_of_the_log_plugin_may_be_given(tmp_path: Path) -> None:
    (tmp_path / "own.log").write_text("[INFO] A|a.example.com.|NXDOMAIN\n[INFO] A|b.example.com.|NOERROR\n")
    words = ("coredns-logs", "own.log", "-f", "json", "--coredns-format")
    result = json.loads(analyze(*words, "{type}|{name}|{rcode}", cwd=tmp_path).stdout)
    assert result["inputs"][0]["used"] == 2
    assert "--coredns-format '{type}|{name}|{rcode}'" in result["command"]


def test_exit_3_without_usable_input_and_the_report_says_so(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("call me back\n")
    done = analyze("postmortem", "notes.txt", "-f", "json", cwd=tmp_path)
    assert done.returncode == 3
    assert json.loads(done.stdout)["inputs"][0]["kind"] == "unknown"


def test_exit_4_with_strict_when_evidence_was_lost(evidence: Path, tmp_path: Path) -> None:
    assert analyze("postmortem", "evidence", "--strict", cwd=tmp_path).returncode == 0
    with (evidence / "coredns.log").open("a") as file:
        file.write('2026-03-14T09:59:00.000000000Z [INFO] 10.244.0.7:40000 - 1 "A IN')
    assert analyze("postmortem", "evidence", "--strict", cwd=tmp_path).returncode == 4
    assert (tmp_path / "report.html").exists()


def test_a_bad_file_among_good_ones_changes_nothing_for_the_good_ones(evidence: Path, tmp_path: Path) -> None:
    alone = json.loads(analyze("postmortem", "evidence", "-f", "json", cwd=tmp_path).stdout)
    (evidence / "broken.pcap").write_bytes(b"\xd4\xc3\xb2\xa1" + b"\xff" * 300)
    (evidence / "empty.log").write_bytes(b"")
    (evidence / "cut.log.gz").write_bytes(b"\x1f\x8b\x08\x00")
    mixed = analyze("postmortem", "evidence", "-f", "json", cwd=tmp_path)
    assert mixed.returncode == 0
    assert json.loads(mixed.stdout)["runs"][-1]["findings"] == alone["runs"][-1]["findings"]
    found = {run["detector"]: run["findings"] for run in json.loads(mixed.stdout)["runs"]}
    assert found["dns-search-chain"] == {run["detector"]: run["findings"] for run in alone["runs"]}["dns-search-chain"]


def test_names_from_the_evidence_cannot_drive_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "\x1b[2Jx\u202e.log").write_text("not a log\n")
    done = analyze("postmortem", tmp_path / "\x1b[2Jx\u202e.log", "-f", "text", cwd=tmp_path)
    for stream in (done.stdout, done.stderr):
        assert b"\x1b" not in stream
        assert "\u202e".encode() not in stream


def test_standard_input_is_an_input(tmp_path: Path) -> None:
    done = analyze("postmortem", "-", "-f", "json", cwd=tmp_path, stdin=storm().encode())
    assert done.returncode == 0, done.stderr
    [finding] = [f for run in json.loads(done.stdout)["runs"] for f in run["findings"]]
    assert finding["subject"] == "10.244.0.7"
    lines = storm().splitlines()
    for record in finding["evidence"]["records"]:
        assert record["text"] == lines[record["number"] - 1]
        assert record["command"] == "", "nobody has it any more"


def test_settings_of_the_folder_stand_in_the_command_and_those_among_the_evidence_are_not_taken(
    evidence: Path, tmp_path: Path
) -> None:
    for folder in (tmp_path, evidence):
        (folder / "analyze.toml").write_text("[dns-search-chain]\nmin_chains = 1000000\n")

    def run(cwd: Path, *words: str) -> tuple[str, list[str], bytes]:
        done = analyze("postmortem", *words, "-f", "json", cwd=cwd)
        result = json.loads(done.stdout)
        return result["command"], [one["name"] for one in result["settings"] if not one["default"]], done.stderr

    assert run(tmp_path, "evidence")[:2] == ("analyze postmortem evidence -c analyze.toml", ["min_chains"])
    command, changed, told = run(evidence, ".")
    assert (command, changed) == ("analyze postmortem evidence", [])
    assert b"analyze.toml lies among the inputs and is not taken for settings" in told
    assert run(evidence, ".", "-c", "analyze.toml")[1] == ["min_chains"]


def test_the_same_evidence_gives_the_same_bytes_whatever_the_order_and_place(evidence: Path, tmp_path: Path) -> None:
    (evidence / "b.log").write_text(COREDNS)
    files = [evidence / "coredns.log", evidence / "b.log"]
    first = analyze("postmortem", *files, "-f", "json", cwd=tmp_path)
    second = analyze("postmortem", "b.log", "coredns.log", "-f", "json", cwd=evidence)
    assert first.stdout == second.stdout


def test_a_saved_result_renders_to_the_same_page_without_the_inputs(evidence: Path, tmp_path: Path) -> None:
    analyze("postmortem", "evidence", "-o", "r.json", "-o", "r.html", cwd=tmp_path)
    (evidence / "coredns.log").unlink()
    assert analyze("render", "r.json", "-o", "again.html", cwd=tmp_path).returncode == 0
    assert (tmp_path / "again.html").read_bytes() == (tmp_path / "r.html").read_bytes()


def test_the_suffix_of_an_output_names_its_form_and_our_own_files_are_replaced(evidence: Path, tmp_path: Path) -> None:
    outputs = [word for name in ("r.json", "r.md", "r.sarif", "r.html", "r.txt") for word in ("-o", name)]
    for _ in range(2):
        assert analyze("postmortem", "evidence", *outputs, cwd=tmp_path).returncode == 0
    for name in ("r.md", "r.sarif"):
        again = analyze("render", "r.json", "-f", name[2:], cwd=tmp_path)
        assert again.stdout == (tmp_path / name).read_bytes()


def test_a_result_a_case_or_evidence_is_a_baseline(evidence: Path, tmp_path: Path) -> None:
    analyze("postmortem", "evidence", "-o", "monday.json", cwd=tmp_path)
    analyze("ingest", "evidence", "--case", "kept", cwd=tmp_path)
    for baseline in ("monday.json", "kept", "evidence"):
        done = analyze("postmortem", "evidence", "-f", "json", "--baseline", baseline, cwd=tmp_path)
        plain = json.loads(done.stdout)
        assert [one["state"] for one in plain["comparison"]["findings"]] == ["same"]
        assert plain["command"].endswith(f"--baseline {baseline}")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("evidence/coredns.log", b"not a result"),
        ("none.json", b"no such file"),
        ("-", b"a file or"),
        ("empty", b"nothing"),
    ],
)
def test_what_is_no_baseline_is_refused_in_one_sentence(
    evidence: Path, tmp_path: Path, name: str, words: bytes
) -> None:
    (tmp_path / "empty").mkdir()
    done = analyze("postmortem", "evidence", "--baseline", name, cwd=tmp_path)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert words in done.stderr
    assert not (tmp_path / "report.html").exists()


def test_a_baseline_is_never_overwritten(evidence: Path, tmp_path: Path) -> None:
    analyze("postmortem", "evidence", "-o", "monday.json", cwd=tmp_path)
    done = analyze("postmortem", "evidence", "--baseline", "monday.json", "-o", "monday.json", cwd=tmp_path)
    assert done.returncode == 2


def test_a_case_is_judged_again_without_the_inputs(evidence: Path, tmp_path: Path) -> None:
    first = json.loads(analyze("postmortem", "evidence", "-f", "json", cwd=tmp_path).stdout)
    assert analyze("ingest", "evidence", "--case", "kept", cwd=tmp_path).returncode == 0
    (evidence / "coredns.log").unlink()
    again = json.loads(analyze("postmortem", "kept", "-f", "json", cwd=tmp_path).stdout)
    figures = [[f["impact"] for run in r["runs"] for f in run["findings"]] for r in (first, again)]
    assert figures[0] == figures[1] != [[]]
    [finding] = [f for run in again["runs"] for f in run["findings"]]
    assert "its row in coredns_queries" in finding["evidence"]["records"][0]["text"]


def test_tables_in_temporary_files_give_the_same_result_and_leave_nothing_behind(
    evidence: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    first = analyze("postmortem", "evidence", "-f", "json", cwd=tmp_path)
    second = analyze("postmortem", "evidence", "-f", "json", "--max-memory", "1", cwd=tmp_path)
    assert first.stdout == second.stdout
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize(("text", "size"), [("1", 1), ("512M", 512 << 20), ("8G", 8 << 30), ("2GiB", 2 << 30)])
def test_max_memory_is_a_size(text: str, size: int) -> None:
    assert memory_of(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1G", "8 G", "lots", "1.5G"])
def test_max_memory_that_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write it as"):
        memory_of(text)


def test_a_window_of_time_leaves_out_the_rest(evidence: Path, tmp_path: Path) -> None:
    done = analyze("postmortem", "evidence", "-f", "json", "--to", "2026-03-14T09:00:00Z", cwd=tmp_path)
    assert all(not run["findings"] for run in json.loads(done.stdout)["runs"])


def test_the_version_is_told_without_a_command(tmp_path: Path) -> None:
    done = analyze("--version", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"analyze ")


def test_identify_says_what_and_why(evidence: Path, tmp_path: Path) -> None:
    (evidence / "notes.txt").write_text("call me back\n")
    told = analyze("identify", "evidence", cwd=tmp_path).stdout.decode().splitlines()
    assert [line.split()[0] for line in told] == ["coredns", "unknown"]


def test_detectors_are_listed_and_explained(tmp_path: Path) -> None:
    listed = analyze("detectors", cwd=tmp_path).stdout.decode()
    assert "dns-search-chain" in listed
    explained = analyze("detectors", "dns-search-chain", cwd=tmp_path).stdout.decode()
    assert "## What does not count" in explained
    assert "Default:" in explained
    told = explained.partition("## Published stories\n\n")[2].splitlines()
    assert told[0].startswith("- ndots:5 search chain: “10 Ways to Shoot Yourself in the Foot with Kubernetes")
    assert told[1].strip().startswith("https://")


def test_an_old_report_survives_a_failed_run(evidence: Path, tmp_path: Path) -> None:
    analyze("postmortem", "evidence", cwd=tmp_path)
    before = (tmp_path / "report.html").read_bytes()
    assert analyze("postmortem", "nowhere", cwd=tmp_path).returncode == 2
    assert (tmp_path / "report.html").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evidence", "report.html"]


def test_identify_lists_the_members_of_an_archive(tmp_path: Path) -> None:
    (tmp_path / "bundle.tar").write_bytes(
        tar(regular("dir/coredns.log", storm().encode()), special("link\x1b[2J", tarfile.SYMTYPE, "/etc/passwd"))
    )
    done = analyze("identify", "bundle.tar", cwd=tmp_path)
    assert done.returncode == 0
    first, second = done.stdout.decode().splitlines()
    assert first.startswith("coredns   95%  bundle.tar!dir/coredns.log: ")
    assert second == "refused     -  bundle.tar!link\\x1b[2J: a symbolic link, not followed"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["postmortem"], b"Missing argument 'INPUT'"),
        (["postmortem", "x", "--year", "abc"], b"'--year'"),
        (["postmortem", "x", "--year", "9" * 9999], b"'--year'"),
        (["postmortem", "x", "--jobs", "0"], b"'--jobs'"),
        (["postmortem", "x", "-f", "pdf"], b"'html', 'json'"),
        (["postmortem", "x", "--tit", "a"], b"No such option: --tit"),
        (["postmortem", "x", "--\x1b[2J"], b"\\x1b"),
        (["ingest", "x"], b"Missing option '--case'"),
        (["--nope"], b"No such option: --nope"),
        (["pcap\x1b"], b"No such command 'pcap\\x1b'"),
    ],
)
def test_a_command_line_that_is_wrong_costs_one_sentence(words: list[str], told: bytes, tmp_path: Path) -> None:
    done = analyze(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
    sentence = done.stderr.splitlines()[-1]
    assert sentence.startswith(b"Error: ")
    assert told in sentence
    assert b"\x1b" not in done.stderr


def test_options_and_inputs_may_stand_in_any_order(evidence: Path, tmp_path: Path) -> None:
    (tmp_path / "-odd.log").write_text(COREDNS)
    words = ["-f", "json", "--only", "dns-search-chain", "evidence", "-o", "-", "--only=dns-query-flood", "--"]
    done = analyze("postmortem", *words, "-odd.log", cwd=tmp_path)
    plain = json.loads(done.stdout)
    assert [one["path"] for one in plain["inputs"]] == ["-odd.log", "coredns.log"]
    assert len(plain["runs"]) == 2


@pytest.mark.parametrize(("words", "code"), [([], 2), (["-h"], 0), (["postmortem", "-h"], 0)])
def test_help_names_what_there_is(words: list[str], code: int, tmp_path: Path) -> None:
    done = analyze(*words, cwd=tmp_path)
    assert done.returncode == code
    assert (b"--fail-on" if len(words) > 1 else b"coredns-logs") in done.stdout + done.stderr


def test_a_format_of_coredns_that_is_named_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "own.log").write_text("".join(f"10.0.0.{n} asked web{n}.example.com. for A\n" for n in range(9)))
    given = ("--coredns-format", "{remote} asked {name} for {type}")
    told = analyze("identify", "own.log", *given, cwd=tmp_path).stdout.decode()
    assert told.startswith("coredns")
    done = analyze("postmortem", "own.log", *given, "-o", "-", "-f", "json", cwd=tmp_path)
    assert b'"kind":"coredns"' in done.stdout.replace(b'": "', b'":"')
    assert analyze("identify", "own.log", "--coredns-format", "x", cwd=tmp_path).returncode == 2
