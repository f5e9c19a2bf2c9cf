"""Process listings as engineers save them: every column that ps knows, and nothing of a command but its name."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest

from analyzer import sources
from analyzer.frames import PROCESSES
from analyzer.sources.processes import SOURCE
from tests.sources.texts import Reading, read_text

AUX = "USER       PID %CPU %MEM    VSZ   RSS TTY      STAT START   TIME COMMAND"
FULL = "UID        PID  PPID  C STIME TTY          TIME CMD"
ID = "0f32894de86edf3d3732702af794874ef8d400b4969acdea4976b12040756e0d"
UID = "968a06fb-9ab9-4819-8caf-0392ddff3d9b"
SLICE = "0::/kubepods.slice/kubepods-burstable.slice"
CGROUP = f"{SLICE}/kubepods-burstable-pod{UID.replace('-', '_')}.slice/cri-containerd-{ID}.scope"


def read(*lines: str, **options: Any) -> Reading:
    return read_text(SOURCE, lines, "ps.txt", **options)


def rows(*lines: str, **options: Any) -> list[dict[str, Any]]:
    known = sources.identify("".join(f"{line}\n" for line in lines).encode())
    assert known is not None
    assert known[0].name == "processes"
    made = read(*lines, **options).rows(PROCESSES)
    return [{name: row[name] for name in row if name not in ("source", "listing")} for row in made]


def quoted(*lines: str) -> dict[int, str]:
    data = "".join(f"{line}\n" for line in lines).encode()
    return SOURCE.quote(BytesIO(data), frozenset(range(1, len(lines) + 1)))


def test_ps_aux_tells_states_and_users() -> None:
    assert rows(
        AUX,
        "root         1  0.4  0.0  51048 17652 ?        Ss   00:23   3:53 /usr/lib/systemd/systemd --system",
        "1000     14704  0.0  0.0      0     0 ?        Z    Nov25   0:00 [sh] <defunct>",
    ) == [
        {"number": 2, "pid": 1, "user": "root", "state": "S", "command": "systemd"},
        {"number": 3, "pid": 14704, "user": "1000", "state": "Z", "command": "sh"},
    ]


def test_ps_ef_has_parents_and_knows_the_defunct_by_their_name() -> None:
    assert rows(
        FULL,
        "root      4711  4690  0 07:02 ?        00:00:03 java -Dpassword=hunter2 -jar /app/cart.jar",
        "root     14704  4711  0 07:06 ?        00:00:00 [sh] <defunct>",
        "root     14705     2  0 07:06 ?        00:00:00 [kworker/0:1-events]",
    ) == [
        {"number": 2, "pid": 4711, "ppid": 4690, "user": "root", "command": "java"},
        {"number": 3, "pid": 14704, "ppid": 4711, "user": "root", "state": "Z", "command": "sh"},
        {"number": 4, "pid": 14705, "ppid": 2, "user": "root", "command": "kworker/0:1-events"},
    ]


def test_a_forest_tells_parents_where_no_column_does() -> None:
    columns = "root  {:>8}  0.0  0.0   5004  3920 ?        S    00:23   0:00 "
    tree = [
        "/usr/bin/containerd-shim",
        " \\_ /pause",
        " \\_ /usr/bin/java",
        " |   \\_ [sh] <defunct>",
        " \\_ sh",
        "cron",
    ]
    made = rows(AUX, *(columns.format(10 + at) + text for at, text in enumerate(tree)))
    assert [(one["pid"], one.get("ppid")) for one in made] == [
        *((10, None), (11, 10), (12, 10), (13, 12), (14, 10), (15, None)),
    ]
    assert [one["command"] for one in made] == ["containerd-shim", "pause", "java", "sh", "sh", "cron"]


def test_threads_are_no_processes() -> None:
    reading = read(
        AUX,
        "root     14704  0.0  0.0      0     0 ?        -    16:12   0:00 [sh] <defunct>",
        "root         -  0.0    -      -     - -        Z    16:12   0:00 -",
    )
    assert (reading.column(PROCESSES, "state"), reading.skipped) == (["Z"], {"thread of a process": 1})
    header = "F S UID        PID  PPID   LWP  C NLWP PRI  NI ADDR SZ WCHAN  STIME TTY          TIME CMD"
    line = "4 S root         1     0 {:>5}  0   14  70 -10 - 13681 -      00:23 ?        00:03:55 /sbin/init"
    assert read(header, line.format(1), line.format(64)).column(PROCESSES, "pid") == [1]


def test_columns_of_ones_own_with_ages_and_cgroups() -> None:
    made = rows(
        "2026-11-26T07:30:00Z",
        "    PID    PPID STAT USER     ELAPSED COMMAND              CGROUP",
        f"   4711    4690 Ssl  app         1800 java                 {CGROUP}",
        f"  14704    4711 Z    app         1200 sh <defunct>         {CGROUP} (deleted)",
    )
    same = {"time": datetime(2026, 11, 26, 7, 30, tzinfo=UTC), "user": "app", "pod_uid": UID}
    assert [one | same for one in made] == made
    assert [(one["state"], one["command"], one["elapsed_seconds"]) for one in made] == [
        *(("S", "java", 1800), ("Z", "sh", 1200)),
    ]
    assert made[0]["container_id"] == ID
    assert made[0]["started"] == datetime(2026, 11, 26, 7, 0, tzinfo=UTC)


def test_start_and_age_together_tell_the_time_of_a_listing() -> None:
    lines = (
        "    PID    PPID STAT     ELAPSED                  STARTED COMMAND",
        "      1       0 Ss    1-00:00:05 Wed Nov 25 08:30:00 2026 systemd",
        "  14704    4711 Z          23:59 Thu Nov 26 08:06:06 2026 sh <defunct>",
    )
    made = rows(*lines)
    assert [one["time"] for one in made] == [datetime(2026, 11, 26, 8, 30, 5, tzinfo=UTC)] * 2
    assert (made[1]["elapsed_seconds"], made[1]["started"]) == (1439, datetime(2026, 11, 26, 8, 6, 6, tzinfo=UTC))
    assert rows(*lines, tz="Europe/Vienna")[0]["time"] == datetime(2026, 11, 26, 7, 30, 5, tzinfo=UTC)
    assert "taken as UTC (--tz sets it)" in read(*lines).notes


def test_two_words_of_a_start_are_one_column() -> None:
    header = "  PID  STARTED COMMAND"
    assert [one["command"] for one in rows(header, "    1   Nov 25 systemd", "    2 08:06:06 cron")] == [
        "systemd",
        "cron",
    ]


@pytest.mark.parametrize(
    ("header", "line", "expected"),
    [
        ("PID   USER     TIME  COMMAND", "   12 root      0:00 {httpd} /usr/sbin/httpd", {"command": "{httpd}"}),
        ("  PID USER       VSZ STAT COMMAND", "    7 root      1320 S    nginx: master process", {"command": "nginx"}),
        ("  PID  PPID COMMAND         COMMAND", "    7     1 sh              sh -c x=1", {"command": "sh", "ppid": 1}),
        ("  PID S COMMAND", "    7 D -bash", {"command": "bash", "state": "D"}),
        ("COMMAND                       PID", "/opt/a b c                      7", {"command": "a"}),
        (
            "    PID USER      PR  NI    VIRT    RES    SHR S  %CPU  %MEM     TIME+ COMMAND",
            "      7 root      30  10 1423392 159200  42612 R 100.0   0.6   0:11.34 python",
            {"command": "python", "state": "R"},
        ),
    ],
)
def test_other_columns(header: str, line: str, expected: dict[str, Any]) -> None:
    [row] = rows(header, line)
    assert expected.items() <= row.items()
    assert row["pid"] in (7, 12)


def test_a_prompt_names_the_host_and_several_listings_are_told_apart() -> None:
    line = "root         1     0  0 00:23 ?        00:03:55 /sbin/init"
    reading = read("[root@ip-10-0-12-36 ~]# ps -ef", FULL, line, "1764140400", "$ ps -ef", FULL, line)
    assert reading.column(PROCESSES, "host") == ["ip-10-0-12-36"] * 2
    assert reading.column(PROCESSES, "listing") == [2, 6]
    assert reading.column(PROCESSES, "time") == [None, datetime(2025, 11, 26, 7, 0, tzinfo=UTC)]
    assert "holds no time of its own" in reading.notes
    assert (reading.report.used, reading.skipped) == (2, {})


SECRET = "CANARY9x9Zq7Lm2Wv8"


@pytest.mark.parametrize(
    "command",
    [
        f"mysql -p{SECRET}",
        f"/bin/sh -c curl -H 'Authorization: Bearer {SECRET}' /bin/sh",
        f"PASSWORD={SECRET} sh",
        f"[sh] {SECRET}",
        f"\\_ sh {SECRET}",
        f"-bash {SECRET}",
        f"sh PATH=/bin TOKEN={SECRET}",
    ],
)
def test_arguments_reach_neither_rows_nor_quotes(command: str) -> None:
    for header, line in (
        (FULL, f"root      4711  4690  0 07:02 ?        00:00:03 {command}"),
        ("  PID  PPID S COMMAND         COMMAND", f" 4711  4690 S sh              {command}"),
        ("COMMAND                       PID", f"{command}              4711"),
    ):
        reading = read(header, line)
        assert reading.report.used == 1
        assert SECRET not in str(reading.rows(PROCESSES))
        assert SECRET not in str(quoted(header, line)), line


def test_a_quote_ends_with_the_name() -> None:
    told = quoted(
        FULL,
        "root      4711  4690  0 07:02 ?        00:00:03 /usr/bin/java -jar /app/cart.jar",
        "root     14704  4711  0 07:06 ?        00:00:00 [sh] <defunct>",
        "no process",
    )
    assert told == {
        1: FULL,
        2: "root      4711  4690  0 07:02 ?        00:00:03 java",
        3: "root     14704  4711  0 07:06 ?        00:00:00 sh <defunct>",
    }


def test_damage_costs_its_line_and_is_counted() -> None:
    good = "root         1     0  0 00:23 ?        00:03:55 /sbin/init"
    reading = read("Some text", FULL, good, "root         x     0  0", "\x1b[31m\x00\x07", good, "a" * (1 << 20))
    assert reading.column(PROCESSES, "number") == [3, 6]
    assert reading.skipped == {"malformed line": 3, "not-a-record": 1}


def test_hostile_lines_do_no_harm() -> None:
    long = "root         1     0  0 00:23 ?        00:03:55 " + "\x1b]0;x\x07" + "A" * (1 << 20)
    assert read(FULL, long).rows(PROCESSES)[0]["command"].startswith("]0;xAAAA"), "without what drives a terminal"
    assert len(read(FULL, long).rows(PROCESSES)[0]["command"]) == 64
    assert all(len(text) < 2100 for text in quoted(FULL, long).values())
    many = [" ".join(["PID", *["COMMAND"] * n]) for n in range(1, 100)]
    assert read(*many).report.used == 0
    assert read("PID STAT COMMAND", "\x00" * 5000, "99999999999999999999 S a", "9999999999 S a").report.used == 1
    spaces = "COMMAND PID"
    assert read(spaces, " " * (1 << 20) + "7").report.used == 0


def test_a_header_alone_is_a_listing_without_processes() -> None:
    assert rows(FULL) == []
    assert sources.identify(b"PID\n") is None
    assert sources.identify(b"CONTAINER ID   IMAGE   COMMAND   CREATED   STATUS   PORTS   NAMES\nab  x  y  z\n") is None


def test_a_last_line_that_was_cut_is_an_incomplete_tail() -> None:
    whole = f"{FULL}\nroot         1     0  0 00:23 ?        00:03:55 /sbin/init\n"
    cut = read_text(SOURCE, f"{whole}root         2".encode())
    assert (cut.report.used, cut.report.incomplete_tail) == (1, 1)
    assert "its command may have been cut" in read_text(SOURCE, whole.rstrip("\n").encode()).notes


def test_listings_go_on_across_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "   {} 4690 S {}:00 Wed Nov 25 08:30:00 2026 java"
    lines = ["  PID  PPID S ELAPSED STARTED COMMAND", *(line.format(n, n) for n in range(10, 30))]
    whole = read(*lines).tables[PROCESSES]
    monkeypatch.setattr("analyzer.sources.lines.windows.__defaults__", (70, 64 << 20))
    assert read(*lines).tables[PROCESSES].equals(whole)
    assert (whole.height, whole["time"].n_unique()) == (20, 1)


@pytest.mark.skipif(shutil.which("ps") is None, reason="no ps here")
@pytest.mark.parametrize("arguments", ["aux", "-ef", "auxf", "alxwww", "-eo pid,ppid,stat,user:32,etimes,comm:20"])
def test_every_line_of_this_machines_ps_is_read(arguments: str) -> None:
    made = subprocess.run(["ps", *arguments.split()], capture_output=True, check=True).stdout
    reading = read_text(SOURCE, made)
    assert (reading.report.used, reading.skipped) == (len(made.splitlines()) - 1, {})
    own = [line.split() for line in made.decode("utf-8", "replace").splitlines()]
    at = own[0].index("PID")
    assert reading.column(PROCESSES, "pid") == [int(words[at]) for words in own[1:]]
