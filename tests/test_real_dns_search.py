"""Search walks against recordings of glibc and Go behind a real CoreDNS, with what the clients themselves counted.

280 lookups of seven names by one pod with four search domains: four outside names (8 denials each), a full name of the
cluster without its final dot (8), payments.shop.svc (4) and payments (none); 40 lookups of each.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter

import pytest

from analyzer.detectors.dns.dns_search_chain import DETECTOR
from analyzer.facts.dns import DNS_TRANSACTIONS
from analyzer.model import Finding
from analyzer.sources import capture, coredns
from tests.build import frames_for, run
from tests.recordings import RECORDED, needed, read

pytestmark = needed

CAPTURES = [f"pcap/dns_search_{who}.{where}.pcap" for who in ("glibc", "go") for where in ("pod_eth", "any_sll2")]
LOGS = [f"dns/search_{who}.coredns.{form}.log" for who in ("glibc", "go") for form in ("raw", "cri", "docker-json")]


def check(findings: list[Finding], known: bool = True) -> None:
    [finding] = findings
    found = {figure.name: figure.value for figure in finding.impact}
    assert finding.subject == "10.244.1.17"
    assert "(namespace shop)" in finding.summary
    assert (found["lookups walked"], found["wasted queries"]) == (160, 1280)
    assert (found["in-cluster wasted queries"], found["queries of the client"]) == (480, 2320)
    assert (found["suffixes per chain"], found["queries in the evidence"]) == (4, 2320)
    assert (found["complete chains"], found["broken chains"]) == (320, 0)
    assert found["lookups that rely on the search list"] == 40  # payments.shop.svc
    tables = finding.evidence.tables
    assert tables[2].rows == (
        ("external", "the search list", 320, 0, 1280),
        ("in-cluster-search", "the search list", 160, 0, 480),
    )
    assert [row[:5] for row in tables[3].rows] == [
        ("kubernetes.default.svc.cluster.local", 4, 40, 320, "as it stands"),
        ("payments.shop.svc", 2, 40, 160, "cluster.local"),
    ]
    # Go's two ports tell that it searches afterwards; of one port only the times tell whether it is glibc's or musl's.
    assert ("would be asked as they stand first and found a query later" in finding.remedies[0].text) is known
    assert finding.saving is not None
    assert (finding.saving.fix, finding.saving.observed, finding.saving.modelled) == ("ndots:2", 1600, 400)


@pytest.mark.parametrize("name", CAPTURES)
def test_a_capture_shows_what_the_client_did(name: str) -> None:
    check(run(DETECTOR, read(capture.SOURCE, name)), "_go." in name or ".raw." not in name)


@pytest.mark.parametrize("name", LOGS)
def test_a_log_shows_what_the_client_did(name: str) -> None:
    check(run(DETECTOR, read(coredns.SOURCE, name)), "_go." in name or ".raw." not in name)


def test_every_view_of_one_run_together_is_still_one_finding() -> None:
    given = read(capture.SOURCE, *CAPTURES[:2]) | read(coredns.SOURCE, *LOGS[:3])
    check(run(DETECTOR, given))


def test_added_seconds_lie_within_what_the_client_waited() -> None:
    lines = (RECORDED / "pcap/dns_search_glibc.client.jsonl").read_text().splitlines()
    outside = [row for row in map(json.loads, lines) if row["name"].endswith(".com")]
    assert Counter(row["name"] for row in outside) == dict.fromkeys({row["name"] for row in outside}, 40)
    [finding] = run(DETECTOR, read(capture.SOURCE, CAPTURES[0]))
    waited = sum(row["ms"] for row in outside) / 1000
    assert waited * 0.3 < finding.figure("added seconds") < waited


@pytest.mark.parametrize(
    "name",
    [
        "dns_fqdn_glibc.pod_eth",
        "dns_rcodes_glibc.pod_eth",
        "dns_truncated_glibc.any_sll2",
        "dns_vip_blackhole_glibc.pod_eth",
    ],
)
def test_silent_on_other_runs(name: str) -> None:
    assert run(DETECTOR, read(capture.SOURCE, f"pcap/{name}.pcap")) == []


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is absent")
@pytest.mark.parametrize("name", ["pcap/dns_search_glibc.pod_eth.pcap", "pcap/dns_truncated_glibc.pod_eth.pcap"])
def test_answers_are_paired_as_tshark_pairs_them(name: str) -> None:
    fields = ("frame.number", "dns.response_to")
    command = ["tshark", "-r", str(RECORDED / name), "-Y", "dns.response_to", "-T", "fields"]
    out = subprocess.run(
        [*command, *(a for f in fields for a in ("-e", f))], capture_output=True, text=True, check=True
    )
    told = {(int(query), int(answer)) for answer, query in (line.split("\t") for line in out.stdout.splitlines())}
    facts = frames_for([DNS_TRANSACTIONS], read(capture.SOURCE, name))[DNS_TRANSACTIONS].collect()
    answered = facts.drop_nulls("answer_number").select("number", "answer_number")
    assert set(answered.rows()) == told
