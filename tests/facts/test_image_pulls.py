"""What Events, kubelets and runtimes tell of pulls of images."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analyzer.facts.image_names import canonical, error_class, registry
from analyzer.facts.image_pulls import IMAGE_PULLS
from analyzer.frames import KLOG_LINES, KUBE_EVENTS, RUNTIME_MESSAGES, Table
from tests.build import at, frames_for, rows

Row = dict[str, Any]


def told(given: dict[Table, pl.LazyFrame]) -> list[Row]:
    return frames_for([IMAGE_PULLS], given)[IMAGE_PULLS].collect().to_dicts()


@pytest.mark.parametrize(
    ("written", "host", "whole"),
    [
        ("nginx", "docker.io", "docker.io/library/nginx:latest"),
        ("nginx:1.25", "docker.io", "docker.io/library/nginx:1.25"),
        ("team/app:2", "docker.io", "docker.io/team/app:2"),
        ("index.docker.io/team/app", "docker.io", "docker.io/team/app:latest"),
        ("registry.example.com/a/b:1", "registry.example.com", "registry.example.com/a/b:1"),
        ("registry.example.com:5000/a", "registry.example.com:5000", "registry.example.com:5000/a:latest"),
        ("localhost/a:1", "localhost", "localhost/a:1"),
        ("quay.io/a/b@sha256:0a1b", "quay.io", "quay.io/a/b@sha256:0a1b"),
    ],
)
def test_a_reference_is_named_in_full(written: str, host: str, whole: str) -> None:
    frame = pl.DataFrame({"image": [written]})
    assert frame.select(registry(pl.col("image")), canonical(pl.col("image")).alias("c")).row(0) == (host, whole)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("toomanyrequests: You have reached your pull rate limit", "quota"),
        ("unexpected status code https://x.example.com/v2/403/manifests/a: 429 Too Many Requests", "quota"),
        ("denied: Quota exceeded for quota metric 'Requests' of service", "quota"),
        ("pull access denied for x, repository does not exist or may require 'docker login'", "permission"),
        ("failed to authorize: failed to fetch oauth token: unexpected status: 401 Unauthorized", "permission"),
        ("unexpected status from HEAD request to https://x.example.com/v2/a: 403 Forbidden", "permission"),
        ("no basic auth credentials", "permission"),
        ("insufficient_scope: authorization failed", "permission"),
        # the name of an image may hold any of the words, with the name of a registry and without
        ('Failed to pull image "acme/quota-service:429": rpc error: code = NotFound desc = no such image', "missing"),
        ('failed to pull and unpack image \\"acme/quota:429\\": docker.io/acme/quota:429: not found', "missing"),
        ('failed to resolve reference "acme/quota:429": acme/quota:429: not found', "missing"),
        ("manifest for acme/quota-service:build-429 not found: manifest unknown", "missing"),
        ("pull access denied for acme/throttle:429, repository does not exist", "permission"),
        ("manifest for nginx:1.99 not found: manifest unknown: manifest unknown", "missing"),
        ("failed to resolve reference x.example.com/denied/429:1: x.example.com/denied/429:1: not found", "missing"),
        ("net/http: TLS handshake timeout", "network"),
        ("dial tcp: lookup x.example.com on 10.0.0.2:53: no such host", "network"),
        ("read tcp 10.0.0.1:1->192.0.2.1:443: read: connection reset by peer", "network"),
        ("failed to copy: httpReadSeeker: failed open: unexpected EOF", "network"),
        ("unexpected status code https://x.example.com/v2/a: 503 Service Unavailable", "registry"),
        ("write /var/lib/containerd/tmp: no space left on device", "disk"),
        ("pull QPS exceeded", "own limit"),
        ("something else", "other"),
    ],
)
def test_the_text_of_a_failure_tells_its_class(text: str, kind: str) -> None:
    assert pl.DataFrame({"e": [text]}).select(error_class(pl.col("e"))).item() == kind


EVENT: Row = {"kind": "Pod", "namespace": "shop", "name": "web-1", "node": "n1", "event_uid": "e", "count": 1}


@pytest.mark.parametrize(
    ("reason", "message", "what", "seconds", "size"),
    [
        ("Pulling", 'pulling image "x.io/a:1"', "attempt", None, None),
        ("Pulling", 'Pulling image "x.io/a:1"', "attempt", None, None),
        ("Pulling", '(combined from similar events): Pulling image "x.io/a:1"', "attempt", None, None),
        ("Pulled", 'Successfully pulled image "x.io/a:1"', "pulled", None, None),
        ("Pulled", 'Successfully pulled image "x.io/a:1" in 1.5s', "pulled", 1.5, None),
        ("Pulled", 'Successfully pulled image "x.io/a:1" in 1s (1m2s including waiting)', "pulled", 62, None),
        (
            "Pulled",
            'Successfully pulled image "x.io/a:1" in 15.001s (31.176s including waiting). Image size: 77 bytes.',
            "pulled",
            31.176,
            77,
        ),
        ("Pulled", 'Container image "x.io/a:1" already present on machine', "present", None, None),
        ("Failed", 'Failed to pull image "x.io/a:1": toomanyrequests', "failed", None, None),
    ],
)
def test_events_of_every_era(reason: str, message: str, what: str, seconds: float | None, size: int | None) -> None:
    [row] = told({KUBE_EVENTS: rows(KUBE_EVENTS, EVENT | {"reason": reason, "message": message})})
    assert (row["what"], row["seconds"], row["bytes"]) == (what, seconds, size)
    assert (row["image"], row["registry"], row["pod"], row["node"]) == ("x.io/a:1", "x.io", "shop/web-1", "n1")
    assert row["class"] == ("quota" if what == "failed" else None)
    assert (row["channel"], row["count"], row["fresh"]) == ("event", 1, True)


@pytest.mark.parametrize("message", ["Error: ErrImagePull", "Error: ImagePullBackOff", 'Back-off pulling image "x"'])
def test_what_repeats_another_event_is_no_pull(message: str) -> None:
    assert told({KUBE_EVENTS: rows(KUBE_EVENTS, EVENT | {"reason": "Failed", "message": message})}) == []


def test_a_later_row_of_an_event_stands_for_what_came_since() -> None:
    row = EVENT | {"reason": "Pulling", "message": 'Pulling image "x.io/a:1"', "first_time": 0}
    counts = [(0, 1), (30, 3), (30, 3), (100, 4), (200, 2)]
    found = told({KUBE_EVENTS: rows(KUBE_EVENTS, *(row | {"time": time, "count": count} for time, count in counts))})
    shown = [(one["count"], one["since"], one["time"], one["fresh"]) for one in found]
    assert shown == [
        (1, at(0), at(0), True),
        (2, at(0), at(30), False),
        (1, at(30), at(100), False),
        (2, at(100), at(200), False),
    ], "a count that fell is that of another Event"


def test_an_event_in_a_kubelets_log_is_one_occurrence() -> None:
    text = '"Event occurred" object="shop/web-1" kind="Pod" apiVersion="v1" type="Normal" reason="Pulling" '
    text += 'message="Pulling image \\"x.io/a:1\\""'
    [row] = told({KLOG_LINES: rows(KLOG_LINES, {"message": "Event occurred", "text": text})})
    assert (row["what"], row["image"], row["channel"], row["count"]) == ("attempt", "x.io/a:1", "log", 1)


def test_runtimes_tell_of_attempts_and_outcomes() -> None:
    texts = {
        'PullImage "x.io/a:1"': "attempt",
        'PullImage "x.io/a:1" returns image reference "sha256:1"': "pulled",
        'PullImage "x.io/a:1" failed': "failed",
        "Pulling image: x.io/a:1": "attempt",
        "Pulled image: x.io/a@sha256:1": "pulled",
        "ImageCreate event name:x": None,
    }
    data = [{"message": text, "image": "x.io/a:1", "error": "429", "host": "n1"} for text in texts]
    found = told({RUNTIME_MESSAGES: rows(RUNTIME_MESSAGES, *data)})
    assert [row["what"] for row in found] == [what for what in texts.values() if what]
    assert [row["class"] for row in found if row["what"] == "failed"] == ["quota"]


def test_a_kubelets_failure_is_given_the_pod_of_the_next_line_of_the_same_kind() -> None:
    old = 'PullImage "nginx:1.99" from image service failed: rpc error: code = Unknown desc = manifest unknown'
    sync = 'Error syncing pod 1 ("web_shop(1)"), skipping: failed to "StartContainer" for "w" with ErrImagePull: '
    data = [
        {"message": old, "text": old, "time": 1},
        {"message": sync + "x", "text": sync + '"connection refused"', "pod": "shop/other", "time": 1.1},
        {"message": sync, "text": sync + '"manifest unknown"', "pod": "shop/web", "time": 1.2},
        {"message": sync, "text": sync + '"manifest unknown"', "pod": "shop/late", "time": 9},
    ]
    [row] = told({KLOG_LINES: rows(KLOG_LINES, *data, host="n1", component="kubelet")})
    assert (row["pod"], row["image"], row["class"]) == ("shop/web", "docker.io/library/nginx:1.99", "missing")


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("user:hunter2@registry.example.com/a/b:1", "registry.example.com/a/b:1"),
        ("nginx:1.2@sha256:0a1b", "docker.io/library/nginx:1.2@sha256:0a1b"),
    ],
)
def test_a_password_before_the_registry_is_no_part_of_a_name(told: str, name: str) -> None:
    frame = pl.DataFrame({"i": [told]}).select(
        canonical(pl.col("i")).alias("i"), registry(canonical(pl.col("i"))).alias("r")
    )
    assert frame.row(0) == (name, name.split("/")[0])
