"""What systemd writes into a node's journal about the kubelet's and the container runtime's units.

`Started kubelet.service - kubelet: The Kubernetes Node Agent.` (since systemd 249; before, the description alone),
`kubelet.service: Main process exited, code=exited, status=1/FAILURE`, `kubelet.service: Scheduled restart job, restart
counter is at 5.` (systemd, src/core/job.c, service.c, unit.c). Descriptions are those of kubeadm, OpenShift,
containerd, docker and CRI-O, as node-problem-detector's config/systemd-monitor.json knows them too. Scopes of
containers (`cri-containerd-<id>.scope`) are no units of this kind.
"""

from __future__ import annotations

import polars as pl

from analyzer.frames import UNIT_MESSAGES
from analyzer.sources.contract import Item, Ledger

_UNITS = {
    "kubelet": r"kubelet\.service(?: - .*)?|(?i:kubernetes )?[Kk]ubelet(?:: [^.]*| [Ss]erver| [Ss]ervice)?",
    "containerd": r"containerd\.service(?: - .*)?|containerd container runtime",
    "docker": r"docker\.service(?: - .*)?|Docker Application Container Engine",
    "crio": r"crio\.service(?: - .*)?|Container Runtime Interface for OCI \(CRI-O\)",
}
_VERBS = {
    "Starting": "starting",
    "Started": "started",
    "Stopping": "stopping",
    "Stopped": "stopped",
    "Failed to start": "failed",
}
_JOB = (
    rf"^(?P<verb>{'|'.join(_VERBS)}) (?:{'|'.join(f'(?P<{name}>{what})' for name, what in _UNITS.items())})\.{{0,3}}$"
)
_OWN = r"^(?:Unit )?(?P<unit>kubelet|containerd|docker|crio)\.service(?:: | )(?P<rest>.*)$"
_EXITED = r"^[Mm]ain process exited, code=([a-z]{1,16}), status=([0-9]{1,3}/[A-Za-z0-9/-]{1,16})"
_RESULT = r"^(?:F|f)ailed with result '([a-z-]{1,32})'|^entered failed state|^failed\.$"
_RESTART = (
    r"^Scheduled restart job, restart counter is at ([0-9]{1,9})|^(?:Service )?hold-?off time over, scheduling restart"
)
_ENDED = r"^(?:Deactivated successfully|Succeeded)\."


def take(lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Unwrapped lines in which systemd tells of these units, with `unit`, `what` and `status`, and all others."""
    own = (lines["component"] == "systemd").fill_null(False)
    if not own.any():
        return told(lines.clear()), lines
    made = told(lines.filter(own))
    return made, lines.filter(~lines["number"].is_in(made["number"].implode()))


def told(lines: pl.DataFrame) -> pl.DataFrame:
    text = pl.col("text")
    job, unit = text.str.extract_groups(_JOB).struct, text.str.extract_groups(_OWN).struct
    rest = unit.field("rest")
    what = (
        pl.when(rest.str.contains(_EXITED))
        .then(pl.lit("exited"))
        .when(rest.str.contains(_RESULT))
        .then(pl.lit("failed"))
        .when(rest.str.contains(_RESTART))
        .then(pl.lit("restarting"))
        .when(rest.str.contains(_ENDED))
        .then(pl.lit("ended"))
    )
    named = pl.coalesce(*(pl.when(job.field(name).is_not_null()).then(pl.lit(name)) for name in _UNITS))
    return lines.with_columns(
        unit=pl.coalesce(named, unit.field("unit")),
        what=pl.coalesce(job.field("verb").replace_strict(_VERBS, default=None, return_dtype=pl.String), what),
        status=pl.coalesce(rest.str.extract(_EXITED, 2), rest.str.extract(_RESULT, 1), rest.str.extract(_RESTART, 1)),
    ).filter(pl.col("what").is_not_null())


def finish(lines: pl.DataFrame, item: Item, ledger: Ledger) -> pl.DataFrame:
    """Rows of UNIT_MESSAGES of such lines, placed in time; they are used."""
    rows = lines.with_columns(pl.lit(item.id).alias("source")).select(list(UNIT_MESSAGES.schema))
    ledger.use(rows.height)
    ledger.span(rows["time"].min(), rows["time"].max())  # type: ignore[arg-type]  # untyped by polars
    return UNIT_MESSAGES.check(rows.lazy()).collect()
