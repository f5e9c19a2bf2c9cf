"""What to do about an upstream that does not keep up, and how to check it on the original."""

from __future__ import annotations

import shlex

from analyzer.detectors.dns.dns_upstream_throttle.windows import Window
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


def verify(window: Window) -> tuple[str, ...]:
    """Commands that show the same on the original inputs and in the cluster."""
    commands = []
    captures = window.vain.select("source", "server").unique().sort("source", "server").head(_SOURCES)
    for source, server in captures.iter_rows():
        field = "ipv6.addr" if ":" in server else "ip.addr"
        shown = shlex.quote(f"dns && {field} == {server}")
        commands.append(
            f"tshark -r {shlex.quote(source)} -Y {shown} -z io,stat,1,dns.flags.response==0,dns.flags.response==1 -q"
        )
    logs = {*window.failed.filter(window.failed["origin"] == "log")["source"], *window.seen.errors["source"]}
    for source in sorted(logs)[:_SOURCES]:
        file = shlex.quote(source)
        commands.append(f"grep -cE 'plugin/errors: .*(i/o timeout|exceeded maximum|no healthy)|\" - - 0 ' {file}")
    return (*commands, "kubectl -n kube-system get configmap coredns -o yaml   # cache, forward, autopath")
