"""Kinds of sources and what collects them next time. Texts of this program: nothing here is built from evidence."""

from __future__ import annotations

from msgspec import Struct

from analyzer.frames import (
    AUDIT_ADDRESSES,
    AUDIT_ANNOTATIONS,
    AUDIT_CONTAINERS,
    AUDIT_EVENTS,
    AUDIT_FIELDS,
    AUDIT_OBJECTS,
    AUDIT_SERVICE_PORTS,
    CGROUP_CPU,
    COREDNS_ERRORS,
    COREDNS_EVENTS,
    COREDNS_QUERIES,
    DNS_ANSWERS,
    DNS_MESSAGES,
    HTTP_MESSAGES,
    IAM_PROXY_MESSAGES,
    ICMP_ERRORS,
    KERNEL_MESSAGES,
    KLOG_LINES,
    KUBE_EVENTS,
    METRIC_SAMPLES,
    MINING_MESSAGES,
    PACKETS,
    PROCESSES,
    RUNTIME_MESSAGES,
    TLS_CLIENT_HELLOS,
    TUNNEL_HEADERS,
    UNIT_MESSAGES,
    Table,
)


class Kind(Struct, frozen=True):
    """A kind of source: its name, its tables, and how to collect it."""

    name: str
    tables: tuple[Table, ...]
    command: str


AUDIT = """\
# /etc/kubernetes/audit-policy.yaml: bodies of what changes the cluster, never those that hold secrets
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  nonResourceURLs: ["/healthz*", "/livez*", "/readyz*", "/version", "/openapi*"]
- level: Metadata
  resources:
  - {group: "", resources: [secrets, configmaps, serviceaccounts/token]}
  - {group: authentication.k8s.io, resources: [tokenreviews]}
- level: Request
  verbs: [create, update, patch, delete, deletecollection]
  resources:
  - {group: "", resources: [pods, pods/status, pods/binding, pods/eviction, services, endpoints, nodes, events]}
  - {group: apps}
  - {group: batch}
  - {group: autoscaling}
  - {group: discovery.k8s.io}
  - {group: events.k8s.io}
- level: Metadata

# flags of each kube-apiserver
--audit-policy-file=/etc/kubernetes/audit-policy.yaml
--audit-log-path=/var/log/kubernetes/audit.log
--audit-log-maxsize=100
--audit-log-maxbackup=20
"""
"""kubernetes.io, "Auditing": the first rule that fits counts. Leases stay at Metadata: they tell of nodes that fail."""

EVENTS = """\
# the API server forgets Events after an hour (--event-ttl): save them at once, and each half hour while it lasts
kubectl get events -A -o json > events-$(date -u +%Y%m%dT%H%M%SZ).json
"""

KUBELET = """\
# KubeletConfiguration (/var/lib/kubelet/config.yaml), then restart the kubelet: 2 tells of pods, 3 of their status too
logging:
  verbosity: 3

# on each node, after the incident
journalctl -u kubelet -o short-iso-precise --since '3 hours ago' > kubelet-$(hostname).log
"""

COREDNS = """\
# kubectl -n kube-system edit configmap coredns: in each server block of the Corefile
log
errors

# while it lasts: CoreDNS writes no times of its own, so let the runtime tell them
kubectl -n kube-system logs -l k8s-app=kube-dns --timestamps --prefix --tail=-1 --max-log-requests=20 > coredns.log
"""
"""`log` alone logs all classes; `log . { class error }` would leave out what shares are made of (plugin/log)."""

CAPTURE = """\
# on each node that matters: a ring of 20 files of 100 MB, to be stopped when it is over
dumpcap -i any -w /var/tmp/incident.pcapng -b filesize:100000 -b files:20 \\
  -f 'port 53 or host 169.254.169.254 or tcp[tcpflags] & (tcp-syn|tcp-fin|tcp-rst) != 0'

# where packets seem to be lost: heads of all packets
dumpcap -i any -s 128 -w /var/tmp/heads.pcapng -b filesize:100000 -b files:20
"""
"""dumpcap(1): `filesize` is in kB. Answers of the metadata service hold credentials: they are dropped when a capture is
read, but stand in its file."""

KERNEL = """\
# on each node
journalctl -k -o short-iso-precise --since '3 hours ago' > kernel-$(hostname).log
"""

RUNTIME = """\
# on each node
journalctl -u containerd -u crio -u docker -o short-iso-precise --since '3 hours ago' > runtime-$(hostname).log
"""

PROXY = """\
# the proxy that hands out credentials, here kube2iam
kubectl -n kube-system logs -l app=kube2iam --timestamps --prefix --tail=-1 --max-log-requests=50 > kube2iam.log
"""

CGROUPS = """\
# on each node, while it lasts
while sleep 5; do
  date -u +%Y-%m-%dT%H:%M:%SZ
  find /sys/fs/cgroup -path '*kubepods*' -name cpu.stat -exec tail -v -n +1 {} +
done > cpu.stat.txt
"""

PROCESSES_OF_NODES = """\
# on each node: names of executables only, for arguments may hold passwords
{ date -u +%Y-%m-%dT%H:%M:%SZ
  ps -eo pid,ppid,stat,user:32,etimes,comm:20,cgroup:400; } > ps-$(hostname).txt
"""

METRICS = """\
kubectl get --raw /metrics > apiserver-$(date -u +%Y%m%dT%H%M%SZ).prom
"""

KINDS = (
    Kind(
        "kube-apiserver audit log",
        (
            *(AUDIT_EVENTS, AUDIT_ANNOTATIONS, AUDIT_OBJECTS, AUDIT_FIELDS, AUDIT_CONTAINERS),
            *(AUDIT_ADDRESSES, AUDIT_SERVICE_PORTS),
        ),
        AUDIT,
    ),
    Kind("Events", (KUBE_EVENTS,), EVENTS),
    Kind("kubelet log", (KLOG_LINES, UNIT_MESSAGES), KUBELET),
    Kind("CoreDNS log", (COREDNS_QUERIES, COREDNS_ERRORS, COREDNS_EVENTS), COREDNS),
    Kind(
        "packet capture",
        (
            *(PACKETS, DNS_MESSAGES, DNS_ANSWERS, HTTP_MESSAGES, TLS_CLIENT_HELLOS, MINING_MESSAGES, TUNNEL_HEADERS),
            ICMP_ERRORS,
        ),
        CAPTURE,
    ),
    Kind("kernel log", (KERNEL_MESSAGES,), KERNEL),
    Kind("container runtime log", (RUNTIME_MESSAGES,), RUNTIME),
    Kind("log of a credential proxy", (IAM_PROXY_MESSAGES,), PROXY),
    Kind("cpu.stat of cgroups", (CGROUP_CPU,), CGROUPS),
    Kind("process listing", (PROCESSES,), PROCESSES_OF_NODES),
    Kind("metrics", (METRIC_SAMPLES,), METRICS),
)
"""The kinds that most checks rest on stand first."""
