"""What a kernel message is about, and the values in it: patterns over a column of texts.

The texts are those of the Linux source, 2.6.32 to 6.x: mm/oom_kill.c and mm/memcontrol.c (`Kill process` and `Killed
process` were two lines until 5.0, one since), kernel/hung_task.c, kernel/watchdog.c, kernel/rcu/tree_stall.h,
net/netfilter/nf_conntrack_core.c (2.6: `ip_conntrack:`), net/core/neighbour.c, net/ipv4/tcp_input.c (a port; since 5.19
an address and a port), net/core/dev.c, net/bridge/br_stp.c, net/ipv4/route.c and fib_frontend.c, block/blk-core.c,
fs/buffer.c, fs/ext4/super.c, fs/xfs/xfs_message.c, net/sunrpc/clnt.c, lib/ratelimit.c, kernel/audit.c, and
net/netfilter/nf_log_syslog.c.
"""

from __future__ import annotations

import polars as pl

from analyzer.frames.contract import TIME

_OOM = r"(?:Memory cgroup out of memory|Out of memory(?: \([a-z_]+\))?)"

KINDS: dict[str, str] = {
    "suppressed": r"(?:callbacks|messages) suppressed\.?$|output lines suppressed due to ratelimiting"
    r"|^\*\* [0-9]+ printk messages dropped",
    "oom_invoked": r" invoked oom-killer: gfp_mask=",
    "oom_summary": r"^oom-kill:constraint=|^Tasks? in /\S* (?:killed as a result of|are going to be killed due to)",
    "oom_chosen": rf"^{_OOM}: Kill process [0-9]+ \(",
    "cgroup_oom": r"^Memory cgroup out of memory: Killed process [0-9]+ \(",
    "oom_kill": rf"^(?:{_OOM}: )?Killed process [0-9]+(?:, UID [0-9]+,)? \(",
    "oom_reaped": r"^oom_reaper: (?:reaped|unable to reap) ",
    "hung_task": r"^(?:INFO: )?task .+:[0-9]+ blocked (?:in I/O wait )?for more than [0-9]+ seconds",
    "soft_lockup": r"BUG: soft lockup - CPU#[0-9]+ stuck for [0-9]+s!",
    "hard_lockup": r"[Ww]atchdog detected hard LOCKUP on cpu ?[0-9]+",
    "rcu_stall": r"(?:INFO: )?rcu_[a-z]+ (?:self-)?detected (?:expedited )?stalls? on|rcu_[a-z]+ kthread starved for",
    "conntrack_full": r"(?:nf|ip)_conntrack: table full, dropping packet",
    "neighbour_overflow": r"[Nn]eighbou?r table overflow",
    "tcp_syn_flood": r"[Pp]ossible SYN flooding on port ",
    "tcp_out_of_memory": r"TCP: out of memory -- consider tuning tcp_mem|^Out of socket memory|"
    r"[Tt]oo many (?:of )?orphaned sockets",
    "io_error": r"I/O error, dev |Buffer I/O error |lost (?:async |sync )?page write|EXT[234]-fs error|"
    r"EXT[234]-fs \([^)]*\): [^=]*(?:\berror\b|failed|corrupt)|"
    r"XFS \([^)]*\): .*(?:[Ee]rror|[Cc]orrupt|[Ss]hut(?:ting)? ?down)|"
    r"[Rr]emounting filesystem read-only|Aborting journal on device|BTRFS (?:error|critical)|"
    r"nvme[0-9]+: (?:.*I/O.* timeout|controller is down)",
    "nfs_timeout": r"nfs: server \S+ not responding|CIFS: .*has not responded in [0-9]+ seconds",
    "nfs_recovered": r"nfs: server \S+ OK$",
    "segfault": r"\[[0-9]+\]:? (?:segfault at |general protection|trap )",
    "panic": r"Kernel panic - not syncing|^(?:[A-Za-z ]*: )?Oops: |^BUG: |^kernel BUG at |^Unable to handle kernel ",
    "unregister_netdevice": r"unregister_netdevice: waiting for \S+ to become free",
    "bridge_port": r"port [0-9]+\([^)]*\) entered \w+ state|^(?:device )?[^ :]+:? (?:entered|left) promiscuous mode$|"
    r"^veth[^ :]*: ",
    "net_link": r"[Ll]ink (?:is )?(?:[Uu]p|[Dd]own|UP|DOWN)\b|link (?:becomes|is not) ready",
    "martian": r"martian (?:source|destination) ",
    "netfilter_log": r"(?:^|[ :\]])IN=\S* OUT=\S* ",
    "audit": r"^(?:node=\S+ )?(?:audit: )?type=[0-9A-Z_\[\]]+ (?:msg=)?audit\(|^audit: ",
    "hardware_error": r"\[Hardware Error\]|^EDAC ",
    "gpu_error": r"^NVRM: Xid \(",
    "file_limit": r"^VFS: file-max limit [0-9]+ reached",
    "boot": r"^Linux version [0-9]",
    "reboot": r"^reboot: (?:Restarting|Power down|System halted|machine restart)|^Restarting system",
    "call_trace": r"^ ?Call [Tt]race:|^ *(?:\[<[0-9a-f]*>\] )?(?:\? )?[A-Za-z_][\w.]*\+0x[0-9a-f]+/0x[0-9a-f]+|"
    r"^ ?</?(?:TASK|IRQ|NMI)>|^(?:RIP|RSP|RAX|RDX|RBP|R10|R13|FS|CS|CR2): |^-+\[ (?:cut here|end trace)|"
    r"^Modules linked in:|^CPU: [0-9]+ (?:UID: [0-9]+ )?PID: |^Hardware name: |^Code: ",
}
"""In the order of trial; the first that fits counts, and `other` what none fits."""

