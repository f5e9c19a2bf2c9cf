"""What to do about a peer that stopped answering, what it would have saved, and how to check it."""

from __future__ import annotations

import shlex

from analyzer.detectors.network.egress_identity_change.flips import Flip
from analyzer.facts.shell import tshark
from analyzer.model import Remedy, Saving

REMEDIES = (
    Remedy(
        text="Compare the address that the cluster now leaves with to the peer's allow-list, and add it there.",
        snippet=(
            "kubectl run whoami --rm -it --restart=Never --image=curlimages/curl -- "
            "curl -s https://checkip.amazonaws.com\n"
        ),
    ),
    Remedy(
        text="Cloud SQL: authorize the new address. The list is replaced, not added to.",
        snippet="gcloud sql instances patch INSTANCE --authorized-networks=OLD_ADDRESS/32,NEW_ADDRESS/32\n",
    ),
    Remedy(
        text="Give the way out addresses that outlive the gateway: reserved ones on the NAT, known to every peer.",
        snippet=(
            "gcloud compute routers nats update NAT --router=ROUTER --region=REGION --nat-external-ip-pool=ADDRESSES\n"
        ),
    ),
    Remedy(
        text="Do without an address as identity: a private endpoint, or a proxy that logs in (Cloud SQL Auth Proxy)."
    ),
)


def saving(flip: Flip) -> Saving:
    before = flip.before.height
    wrong = before - flip.successes
    return Saving(
        fix="an address that stays, or a peer that knows the new one",
        observed=flip.failed.height,
        modelled=round(flip.during.height * wrong / before),
        unit="attempts",
        assumption="attempts fail as rarely as before it turned; it does not hold if the peer itself failed",
        formula="attempts since then x share that failed before",
    )


def verify(flip: Flip) -> tuple[str, ...]:
    """Commands that print the attempts and their answers, and ask from where the cluster comes."""
    field = "ipv6.addr" if ":" in flip.server else "ip.addr"
    shown = f"{field} == {flip.server} && tcp.port == {flip.port} && (tcp.flags.syn == 1 || tcp.flags.reset == 1)"
    sources = flip.failed["source"].unique().sort().to_list()
    return (
        *(f"{tshark(source, '-t a')} -Y {shlex.quote(shown)}" for source in sources[:3]),
        f"nc -vz {flip.server} {flip.port}   # from a pod, then from a host that the peer allows",
    )
