"""Everything that the inputs say of whose an address is, record by record, before it is weighed.

`LEVELS` orders what tells it. Kubelets and the controllers of the cluster write what they set up themselves: high.
The caller of a request, the event of a network plugin and CoreDNS's records of endpoints are told by the one concerned
or by a copy: medium. A probe may go to another address than the pod's (`httpGet.host`), names of the form
`10-1-2-3.ns.pod.cluster.local` are answered for any namespace where CoreDNS runs with `pods insecure`, and the search
list tells the namespace alone: low.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from analyzer.facts.contract import Fact, Frames
from analyzer.facts.search_list import SEARCH_SUFFIXES
from analyzer.frames import AUDIT_ADDRESSES, AUDIT_EVENTS, DNS_ANSWERS, KLOG_LINES, KUBE_EVENTS, TIME, Table
from analyzer.frames.contract import Col

LEVELS = ("high", "medium", "low")

CLAIMS = Table(
    "address_claims",
    "One row per record that tells whose an address is.",
    (
        Col("time", TIME, "When it was told."),
        Col("source", pl.String(), "Input."),
        Col("number", pl.Int64(), "Record."),
        Col("address", pl.String(), "The address."),
        Col("kind", pl.String(), "pod, node, service, endpoint (a pod of a service) or namespace (a pod of it)."),
        Col("namespace", pl.String(), "Namespace of the owner."),
        Col("name", pl.String(), "Name of the owner."),
        Col("uid", pl.String(), "UID of the pod."),
        Col("node", pl.String(), "Node of the pod."),
        Col("begin", TIME, "When the pod was accepted by its node; it had no address before."),
        Col("over", pl.Boolean(), "The record says that the pod has ended."),
        Col("known_from", pl.String(), "What told it."),
        Col("level", pl.Int8(), "Place in LEVELS."),
    ),
)

SEARCH_LIST = "its search list"

_PLACE = ("time", "source", "number")
_OPTIONAL = ("namespace", "name", "uid", "node", "begin")

STATUS_PATCH = "Patch status for pod"
"""pkg/kubelet/status/status_manager.go, V(3), since 1.14; with the pod's UID since 1.27 (in parentheses up to 1.19)."""

WITH_ADDRESSES = (
    "Determined the ip for pod after sandbox changed",  # kuberuntime_manager.go, V(4), since 1.21: IPs=
    "Creating hosts mount for container",  # kubelet_pods.go, V(3), since 1.21: podIPs=
    "Pod sandbox and network ready, invoking callback",  # kuberuntime_manager.go, V(4), 1.36: podIPs=
)

_TEXT = r"([0-9a-fA-F:.]{2,45})"
_POD_IP = r'"?podIP\\*":\\*"' + _TEXT
_HOST_IP = r'hostIP\\*":\\*"' + _TEXT
_START = r'startTime\\*":\\*"([0-9TZ:.+-]{20,35})'
_UID = r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
_IPS = r'\b(?:podIPs|IPs)=\[?"?' + _TEXT
_PROBED = r'Get \\*"https?://\[?' + _TEXT + r"\]?:[0-9]"
"""What an HTTP probe asked (net/http, url.Error), pkg/probe/http."""
_ADDED = r"^Add \S+ \[" + _TEXT + r"/[0-9]+"
"""multus-cni pkg/multus, reason AddedInterface: `Add eth0 [10.128.2.15/23] from ovn-kubernetes`."""

_REVERSE = r"^([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.in-addr\.arpa$"
_DASHED = r"^[0-9]{1,3}(?:-[0-9]{1,3}){3}$"
_SERVED = r"^(?:([a-z0-9-]+)\.)?([a-z0-9-]+)\.([a-z0-9-]+)\.svc\..+$"
"""[endpoint.]service.namespace.svc.domain (Kubernetes DNS-Based Service Discovery, dns/docs/specification.md)."""
_POD_NAME = r"^[0-9]{1,3}(?:-[0-9]{1,3}){3}\.([a-z0-9-]+)\.pod\..+$"


def claims(frames: Frames) -> pl.DataFrame:
    """All claims in one frame, without addresses that no one has for himself."""
    parts = [read(frames[table]) for table, read in _READERS.items() if table in frames]
    if SEARCH_SUFFIXES in frames:
        parts.append(_searching(frames[SEARCH_SUFFIXES]))
    parts = [_fitted(part) for part in parts]
    if not parts:
        return pl.DataFrame(schema=CLAIMS.schema)
    own = ~pl.col("address").str.contains(r"^(?:127\.|0\.|::1?$|169\.254\.|fe80:|22[4-9]\.|23[0-9]\.|ff)")
    # Without a time only the search list tells anything: of a client, for as long as it was seen.
    timed = pl.col("time").is_not_null() | (pl.col("known_from") == SEARCH_LIST)
    return pl.concat(parts).filter(own, timed).collect()


