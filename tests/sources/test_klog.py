from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from analyzer.frames import KLOG_LINES
from analyzer.sources.klog import SOURCE
from tests.sources.klog_log import JSON_LINE, line, read, rows, values
from tests.sources.texts import read_text


def test_a_structured_entry_gives_every_column() -> None:
    text = '"Probe failed" probeType="Readiness" pod="shop/web-0" err="dial tcp: \\"x\\" refused"'
    [row] = rows(line(text, head="E"))
    assert row == {
        "time": datetime(2026, 3, 14, 9, 0, 0, 500_000, tzinfo=UTC),
        "source": "a.log",
        "number": 1,
        "host": None,
        "stream": None,
        "component": "kubelet",
        "severity": "E",
        "caller": "kubelet.go:2406",
        "message": "Probe failed",
        "text": text,
        "pod": "shop/web-0",
        "error": 'dial tcp: "x" refused',
    }


def test_free_text_is_its_own_message() -> None:
    text = "skipping pod synchronization - [PLEG is not healthy: pleg was last seen active 3m5s ago]"
    [row] = rows(line(text))
    assert (row["message"], row["text"]) == (text, text)


@pytest.mark.parametrize(
    "header",
    [
        "I0314 09:00:00.500000 2269385 x.go:1] m",
        "I0314 09:00:00.500000       1 x.go:1] m",
        "I0314 09:00:00.500000 99999999999999999999999 x.go:1] m",
        "I0314 09:00:00.500000 1 x.go:1] m",
    ],
)
def test_thread_ids_of_any_width_are_read(header: str) -> None:
    [row] = rows(header)
    assert (row["caller"], row["text"]) == ("x.go:1", "m")


@pytest.mark.parametrize(
    ("written", "pod"),
    [
        ('pod="shop/web-0"', "shop/web-0"),
        ("pod=shop/web-0", "shop/web-0"),
        ('pod="web-0_shop(0123-4567)"', "shop/web-0"),
        ('pod={"name":"web-0","namespace":"shop"}', "shop/web-0"),
        ("pod=<nil>", None),
        ('pods=["shop/web-0"]', None),
        ("podUID=1234", None),
        ('pod="shop/web-0/0f0e0d0c-0001-0002-0003-000000000004"', "shop/web-0"),
        ('pod="web-0"', "web-0"),
    ],
)
def test_pods_are_namespace_and_name(written: str, pod: str | None) -> None:
    assert values("pod", line(f'"m" {written} x="y"')) == [pod]


UID = "0f0e0d0c-0001-0002-0003-000000000004"


@pytest.mark.parametrize(
    ("text", "pod"),
    [
        (f'Error syncing pod {UID} ("web-0_shop({UID})"), skipping: failed to "StartContainer"', "shop/web-0"),
        (f'SyncLoop (ADD, "api"): "web-0_shop({UID})"', "shop/web-0"),
        (f'SyncLoop (ADD, "api"): "web-0_shop({UID}), web-1_shop({UID})"', None),
        ('Failed to pull image "x/kube-ui:v2" from pod "kube-ui-v2-ojp6m_kube-system"', "kube-system/kube-ui-v2-ojp6m"),
        ("static pod kube-proxy-n1_kube-system(0123456789abcdef0123456789abcdef) is gone", "kube-system/kube-proxy-n1"),
        ("a_b(c) is no pod", None),
        (f'"m" output="web-0_shop({UID})"', None),
    ],
)
def test_free_text_of_older_kubelets_names_pods_too(text: str, pod: str | None) -> None:
    assert values("pod", line(text)) == [pod]


@pytest.mark.parametrize(
    ("written", "error"),
    [
        (r'err="a \"b\" \\ c\nd"', 'a "b" \\ c\nd'),
        ("err=EOF", "EOF"),
        ("err=<nil>", None),
        ("err=null", None),
        ("other=1", None),
    ],
)
def test_errors_are_unescaped(written: str, error: str | None) -> None:
    assert values("error", line(f'"m" {written} x="y"')) == [error]


def test_quoted_texts_end_at_their_quote_whatever_letters_they_hold() -> None:
    [row] = rows(line('"Größe" pod="a/b" err="é → x" more="y"'))
    assert (row["message"], row["error"]) == ("Größe", "é → x")


def test_a_quoted_value_cannot_imitate_another_key() -> None:
    forged = r'"Probe failed" pod="default/a" output="x\" pod=\"kube-system/etcd\" err=\"forged\""'
    [row] = rows(line(forged))
    assert (row["pod"], row["error"]) == ("default/a", None)
    assert values("pod", line('"m" output="x pod=kube-system/etcd err=forged"')) == [None]
    assert values("error", line('"m" output="x pod=kube-system/etcd err=forged"')) == [None]
    before = r'"Probe failed" output="x\" pod=\"kube-system/etcd\"" pod="default/a"'
    assert values("pod", line(before)) == ["default/a"]


