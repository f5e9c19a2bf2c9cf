"""Refreshes against recordings of botocore and a metadata service, with what both themselves counted."""

from __future__ import annotations

import json

import pytest

from analyzer.detectors.credentials.imds_credential_storm import DETECTOR
from analyzer.model import Confidence
from analyzer.sources import capture
from tests.build import outcome, run
from tests.recordings import RECORDED, needed, read

pytestmark = needed


@pytest.mark.parametrize("where", ["veth_eth", "any_sll2"])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_an_old_sdk_with_short_credentials_refreshes_on_every_request(version: str, where: str) -> None:
    case = f"pcap/imds_{version}_14min_old"
    client = json.loads((RECORDED / f"{case}.client.jsonl").read_text())
    server = (RECORDED / f"{case}.server.jsonl").read_text().splitlines()
    [finding] = run(DETECTOR, read(capture.SOURCE, f"{case}.{where}.pcap"))
    assert finding.subject == "10.244.1.17"
    assert finding.figure("refreshes") == client["metadata_fetch"] == 201
    assert finding.figure("metadata requests") == len(server) == 603
    assert finding.figure("application requests") == client["requests"] == 200
    assert finding.figure("refreshes needed") == 1
    assert finding.figure("refreshes per application request") == client["refreshes_per_request"] == 1.005
    assert finding.variant == ""
    spent = sum(client["fetch_seconds"])
    assert spent * 0.8 < finding.figure("seconds spent") < spent
    assert finding.confidence is Confidence.HIGH
    assert "AKIA" not in str(finding)


@pytest.mark.parametrize("where", ["veth_eth", "any_sll2"])
@pytest.mark.parametrize("case", ["imds_v1_6h_old", "imds_v2_6h_new"])
def test_silent_on_long_credentials(case: str, where: str) -> None:
    assert outcome(DETECTOR, read(capture.SOURCE, f"pcap/{case}.{where}.pcap")) == []


def test_two_captures_of_one_run_count_it_once() -> None:
    names = [f"pcap/imds_v1_14min_old.{where}.pcap" for where in ("veth_eth", "any_sll2")]
    [finding] = run(DETECTOR, read(capture.SOURCE, *names))
    assert (finding.figure("refreshes"), finding.figure("metadata requests")) == (201, 603)
    assert finding.figure("application requests") == 200
