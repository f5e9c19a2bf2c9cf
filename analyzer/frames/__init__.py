"""The tables that readers produce and detectors read. A column's name, type and meaning live here only.

Every table has `time`, `source` and `number`, so that each row can be quoted. Readers normalise: names are
lower case without the final dot, codes are text, addresses are canonical text. Nobody normalises again.
"""

from analyzer.frames.audit import (
    AUDIT_ADDRESSES,
    AUDIT_ANNOTATIONS,
    AUDIT_EVENTS,
    AUDIT_FIELDS,
    AUDIT_OBJECTS,
    AUDIT_SERVICE_PORTS,
)
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
from analyzer.frames.logs import COREDNS_ERRORS, COREDNS_EVENTS, COREDNS_QUERIES, KLOG_LINES, LOG_SUPPRESSIONS
from analyzer.frames.node import (
    CGROUP_CPU,
    IAM_PROXY_MESSAGES,
    KERNEL_MESSAGES,
    KUBE_EVENTS,
    METRIC_SAMPLES,
    PROCESSES,
    RUNTIME_MESSAGES,
    UNIT_MESSAGES,
)

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
    AUDIT_ANNOTATIONS,
    AUDIT_OBJECTS,
    AUDIT_FIELDS,
    AUDIT_ADDRESSES,
    AUDIT_SERVICE_PORTS,
    KLOG_LINES,
    LOG_SUPPRESSIONS,
    KERNEL_MESSAGES,
    RUNTIME_MESSAGES,
    UNIT_MESSAGES,
    IAM_PROXY_MESSAGES,
    KUBE_EVENTS,
    CGROUP_CPU,
    PROCESSES,
    METRIC_SAMPLES,
)

__all__ = [
    "AUDIT_ADDRESSES",
    "AUDIT_ANNOTATIONS",
    "AUDIT_EVENTS",
    "AUDIT_FIELDS",
    "AUDIT_OBJECTS",
    "AUDIT_SERVICE_PORTS",
    "CGROUP_CPU",
    "COREDNS_ERRORS",
    "COREDNS_EVENTS",
    "COREDNS_QUERIES",
    "DNS_ANSWERS",
    "DNS_MESSAGES",
    "HTTP_MESSAGES",
    "IAM_PROXY_MESSAGES",
    "ICMP_ERRORS",
    "KERNEL_MESSAGES",
    "KLOG_LINES",
    "KUBE_EVENTS",
    "LOG_SUPPRESSIONS",
    "METRIC_SAMPLES",
    "MINING_MESSAGES",
    "NO_REPLY",
    "PACKETS",
    "PROCESSES",
    "RUNTIME_MESSAGES",
    "TABLES",
    "TIME",
    "TLS_CLIENT_HELLOS",
    "TUNNEL_HEADERS",
    "UNIT_MESSAGES",
    "Col",
    "Table",
    "concat",
    "empty",
]
