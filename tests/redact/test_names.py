"""What is hidden, what stays, and that everything comes back."""

from __future__ import annotations

import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.errors import InputError
from analyzer.redact.names import Map, Names, new_map, read_map, shown_again, write_map

KEY = bytes(range(32)).hex()


def hidden(text: str, **known: str) -> tuple[str, Map]:
    kept = Map(key=KEY)
    return Names(kept, known).hide(text), kept


@pytest.mark.parametrize(
    "text",
    [
        "1,088 of 1,834 requests were rejected with 429 in 299 s",
        "2026-11-17 13:31:00.103 to 13:35:59.145Z (4 min 59 s), confidence high",
        "6.88 GiB a day, 15.4 MB, 99.5 %, 1.5x, 10ms",
        "frame 48211 of the capture",
        "kubernetes.default.svc.cluster.local and kube-system/coredns on 169.254.169.254 or 127.0.0.1",
        "audit-2026-11-17T13-33-40.118.log.gz",
    ],
)
def test_numbers_times_words_of_the_program_and_names_of_every_cluster_stay(text: str) -> None:
    assert hidden(text)[0] == text


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("from acmepay, which", r"from name-x1, which"),
        ("acmepay/acme-api-vq9l8fbmb-2phr8", r"name-x1/name-x2"),
        ("api.acmepay.com.acmens.svc.cluster.local", r"name-x1\.name-x2\.com\.name-x3\.svc\.cluster\.local"),
        ("system:serviceaccount:acmepay:robot9", r"system:serviceaccount:name-x1:name-x2"),
        ('{"auditID":"041cb89d-11ff-4ed6-bf7a-65510912cd25"}', r'\{"auditID":"uid-x1"\}'),
        ("sha256 0219ad1014bf4ee0d160", "sha256 hex-x1"),
        ("src=0a:58:0a:f4:21:08 dst", "src=mac-x1 dst"),
        ("by 10.244.33.8:53 and", r"by 10\.\d+\.\d+\.\d+:53 and"),
        ("dns-search-chain:10.244.33.8", r"dns-search-chain:10\.\d+\.\d+\.\d+"),
        ("dns-search-chain:2001:db8::7", r"dns-search-chain:[0-9a-f:]+"),
        ("[2001:db8::7]:53", r"\[[0-9a-f:]+\]:53"),
        ("ip-10-0-12-33.acmezone.internal", r"ip-10-\d+-\d+-\d+\.name-x1\.internal"),
        ("kunde-größe-7", "name-x1"),
        ("123456789012.dkr.ecr.eu-acme-1.amazonaws.com", r"hex-x1\.name-x1\.name-x2\.name-x3\.name-x4\.com"),
        ("arn:aws:iam::123456789012:role", r"arn:aws:iam::hex-x1:role"),
        ("010.001.002.003", "address-x1"),
        ("10.1.2.3-8080", "address-x1"),
        ("src=v10.1.2.3", "src=address-x1"),
        ("acmeip.10.1.2.3.acme.io", r"name-x1\.address-x1\.name-x2\.io"),
        ("127.2.1.10.in-addr.arpa", r"address-x1\.in-addr\.arpa"),
        ("b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa", r"address-x1\.ip6\.arpa"),
        ("１０.１.２.３", "address-x1"),
        ("acme🔥payments", "name-x1"),
        ("kunde-gro\u0308\u00dfe", "name-x1"),
        ("मुंबई", "name-x1"),
    ],
)
def test_everything_else_is_hidden(text: str, pattern: str) -> None:
    made, kept = hidden(text)
    assert re.fullmatch(pattern, made)
    assert made != text
    assert shown_again(made, kept) == text


def test_a_name_that_tables_tell_is_hidden_even_if_it_is_a_common_word() -> None:
    made, kept = hidden("pods of search are in search", search="ns")
    assert made == "pods of ns-x1 are in ns-x1"
    assert kept.tokens == {"ns-x1": "search"}


def test_a_dotted_name_is_hidden_where_a_label_of_it_is_known_even_if_the_whole_is_a_word_of_the_program() -> None:
    text, _ = hidden("basket.shop and registry.example.com", shop="ns", example="ns")
    assert "shop" not in text
    assert "example" not in text


@pytest.mark.parametrize("zone", ["7.10", "0.7.10", "9.0.7.10"])
def test_a_reverse_zone_does_not_tell_its_network(zone: str) -> None:
    text, names = hidden(f"{zone}.in-addr.arpa.")
    assert re.fullmatch(r"address-x1\.in-addr\.arpa\.", text)
    assert shown_again(text, names) == f"{zone}.in-addr.arpa."