OTHER = "other"

_ANY = "|".join(f"(?:{pattern})" for pattern in KINDS.values())
"""Most lines fit none, and one pass says so."""

_KILLS = ["oom_chosen", "cgroup_oom", "oom_kill", "oom_reaped"]
_UID = r"[0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}|[0-9a-f]{32}"
_ID = r"[0-9a-f]{64}"

# a command name may hold anything, also `total-vm:1kB` or `,pid=1`: what is printed after it is found from the end
_VALUES: dict[str, list[tuple[list[str], str]]] = {
    "pid": [
        (_KILLS, r"process ([0-9]{1,10})(?: \(|, UID )"),
        (["oom_summary"], r",pid=([0-9]{1,10}),uid=[0-9]+$"),
        (["hung_task"], r":([0-9]{1,10}) blocked "),
        (["segfault"], r"\[([0-9]{1,10})\]:? (?:segfault|general|trap)"),
        (["soft_lockup"], r":([0-9]{1,10})\]$"),
        (["audit"], r" pid=([0-9]{1,10})(?: |$)"),
    ],
    "process": [
        (_KILLS, r"process [0-9]+(?:, UID [0-9]+,)? \((.*)\)(?:,|\.| (?:total-vm|vsz|score|now)|$)"),
        (["oom_invoked"], r"^(.*) invoked oom-killer"),
        (["oom_summary"], r",task=(.*),pid=[0-9]+,uid=[0-9]+$"),
        (["hung_task"], r"task (.+):[0-9]+ blocked "),
        (["segfault"], r"^(?:traps: )?(.*)\[[0-9]+\]:? (?:segfault|general|trap)"),
        (["soft_lockup"], r"\[([^\[]*):[0-9]+\]$"),
        (["audit"], r' comm="([^"]*)"'),
    ],
    "constraint": [(["oom_summary"], r"constraint=(CONSTRAINT_[A-Z_]+)")],
    "memcg": [
        (["oom_summary"], r",task_memcg=(.*?),task="),
        (["oom_summary"], r"^Tasks? in (/\S*) (?:killed|are)"),
    ],
    "total_vm_kilobytes": [(["cgroup_oom", "oom_kill"], r"^.*(?:total-vm|vsz):([0-9]{1,12})kB")],
    "anon_rss_kilobytes": [(["cgroup_oom", "oom_kill"], r"^.*anon-rss:([0-9]{1,12})kB")],
    "oom_score_adj": [
        (["cgroup_oom", "oom_kill", "oom_invoked"], r"oom_score_adj[:=](-?[0-9]{1,4})(?:,|\s|$)"),
    ],
    "duration_seconds": [
        (["hung_task"], r"more than ([0-9]{1,9}) seconds"),
        (["soft_lockup"], r"stuck for ([0-9]{1,9})s!"),
    ],
    "device": [
        (["io_error"], r"[ (]dev(?:ice)? ([^ ,:)]+)"),
        (["io_error"], r"(?:EXT[234]-fs|XFS|BTRFS \w+) \((?:device )?([^) :]+)"),
        (["io_error"], r"^(?:nvme )?(nvme[0-9]+)"),
        (["unregister_netdevice"], r"waiting for (\S+) to"),
        (["bridge_port"], r"port [0-9]+\(([^)]*)\)"),
        (["bridge_port"], r"^(?:device )?([^ :]+):? (?:entered|left) promiscuous"),
        (["bridge_port"], r"^(veth[^ :]*): "),
        (["net_link"], r"([^ :()]+):? (?:NIC )?[Ll]ink (?:is|becomes|[Uu]p|[Dd]own|UP|DOWN)"),
        (["gpu_error"], r"^NVRM: Xid \((?:PCI:)?([^)]+)\)"),
        (["martian"], r" on dev (\S+)$"),
        (["netfilter_log"], r"(?:^|[ :\]])IN=(\S+)"),
    ],
    "src": [(["netfilter_log"], r" SRC=(\S+)"), (["martian"], r" from ([0-9a-f.:]+)")],
    "dst": [
        (["netfilter_log"], r" DST=(\S+)"),
        (["nfs_timeout", "nfs_recovered"], r"server (\S+) "),
        (["martian"], r"martian (?:source|destination) ([0-9a-f.:]+)"),
    ],
    "dst_port": [
        (["netfilter_log"], r" DPT=([0-9]{1,5})(?: |$)"),
        (["tcp_syn_flood"], r"on port (?:\S*:)?([0-9]{1,5})\."),
    ],
    "audit_type": [
        (["audit"], r"type=([0-9A-Z_]+(?:\[[0-9]+\])?) "),
        (["audit"], r"^([A-Z][A-Z0-9_]{2,40}) "),
    ],
    "audit_stamp": [(["audit"], r"audit\(([0-9]{1,11}\.[0-9]{3}):[0-9]+\)")],
    "audit_serial": [(["audit"], r"audit\([0-9]+\.[0-9]+:([0-9]{1,18})\)")],
    "suppressed": [
        (["suppressed"], r"([0-9]{1,15}) (?:callbacks|messages|output lines|printk messages) (?:suppressed|dropped)"),
    ],
}

