"""Tables read from what a node says beside its kubelet: kernel, runtime, events, cgroups, processes, metrics."""

from __future__ import annotations

import polars as pl

from analyzer.frames.contract import PLACE, TIME, Col, Table

_HOST = Col("host", pl.String(), "Host by the journal or syslog prefix; null without one.")
_POD_UID = Col("pod_uid", pl.String(), "UID of the pod whose cgroup it is, with hyphens; null if it is no pod's.")
_CONTAINER = Col("container_id", pl.String(), "Id of the container, without the runtime's name; null if not told.")

KERNEL_MESSAGES = Table(
    "kernel_messages",
    "One row per line of the kernel's log (printk), or of the audit daemon's.",
    (
        *PLACE,
        Col("monotonic_seconds", pl.Float64(), "Seconds since boot as printed; null where the line has none."),
        _HOST,
        Col("facility", pl.String(), "Syslog facility (kern, user, daemon); null if not told."),
        Col("level", pl.String(), "Syslog severity, emerg to debug; null if not told."),
        Col(
            "kind",
            pl.String(),
            "What the line is about, one of a closed list. `oom_kill`: a process was killed for lack of memory of the "
            "node, `cgroup_oom`: at the limit of its memory cgroup; one row per killed process in every era. "
            "`oom_invoked`, `oom_chosen`, `oom_summary`, `oom_reaped` are other lines of the same report. "
            "`suppressed`: the kernel says that it left out messages. `other`: none of the list.",
        ),
        Col("text", pl.String(), "The message without time and priority, at most 4 KiB."),
        Col(
            "count",
            pl.Int64(),
            "Messages that the line stands for: 1, N of `N callbacks suppressed`, or N of a line repeated N times.",
        ),
        Col("pid", pl.Int64(), "Process that the line is about; null if none is named."),
        Col("process", pl.String(), "Its command name, at most 15 bytes as the kernel keeps it; null if none."),
        Col("constraint", pl.String(), "CONSTRAINT_MEMCG, CONSTRAINT_NONE ... of an `oom-kill:` line; else null."),
        Col("memcg", pl.String(), "Path of the process's memory cgroup as printed; null if not told."),
        _POD_UID,
        _CONTAINER,
        Col("total_vm_bytes", pl.Int64(), "Address space of a killed process; else null."),
        Col("anon_rss_bytes", pl.Int64(), "Anonymous memory of a killed process; else null."),
        Col("oom_score_adj", pl.Int64(), "oom_score_adj of an OOM line; null if not told."),
        Col("duration_seconds", pl.Int64(), "How long a task or a CPU has been stuck; else null."),
        Col("device", pl.String(), "Block device or network interface that the line is about; else null."),
        Col("src", pl.String(), "Source address of a logged packet; else null."),
        Col(
            "dst", pl.String(), "Destination address of a logged packet, or the server that did not answer; else null."
        ),
        Col("dst_port", pl.Int64(), "Destination port of a logged packet or of a flooded listener; else null."),
        Col("audit_type", pl.String(), "Type of an audit record, number or name (1400, AVC); else null."),
        Col("audit_time", TIME, "Stamp of an audit record; else null."),
        Col(
            "audit_serial",
            pl.Int64(),
            "Serial number of an audit record; gaps are records not seen here. Null in journald's lines.",
        ),
    ),
    kinds=("kernel",),
)

RUNTIME_MESSAGES = Table(
    "runtime_messages",
    "One row per logfmt line of a container runtime: containerd, dockerd, CRI-O and their shims.",
    (
        *PLACE,
        _HOST,
        Col(
            "component", pl.String(), "Writer by the prefix or by content (containerd, dockerd, crio); null if unknown."
        ),
        Col("level", pl.String(), "Level as logrus writes it: debug, info, warning, error, fatal, panic."),
        Col("message", pl.String(), "The text of msg=, unescaped, at most 4 KiB."),
        Col("pod", pl.String(), "Pod that the line names, as namespace/name; null if none."),
        _POD_UID,
        Col("container", pl.String(), "Name of the container within its pod; null if not told."),
        Col("container_id", pl.String(), "Container or sandbox id that the line names first; null if none."),
        Col("sandbox_id", pl.String(), "Sandbox id where the line names one as such; null if not."),
        Col("image", pl.String(), "Image that is pulled or checked; null if none."),
        Col("error", pl.String(), "Value of error=, unescaped, at most 4 KiB; null if absent."),
    ),
    kinds=("runtime",),
)

UNIT_MESSAGES = Table(
    "unit_messages",
    "One row per line in which systemd tells of the unit of a kubelet or a container runtime.",
    (
        *PLACE,
        _HOST,
        Col("unit", pl.String(), "kubelet, containerd, docker or crio."),
        Col(
            "what",
            pl.String(),
            "starting, started, stopping, stopped, exited (its main process), ended (without an error), failed or "
            "restarting (systemd will start it again).",
        ),
        Col("status", pl.String(), "Exit status as 1/FAILURE, the result, or how many restarts there were; else null."),
    ),
)

