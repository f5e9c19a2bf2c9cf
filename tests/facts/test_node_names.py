"""One name for a node, however a log names it."""

from __future__ import annotations

import polars as pl
import pytest

from analyzer.facts.node_names import node, short_node


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("ip-10-0-12-36", "ip-10-0-12-36"),
        ("ip-10-0-12-36.ec2.internal", "ip-10-0-12-36"),
        ("ip-10-0-12-36.eu-west-1.compute.internal.", "ip-10-0-12-36"),
        ("gke-prod-pool-1-0a1b2c3d-x7k2", "gke-prod-pool-1-0a1b2c3d-x7k2"),
        ("AKS-nodepool1-31415926-vmss00000A", "aks-nodepool1-31415926-vmss00000a"),
        ("Master-0.ocp.example.com", "master-0"),
        ("10.0.12.36", "10.0.12.36"),
        ("fd00::a:1", "fd00::a:1"),
        ("::ffff:10.0.12.36", "::ffff:10.0.12.36"),
        # the dot is in the name of the node, no domain
        ("node.1", "node.1"),
        ("node.2", "node.2"),
        ("", ""),
        (None, None),
    ],
)
def test_a_domain_and_the_case_of_letters_make_no_other_node(told: str | None, name: str | None) -> None:
    frame = pl.DataFrame({"host": [told]}, schema={"host": pl.String})
    assert frame.select(short_node(pl.col("host"))).item() == name


def test_without_a_host_the_input_is_the_node_as_it_is() -> None:
    frame = pl.DataFrame(
        {"host": [None], "source": ["Logs/kubelet.log"]}, schema={"host": pl.String, "source": pl.String}
    )
    assert frame.select(node()).item() == "Logs/kubelet.log"
