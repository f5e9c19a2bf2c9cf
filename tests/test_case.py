"""A case in files says exactly what its inputs say, whether it fits into memory or not."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from analyzer.case import FILE, Writer, is_case, load
from analyzer.case.buckets import BUCKETS, bucket_of
from analyzer.case.folder import UNFINISHED
from analyzer.case.parts import Writing
from analyzer.errors import InputError, OutputError, UsageError
from analyzer.frames import COREDNS_QUERIES, DNS_ANSWERS, DNS_MESSAGES, PACKETS
from analyzer.model import Result
from analyzer.pipeline import RunOptions, ingest, investigate
from tests.build import rows
from tests.cases import CAPTURES, CASES, as_json, result_of
from tests.sources.capture.make import dns_frame, pcap, query

FULL = Path("/dev/full")


def judged(*inputs: Path, like: Result, memory: int | None = None) -> str:
    options = RunOptions(inputs=inputs, title=like.title, command=like.command, memory=memory)
    return as_json(investigate(options))


@pytest.mark.parametrize("case", CASES)
def test_a_kept_case_is_judged_as_its_inputs_are(case: str, tmp_path: Path) -> None:
    ingest(RunOptions(inputs=(CAPTURES / case,)), tmp_path / "kept")
    like = result_of(case)
    assert judged(tmp_path / "kept", like=like) == as_json(like)
    assert judged(tmp_path / "kept", like=like, memory=0) == as_json(like)


@pytest.mark.parametrize("case", CASES)
def test_tables_that_do_not_fit_into_memory_say_the_same(case: str) -> None:
    like = result_of(case)
    assert judged(CAPTURES / case, like=like, memory=100_000) == as_json(like)


def test_a_second_run_reads_no_input(tmp_path: Path) -> None:
    copy = tmp_path / "queries.log"
    copy.write_text(
        '2026-03-14T09:00:00Z [INFO] 10.0.0.1:4000 - 7 "A IN a.example. udp 30 false 512" NOERROR qr 60 0.001s\n'
    )
    ingest(RunOptions(inputs=(copy,)), tmp_path / "kept")
    copy.unlink()
    assert [report.used for report in investigate(RunOptions(inputs=(tmp_path / "kept",))).inputs] == [1]


def test_where_frames_stand_is_kept_and_a_case_without_it_is_read_as_well(tmp_path: Path) -> None:
    copy = tmp_path / "dns.pcap"
    copy.write_bytes(pcap([dns_frame(query("a.example.com", number)) for number in range(2000)]))
    kept = ingest(RunOptions(inputs=(copy,)), tmp_path / "kept")
    again = load(tmp_path / "kept")
    assert again.places == kept.places
    marks = again.places["dns.pcap"].marks
    assert marks is not None
    assert (marks.every, marks.offsets[0]) == (512, 24)
    file = tmp_path / "kept" / FILE
    plain = json.loads(file.read_text())
    del plain["places"]["dns.pcap"][2:]
    file.write_text(json.dumps(plain))
    assert load(tmp_path / "kept").places["dns.pcap"].marks is None


def test_ingesting_again_leaves_nothing_of_the_case_before(tmp_path: Path) -> None:
    ingest(RunOptions(inputs=(CAPTURES / "outage",)), tmp_path / "kept")
    ingest(RunOptions(inputs=(CAPTURES / "audit-log-flood",)), tmp_path / "kept")
    assert not list((tmp_path / "kept" / "packets").rglob("*.parquet"))
    assert not (tmp_path / "kept" / UNFINISHED).exists()


def test_cases_and_files_are_kept_together_in_a_new_case(tmp_path: Path) -> None:
    first = CAPTURES / "dns-search-chain"
    ingest(RunOptions(inputs=(first,)), tmp_path / "one")
    whole = ingest(RunOptions(inputs=(tmp_path / "one", CAPTURES / "quiet")), tmp_path / "two")
    apart = [ingest(RunOptions(inputs=(path,)), tmp_path / "x") for path in (first, CAPTURES / "quiet")]
    for table, kept in whole.tables.items():
        assert kept.height == sum(case.tables[table].height for case in apart if table in case.tables), table.name
    assert len(whole.reports) == sum(len(case.reports) for case in apart)


def test_two_inputs_of_one_name_are_told_apart_and_one_input_given_twice_counts_once(tmp_path: Path) -> None:
    for name in ("dns-search-chain", "quiet"):
        ingest(RunOptions(inputs=(CAPTURES / name,)), tmp_path / name)
    whole = investigate(RunOptions(inputs=(tmp_path / "dns-search-chain", tmp_path / "quiet", tmp_path / "quiet")))
    assert len(whole.inputs) == len({report.path for report in whole.inputs})
    used = [report.path for report in whole.inputs if report.used]
    assert [path for path in used if path.endswith(" (2)")] == ["coredns.log (2)", "node.pcap.gz (2)"]
    assert sorted({f.subject for f in whole.findings}) == sorted(
        {f.subject for f in result_of("dns-search-chain").findings}
    )


def test_a_file_that_a_case_holds_already_is_not_read_into_it_again(tmp_path: Path) -> None:
    first = ingest(RunOptions(inputs=(CAPTURES / "quiet",)), tmp_path / "one")
    again = ingest(RunOptions(inputs=(tmp_path / "one", CAPTURES / "quiet")), tmp_path / "two")
    assert [report.path for report in again.reports] == [report.path for report in first.reports]
    assert {table: kept.height for table, kept in again.tables.items()} == {
        table: kept.height for table, kept in first.tables.items()
    }


def test_a_case_that_is_read_is_not_written_over(tmp_path: Path) -> None:
    kept = ingest(RunOptions(inputs=(CAPTURES / "quiet",)), tmp_path / "kept")
    with pytest.raises(UsageError, match="keep the new case in another folder"):
        ingest(RunOptions(inputs=(tmp_path / "kept", CAPTURES / "outage")), tmp_path / "kept")
    assert load(tmp_path / "kept").reports == kept.reports


def test_a_case_among_the_inputs_is_no_evidence(tmp_path: Path) -> None:
    shutil.copytree(CAPTURES / "quiet", tmp_path / "evidence")
    plain = ingest(RunOptions(inputs=(tmp_path / "evidence",)), tmp_path / "kept")
    inside = tmp_path / "evidence" / "kept"
    for _ in range(2):  # new, and as the case of the run before
        assert ingest(RunOptions(inputs=(tmp_path / "evidence",)), inside).reports == plain.reports
    told = {report.path: report.error for report in investigate(RunOptions(inputs=(tmp_path / "evidence",))).inputs}
    assert "name it as an input of its own" in told.pop("kept")
    assert list(told) == [report.path for report in plain.reports]


def test_somebody_elses_case_json_does_not_hide_what_lies_beside_it(tmp_path: Path) -> None:
    shutil.copytree(CAPTURES / "quiet", tmp_path / "evidence" / "node")
    for name in (FILE, UNFINISHED):
        (tmp_path / "evidence" / "node" / name).write_text("{}")
    plain, beside = (investigate(RunOptions(inputs=(path,))) for path in (CAPTURES / "quiet", tmp_path / "evidence"))
    used = [f"node/{report.path}" for report in plain.inputs if report.used]
    assert [report.path for report in beside.inputs if report.used] == used


@pytest.mark.parametrize("name", [FILE, UNFINISHED])
def test_a_pipe_with_the_name_of_a_case_file_is_not_waited_for(name: str, tmp_path: Path) -> None:
    (tmp_path / "evidence" / "node").mkdir(parents=True)
    os.mkfifo(tmp_path / "evidence" / "node" / name)
    program = "from analyzer.cli import main; main()"
    command = [sys.executable, "-c", program, "identify", str(tmp_path / "evidence")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert "named pipe" in done.stdout + done.stderr


def test_an_interrupted_run_leaves_no_case_and_can_be_repeated(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "kept")
    writer.add(PACKETS, rows(PACKETS, {"src": "10.0.0.1", "dst": "10.0.0.2"}).collect())
    writer.end_input()
    assert not is_case(tmp_path / "kept")
    Writer(tmp_path / "kept").finish((), {})
    assert load(tmp_path / "kept").tables == {}


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        pl.exceptions.ComputeError("IO error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_one_sentence(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot be written: No space left.*; make room"), Writing(tmp_path):
        raise error


@pytest.mark.skipif(not FULL.exists(), reason="no device that is full")
def test_a_full_disk_is_one_sentence_whoever_writes(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written: No space left"), Writing(tmp_path):
        rows(PACKETS, {"src": "10.0.0.1", "dst": "10.0.0.2"}).collect().write_parquet(FULL)


def test_a_folder_with_other_things_is_never_written_to(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="neither new nor a case"):
        Writer(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("memory", [None, 0])
def test_a_case_with_a_lost_part_is_refused(tmp_path: Path, memory: int | None) -> None:
    ingest(RunOptions(inputs=(CAPTURES / "quiet",)), tmp_path / "kept")
    next((tmp_path / "kept").rglob("*.parquet")).unlink()
    with pytest.raises(InputError, match="not a whole case"):
        load(tmp_path / "kept", memory)


def test_a_case_of_another_schema_is_refused(tmp_path: Path) -> None:
    ingest(RunOptions(inputs=(CAPTURES / "quiet",)), tmp_path / "kept")
    told = json.loads((tmp_path / "kept" / FILE).read_text())
    (tmp_path / "kept" / FILE).write_text(json.dumps(told | {"schema": "analyzer-case/1"}))
    with pytest.raises(InputError, match="ingest it again"):
        load(tmp_path / "kept")


def test_both_directions_of_a_connection_lie_in_one_bucket() -> None:
    ends = [{"src": f"10.0.{n}.1", "src_port": 40000 + n, "dst": "10.9.9.9", "dst_port": 443} for n in range(500)]
    back = [{"src": e["dst"], "src_port": e["dst_port"], "dst": e["src"], "dst_port": e["src_port"]} for e in ends]
    there, again = (bucket_of(PACKETS, rows(PACKETS, *rows_).collect()) for rows_ in (ends, back))
    assert there.equals(again)
    assert max(there.value_counts()["count"].to_list()) < 500 // BUCKETS * 2


def test_a_client_lies_in_one_bucket_whatever_tells_of_it() -> None:
    clients = [f"10.0.{n // 200}.{n % 200}" for n in range(400)]
    asked = rows(DNS_MESSAGES, *({"src": c, "dst": "10.9.9.9", "response": False} for c in clients)).collect()
    told = rows(DNS_MESSAGES, *({"src": "10.9.9.9", "dst": c, "response": True} for c in clients)).collect()
    logged = rows(COREDNS_QUERIES, *({"client": c} for c in clients)).collect()
    records = rows(DNS_ANSWERS, *({"client": c} for c in clients)).collect()
    buckets = [bucket_of(DNS_MESSAGES, asked), bucket_of(DNS_MESSAGES, told)]
    buckets += [bucket_of(COREDNS_QUERIES, logged), bucket_of(DNS_ANSWERS, records)]
    assert all(buckets[0].equals(bucket) for bucket in buckets[1:])
    assert set(buckets[0]) == set(range(BUCKETS))


def test_every_row_is_written_once(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "kept")
    frame = rows(PACKETS, *({"src": f"10.0.0.{n}", "dst": "10.9.9.9", "src_port": n} for n in range(100))).collect()
    writer.add(PACKETS, frame)
    writer.finish((), {})
    kept = load(tmp_path / "kept", memory=0).tables[PACKETS]
    assert kept.height == 100
    assert pl.concat(kept.buckets).collect().sort("number").equals(frame)