KUBE_EVENTS = Table(
    "kube_events",
    "One row per Event object, as `kubectl get events` or an exporter saved it; it stands for `count` occurrences.",
    (
        *PLACE,
        Col("first_time", TIME, "When it occurred first; null if not told."),
        Col("count", pl.Int64(), "How often it occurred until `time`."),
        Col("type", pl.String(), "Normal or Warning."),
        Col("reason", pl.String(), "Why, in CamelCase (FailedScheduling)."),
        Col("message", pl.String(), "The text for people, at most 4 KiB."),
        Col("kind", pl.String(), "Kind of the object that it is about."),
        Col("namespace", pl.String(), "Its namespace; null or empty for cluster objects."),
        Col("name", pl.String(), "Its name."),
        Col("uid", pl.String(), "Its UID; null if not told."),
        Col("field_path", pl.String(), "Part of the object, as spec.containers{web}; null if the whole."),
        Col("component", pl.String(), "Controller that reports; null if not told."),
        Col("node", pl.String(), "Node that the controller runs on; null if not told."),
        Col("event_uid", pl.String(), "UID of the Event object: rows that share it are the same Event at other times."),
    ),
    kinds=("events",),
)

CGROUP_CPU = Table(
    "cgroup_cpu",
    "One row per snapshot of a cgroup's cpu.stat. The values count from the making of the cgroup.",
    (
        *PLACE,
        Col("path", pl.String(), "Path of the cgroup as far as it is told; null if not."),
        _POD_UID,
        _CONTAINER,
        Col("usage_seconds", pl.Float64(), "CPU time used; null in version 1, whose cpu.stat has none."),
        Col("user_seconds", pl.Float64(), "Of it in user mode; null in version 1."),
        Col("system_seconds", pl.Float64(), "Of it in the kernel; null in version 1."),
        Col("periods", pl.Int64(), "Enforcement periods that have elapsed; null without a quota controller."),
        Col("throttled_periods", pl.Int64(), "Periods in which the group ran out of its quota."),
        Col("throttled_seconds", pl.Float64(), "Time its threads were held back, summed over CPUs."),
    ),
    kinds=("cgroup",),
)

PROCESSES = Table(
    "processes",
    "One row per process of a saved listing (ps). Arguments and environments are never kept.",
    (
        *PLACE,
        Col("host", pl.String(), "Host by the prompt before the listing; null without one."),
        Col("listing", pl.Int64(), "Line of the header that the process stands below: one listing of the input."),
        Col("pid", pl.Int64(), "Process id."),
        Col("ppid", pl.Int64(), "Id of its parent; null if not told."),
        Col(
            "state",
            pl.String(),
            "The letter of ps: R, S, D (waits for a device), Z (zombie), T, t, I, X; Z too where the listing has no "
            "such column and calls it defunct; else null.",
        ),
        Col("user", pl.String(), "User as printed, a name or a number; null if not told."),
        Col("started", TIME, "When it started, where a whole date or an age at a known time tells it; else null."),
        Col("elapsed_seconds", pl.Int64(), "Its age; null if not told."),
        Col("command", pl.String(), "Name of the executable, at most 64 characters; null if none."),
        _POD_UID,
        _CONTAINER,
    ),
    kinds=("processes",),
)

METRIC_SAMPLES = Table(
    "metric_samples",
    "One row per sample of a saved scrape in the Prometheus text format or OpenMetrics.",
    (
        *PLACE,
        Col("metric", pl.String(), "Name of the sample, with its suffix (_bucket, _sum, _count)."),
        Col("family", pl.String(), "Name of the family that it belongs to."),
        Col("family_type", pl.String(), "counter, gauge, histogram, summary ... or unknown."),
        Col("labels", pl.String(), "Labels as a JSON object with sorted keys."),
        Col("value", pl.Float64(), "The value."),
    ),
    kinds=("metrics",),
)

IAM_PROXY_MESSAGES = Table(
    "iam_proxy_messages",
    "One row per line of a proxy that hands out credentials for the metadata service: kube2iam, kiam's agent.",
    (
        *PLACE,
        _HOST,
        Col("component", pl.String(), "kube2iam or kiam, by the fields that only it writes; null if unknown."),
        Col("level", pl.String(), "Level as logrus writes it: debug, info, warning, error, fatal, panic."),
        Col("message", pl.String(), "The text of msg=, unescaped, at most 4 KiB."),
        Col("client", pl.String(), "Address that asked (req.remote, addr), canonical text; null if none is told."),
        Col("method", pl.String(), "Request method; null if none is told."),
        Col("path", pl.String(), "Request path without its query; null if none is told."),
        Col("status", pl.Int32(), "Status of the answer; null before it."),
        Col("duration_seconds", pl.Float64(), "Request to answer; null if not told. `time` is that of the answer."),
        Col("role", pl.String(), "Role of the pod by its annotation (pod.iam.role); null if none is told."),
        Col("wanted_role", pl.String(), "Role that was asked for, where it is another one; else null."),
        Col("namespace", pl.String(), "Namespace of the pod; null if none is told."),
        Col("pod", pl.String(), "Pod that the line is about, as namespace/name; null if none."),
        Col("pod_ip", pl.String(), "Its address as the proxy knows it, canonical text; null if it has none yet."),
        Col("phase", pl.String(), "Its phase; null if none is told."),
    ),
    kinds=("iam-proxy",),
)
