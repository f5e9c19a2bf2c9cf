"""Lines of the errors plugin (plugin/errors/errors.go): single ones, and one for many that are alike.

Until CoreDNS 1.2.5 single ones were `[ERROR] 2 NAME TYPE: ERROR` behind a time of Go's log, and until 1.1.2 `TIME
[ERROR 2 NAME TYPE] ERROR` with the time of the Common Log Format.
"""

from __future__ import annotations

import polars as pl

from analyzer.frames import COREDNS_ERRORS
from analyzer.sources.coredns.formats import NAME
from analyzer.sources.coredns.values import QTYPES, addresses, names, none_of, ports, seconds

SIGN = "plugin/errors: "
_SIGNED = rf"^\[ERROR\] ([0-9]{{1,5}} {NAME} [A-Za-z0-9]+: )"
_CLF = r"[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9:]{8} [+-][0-9]{4}"
_BRACKETED = rf"^(?:({_CLF}) )?\[ERROR ([0-9]{{1,5}} {NAME} [A-Z0-9]+)\] (.*)$"
ERROR_LINE = rf"(?:^|\] )(?:\[[A-Z]+\] )?plugin/errors: [0-9]+ |{_SIGNED}|{_BRACKETED}"

_SINGLE = rf"plugin/errors: (?P<rcode>[0-9]+) (?P<name>{NAME}) (?P<qtype>[A-Z0-9]+): (?P<error>.*)$"
_CONSOLIDATED = (
    r"plugin/errors: (?P<count>[0-9]{1,15}) errors like '(?P<error>.*)' occurred in last (?P<period>[0-9a-z.µμ]*)"
)
_UPSTREAM = (
    r"(?:->|\bdial (?:tcp|udp)[46]? |\blookup [^ ]+ on )(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<four>[0-9.]+))"
    r":(?P<port>[0-9]+)"
)
"""Where Go's net package says who was asked: `read udp A:p->B:p: ...`, `dial tcp B:p: ...` (net.OpError.Error), and
`lookup NAME on B:p: ...` (net.DNSError.Error)."""

_RCODES = (
    *("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"),
    *("YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE"),
)
"""Codes 0 to 10 (IANA, DNS RCODEs); the plugin writes numbers."""

_KINDS = {
    "timeout": ("i/o timeout", "context deadline exceeded", "timed out"),
    "connection refused": ("connection refused",),
    "no route to host": ("no route to host", "host is unreachable", "host is down"),
    "network unreachable": ("network is unreachable",),
    "connection closed": ("connection reset by peer", "broken pipe", "closed by peer", "use of closed network", "EOF"),
    "server misbehaving": ("server misbehaving",),
    "no such host": ("no such host",),
    "overload": ("concurrent queries exceeded maximum",),
    "no healthy upstream": ("no healthy proxies", "no healthy upstream", "no healthy gRPC proxies"),
    "backend unreachable": ("unreachable backend",),
    "tls": ("tls: ", "x509: ", "TLS handshake"),
    "no next plugin": ("no next plugin found",),
    "malformed answer": ("id mismatch", "overflow", "bad rdata", "buffer size too small"),
    "no sockets": ("cannot assign requested address", "too many open files", "address already in use"),
    "not permitted": ("operation not permitted", "permission denied"),
    "canceled": ("context canceled", "operation was canceled"),
    "servfail": ("SERVFAIL",),
    "refused": ("REFUSED",),
}
"""What Go's net and syscall packages, miekg/dns and CoreDNS's forward, proxy (until 1.5.0) and plugin packages say, by
kind. The text that stands first in an error decides."""

_BY_TEXT = {text: kind for kind, texts in _KINDS.items() for text in texts}
_ANY_KIND = "(" + "|".join(sorted(_BY_TEXT, key=len, reverse=True)) + ")"


def errors(lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """COREDNS_ERRORS without what is put to every row at the end, and the lines that are something else.

    With `show_first` the first error of a consolidated line has a line of its own besides: upstream counts it twice.
    """
    lines = _of_today(lines)
    ours = lines["text"].str.contains(SIGN, literal=True)
    if not ours.any():
        return none_of(COREDNS_ERRORS), lines
    mine, rest = lines.filter(ours), lines.filter(~ours)
    single = mine["text"].str.extract_groups(_SINGLE).struct.unnest()
    many = mine["text"].str.extract_groups(_CONSOLIDATED).struct.unnest()
    codes = {str(code): text for code, text in enumerate(_RCODES)}
    count = many["count"].cast(pl.Int64, strict=False)
    error = pl.select(pl.coalesce(single["error"], many["error"]).alias("error")).to_series()
    upstream = error.str.extract_groups(_UPSTREAM).struct.unnest()
    address = pl.select(pl.coalesce(upstream["six"], upstream["four"])).to_series()
    rows = pl.DataFrame(
        {
            "number": mine["number"],
            "time": mine["time"],
            "rcode": single["rcode"].replace(codes),
            "name": names(single["name"]),
            "qtype": single["qtype"].replace(QTYPES),
            "error": error,
            "kind": _kind(error),
            "upstream": addresses(address),
            "upstream_port": ports(upstream["port"]),
            "count": count.fill_null(1),
            "period_seconds": seconds(many["period"].replace("", None)),
            "pod": mine["pod"],
        }
    ).select(none_of(COREDNS_ERRORS).columns)
    valid = rows["name"].is_not_null() | count.is_not_null()
    return rows.filter(valid), pl.concat([rest, mine.filter(~valid)]).sort("number")


def _of_today(lines: pl.DataFrame) -> pl.DataFrame:
    """The lines with those of older versions as they are written since."""
    text = lines["text"]
    if (signed := text.str.contains(_SIGNED)).any():
        text = text.set(signed, None).fill_null(text.str.replace(_SIGNED, f"[ERROR] {SIGN}${{1}}"))
    old = text.str.contains("[ERROR ", literal=True)
    if not old.any():
        return lines.with_columns(text)
    time, what, error = text.str.extract_groups(_BRACKETED).struct.unnest().get_columns()
    own = time.str.to_datetime("%d/%b/%Y:%H:%M:%S %z", time_unit="us", strict=False)
    return lines.with_columns(
        pl.when(what.is_not_null())
        .then(pl.concat_str(pl.lit(f"[ERROR] {SIGN}"), what, pl.lit(": "), error))
        .otherwise(text)
        .alias("text"),
        pl.coalesce("time", own).alias("time"),
    )


def _kind(errors: pl.Series) -> pl.Series:
    """By the first text that is known; of a consolidated line, by what its pattern asks for."""
    plain = errors.str.replace_all(r"\\([.+*?()\[\]{}^$|/-])", "$1")
    said = plain.str.extract(_ANY_KIND, 1)
    return said.replace_strict(_BY_TEXT, default="other", return_dtype=pl.String).fill_null("other")
