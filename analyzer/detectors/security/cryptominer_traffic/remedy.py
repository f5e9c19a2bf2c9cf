"""What to do about a miner, and how to see its traffic in the originals without printing accounts or passwords."""

from __future__ import annotations

import shlex

import polars as pl

from analyzer.detectors.security.cryptominer_traffic.operations import Operation
from analyzer.facts.shell import grepped, tshark
from analyzer.model import Remedy

_POLICY = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: quarantine, namespace: NAMESPACE}
spec:
  podSelector: {}            # every pod of the namespace: no way out but to the name server
  policyTypes: [Egress]
  egress:
    - to:
        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
          podSelector: {matchLabels: {k8s-app: kube-dns}}
      ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
"""

REMEDIES = (
    Remedy(
        text="Cut the pods off before you look at them, and cordon their nodes (`kubectl cordon NODE`): a deleted pod "
        "comes back and leaves no traces.",
        snippet=_POLICY,
    ),
    Remedy(
        text="Replace every credential that the pods could reach: their service account's token, the node's role at "
        "the metadata service, mounted Secrets."
    ),
    Remedy(
        text="Find the way in: who made the pods or ran commands in them, services for administration that the public "
        "network reaches, images of unknown origin. Then allow egress to listed destinations only."
    ),
)

_POD = (
    'kubectl get pods -A -o jsonpath=\'{range .items[?(@.status.podIP=="%s")]}'
    '{.metadata.namespace}/{.metadata.name} {.spec.nodeName}{"\\n"}{end}\''
)
_SHOWN = 3


def remedies(one: Operation) -> tuple[Remedy, ...]:
    names = [pool for pool in one.pools if not pool[-1].isdigit()]
    block = Remedy(
        text="Answer the pools' names with NXDOMAIN: a miner that is configured by name then stops everywhere at once.",
        snippet="".join(f"template ANY ANY {name} {{\n    rcode NXDOMAIN\n}}\n" for name in names[:_SHOWN]),
    )
    return (*REMEDIES, block) if names else REMEDIES


def verify(one: Operation) -> tuple[str, ...]:
    """Commands that print the records on the original inputs, then who has the address."""
    commands = []
    family = "ipv6" if ":" in one.subject else "ip"
    for source in one.spoken["source"].unique().sort().head(_SHOWN):
        wanted = f'tcp.payload contains "\\"method\\":" && {family}.addr == {one.subject}'
        commands.append(
            f"{tshark(source)} -Y {shlex.quote(wanted)} -T fields -e frame.number -e frame.time_epoch "
            f"-e {family}.src -e tcp.srcport -e {family}.dst -e tcp.dstport -e tcp.len"
        )
    for source in one.hellos["source"].unique().sort().head(_SHOWN):
        names = " || ".join(f'tls.handshake.extensions_server_name == "{name}"' for name in _first(one.hellos["sni"]))
        commands.append(
            f"{tshark(source)} -Y {shlex.quote(names)} -T fields -e frame.number -e frame.time_epoch "
            f"-e {family}.src -e tls.handshake.extensions_server_name"
        )
    asked = one.names.select("source", "origin", "name").unique().sort("source", "name")
    for source, origin, name in asked.head(_SHOWN).iter_rows():
        if origin == "capture":
            wanted = shlex.quote(f'dns.qry.name == "{name}"')
            commands.append(f"{tshark(source)} -Y {wanted}")
        else:
            commands.append(grepped(source, f" {name}. ", "nF"))
    return (*commands, _POD % one.subject)


def _first(values: pl.Series) -> list[str]:
    return values.drop_nulls().unique().sort().head(_SHOWN).to_list()
