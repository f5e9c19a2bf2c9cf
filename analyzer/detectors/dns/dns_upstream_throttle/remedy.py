"""What to do about an upstream that does not keep up, and how to check it on the original."""

from __future__ import annotations

import shlex

import polars as pl

from analyzer.detectors.dns.dns_upstream_throttle.windows import Window
from analyzer.facts.shell import grepped, tshark
from analyzer.model import Remedy

_CACHE = """cache 30 {
    success 9984 30
    denial 9984 5
    prefetch 10 60s 10%
    serve_stale
}
"""

_FORWARD = """forward . 10.0.0.2 10.0.0.3 {
    max_concurrent 1000
    policy random
    max_fails 2
}
"""

REMEDIES = (
    Remedy(text="Keep answers in CoreDNS, and hand out stale ones while the upstream is silent.", snippet=_CACHE),
    Remedy(text="Name several upstreams, and let so many queries wait as memory allows (2 kB each).", snippet=_FORWARD),
    Remedy(text="Run NodeLocal DNSCache: nodes ask the upstream from their own interfaces, each with its own limit."),
    Remedy(text="Ask less: outside names with a final dot, or ndots of 1 or 2, so that no search domain is tried."),
    Remedy(text="Take `autopath` out of the Corefile where its searched names miss the cache."),
    Remedy(text="Spread the CoreDNS pods over more nodes: limits of cloud resolvers are laid on each interface."),
)

_SOURCES = 3

_ERRORS = "plugin/errors: .*(i/o timeout|connection refused|exceeded maximum|no healthy)"
_UNANSWERED = r'" (- - 0 |SERVFAIL |REFUSED )'


def verify(window: Window) -> tuple[str, ...]:
    """Commands that show the same on the original inputs and in the cluster."""
    commands = []
    captures = window.vain.select("source", "server").unique().sort("source", "server").head(_SOURCES)
    for source, server in captures.iter_rows():
        field = "ipv6.addr" if ":" in server else "ip.addr"
        sides = ",".join(f"dns.flags.response=={side} && {field}=={server}" for side in (0, 1))
        commands.append(f"{tshark(source, '-q')} -z {shlex.quote(f'io,stat,1,{sides}')}")
    told = set(window.seen.errors["source"])
    logs = told | set(window.failed.filter(pl.col("origin") == "log")["source"])
    for source in sorted(logs)[:_SOURCES]:
        pattern = _ERRORS if source in told else _UNANSWERED
        commands.append(grepped(source, pattern, "cE"))
    return (*commands, "kubectl -n kube-system get configmap coredns -o yaml   # cache, forward, autopath")