def test_a_block_of_lines_is_one_value_and_cannot_imitate_a_key() -> None:
    reading = read(
        line('"Probe failed" output=<'),
        '\t pod="kube-system/etcd" err="forged"',
        "\tsecond",
        ' > pod="default/a" err=<',
        "\tfirst",
        "\tsecond",
        " >",
        line('"next"'),
    )
    first, second = reading.tables[KLOG_LINES].to_dicts()
    assert (first["number"], second["number"]) == (1, 8)
    assert (first["pod"], first["error"]) == ("default/a", "first\nsecond")
    assert str(first["text"]).count("\n") == 6
    assert reading.report.records == reading.report.used == 2


def test_lines_without_a_header_belong_to_the_entry_before_them() -> None:
    trace = ["Trace[1]: [1s] [1s] END", "[-]poststarthook/x failed: not finished"]
    [first, second] = rows(line('Trace[1]: "List"'), *trace, line("next"))
    assert first["text"] == "\n".join(['Trace[1]: "List"', *trace])
    assert second["text"] == "next"


def test_continuation_lines_are_attached_across_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [line("one"), "\ta", "\tb", "\tc", line("two"), line("three"), "\td"]
    whole = read(*lines).tables[KLOG_LINES]
    monkeypatch.setattr("analyzer.sources.lines.windows.__defaults__", (20, 64 << 20))
    assert read(*lines).tables[KLOG_LINES].equals(whole)
    assert whole["text"].to_list() == ["one\n\ta\n\tb\n\tc", "two", "three\n\td"]


def test_an_entry_is_kept_to_four_kibibytes_however_many_lines_follow() -> None:
    reading = read(line("one"), *["x" * 1000] * 2000, line("é" * 5000), line("next"))
    sizes = reading.tables[KLOG_LINES]["text"].str.len_bytes().to_list()
    assert sizes == [4096, 4096, 4]
    assert reading.report.records == 3


def test_lines_before_the_first_entry_are_no_records() -> None:
    assert read("\ttail of something", line("one")).skipped == {"not-a-record": 1}


@pytest.mark.parametrize(
    "other",
    [
        'time="2026-03-14T09:00:00Z" level=info msg="StartContainer"',
        '{"level":"info","ts":"2026-03-14T09:00:00Z","msg":"an etcd line"}',
        "+ echo kubelet --anonymous-auth=false",
        "Flag --pod-manifest-path has been deprecated",
    ],
)
def test_lines_of_others_are_no_records_and_no_part_of_an_entry(other: str) -> None:
    reading = read(line("one"), other, line("two"))
    assert reading.skipped == {"not-a-record": 1}
    assert reading.column(KLOG_LINES, "text") == ["one", "two"]


@pytest.mark.parametrize(
    "wrong",
    [
        "I٠٣١٤ 09:00:00.500000 1234 x.go:1] x",
        "\0" * 3000,
        "I0314 09:00:00 a header without its end",
        line("x", "1399 09:00:00.0000"),
    ],
)
def test_what_looks_like_a_header_and_is_none_is_malformed(wrong: str) -> None:
    reading = read(line("one"), wrong, line("two"))
    assert reading.skipped == {"malformed line": 1}
    assert reading.report.skipped_reasons[0].places == ("2",)
    assert reading.column(KLOG_LINES, "text") == ["one", "two"]


def test_a_date_that_no_year_has_is_malformed() -> None:
    reading = read(line("one"), line("x", "1332 09:00:00.500000"), line("two"))
    assert reading.skipped == {"malformed line": 1}


@pytest.mark.parametrize("tail", ["I0314 09:0", "I031", '{"ts":1773478800500.1,"caller":"x.go:1","ms'])
def test_a_cut_last_line_is_an_incomplete_tail(tail: str) -> None:
    report = read_text(SOURCE, f"{line('one')}\n{tail}", year=2026).report
    assert (report.used, report.incomplete_tail, report.skipped) == (1, 1, 0)


