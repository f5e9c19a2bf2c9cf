"""Compiled templates are kept, and never believed where they are of another text."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from jinja2 import Environment, FileSystemLoader

from analyzer.render.compiled import CompiledTemplates


@pytest.fixture(autouse=True)
def _python_keeps_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", None)


def _rendered(folder: Path, form: str = "") -> str:
    made = Environment(loader=FileSystemLoader(folder), bytecode_cache=CompiledTemplates(form), autoescape=True)
    return made.get_template("a.j2").render(name="x")


def _kept(folder: Path) -> list[Path]:
    return sorted((folder / "__pycache__").glob("*"))


def test_the_code_is_kept_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.j2").write_text("hello {{ name }}")
    assert _rendered(tmp_path) == "hello x"
    assert len(_kept(tmp_path)) == 1
    monkeypatch.setattr(Environment, "_generate", None)
    assert _rendered(tmp_path) == "hello x"


def test_another_text_is_compiled_anew(tmp_path: Path) -> None:
    (tmp_path / "a.j2").write_text("hello {{ name }}")
    _rendered(tmp_path)
    (tmp_path / "a.j2").write_text("bye {{ name }}")
    assert _rendered(tmp_path) == "bye x"


def test_another_form_is_compiled_anew(tmp_path: Path) -> None:
    (tmp_path / "a.j2").write_text("hello {{ name }}")
    _rendered(tmp_path, "one")
    before = _kept(tmp_path)[0].read_bytes()
    _rendered(tmp_path, "two")
    assert _kept(tmp_path)[0].read_bytes() != before


@pytest.mark.parametrize("content", [b"", b"j2", b"\0" * 100])
def test_damaged_code_costs_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.j2").write_text("hello {{ name }}")
    _rendered(tmp_path)
    _kept(tmp_path)[0].write_bytes(content)
    assert _rendered(tmp_path) == "hello x"


def test_cut_code_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.j2").write_text("hello {{ name }}")
    _rendered(tmp_path)
    whole = _kept(tmp_path)[0].read_bytes()
    for size in range(len(whole)):
        _kept(tmp_path)[0].write_bytes(whole[:size])
        assert _rendered(tmp_path) == "hello x"


def test_nothing_is_written_where_python_would_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "a.j2").write_text("hello {{ name }}")
    assert _rendered(tmp_path) == "hello x"
    assert _kept(tmp_path) == []
