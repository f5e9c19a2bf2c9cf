"""On a terminal nothing is said twice: the text form holds what the summary on stderr would say."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

from tests.cli.test_cli import COREDNS, storm


def _on_a_terminal(*words: str, cwd: Path) -> str:
    """What a person sees who runs the command: both streams are one terminal."""
    reader, writer = pty.openpty()
    env = {"PATH": os.environ["PATH"], "HOME": str(cwd), "LANG": "C", "PYTHONPATH": os.pathsep.join(sys.path)}
    program = [sys.executable, "-c", "from analyzer.cli import main; main()", *words, "--color", "never"]
    with subprocess.Popen(program, cwd=cwd, env=env, stdout=writer, stderr=writer, stdin=subprocess.DEVNULL) as run:
        os.close(writer)
        seen = b""
        while True:
            try:
                part = os.read(reader, 65_536)
            except OSError:  # how Linux says that nobody holds the other end any more
                break
            if not part:
                break
            seen += part
        assert run.wait() == 0
    os.close(reader)
    return seen.decode(errors="replace").replace("\r\n", "\n")


def test_the_text_form_on_a_terminal_tells_the_findings_once(tmp_path: Path) -> None:
    (tmp_path / "coredns.log").write_text(COREDNS + storm())
    seen = _on_a_terminal("postmortem", "coredns.log", "-f", "text", "-q", cwd=tmp_path)
    loud = _on_a_terminal("postmortem", "coredns.log", "-f", "text", cwd=tmp_path)
    assert seen.count("1 finding: ") == 1
    assert loud.count("1 finding: ") == 1
    assert "read 1 file, " in loud  # what the text form does not say is still said


def test_a_page_written_to_a_file_leaves_the_summary_on_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "coredns.log").write_text(COREDNS + storm())
    assert _on_a_terminal("postmortem", "coredns.log", "-o", "a.html", cwd=tmp_path).count("1 finding: ") == 1
