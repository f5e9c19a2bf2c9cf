"""Slices of evidence: the quoted packets and lines of each finding, what stands around them, and nothing secret."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from analyzer.pipeline import RunOptions, Slices, investigate
from analyzer.pipeline.carve import carve, packets
from analyzer.pipeline.carve.conversations import BESIDE
from analyzer.pipeline.carve.lines import LINE_MOST
from tests.carving import carved, finding, index, read, result
from tests.cases import CAPTURES
from tests.sources.bundles import tar_of, zip_of
from tests.sources.capture.make import (
    EPOCH,
    cooked2,
    dns_frame,
    enhanced,
    ethernet,
    interface,
    ipv4,
    option,
    pcap,
    query,
    section,
    simple,
    tcp,
)

NANO = 0xA1B23C4D


def segment(port: int, seq: int = 1, body: bytes = b"secret") -> bytes:
    """One of a conversation with a server, by the client's port."""
    return ethernet(ipv4(tcp(body, port, 443, seq=seq), 6, "10.0.0.7", "192.0.2.1"))


def back(port: int) -> bytes:
    return ethernet(ipv4(tcp(b"", 443, port, flags=0x10), 6, "192.0.2.1", "10.0.0.7"))


def shown(data: bytes, tmp_path: Path, *fields: str, where: str = "") -> list[list[str]]:
    """What tshark reads in a capture."""
    if shutil.which("tshark") is None:
        pytest.skip("no tshark on this machine")
    path = tmp_path / "read-by-tshark.pcapng"
    path.write_bytes(data)
    words = [word for field in fields for word in ("-e", field)]
    done = subprocess.run(
        ["tshark", "-r", str(path), "-T", "fields", *words, *(["-Y", where] if where else [])],
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.split("\t") for line in done.stdout.splitlines()]


def numbers(files: dict[str, bytes], at: int = 0, *, quoted: bool | None = None) -> list[int]:
    [made] = [one for one in index(files, at)["slices"] if one["kind"] == "pcap"]
    return [one["number"] for one in made["packets"] if quoted in (None, one["quoted"])]


def test_a_quoted_frame_comes_with_its_conversation_and_not_with_others(tmp_path: Path) -> None:
    (tmp_path / "a.pcap").write_bytes(pcap([segment(1000), segment(2000), back(1000), segment(1000, 7), segment(3000)]))
    files = carved([tmp_path / "a.pcap"], [("a.pcap", 3)])
    assert list(files) == ["index.json", "findings.json", "F1.pcapng"]
    assert numbers(files) == [1, 3, 4]
    assert numbers(files, quoted=True) == [3]
    told = shown(files["F1.pcapng"], tmp_path, "frame.comment", "tcp.srcport", "frame.len", "frame.cap_len")
    assert told == [
        ["frame 1 of a.pcap", "1000", "60", "54"],
        ["frame 3 of a.pcap, quoted by F1", "443", "54", "54"],
        ["frame 4 of a.pcap", "1000", "60", "54"],
    ]


def test_what_is_far_in_time_stays_out_and_the_nearest_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = [0.0, 100.0, 119.0, 120.0, 120.5, 190.0]
    (tmp_path / "a.pcap").write_bytes(pcap([(time, segment(1000, at)) for at, time in enumerate(times)]))
    assert numbers(carved([tmp_path / "a.pcap"], [("a.pcap", 4)])) == [2, 3, 4, 5]
    monkeypatch.setattr(packets, "FRAMES_MOST", 2)
    assert numbers(carved([tmp_path / "a.pcap"], [("a.pcap", 4)])) == [4, 5]


def test_a_slice_has_bounds_and_the_quoted_frames_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.pcap").write_bytes(pcap([segment(1000, at) for at in range(1200)], step=0.01))
    found = numbers(carved([tmp_path / "a.pcap"], [("a.pcap", 600), ("a.pcap", 1200)]))
    assert len(found) == packets.FRAMES_MOST
    assert {600, 1200} < set(found)
    monkeypatch.setattr(packets, "BYTES_MOST", 10 * (54 + BESIDE))
    files = carved([tmp_path / "a.pcap"], [("a.pcap", number) for number in range(1, 13)])
    assert numbers(files) == list(range(1, 11))
    assert index(files)["left_out"] == [{"source": "a.pcap", "numbers": [11, 12], "reason": packets.FULL}]


