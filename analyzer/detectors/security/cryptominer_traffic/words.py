"""What is said of an operation, and how sure it is."""

from __future__ import annotations

from analyzer.detectors.security.cryptominer_traffic.operations import Operation
from analyzer.facts.audit_windows import counted
from analyzer.model import Confidence


def summary(one: Operation) -> str:
    others = f" and {one.pods - 1:,} more" if one.pods > 1 else ""
    where = ", ".join(one.pools[:2]) + (f" and {len(one.pools) - 2} more" if len(one.pools) > 2 else "")
    if not one.spoken.height:
        if not one.connected:
            times = "once" if one.asked == 1 else f"{one.asked:,} queries in all"
            return f"{one.subject}{others} asked for the name of the mining pool {where}, {times}."
        return f"{one.subject}{others} held {_held(one)} to the mining pool {where}, known by its name."
    work = f"submitted {counted(one.shares, 'share')} to" if one.shares else "spoke the miners' protocol with"
    return f"{one.subject}{others} {work} the mining pool {where} over {_held(one)}."


def _held(one: Operation) -> str:
    count = one.connections.height
    if not count:
        return "TCP"
    return f"{count:,} connections for {one.seconds:,.0f} s" if count > 1 else f"a connection of {one.seconds:,.0f} s"


def confidence(one: Operation) -> Confidence:
    if one.answered:
        return Confidence.HIGH
    return Confidence.MEDIUM if one.spoken.height or one.connected else Confidence.LOW


def reason(one: Operation) -> str:
    if one.answered:
        if not one.asks:
            return f"a pool was heard, {counted(one.tells, 'message')}; what it was asked was not"
        return f"both sides were heard: {counted(one.asks, 'message')} of miners and {one.tells:,} of pools"
    if one.spoken.height:
        return "a miner's messages were heard, the pool's answers were not"
    if one.connected:
        return "a pool's name, and a connection to it whose content is not readable"
    return "a pool's name was asked for; whether it was spoken to is not in the evidence"
