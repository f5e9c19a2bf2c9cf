from __future__ import annotations

import os
from pathlib import Path

from analyzer.sources.discover import discover


def lay(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


def ids(*paths: Path) -> list[str]:
    return [item.id for item in discover(paths)[0]]


def test_a_file_is_named_by_its_name_and_a_file_in_a_directory_by_its_path_below_it(tmp_path: Path) -> None:
    lay(tmp_path, "case/b/two.log", "case/a.log", "one.log")
    assert ids(tmp_path / "case", tmp_path / "one.log") == ["a.log", "b/two.log", "one.log"]


def test_equal_ids_get_the_name_of_their_argument_whatever_the_order(tmp_path: Path) -> None:
    lay(tmp_path, "node1/kubelet.log", "node2/kubelet.log", "node2/other.log")
    one, two = tmp_path / "node1", tmp_path / "node2"
    assert ids(one, two) == ["node1/kubelet.log", "node2/kubelet.log", "other.log"]
    assert discover([one, two]) == discover([two, one])


def test_files_of_the_same_name_are_told_apart_by_their_directories(tmp_path: Path) -> None:
    lay(tmp_path, "x/node/a.log", "y/node/a.log")
    assert ids(tmp_path / "x/node/a.log", tmp_path / "y/node/a.log") == ["x/node/a.log", "y/node/a.log"]


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    lay(tmp_path, "case/a.log")
    os.link(tmp_path / "case/a.log", tmp_path / "case/same.log")
    assert ids(tmp_path / "case", tmp_path / "case/a.log") == ["a.log"]


def test_hidden_files_and_links_in_directories_are_passed_over(tmp_path: Path) -> None:
    lay(tmp_path, "case/a.log", "case/.hidden", "case/.git/config", "outside.log")
    (tmp_path / "case/link.log").symlink_to(tmp_path / "outside.log")
    (tmp_path / "case/loop").symlink_to(tmp_path / "case")
    items, refused = discover([tmp_path / "case"])
    assert [item.id for item in items] == ["a.log"]
    assert [name for name, _ in refused] == ["link.log", "loop"]


def test_a_link_that_was_named_is_followed(tmp_path: Path) -> None:
    lay(tmp_path, "a.log")
    (tmp_path / "link.log").symlink_to(tmp_path / "a.log")
    assert ids(tmp_path / "link.log") == ["link.log"]


def test_pipes_and_missing_files_are_refused_with_a_sentence(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    items, refused = discover([tmp_path / "pipe", tmp_path / "nowhere.log", Path("/dev/null")])
    assert items == []
    assert dict(refused) == {
        "pipe": "is a named pipe, not a file: save what comes out of it to a file first",
        "nowhere.log": "cannot be opened: No such file or directory",
        "null": "is a device, not a file: save what comes out of it to a file first",
    }


def test_a_pipe_inside_a_directory_does_not_hide_the_rest(tmp_path: Path) -> None:
    lay(tmp_path, "case/a.log")
    os.mkfifo(tmp_path / "case/pipe")
    items, refused = discover([tmp_path / "case"])
    assert [item.id for item in items] == ["a.log"]
    assert [name for name, _ in refused] == ["pipe"]


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert discover([tmp_path / "empty"]) == ([], [("empty", "the directory holds no file that could be read")])


def test_a_dash_is_standard_input() -> None:
    assert ids(Path("-")) == ["stdin"]
