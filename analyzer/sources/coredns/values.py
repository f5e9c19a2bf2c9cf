"""What the parts of a line mean: addresses, names, durations, codes. Shared by every format."""

from __future__ import annotations

import ipaddress
import re
from decimal import Decimal
from functools import lru_cache

import polars as pl

from analyzer.frames import COREDNS_QUERIES, Table

NAME_LIMIT = 1005
"""Characters of a name in presentation form: 255 octets, each as `\\DDD`, and the final dot (RFC 1035)."""

ANSWER_LIMIT = 10_000_000
"""Bytes of an answer before compression; beyond this a size is damage."""

DURATION_LIMIT = 86_400.0
"""Seconds; CoreDNS gives up long before, so beyond this a duration is damage."""

RCODE = r"[A-Z][A-Z0-9]{0,15}|[0-9]{1,5}|-"
FLAGS = r"-|[a-z]{1,3}(?:,[a-z]{1,3})*"
QTYPE = r"[A-Z][A-Z0-9-]{0,15}"

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"^(?:{_OCTET}\.){{3}}{_OCTET}$"

QTYPES = {"TYPE64": "SVCB", "TYPE65": "HTTPS"}
"""Types that older versions knew by number only."""

_UNITS = {
    "h": Decimal(3600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("1e-3"),
    **dict.fromkeys(("us", "µs", "μs"), Decimal("1e-6")),
    "ns": Decimal("1e-9"),
}
"""Seconds in the units of Go's durations; µ has two code points."""

_GO_PART = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)(h|ms|m|s|us|µs|μs|ns)")


def none_of(table: Table) -> pl.DataFrame:
    """A frame of the table without rows, and without the columns that are put to every row at the end."""
    return pl.DataFrame(schema={name: dtype for name, dtype in table.schema.items() if name not in LATE})


LATE = {"source", "component"}

QUERY_COLUMNS = tuple(none_of(COREDNS_QUERIES).columns)


def modern(qtype: pl.Series) -> pl.Series:
    """Types by the name they have now."""
    return qtype.replace(QTYPES) if qtype.str.starts_with("TYPE").any() else qtype


def clients(cells: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Addresses, canonical, and ports of `10.0.0.7:40000` and `[fd00::5]:40000`; null where they are none."""
    plain = cells.str.splitn(":", 2).struct.unnest()
    host, port = plain["field_0"], plain["field_1"]
    if host.str.starts_with("[").any():
        inside = cells.str.extract_groups(r"^\[(?<host>[^\]]+)\](?::(?<port>[0-9]+))?$").struct.unnest()
        six = inside["host"].is_not_null()
        host = pl.select(pl.when(six).then(inside["host"]).otherwise(host)).to_series()
        port = pl.select(pl.when(six).then(inside["port"]).otherwise(port)).to_series()
    return addresses(host), ports(port)


def ports(texts: pl.Series) -> pl.Series:
    number = texts.cast(pl.Int32, strict=False)
    return pl.select(pl.when(number.is_between(0, 65_535)).then(number)).to_series()


def addresses(texts: pl.Series) -> pl.Series:
    """Canonical addresses; null where the text is none. Looked at once for each distinct text."""
    distinct = texts.unique().drop_nulls()
    odd = distinct.filter(~distinct.str.contains(_IPV4))
    return texts.replace({text: _address(text) for text in odd.to_list()}) if odd.len() else texts


@lru_cache(maxsize=1 << 16)
def _address(text: str) -> str | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # an IPv4 client on a socket for both
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def names(cells: pl.Series) -> pl.Series:
    """Lower case, without the final dot, escaped spaces as RFC 1035 has them; null beyond what a name can be."""
    lower = cells.str.to_lowercase()
    lower = lower.str.replace_all("\\ ", "\\032", literal=True)
    good = (lower.str.len_bytes() <= NAME_LIMIT) & lower.str.ends_with(".")
    return pl.select(pl.when(good).then(lower.str.strip_suffix("."))).to_series()


def seconds(cells: pl.Series) -> pl.Series:
    """`0.000123s`, or a Go duration (`1m2.5s`, `452.3µs`) as versions before 1.1 wrote it; null if neither."""
    plain = cells.str.strip_suffix("s").cast(pl.Float64, strict=False)
    odd = plain.is_null() & cells.is_not_null()
    if odd.any():
        texts = cells.filter(odd)
        known = {text: _go_duration(text) for text in texts.unique().to_list()}
        plain = plain.scatter(odd.arg_true(), texts.replace_strict(known, return_dtype=pl.Float64))
    sane = plain.is_between(0.0, DURATION_LIMIT)  # also false for NaN and infinity, which the cast lets through
    return pl.select(pl.when(sane).then(plain)).to_series()


def _go_duration(text: str) -> float | None:
    parts = _GO_PART.findall(text)
    whole = "".join(number + unit for number, unit in parts)
    return float(sum(Decimal(number) * _UNITS[unit] for number, unit in parts)) if parts and whole == text else None


def fits(cells: pl.Series, form: str) -> pl.Series:
    """Whether each cell has the form; tried on the distinct ones, which are few."""
    distinct = cells.unique()
    good = distinct.str.contains(rf"^(?:{form})$").fill_null(False)
    if good.all():
        return pl.Series([True]).new_from_index(0, cells.len())
    return cells.is_in(distinct.filter(good).implode())
