"""What CoreDNS and NodeLocal DNSCache say of themselves, and which of the two wrote a line."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analyzer import sources
from analyzer.frames import COREDNS_ERRORS, COREDNS_EVENTS, COREDNS_QUERIES
from analyzer.sources.coredns import SOURCE
from tests.sources.texts import Reading, read_text

QUERY = '[INFO] 10.244.1.5:40000 - 1000 "A IN web.shop.svc.cluster.local. udp 54 false 1232" NXDOMAIN qr,aa,rd 147 0.5s'
PANIC = [
    "panic: runtime error: invalid memory address or nil pointer dereference",
    "[signal SIGSEGV: segmentation violation code=0x1 addr=0x10 pc=0x1234567]",
    "goroutine 42 [running]:",
    "github.com/coredns/coredns/plugin/forward.(*Forward).ServeDNS(0xc0001, {0x2, 0xc0002})",
    "\t/go/plugin/forward/forward.go:123 +0x1a4",
    "created by github.com/miekg/dns.(*Server).serveUDP in goroutine 9",
    "\t/go/pkg/mod/github.com/miekg/dns@v1.1.50/server.go:500 +0x2f0",
]
COREFILE = [
    "[INFO] Using config file:",
    "cluster.local:53 {",
    "    errors",
    "    bind 169.254.20.10",
    "}",
    ".:53 {",
    "}",
]


def read(*lines: str, **options: Any) -> Reading:
    return read_text(SOURCE, lines, **options)


def events(*lines: str) -> pl.DataFrame:
    return read(*lines).tables[COREDNS_EVENTS]


KINDS = {
    "CoreDNS-1.11.1": "banner",
    "[INFO] CoreDNS-1.1.3": "banner",
    "linux/amd64, go1.20.7, ae2bbc2": "build",
    ".:53": "listen",
    "cluster.local.:53 on 169.254.25.10": "listen",
    "tls://.:853": "listen",
    "maxprocs: Leaving GOMAXPROCS=2: CPU quota undefined": "runtime",
    "[INFO] plugin/reload: Running configuration SHA512 = abc": "configuration",
    "[INFO] plugin/reload: Running configuration MD5 = abc": "configuration",
    "[INFO] Reloading": "reload",
    "[INFO] Reloading complete": "reload-complete",
    '[ERROR] plugin/reload: Corefile changed but reload failed: starting with listener file "8080": x': "reload-failed",
    "[INFO] plugin/health: Going into lameduck mode for 5s": "lameduck",
    '[WARNING] plugin/health: Local health request to "http://:8080/health" took more than 1s: 2.3s': "health-slow",
    '[INFO] plugin/ready: Still waiting on: "kubernetes"': "not-ready",
    '[INFO] plugin/ready: Plugins not ready: "kubernetes"': "not-ready",
    '[FATAL] plugin/loop: Loop (127.0.0.1:1 -> :53) detected for zone "."': "loop",
    "[INFO] plugin/kubernetes: waiting for Kubernetes API before starting server": "api-wait",
    "[WARNING] plugin/kubernetes: starting server with unsynced Kubernetes API": "api-unsynced",
    "[ERROR] plugin/kubernetes: Failed to watch": "api-unreachable",
    '[ERROR] plugin/kubernetes: endpoints is forbidden: User "system:anonymous"': "api-refused",
    "W0312 10:15:17.735020       1 reflector.go:424] failed to list *v1.Service: connection refused": "klog",
    "[INFO] SIGTERM: Shutting down servers then terminating": "shutdown",
    "2022/08/17 10:55:04 [INFO] Starting node-cache image: 1.22.13": "node-cache-start",
    "2022/08/17 10:55:04 [INFO] Using Corefile /etc/Corefile": "corefile",
    "2022/08/17 10:55:04 [INFO] Added interface - nodelocaldns": "interface",
    "[INFO] Added back nodelocaldns rule - {raw PREROUTING [-p tcp]}": "iptables",
    "[ERROR] Failed to read node-cache coreFile /etc/coredns/Corefile.base - no such file": "corefile",
    "Listen: listen tcp 169.254.20.10:8080: bind: address already in use": "start-failed",
    "plugin/forward: not an IP address or file: foo": "start-failed",
    "fatal error: concurrent map writes": "panic",
    '[ERROR] Recovered from panic in server: "dns://:53" nil pointer': "panic",
    "[WARNING] plugin/cache: Caching called with Write: not caching reply": "plugin",
    "[ERROR] something of no plugin": "error",
}


@pytest.mark.parametrize("line", KINDS)
def test_every_kind_of_line_is_an_event_between_queries(line: str) -> None:
    reading = read(QUERY, line, QUERY)
    [row] = reading.tables[COREDNS_EVENTS].to_dicts()
    assert (row["number"], row["kind"], row["lines"]) == (2, KINDS[line], 1)
    assert reading.skipped == {}
    assert reading.report.used == 3


def test_an_event_tells_severity_plugin_version_and_address() -> None:
    rows = events(*KINDS)
    told = {row["text"]: row for row in rows.to_dicts()}
    assert told["CoreDNS-1.11.1"]["version"] == "1.11.1"
    assert told["linux/amd64, go1.20.7, ae2bbc2"]["version"] == "go1.20.7"
    assert told["[INFO] Starting node-cache image: 1.22.13"]["version"] == "1.22.13"
    assert told["cluster.local.:53 on 169.254.25.10"]["address"] == "169.254.25.10"
    assert told[".:53"]["address"] is None
    [klog] = [row for text, row in told.items() if text.startswith("W0312")]
    assert (klog["severity"], klog["plugin"]) == ("WARNING", None)
    [loop] = [row for text, row in told.items() if "plugin/loop" in text]
    assert (loop["severity"], loop["plugin"]) == ("FATAL", "loop")


def test_gos_own_time_counts() -> None:
    [row] = events("2022/08/17 10:55:04 [INFO] Added interface - nodelocaldns").to_dicts()
    assert f"{row['time']:%F %T}" == "2022-08-17 10:55:04"


def test_a_goroutine_dump_is_one_event_and_its_lines_are_used() -> None:
    reading = read(QUERY, *PANIC, QUERY)
    [row] = reading.tables[COREDNS_EVENTS].to_dicts()
    assert (row["kind"], row["number"], row["lines"]) == ("panic", 2, len(PANIC))
    assert row["text"] == "\n".join(PANIC)
    assert (reading.report.used, reading.report.skipped) == (len(PANIC) + 2, 0)


def test_dumps_of_two_pods_do_not_mix() -> None:
    lines = [f"[pod/coredns-{pod}/coredns] {line}" for line in PANIC for pod in "ab"]
    rows = events(*lines)
    assert rows["pod"].to_list() == ["coredns-a", "coredns-b"]
    assert rows["lines"].to_list() == [len(PANIC)] * 2


def test_a_corefile_goes_on_until_something_else_comes() -> None:
    reading = read(*COREFILE, QUERY, "}", QUERY)
    [row] = reading.tables[COREDNS_EVENTS].to_dicts()
    assert row["lines"] == len(COREFILE)
    assert reading.skipped == {"malformed line": 1}


def test_a_klog_trace_belongs_to_its_entry() -> None:
    klog = 'I0312 10:15:17.735020       1 trace.go:205] Trace[1298498081]: "Reflector ListAndWatch" (10:14:47.734)'
    [row] = events(klog, 'Trace[1298498081]: ---"Objects listed" 30000ms (10:15:17.734)', QUERY).to_dicts()
    assert row["lines"] == 2


def test_what_looks_like_a_dump_without_a_panic_is_none() -> None:
    assert read(QUERY, "somebody.wrote(this)", QUERY).skipped == {"malformed line": 1}


def test_credentials_in_an_event_never_enter_the_table() -> None:
    [text] = events("[ERROR] plugin/kubernetes: Get https://u:hunter2hunter2@h/: refused")["text"].to_list()
    assert "hunter2" not in text


def component(*lines: str) -> list[object]:
    return read(*lines).column(COREDNS_QUERIES, "component")


def test_a_start_tells_which_program_wrote_the_lines_after_it() -> None:
    assert component(QUERY, ".:53", "CoreDNS-1.11.1", QUERY) == [None, "coredns"]
    node_cache = "[INFO] Starting node-cache image: 1.22.13"
    assert component(QUERY, node_cache, ".:53 on 169.254.20.10", "CoreDNS-1.7.0", QUERY) == [None, "node-cache"]
    assert component(".:53 on 169.254.20.10", "CoreDNS-1.7.0", QUERY) == ["node-cache"]
    assert component(".:53 on 10.96.0.10", "CoreDNS-1.7.0", QUERY) == ["coredns"]
    assert component(QUERY) == [None]


def test_a_pods_name_tells_it_too() -> None:
    lines = [f"[pod/{pod}/c] {QUERY}" for pod in ("node-local-dns-x7k2p", "nodelocaldns-4b6xz", "coredns-0", "other")]
    assert component(*lines) == ["node-cache", "node-cache", "coredns", None]


def test_pods_are_told_apart_by_their_own_starts() -> None:
    lines = ["[pod/a/c] [INFO] Added interface - nodelocaldns", f"[pod/a/c] {QUERY}", f"[pod/b/c] {QUERY}"]
    assert component(*lines) == ["node-cache", None]


ERRORS = {
    "read udp 10.0.0.1:39548->10.0.0.2:53: i/o timeout": ("timeout", "10.0.0.2", 53),
    "read udp [fd00:10::1]:3->[fd00:10:0::5]:53: read: connection refused": ("connection refused", "fd00:10::5", 53),
    "dial tcp 10.0.0.2:853: connect: no route to host": ("no route to host", "10.0.0.2", 853),
    "dial udp 10.0.0.2:53: connect: network is unreachable": ("network unreachable", "10.0.0.2", 53),
    "lookup dns.example. on 10.0.0.9:53: server misbehaving": ("server misbehaving", "10.0.0.9", 53),
    "concurrent queries exceeded maximum 1000": ("overload", None, None),
    "unreachable backend": ("backend unreachable", None, None),
    "no healthy proxies": ("no healthy upstream", None, None),
    "tls: failed to verify certificate: x509: certificate signed by unknown authority": ("tls", None, None),
    "read tcp 10.0.0.1:1->10.0.0.2:53: read: connection reset by peer": ("connection closed", "10.0.0.2", 53),
    "dns: overflowing header size": ("malformed answer", None, None),
    "SERVFAIL": ("servfail", None, None),
    "plugin/x: something else": ("other", None, None),
}


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_tells_its_kind_and_who_was_asked(error: str) -> None:
    [row] = read(f"[ERROR] plugin/errors: 2 a.example.com. A: {error}").tables[COREDNS_ERRORS].to_dicts()
    assert (row["kind"], row["upstream"], row["upstream_port"]) == ERRORS[error]
    assert row["error"] == error


def test_errors_of_every_era_of_the_plugin() -> None:
    told = "a.example.com. A"
    error = "unreachable backend: read udp 10.0.0.2:4000->10.0.0.10:53: i/o timeout"
    lines = [
        f"17/Oct/2017:21:45:36 +0200 [ERROR 2 {told}] {error}",  # until 1.1.2
        f"2018/11/21 06:48:51 [ERROR] 2 {told}: {error}",  # until 1.2.5
        f" [ERROR] plugin/errors: 2 {told}: {error}",  # 1.2.6
        f"2019-01-10T18:01:16.214Z [ERROR] plugin/errors: 2 {told}: {error}",  # until 1.6.2
        f"[ERROR] plugin/errors: 2 {told}: {error}",
    ]
    for line in lines:
        found = sources.identify(f"{line}\n".encode() * 3)
        assert found is not None
        assert found[0] is SOURCE
    reading = read_text(SOURCE, lines)
    rows = reading.rows(COREDNS_ERRORS)

    assert [str(row.get("time"))[:19] for row in rows] == [
        "2017-10-17 19:45:36",
        "2018-11-21 06:48:51",
        "None",
        "2019-01-10 18:01:16",
        "None",
    ]
    same: dict[str, object] = {
        "rcode": "SERVFAIL",
        "name": "a.example.com",
        "qtype": "A",
        "error": error,
        "kind": "backend unreachable",
    }
    same |= {"upstream": "10.0.0.10", "upstream_port": 53, "count": 1}
    for row in rows:
        assert {name: row[name] for name in same} == same


def test_queries_of_the_eras_between() -> None:
    query = '[INFO] 10.0.0.7:4000 - 100 "A IN a.example.com. udp 54 false 1232" NOERROR qr,aa,rd 147 0.000123s'
    for line in (f"2018/09/12 10:00:00 {query}", f" {query}"):
        found = sources.identify(f"{line}\n".encode() * 3)
        assert found is not None
        assert found[0] is SOURCE
        assert len(read_text(SOURCE, [line] * 3).rows(COREDNS_QUERIES)) == 3


def test_a_cache_on_the_node_is_known_by_its_start_alone() -> None:
    at = "2022/08/17 10:55:04 [INFO]"
    lines = [
        f"{at} Starting node-cache image: 1.21",
        f"{at} Using Corefile /etc/Corefile",
        f"{at} Added interface - nodelocaldns",
    ]
    found = sources.identify("\n".join(lines).encode())
    assert found is not None
    assert found[0] is SOURCE
    assert len(read_text(SOURCE, lines).rows(COREDNS_EVENTS)) == 3
