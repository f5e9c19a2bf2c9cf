"""Unwrapped CoreDNS lines, taken apart column by column."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

import polars as pl

from analyzer.frames import COREDNS_ERRORS, COREDNS_QUERIES, NO_REPLY, TIME, Table
from analyzer.sources.contract import ReadOptions
from analyzer.sources.lines import Window, line_places
from analyzer.sources.times import localise, parse_rfc3339
from analyzer.sources.wrappers import UNWRAPPED, Kind, Unwrapper

NAME_LIMIT = 1005
"""Characters of a name in presentation form: 255 octets, each as `\\DDD`, and the final dot (RFC 1035)."""

ANSWER_LIMIT = 10_000_000
"""Bytes of an answer before compression; beyond this a size is damage."""

DURATION_LIMIT = 86_400.0
"""Seconds; CoreDNS gives up long before, so beyond this a duration is damage."""

_NAME = r"(?:[^ \"\\]|\\.)+"
_BODY = (
    r"^(?:\[INFO\] )?(?P<client>[^ ]+) - (?:\[(?P<when>[^\]]+)\] )?(?:(?P<id>[0-9]+) )?"
    rf'"(?P<qtype>[^ "]+) [^ "]+ (?P<name>{_NAME}) (?P<transport>[^ "]+) (?P<query>[0-9]+) [^ "]+ [0-9]+" '
    r"(?P<rcode>[^ ]+) (?P<flags>[^ ]+) (?P<answer>[0-9]+) (?P<duration>[0-9][0-9.a-zµμ]*)"
    r'(?: "[^"]*")?$'
)
QUERY_LINE = r'^(?:[^ "]+ )?(?:\[INFO\] )?[^ ]+:[0-9]+ - (?:\[[^\]]+\] )?(?:[0-9]+ )?"[^ "]+ [A-Z]+ [^"]+ (?:udp|tcp) '
_LIKE_QUERY = r'^(?:\[INFO\] )?[^ ]+:[0-9]+ - [\[0-9"]'
ERROR_LINE = r"(?:^|\] )(?:\[[A-Z]+\] )?plugin/errors: [0-9]+ "
_ERROR = rf"plugin/errors: (?P<rcode>[0-9]+) (?P<name>{_NAME}) (?P<qtype>[A-Z0-9]+): (?P<error>.*)$"
_CONSOLIDATED = r"plugin/errors: (?P<count>[0-9]{1,15}) errors like '(?P<error>.*)' occurred in last "
_OWN_TIME = r"^([0-9]{4}(?:-[0-9]{2}-[0-9]{2}T[^ ]+|/[0-9]{2}/[0-9]{2} [0-9:]{8})) "

_LEVEL = r"^\[(?:DEBUG|INFO|WARNING|ERROR|FATAL|PANIC)\] [^ ]"
_START = (
    r"^(?:(?:[^ ]*\.)?:[0-9]+(?: on [^ ]+)?$|CoreDNS-|[a-z]+/[a-z0-9]+, go|maxprocs: |\s*[~_/\\|`'()]|"
    r"[IWEF][0-9]{4} [0-9]{2}:|(?:panic|goroutine|fatal error|runtime\.|main\.|created by|Trace)\b|\t|"
    r"(?:dns|tls|https|grpc|quic)://)"
)
"""Lines without a level that CoreDNS or the libraries in it are known to write: where it listens, its version and
banner, GOMAXPROCS, klog lines of client-go, goroutine dumps."""

_CELLS: dict[str, pl.DataType] = {
    **dict.fromkeys(("level", "client", "dash"), pl.String()),
    "id": pl.Int64(),
    **dict.fromkeys(("qtype", "class", "name", "transport"), pl.String()),
    "query": pl.Int64(),
    **dict.fromkeys(("do", "buffer", "rcode", "flags"), pl.String()),
    "answer": pl.Int64(),
    **dict.fromkeys(("duration", "opcode", "more"), pl.String()),
}
"""The current format, split at spaces."""

_UNUSED = {"class", "dash", "do", "buffer", "more", "stream"}
"""Cells that only hold others in their places."""

_LEADS: dict[Kind, tuple[str, ...]] = {Kind.RAW: (), Kind.TIMESTAMPS: ("stamp",), Kind.CRI: ("stamp", "stream", "part")}
"""Wrappers that are just more cells before the line."""

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"^(?:{_OCTET}\.){{3}}{_OCTET}$"
_POD = r"^\[pod/([^/\] ]+)/[^/\] ]+\]$"

_QTYPES = {"TYPE64": "SVCB", "TYPE65": "HTTPS"}
"""Types that older versions knew by number only."""

_RCODES = (
    *("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"),
    *("YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE"),
)
"""Codes 0 to 10 (IANA, DNS RCODEs); the errors plugin writes numbers."""

_UNITS = {
    "h": Decimal(3600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("1e-3"),
    **dict.fromkeys(("us", "µs", "μs"), Decimal("1e-6")),
    "ns": Decimal("1e-9"),
}
"""Seconds in the units of Go's durations; µ has two code points."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """Rows of both tables without `source`; line numbers of other and of malformed lines; `cut`: the last line is an
    incomplete tail; `unknown`: [INFO] lines that look like queries in another format."""

    queries: pl.DataFrame
    errors: pl.DataFrame
    others: pl.Series
    malformed: pl.Series
    cut: bool
    unknown: int


def parse_window(window: Window, unwrapper: Unwrapper, options: ReadOptions) -> Parsed:
    """The lines of one window; `parse` says how. Where the wrapper allows, cells are cut from the bytes themselves."""
    wrapper = unwrapper.wrapper
    lead = _LEADS.get(wrapper.kind)
    if lead is None or unwrapper.holds or b"\r" in window.data:
        return parse(unwrapper.feed(window), options)
    cells = _cells(window.data, (("pod",) if wrapper.prefixed else ()) + lead)
    numbers, line_bytes = line_places(window)
    if cells.height != len(numbers) or ("part" in lead and not (cells["part"] == "F").all()):
        return parse(unwrapper.feed(window), options)
    place = pl.DataFrame({"number": numbers, "line_bytes": line_bytes})
    time = parse_rfc3339(cells["stamp"]) if "stamp" in lead else pl.lit(None, TIME)
    pod = cells["pod"].str.extract(_POD, 1) if wrapper.prefixed else pl.lit(None, pl.String)
    place = place.with_columns(time.alias("time"), pod.alias("pod"))
    rows, valid = _query_rows(place, cells, b"\\" in window.data)
    for name, told in (("time", "stamp" in lead), ("pod", wrapper.prefixed)):
        valid &= place[name].is_not_null() | (not told)
    if valid.all():
        return _parsed(rows, pl.DataFrame(schema=UNWRAPPED), options)
    return _parsed(rows.filter(valid), unwrapper.some(window, ~valid), options)


def parse(frame: pl.DataFrame, options: ReadOptions) -> Parsed:
    """Every line of an unwrapped frame goes to exactly one of the fields of the result."""
    clean = ~frame["text"].str.contains("\n", literal=True)
    lines = frame.filter(clean)
    cells = _cells(lines["text"].str.join("\n")[0].encode() if lines.height else b"", ())
    if cells.height != lines.height:
        return _parsed(_none_of(COREDNS_QUERIES), frame, options)
    rows, valid = _query_rows(lines, cells, escapes=True)
    return _parsed(rows.filter(valid), pl.concat([lines.filter(~valid), frame.filter(~clean)]), options)


def _parsed(queries: pl.DataFrame, lines: pl.DataFrame, options: ReadOptions) -> Parsed:
    """The queries of the current format are known; find out what the other lines are."""
    if not lines.height:
        none = pl.Series("number", [], dtype=pl.Int64)
        return Parsed(queries, _none_of(COREDNS_ERRORS), none, none, False, 0)
    text = pl.col("text")
    errors, rest = _errors(_own_time(lines.sort("number"), options))
    asked = text.str.contains('"', literal=True) & text.str.contains(" - ", literal=True)
    slow, odd = _slow_queries(rest.filter(asked))
    if slow.height:
        queries = pl.concat([queries, slow]).sort("number")
    rest = pl.concat([rest.filter(~asked), odd]).sort("number")
    known = text.str.contains(_LEVEL) | text.str.contains(_START)
    wrong = text.str.contains(_LIKE_QUERY) | text.str.contains("plugin/errors: ", literal=True)
    rest = rest.with_columns((known & ~wrong).alias("other"))
    bad = rest.filter(~pl.col("other"))
    return Parsed(
        queries=queries,
        errors=errors,
        others=rest.filter("other")["number"],
        malformed=bad.filter(~pl.col("open"))["number"],
        cut=bad["open"].any(),
        unknown=rest.filter(text.str.starts_with("[INFO] ") & ~text.str.contains("plugin/", literal=True)).height,
    )


def _own_time(frame: pl.DataFrame, options: ReadOptions) -> pl.DataFrame:
    """Take CoreDNS's own time off the text; it counts where the wrapper has none."""
    text = frame["text"]
    own = text.str.extract(_OWN_TIME, 1)
    if not own.is_not_null().any():
        return frame
    go = localise(own.str.to_datetime("%Y/%m/%d %H:%M:%S", time_unit="us", strict=False), options.tz)
    told = pl.select(pl.coalesce(frame["time"], parse_rfc3339(own), go).alias("time"))["time"]
    return frame.with_columns(told, text.str.replace(_OWN_TIME, ""))


