from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from analyzer import sources
from analyzer.frames import KERNEL_MESSAGES, KLOG_LINES
from analyzer.sources.kernel import SOURCE
from tests.sources.texts import Reading, read_text

UID = "968a06fb-9ab9-4819-8caf-0392ddff3d9b"
ID = "0f32894de86edf3d3832702af794874ef8d400b4969acdea4976b12040756e0d"
SLICE = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID.replace('-', '_')}.slice"


def read(*lines: str, **options: Any) -> Reading:
    return read_text(SOURCE, lines, **{"year": 2024, **options})


def rows(*lines: str, **options: Any) -> list[dict[str, Any]]:
    return read(*lines, **options).rows(KERNEL_MESSAGES)


def row(text: str) -> dict[str, Any]:
    [one] = rows(f"[12345.678901] {text}")
    return one


MOMENT = datetime(2024, 5, 7, 11, 59, 43, tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("[12345.678901] text", {"monotonic_seconds": 12345.678901}),
        ("[    5.000001] text", {"monotonic_seconds": 5.000001}),
        ("[    0.000000][    T0] text", {"monotonic_seconds": 0.0}),
        ("[12345.678901 <    0.000005>] text", {"monotonic_seconds": 12345.678901}),
        ("<4>[12345.678901] text", {"monotonic_seconds": 12345.678901, "facility": "kern", "level": "warning"}),
        ("kern  :err   : [12345.678901] text", {"monotonic_seconds": 12345.678901, "facility": "kern", "level": "err"}),
        ("daemon:warn  : [    1.000000] text", {"monotonic_seconds": 1.0, "facility": "daemon", "level": "warning"}),
        ("[Tue May  7 11:59:43 2024] text", {"time": MOMENT}),
        ("[Вт мая  7 11:59:43 2024] text", {}),
        ("2024-05-07T13:59:43,000000+02:00 text", {"time": MOMENT}),
        (
            "kern:    info: [2024-05-07T11:59:43.000000000Z]: text",
            {"time": MOMENT, "facility": "kern", "level": "info"},
        ),
        ("6,1234,5678901,-;text", {"monotonic_seconds": 5.678901, "facility": "kern", "level": "info"}),
        ("30,1,2000000,-,caller=T1;text", {"monotonic_seconds": 2.0, "facility": "daemon", "level": "info"}),
        ("May  7 11:59:43 node kernel: text", {"time": MOMENT, "host": "node"}),
        ("May  7 11:59:43 node kernel: [ 7.500000] text", {"time": MOMENT, "host": "node", "monotonic_seconds": 7.5}),
        ("2024-05-07T11:59:43.000000+00:00 node kernel: text", {"time": MOMENT, "host": "node"}),
        ('{"__REALTIME_TIMESTAMP":"1715083183000000","SYSLOG_IDENTIFIER":"kernel","MESSAGE":"text"}', {"time": MOMENT}),
    ],
)
def test_time_and_priority_are_read_in_every_way_that_they_are_printed(line: str, told: dict[str, Any]) -> None:
    [one] = rows(line)
    assert one == {"source": "a.log", "number": 1, "kind": "other", "text": "text", "count": 1} | told


def test_a_log_without_times_says_so() -> None:
    reading = read("Linux version 6.1.0 (builder@host)", "nf_conntrack: table full, dropping packet")
    assert reading.column(KERNEL_MESSAGES, "time") == [None, None]
    assert "2 kernel messages have no time at all" in reading.notes


def test_dmesg_t_is_in_the_zone_that_the_user_names() -> None:
    reading = read("[Tue May  7 13:59:43 2024] text", tz="Europe/Vienna")
    assert reading.column(KERNEL_MESSAGES, "time") == [MOMENT]
    assert "times are those of dmesg -T: in the zone of the node, taken as Europe/Vienna" in reading.notes


