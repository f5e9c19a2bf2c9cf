"""What kubelets, runtimes and Events say of exec calls that ran into their timeout, in the words of every era.

The kubelet's error about the call is there at any verbosity (`ExecSync cmd from runtime service failed`); `Probe
failed` and `Probe errored` are lines of verbosity 1; Events say `Unhealthy`; containerd says that its ExecSync
failed; dockershim said that the process still ran (kubernetes pkg/kubelet/cri/remote/remote_runtime.go,
pkg/kubelet/prober/prober.go, pkg/kubelet/dockershim/exec.go; containerd internal/cri/server/container_execsync.go).
"""

from __future__ import annotations

import polars as pl

from analyzer.facts.klog_values import go_seconds, value
from analyzer.facts.node_names import node
from analyzer.facts.pleg_events import bare_id, bounded_seconds

SCHEMA = pl.Schema(
    {
        "time": pl.Datetime("us", "UTC"),
        "source": pl.String(),
        "number": pl.Int64(),
        "node": pl.String(),
        "host": pl.String(),
        "channel": pl.String(),
        "container_id": pl.String(),
        "pod": pl.String(),
        "container": pl.String(),
        "probe": pl.String(),
        "command": pl.String(),
        "timeout": pl.Float64(),
        "weight": pl.Int64(),
    }
)

EXEC, PROBE, EVENT, RUNTIME, SESSION = "ExecSync", "probe", "event", "runtime", "session"
"""Channels."""

LATE = r"DeadlineExceeded|context deadline exceeded|timed out|timeout [0-9.a-zµ]+ exceeded"

_COMMAND_LATE = r'^command (?:timed out: )?"[\s\S]*" timed out|^command timed out\s*$'
"""The kubelet's words; without a command they are all that CRI-O answers (conmon runner/config, TimedOutMessage)."""

_CALL_LATE = (
    r"^rpc error: code = (?:DeadlineExceeded"
    r"|Unknown desc = (?:[\s\S]*timeout [0-9.a-zµ]+ exceeded|command error: command timed out))"
)
"""containerd's words, and those of CRI-O (ExecSyncError) before 1.17, when they were no answer yet."""

COMMAND = r'command (?:timed out: )?"([\s\S]*)" timed out'

_AFTER = r"timed out after ([0-9.a-zµ]+)|timeout ([0-9.a-zµ]+) exceeded"

_OLD_EXEC = r"^ExecSync (\S+) '([\s\S]*)' from runtime service failed: ([\s\S]*)$"

_OLD_PROBE = r'^(\w+) probe for "([^"_]+)_([^"_(]+)\([^)"]*\):([^"]*)" (failed \([^)]*\)|errored): ([\s\S]*)$'

_OLD_SESSION = r"^Exec session (\S+) in container (\S+) terminated but process still running"


def plain(command: pl.Expr) -> pl.Expr:
    """A command as words, whether it was printed as JSON, with %+v, or quoted once more."""
    return command.str.replace_all(r"[\[\]\",\\' ]+", " ").str.strip_chars()


def after(text: pl.Expr) -> pl.Expr:
    told = pl.coalesce(text.str.extract(_AFTER, 1), text.str.extract(_AFTER, 2))
    return bounded_seconds(go_seconds(told))


def out_of_time(how: pl.Expr, told: pl.Expr) -> pl.Expr:
    """Whether a probe that failed or errored ran into its timeout: the kubelet says so of the command; only where the
    call itself errored may it be the runtime's word, for a command may print anything."""
    return told.str.contains(_COMMAND_LATE) | ((how == "errored") & told.str.contains(_CALL_LATE))


def shaped(rows: pl.LazyFrame, channel: str) -> pl.LazyFrame:
    there = rows.collect_schema()
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in SCHEMA.items() if name not in there]
    return (
        rows.with_columns(missing)
        .with_columns(node=node(), channel=pl.lit(channel), weight=pl.col("weight").fill_null(1))
        .select(list(SCHEMA))
    )


def _probe_lines(lines: pl.LazyFrame) -> list[pl.LazyFrame]:
    """What the prober says of failed probes, structured and as text: pod, container, probe, how, what it was told."""
    message = pl.col("message")
    new = lines.filter(message.is_in(["Probe failed", "Probe errored"])).with_columns(
        container=value("containerName"),
        probe=value("probeType"),
        how=message.str.strip_prefix("Probe "),
        told=pl.coalesce(value("output"), pl.col("error")),
    )
    parts = message.str.extract_groups(_OLD_PROBE).struct
    old = lines.filter(message.str.contains(_OLD_PROBE)).with_columns(
        pod=parts.field("3") + "/" + parts.field("2"),
        container=parts.field("4"),
        probe=parts.field("1"),
        how=parts.field("5"),
        told=parts.field("6"),
    )
    return [new, old]


def of_kubelet(lines: pl.LazyFrame) -> list[pl.LazyFrame]:
    message, text = pl.col("message"), pl.col("text")
    calls = lines.drop("pod").filter(
        message == "ExecSync cmd from runtime service failed", pl.col("error").str.contains(LATE)
    )
    old = message.str.extract_groups(_OLD_EXEC).struct
    old_calls = lines.drop("pod").filter(message.str.starts_with("ExecSync "), old.field("3").str.contains(LATE))
    still = lines.drop("pod").filter(message.str.starts_with("Exec session"), text.str.contains("still running"))
    return [
        shaped(
            calls.with_columns(
                container_id=bare_id(value("containerID")),
                command=plain(value("cmd")),
                timeout=after(pl.col("error")),
            ),
            EXEC,
        ),
        shaped(
            old_calls.with_columns(
                container_id=old.field("1"), command=plain(old.field("2")), timeout=after(old.field("3"))
            ),
            EXEC,
        ),
        *(
            shaped(
                part.filter(out_of_time(pl.col("how"), pl.col("told"))).with_columns(
                    command=plain(pl.col("told").str.extract(COMMAND, 1)), timeout=after(pl.col("told"))
                ),
                PROBE,
            )
            for part in _probe_lines(lines)
        ),
        shaped(
            still.with_columns(container_id=pl.coalesce(value("containerID"), message.str.extract(_OLD_SESSION, 2))),
            SESSION,
        ),
    ]
