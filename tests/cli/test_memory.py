"""Freed memory serves all threads, as far as the machine's allocators can be told so."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from analyzer.cli import POOLS, share_arena
from tests.cases import ROOT

TOLD = "_RJEM_MALLOC_CONF"
"""What the allocator of polars reads (jemalloc(3), with the prefix that its build for Rust has)."""


def told(**given: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != TOLD} | given
    text = (
        f"import os; import analyzer.cli; print(os.environ[{TOLD!r}]); import polars; print(polars.Series([1]).sum())"
    )
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == "", "an allocator that does not know a word says so"
    return done.stdout.split()[0]


def test_polars_allocator_knows_what_it_is_told() -> None:
    assert f"narenas:{POOLS}," in told()


def test_what_the_environment_says_stays() -> None:
    assert told(**{TOLD: "narenas:4"}) == "narenas:4"


def test_a_c_library_that_cannot_share_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    share_arena()
