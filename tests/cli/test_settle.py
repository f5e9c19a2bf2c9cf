"""Small inputs get one thread of polars; settled by their sizes, before polars is there."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from analyzer.cli import SMALL, settle

BOTH = {"POLARS_MAX_THREADS": "1", "POLARS_ENGINE_AFFINITY": "in-memory"}


def settled(monkeypatch: pytest.MonkeyPatch, *inputs: Path, **before: str) -> Mapping[str, str]:
    """What the environment says of polars afterwards, in a process that has not imported it."""
    monkeypatch.delitem(sys.modules, "polars", raising=False)
    monkeypatch.setattr(os, "environ", dict(before))
    settle(inputs)
    return dict(os.environ)


def test_small_files_together_are_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(bytes(SMALL - 1))
    other.write_bytes(b"x")
    assert settled(monkeypatch, one, other) == BOTH


def test_one_byte_more_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(bytes(SMALL))
    other.write_bytes(b"x")
    assert settled(monkeypatch, one, other) == {}


def test_a_folder_a_device_and_a_missing_file_tell_no_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (tmp_path, Path("/dev/null"), tmp_path / "missing", Path("-")):
        with monkeypatch.context() as only_here:
            assert settled(only_here, place) == {}


def test_what_the_user_says_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = tmp_path / "one"
    one.touch()
    said = {"POLARS_MAX_THREADS": "2", "POLARS_ENGINE_AFFINITY": "streaming"}
    assert settled(monkeypatch, one, **said) == said


def test_nothing_is_settled_where_polars_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = tmp_path / "one"
    one.touch()
    monkeypatch.setitem(sys.modules, "polars", sys)
    monkeypatch.setattr(os, "environ", {})
    settle([one])
    assert dict(os.environ) == {}
