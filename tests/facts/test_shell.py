"""Commands that hold names from evidence: a name that begins with `-`, or is a command itself, stays a name."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from analyzer.facts.shell import file_name, grep, grepped, piped, tshark

DETECTORS = sorted((Path(__file__).parents[2] / "analyzer" / "detectors").rglob("*.py"))

HOSTILE = ["-rf", "--include=x", "-e", "a b", "$(touch pwned)", "it's", "`touch pwned`", "*", "-", "--"]


def run(command: str, folder: Path) -> str:
    return subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_searched_for_and_does_nothing_else(tmp_path: Path, name: str) -> None:
    (tmp_path / "node.log").write_text(f"pod {name} died\nanother\n")
    assert run(grepped("node.log", f"pod {name} "), tmp_path) == f"pod {name} died\n"
    assert run(f"cat node.log | {grep(name)}", tmp_path).startswith("pod ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["node.log"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_of_any_name_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("found\n")
    assert run(grepped(name, "found"), tmp_path) == "found\n"
    assert run(f"cat {file_name(name)}", tmp_path) == "found\n" if name != "-" else True


def test_a_pattern_that_cannot_be_typed_is_left_out() -> None:
    assert grep("a\x1b[2Jb") == "grep -F -- ''"
    assert piped("a\nb") == "zcat -f < INPUT"


@pytest.mark.parametrize("member", ["dir/audit.log", "-dir/a b.log"])
def test_an_input_inside_an_archive_is_printed_from_there(tmp_path: Path, member: str) -> None:
    (tmp_path / "plain").write_text("found\n")
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "plain", member)
    assert run(grepped(f"b.tar.gz!{member}", "found"), tmp_path) == "found\n"
    if shutil.which("unzip") is not None:
        with zipfile.ZipFile(tmp_path / "b.zip", "w") as file:
            file.write(tmp_path / "plain", member)
        assert run(grepped(f"b.zip!{member}", "found"), tmp_path) == "found\n"


def test_tshark_opens_a_capture_itself_or_is_given_its_bytes() -> None:
    assert tshark("node.pcap.gz", "-t a") == "tshark -t a -r node.pcap.gz"
    assert tshark("-x.pcap") == "tshark -r ./-x.pcap"
    assert tshark("node.pcap.zst") == "zstd -dc < node.pcap.zst | tshark -r -"
    assert tshark("b.tar!n.pcap") == "tar -xOf b.tar -- n.pcap | zcat -f | tshark -r -"


_COMPOSED = re.compile(r"\b(?:grep|egrep|zcat|cat)\b[^|;]*$|\btshark(?: -[a-z]+(?: [a-z]+)?)* -r *$")


def _hand_made(path: Path) -> list[str]:
    """Texts of a detector that put a value behind a program that would take it for an option, or a file for one."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.JoinedStr):
            continue
        before = ""
        for part in node.values:
            if isinstance(part, ast.Constant):
                before += str(part.value)
            elif _COMPOSED.search(before):
                found.append(f"{path.name}:{node.lineno}: {before}")
    return found


def test_no_detector_puts_a_value_behind_a_program_by_itself() -> None:
    assert [line for path in DETECTORS for line in _hand_made(path)] == []


def test_the_walk_over_detectors_sees_what_it_looks_for(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text('a = f"grep -F {pod} file"\nb = f"x | tshark -t a -r {source}"\nc = f"{x} | sort"\n')
    assert len(_hand_made(bad)) == 2


def unguarded(command: str) -> list[str]:
    """The words of a command that `grep` may take for an option though they are no option of this program's texts."""
    words = shlex.split(command, comments=True)
    bad = []
    for at, word in enumerate(words):
        if word != "grep":
            continue
        end = next((k for k in range(at, len(words)) if words[k] in ("|", ";")), len(words))
        own = words[at + 1 : end]
        flags = [one for one in own[: own.index("--")] if one] if "--" in own else own[:1]
        bad += [one for one in flags if not re.fullmatch(r"-[a-zA-Z]+|[^-].*|\.", one)]
        bad += [one for one in (own[1:] if "--" not in own else []) if one.startswith("-")]
    return bad


def test_unguarded_words_are_told() -> None:
    assert unguarded("zcat -f < a | grep -F -- --include=x") == []
    assert unguarded("zcat -f < a | grep -F --include=x") == ["--include=x"]
