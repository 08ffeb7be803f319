"""Which network addresses a job may talk to, and the one place that resolves a host name for it.

Stands between `http.request` and the network: a name is resolved ONCE, every answer is judged, and the caller
connects to exactly the judged addresses. A name with a single forbidden answer is refused whole, so that
neither DNS rebinding nor a mixed answer reaches an inside service. Nothing here opens a connection.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "Address",
    "AddressPolicy",
    "AddressRefused",
    "Endpoint",
    "NameNotResolved",
    "Network",
    "Resolver",
    "resolve",
    "system_resolver",
]

_ip = ipaddress.ip_address
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Spelled out instead of `ipaddress.is_global`: its answer changed between patch releases of Python
# (CVE-2024-4032).
_REFUSED_V4: tuple[tuple[str, str], ...] = (
    ("0.0.0.0/8", "unspecified or this network"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared (carrier-grade NAT)"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "reserved (protocol assignments)"),
    ("192.0.2.0/24", "documentation"),
    ("192.31.196.0/24", "reserved (AS112)"),
    ("192.52.193.0/24", "reserved (AMT)"),
    ("192.88.99.0/24", "reserved (6to4 relay)"),
    ("192.168.0.0/16", "private"),
    ("192.175.48.0/24", "reserved (AS112)"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved or broadcast"),
)
# Outside 2000::/3 there is no public IPv6 address, so the list names the classes there only for the sake of
# the reason.
_REFUSED_V6: tuple[tuple[str, str], ...] = (
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("::ffff:0:0/96", "IPv4-mapped"),
    ("::/96", "IPv4-compatible"),
    ("64:ff9b::/96", "NAT64"),
    ("64:ff9b:1::/48", "NAT64"),
    ("100::/64", "discard-only"),
    ("2001::/32", "Teredo"),
    ("2001::/23", "reserved (protocol assignments)"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "6to4"),
    ("2620:4f:8000::/48", "reserved (AS112)"),
    ("3fff::/20", "documentation"),
    ("fc00::/7", "private (unique local)"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
)
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
# Cloud metadata services hand out credentials. One of them (Azure) has a public address, and none is opened
# by listing a wide network: only an entry that names exactly this address does.
_METADATA = frozenset(
    _ip(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
    )
) | frozenset(_ip(text) for text in ("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"))

_REFUSED: dict[int, tuple[tuple[Network, str], ...]] = {
    4: tuple((ipaddress.IPv4Network(net), why) for net, why in _REFUSED_V4),
    6: tuple((ipaddress.IPv6Network(net), why) for net, why in _REFUSED_V6),
}


class AddressRefused(Exception):
    """The host has an address that jobs may not talk to. `reason` is the class of the address."""

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(
            f"{host} has an address that is refused: {reason} (see OPSCHED['HTTP_ALLOW_NETWORKS'])"
        )
        self.host, self.reason = host, reason


class NameNotResolved(Exception):
    """The name server gave no address for the host, or none in time. Worth another try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One judged address to connect to: what `socket.connect` takes, with no name in it."""

    family: int
    sockaddr: tuple[Any, ...]  # (address, port), for IPv6 also flow and scope


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Public addresses, and the networks the settings allow besides."""

    allowed: tuple[Network, ...] = ()

    def refusal(self, address: Address) -> str | None:
        """Why the address is refused; None when a job may connect to it."""
        if self._listed(address):
            return None
        if address in _METADATA:
            return "cloud metadata service"
        for network, reason in _REFUSED[address.version]:
            if address in network:
                return reason
        if isinstance(address, ipaddress.IPv6Address) and address not in _PUBLIC_V6:
            return "not global unicast"
        return None

    def _listed(self, address: Address) -> bool:
        exact = address in _METADATA
        return any(
            address in network and (not exact or network.num_addresses == 1)
            for network in self.allowed
            if network.version == address.version
        )


Resolver = Callable[[str, int], Sequence[Endpoint]]


def resolve(
    host: str, port: int, *, policy: AddressPolicy, timeout: float, resolver: Resolver | None = None
) -> tuple[Endpoint, ...]:
    """The addresses of `host`, asked for once and all of them permitted.

    Raises AddressRefused when any of them is not, NameNotResolved when there is none within `timeout`
    seconds.
    """
    endpoints = _in_time(resolver or system_resolver, host, port, timeout)
    if not endpoints:
        raise NameNotResolved(f"{host} has no address")
    for endpoint in endpoints:
        reason = policy.refusal(_ip(endpoint.sockaddr[0].partition("%")[0]))
        if reason is not None:
            raise AddressRefused(host, reason)
    return tuple(dict.fromkeys(endpoints))


def system_resolver(host: str, port: int) -> list[Endpoint]:
    """Ask the operating system. Hosts that are numbers ("0x7f.1") come back as the address they mean."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NameNotResolved(f"{host}: {error}") from error
    return [Endpoint(family=family, sockaddr=sockaddr) for family, _kind, _proto, _name, sockaddr in found]


def _in_time(resolver: Resolver, host: str, port: int, timeout: float) -> Sequence[Endpoint]:
    """Run the resolver in a thread of its own: getaddrinfo has no time limit and can outlast the job's."""
    answer: list[Sequence[Endpoint]] = []
    failure: list[NameNotResolved] = []

    def ask() -> None:
        try:
            answer.append(resolver(host, port))
        except NameNotResolved as error:
            failure.append(error)

    thread = threading.Thread(target=ask, name=f"resolve {host[:40]}", daemon=True)
    thread.start()
    thread.join(max(timeout, 0.0))
    if failure:
        raise failure[0]
    if not answer:
        raise NameNotResolved(f"{host}: no answer from the name server within {timeout:.1f} s")
    return answer[0]