def test_the_json_format_gives_what_the_text_format_would() -> None:
    more = {
        "probeType": "Readiness",
        "pod": {"name": "web-0", "namespace": "shop"},
        "pods": [{"name": "a", "namespace": "b"}],
        "err": 'dial "x"',
        "n": 3,
    }
    [row] = rows(json.dumps(JSON_LINE | more))
    assert row["time"] == datetime(2026, 3, 14, 9, 0, 0, 500_250, tzinfo=UTC)
    assert (row["severity"], row["caller"], row["message"]) == ("I", "prober.go:107", "Probe failed")
    assert (row["pod"], row["error"]) == ("shop/web-0", 'dial "x"')
    assert row["text"] == (r'"Probe failed" probeType="Readiness" pod="shop/web-0" pods=["b/a"] err="dial \"x\"" n=3')


def test_json_lines_without_verbosity_are_errors() -> None:
    assert values("severity", json.dumps({key: JSON_LINE[key] for key in ("ts", "caller", "msg")})) == ["E"]


@pytest.mark.parametrize(
    "wrong",
    [
        '{"ts":1773478800500.1,"caller":"x.go:1","msg":',
        '{"ts":1773478800500.1,"msg":{}}',
        '{"ts":1e300,"msg":"x"}',
        '{"ts":1773478800500.1,"msg":"x","deep":' + "[" * 3000,
    ],
)
def test_broken_json_entries_are_counted(wrong: str) -> None:
    reading = read(json.dumps(JSON_LINE), wrong, json.dumps(JSON_LINE))
    assert reading.tables[KLOG_LINES].height == 2
    assert reading.report.records == 3


def test_text_and_json_may_share_a_file() -> None:
    reading = read(line("one"), json.dumps(JSON_LINE), "goroutine 1 [running]:", line("three"))
    assert reading.column(KLOG_LINES, "number") == [1, 2, 4]
    assert reading.column(KLOG_LINES, "text")[1] == "Probe failed\ngoroutine 1 [running]:"


@pytest.mark.parametrize(
    ("prefix", "component"),
    [
        ("kubelet", "kubelet"),
        ("kubenswrapper", "kubelet"),
        ("hyperkube", "kubelet"),
        ("dockerd-current", "kubelet"),
        ("k3s", "kubelet"),
    ],
)
def test_the_component_is_that_of_the_prefix_or_of_the_content(prefix: str, component: str) -> None:
    [row] = rows(f"Mar 14 09:00:00 node-1 {prefix}[1]: {line('one')}")
    assert (row["component"], row["host"]) == (component, "node-1")


def test_the_content_tells_the_component_of_a_bare_log() -> None:
    assert values("component", line("x", caller="schedule_one.go:1")) == ["kube-scheduler"]
    assert values("component", line("x", caller="unheard_of.go:1")) == [None]
    assert values("component", line("x", caller="unheard_of.go:1"), name="kube-proxy.log") == ["kube-proxy"]


@pytest.mark.parametrize(
    ("name", "caller", "component", "reason"),
    [
        ("kube-proxy.log", "kubelet.go:1", "kube-proxy", "by the name of the file"),
        ("kubelet.n1.root.log.INFO.20260314-080000.12", "x.go:1", "kubelet", "by the name of the file"),
        ("x/cluster-autoscaler-7d_kube-system_cluster-autoscaler-0.log", "x.go:1", "cluster-autoscaler", "of the file"),
        ("pods/coredns-autoscaler/0.log", "x.go:1", "cluster-proportional-autoscaler", "by the name of its folder"),
        ("pods/csi-provisioner/0.log", "csi_handler.go:12", "csi-attacher", "such as csi_handler.go"),
        ("pods/csi-provisioner/0.log", "connection.go:12", "csi-provisioner", "by the name of its folder"),
        ("aws-cloud-controller-manager.log", "x.go:1", "cloud-controller-manager", "by the name of the file"),
        ("0.log", "static_autoscaler.go:1", "cluster-autoscaler", "such as static_autoscaler.go"),
        ("0.log", "x.go:1", None, ""),
    ],
)
def test_the_writer_is_told_with_the_reason(name: str, caller: str, component: str | None, reason: str) -> None:
    reading = read(line("one", caller=caller), name=name)
    assert reading.column(KLOG_LINES, "component") == [component]
    assert (f"written by {component}: " in reading.notes) == (component is not None)
    assert reason in reading.notes


def test_the_prefix_of_a_line_counts_before_all() -> None:
    reading = read(f"Mar 14 09:00:00 n1 cluster-autoscaler[1]: {line('one')}", name="kubelet.log")
    assert reading.column(KLOG_LINES, "component") == ["cluster-autoscaler"]
    assert "written by cluster-autoscaler: by the prefix of its lines" in reading.notes


def test_the_host_is_that_of_klogs_own_header_or_file_name() -> None:
    assert values("host", "Running on machine: node-7", line("one")) == ["node-7"]
    assert values("host", line("one"), name="kubelet.node-1.root.log.INFO.20260314-080000.12") == ["node-1"]
    assert values("host", line("one"), name="kubelet.log") == [None]