def test_times_keep_their_nanoseconds_and_captures_are_laid_together_by_time(tmp_path: Path) -> None:
    ticks = EPOCH * 1_000_000_000 + 2_000_000_123
    (tmp_path / "a.pcap").write_bytes(pcap([(1.000000789, segment(1000)), (3.0, segment(1000))], magic=NANO))
    raw = ipv4(tcp(b"", 1000, 443), 6, "10.0.0.7", "192.0.2.1")
    head = section() + interface(options=option(9, b"\x09") + option(14, struct.pack("<q", 10))) + interface(link=276)
    blocks = enhanced(segment(1000), ticks - 10**10) + enhanced(cooked2(raw, 3), (EPOCH + 4) * 10**6 + 5, which=1)
    (tmp_path / "b.pcapng").write_bytes(head + blocks)
    files = carved([tmp_path], [("a.pcap", 1), ("b.pcapng", 1), ("b.pcapng", 2)])
    told = shown(files["F1.pcapng"], tmp_path, "frame.time_epoch", "frame.interface_id", "frame.comment")
    assert [row[:2] for row in told] == [
        [f"{EPOCH + 1}.000000789", "0"],
        [f"{EPOCH + 2}.000000123", "1"],
        [f"{EPOCH + 3}.000000000", "0"],
        [f"{EPOCH + 4}.000005000", "2"],
    ]
    assert [row[2] for row in told][2:] == ["frame 2 of a.pcap", "frame 2 of b.pcapng, quoted by F1"]


def test_a_frame_without_a_time_is_said_to_have_none(tmp_path: Path) -> None:
    (tmp_path / "a.pcapng").write_bytes(section() + interface() + simple(segment(1000)))
    files = carved([tmp_path / "a.pcapng"], [("a.pcapng", 1)])
    assert index(files)["slices"][0]["packets"][0]["time"] is None
    assert shown(files["F1.pcapng"], tmp_path, "frame.comment") == [
        ["frame 1 of a.pcapng, without a time, quoted by F1"]
    ]


def packed(name: str, frames: list[bytes]) -> bytes:
    whole = pcap(frames)
    return {
        "a.pcap.gz": lambda: gzip.compress(whole),
        "a.tar": lambda: tar_of([("node/a.pcap", whole)]),
        "a.zip": lambda: zip_of([("node/a.pcap", whole)]),
        # garbage within, and a last record that was cut
        "damaged.pcap": lambda: whole[: 24 + 3 * 76] + b"\xff" * 99 + whole[24 + 3 * 76 : -9],
        "cut.pcap.gz": lambda: gzip.compress(whole)[:-30],
    }[name]()


