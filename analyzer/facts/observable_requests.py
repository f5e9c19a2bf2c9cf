"""What an audit log cannot show: some policies and some tables of clouds keep only writes, or no answers."""

from __future__ import annotations

import polars as pl

READS = ("get", "list", "watch")

ONLY_WRITES = (
    "the audit log holds no {} at all: its policy, or a table of writes only such as AKSAuditAdmin or Admin Activity, "
    "leaves them out"
)


def blind_to(requests: pl.LazyFrame, verbs: tuple[str, ...] = READS) -> str:
    """Why requests of these verbs cannot be seen; '' if there are some, or if there are no requests whatever."""
    seen, every = requests.select(pl.col("verb").is_in(verbs).fill_null(False).any(), pl.len() > 0).collect().row(0)
    names = " or ".join([*([", ".join(verbs[:-1])] if verbs[:-1] else []), verbs[-1]])
    return ONLY_WRITES.format(names) if every and not seen else ""


LACKING = {
    "time": "no record of the audit log has a time that can be read",
    "written": "no record of the audit log has a time that can be read",
    "user": "no record of the audit log names the user",
    "agent": "no record of the audit log names the user agent",
    "source_ip": "no record of the audit log has the client's address",
    "resource": "no record of the audit log names the resource (objectRef)",
}
"""What a column that is null in every row means."""


def without(rows: pl.LazyFrame, *columns: str) -> str:
    """Why nothing can be told from these rows: the first of these columns that none of them has; '' if all are there,
    or if there are no rows whatever."""
    counts = rows.select(pl.len().alias("\x00"), *(pl.col(column).count() for column in columns)).collect()
    held = counts["\x00"].item()
    return next((LACKING[column] for column in columns if held and not counts[column].item()), "")


def unfinished(events: pl.LazyFrame | None) -> str:
    """Why no request but those that are still open is there: every event is of the stage before the answer."""
    if events is None:
        return ""
    later = (pl.col("stage") != "RequestReceived").fill_null(True)
    seen, every = events.select(later.any(), pl.len() > 0).collect().row(0)
    return (
        "no event of the audit log ends a request: its policy leaves out ResponseComplete" if every and not seen else ""
    )


def unanswered(requests: pl.LazyFrame, events: pl.LazyFrame | None) -> str:
    """Why no answer can be seen; '' if there is one, or if the log is empty."""
    answered = bool(requests.select(pl.col("code").is_not_null().any()).collect().item())
    if answered:
        return ""
    held = requests.select(pl.len()).collect().item() or (
        events is not None and events.select(pl.len()).collect().item()
    )
    return "no event of the audit log has the code of an answer: its policy leaves out ResponseComplete" if held else ""
