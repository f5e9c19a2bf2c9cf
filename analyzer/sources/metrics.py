"""Scrapes that were saved to a file: the Prometheus text format and OpenMetrics.

Families and their types are read from the `# TYPE` lines here, samples by prometheus-client, line by line in blocks, so
that a damaged line costs itself and counters keep the names that they have in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice

import msgspec
import polars as pl

from analyzer.frames import METRIC_SAMPLES, TIME
from analyzer.sources.contract import Batch, ByteStream, Item, Ledger, Match, ReadOptions, Source
from analyzer.sources.discover import STDIN
from analyzer.sources.lines import line_frame, quote_lines, text_head, windows
from analyzer.sources.secrets import scrub_column
from analyzer.sources.textwindow import Window

SAMPLES_LIMIT = 500_000
"""Samples that are kept of one input. A scrape of a large API server has a tenth of them."""

LINE_LIMIT = 64 << 10
"""Bytes of one sample; honest ones have a few hundred."""

_BLOCK = 10_000
"""Lines that are given to the parser at once."""

_LOOKED_AT = 200

_HEADER = r"^# +(?:HELP|TYPE|UNIT) +[a-zA-Z_:][a-zA-Z0-9_:.]*(?: |$)"
_TYPE = r"^# +TYPE +([a-zA-Z_:][a-zA-Z0-9_:]*) +([a-z]{1,32}) *$"
_NUMBER = r"[+-]?(?:[0-9.]+(?:[eE][+-]?[0-9]+)?|Inf|NaN|inf|nan)"
_SAMPLE = rf'^[a-zA-Z_:][a-zA-Z0-9_:]*(?:\{{(?:[^"}}]|"(?:[^"\\]|\\.)*")*\}})?[ \t]+{_NUMBER}(?:[ \t]|$)'
_KNOWN = (
    r"^(?:aggregator|apiextensions|apiserver|cadvisor|cluster_autoscaler|container|coredns|etcd|go|grpc|kube|kubelet|"
    r"kubeproxy|kubernetes|machine|node|process|prober|rest_client|scheduler|storage_operation|workqueue)_"
    r"[a-z0-9_]+[{ ]"
)
"""How the names of metrics begin that Kubernetes, etcd, CoreDNS, cAdvisor and the node exporter export."""
_EXEMPLAR = r'^([^{#\s]+(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?(?:\s+[^\s#]+){1,2})\s+# \{.*$'
_SUFFIXES = ("_total", "_bucket", "_sum", "_count", "_created", "_info", "_gsum", "_gcount")

_SECONDS_BELOW = 1e11
"""OpenMetrics writes seconds since 1970, the Prometheus format milliseconds; these meet in 1973 and in 5138."""

_RAW = pl.Schema(
    {"number": pl.Int64(), "metric": pl.String(), "labels": pl.String(), "value": pl.Float64(), "micros": pl.Int64()}
)


def identify(head: bytes) -> Match | None:
    """By `# HELP` and `# TYPE` lines between samples; what grep left of a scrape by samples whose names are those of
    the components of a cluster."""
    data = text_head(head)
    lines = line_frame(Window(1, data[: data.rfind(b"\n") + 1] or data))["text"].head(_LOOKED_AT)
    lines = lines.filter(~lines.str.contains(r"^# EOF\s*$"))
    headers, samples = int(lines.str.contains(_HEADER).sum()), int(lines.str.contains(_SAMPLE).sum())
    if headers and samples and 10 * (headers + samples) >= 9 * lines.len():
        return Match(0.9, f"{headers} headers of metrics and {samples} samples in the first {lines.len()} lines")
    known = int(lines.str.contains(_KNOWN).sum())
    if known >= 2 and known == samples and 10 * samples >= 9 * lines.len():
        return Match(0.6, f"{samples} of the first {lines.len()} lines are samples of known metrics, without headers")
    return None


def read(stream: ByteStream, item: Item, options: ReadOptions, ledger: Ledger) -> Iterator[Batch]:
    """Batches of METRIC_SAMPLES, one row per sample, at most SAMPLES_LIMIT; comments are no records."""
    family, kept, timeless = ("", ""), 0, False
    for window in windows(stream, ledger):
        lines, family = _with_families(line_frame(window), family)
        is_open = not window.data.endswith(b"\n")
        last = lines["number"].max()
        lines = lines.filter(~pl.col("text").str.starts_with("#"))
        over = max(0, lines.height - (SAMPLES_LIMIT - kept))
        if over:
            beyond = lines.tail(over)["number"]
            ledger.skip(f"beyond the limit of {SAMPLES_LIMIT:,} samples", beyond.head(3).to_list(), over)
            lines = lines.head(lines.height - over)
        rows, wrong = _parsed(lines)
        kept += rows.height
        if is_open and wrong and wrong[-1] == last:
            ledger.tail()
            wrong.pop()
        ledger.skip("malformed line", wrong[:3], len(wrong))
        if rows.height:
            frame = _finished(rows, lines, item)
            timeless = timeless or frame["time"].has_nulls()
            ledger.use(frame.height)
            ledger.span(frame["time"].min(), frame["time"].max())  # type: ignore[arg-type]  # untyped by polars
            yield {METRIC_SAMPLES: frame}
    if timeless:
        ledger.note(f"samples without a timestamp have no time{_changed(item)}")


def _with_families(lines: pl.DataFrame, before: tuple[str, str]) -> tuple[pl.DataFrame, tuple[str, str]]:
    """The lines with the name and the type of the family that the last `# TYPE` before them opened."""
    told = pl.col("text").str.extract_groups(_TYPE).struct
    lines = lines.with_columns(told.field("1").alias("family"), told.field("2").alias("family_type"))
    lines = lines.with_columns(
        pl.col(name).forward_fill().fill_null(value)
        for name, value in zip(("family", "family_type"), before, strict=True)
    )
    after = (lines["family"][-1], lines["family_type"][-1]) if lines.height else before
    return lines, after


def _parsed(lines: pl.DataFrame) -> tuple[pl.DataFrame, list[int]]:
    """The samples of lines, and the numbers of the lines that hold none."""
    shaped = (lines["text"].str.contains(_SAMPLE)) & (lines["text"].str.len_bytes() <= LINE_LIMIT)
    wrong = lines.filter(~shaped)["number"].to_list()
    good = lines.filter(shaped)
    texts = zip(good["number"].to_list(), good["text"].str.replace(_EXEMPLAR, "${1}").to_list(), strict=True)
    rows: list[tuple[int, str, str, float, int | None]] = []
    while block := list(islice(texts, _BLOCK)):
        try:
            rows += _block(block)
        except (ValueError, IndexError, KeyError):
            for one in block:
                try:
                    rows += _block([one])
                except (ValueError, IndexError, KeyError):
                    wrong.append(one[0])
    return pl.DataFrame(rows, schema=_RAW, orient="row"), sorted(wrong)


def _block(block: list[tuple[int, str]]) -> list[tuple[int, str, str, float, int | None]]:
    """The samples of a block of lines. Without headers the parser gives one family for each line, in their order."""
    from prometheus_client.parser import text_string_to_metric_families  # few inputs are scrapes

    text = "\n".join(line for _, line in block)
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    if len(samples) != len(block):
        raise ValueError("a line holds no sample")
    return [
        (
            number,
            sample.name,
            msgspec.json.encode(dict(sorted(sample.labels.items()))).decode(),
            float(sample.value),
            _micros(None if sample.timestamp is None else float(sample.timestamp)),
        )
        for (number, _), sample in zip(block, samples, strict=True)
    ]


def _micros(timestamp: float | None) -> int | None:
    """Microseconds since 1970; the parser takes every timestamp as milliseconds and divides it."""
    if timestamp is None or not 0 <= timestamp < _SECONDS_BELOW:
        return None
    return round(timestamp * 1_000_000_000) if timestamp * 1000 < _SECONDS_BELOW else round(timestamp * 1_000_000)


def _finished(rows: pl.DataFrame, lines: pl.DataFrame, item: Item) -> pl.DataFrame:
    joined = rows.join(lines.select("number", "family", "family_type"), on="number", how="left", maintain_order="left")
    rest = pl.col("metric").str.strip_prefix(pl.col("family"))
    of_family = (pl.col("metric") == pl.col("family")) | (
        pl.col("metric").str.starts_with(pl.col("family")) & rest.is_in(_SUFFIXES) & (pl.col("family") != "")
    )
    return METRIC_SAMPLES.check(
        joined.with_columns(
            pl.col("micros").cast(TIME).alias("time"),
            pl.lit(item.id).alias("source"),
            pl.when(of_family).then("family").otherwise("metric").alias("family"),
            pl.when(of_family).then("family_type").otherwise(pl.lit("unknown")).alias("family_type"),
            scrub_column(joined["labels"]),
        )
        .select(METRIC_SAMPLES.schema.names())
        .lazy()
    ).collect()


def _changed(item: Item) -> str:
    if item.path == STDIN and item.member is None:
        return ""
    try:
        changed = datetime.fromtimestamp(item.modified(), UTC)
    except (OSError, ValueError, OverflowError):
        return ""
    return f"; the file was last changed at {changed:%Y-%m-%d %H:%M:%S} UTC"


SOURCE = Source(
    name="metrics",
    title="saved scrape (Prometheus text format, OpenMetrics)",
    tables=(METRIC_SAMPLES,),
    identify=identify,
    read=read,
    quote=quote_lines,
)
