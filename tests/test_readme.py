"""What the README promises by name exists."""

from __future__ import annotations

import re
from pathlib import Path

from analyzer import detectors, sources
from analyzer.cli.commands import app

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_every_command_is_named() -> None:
    for command in app.registered_commands:
        assert re.search(rf"\b{command.name or (command.callback and command.callback.__name__)}\b", README)


def test_every_detector_and_every_kind_is_named() -> None:
    for name in [*(d.id for d in detectors.load()), *(s.name for s in sources.load())]:
        assert f"`{name}`" in README


def test_every_link_leads_somewhere() -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (Path(__file__).parent.parent / link).exists(), link