def test_a_line_that_tells_the_time_of_day_places_the_lines_around_it() -> None:
    clock = "rtc_cmos 00:01: setting system clock to 2024-05-07T11:22:33 UTC (1715080953)"
    reading = read("[    0.000000] Linux version 6.1.0", f"[    1.500000] {clock}", "[   11.500000] text")
    seconds = [
        (time - datetime(2024, 5, 7, 11, 22, 33, tzinfo=UTC)).total_seconds()  # type: ignore[operator]
        for time in reading.column(KERNEL_MESSAGES, "time")
    ]
    assert seconds == [-1.5, 0.0, 10.0]
    assert "3 kernel messages have seconds since boot only" in reading.notes
    assert "first line 2" in reading.notes


def test_an_audit_stamp_tells_the_time_of_day_too() -> None:
    stamp = "audit: type=2000 audit(1715080953.250:1): state=initialized audit_enabled=0 res=1"
    reading = read(f"[    0.250000] {stamp}", "[   60.000000] text")
    assert reading.column(KERNEL_MESSAGES, "time")[1] == datetime(2024, 5, 7, 11, 23, 33, tzinfo=UTC)


def test_another_boot_is_not_placed_by_the_clock_of_the_one_before() -> None:
    clock = "rtc_cmos rtc_cmos: setting system clock to 2024-05-07 11:22:33 UTC (1715080953)"
    reading = read(
        f"[    1.500000] {clock}", "[ 9000.000000] text", "[    0.000000] Linux version 6.1.0", "[ 1.0] text"
    )
    assert [time is None for time in reading.column(KERNEL_MESSAGES, "time")] == [False, False, True, True]
    assert "2 kernel messages have seconds since boot only, and nothing tells when that was" in reading.notes