_NUMBERS = ("pid", "oom_score_adj", "duration_seconds", "dst_port", "audit_serial")


def kinds(text: pl.Series) -> pl.Series:
    """The kind of every text, one of KINDS or `other`. Each pattern looks only at what none before it took."""
    found = pl.Series("kind", [OTHER], dtype=pl.String).new_from_index(0, text.len())
    left = text.str.contains(_ANY).arg_true()
    for kind, pattern in KINDS.items():
        if not left.len():
            break
        fits = text.gather(left).str.contains(pattern)
        if fits.any():
            found = found.scatter(left.filter(fits), kind)
            left = left.filter(~fits)
    return found


def with_values(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame of `number`, `text` and `kind` with the columns of KERNEL_MESSAGES that are read out of the text."""
    plain = pl.col("kind").is_in([OTHER, "call_trace"])
    told = _told(scoped(frame.filter(~plain)))
    return (
        pl.concat([told, frame.filter(plain)], how="diagonal").sort("number").with_columns(pl.col("count").fill_null(1))
    )


def _told(frame: pl.DataFrame) -> pl.DataFrame:
    present = set(frame["kind"].unique())
    made = []
    for name, ways in _VALUES.items():
        told = [
            pl.when(pl.col("kind").is_in(of)).then(pl.col("text")).str.extract(pattern, 1)
            for of, pattern in ways
            if present & set(of)
        ]
        value = pl.coalesce(told) if told else pl.lit(None, pl.String)
        made.append((value.cast(pl.Int64, strict=False) if name in _NUMBERS else value).alias(name))
    frame = frame.with_columns(made)
    kilobytes = {name: pl.col(f"{name}_kilobytes").cast(pl.Int64, strict=False) for name in ("total_vm", "anon_rss")}
    milliseconds = pl.col("audit_stamp").str.replace(".", "", literal=True).cast(pl.Int64, strict=False)
    return frame.with_columns(
        *(told.mul(1024).alias(f"{name}_bytes") for name, told in kilobytes.items()),
        pod_uid("memcg").alias("pod_uid"),
        container_id("memcg").alias("container_id"),
        milliseconds.mul(1000).cast(TIME).alias("audit_time"),
        pl.col("suppressed").cast(pl.Int64, strict=False).fill_null(1).alias("count"),
    )


def scoped(frame: pl.DataFrame) -> pl.DataFrame:
    """Until 5.0 a `Killed process` line does not say whose memory was short; the line before it, of the same report,
    does. A report is a few hundred lines at most, so only the last announcement counts."""
    if "oom_chosen" not in frame["kind"].unique():
        return frame
    at_limit = pl.col("text").str.starts_with("Memory cgroup")
    told = (
        pl.when(pl.col("kind") == "oom_chosen")
        .then(at_limit)
        .when(pl.col("kind").is_in(["oom_invoked", "boot"]))
        .then(False)
        .forward_fill()
    )
    bare = (pl.col("kind") == "oom_kill") & pl.col("text").str.starts_with("Killed process")
    return frame.with_columns(kind=pl.when(bare & told.fill_null(False)).then(pl.lit("cgroup_oom")).otherwise("kind"))


def pod_uid(path: str) -> pl.Expr:
    """The UID of the pod of a cgroup path, by cgroupfs (`/kubepods/burstable/pod<uid>/...`) or by systemd
    (`kubepods-burstable-pod<uid with underscores>.slice`): pkg/kubelet/cm/pod_container_manager_linux.go."""
    found = pl.col(path).str.extract(rf"kubepods.*[/-]pod({_UID})(?:[./]|$)", 1)
    return found.str.replace_all("_", "-", literal=True)


def container_id(path: str) -> pl.Expr:
    """The id of the container of a cgroup path: its last part, `<id>`, `cri-containerd-<id>.scope`, `crio-...`."""
    return pl.col(path).str.extract(rf"[/:-]({_ID})(?:\.scope)?(?:/[^/]*)*$", 1)
