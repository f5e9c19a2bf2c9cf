"""What to do about a quota that is used up, what it would change, and how to check it."""

from __future__ import annotations

from analyzer.detectors.node.cpu_throttle_hint.counters import Throttled
from analyzer.detectors.node.cpu_throttle_hint.stalls import Stalls
from analyzer.facts.shell import piped, tshark
from analyzer.model import Remedy, Saving

REMEDIES = (
    Remedy(
        text="Take the CPU limit of latency-critical containers away, or raise it to what they use in their busiest "
        "period; keep the request, which is what protects the others.",
        snippet="resources:\n  requests: {cpu: 500m, memory: 256Mi}\n  limits: {memory: 256Mi}   # no cpu\n",
    ),
    Remedy(
        text="Let the program start no more threads than its limit allows: each of many threads spends the quota of "
        "all in the first milliseconds of a period.",
        snippet="env:\n  - name: GOMAXPROCS\n    valueFrom: {resourceFieldRef: {resource: limits.cpu}}\n",
    ),
    Remedy(
        text="Kernels before 5.4 throttle containers below their quota: 4.19 and later with the fix 512ac999d275, and "
        "5.4 or a kernel with de53fd7aedb1, do not."
    ),
    Remedy(
        text="Shorten the period, so that each stall is shorter, or give whole cores to Guaranteed pods.",
        snippet="# KubeletConfiguration\ncpuCFSQuotaPeriod: 10ms      # feature gate CustomCPUCFSQuotaPeriod\n"
        "cpuManagerPolicy: static\n",
    ),
)


def saving_of_counters(found: Throttled) -> Saving | None:
    if found.seconds is None:
        return None
    return Saving(
        fix="no CPU limit, or one above what the busiest period needs",
        observed=round(found.seconds, 6),
        modelled=0,
        unit="seconds",
        assumption="The node has the CPU time that the container wanted; the counter sums over threads, so that it is "
        "more than anybody waited.",
        formula="throttled seconds without a quota",
    )


def saving_of_stalls(found: Stalls) -> Saving:
    spent = float(found.rows["duration_seconds"].sum())
    return Saving(
        fix="no CPU limit, or one above what the busiest period needs",
        observed=round(spent, 6),
        modelled=round(found.quick * found.rows.height, 6),
        unit="seconds",
        assumption="What was held up needs as long as the other answers; that it needs more is as likely, so this is "
        "the most that can be gained.",
        formula="held-up answers x median of the other answers",
    )


def verify_counters(found: Throttled) -> tuple[str, ...]:
    source = found.rows["source"][0]
    if found.rows["told_by"][0] == "metrics":
        return (
            f"{piped(source)} | grep -E '^container_cpu_cfs_(throttled_)?periods_total'",
            "# rate(container_cpu_cfs_throttled_periods_total[5m]) / rate(container_cpu_cfs_periods_total[5m])",
        )
    return (
        f"{piped(source)} | grep -E 'cpu.stat|nr_periods|nr_throttled|throttled_'",
        "grep . /sys/fs/cgroup/kubepods.slice/*/*/*/cpu.stat   # on the node; nr_throttled stands still after the fix",
    )


def verify_stalls(found: Stalls) -> tuple[str, ...]:
    source = found.rows["source"][0]
    shown = f"ip.src == {found.server} && tcp.srcport == {found.port} && http.time"
    if ":" in found.server:
        shown = shown.replace("ip.src", "ipv6.src")
    return (
        f"{tshark(source)} -Y '{shown}' -T fields -e frame.time_epoch -e http.time",
        "cat /sys/fs/cgroup/cpu.stat   # in the container: nr_throttled tells for certain",
    )