def test_the_clock_of_a_boot_holds_across_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = "[    1.500000] rtc_cmos 00:01: setting system clock to 2024-05-07T11:22:33 UTC (1715080953)"
    lines = [clock, *(f"[ {second}.000000] text" for second in range(20, 40))]
    whole = read(*lines).tables[KERNEL_MESSAGES]
    monkeypatch.setattr("analyzer.sources.lines.windows.__defaults__", (100, 64 << 20))
    assert read(*lines).tables[KERNEL_MESSAGES].equals(whole)
    assert whole["time"].null_count() == 0


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        (
            "java invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=986",
            "oom_invoked",
            {"process": "java", "oom_score_adj": 986},
        ),
        (
            (
                "Out of memory: Killed process 1 (a b) total-vm:8kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB, UID:0 "
                "pgtables:40kB oom_score_adj:-998"
            ),
            "oom_kill",
            {"pid": 1, "process": "a b", "total_vm_bytes": 8192, "anon_rss_bytes": 4096, "oom_score_adj": -998},
        ),
        (
            "Memory cgroup out of memory: Killed process 63214 (uwsgi) total-vm:2kB, anon-rss:1kB, oom_score_adj:986",
            "cgroup_oom",
            {"pid": 63214, "process": "uwsgi", "total_vm_bytes": 2048, "anon_rss_bytes": 1024, "oom_score_adj": 986},
        ),
        (
            "Killed process 7 (java), UID 1000, total-vm:2kB, anon-rss:1kB, file-rss:0kB",
            "oom_kill",
            {"pid": 7, "process": "java", "total_vm_bytes": 2048, "anon_rss_bytes": 1024},
        ),
        (
            "Killed process 7 (java) vsz:2kB, anon-rss:1kB, file-rss:0kB",
            "oom_kill",
            {"pid": 7, "process": "java", "total_vm_bytes": 2048, "anon_rss_bytes": 1024},
        ),
        (
            "Out of memory: Killed process 7, UID 48, (httpd).",
            "oom_kill",
            {"pid": 7, "process": "httpd"},
        ),
        ("NVRM: Xid (PCI:0000:38:00): 43, pid=2924364, name=python", "gpu_error", {"device": "0000:38:00"}),
        ("VFS: file-max limit 1000000 reached", "file_limit", {}),
        (
            "oom_reaper: reaped process 7 (java), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB",
            "oom_reaped",
            {"pid": 7, "process": "java"},
        ),
        (
            "INFO: task kworker/u8:1:12345 blocked for more than 120 seconds.",
            "hung_task",
            {"pid": 12345, "process": "kworker/u8:1", "duration_seconds": 120},
        ),
        (
            "INFO: task dd:5 blocked in I/O wait for more than 241 seconds.",
            "hung_task",
            {"pid": 5, "process": "dd", "duration_seconds": 241},
        ),
        (
            "watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [kworker/3:1:99]",
            "soft_lockup",
            {"pid": 99, "process": "kworker/3:1", "duration_seconds": 22},
        ),
        ("NMI watchdog: Watchdog detected hard LOCKUP on cpu 2", "hard_lockup", {}),
        ("rcu: INFO: rcu_sched self-detected stall on CPU", "rcu_stall", {}),
        ("INFO: rcu_sched detected stalls on CPUs/tasks: { 3} (detected by 1, t=60002 jiffies)", "rcu_stall", {}),
        ("nf_conntrack: nf_conntrack: table full, dropping packet", "conntrack_full", {}),
        ("ip_conntrack: table full, dropping packet.", "conntrack_full", {}),
        ("neighbour: arp_cache: neighbor table overflow!", "neighbour_overflow", {}),
        ("Neighbour table overflow.", "neighbour_overflow", {}),
        (
            "TCP: request_sock_TCP: Possible SYN flooding on port 8080. Sending cookies.  Check SNMP counters.",
            "tcp_syn_flood",
            {"dst_port": 8080},
        ),
        (
            "TCP: request_sock_TCP: Possible SYN flooding on port [::]:443. Sending cookies.",
            "tcp_syn_flood",
            {"dst_port": 443},
        ),
        ("TCP: out of memory -- consider tuning tcp_mem", "tcp_out_of_memory", {}),
        ("blk_update_request: I/O error, dev sda, sector 1234 op 0x0:(READ) flags 0x0", "io_error", {"device": "sda"}),
        ("Buffer I/O error on dev dm-0, logical block 0, async page read", "io_error", {"device": "dm-0"}),
        ("EXT4-fs error (device sda1): ext4_lookup:1602: inode #2: comm ls: iget: bad", "io_error", {"device": "sda1"}),
        ("EXT4-fs (sda1): Remounting filesystem read-only", "io_error", {"device": "sda1"}),
        ('XFS (sdb1): metadata I/O error in "xlog" at daddr 0x1 len 8 error 5', "io_error", {"device": "sdb1"}),
        ("EXT4-fs (sda1): mounted filesystem with ordered data mode. Opts: errors=remount-ro", "other", {}),
        ("nfs: server 10.0.0.5 not responding, still trying", "nfs_timeout", {"dst": "10.0.0.5"}),
        ("nfs: server 10.0.0.5 OK", "nfs_recovered", {"dst": "10.0.0.5"}),
        (
            "java[1234]: segfault at 0 ip 00007f sp 00007f error 14 in libc.so.6[7f+1]",
            "segfault",
            {"pid": 1234, "process": "java"},
        ),
        ("e1000e 0000:00:19.0 eth0: NIC Link is Down", "net_link", {"device": "eth0"}),
        ("IPv6: ADDRCONF(NETDEV_CHANGE): veth1: link becomes ready", "net_link", {"device": "veth1"}),
        ("cni0: port 2(veth98016daf) entered forwarding state", "bridge_port", {"device": "veth98016daf"}),
        ("device veth9 entered promiscuous mode", "bridge_port", {"device": "veth9"}),
        (
            "unregister_netdevice: waiting for lo to become free. Usage count = 1",
            "unregister_netdevice",
            {"device": "lo"},
        ),
        (
            "IPv4: martian source 10.0.0.1 from 10.0.0.2, on dev eth0",
            "martian",
            {"device": "eth0", "dst": "10.0.0.1", "src": "10.0.0.2"},
        ),
        (
            "DROP: IN=eth0 OUT= MAC=aa SRC=10.0.0.1 DST=10.0.0.2 LEN=60 PROTO=TCP SPT=1 DPT=443 WINDOW=0",
            "netfilter_log",
            {"device": "eth0", "src": "10.0.0.1", "dst": "10.0.0.2", "dst_port": 443},
        ),
        (" dump_stack+0x6d/0x8b", "call_trace", {}),
        ("Linux version 6.1.0 (builder@host) #1 SMP", "boot", {}),
        ("reboot: Restarting system", "reboot", {}),
    ],
)
def test_messages_are_told_apart_with_their_values(text: str, kind: str, told: dict[str, Any]) -> None:
    one = row(text)
    assert {name: one[name] for name in one if name not in {"source", "number", "monotonic_seconds", "text"}} == {
        "kind": kind,
        "count": 1,
    } | told