@pytest.mark.parametrize("name", ["a.pcap.gz", "a.tar", "a.zip", "damaged.pcap", "cut.pcap.gz"])
def test_packed_and_damaged_captures_are_carved_as_far_as_they_go(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(packed(name, [segment(port) for port in range(1000, 1012)]))
    source = f"{name}!node/a.pcap" if name in ("a.tar", "a.zip") else name
    files = carved([tmp_path / name], [(source, 2), (source, 4), (source, 999)])
    assert numbers(files) == [2, 4]
    assert [row[0] for row in shown(files["F1.pcapng"], tmp_path, "tcp.srcport")] == ["1001", "1003"]
    assert index(files)["left_out"] == [{"source": source, "numbers": [999], "reason": packets.UNFOUND}]


def test_two_findings_of_one_frame_have_a_slice_each(tmp_path: Path) -> None:
    (tmp_path / "a.pcap").write_bytes(pcap([segment(1000), segment(2000)]))
    files = carved([tmp_path / "a.pcap"], [("a.pcap", 1)], [("a.pcap", 2), ("a.pcap", 1)])
    assert (numbers(files, 0), numbers(files, 1)) == ([1], [1, 2])


def test_tables_in_files_give_the_same_slices(tmp_path: Path) -> None:
    (tmp_path / "a.pcap").write_bytes(pcap([segment(1000 + at % 3, at) for at in range(30)]))
    told = result(finding([("a.pcap", 5), ("a.pcap", 7)]))
    with read(tmp_path / "a.pcap") as inside, read(tmp_path / "a.pcap", memory=1) as files:
        assert carve(told, told, files) == carve(told, told, inside)


LINES = [f"I0314 09:00:{at:02d}.500000    1234 kubelet.go:2406] line {at}" for at in range(20)]


def sliced(files: dict[str, bytes], kind: str) -> tuple[list[str], list[dict[str, Any]]]:
    [made] = [one for one in index(files)["slices"] if one["kind"] == kind]
    return files[made["file"]].decode().splitlines(), made["lines"]


def test_lines_are_those_of_the_original_with_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "kubelet.log").write_text("\n".join(LINES))
    files = carved([tmp_path / "kubelet.log"], [("kubelet.log", 20), ("kubelet.log", 3), ("kubelet.log", 3)])
    lines, told = sliced(files, "kubelet")
    assert lines == [LINES[2], LINES[19]]
    assert [(one["line"], one["number"], one["command"]) for one in told] == [(1, 3, "# 3"), (2, 20, "# 20")]


def test_a_long_line_is_whole_up_to_its_bound_and_then_said_to_be_cut(tmp_path: Path) -> None:
    long = [f"{LINES[0]} {'x' * 9_000}", f"{LINES[1]} {'y' * LINE_MOST}"]
    (tmp_path / "kubelet.log").write_text("\n".join([*long, *LINES]))
    lines, told = sliced(carved([tmp_path], [("kubelet.log", 1), ("kubelet.log", 2)]), "kubelet")
    assert lines == [long[0], long[1][:LINE_MOST]]
    assert ["cut_at_bytes" in one for one in told] == [False, True]


def test_credentials_are_masked_and_no_line_drives_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "kubelet.log").write_text(f"{LINES[0]} password=hunter2hunter2 \x1b[2J\u202e\r\n{LINES[1]}\n")
    lines, _ = sliced(carved([tmp_path], [("kubelet.log", 1)]), "kubelet")
    assert lines == [f"{LINES[0]} password=[masked] \\x1b[2J\\u202e"]


def event(number: int, **more: Any) -> dict[str, Any]:
    time = f"2026-03-14T09:00:{number:02d}.000000Z"
    plain = {
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "RequestResponse", "auditID": f"id-{number}",
        "stage": "ResponseComplete", "requestURI": "/api/v1/pods", "verb": "list", "user": {"username": "u"},
        "requestReceivedTimestamp": time, "stageTimestamp": time,
    }  # fmt: skip
    return plain | more


def test_audit_events_stay_json_and_lose_their_bodies(tmp_path: Path) -> None:
    hidden = {"kind": "Secret", "data": {"k": "c2VjcmV0"}}
    events = [event(1), event(2, userAgent="a\u202eb\x00", requestObject=hidden, objectRef={"resource": "secrets"})]
    (tmp_path / "audit.log").write_text("".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in events))
    files = carved([tmp_path], [("audit.log", 1), ("audit.log", 2)])
    assert list(files) == ["index.json", "findings.json", "F1.audit.jsonl"]
    lines, _ = sliced(files, "audit")
    assert json.loads(lines[0]) == events[0]
    told = json.loads(lines[1])
    assert (told["userAgent"], "requestObject" in told) == ("a\u202eb\x00", False)
    assert "\\u202e" in lines[1]


def test_an_input_that_is_gone_or_has_changed_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.pcap").write_bytes(pcap([segment(1000)]))
    (tmp_path / "kubelet.log").write_text("\n".join(LINES))
    (tmp_path / "other.log").write_text("\n".join(LINES))
    told = result(finding([("a.pcap", 1), ("kubelet.log", 1), ("other.log", 2), ("nobody.log", 7)]))
    with read(tmp_path) as case:
        (tmp_path / "a.pcap").unlink()
        (tmp_path / "kubelet.log").unlink()
        (tmp_path / "other.log").write_text("something else")
        files = carve(told, told, case)
    assert list(files) == ["index.json", "findings.json"]
    left = {one["source"]: one["reason"] for one in index(files)["left_out"]}
    assert left == dict.fromkeys(("a.pcap", "kubelet.log", "other.log", "nobody.log"), packets.GONE)


