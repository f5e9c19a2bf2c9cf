"""What to do about search domains, and how to check it on the original."""

from __future__ import annotations

import shlex

import polars as pl

from analyzer.detectors.dns.dns_search_chain.walks import Walks
from analyzer.model import Remedy

_NDOTS = """spec:
  template:
    spec:
      dnsConfig:
        options:
          - name: ndots
            value: "{ndots}"
"""

_AUTOPATH = """kubernetes cluster.local in-addr.arpa ip6.arpa {
    pods verified
    fallthrough in-addr.arpa ip6.arpa
}
autopath @kubernetes
"""

_POD = (
    'kubectl get pods -A -o jsonpath=\'{range .items[?(@.status.podIP=="%s")]}'
    '{.metadata.namespace}/{.metadata.name} {.spec.dnsPolicy} {.spec.dnsConfig}{"\\n"}{end}\''
)

_NAMED = 5
_SOURCES = 3

GENERAL = (
    Remedy(text="Lower ndots in the workload's pod template.", snippet=_NDOTS.format(ndots="2")),
    Remedy(text="Write outside names with a final dot where the program takes them from its configuration."),
    Remedy(text="Set `dnsPolicy: Default` on pods that ask for no name of the cluster."),
    Remedy(text="Run NodeLocal DNSCache, so that repeated denials are answered on the node."),
    Remedy(
        text="Let CoreDNS walk the search list itself. It then watches every pod, and upstream load stays.",
        snippet=_AUTOPATH,
    ),
)


def remedies(walks: Walks, ndots: int, names: pl.DataFrame) -> tuple[Remedy, ...]:
    """The general ones, the first fitted to the names that rely on the search list."""
    where = " and ".join(walks.namespaces()[:_NAMED]) or "the client"
    broken = [str(row["base"]) for row in names.iter_rows(named=True) if row["dots"] >= ndots]
    if not names.height:
        reason = "no dotted name that relies on the search list was seen"
    elif not broken:
        reason = f"names as {names['base'][0]} rely on the search list and are still searched first"
    else:
        reason = (
            f"{len(broken)} names as {broken[0]} rely on the search list and would be asked as they stand first: "
            "glibc then still searches, musl does not"
        )
    text = f"Set ndots to {ndots} in the pod template of the workload in namespace {where}: {reason}."
    return (Remedy(text=text, snippet=_NDOTS.format(ndots=ndots)), *GENERAL[1:])


def verify(walks: Walks) -> tuple[str, ...]:
    """Commands that show the same on the original inputs and in the cluster."""
    client = str(walks.clients["client"][0])
    origins = walks.external.select("source", "origin").unique().sort("source").head(_SOURCES)
    commands = []
    for source, origin in origins.iter_rows():
        file = shlex.quote(source)
        if origin == "capture":
            field = "ipv6.dst" if ":" in client else "ip.dst"
            commands.append(
                f"tshark -r {file} -Y 'dns.flags.rcode == 3 && {field} == {client}' -T fields -e dns.qry.name"
                " | sort | uniq -c | sort -rn | head"
            )
        else:
            asker = f"[{client}]:" if ":" in client else f"{client}:"
            commands.append(f"grep -F {shlex.quote(' ' + asker)} {file} | grep -c ' NXDOMAIN '")
    return (*commands, _POD % client)
