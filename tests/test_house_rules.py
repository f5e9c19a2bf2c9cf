"""Rules of the house that no tool checks."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "analyzer").rglob("*.py"))

GUARDS = {
    "analyzer/cli/__init__.py": "the top of the command line",
    "analyzer/pipeline/detect.py": "one broken detector",
    "analyzer/pipeline/one_input.py": "one broken input",
}
"""The three places where any exception may be caught, and the words of their comment."""

FILE_LINES, FUNCTION_LINES = 400, 50


def broad(tree: ast.AST) -> list[int]:
    wide = {"Exception", "BaseException"}
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or any(isinstance(n, ast.Name) and n.id in wide for n in ast.walk(node.type)))
    ]


def test_broad_excepts_stand_in_the_three_named_guards_only() -> None:
    found = {}
    for path in FILES:
        text = path.read_text()
        for line in broad(ast.parse(text)):
            found[path.relative_to(ROOT).as_posix()] = text.splitlines()[line - 1]
    assert len(found) == len(GUARDS), sorted(found)
    for place, words in GUARDS.items():
        [comment] = [line for path, line in found.items() if path.startswith(place)]
        assert words in comment


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_rooms_are_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= FILE_LINES
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1}"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and node.end_lineno and node.end_lineno - node.lineno >= FUNCTION_LINES
    ]
    assert long == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_module_says_what_it_is_for(path: Path) -> None:
    text = path.read_text()
    assert not text.strip() or ast.get_docstring(ast.parse(text))


HEAVY = ("jinja2", "msgspec", "numpy", "polars", "pyarrow", "rich", "scapy", "zstandard")
"""What a command that reads nothing must not wait for."""


def test_the_command_line_imports_no_heavy_library() -> None:
    code = f"import sys, analyzer.cli.commands; print(*(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(("given", "kept"), [({}, "1"), ({"OPENBLAS_NUM_THREADS": "2"}, "2")])
def test_numpy_starts_no_threads_for_linear_algebra_unless_somebody_says_so(given: dict[str, str], kept: str) -> None:
    code = "import os, analyzer.cli; print(os.environ['OPENBLAS_NUM_THREADS'])"
    env = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"} | given
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == kept


RUST = sorted((ROOT / "analyzer").rglob("*.rs"))
RAW = {"border.rs", "captures.rs", "lib.rs", "memory.rs", "messages.rs"}
"""Where Rust may do what its compiler cannot check: the border to Python, and hints to the processor."""


@pytest.mark.parametrize("path", RUST, ids=lambda path: path.name)
def test_kernels_are_safe_rust_in_small_rooms(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert lines[0].startswith("//! ")
    assert len(lines) <= FILE_LINES
    assert max(map(len, lines)) <= 120
    assert ("#![forbid(unsafe_code)]" in lines) == (path.name not in RAW)