def _cells(data: bytes, lead: tuple[str, ...]) -> pl.DataFrame:
    """Lines split at spaces, as many rows as lines that are not blank; null where a cell is absent or no number."""
    schema = {**dict.fromkeys(lead, pl.String()), **_CELLS}
    if not data.strip():
        data = b""
    duration = pl.col("duration")
    cells = pl.read_csv(
        data,
        separator=" ",
        has_header=False,
        schema=schema,
        columns=[at for at, name in enumerate(schema) if name not in _UNUSED],
        quote_char=None,
        encoding="utf8-lossy",
        ignore_errors=True,
        truncate_ragged_lines=True,
        missing_columns="insert",
        extra_columns="ignore",
        raise_if_empty=False,
    )
    seconds = duration.str.strip_suffix("s").cast(pl.Float64, strict=False)
    return cells.with_columns(pl.when(duration.str.ends_with("s")).then(seconds).alias("seconds"))


def _slow_queries(lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Lines of older formats, and names with escaped spaces, by a regular expression that runs in linear time."""
    found = lines["text"].str.extract_groups(_BODY).struct.unnest()
    when = found["when"].str.to_datetime("%d/%b/%Y:%H:%M:%S %z", time_unit="us", strict=False).cast(TIME)
    place = lines.with_columns(pl.select(pl.coalesce(lines["time"], when).alias("time"))["time"])
    numbers = [pl.col(name).cast(pl.Int64, strict=False) for name in ("query", "answer")]
    # an id that is there must be one; before 1.0.5 there was none
    fits = found["client"].is_not_null() & (found["id"].is_null() | (found["id"].str.len_bytes() <= 5))
    cells = found.with_columns(
        *numbers,
        pl.col("id").cast(pl.Int64, strict=False).fill_null(0),
        pl.col("rcode").str.to_uppercase(),
        pl.lit("[INFO]").alias("level"),
        ('"' + pl.col("qtype").str.to_uppercase()).alias("qtype"),
        pl.lit(None, pl.String).alias("opcode"),
        _seconds(found["duration"]).alias("seconds"),
    )
    rows, valid = _query_rows(place, cells, escapes=True)
    valid &= fits
    rows = rows.with_columns(pl.when(found["id"].is_not_null()).then("dns_id").alias("dns_id"))
    return rows.filter(valid), lines.filter(~valid)


def _none_of(table: Table) -> pl.DataFrame:
    return pl.DataFrame(schema={name: dtype for name, dtype in table.schema.items() if name != "source"})


def _query_rows(place: pl.DataFrame, cells: pl.DataFrame, escapes: bool) -> tuple[pl.DataFrame, pl.Series]:
    """COREDNS_QUERIES without `source`, and which rows are what they should be; others hold anything."""
    if not cells.height:
        return _none_of(COREDNS_QUERIES), pl.Series([], dtype=pl.Boolean)
    client, port = _clients(cells["client"])
    qtype = cells["qtype"].str.slice(1)
    forms = (
        _fits(cells["rcode"], r"[A-Z][A-Z0-9]{0,15}|[0-9]{1,5}|-")
        & _fits(cells["flags"], r"-|[a-z]{2,3}(?:,[a-z]{1,3})*")
        & _fits(qtype, r"[A-Z][A-Z0-9-]{0,15}")
        & cells["qtype"].str.starts_with('"')
    )
    # CoreDNS lower-cases names itself, so looking is cheaper than doing it again
    name = cells["name"].str.to_lowercase() if cells["name"].str.contains("[A-Z]").any() else cells["name"]
    name = name.str.replace_all("\\ ", "\\032", literal=True) if escapes else name
    table = pl.concat(
        [place.select("number", "time", "line_bytes", "pod"), cells.drop("pod", strict=False)], how="horizontal"
    )
    made = (
        table.lazy()
        .with_columns(client=client, client_port=port, qtype=_modern(qtype), forms=forms, name=name)
        .select(*_QUERY_COLUMNS, _VALID.fill_null(False).alias("valid"))
        .collect()
    )
    return made.drop("valid"), made["valid"]


_took = pl.duration(microseconds=(pl.col("seconds") * 1e6).round(0).cast(pl.Int64, strict=False))

_QUERY_COLUMNS = (
    pl.col("time"),
    pl.col("number"),
    (pl.col("time") - _took).cast(TIME).alias("query_time"),
    pl.col("client"),
    pl.col("client_port"),
    pl.col("id").cast(pl.Int32, strict=False).alias("dns_id"),
    pl.col("name").str.strip_suffix("."),
    pl.col("qtype"),
    pl.col("transport"),
    pl.when(pl.col("flags") == "-").then(pl.lit(NO_REPLY)).otherwise("rcode").alias("rcode"),
    pl.col("flags"),
    pl.col("query").alias("query_bytes"),
    pl.col("answer").alias("answer_bytes"),
    pl.col("seconds").alias("duration_seconds"),
    pl.col("line_bytes"),
    pl.col("pod"),
)

_VALID = pl.all_horizontal(
    pl.col("level") == "[INFO]",
    pl.col("forms"),
    pl.col("client").is_not_null(),
    pl.col("client_port").is_not_null(),
    pl.col("id").is_between(0, 65_535),
    pl.col("query").is_between(0, 65_535),
    pl.col("answer").is_between(0, ANSWER_LIMIT),
    # also false for NaN and infinity, which the cast lets through
    pl.col("seconds").is_between(0.0, DURATION_LIMIT),
    (pl.col("transport") == "udp") | (pl.col("transport") == "tcp"),
    pl.col("name").str.ends_with("."),
    pl.col("name").str.len_bytes() <= NAME_LIMIT,
    pl.col("opcode").is_null() | pl.col("opcode").str.starts_with('"'),
)


def _modern(qtype: pl.Series) -> pl.Series:
    """Types by the name they have now."""
    return qtype.replace(_QTYPES) if qtype.str.starts_with("TYPE").any() else qtype


def _clients(cells: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Addresses, canonical, and ports of `10.0.0.7:40000` and `[fd00::5]:40000`; null where they are none."""
    plain = cells.str.splitn(":", 2).struct.unnest()
    host, port = plain["field_0"], plain["field_1"]
    if host.str.starts_with("[").any():
        inside = cells.str.extract_groups(r"^\[(?<host>[^\]]+)\]:(?<port>[0-9]+)$").struct.unnest()
        six = inside["host"].is_not_null()
        host = pl.select(pl.when(six).then(inside["host"]).otherwise(host)).to_series()
        port = pl.select(pl.when(six).then(inside["port"]).otherwise(port)).to_series()
    distinct = host.unique().drop_nulls()
    odd = distinct.filter(~distinct.str.contains(_IPV4))
    if odd.len():
        host = host.replace({text: _address(text) for text in odd.to_list()})
    number = port.cast(pl.Int32, strict=False)
    return host, pl.select(pl.when(number.is_between(0, 65_535)).then(number)).to_series()


@lru_cache(maxsize=1 << 16)
def _address(text: str) -> str | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # an IPv4 client on a socket for both
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _names(cells: pl.Series) -> pl.Series:
    """Lower case, without the final dot, escaped spaces as RFC 1035 has them; null beyond what a name can be."""
    names = cells.str.to_lowercase()
    names = names.str.replace_all("\\ ", "\\032", literal=True)
    fits = (names.str.len_bytes() <= NAME_LIMIT) & names.str.ends_with(".")
    return pl.select(pl.when(fits).then(names.str.strip_suffix("."))).to_series()


def _seconds(cells: pl.Series) -> pl.Series:
    """`0.000123s`, or a Go duration (`1m2.5s`, `452.3µs`) as versions before 1.1 wrote it; null if neither."""
    seconds = cells.str.strip_suffix("s").cast(pl.Float64, strict=False)
    odd = seconds.is_null() & cells.is_not_null()
    if odd.any():
        texts = cells.filter(odd)
        known = {text: _go_duration(text) for text in texts.unique().to_list()}
        seconds = seconds.scatter(odd.arg_true(), texts.replace_strict(known, return_dtype=pl.Float64))
    sane = seconds.is_between(0.0, DURATION_LIMIT)  # also false for NaN and infinity, which the cast lets through
    return pl.select(pl.when(sane).then(seconds)).to_series()


_GO_PART = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)(h|ms|m|s|us|µs|μs|ns)")


