"""Addresses keep their neighbourhood and their kind, and nothing else."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.redact.addresses import KEPT, WITHIN, AddressCipher

CIPHER = AddressCipher(bytes(range(32)))
V4 = st.integers(0, 2**32 - 1).map(IPv4Address)


def common(left: int, right: int, width: int) -> int:
    return width - (left ^ right).bit_length()


@given(st.integers(0, 2**24 - 1), st.integers(0, 2**24 - 1))
def test_two_private_addresses_share_as_long_a_prefix_as_before(a: int, b: int) -> None:
    base = int(IPv4Address("10.0.0.0"))
    before = IPv4Address(base + a), IPv4Address(base + b)
    left, right = (int(CIPHER(one)) for one in before)
    assert common(left, right, 32) == common(int(before[0]), int(before[1]), 32)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_so_do_two_of_the_sixth_version(a: int, b: int) -> None:
    base = int(IPv6Address("2001:db8::"))
    left, right = IPv6Address(base + a), IPv6Address(base + b)
    assert common(int(CIPHER(left)), int(CIPHER(right)), 128) == common(int(left), int(right), 128)


@given(V4)
def test_an_address_stays_in_its_range_and_a_public_one_stays_public(address: IPv4Address) -> None:
    made = CIPHER(address)
    homes = [net for net in (*KEPT, *WITHIN) if net.version == 4]
    assert [made in net for net in homes] == [address in net for net in homes]


def test_no_two_addresses_become_one() -> None:
    for net in ("10.1.2.0/23", "192.168.0.0/23", "100.64.0.0/23", "9.255.255.0/24", "223.255.254.0/23"):
        before = list(IPv4Network(net))
        assert len({CIPHER(one) for one in before}) == len(before)


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "127.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.251", "::1", "fd00:ec2::254"]
)
def test_what_names_nobody_stays(address: str) -> None:
    assert CIPHER(ip_address(address)) == ip_address(address)


def test_another_key_gives_another_permutation() -> None:
    other = AddressCipher(bytes(32))
    changed = [one for one in IPv4Network("10.9.0.0/24") if CIPHER(one) != other(one)]
    assert len(changed) > 200
    assert all(CIPHER(one) in ip_network("10.0.0.0/8") for one in changed)