def test_hidden_names_are_hidden_in_lines_and_packets_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.pcap").write_bytes(pcap([segment(1000)]))
    (tmp_path / "kubelet.log").write_text("\n".join(LINES))
    files = carved(
        [tmp_path],
        [("a.pcap", 1), ("kubelet.log", 1)],
        hide=lambda texts: [text.replace("line", "name-x1") for text in texts],
    )
    assert list(files) == ["index.json", "findings.json", "F1.kubelet.log"]
    assert sliced(files, "kubelet")[0] == [LINES[0].replace("line", "name-x1")]
    assert "addresses" in index(files)["left_out"][0]["reason"]


def test_dns_stays_whole(tmp_path: Path) -> None:
    (tmp_path / "a.pcap").write_bytes(pcap([dns_frame(query("api.example.com"))]))
    files = carved([tmp_path], [("a.pcap", 1)])
    assert shown(files["F1.pcapng"], tmp_path, "dns.qry.name", where="dns.flags.response == 0") == [["api.example.com"]]


@pytest.mark.parametrize("case", ["dns-upstream-unhealthy", "imds-hop-limit"])
def test_slices_of_a_case_are_what_tshark_and_sed_read_in_it(case: str, tmp_path: Path) -> None:
    folder, slices = CAPTURES / case, Slices()
    told = investigate(RunOptions(inputs=(folder,), slices=slices))
    fields = ("frame.number", "frame.time_epoch", "frame.len")
    original = gzip.decompress((folder / "node.pcap.gz").read_bytes())
    whole = {row[0]: row[1:] for row in shown(original, tmp_path, *fields)}
    assert told.findings
    for at, wanted in enumerate(told.findings):
        entry, found = index(slices.files, at), set()
        for made in entry["slices"]:
            data = slices.files[made["file"]]
            if made["kind"] == "pcap":
                rows = [row[1:] for row in shown(data, tmp_path, *fields)]
                assert rows == [whole[str(packet["number"])] for packet in made["packets"]]
                found |= {(one["source"], one["number"]) for one in made["packets"] if one["quoted"]}
                continue
            for line, text in zip(made["lines"], data.decode().splitlines(), strict=True):
                assert text == (folder / line["source"]).read_text().splitlines()[line["number"] - 1]
                found.add((line["source"], line["number"]))
        assert entry["left_out"] == []
        assert found == {(record.source, record.number) for record in wanted.evidence.records}
        for where in re.findall(r"tshark -r node.pcap.gz -Y '([^']+)'", "\n".join(wanted.verify)):
            assert shown(slices.files[f"F{at + 1}.pcapng"], tmp_path, "frame.number", where=where), where


def lines_in(name: str) -> bytes:
    text = "".join(f"{line}\n" for line in LINES * 50).encode()
    return {
        "kubelet.log.gz": lambda: gzip.compress(text),
        "cut.log.gz": lambda: gzip.compress(text)[:-20],
        "torn.log": lambda: text[:5000] + b"\xff\x00\xfe" + text[5000:],
        "utf16.log": lambda: text.decode().encode("utf-16"),
        "logs.tar.gz": lambda: gzip.compress(tar_of([("node/kubelet.log", text)])),
    }[name]()


@pytest.mark.parametrize("name", ["kubelet.log.gz", "cut.log.gz", "torn.log", "utf16.log", "logs.tar.gz"])
def test_packed_and_damaged_logs_are_sliced_as_far_as_they_go(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(lines_in(name))
    source = f"{name}!node/kubelet.log" if name == "logs.tar.gz" else name
    files = carved([tmp_path / name], [(source, 2), (source, 43), (source, 9999)])
    assert sliced(files, "kubelet")[0] == [LINES[1], LINES[2]]
    [left] = index(files)["left_out"]
    assert (left["source"], left["numbers"]) == (source, [9999])