def _go_duration(text: str) -> float | None:
    parts = _GO_PART.findall(text)
    whole = "".join(number + unit for number, unit in parts)
    return float(sum(Decimal(number) * _UNITS[unit] for number, unit in parts)) if parts and whole == text else None


def _errors(lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """COREDNS_ERRORS without `source`, and the lines that are something else."""
    ours = lines["text"].str.contains("plugin/errors: ", literal=True)
    mine, rest = lines.filter(ours), lines.filter(~ours)
    single = mine["text"].str.extract_groups(_ERROR).struct.unnest()
    many = mine["text"].str.extract_groups(_CONSOLIDATED).struct.unnest()
    codes = {str(code): text for code, text in enumerate(_RCODES)}
    count = many["count"].cast(pl.Int64, strict=False)
    rows = pl.DataFrame(
        {
            "number": mine["number"],
            "time": mine["time"],
            "rcode": single["rcode"].replace(codes),
            "name": _names(single["name"]),
            "qtype": single["qtype"].replace(_QTYPES),
            "error": pl.select(pl.coalesce(single["error"], many["error"])).to_series(),
            "count": count.fill_null(1),
            "pod": mine["pod"],
        }
    ).select(name for name in COREDNS_ERRORS.schema if name != "source")
    valid = rows["name"].is_not_null() | count.is_not_null()
    return rows.filter(valid), pl.concat([rest, mine.filter(~valid)]).sort("number")


def _fits(cells: pl.Series, form: str) -> pl.Series:
    """Whether each cell has the form; tried on the distinct ones, which are few."""
    distinct = cells.unique()
    good = distinct.str.contains(rf"^(?:{form})$").fill_null(False)
    if good.all():
        return pl.Series([True]).new_from_index(0, cells.len())
    return cells.is_in(distinct.filter(good).implode())