@pytest.mark.parametrize(
    ("path", "uid", "container"),
    [
        (f"{SLICE}/cri-containerd-{ID}.scope", UID, ID),
        (f"{SLICE}/crio-{ID}.scope", UID, ID),
        (f"{SLICE}/docker-{ID}.scope", UID, ID),
        (f"/kubepods/burstable/pod{UID}/{ID}", UID, ID),
        (f"/kubepods/pod{UID}/{ID}", UID, ID),
        (f"/kubepods/besteffort/pod{UID.replace('-', '')}/{ID}", UID.replace("-", ""), ID),
        (f"/kubelet.slice/kubelet{SLICE}/cri-containerd-{ID}.scope", UID, ID),
        ("/system.slice/sshd.service", None, None),
    ],
)
def test_the_pod_and_the_container_are_read_from_the_cgroup(path: str, uid: str | None, container: str | None) -> None:
    now = row(
        f"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset={ID},mems_allowed=0,oom_memcg=/x,"
        f"task_memcg={path},task=java,pid=9,uid=0"
    )
    before = row(f"Task in {path} killed as a result of limit of /x")
    for one in (now, before):
        assert (one["kind"], one["memcg"]) == ("oom_summary", path)
        assert (one.get("pod_uid"), one.get("container_id")) == (uid, container)
    assert (now["process"], now["pid"], now["constraint"]) == ("java", 9, "CONSTRAINT_MEMCG")


def test_one_kill_is_one_row_of_a_kill_in_every_era() -> None:
    before = rows(
        "[1.000000] Memory cgroup out of memory: Kill process 62685 (bash) score 0 or sacrifice child",
        "[1.000100] Killed process 62769 (cp) total-vm:8kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB",
        "[2.000000] Out of memory: Kill process 62686 (bash) score 0 or sacrifice child",
        "[2.000100] Killed process 62686 (bash) total-vm:8kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB",
    )
    assert [one["kind"] for one in before] == ["oom_chosen", "cgroup_oom", "oom_chosen", "oom_kill"]


def test_a_command_name_cannot_forge_the_numbers_behind_it() -> None:
    one = row("Out of memory: Killed process 5 (a) total-vm:1kB) total-vm:8kB, anon-rss:4kB, file-rss:0kB")
    assert (one["process"], one["total_vm_bytes"]) == ("a) total-vm:1kB", 8192)
    two = row("oom-kill:constraint=CONSTRAINT_NONE,task_memcg=/a,task=x,pid=9,uid=0,pid=5,uid=7")
    assert (two["process"], two["pid"], two["memcg"]) == ("x,pid=9,uid=0", 5, "/a")


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("net_ratelimit: 123 callbacks suppressed", 123),
        ("printk: 12 messages suppressed.", 12),
        ("kauditd_printk_skb: 7 callbacks suppressed", 7),
        ("systemd-journal: 3 output lines suppressed due to ratelimiting", 3),
        ("** 99 printk messages dropped **", 99),
    ],
)
def test_messages_that_the_kernel_left_out_are_counted_and_told(text: str, count: int) -> None:
    reading = read(f"[1.000000] {text}")
    [one] = reading.rows(KERNEL_MESSAGES)
    assert (one["kind"], one["count"]) == ("suppressed", count)
    assert f"the kernel left out {count} messages by its rate limits" in reading.notes


@pytest.mark.parametrize(
    ("line", "type_", "pid"),
    [
        ('[1.000000] audit: type=1400 audit(1715080953.123:456): apparmor="DENIED" pid=12 comm="runc"', "1400", 12),
        ('type=AVC msg=audit(1715080953.123:456): avc: denied { read } for  pid=12 comm="runc"', "AVC", 12),
        (
            "node=a type=NETFILTER_CFG msg=audit(1715080953.123:456): table=nat family=2 entries=9",
            "NETFILTER_CFG",
            None,
        ),
    ],
)
def test_audit_records_have_their_type_stamp_and_serial(line: str, type_: str, pid: int | None) -> None:
    [one] = rows(line)
    stamp = datetime(2024, 5, 7, 11, 22, 33, 123_000, tzinfo=UTC)
    assert (one["kind"], one["audit_type"], one["audit_serial"]) == ("audit", type_, 456)
    assert (one["time"], one["audit_time"], one.get("pid")) == (stamp, stamp, pid)


