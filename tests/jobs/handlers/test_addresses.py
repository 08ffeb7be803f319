"""The judgement of addresses, class by class, and the resolver that is asked once."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.handlers.addresses import (
    AddressPolicy,
    AddressRefused,
    Endpoint,
    NameNotResolved,
    resolve,
    system_resolver,
)

REFUSED = {
    "0.0.0.0": "unspecified",
    "0.1.2.3": "unspecified",
    "10.0.0.1": "private",
    "10.255.255.255": "private",
    "100.64.0.1": "carrier-grade",
    "100.127.255.255": "carrier-grade",
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "169.254.0.1": "link-local",
    "169.254.169.254": "metadata",
    "169.254.170.2": "metadata",
    "168.63.129.16": "metadata",
    "100.100.100.200": "metadata",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.0.0.8": "protocol",
    "192.0.0.192": "metadata",
    "192.0.2.1": "documentation",
    "192.88.99.1": "6to4",
    "192.168.1.1": "private",
    "198.18.0.1": "benchmarking",
    "198.19.255.255": "benchmarking",
    "198.51.100.1": "documentation",
    "203.0.113.1": "documentation",
    "224.0.0.1": "multicast",
    "239.255.255.255": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "reserved",
    "::": "unspecified",
    "::1": "loopback",
    "::127.0.0.1": "compatible",
    "::ffff:127.0.0.1": "mapped",
    "::ffff:10.0.0.1": "mapped",
    "::ffff:8.8.8.8": "mapped",
    "64:ff9b::7f00:1": "NAT64",
    "64:ff9b::808:808": "NAT64",
    "64:ff9b:1::a00:1": "NAT64",
    "100::1": "discard",
    "2001::1": "Teredo",
    "2001:0:7f00:1::": "Teredo",
    "2001:10::1": "protocol",
    "2001:db8::1": "documentation",
    "2002:7f00:1::": "6to4",
    "2002:808:808::": "6to4",
    "3fff::1": "documentation",
    "4000::1": "not global",
    "5f00::1": "not global",
    "fc00::1": "private",
    "fd00:ec2::254": "metadata",
    "fd12:3456::1": "private",
    "fe80::1": "link-local",
    "fec0::1": "site-local",
    "ff02::1": "multicast",
}
PUBLIC = [
    *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255"),
    *("128.0.0.0", "169.253.255.255", "172.15.255.255", "172.32.0.0", "192.167.255.255", "223.255.255.255"),
    *("2606:4700::1111", "2a00:1450:4001::1", "2001:4860:4860::8888"),
]


def answers(*addresses: str) -> list[Endpoint]:
    return [
        Endpoint(family=socket.AF_INET6 if ":" in one else socket.AF_INET, sockaddr=(one, 80))
        for one in addresses
    ]


@pytest.mark.parametrize(("address", "reason"), REFUSED.items())
def test_every_address_that_is_not_public_is_refused_with_its_class(address: str, reason: str) -> None:
    said = AddressPolicy().refusal(ipaddress.ip_address(address))
    assert said is not None
    assert reason in said


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_up_to_the_edges_of_the_refused_networks_are_permitted(address: str) -> None:
    assert AddressPolicy().refusal(ipaddress.ip_address(address)) is None


@settings(deadline=None)  # a busy machine is no failure
@given(st.ip_addresses())
def test_what_is_permitted_is_public_for_the_standard_library_too(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if AddressPolicy().refusal(address) is None:
        assert address.is_global
        assert not address.is_multicast


def test_a_listed_network_is_permitted_and_its_neighbours_are_not() -> None:
    policy = AddressPolicy((ipaddress.ip_network("10.1.0.0/16"),))
    assert policy.refusal(ipaddress.ip_address("10.1.2.3")) is None
    assert policy.refusal(ipaddress.ip_address("10.2.0.1")) == "private"
    assert policy.refusal(ipaddress.ip_address("::ffff:10.1.2.3")) == "IPv4-mapped"


def test_a_metadata_address_is_opened_by_its_exact_entry_only() -> None:
    metadata = ipaddress.ip_address("169.254.169.254")
    assert (
        AddressPolicy((ipaddress.ip_network("169.254.0.0/16"),)).refusal(metadata) == "cloud metadata service"
    )
    assert AddressPolicy((ipaddress.ip_network("0.0.0.0/0"),)).refusal(metadata) == "cloud metadata service"
    assert AddressPolicy((ipaddress.ip_network("169.254.169.254/32"),)).refusal(metadata) is None


@pytest.mark.parametrize("bad", ["10.0.0.1", "127.0.0.1", "::1", "fe80::1%eth0", "169.254.169.254"])
def test_one_refused_answer_among_public_ones_refuses_the_name(bad: str) -> None:
    with pytest.raises(AddressRefused, match=r"mixed\.example"):
        resolve(
            "mixed.example",
            80,
            policy=AddressPolicy(),
            timeout=1,
            resolver=lambda *_: answers("8.8.8.8", bad, "1.1.1.1"),
        )


def test_permitted_answers_come_back_in_order_and_once_each() -> None:
    asked: list[tuple[str, int]] = []

    def resolver(host: str, port: int) -> list[Endpoint]:
        asked.append((host, port))
        return answers("8.8.8.8", "1.1.1.1", "8.8.8.8")

    found = resolve("two.example", 80, policy=AddressPolicy(), timeout=1, resolver=resolver)
    assert [endpoint.sockaddr[0] for endpoint in found] == ["8.8.8.8", "1.1.1.1"]
    assert asked == [("two.example", 80)]


@pytest.mark.parametrize(
    "host", ["127.1", "0x7f.1", "2130706433", "0177.0.0.1", "::1", "::ffff:127.0.0.1", "0"]
)
def test_numbers_that_mean_the_loopback_are_refused_as_what_they_mean(host: str) -> None:
    with pytest.raises(AddressRefused):
        resolve(host, 80, policy=AddressPolicy(), timeout=5, resolver=system_resolver)


def test_a_name_server_that_hangs_is_given_up_in_time() -> None:
    released = threading.Event()

    def hang(_host: str, _port: int) -> list[Endpoint]:
        released.wait(30)
        return []

    began = time.monotonic()
    with pytest.raises(NameNotResolved, match="no answer"):
        resolve("slow.example", 80, policy=AddressPolicy(), timeout=0.1, resolver=hang)
    assert time.monotonic() - began < 5
    released.set()


def test_a_name_without_addresses_is_a_failure_of_the_look_up() -> None:
    with pytest.raises(NameNotResolved, match="no address"):
        resolve("none.example", 80, policy=AddressPolicy(), timeout=1, resolver=lambda *_: [])


def test_an_unknown_name_is_a_failure_of_the_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_args: object, **_kw: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(NameNotResolved, match="not known"):
        resolve("unknown.example", 80, policy=AddressPolicy(), timeout=1)