def test_neither_does_one_of_the_sixth_version() -> None:
    text, _ = hidden("8.b.d.0.1.0.0.2.ip6.arpa. and b.d.0.1.0.0.2.ip6.arpa.")
    assert re.fullmatch(r"address-x1\.ip6\.arpa\. and address-x2\.ip6\.arpa\.", text)


def test_a_node_is_the_same_by_its_short_and_its_long_name() -> None:
    made, _ = hidden("ip-10-0-12-33 is ip-10-0-12-33.ec2.internal at 10.0.12.33")
    short, long, address = re.fullmatch(r"(\S+) is (\S+)\.name-x1\.internal at (\S+)", made).groups()  # type: ignore[union-attr]
    assert short == long == "ip-" + address.replace(".", "-")


def test_a_token_that_stands_in_the_text_already_is_not_used() -> None:
    kept = Map(key=KEY)
    made = Names(kept, {}, frozenset({"name-x1"})).hide("name-x1 acmepay")
    assert "name-x2" in made
    assert shown_again(made, kept) == "name-x1 acmepay"


def test_two_spellings_of_an_address_come_back_as_they_were() -> None:
    text = "2001:DB8::7 and 2001:db8::7"
    made, kept = hidden(text)
    assert shown_again(made, kept) == text


def test_a_token_or_an_address_that_a_form_has_cut_is_not_taken_for_another() -> None:
    kept = Map(key=KEY)
    names = Names(kept, {})
    made = names.hide(" ".join(f"acme{n}" for n in range(1, 13)))
    assert shown_again(made[:-1] + "…", kept) == " ".join(f"acme{n}" for n in range(1, 12)) + " name-xx1…"
    of_eleven = "10.1.2.3"
    kept.addresses |= {"10.9.9.1": of_eleven, "10.9.9.11": "10.1.2.4"}
    assert shown_again("10.9.9.1… 10.9.9.1 10.9.9.11…", kept) == "10.9.9.1… 10.1.2.3 10.1.2.4…"


def test_an_address_and_port_after_a_colon_come_back() -> None:
    made, kept = hidden("egress-identity-change:203.0.113.140:5432")
    assert shown_again(made, kept) == "egress-identity-change:203.0.113.140:5432"


def test_escaped_line_breaks_before_a_name_or_an_address_do_no_harm() -> None:
    made, kept = hidden("a\nacmepay\n10.0.0.7\nfd12::7")
    assert shown_again(made.replace("\n", "\\n"), kept) == "a\\nacmepay\\n10.0.0.7\\nfd12::7"


@pytest.mark.parametrize("address", ["10.0.0.7", "fd00::7", "ip-10-0-0-7"])
def test_an_escaped_character_before_an_address_does_no_harm(address: str) -> None:
    text, names = hidden(f"a\u2028{address} b\x9b{address}")
    for form in (text, json.dumps(text), text.encode("unicode_escape").decode()):
        assert shown_again(form, names).count(address) == 2


@given(st.text(alphabet=st.sampled_from(" .:-/_\"'=,ax1029fé\n\\"), max_size=60))
def test_every_text_comes_back(text: str) -> None:
    kept = Map(key=KEY)
    taken = frozenset(re.findall(r"name-x\d+", text))
    assert shown_again(Names(kept, {}, taken).hide(text), kept) == text


@pytest.mark.parametrize(
    "text", ["1" * 20_000 + ".a", "a:" * 20_000 + "g", "a." * 20_000 + "zz", "1.2.3." * 5_000 + "x"]
)
def test_the_work_is_linear_in_the_text(text: str) -> None:
    start = time.process_time()
    hidden_text, names = hidden(text)
    assert shown_again(hidden_text, names) == text
    assert time.process_time() - start < 5, "what goes through it again and again takes a minute"


def test_a_map_is_used_again() -> None:
    kept = Map(key=KEY)
    first = Names(kept, {}).hide("acmepay 10.0.0.7")
    again = read_map(write_map(kept))
    assert Names(again, {}).hide("10.0.0.7 zeta9 acmepay") == f"{first.split()[1]} name-x2 name-x1"


def test_maps_have_keys_of_their_own() -> None:
    assert len({new_map().key for _ in range(8)}) == 8


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b'{"key": "zz"}', b'{"key": "00"}', b'{"schema": "x", "key": "' + KEY.encode() + b'"}', b"\xff"],
)
def test_what_is_no_map_is_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="not a map of names"):
        read_map(data)
