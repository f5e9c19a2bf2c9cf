"""Takes off what runtimes, kubectl, stern, logcli, Grafana and Fluent put before a line. Every function keeps the
rows."""

from __future__ import annotations

import polars as pl

from analyzer.sources.jsonlines import CONTROL_PLANE, decode_json_lines
from analyzer.sources.shapes import AWS_EVENT, ISO, KNOWN, LABELS, NAME, NODE
from analyzer.sources.times import parse_rfc3339

_DOCKER_PART = (16 << 10) - 4
"""Docker cuts lines at 16 KiB (daemon/logger/copier.go, defaultBufSize), perhaps within a character."""

_STAMP = 1_000_000.0
"""Microseconds of a second."""


def where_fits(*names: str) -> list[pl.Expr]:
    return [pl.when("fits").then(name).alias(name) for name in names]


def cri(lines: pl.DataFrame) -> pl.DataFrame:
    """`TIME stdout F TEXT`; `P` instead of `F` says that the line goes on in the next one of its stream."""
    cut = lines["text"].str.splitn(" ", 4).struct.unnest()
    time = parse_rfc3339(cut["field_0"])
    flag = cut["field_2"]
    fits = (
        time.is_not_null()
        & cut["field_1"].is_in(["stdout", "stderr"])
        & (flag.str.starts_with("F") | flag.str.starts_with("P")).fill_null(False)
    )
    return lines.with_columns(
        time.alias("time"),
        cut["field_1"].alias("stream"),
        (fits & flag.str.starts_with("P")).alias("partial"),
        cut["field_3"].fill_null("").alias("inner"),
        fits.alias("fits"),
    ).select(
        pl.exclude("text", "inner", "time", "stream", "fits"),
        *where_fits("time", "stream"),
        pl.when("fits").then("inner").otherwise("text").alias("text"),
    )


def timestamps(lines: pl.DataFrame) -> pl.DataFrame:
    """`TIME TEXT`."""
    cut = lines["text"].str.splitn(" ", 2).struct.unnest()
    time = parse_rfc3339(cut["field_0"])
    return _timed(lines, time, cut["field_1"].fill_null(""))


def logcli(lines: pl.DataFrame) -> pl.DataFrame:
    """`TIME {label="value", ...} TEXT`; the labels are padded to one width."""
    found = lines["text"].str.extract_groups(rf"(?s)^({ISO}) ({LABELS}) +(.*)$").struct.unnest()
    time, labels, text = found.get_columns()
    pod = labels.str.extract(r'[{ ,](?:k8s_)?pod(?:_name)?="([^"\\]+)"', 1)
    host = labels.str.extract(r'[{ ,](?:node_name|node|nodename|hostname|host)="([^"\\]+)"', 1)
    component = labels.str.extract(r'[{ ,](?:systemd_unit|unit|syslog_identifier)="([^"\\]+)"', 1)
    told = _timed(lines, parse_rfc3339(time), text)
    return told.with_columns(
        pod.alias("pod"), host.alias("host"), component.str.strip_suffix(".service").alias("component")
    )


def grafana(lines: pl.DataFrame) -> pl.DataFrame:
    """`MILLISECONDS TAB TIME TAB TEXT`."""
    cut = lines["text"].str.splitn("\t", 3).struct.unnest()
    fits = cut["field_0"].str.contains(r"^[0-9]{13}$")
    time = parse_rfc3339(cut["field_1"])
    time = time.set(~fits.fill_null(False), None)
    return _timed(lines, time, cut["field_2"].fill_null(""))


def aws_short(lines: pl.DataFrame) -> pl.DataFrame:
    """`TIME TEXT` with a time in UTC that does not say so."""
    cut = lines["text"].str.splitn(" ", 2).struct.unnest()
    return _timed(lines, parse_rfc3339(cut["field_0"] + "Z"), cut["field_1"].fill_null(""))


def aws_text(lines: pl.DataFrame) -> pl.DataFrame:
    """`EVENTS TAB ... TAB STREAM TAB TEXT TAB MILLISECONDS`."""
    stream, inner, time = lines["text"].str.extract_groups(AWS_EVENT).struct.unnest().get_columns()
    moment = time.cast(pl.Int64, strict=False).cast(pl.Datetime("ms", "UTC")).dt.cast_time_unit("us")
    component = stream.str.extract(CONTROL_PLANE, 1)
    return _timed(lines, moment, inner).with_columns(component.alias("component"))


def node(lines: pl.DataFrame) -> pl.DataFrame:
    """`HOST TEXT`, as `oc adm node-logs` for several nodes and `aws logs tail` write it, or talosctl's `HOST: TEXT`."""
    cut = lines["text"].str.splitn(" ", 2).struct.unnest()
    fits = cut["field_0"].str.contains(rf"^{NODE}$").fill_null(False) & cut["field_1"].is_not_null()
    return _where(lines, fits, cut["field_1"], host=cut["field_0"].str.strip_suffix(":"))


