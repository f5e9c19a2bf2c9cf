"""What kinds of events there are, by the text that begins one, and what continues it.

The texts are those of CoreDNS's coremain, core/dnsserver, plugin/{reload,health,ready,loop,kubernetes}, of caddy, of
kubernetes/dns cmd/node-cache, of klog in client-go, and of Go's runtime.
"""

from __future__ import annotations

import polars as pl

TEXT_LIMIT = 4096
"""Characters of an event's text that are kept."""

KLOG = r"^[IWEF][0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6} "
_LISTEN = r"^(?:(?:dns|tls|https|https3|grpc|quic)://)?(?:[^ /:]*\.)?:[0-9]+(?: on [^ ]+)?$"
BUILD = r"^(?:\[INFO\] )?[a-z0-9]+/[a-z0-9]+, (go[0-9][^, ]*)"
VERSION = r"^(?:\[INFO\] )?CoreDNS-v?([0-9][^ ]*)$"
IMAGE = r"Starting node-cache image: ([^ ]+)"

_KINDS: tuple[tuple[str, str], ...] = (
    ("banner", VERSION),
    ("build", BUILD),
    ("listen", _LISTEN),
    ("klog", KLOG),
    ("panic", r"^(?:panic: |fatal error: |runtime: |unexpected fault address )|Recovered from panic"),
    ("node-cache-start", IMAGE),
    ("reload-failed", r"Corefile changed but reload failed|Corefile parse failed|Failed to trigger CoreDNS reload"),
    ("configuration", r"plugin/reload: Running configuration "),
    ("reload-complete", r"^\[INFO\] Reloading complete"),
    ("reload", r"^\[INFO\] (?:Reloading$|Sending reload signal to PID )|^\[INFO\] SIGUSR1: "),
    ("lameduck", r"plugin/health: Going into lameduck mode for "),
    ("health-slow", r"plugin/health: Local health request to .* (?:took more than|failed)"),
    ("not-ready", r"plugin/ready: (?:Still waiting on|Plugins not ready): "),
    ("loop", r"plugin/loop: (?:Loop|Forwarding loop|Seen) "),
    ("api-wait", r"plugin/kubernetes: waiting for Kubernetes API"),
    ("api-unsynced", r"plugin/kubernetes: starting server with unsynced Kubernetes API"),
    (
        "api-unreachable",
        r"plugin/kubernetes: .*(?:unable to connect|Failed to (?:watch|list)|refused|timeout|no route)",
    ),
    ("api-refused", r"plugin/kubernetes: .*(?:Unauthorized|[Ff]orbidden)"),
    ("shutdown", r"^\[INFO\] SIG(?:TERM|INT|QUIT): |Shutting down|^\[INFO\] Tearing down|Untrapped signal"),
    ("interface", r"(?:Added interface|non-existent interface|Error checking dummy device|Failed to add interface)\b"),
    ("iptables", r"iptables rule|nodelocaldns rule"),
    ("corefile", r"^\[[A-Z]+\] (?:Using|Updated) (?:Corefile|Pidfile|config file)"),
    ("corefile", r"Failed to (?:read node-cache coreFile|write config file|sync|(?:create|parse) stubDomain)"),
    ("corefile", r"Skipping kube-dns configmap sync|Did not find TCP upstream block|^\[ERROR\] Invalid config: "),
    ("start-failed", r"^(?:Listen: )?listen (?:tcp|udp)|^[^ ]*Corefile:[0-9]+ - |^plugin/[a-z0-9_]+: |: bind: "),
    ("fatal", r"^\[(?:FATAL|PANIC)\] "),
    ("plugin", r"^\[[A-Z]+\] plugin/[a-z0-9_]+: "),
    ("runtime", r"^maxprocs: "),
    ("warning", r"^\[WARNING\] "),
    ("error", r"^\[ERROR\] "),
)
"""The first that fits. What has a level INFO or DEBUG alone, and none of these texts, is not an event."""

_DUMP = (
    r"^(?:goroutine [0-9]+|runtime stack:|created by |\[signal |\[recovered|exit status |panic: |fatal error: |"
    r"\t|\.\.\.additional frames elided|r(?:[0-9]{1,2}|[a-ds][a-z]|ip|flags)[ \t]+0x|[cfge]s[ \t]+0x|"
    r"[A-Za-z0-9_./*()%{}\[\]-]+\(.*\)$)"
)
"""Lines of a goroutine dump: states, frames with their arguments, files, registers (runtime/traceback.go)."""

CONTINUES = {
    "panic": _DUMP,
    "klog": r"^(?:Trace\[[0-9]+\]:|\s|goroutine |panic: )",
    "corefile": r"",
}
"""Kinds whose text goes on in further lines, and what those look like. A Corefile looks like anything."""


def kind_of(texts: pl.Series) -> pl.Series:
    """The kind of event that each line begins; null where it begins none."""
    text = pl.col("text")
    kind = pl.lit(None, dtype=pl.String)
    for name, pattern in reversed(_KINDS):
        kind = pl.when(text.str.contains(pattern)).then(pl.lit(name)).otherwise(kind)
    return pl.DataFrame({"text": texts}).select(kind.alias("kind")).to_series()