def test_a_panic_belongs_to_its_entry_up_to_the_limit() -> None:
    dump = [
        "panic: runtime error",
        "",
        "goroutine 1 [running]:",
        "main.main()",
        "\t/go/src/x.go:12 +0x1d",
        *["f()"] * 3000,
    ]
    reading = read(line("boom", head="F"), *dump, line("next"))
    first, second = reading.column(KLOG_LINES, "text")
    assert str(first).startswith("boom\npanic: runtime error\ngoroutine 1 [running]:\nmain.main()\n\t/go/src/x.go:12")
    assert len(str(first)) <= 4096
    assert second == "next"
    assert reading.report.records == reading.report.used == 2


def test_an_entry_of_2015_is_read() -> None:
    text = 'Failed to pull image "gcr.io/x/kube-ui:v2" from pod "kube-ui-v2-ojp6m_kube-system": <html lang=en>'
    [row] = rows(f"W1127 10:42:16.169000    3395 manager.go:1897] {text}")
    assert (row["severity"], row["caller"], row["message"]) == ("W", "manager.go:1897", text)


SECRETS = [
    "Authorization: Bearer abcdefghijklmnopqrstuvwxyz0123456789",
    '"headers" Authorization="Basic dXNlcjpwYXNzd29yZA=="',
    "token eyJhbGciOiJSUzI1NiIsImtpZCI6IiJ9.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl",
    "password=hunter2hunter2",
    "X-Api-Key: 0a1b2c3d4e5f60718293a4b5c6d7e8f9",
    "pulling https://user:hunter2hunter2hunter2hunter2@registry.example.com/v2",
    "AWS_SECRET_ACCESS_KEY: wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY",
    "key AKIAIOSFODNN7EXAMPLE of a user",
    "bootstrap token abcdef.0123456789abcdef was used",
    "-----BEGIN RSA PRIVATE KEY-----MIIEowIBAAKCAQEA",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_credentials_never_enter_the_table(secret: str) -> None:
    hidden = max(re.split(r'[\s"@]|[=:](?!=)|-----', secret), key=len)
    told = json.dumps(secret)[1:-1]
    for written in (line(secret), json.dumps(JSON_LINE | {"msg": secret}), line(f'"m" err="{told}"')):
        for row in rows(written):
            assert hidden not in str(row)
            assert "[masked]" in str(row["text"])


@pytest.mark.parametrize("name", ["bare", "journal"])
def test_it_is_known_by_its_headers(name: str) -> None:
    def confidence(*lines: str) -> float:
        wrapped = [text if name == "bare" else f"Mar 14 09:00:00 node-1 kubelet[1]: {text}" for text in lines]
        match = SOURCE.identify("".join(f"{text}\n" for text in wrapped).encode())
        return match.confidence if match else 0.0

    assert confidence(line("one")) > 0.8
    assert confidence(json.dumps(JSON_LINE)) > 0.8
    assert confidence(*["words of others"] * 40, line("one"), line("two"), line("three")) > 0.3
    assert confidence('[INFO] 10.0.0.1:1 - 1 "A IN a. udp 40 false 512" NOERROR qr 40 0.1s', line("client-go")) < 0.3
    assert confidence('10.0.0.1 - - [14/Mar/2026:09:00:00 +0000] "GET / HTTP/1.1" 200 12 "-" "curl"') == 0
    assert confidence("# Read me", "Words.") == 0
    assert confidence("time,severity,text", "1,I,words") == 0
    assert confidence('{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata"}') == 0


def test_order_and_numbers_are_those_of_the_file() -> None:
    lines = [line(str(number), f"0314 09:{number // 60:02d}:{number % 60:02d}.000000") for number in range(3000)]
    table = read(*lines).tables[KLOG_LINES]
    assert table["number"].to_list() == list(range(1, 3001))
    assert table["text"].to_list() == [str(number) for number in range(3000)]
    assert table["time"].diff().drop_nulls().unique().to_list() == [timedelta(seconds=1)]
    assert table.schema == pl.Schema(KLOG_LINES.schema)


def test_json_lines_that_only_carry_a_ts_are_somebody_elses() -> None:
    assert SOURCE.identify(b'{"ts": 1795300461.09, "client": ["10.244.1.17", 39430], "code": 404}\n' * 20) is None
    own = b'{"ts":1795302146871.432,"logger":"setup","caller":"app/server.go:189","msg":"Golang settings","v":0}\n'
    assert SOURCE.identify(own * 20) is not None
