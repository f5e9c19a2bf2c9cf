"""What to do about search domains, whether it is safe, and how to check it on the original."""

from __future__ import annotations

import polars as pl

from analyzer.detectors.dns.dns_search_chain.relying import Relying
from analyzer.detectors.dns.dns_search_chain.saving import DOT
from analyzer.detectors.dns.dns_search_chain.walks import Walks
from analyzer.facts.shell import grepped, tshark
from analyzer.model import Remedy, Saving

_NDOTS = """spec:
  template:
    spec:
      dnsConfig:
        options:
          - name: ndots
            value: "{ndots}"
          # glibc only: a port for A and one for AAAA, so that their packets cannot race in conntrack
          - name: single-request-reopen
"""

_HOST = """spec:
  template:
    spec:
      dnsPolicy: Default
"""

_AUTOPATH = """kubernetes cluster.local in-addr.arpa ip6.arpa {
    pods verified
    fallthrough in-addr.arpa ip6.arpa
}
autopath @kubernetes
"""

_POD = (
    "kubectl get pods -A --field-selector status.podIP=%s"
    ' -o jsonpath=\'{range .items[*]}{.metadata.namespace}/{.metadata.name} {.spec.dnsPolicy} {.spec.dnsConfig}{"\\n"}'
    "{end}'"
)

_INSIDE = (
    "kubectl get pods -A --field-selector status.podIP=%s"
    " -o jsonpath='{range .items[*]}-n {.metadata.namespace} {.metadata.name}{\"\\n\"}{end}'"
    ' | xargs -r -L1 sh -c \'kubectl exec "$@" -- sh -c "cat /etc/resolv.conf; ls /lib/ld-musl-*"\' -'
)
"""The search list and ndots as the resolver reads them, and whether it is musl's."""

_NAMED = 5
_SOURCES = 3

GENERAL = (
    Remedy(text="Lower ndots in the workload's pod template.", snippet=_NDOTS.format(ndots="2")),
    Remedy(text="Write outside names with a final dot where the program takes them from its configuration."),
    Remedy(text="Set `dnsPolicy: Default` on pods that ask for no name of the cluster.", snippet=_HOST),
    Remedy(text="Run NodeLocal DNSCache, so that repeated denials are answered on the node."),
    Remedy(
        text="Let CoreDNS walk the search list itself. It then watches every pod, and upstream load stays.",
        snippet=_AUTOPATH,
    ),
)


def remedies(walks: Walks, names: Relying, best: Saving) -> tuple[Remedy, ...]:
    """The general ones: the first fitted to the names that rely on the search list, the best one first, and without
    those that would break what was seen or that are at work already."""
    where = " and ".join(walks.namespaces()[:_NAMED]) or "the client"
    owner = walks.pods["owner"].drop_nulls().to_list()
    workload = f"{owner[0]} in namespace {where}" if len(owner) == 1 else f"the workload in namespace {where}"
    text = f"Set ndots to {names.ndots} in the pod template of {workload}: {_reason(names)}."
    lower = Remedy(text=text, snippet=_NDOTS.format(ndots=names.ndots))
    _, dot, host, cache, autopath = GENERAL
    first = (dot, lower) if best.fix == DOT else (lower, dot)
    hosted = () if names.names.height else (host,)
    cached = () if walks.cached else (cache,)
    walked = (autopath,) if walks.autopath.is_empty() else ()
    return (*first, *hosted, *cached, *walked)


def _reason(names: Relying) -> str:
    """Why this ndots, and whether it is safe."""
    dotted = names.dotted
    if not dotted.height:
        return "no dotted name that relies on the search list was seen, so names with a dot can be asked as they stand"
    rely = f"names such as {dotted['base'][0]} rely on the search list ({_lookups(dotted)})"
    changed = names.changed(names.ndots).sort(pl.col("searches").fill_null(True), maintain_order=True)
    if not changed.height:
        return f"{rely} and are still searched first; with 1 they would be asked as they stand first"
    moved = f"{rely}; those such as {changed['base'][0]} ({_lookups(changed)}) would be asked as they stand first"
    fails = changed.filter(~pl.col("searches").fill_null(True))
    unknown = changed.filter(pl.col("searches").is_null())
    # What certainly breaks is told before what may.
    worst = fails if fails.height else unknown if unknown.height else changed
    base, found_under, because = worst.select("base", "found_under", "because").row(0)
    whose = ", ".join(worst["client"].unique().sort().head(_NAMED).to_list())
    in_full = f"write such names in full before, as `{base}.{found_under}.`"
    if fails.height:
        return f"{moved} and {_lookups(fails)} by {whose} would fail ({because}): {in_full}"
    if unknown.height:
        return f"{moved}: glibc and Go then search, musl does not ({whose}: {because}); {in_full}"
    return f"{moved} and found a query later ({whose}: {because})"


def _lookups(names: pl.DataFrame) -> str:
    count = int(names["lookups"].sum())
    return "1 lookup" if count == 1 else f"{count:,} lookups"


def verify(walks: Walks) -> tuple[str, ...]:
    """Commands that show the same on the original inputs and in the cluster."""
    client = str(walks.clients["client"][0])
    origins = walks.external.lazy().select("source", "origin").unique().sort("source").head(_SOURCES).collect()
    commands = []
    for source, origin in origins.iter_rows():
        if origin == "capture":
            field = "ipv6.dst" if ":" in client else "ip.dst"
            commands.append(
                f"{tshark(source)} -Y 'dns.flags.rcode == 3 && {field} == {client}' -T fields -e dns.qry.name"
                " | sort | uniq -c | sort -rn | head"
            )
        else:
            asker = f"[{client}]:" if ":" in client else f"{client}:"
            commands.append(f"{grepped(source, ' ' + asker)} | grep -c ' NXDOMAIN '")
    return (*commands, _POD % client, _INSIDE % client)
