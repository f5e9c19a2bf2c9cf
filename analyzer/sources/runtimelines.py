"""Lines of container runtimes taken apart: what they did, to which pod, sandbox, container or image.

The messages are those of containerd's CRI plugin (internal/cri/instrument/instrumented_service.go; the metadata as
`&PodSandboxMetadata{Name:..,Uid:..,` and since 2.0 as `name:"..."  uid:"..."`), of CRI-O (server/*.go), and the names
`<container>_<pod>_<namespace>_<uid>_<attempt>` that they reserve (internal/cri/server/helpers.go; with `k8s_` before
them in CRI-O and dockershim).
"""

from __future__ import annotations

import polars as pl

from analyzer.frames import RUNTIME_MESSAGES
from analyzer.sources.contract import Item, Ledger
from analyzer.sources.kernellines import bounded
from analyzer.sources.logfmt import HEAD, fields
from analyzer.sources.secrets import scrub_column
from analyzer.sources.times import parse_rfc3339

WRITERS = (
    r"^(?:(?:docker-)?containerd(?:-shim[a-z0-9.-]*)?|dockerd(?:-current)?|docker|crio|cri-o|cri-dockerd|kata|"
    r"container-runtime)$"
)
"""Names that journals have for container runtimes, and GKE for their log."""

_KEYS = ("time", "level", "msg", "error", "id", "container", "containerID", "sandbox", "sandboxID", "podsandboxid")
_ID = r"\b([0-9a-f]{64})\b"
_UID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32}"
_NAME = r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?"

_METADATA = r"PodSandboxMetadata\{Name:([^,{}]+),Uid:([^,{}]+),Namespace:([^,{}]+),"
_METADATA_2 = r'PodSandbox for (?:sandbox )?name:"([^"]+)" +uid:"([^"]+)" +namespace:"([^"]+)"'
_RESERVED = rf"(?:^|[^a-z0-9._-])(?:k8s_)?(?:({_NAME})_)?({_NAME})_({_NAME})_({_UID})(?:_[0-9]+)?\b"
_CRIO = rf"(?:[Pp]od sandbox|[Cc]ontainer)[^/]*: ({_NAME})/({_NAME})/({_NAME}|POD)$"

_CONTAINER_IDS = (
    rf"returns container id \"?{_ID}",
    rf"[Cc]ontainer[A-Za-z]*(?: (?:for|of|from|exec|to stop))?:? \"?{_ID}",
    rf"container_id:\"?{_ID}",
)
_SANDBOX_IDS = (rf"[Ss]andbox(?: id|ID|Status)?(?: for)?:? \"?{_ID}",)
_IMAGES = (
    r'PullImage (?:from )?"([^"]+)"',
    r'(?:[Pp]ulled image|[Ii]mage[A-Za-z]* event) (?:name:)?"([^"]+)"',
    r"(?:Pulling|Pulled) image: (\S+)",
    r"Checking image status: (\S+)",
)


class RuntimeRows:
    """Finishes the lines of one input, window after window."""

    def __init__(self, item: Item, ledger: Ledger) -> None:
        self._item, self._ledger = item, ledger

    def finish(self, lines: pl.DataFrame) -> pl.DataFrame:
        """Rows of RUNTIME_MESSAGES of unwrapped logfmt lines, which are used; damaged ones go to the ledger.

        The line's own time counts, which has a zone; the wrapper's where it has none.
        """
        found, whole = fields(lines["text"], _KEYS)
        whole &= found["msg"].is_not_null()
        cut = lines.filter(~whole)
        if cut["open"].any():
            self._ledger.tail()
        wrong = cut.filter(~pl.col("open"))["number"]
        self._ledger.skip("malformed line", wrong.head(3).to_list(), wrong.len())
        rows = self._rows(lines.filter(whole), found.filter(whole))
        self._ledger.use(rows.height)
        self._ledger.span(rows["time"].min(), rows["time"].max())  # type: ignore[arg-type]  # untyped by polars
        return RUNTIME_MESSAGES.check(rows.lazy()).collect()

    def _rows(self, lines: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
        own = parse_rfc3339(found["time"].str.replace(r"^([0-9-]{10}) ", "${1}T"))
        message, error = bounded(found["msg"]), bounded(found["error"])
        named = _named(pl.DataFrame({"message": message, "error": error}))
        ids = found.with_columns(message.alias("message"))
        frame = pl.DataFrame(
            {
                "time": pl.select(pl.coalesce(own, lines["time"])).to_series(),
                "number": lines["number"],
                "host": lines["host"],
                "component": lines["component"],
                "level": found["level"],
                "message": scrub_column(message),
                "error": scrub_column(error),
            }
        ).with_columns(pl.lit(self._item.id).alias("source"))
        told = ids.select(
            _first(_CONTAINER_IDS, "containerID", "container", "id").alias("container_id"),
            _first(_SANDBOX_IDS, "sandbox", "sandboxID", "podsandboxid").alias("sandbox_id"),
            _first(_IMAGES).alias("image"),
        )
        return pl.concat([frame, named, told], how="horizontal").select(RUNTIME_MESSAGES.schema.names())


def _named(texts: pl.DataFrame) -> pl.DataFrame:
    """`pod`, `pod_uid` and `container` as the message names them, else the error."""
    both = [_groups(name, pattern) for name in ("message", "error") for pattern in (_METADATA, _METADATA_2)]
    reserved = [_groups(name, _RESERVED) for name in ("message", "error")]
    crio = _groups("message", _CRIO)
    pods = [
        *(one.field("3") + "/" + one.field("1") for one in both),
        crio.field("1") + "/" + crio.field("2"),
        *(one.field("3") + "/" + one.field("2") for one in reserved),
    ]
    own = _of("message", r'ContainerMetadata\{Name:([^,{}]+),|container name:"([^"]+)"')
    return texts.select(
        pl.coalesce(pods).alias("pod"),
        pl.coalesce(*(one.field("2") for one in both), *(one.field("4") for one in reserved)).alias("pod_uid"),
        pl.coalesce(
            own,
            _of("message", r'container name:"([^"]+)"'),
            *(one.replace("POD", None) for one in (crio.field("3"), *(one.field("1") for one in reserved))),
        ).alias("container"),
    )


def _groups(name: str, pattern: str) -> pl.expr.struct.ExprStructNameSpace:
    return pl.col(name).str.extract_groups(pattern).struct


def _of(name: str, pattern: str) -> pl.Expr:
    return pl.col(name).str.extract(pattern, 1)


def _first(patterns: tuple[str, ...], *names: str) -> pl.Expr:
    """What the first pattern finds in the message, else a field that holds an id; others write a short text there."""
    return pl.coalesce(
        *(_of("message", one) for one in patterns), *(pl.col(name).str.extract(rf"^{_ID}$", 1) for name in names)
    )


def is_logfmt(text: pl.Series) -> pl.Series:
    """Whether lines begin as logrus begins them."""
    return text.str.contains(HEAD)


def take(lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Unwrapped logfmt lines whose writer is a container runtime, and all others."""
    own = lines["component"].str.contains(WRITERS).fill_null(False)
    if own.any():
        own &= is_logfmt(lines["text"])
    return lines.filter(own), lines.filter(~own)