def test_properties_of_a_kmsg_record_belong_to_it() -> None:
    reading = read("6,1,5,-;pci 0000:00:00.0: found", " SUBSYSTEM=pci", " DEVICE=+pci:0000:00:00.0", "6,2,6,-;text")
    assert reading.report.records == reading.report.used == 2


def test_damage_costs_its_line() -> None:
    reading = read("[1.000000] one", "\0\0garbage without a time", "[2.000000] two")
    assert reading.skipped == {"malformed line": 1}
    assert reading.column(KERNEL_MESSAGES, "text") == ["one", "two"]


def test_a_last_line_that_was_cut_in_its_time_is_an_incomplete_tail() -> None:
    reading = read_text(SOURCE, b"[1.000000] one\n[2.0000")
    assert (reading.report.used, reading.report.incomplete_tail) == (1, 1)


def test_credentials_in_a_message_are_masked() -> None:
    one = row('audit: type=1309 audit(1715080953.123:456): argc=2 a0="curl" a1="Authorization: Bearer abcdefgh12345"')
    assert "abcdefgh12345" not in one["text"]


def test_the_kubelet_in_a_journal_that_begins_with_the_kernel_is_read_too() -> None:
    boot = [f"May  7 11:59:43 node kernel: [    {n}.000000] text" for n in range(9)]
    entry = 'May  7 11:59:44 node kubelet[7]: I0507 11:59:44.000000       7 kubelet.go:1] "m"'
    reading = read(*boot, entry)
    assert reading.column(KLOG_LINES, "message") == ["m"]
    assert (reading.report.used, reading.report.skipped) == (10, 0)


@pytest.mark.parametrize(
    "lines",
    [
        ["[12345.678901] text", "[12345.678902] more"],
        ["[Tue May  7 11:59:43 2024] text"],
        ["2024-05-07T13:59:43,000000+02:00 usb 1-1: new device", "2024-05-07T13:59:43,000001+02:00 text"],
        ["6,1234,5678901,-;text", " SUBSYSTEM=pci"],
        ["May  7 11:59:43 node kernel: text"],
        ["type=AVC msg=audit(1715080953.123:456): avc: denied"],
        ["Linux version 6.1.0 (b@h)", "nf_conntrack: table full, dropping packet", "usb 1-1: new device"],
    ],
)
def test_a_kernel_log_is_known_by_its_lines(lines: list[str]) -> None:
    known = sources.identify("".join(f"{line}\n" for line in lines).encode())
    assert known is not None
    assert known[0].name == "kernel"


@pytest.mark.parametrize(
    "line",
    [
        "[2024-05-07 11:59:43] an application",
        '[INFO] 10.0.0.7:40000 - 1000 "A IN svc.example.com. udp 54 false 1232" NXDOMAIN qr,aa,rd 147 0.000123s',
        '10.0.0.1 - - [07/May/2024:11:59:43 +0000] "GET / HTTP/1.1" 200 1',
        "IN=1 OUT=2 plain text about an audit: nothing",
        "name,1,2,-;a table",
    ],
)
def test_logs_of_others_are_not_the_kernels(line: str) -> None:
    known = sources.identify(f"{line}\n{line}\n".encode())
    assert known is None or known[0].name != "kernel"


def test_a_journal_in_seconds_since_boot_gives_the_kernels_lines_alone() -> None:
    reading = read("[    1.000000] node kernel: text", "[    2.000000] node kubelet[7]: not the kernel's")
    assert reading.column(KERNEL_MESSAGES, "text") == ["text"]
    assert reading.skipped == {"not-a-record": 1}
    assert row("Web Content[7]: segfault at 0 ip 0 sp 0 error 4")["process"] == "Web Content"
