"""Facts of the API server from recorded audit logs, against the truth beside them and counts of plain Python."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from datetime import datetime
from typing import Any

import polars as pl
import pytest

from analyzer.facts.change_ledger import AREAS, CHANGE_LEDGER, KEPT_PARTS, WRITES
from analyzer.facts.contract import Fact
from analyzer.facts.list_watch import LIST_WATCH
from analyzer.facts.pod_owners import POD_OWNERS
from analyzer.facts.request_load import REQUEST_LOAD
from analyzer.facts.requests import AUDIT_REQUESTS
from analyzer.sources.audit import SOURCE
from tests import recordings
from tests.build import frames_for

LOGS = [path.relative_to(recordings.RECORDED).as_posix() for path in sorted(recordings.RECORDED.glob("*/audit*.log*"))]
FACTS = (AUDIT_REQUESTS, REQUEST_LOAD, LIST_WATCH, POD_OWNERS, CHANGE_LEDGER)

pytestmark = recordings.needed
EVERY = pytest.mark.parametrize("name", LOGS)


def facts(name: str) -> dict[Fact, pl.DataFrame]:
    made = frames_for(FACTS, recordings.read(SOURCE, name))
    return {fact: made[fact].collect() for fact in FACTS}


def finals(name: str) -> list[dict[str, Any]]:
    """The last event of each request, of the file as it lies there."""
    path = recordings.RECORDED / name
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    events = [json.loads(line) for line in data.splitlines()]
    return [event for event in events if event["stage"] in ("ResponseComplete", "Panic")]


def seconds(event: dict[str, Any]) -> float:
    begin, end = (
        datetime.fromisoformat(event[key].replace("Z", "+00:00"))
        for key in ("requestReceivedTimestamp", "stageTimestamp")
    )
    return (end - begin).total_seconds()


def ref(event: dict[str, Any], key: str) -> Any:
    return event.get("objectRef", {}).get(key)


def lasting(event: dict[str, Any]) -> bool:
    long = event["verb"] in ("watch", "proxy") or ref(event, "subresource") in (
        "exec",
        "attach",
        "portforward",
        "proxy",
    )
    return bool(long or (ref(event, "subresource") == "log" and "follow=true" in event["requestURI"]))


@EVERY
def test_load_adds_up_to_the_requests_and_to_the_time_that_they_took(name: str) -> None:
    events = [event for event in finals(name) if not lasting(event)]
    load = facts(name)[REQUEST_LOAD]
    assert load["requests"].sum() == len(events)
    busy = [
        seconds(event)
        for event in events
        if event.get("responseStatus", {}).get("code") != 429 or ref(event, "subresource") == "eviction"
    ]
    # Little's law over the whole log; between two rows of an agent what was in flight at the end stays
    steps = load.sort("agent", "time").with_columns(
        pl.col("time").shift(-1).over("agent").sub(pl.col("time")).dt.total_seconds().sub(1).fill_null(0).alias("still")
    )
    total = (steps["in_flight"] + steps["still"] * steps["in_flight_at_end"]).sum()
    assert total == pytest.approx(sum(max(0.0, one) for one in busy), abs=1e-3)


@EVERY
def test_lists_and_watches_are_those_in_the_file(name: str) -> None:
    table = facts(name)[LIST_WATCH]
    asked = [
        event
        for event in finals(name)
        if event["verb"] == "list" and ref(event, "resource") and not ref(event, "subresource")
    ]
    first = [event for event in asked if not re.search(r"[?&]continue=[^&]", event["requestURI"])]
    counts = Counter((event.get("userAgent", "").split("/")[0], ref(event, "resource")) for event in first)
    told = table.group_by("agent", "resource").agg(pl.col("lists").sum()).filter(pl.col("lists") > 0)
    assert {(agent, resource): lists for agent, resource, lists in told.rows()} == dict(counts)
    assert table["pages"].sum() == len(asked) - len(first)
    quorum = [event for event in first if not re.search(r"[?&]resourceVersion=[^&]", event["requestURI"])]
    assert table["quorum_reads"].sum() == len(quorum)
    pages = [event for event in first if not re.search(r"[?&]limit=\d+", event["requestURI"])]
    assert table["unpaginated"].sum() == len(pages)


def test_the_storm_is_listed_as_its_clients_counted() -> None:
    truth = json.loads((recordings.RECORDED / "b1_storm_maxinflight/truth.json").read_text())["by_resource_and_code"]
    made = facts("b1_storm_maxinflight/audit.log")
    agent = made[LIST_WATCH].filter(pl.col("agent") == "datadog-agent")
    lists = {row["resource"]: (row["lists"], row["rejected"]) for row in agent.rows(named=True)}
    # requests that were under way when the clients stopped are in the log and not in their counts
    for resource in ("pods", "services"):
        served = truth[f"{resource} 200"]
        assert lists[resource][1] == truth[f"{resource} 429"]
        assert served <= lists[resource][0] - lists[resource][1] <= served + truth["watch 200"]
    assert made[REQUEST_LOAD]["rejected"].sum() == truth["pods 429"] + truth["services 429"]


@EVERY
def test_the_ledger_holds_the_writes_of_the_file(name: str) -> None:
    resources = {resource for names in AREAS.values() for resource in names}
    written = [
        event
        for event in finals(name)
        if event["verb"] in WRITES
        and ref(event, "resource") in resources
        and ref(event, "subresource") in (None, *KEPT_PARTS)
        and 200 <= event.get("responseStatus", {}).get("code", 0) < 300
        and "dryRun=All" not in event["requestURI"]
        and not event.get("userAgent", "").endswith("/leader-election")
    ]
    wanted = Counter(
        (event["verb"], ref(event, "resource"), ref(event, "subresource"), event["user"]["username"])
        for event in written
    )
    assert Counter(facts(name)[CHANGE_LEDGER].select("verb", "resource", "subresource", "actor").rows()) == wanted


@EVERY
def test_names_of_pods_tell_what_owner_references_say(name: str) -> None:
    """Where bodies tell the owner, the name alone must not tell another one."""
    given = recordings.read(SOURCE, name)
    told = frames_for([POD_OWNERS], given)[POD_OWNERS].collect().filter(pl.col("told_by") == "body")
    bare = {table: frame for table, frame in given.items() if table.name != "audit_objects"}
    guessed = frames_for([POD_OWNERS], bare)[POD_OWNERS].collect()
    both = told.join(guessed, on=["namespace", "pod"])
    known = both.filter(pl.col("workload_right").is_not_null())
    assert known.filter(pl.col("workload") != pl.col("workload_right")).select("pod", "workload_right").rows() == []
