"""What to do about a flood of queries, and how to check it on the original."""

from __future__ import annotations

from analyzer.detectors.dns.dns_query_flood.measure import Flood
from analyzer.facts.shell import grepped, tshark
from analyzer.model import Remedy

_COREFILE = """.:53 {
    errors
    log . {
        class error
    }
    # the rest stays
}
"""

_POD = (
    'kubectl get pods -A -o jsonpath=\'{range .items[?(@.status.podIP=="%s")]}'
    '{.metadata.namespace}/{.metadata.name} {.spec.nodeName}{"\\n"}{end}\''
)

_SOURCES = 3

REMEDIES = (
    Remedy(
        text="Keep answers in the client: a JVM keeps them for `networkaddress.cache.ttl` seconds, Node.js and Go keep "
        "none without a library, and connections that are used again need no lookup."
    ),
    Remedy(text="Run NodeLocal DNSCache, so that repeated queries end on the node."),
    Remedy(text="Log failures only: the log then grows with trouble, not with traffic.", snippet=_COREFILE),
)


def verify(flood: Flood) -> tuple[str, ...]:
    """Commands that show the same on the original inputs and in the cluster."""
    commands = []
    for source, origin in flood.queries.select("source", "origin").unique().sort("source").head(_SOURCES).iter_rows():
        if origin == "capture":
            field = "ipv6.src" if ":" in flood.client else "ip.src"
            commands.append(
                f"{tshark(source)} -Y 'dns.flags.response == 0 && {field} == {flood.client}' -T fields -e dns.qry.name"
                " | sort | uniq -c | sort -rn | head"
            )
        else:
            asker = f"[{flood.client}]:" if ":" in flood.client else f"{flood.client}:"
            commands.append(grepped(source, f" {asker}", "cF"))
    return (*commands, _POD % flood.client)
