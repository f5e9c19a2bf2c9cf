"""A peer outside stops answering all clients at once, while others go on.

## What it finds
Endpoints outside (address and port) that answer connections, one in twenty failing at most, and from a moment on fail
nine in ten, of three clients or more and for half a minute or more, while attempts to other endpoints outside go on. An
attempt fails without an answer to its SYN, with a reset for it, with a reset before any octet of the server, or with
nothing but a TLS alert; the most frequent is the variant. Severity is high where it still lasts at the end of the
capture, else medium. Confidence is high with what tells the peer is alive or the reason is here: connections that are
older still get data, a peer in another network turned within a minute, or a router says the traffic is prohibited; low
where nothing else outside was asked meanwhile, else medium. Changes of the half hour before are listed.

## Why it matters
A peer that lists the addresses it accepts knows a cluster by the address of its NAT. When the gateway is replaced, or
another node takes over, everything here works, and the peer answers nobody.

## What does not count
The way out as a whole: other endpoints fail too. Peers that moved: their name, or its alias, is answered with new
addresses since.
Each has a remark. Attempts that fail before as well, or for one or two clients only.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.detector import Detector, NotObservable, Remark, setting, thresholds
from analyzer.detectors.network.egress_identity_change.around import Around, around
from analyzer.detectors.network.egress_identity_change.attempts import attempts
from analyzer.detectors.network.egress_identity_change.evidence import evidence, impact
from analyzer.detectors.network.egress_identity_change.flips import Flip, Limits, flips
from analyzer.detectors.network.egress_identity_change.remarks import look_alike
from analyzer.detectors.network.egress_identity_change.remedy import REMEDIES, saving, verify
from analyzer.facts.address_owners import ADDRESS_OWNERS
from analyzer.facts.audit_windows import counted, listed
from analyzer.facts.change_ledger import CHANGE_LEDGER
from analyzer.facts.connection_attempts import ALERT, CONNECTION_ATTEMPTS, REFUSED, RESET, SILENT
from analyzer.facts.contract import Frames
from analyzer.facts.tcp_connections import TCP_CONNECTIONS
from analyzer.frames import DNS_ANSWERS, ICMP_ERRORS, PACKETS
from analyzer.model import Confidence, Finding, Severity

DEFAULT = "engineering default"

PROHIBITED = "prohibited"
"""In the name of an ICMP error that a filter sends."""

VARIANTS = {SILENT: "no-answer", REFUSED: "refused", RESET: "reset", ALERT: "tls-alert"}
EITHER = "either the peer or an allow-list keyed on our egress address"


@thresholds
class Settings:
    min_clients: int = setting(3, "Clients whose attempts fail.", unit="clients", minimum=1, source=DEFAULT)
    failed_after: float = setting(
        0.9, "Share of attempts that fails from then on.", unit="fraction", minimum=0, source=DEFAULT
    )
    failed_before: float = setting(
        0.05, "Share of attempts that may fail before.", unit="fraction", minimum=0, source=DEFAULT
    )
    min_attempts: int = setting(
        5, "Attempts that are answered before, and that fail then.", unit="attempts", minimum=1, source=DEFAULT
    )
    min_seconds: float = setting(
        30, "From the first to the last failed attempt.", unit="seconds", minimum=0, source=DEFAULT
    )
    others_failed: float = setting(
        0.1, "Share of attempts to other endpoints that may fail meanwhile.", unit="fraction", minimum=0, source=DEFAULT
    )


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    outside = attempts(frames)
    if outside.is_empty():
        raise NotObservable("no capture holds the beginning of a connection from within to the outside")
    limits = Limits(
        clients=settings.min_clients,
        failed_after=settings.failed_after,
        failed_before=settings.failed_before,
        attempts=settings.min_attempts,
        seconds=settings.min_seconds,
    )
    turned = flips(outside, limits)
    silence = False
    for flip in turned:
        seen = around(flip, turned, outside, frames)
        if (text := look_alike(flip, seen, settings.others_failed)) is not None:
            # Of a way out that failed, each endpoint would say the same.
            if not (silence and seen.nothing_goes_out):
                yield Remark(text)
            silence |= seen.nothing_goes_out
        else:
            yield _finding(flip, seen)


def _finding(flip: Flip, seen: Around) -> Finding:
    failed = flip.failed
    named = f" ({listed(seen.names)})" if seen.names else ""
    confidence, reason = _sure(seen)
    change = f"; {counted(seen.changes.height, 'change')} preceded it" if seen.changes.height else ""
    clients = counted(failed["client"].n_unique(), "client")
    return Finding(
        detector="egress-identity-change",
        subject=flip.endpoint,
        summary=(
            f"{failed.height:,} of {counted(flip.during.height, 'attempt')} by {clients} to connect to "
            f"{flip.endpoint}{named} failed from {flip.start:%H:%M:%S} UTC on, after {flip.successes:,} that were "
            f"answered: {EITHER}{change}."
        ),
        severity=Severity.MEDIUM if flip.back else Severity.HIGH,
        confidence=confidence,
        confidence_reason=reason,
        start=flip.start,
        end=flip.end,
        impact=impact(flip, seen),
        evidence=evidence(flip, seen),
        saving=saving(flip),
        why=f"All clients lost one peer at one moment and kept the others: {EITHER}.",
        refuted_by="The peer's own log of an outage, or of these connections from the address that it allows.",
        variant=VARIANTS[flip.outcome],
        remedies=REMEDIES,
        verify=verify(flip),
        stories=(7,),
    )


def _sure(seen: Around) -> tuple[Confidence, str]:
    prohibited = seen.errors.filter(seen.errors["error"].str.contains(PROHIBITED).fill_null(value=False))
    if prohibited.height:
        return Confidence.HIGH, f"{prohibited['src'][0]} says that the traffic is prohibited"
    if seen.older:
        return Confidence.HIGH, f"the peer still serves connections that were open before: {seen.older:,}"
    if seen.together:
        return Confidence.HIGH, f"{listed(seen.together)} turned within the same minute: what they share is here"
    if seen.others.is_empty():
        return Confidence.LOW, "nothing else outside was asked meanwhile, so it may be the way out as a whole"
    return Confidence.MEDIUM, "seen from one side: the peer's own log would tell"


DETECTOR = Detector(
    id="egress-identity-change",
    title="A peer outside stops answering all clients at once",
    needs_any=((CONNECTION_ATTEMPTS, TCP_CONNECTIONS, PACKETS),),
    uses=(ICMP_ERRORS, DNS_ANSWERS, CHANGE_LEDGER, ADDRESS_OWNERS),
    settings=Settings(),
    detect=detect,
    remedies=REMEDIES,
    stories=(7,),
)
