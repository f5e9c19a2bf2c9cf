"""Streams that are closed or full, places that cannot be written, names that are no text: one sentence each."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

LINE = (
    '2026-03-14T09:00:00.000000000Z [INFO] 10.244.0.5:41000 - 1 "A IN api.shop.svc.cluster.local. udp 50 false 512" '
    "NOERROR qr,aa,rd 98 0.0001s\n"
)
PROGRAM = [sys.executable, "-c", "from analyzer.cli import main; main()"]
NOT_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")


def shell(words: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[bytes]:
    """Run `analyze` with these words, redirections included."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)} | more
    command = f"{shlex.join(PROGRAM)} {words}"
    return subprocess.run(["bash", "-c", command], cwd=cwd, env=env, capture_output=True, check=False, timeout=60)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "coredns.log"
    path.write_text(LINE * 5)
    return path


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("coredns-logs coredns.log > /dev/full", 2, b"standard output: cannot be written: No space left"),
        ("coredns-logs coredns.log >&-", 2, b"standard output is closed"),
        ("coredns-logs - <&-", 3, b"standard input is closed"),
        ("--help > /dev/full", 2, b"standard output: cannot be written: No space left"),
        ("coredns-logs --help > /dev/full", 2, b"standard output: cannot be written: No space left"),
        ("--version > /dev/full", 2, b"standard output: cannot be written: No space left"),
        ("--bogus 2> /dev/full", 2, b""),
        ("coredns-logs coredns.log --redact --map - -q", 2, b"say with --map where"),
        ("coredns-logs coredns.log --evidence-dir - -q", 2, b"name a folder"),
        ("coredns-logs coredns.log -o r.html >&-", 0, b"wrote r.html"),
        ("coredns-logs coredns.log -o r.html 2>&-", 0, b""),
        ("coredns-logs coredns.log -o r.html 2>/dev/full", 0, b""),
        ("coredns-logs coredns.log -o loop.html", 2, b"too many symbolic links"),
        ("coredns-logs loop.html", 2, b"too many levels of symbolic links"),
        ("coredns-logs coredns.log --from 0001-01-01T00:00:00+14:00", 2, b"not a time"),
        ("coredns-logs coredns.log --from 2026-03-15 --to 2026-03-14", 2, b"is not before --to"),
        ("postmortem - --scheduler tcp://127.0.0.1:1 < coredns.log", 2, b"cannot read standard input"),
        ("coredns-logs coredns.log --from 2027-01-01", 0, b"no record lies between"),
    ],
)
def test_code_and_sentence(words: str, code: int, told: bytes, log: Path) -> None:
    (log.parent / "loop.html").symlink_to("loop.html")
    done = shell(words, log.parent)
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert b"Traceback" not in done.stderr
    assert (log.parent / "r.html").exists() == ("r.html" in words)


def test_a_pipe_as_output_is_written_into_and_stays(log: Path) -> None:
    os.mkfifo(log.parent / "pipe")
    done = shell("coredns-logs coredns.log -q -f json -o pipe & timeout 30 cat pipe; wait $!", log.parent)
    assert json.loads(done.stdout)["schema"] == "analyzer-result/1"
    assert (log.parent / "pipe").is_fifo()


def test_a_link_as_output_stays_a_link(log: Path) -> None:
    (log.parent / "link.json").symlink_to("real.json")
    assert shell("coredns-logs coredns.log -o link.json", log.parent).returncode == 0
    assert (log.parent / "link.json").is_symlink()
    assert (log.parent / "real.json").is_file()


def test_a_long_name_is_written(log: Path) -> None:
    name = "n" * 250 + ".json"
    assert shell(f"coredns-logs coredns.log -o {name}", log.parent).returncode == 0
    assert (log.parent / name).exists()


@NOT_ROOT
def test_what_must_not_be_touched_is_said_before_anything_is_read(log: Path) -> None:
    (log.parent / "closed").mkdir(mode=0o500)
    done = shell("coredns-logs coredns.log -o closed/r.html", log.parent)
    assert (done.returncode, b"cannot be written to" in done.stderr) == (2, True)


def test_a_file_among_the_inputs_is_not_overwritten_even_with_force(log: Path) -> None:
    done = shell("coredns-logs . -f html -o coredns.log --force", log.parent)
    assert (done.returncode, b"directory of inputs" in done.stderr) == (2, True)
    assert log.read_text() == LINE * 5


def test_a_report_written_among_the_inputs_does_not_change_the_next_one(log: Path) -> None:
    shell("postmortem .", log.parent)
    first = (log.parent / "report.html").read_bytes()
    shell("postmortem .", log.parent)
    assert (log.parent / "report.html").read_bytes() == first


def test_a_file_name_that_is_not_utf8_is_written_with_escapes(log: Path) -> None:
    log.rename(log.parent / os.fsdecode(b"x\xff.log"))
    done = shell("postmortem . x* -f json", log.parent)
    assert [one["path"] for one in json.loads(done.stdout)["inputs"]] == ["x\\xff.log"]


def test_the_same_file_twice_is_named_once(log: Path) -> None:
    done = shell("postmortem coredns.log ./coredns.log -f json", log.parent)
    assert json.loads(done.stdout)["command"] == "analyze postmortem coredns.log"


def test_utc_needs_no_zone_data(log: Path) -> None:
    assert shell("coredns-logs coredns.log", log.parent, PYTHONTZPATH="").returncode == 0


def test_an_interrupt_while_it_starts_has_the_code_of_an_interrupt(tmp_path: Path) -> None:
    code = "import os, signal, sys;\n"
    code += "import builtins; real = builtins.__import__\n"
    code += "def slow(name, *rest):\n    if name == 'typer': os.kill(os.getpid(), signal.SIGINT)\n"
    code += "    return real(name, *rest)\nbuiltins.__import__ = slow\nfrom analyzer.cli import main; main()"
    env = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (130, b"")
