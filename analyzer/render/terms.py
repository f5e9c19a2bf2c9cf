"""Words that a report uses and that not every reader knows: each is explained where the page uses it."""

from __future__ import annotations

import re
from collections.abc import Iterable

TERMS: tuple[tuple[str, str, str], ...] = (
    ("finding", r"", "One thing that went wrong: who, when, what it cost, and the records that prove it."),
    ("severity", r"", "How bad it is if it is true: critical, high, medium or low."),
    (
        "confidence",
        r"",
        (
            "How sure the tool is: low rests on one weak sign, medium on a strong one or two that agree, high on a "
            "sign that has no other reading."
        ),
    ),
    ("observed, modelled", r"", "What was counted, and what would have been counted with one fix, by replay."),
    (
        "429",
        r"\b429\b",
        "Too Many Requests. kube-apiserver turns requests away by max requests in flight or by priority and fairness.",
    ),
    (
        "API priority and fairness",
        r"priority level|flow schema|FlowSchema",
        "Shares out the API server's capacity: flow schemas sort requests into priority levels, each with its seats.",
    ),
    ("watch", r"\bwatch", "A request that stays open and is told every change; a list reads everything at once."),
    ("audit log", r"\baudit\b", "The API server's record of every request, as far as its policy keeps it."),
    ("NXDOMAIN", r"NXDOMAIN", "The DNS answer that there is no such name."),
    ("SERVFAIL", r"SERVFAIL", "The DNS answer of a server that could not resolve the name, often for its upstream."),
    (
        "no reply",
        r"NO_REPLY|[Nn]o reply|unanswered",
        "A DNS query that nobody answered within five seconds, or that a log says was not answered.",
    ),
    (
        "search domains, ndots",
        r"ndots|search domain",
        "A resolver tries a name with fewer dots than ndots (5 in pods) under each domain of its search list first.",
    ),
    ("CoreDNS upstream", r"upstream", "The server that CoreDNS asks for names outside the cluster."),
    (
        "instance metadata",
        r"metadata|IMDS|credential",
        "The address 169.254.169.254 and its kin, where programs in a cloud fetch short-lived credentials.",
    ),
    (
        "retransmission",
        r"sent again|retransmi",
        "A TCP segment that was sent once more because no acknowledgement came in time.",
    ),
    ("SNAT", r"SNAT|source NAT", "A node replaces the source address of a pod's packets by its own, port by port."),
    ("conntrack", r"conntrack", "The kernel's table of connections, by which it translates addresses."),
    ("PLEG", r"PLEG", "The kubelet's pod lifecycle event generator: it asks the container runtime what runs."),
    ("probe", r"\bprobe", "A check by which the kubelet decides whether a container is ready or must be restarted."),
    ("OOM kill", r"OOM|killed for memory", "The kernel ends a process for lack of memory."),
    (
        "CPU throttling",
        r"throttled periods|CPU quota",
        "A container used up its CPU limit and waits for the next period.",
    ),
    ("SIGKILL", r"SIGKILL|grace period", "The signal that ends a process at once, sent when the grace period is over."),
    ("eviction", r"[Ee]vict", "A pod is removed from its node, by the kubelet for lack of resources or on request."),
    ("admission webhook", r"webhook|admission", "A service that the API server asks before it stores an object."),
    ("preceded", r"", "It came before. That does not make it the cause; people decide."),
)
"""Term, what of it must stand in the findings for it to be listed ('' for always), and its meaning."""


def terms(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Those that the texts use, in their order."""
    whole = "\n".join(texts)
    return tuple((term, meaning) for term, sign, meaning in TERMS if not sign or re.search(sign, whole))


def sections(about: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Documentation with `## ` headings as (heading, paragraphs); what stands before the first heading has none."""
    out = []
    for part in re.split(r"^## ", f"\n{about}", flags=re.MULTILINE):
        heading, _, body = part.partition("\n")
        paragraphs = tuple(" ".join(text.split()) for text in re.split(r"\n\s*\n", body) if text.strip())
        if paragraphs:
            out.append((heading.strip(), paragraphs))
    return tuple(out)
