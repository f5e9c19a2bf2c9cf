"""One pass over a text: addresses become other addresses, names become tokens, and both come back by the map.

Whatever is neither a number nor a word of this program is taken for a name, so one that nobody thought of is hidden
too.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from bisect import bisect_right
from collections.abc import Mapping

import msgspec

from analyzer.errors import InputError
from analyzer.redact.addresses import Address, AddressCipher
from analyzer.redact.words import ATOM, PUBLIC, is_plain, is_quantity

SCHEMA = "analyzer-names/1"
CUT = "…"
"""What stands where a form leaves out the rest of a text."""
KEY_BYTES = 32

_V4 = r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d|\.(?i:in-addr))"  # there it is the other way round
_GROUPS = r"(?:[0-9A-Fa-f]{1,4}:(?=[0-9A-Fa-f.]{0,15}:)|::)[0-9A-Fa-f:.]{0,44}[0-9A-Fa-f:](?!\w|:\w|\.\d)"
"""An address has 45 characters at most (RFC 4291, section 2.2), so no run of groups is gone through again and again."""
_V6 = rf"(?<![\w.-]){_GROUPS}"
_MAC = r"(?<![\w:-])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![\w:-])"
_PIECE = re.compile(f"(?P<mac>{_MAC})|(?P<address>{_V4}|{_V6})|{ATOM.pattern}")
_LABELS = re.compile(r"([^.]+)")
_ATOMS = re.compile(f"({ATOM.pattern})")
_DASHED = re.compile(r"(?P<head>ip-|)(?P<bytes>\d{1,3}(?:-\d{1,3}){3})")
_NUMBERS = re.compile(
    r"(?<!\d)\d++(?:\.\d++){3,}+|(?<![^.])[0-9a-f](?:\.[0-9a-f](?![^.])){7,}+"
    r"|(?<![^.])\d++(?:\.\d++)*+(?=\.in-addr\.arpa)|(?<![^.])[0-9a-f](?:\.[0-9a-f](?![^.]))*+(?=\.ip6\.arpa)",
    re.IGNORECASE,
)
"""An address inside a name, in whatever spelling, and a reverse zone of any length (RFC 1035, RFC 3596)."""
_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
KINDS = "ns", "pod", "container", "node", "user", "object", "agent", "uid", "hex", "mac", "address", "name"
TOKEN = re.compile(rf"(?:{'|'.join(KINDS)})-x+\d+")
"""What stands for a name: an x for each digit, so that none is the beginning of another where a form cuts a text. It
has none of the characters that a form escapes, so it is found again in each of them."""

_ESCAPE = r"(?<=\\x[0-9a-f]{2})|(?<=\\u[0-9a-f]{4})"
_BACK = re.compile(
    rf"(?P<token>{TOKEN.pattern}|(?:ip-)?(?:(?<!\d)|{_ESCAPE})\d{{1,3}}(?:-\d{{1,3}}){{3}}(?!\d))"
    rf"|(?P<address>(?:(?<![\d.-])|{_ESCAPE})(?:\d{{1,3}}\.){{3}}\d{{1,3}}(?![\d-]|\.\d)"
    rf"|(?:(?<![0-9A-Fa-f.])(?<!::)|{_ESCAPE}){_GROUPS})"
)
"""An escape, `\\n` or `\\u2028`, may stand right before a token or an address."""

_BARE = re.compile(rf"(?:(?<![\d.-])|{_ESCAPE})(?:\d{{1,3}}\.){{3}}\d{{1,3}}(?![\d-]|\.\d)")
"""In `change:10.0.0.7:53` what looks like IPv6 begins with the e."""

_HEX = re.compile(r"[0-9a-f]{12,}", re.IGNORECASE)


class Map(msgspec.Struct, kw_only=True):
    """What undoes a redaction: private. `tokens` and `addresses` lead from what stands in the report to what it was."""

    schema: str = SCHEMA
    key: str
    tokens: dict[str, str] = {}
    addresses: dict[str, str] = {}


class Names:
    """Replaces, and remembers what by what. `known` names kinds: a name in it is hidden even if it is a common word."""

    def __init__(self, kept: Map, known: Mapping[str, str], taken: frozenset[str] = frozenset()) -> None:
        self.map = kept
        self._cipher = AddressCipher(bytes.fromhex(kept.key))
        self._known = known
        self._taken = taken
        self._token = {original: token for token, original in kept.tokens.items()}
        self._next: dict[str, int] = {}

    def hide(self, text: str) -> str:
        """The text without names."""
        return _PIECE.sub(self._piece, text)

    def _piece(self, found: re.Match[str]) -> str:
        if found["address"] and (address := _parsed(found["address"])) is not None:
            return self._address(found["address"], address)
        if found["mac"]:  # made of the pod's address by some network plugins
            return self._named(found["mac"], "mac")
        return "".join(self._atom(part) if i % 2 else part for i, part in enumerate(_ATOMS.split(found[0])))

    def _address(self, text: str, address: Address) -> str:
        made = str(self._cipher(address))
        if self.map.addresses.setdefault(made, text) == text:
            return made
        return self._named(text, "address")  # another spelling of the same address

    def _atom(self, atom: str) -> str:
        """A dotted name label by label, so that its domains can still be told apart."""
        if "." not in atom:
            return self._label(atom, within_name=False)
        if is_plain(atom) and self._known.keys().isdisjoint((atom, *atom.split("."))):
            return atom
        labels, at = [], 0
        for found in _NUMBERS.finditer(atom):
            start = max(at, atom.rfind(".", 0, found.start()) + 1)
            dot = atom.find(".", found.end())
            end = dot if dot >= 0 else len(atom)
            if start < end:
                labels += [*self._labels(atom[at:start]), self._named(atom[start:end], "address")]
                at = end
        return "".join([*labels, *self._labels(atom[at:])])

    def _labels(self, name: str) -> list[str]:
        return [self._label(part, within_name=True) if i % 2 else part for i, part in enumerate(_LABELS.split(name))]

    def _label(self, label: str, *, within_name: bool) -> str:
        if label in PUBLIC:
            return label
        if (dashed := _DASHED.fullmatch(label)) and (address := _parsed(dashed["bytes"].replace("-", "."))):
            made = dashed["head"] + str(self._cipher(address)).replace(".", "-")
            if self.map.tokens.setdefault(made, label) == label:
                return made
        kind = self._known.get(label)
        if kind is None and (is_quantity(label) if within_name else is_plain(label)):
            return label
        return self._named(
            label, kind or ("uid" if _UID.fullmatch(label) else "hex" if _HEX.fullmatch(label) else "name")
        )

    def _named(self, atom: str, kind: str) -> str:
        if atom not in self._token:
            number = self._next.get(kind, 1)
            while (token := f"{kind}-{'x' * len(str(number))}{number}") in self._taken or token in self.map.tokens:
                number += 1
            self._next[kind] = number + 1
            self._token[atom] = token
            self.map.tokens[token] = atom
        return self._token[atom]


def shown_again(text: str, kept: Map) -> str:
    """The text, in whatever form, with the names that the map knows; one pass.

    Where a form has cut a text, an address that may be the beginning of another one is left.
    """
    every = sorted([*kept.tokens, *kept.addresses])

    def cut(whole: str, end: int) -> bool:
        after = every[(at := bisect_right(every, whole)) : at + 1]
        return text.startswith(CUT, end) and bool(after) and after[0].startswith(whole)

    def back(found: re.Match[str]) -> str:
        whole = found[0]
        if cut(whole, found.end()):
            return whole
        if found["token"]:
            return kept.tokens.get(whole, whole)
        if whole in kept.addresses:
            return kept.addresses[whole]
        return _BARE.sub(lambda bare: kept.addresses.get(bare[0], bare[0]), whole)

    return _BACK.sub(back, text)


def new_map() -> Map:
    """A map with a key of its own."""
    return Map(key=secrets.token_hex(KEY_BYTES))


def read_map(data: bytes) -> Map:
    """The map that was written. Raises InputError where it is none."""
    try:
        made = msgspec.json.decode(data, type=Map)
        if made.schema != SCHEMA or len(bytes.fromhex(made.key)) != KEY_BYTES:
            raise InputError(f"not a map of names: schema {made.schema[:40]!r} or its key is not of this tool")
    except (msgspec.DecodeError, ValueError) as error:
        raise InputError("not a map of names; give the file that --redact wrote") from error
    return made


def write_map(kept: Map) -> bytes:
    """As JSON, sorted, ending in a newline."""
    return msgspec.json.format(msgspec.json.encode(kept, order="sorted"), indent=1) + b"\n"


def _parsed(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