def _fitted(part: pl.LazyFrame) -> pl.LazyFrame:
    has = set(part.collect_schema())
    missing = {name: pl.lit(None, CLAIMS.schema[name]) for name in _OPTIONAL if name not in has}
    return (
        part.with_columns(**missing, **({} if "over" in has else {"over": pl.lit(value=False)}))
        .with_columns(pl.col("level").cast(pl.Int8))
        .select(list(CLAIMS.schema))
    )


def _from_bodies(told: pl.LazyFrame) -> pl.LazyFrame:
    part = pl.concat_str("resource", "subresource", separator="/", ignore_nulls=True)
    return told.select(
        *_PLACE,
        *("address", "kind", "namespace", "name", "uid", "node"),
        begin="start_time",
        over=pl.col("phase").is_in(["Succeeded", "Failed"]).fill_null(value=False),
        known_from=pl.concat_str(pl.lit("audit "), part),
        level=pl.lit(0),
    )


def _from_callers(events: pl.LazyFrame) -> pl.LazyFrame:
    """Who asked, at what address: kubelets, and pods by their service account's token (bound tokens name the pod)."""
    pod = pl.col("caller_pod").is_not_null() & pl.col("service_account_namespace").is_not_null()
    node = pl.col("node").is_not_null()
    # The same caller stands in thousands of events: its first and its last one tell all.
    who = ["source", "source_ip", "node", "caller_pod", "caller_pod_uid", "caller_node", "service_account_namespace"]
    ends = (
        events.filter(node | pod, pl.col("source_ip").is_not_null(), pl.col("time").is_not_null())
        .group_by(who)
        .agg(
            number=pl.col("number").sort_by("time", "number").first(),
            last_number=pl.col("number").sort_by("time", "number").last(),
            time=pl.col("time").min(),
            last=pl.col("time").max(),
        )
    )
    both = pl.concat(
        [
            ends.drop("last_number", "last"),
            ends.drop("number", "time").rename({"last_number": "number", "last": "time"}),
        ],
        how="diagonal",
    )
    return both.select(
        *_PLACE,
        address="source_ip",
        kind=pl.when(node).then(pl.lit("node")).otherwise(pl.lit("pod")),
        namespace=pl.when(~node).then("service_account_namespace"),
        name=pl.when(node).then("node").otherwise("caller_pod"),
        uid=pl.when(~node).then("caller_pod_uid"),
        node=pl.when(~node).then("caller_node"),
        known_from=pl.lit("audit sourceIPs"),
        level=pl.lit(1),
    )


def _from_klog(lines: pl.LazyFrame) -> pl.LazyFrame:
    message, text = pl.col("message"), pl.col("text")
    named = lines.filter(pl.col("pod").is_not_null(), pl.col("time").is_not_null()).with_columns(
        namespace=pl.col("pod").str.extract(r"^([^/]+)/", 1), name=pl.col("pod").str.extract(r"/([^/]+)$", 1)
    )
    pod = {"kind": pl.lit("pod"), "uid": text.str.extract(_UID, 1), "node": pl.col("host")}
    patches = named.filter(message.str.starts_with(STATUS_PATCH))
    same = {"known_from": pl.lit("kubelet status patch"), "level": pl.lit(0)}
    over = text.str.contains(r'\bphase\\*":\\*"(?:Succeeded|Failed)')
    start = text.str.extract(_START, 1).str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
    own = patches.select(
        *_PLACE, "namespace", "name", **pod, address=text.str.extract(_POD_IP, 1), begin=start, over=over, **same
    )
    host = patches.filter(pl.col("host").is_not_null()).select(
        *_PLACE, kind=pl.lit("node"), name="host", address=text.str.extract(_HOST_IP, 1), **same
    )
    with_ips = named.filter(message.is_in(WITH_ADDRESSES)).select(
        *_PLACE,
        "namespace",
        "name",
        **pod,
        address=text.str.extract(_IPS, 1),
        known_from=pl.lit("kubelet log"),
        level=pl.lit(0),
    )
    probes = named.filter(message.is_in(["Probe failed", "Probe errored"])).select(
        *_PLACE,
        "namespace",
        "name",
        **pod,
        address=text.str.extract(_PROBED, 1),
        known_from=pl.lit("kubelet probe"),
        level=pl.lit(2),
    )
    parts = [part.filter(pl.col("address").is_not_null()) for part in (own, host, with_ips, probes)]
    return pl.concat(parts, how="diagonal")


