"""A process whose work is done ends at once, unless something is still at work or something is left to tell."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cases import ROOT

BUSY = "import threading; threading.Thread(target=lambda: (time.sleep(0.3), print('done', flush=True))).start()"


def left(before: str, code: str) -> subprocess.CompletedProcess[str]:
    text = f"import atexit, time; from analyzer.cli import leave; atexit.register(print, 'bye'); {before}\n"
    text += f"leave({code}); print('returned')"
    return subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("code", [0, 2])
def test_it_ends_with_its_code_after_what_was_to_be_done_at_the_end(code: int) -> None:
    done = left("", str(code))
    assert (done.returncode, done.stdout.split()) == (code, ["bye"])


def test_it_waits_for_a_thread_that_is_still_at_work() -> None:
    assert left(BUSY, "0").stdout.split() == ["returned", "done", "bye"]


def test_a_sentence_in_place_of_a_code_is_for_python_to_tell() -> None:
    assert left("", "'text'").stdout.split() == ["returned", "bye"]
