"""What it is instead, where an endpoint turned for another reason."""

from __future__ import annotations

from analyzer.detectors.network.egress_identity_change.around import Around
from analyzer.detectors.network.egress_identity_change.flips import Flip
from analyzer.facts.audit_windows import counted, listed


def look_alike(flip: Flip, seen: Around, others_failed: float) -> str | None:
    """The sentence for a peer that moved and for a way out that failed as a whole."""
    when = f"{flip.endpoint} stopped answering at {flip.start:%H:%M:%S} UTC"
    if seen.moved:
        return (
            f"{when}, and its name {listed(seen.names)} is answered with {listed(seen.moved)} since: the peer moved, "
            "and clients keep an address that they looked up before."
        )
    if seen.nothing_goes_out:
        return (
            f"{when}, {counted(seen.besides, 'other endpoint')} did so too, and nothing outside answered meanwhile: "
            "the way out failed as a whole."
        )
    if seen.others.height and seen.others_failed > others_failed:
        return (
            f"{when}, and {seen.others_failed:.0%} of {seen.others.height:,} attempts to other endpoints outside "
            "failed meanwhile: the way out is disturbed as a whole."
        )
    return None
