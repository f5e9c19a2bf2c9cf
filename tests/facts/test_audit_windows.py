"""Words and commands that several detectors share."""

from __future__ import annotations

import pytest

from analyzer.facts.audit_windows import piped


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("kubelet.log", "kubelet.log"),
        ("logs/a b.log.gz", "'logs/a b.log.gz'"),
        ("must-gather.tar.gz!nodes/n1/kubelet.log", "kubelet.log"),
        ("a.zip!b.tar!x;rm -rf y.log", "'x;rm -rf y.log'"),
        ("a.tar!", "audit.log"),
        ("bad\nname", "audit.log"),
    ],
)
def test_an_input_is_read_by_its_name_and_what_lies_in_an_archive_by_the_end_of_its_path(
    source: str, name: str
) -> None:
    assert piped(source) == f"zcat -f < {name}"
