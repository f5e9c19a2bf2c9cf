"""What kernels do is tested twice: by the kernels, where they were compiled, and by NumPy."""

from __future__ import annotations

import pytest

from analyzer import kernels

TWICE = (
    "framing",
    "joined",
    "lanes",
    "layers",
    "dns",
    "dns_answers",
    "dns_fragments",
    "dns_ports",
    "dns_streams",
    "duplicates",
    "tunnels",
    "texts",
)
"""The test files, test_*.py, that concern what a kernel does."""

_LIBRARY = kernels._library


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.module.__name__.rpartition(".test_")[2] in TWICE:
        metafunc.fixturenames.append("by")
        metafunc.parametrize("by", ["kernels", "numpy"], indirect=True)


@pytest.fixture
def by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "kernels" and _LIBRARY is None:
        pytest.skip("no compiled kernels: rustc was not there at the build")
    if request.param == "numpy":
        monkeypatch.setattr(kernels, "_library", None)