def _from_events(events: pl.LazyFrame) -> pl.LazyFrame:
    """Events of pods: a network plugin's, and probes by their URL."""
    message = pl.col("message")
    added = (pl.col("reason") == "AddedInterface").fill_null(value=False)
    probed = (pl.col("reason") == "Unhealthy").fill_null(value=False)
    return (
        events.filter(pl.col("kind") == "Pod", added | probed, pl.col("time").is_not_null())
        .select(
            *_PLACE,
            *("namespace", "name", "uid", "node"),
            kind=pl.lit("pod"),
            address=pl.when(added).then(message.str.extract(_ADDED, 1)).otherwise(message.str.extract(_PROBED, 1)),
            known_from=pl.when(added).then(pl.lit("event AddedInterface")).otherwise(pl.lit("event Unhealthy")),
            level=pl.when(added).then(1).otherwise(2),
        )
        .filter(pl.col("address").is_not_null())
    )


def _from_answers(answers: pl.LazyFrame) -> pl.LazyFrame:
    """What CoreDNS's kubernetes plugin answers: PTR of services and endpoints, A of endpoints, A of pod names."""
    name, value, rtype = pl.col("name"), pl.col("value"), pl.col("rtype")
    fresh = answers.filter(
        ~pl.col("duplicate").fill_null(value=False), pl.col("protocol") == "dns", value.is_not_null()
    )
    back = name.str.extract_groups(_REVERSE).struct
    reverse = fresh.filter(rtype == "PTR", name.str.ends_with(".in-addr.arpa")).select(
        *_PLACE,
        address=pl.concat_str(back["4"], back["3"], back["2"], back["1"], separator="."),
        served=value,
        known_from=pl.lit("PTR record"),
    )
    direct = fresh.filter(rtype == "A", name.str.contains(".svc.", literal=True)).select(
        *_PLACE, address=value, served=name, known_from=pl.lit("A record of an endpoint")
    )
    parts = pl.col("served").str.extract_groups(_SERVED).struct
    endpoint, dashed = parts["1"], parts["1"].str.contains(_DASHED)
    served = (
        pl.concat([reverse, direct])
        .filter(pl.col("address").is_not_null(), parts["2"].is_not_null())
        # The A record of a service is its cluster IP or, of a headless one, that of any of its pods.
        .filter(endpoint.is_not_null() | (pl.col("known_from") == "PTR record"))
        .select(
            *_PLACE,
            *("address", "known_from"),
            kind=pl.when(endpoint.is_null())
            .then(pl.lit("service"))
            .when(dashed)
            .then(pl.lit("endpoint"))
            .otherwise(pl.lit("pod")),
            namespace=parts["3"],
            name=pl.when(endpoint.is_null() | dashed).then(parts["2"]).otherwise(endpoint),
            level=pl.lit(1),
        )
    )
    pods = fresh.filter(rtype == "A", name.str.contains(".pod.", literal=True)).select(
        *_PLACE,
        address=value,
        kind=pl.lit("namespace"),
        namespace=name.str.extract(_POD_NAME, 1),
        known_from=pl.lit("A record of a pod name"),
        level=pl.lit(2),
    )
    return pl.concat([served, pods.filter(pl.col("namespace").is_not_null())], how="diagonal")


def _searching(suffixes: pl.LazyFrame) -> pl.LazyFrame:
    """The namespace that a client's resolver searches, where it searches no other: a proxy asks for many."""
    return (
        suffixes.filter(pl.col("kind") == "namespace")
        .filter(pl.col("namespace").n_unique().over("client") == 1)
        .select(
            *_PLACE,
            address="client",
            kind=pl.lit("namespace"),
            namespace="namespace",
            known_from=pl.lit(SEARCH_LIST),
            level=pl.lit(2),
        )
    )


_READERS: dict[Table, Callable[[pl.LazyFrame], pl.LazyFrame]] = {
    AUDIT_ADDRESSES: _from_bodies,
    AUDIT_EVENTS: _from_callers,
    KLOG_LINES: _from_klog,
    KUBE_EVENTS: _from_events,
    DNS_ANSWERS: _from_answers,
}
SOURCES: tuple[tuple[Table | Fact, ...], ...] = (*((table,) for table in _READERS), (SEARCH_SUFFIXES,))
"""The tables and facts that tell of addresses, each by itself."""
