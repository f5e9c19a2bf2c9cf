from __future__ import annotations

import polars as pl
import pytest

from analyzer.facts import workload_names


@pytest.mark.parametrize(
    ("pod", "kind", "workload"),
    [
        ("ledger-74d75456f5-x2k8m", "Deployment", "ledger"),
        ("a-b-c-74d75456f5-x2k8m", "Deployment", "a-b-c"),
        ("nightly-report-29921704-ng2wl", "CronJob", "nightly-report"),
        ("report-1604400600-ng2wl", "CronJob", "report"),
        ("db-0", "StatefulSet", "db"),
        ("db-eu-12", "StatefulSet", "db-eu"),
        ("agent-x2k8m", "", "agent"),
        ("my-agent-x2k8m", "", "my-agent"),
        ("kube-apiserver-ip-10-0-12-5.ec2.internal", "Pod", "kube-apiserver-ip-10-0-12-5.ec2.internal"),
        ("plain", "Pod", "plain"),
        ("-", "Pod", "-"),
        ("", "Pod", ""),
        (None, "Pod", None),
    ],
)
def test_names_of_pods_tell_their_workload(pod: str | None, kind: str, workload: str | None) -> None:
    frame = pl.DataFrame({"pod": [pod]}, schema={"pod": pl.String})
    assert frame.select(workload_names.of_pod(pl.col("pod"))).to_series()[0] == {"kind": kind, "workload": workload}


@pytest.mark.parametrize(
    ("kind", "owner", "top", "workload"),
    [
        ("ReplicaSet", "ledger-74d75456f5", "Deployment", "ledger"),
        ("ReplicaSet", "bare", "ReplicaSet", "bare"),
        ("ReplicaSet", "my-set", "ReplicaSet", "my-set"),
        ("Job", "report-29921704", "CronJob", "report"),
        ("Job", "migrate", "Job", "migrate"),
        ("StatefulSet", "db-74d75456f5", "StatefulSet", "db-74d75456f5"),
        (None, None, None, None),
    ],
)
def test_owners_tell_what_owns_them(kind: str | None, owner: str | None, top: str | None, workload: str | None) -> None:
    frame = pl.DataFrame({"kind": [kind], "owner": [owner]}, schema={"kind": pl.String, "owner": pl.String})
    told = frame.select(workload_names.of_owner(pl.col("kind"), pl.col("owner"))).to_series()[0]
    assert told == {"kind": top, "workload": workload}
