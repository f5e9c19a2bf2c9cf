from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from analyzer import sources
from analyzer.frames import KERNEL_MESSAGES, KLOG_LINES, RUNTIME_MESSAGES, UNIT_MESSAGES
from analyzer.sources.klog import SOURCE as KLOG
from analyzer.sources.runtime import SOURCE
from tests.sources.texts import Reading, read_text

ID = "9782e0cf6742898144c14978eabdbed4af963d2f8eb9d857d4832d98986cf361"
OTHER = "1112e0cf6742898144c14978eabdbed4af963d2f8eb9d857d4832d98986cf361"
UID = "ecf6beca-4e57-4562-8f89-b6e72312b3fd"
MOMENT = datetime(2024, 5, 7, 11, 59, 43, 775_569, tzinfo=UTC)


def line(message: str, *fields: str, level: str = "info", time: str = "2024-05-07T11:59:43.775569203Z") -> str:
    quoted = message.replace("\\", "\\\\").replace('"', '\\"')
    return " ".join([f'time="{time}"', f"level={level}", f'msg="{quoted}"', *fields])


def read(*lines: str, **options: Any) -> Reading:
    return read_text(SOURCE, lines, **options)


def rows(*lines: str) -> list[dict[str, Any]]:
    return read(*lines).rows(RUNTIME_MESSAGES)


STARTS = line("starting containerd", "revision=abc", "version=1.7.2")


def test_a_line_gives_every_column() -> None:
    message = (
        f'CreateContainer within sandbox "{ID}" for container &ContainerMetadata{{Name:web,Attempt:0,}} '
        f'returns container id "{OTHER}"'
    )
    [one] = rows(line(message, 'error="a \\"b\\"\\n\\x1b"', "id=short"))
    assert one == {
        "time": MOMENT,
        "source": "a.log",
        "number": 1,
        "component": "containerd",
        "level": "info",
        "message": message,
        "container": "web",
        "container_id": OTHER,
        "sandbox_id": ID,
        "error": 'a "b"\n\x1b',
    }


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            f"RunPodSandbox for &PodSandboxMetadata{{Name:web-0,Uid:{UID},Namespace:shop,Attempt:0,}}",
            {"pod": "shop/web-0", "pod_uid": UID},
        ),
        (
            (
                f"RunPodSandbox for &PodSandboxMetadata{{Name:web-0,Uid:{UID},Namespace:shop,Attempt:0,}} "
                f'returns sandbox id "{ID}"'
            ),
            {"pod": "shop/web-0", "pod_uid": UID, "sandbox_id": ID},
        ),
        (
            f'RunPodSandbox for name:"web-0"  uid:"{UID}"  namespace:"shop"',
            {"pod": "shop/web-0", "pod_uid": UID},
        ),
        (f'StartContainer for "{ID}" returns successfully', {"container_id": ID}),
        (f'StopContainer for "{ID}" with timeout 30 (s)', {"container_id": ID}),
        (f'Container to stop "{ID}" must be in running or unknown state', {"container_id": ID}),
        (f'ContainerStatus for "{ID}" failed', {"container_id": ID}),
        (f'Kill container "{ID}"', {"container_id": ID}),
        (f'received exit event container_id:"{ID}"  id:"{ID}"  exit_status:137', {"container_id": ID}),
        (f'Failed to get podSandbox status for container event for sandboxID "{ID}": not found', {"sandbox_id": ID}),
        (f'StopPodSandbox for "{ID}"', {"sandbox_id": ID}),
        ('PullImage "docker.io/library/nginx:latest"', {"image": "docker.io/library/nginx:latest"}),
        (
            (
                f'failed to reserve container name "web_web-0_shop_{UID}_2": '
                f'name "web_web-0_shop_{UID}_2" is reserved for "{ID}"'
            ),
            {"pod": "shop/web-0", "pod_uid": UID, "container": "web"},
        ),
        (f'failed to reserve sandbox name "web-0_shop_{UID}_2"', {"pod": "shop/web-0", "pod_uid": UID}),
        (f"Ran pod sandbox {ID} with infra container: shop/web-0/POD", {"pod": "shop/web-0", "sandbox_id": ID}),
        (
            f"Created container {ID}: shop/web-0/web",
            {"pod": "shop/web-0", "container": "web", "container_id": ID},
        ),
        ("Pulling image: quay.io/a/b:1", {"image": "quay.io/a/b:1"}),
        ("Running on namespace/name: nothing", {}),
    ],
)
def test_pods_sandboxes_containers_and_images_are_read_from_messages(message: str, told: dict[str, Any]) -> None:
    [_, one] = rows(STARTS, line(message))
    names = ("pod", "pod_uid", "container", "container_id", "sandbox_id", "image")
    assert {name: one[name] for name in names if name in one} == told


def test_fields_hold_ids_and_errors() -> None:
    [one] = rows(line("shim disconnected", f"id={ID}", "namespace=k8s.io"))
    assert (one["container_id"], one.get("pod")) == (ID, None)
    [one] = rows(line("RunPodSandbox failed", f'error="name \\"web-0_shop_{UID}_0\\" is reserved"', level="error"))
    assert (one["level"], one["pod"]) == ("error", "shop/web-0")


