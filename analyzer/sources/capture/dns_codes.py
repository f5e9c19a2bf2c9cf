"""Texts of DNS codes: https://www.iana.org/assignments/dns-parameters (types and rcodes)."""

from __future__ import annotations

import numpy as np
import polars as pl

from analyzer.sources.capture.arrays import I64
from analyzer.sources.capture.texts import pick

A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, DNAME, OPT = 1, 2, 5, 6, 12, 15, 16, 28, 33, 39, 41
NOERROR, NXDOMAIN = 0, 3

RCODES = (
    *("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"),
    *("YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE", "DSOTYPENI"),
    *(f"RCODE{code}" for code in range(12, 16)),
)

RCODE_TEXTS = pl.Series([None, *RCODES], dtype=pl.String)
"""The texts of -1 and on: absent, and every rcode of four bits."""

# fmt: off
_NAMED = {
    1: "A", 2: "NS", 3: "MD", 4: "MF", 5: "CNAME", 6: "SOA", 7: "MB", 8: "MG", 9: "MR", 10: "NULL", 11: "WKS",
    12: "PTR", 13: "HINFO", 14: "MINFO", 15: "MX", 16: "TXT", 17: "RP", 18: "AFSDB", 19: "X25", 20: "ISDN", 21: "RT",
    22: "NSAP", 23: "NSAP-PTR", 24: "SIG", 25: "KEY", 26: "PX", 27: "GPOS", 28: "AAAA", 29: "LOC", 30: "NXT",
    31: "EID", 32: "NIMLOC", 33: "SRV", 34: "ATMA", 35: "NAPTR", 36: "KX", 37: "CERT", 38: "A6", 39: "DNAME",
    40: "SINK", 41: "OPT", 42: "APL", 43: "DS", 44: "SSHFP", 45: "IPSECKEY", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY",
    49: "DHCID", 50: "NSEC3", 51: "NSEC3PARAM", 52: "TLSA", 53: "SMIMEA", 55: "HIP", 56: "NINFO", 57: "RKEY",
    58: "TALINK", 59: "CDS", 60: "CDNSKEY", 61: "OPENPGPKEY", 62: "CSYNC", 63: "ZONEMD", 64: "SVCB", 65: "HTTPS",
    99: "SPF", 100: "UINFO", 101: "UID", 102: "GID", 103: "UNSPEC", 104: "NID", 105: "L32", 106: "L64", 107: "LP",
    108: "EUI48", 109: "EUI64", 128: "NXNAME", 249: "TKEY", 250: "TSIG", 251: "IXFR", 252: "AXFR", 253: "MAILB",
    254: "MAILA", 255: "ANY", 256: "URI", 257: "CAA", 258: "AVC", 259: "DOA", 260: "AMTRELAY", 32768: "TA",
    32769: "DLV",
}
# fmt: on


def type_text(code: int) -> str:
    """TYPE65280 and the like where the type has no name (RFC 3597)."""
    return _NAMED.get(code, f"TYPE{code}")


_USUAL = pl.Series([None, *(type_text(code) for code in range(512))], dtype=pl.String)
"""The texts of -1 and on: absent, and every type that is met outside of tests."""


def type_texts(codes: I64) -> pl.Series:
    """Texts of record types; null where the code is negative."""
    if codes.max(initial=0) < len(_USUAL) - 1:
        return pick(_USUAL, codes + 1)
    distinct = np.flatnonzero(np.bincount(codes[codes >= 0], minlength=65536))
    index = np.full(65537, len(distinct), np.int64)
    index[distinct] = np.arange(len(distinct))
    texts = pl.Series([*(type_text(code) for code in distinct.tolist()), None], dtype=pl.String)
    return pick(texts, index[codes])
