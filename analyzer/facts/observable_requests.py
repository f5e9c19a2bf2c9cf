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


def unanswered(requests: pl.LazyFrame, events: pl.LazyFrame | None) -> str:
    """Why no answer can be seen; '' if there is one, or if the log is empty."""
    answered = bool(requests.select(pl.col("code").is_not_null().any()).collect().item())
    if answered:
        return ""
    held = requests.select(pl.len()).collect().item() or (
        events is not None and events.select(pl.len()).collect().item()
    )
    return "no event of the audit log has the code of an answer: its policy leaves out ResponseComplete" if held else ""