def test_crio_writes_a_space_into_its_times() -> None:
    text = "Checking image status: registry.k8s.io/pause:3.9"
    [one] = rows(line(text, "id=1", "name=/runtime.v1.ImageService/ImageStatus", time="2024-05-07 11:59:43.775569203Z"))
    assert (one["time"], one["component"], one["image"]) == (MOMENT, "crio", "registry.k8s.io/pause:3.9")


def test_what_stands_in_quotes_cannot_imitate_a_field() -> None:
    [one] = rows(line('x error="forged" id=forged containerd', "error=real"))
    assert one["error"] == "real"
    [one] = rows(line('containerd error=\\"forged'))
    assert "error" not in one


@pytest.mark.parametrize("damage", ['msg="no end', 'msg="a" error="no end', 'msg="a" "b"'])
def test_a_damaged_line_costs_itself(damage: str) -> None:
    reading = read(STARTS, f'time="2024-05-07T11:59:43Z" level=info {damage}', STARTS)
    assert (reading.report.used, reading.skipped) == (2, {"malformed line": 1})


def test_a_last_line_that_was_cut_is_an_incomplete_tail() -> None:
    for cut in (
        'time="2024-05-07T11:59:43Z" level=info msg="a',
        'time="2024-05-07T1',
        'time="2024-05-07T11:59:43Z" level',
    ):
        reading = read_text(SOURCE, f"{STARTS}\n{cut}".encode())
        assert (reading.report.used, reading.report.incomplete_tail, reading.report.skipped) == (1, 1, 0)


def test_traces_of_a_runtime_are_no_records() -> None:
    assert read(STARTS, "goroutine 1 [running]:", "\tmain.go:1").skipped == {"not-a-record": 2}


def test_credentials_are_masked() -> None:
    [one] = rows(
        line("trying https://robot:hunter22@registry.example.com containerd", 'error="Authorization: Bearer abcdefgh1"')
    )
    assert "hunter22" not in one["message"]
    assert "abcdefgh1" not in one["error"]


@pytest.mark.parametrize(
    ("lines", "component"),
    [
        ([STARTS], "containerd"),
        ([line("API listen on /run/docker.sock")], "dockerd"),
        ([line("Running pod sandbox: a/b/POD", "name=/runtime.v1.RuntimeService/RunPodSandbox")], "crio"),
    ],
)
def test_a_runtime_is_known_by_its_words(lines: list[str], component: str) -> None:
    known = sources.identify("".join(f"{one}\n" for one in lines).encode())
    assert known is not None
    assert known[0].name == "runtime"
    assert read(*lines).column(RUNTIME_MESSAGES, "component") == [component]


def test_logfmt_of_another_program_is_no_runtime() -> None:
    assert sources.identify(f"{line('listening on :8080')}\n".encode()) is None


def prefixed(writer: str, text: str) -> str:
    return f"May  7 11:59:43 node-1 {writer}: {text}"


JOURNAL = [
    "-- Logs begin at Tue 2024-05-07 11:00:00 UTC, end at Tue 2024-05-07 13:00:00 UTC. --",
    prefixed("kernel", "[  152.700479] nf_conntrack: nf_conntrack: table full, dropping packet"),
    prefixed("kubelet[7]", 'I0507 11:59:43.774645       7 util.go:30] "one"'),
    prefixed("containerd[9]", STARTS),
    prefixed("kubelet[7]", "\tgoes on"),
    prefixed("containerd[9]", "panic: no logfmt"),
    prefixed("containerd[9]", 'time="2024-05-07T11:59:43Z" level=info msg="no end'),
    prefixed("kubelet[7]", 'time="2024-05-07T11:59:43Z" level=info msg="of a library in the kubelet"'),
    prefixed("systemd[1]", "Started kubelet.service"),
    prefixed("kubelet[7]", 'I0507 11:59:43.774645       7 util.go:30] "two"'),
]


def test_a_journal_gives_the_tables_of_all_its_writers_and_counts_every_line_once() -> None:
    reading = read_text(KLOG, JOURNAL)
    assert reading.column(KLOG_LINES, "text") == ['"one"\n\tgoes on', '"two"']
    [kernel] = reading.rows(KERNEL_MESSAGES)
    [runtime] = reading.rows(RUNTIME_MESSAGES)
    assert (kernel["number"], kernel["time"], kernel["host"]) == (2, MOMENT.replace(microsecond=0), "node-1")
    assert (runtime["number"], runtime["component"], runtime["host"]) == (4, "containerd", "node-1")
    [unit] = reading.rows(UNIT_MESSAGES)
    assert (unit["number"], unit["time"], unit["unit"], unit["what"]) == (9, kernel["time"], "kubelet", "started")
    # the continuation line is part of its entry
    assert (reading.report.used, reading.skipped) == (5, {"not-a-record": 3, "malformed line": 1})


def test_whatever_a_journal_is_taken_for_its_rows_are_the_same() -> None:
    made = [read_text(source, JOURNAL).tables for source in (KLOG, SOURCE)]
    assert set(made[0]) == set(made[1])
    assert all(made[0][table].equals(made[1][table]) for table in made[0])


def test_lines_of_others_do_not_hide_a_kubelet_from_recognition() -> None:
    many = [prefixed("kernel", f"[  152.70047{n % 10}] text") for n in range(150)]
    known = sources.identify("".join(f"{one}\n" for one in [*many, JOURNAL[2]]).encode())
    assert known is not None
    assert known[0].name == "kubelet"
