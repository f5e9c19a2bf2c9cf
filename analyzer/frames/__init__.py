"""The tables that readers produce and detectors read. A column's name, type and meaning live here only.

Every table has `time`, `source` and `number`, so that each row can be quoted. Readers normalise: names are
lower case without the final dot, codes are text, addresses are canonical text. Nobody normalises again.
"""

from analyzer.frames.audit import AUDIT_EVENTS
from analyzer.frames.capture import (
    DNS_ANSWERS,
    DNS_MESSAGES,
    HTTP_MESSAGES,
    ICMP_ERRORS,
    MINING_MESSAGES,
    PACKETS,
    TLS_CLIENT_HELLOS,
    TUNNEL_HEADERS,
)
from analyzer.frames.contract import NO_REPLY, TIME, Col, Table, concat, empty
from analyzer.frames.logs import COREDNS_ERRORS, COREDNS_EVENTS, COREDNS_QUERIES, KLOG_LINES

TABLES: tuple[Table, ...] = (
    PACKETS,
    DNS_MESSAGES,
    DNS_ANSWERS,
    HTTP_MESSAGES,
    TUNNEL_HEADERS,
    ICMP_ERRORS,
    TLS_CLIENT_HELLOS,
    MINING_MESSAGES,
    COREDNS_QUERIES,
    COREDNS_ERRORS,
    COREDNS_EVENTS,
    AUDIT_EVENTS,
    KLOG_LINES,
)

__all__ = [
    "AUDIT_EVENTS",
    "COREDNS_ERRORS",
    "COREDNS_EVENTS",
    "COREDNS_QUERIES",
    "DNS_ANSWERS",
    "DNS_MESSAGES",
    "HTTP_MESSAGES",
    "ICMP_ERRORS",
    "KLOG_LINES",
    "MINING_MESSAGES",
    "NO_REPLY",
    "PACKETS",
    "TABLES",
    "TIME",
    "TLS_CLIENT_HELLOS",
    "TUNNEL_HEADERS",
    "Col",
    "Table",
    "concat",
    "empty",
]