def stern(lines: pl.DataFrame) -> pl.DataFrame:
    """`[NAMESPACE] POD CONTAINER TEXT`; --timestamps=short gives `MM-DD hh:mm:ss`, which has neither year nor zone."""
    text = lines["text"]
    three = text.str.contains(rf"^{NAME} {NAME} {NAME} {KNOWN}")
    cut = text.str.splitn(" ", 3).struct.unnest()
    more = text.str.splitn(" ", 4).struct.unnest()
    fits = cut.select(
        pl.all_horizontal(pl.col("field_0", "field_1").str.contains(rf"^{NAME}$")).fill_null(False).alias("fits")
    )["fits"]
    told = pl.DataFrame({"three": three}).select(
        pl.when("three").then(more["field_1"]).otherwise(cut["field_0"]).alias("pod"),
        pl.when("three").then(more["field_2"]).otherwise(cut["field_1"]).alias("container"),
        pl.when("three").then(more["field_3"]).otherwise(cut["field_2"]).alias("rest"),
    )
    rest = told["rest"].fill_null("").str.replace(r"^[0-9]{2}-[0-9]{2} [0-9:]{8} ", "")
    return _where(lines, fits, rest, pod=told["pod"], container=told["container"])


def fluent_bit(lines: pl.DataFrame) -> pl.DataFrame:
    """`[N] TAG: [TIME, {...}]`, with or without N and TAG, in JSON or as out_stdout prints msgpack
    (`"key"=>"value"`)."""
    text = lines["text"]
    found = text.str.extract_groups(
        r"(?s)^(?:\[[0-9]+\] )?(?:([^ \[\]{}\"]+): )?\[\[?([0-9]{9,10}(?:\.[0-9]+)?)(?:, \{.*?\}\])?, (\{.*\})\]$"
    ).struct.unnest()
    tag, seconds, record = found.get_columns()
    told = decode_json_lines(record.fill_null(""))
    printed = record.str.extract(r'(?s)"(?:log|message|MESSAGE)"=>"(.*?)"(?:, "[^"]+"=>|\}$)', 1)
    inner = pl.select(pl.coalesce(told["text"], printed)).to_series()
    time = (seconds.cast(pl.Float64, strict=False) * _STAMP).round(0).cast(pl.Int64, strict=False)
    pod = tag.str.extract(r"containers\.([a-z0-9][a-z0-9.-]*)_[a-z0-9-]+_[a-z0-9-]+-[0-9a-f]{64}\.log$", 1)
    fits = inner.is_not_null()
    made = _json(lines, told.with_columns(inner.alias("text")))
    return made.with_columns(
        pl.coalesce(pl.col("time"), pl.when(fits).then(time.cast(pl.Datetime("us", "UTC")))).alias("time"),
        pl.coalesce(pl.col("pod"), pod).alias("pod"),
    )


def fluentd(lines: pl.DataFrame) -> pl.DataFrame:
    """`TIME TAB TAG TAB {...}`."""
    cut = lines["text"].str.splitn("\t", 3).struct.unnest()
    time = parse_rfc3339(cut["field_0"])
    told = decode_json_lines(cut["field_2"].fill_null(""))
    pod = cut["field_1"].str.extract(r"containers\.([a-z0-9][a-z0-9.-]*)_[a-z0-9-]+_[a-z0-9-]+-[0-9a-f]{64}\.log$", 1)
    fits = told["text"].is_not_null()
    return _json(lines, told).with_columns(
        pl.coalesce(pl.col("time"), pl.when(fits).then(time)).alias("time"),
        pl.coalesce(pl.col("pod"), pod).alias("pod"),
    )


def json(lines: pl.DataFrame) -> pl.DataFrame:
    """A JSON object a line; `journalctl -o json-sse` puts `data: ` before each."""
    text = lines["text"]
    if text.str.starts_with("data: ").any():
        text = text.str.strip_prefix("data: ")
    return _json(lines, decode_json_lines(text))


def _json(lines: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    inner = found["text"]
    ended = inner.str.ends_with("\n")
    # docker cuts lines at 16 KiB; shippers that trim every line end none of them with a newline
    cut = found["docker"] & ~ended & (ended.any() | (inner.str.len_bytes() >= _DOCKER_PART))
    kept = lines.drop("pod", "container", strict=False).rename({"text": "whole"})
    pod, container = (pl.coalesce(at, lines[at]) if at in lines.columns else pl.col(at) for at in ("pod", "container"))
    return pl.concat([kept, found.drop("goes_on", "docker")], how="horizontal").select(
        "number",
        "time",
        pl.coalesce(inner.str.strip_chars_end("\r\n"), "whole").alias("text"),
        "stream",
        pod,
        "host",
        "component",
        container,
        "line_bytes",
        pl.coalesce(found["goes_on"], cut).fill_null(False).alias("partial"),
        "lost",
    )


def _timed(lines: pl.DataFrame, time: pl.Series, inner: pl.Series) -> pl.DataFrame:
    return lines.with_columns(time.alias("time"), inner.alias("inner")).select(
        pl.exclude("text", "inner"),
        pl.when(pl.col("time").is_not_null()).then("inner").otherwise("text").alias("text"),
    )


def _where(lines: pl.DataFrame, fits: pl.Series, inner: pl.Series, **told: pl.Series) -> pl.DataFrame:
    """`inner` as the text, and what else is told, where the line fits."""
    made = lines.with_columns(fits.alias("fits"), inner.alias("inner"), *(one.alias(at) for at, one in told.items()))
    return made.select(
        pl.exclude("text", "inner", "fits", *told),
        *where_fits(*told),
        pl.when("fits").then("inner").otherwise("text").alias("text"),
    )
