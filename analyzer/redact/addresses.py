"""Addresses that keep their neighbourhood: two that share a prefix share one afterwards, and nothing else can be told.

Prefix-preserving as Crypto-PAn is (Xu, Fan, Ammar and Moon, ICNP 2002): a bit is turned over or not by a keyed hash of
the bits before it. Kinds of addresses stay: private ones stay in their range, constants such as 169.254.169.254 stay.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

KEPT = tuple(
    ipaddress.ip_network(one)
    for one in (
        *("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"),
        *("::/127", "ff00::/8", "fd00:ec2::254/128"),
    )
)
"""Loopback, link-local with the metadata services of the clouds, multicast and reserved: they name nobody."""

WITHIN = tuple(
    ipaddress.ip_network(one)
    for one in ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10")
)
"""Ranges of their own (RFC 1918, 6598, 4193, 4291): their prefix says what kind of address it is, and stays."""


class AddressCipher:
    """A permutation of each range of addresses under one key. Without the key it cannot be undone."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._flip = lru_cache(maxsize=1 << 16)(self._flipped)

    def __call__(self, address: Address) -> Address:
        """The address that stands for this one."""
        mine = [net for net in (*KEPT, *WITHIN) if net.version == address.version]
        home = next((net for net in mine if address in net), None)
        if home in KEPT:
            return address
        made = self._permuted(address, home.prefixlen if home else 0)
        while home is None and any(made in net for net in mine):  # walking on keeps it a permutation of what is left
            made = self._permuted(made, 0)
        return made

    def _permuted(self, address: Address, kept: int) -> Address:
        width, value = address.max_prefixlen, int(address)
        for bit in range(kept, width):
            shift = width - bit
            value ^= self._flip(address.version, bit, int(address) >> shift) << (shift - 1)
        return type(address)(value)

    def _flipped(self, version: int, length: int, prefix: int) -> int:
        told = f"{version}/{length}/{prefix:x}".encode()
        return hmac.new(self._key, told, hashlib.sha256).digest()[0] & 1
