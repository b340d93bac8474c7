"""Addresses of this machine: which one to listen on, and whether it leaves the machine."""
from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct

from .errors import JobError

SIOCGIFADDR = 0x8915  # linux/sockios.h: the IPv4 address of an interface


def is_loopback(name: str) -> bool:
    """Whether an address, host name or interface only reaches this machine."""
    if name in ("localhost", "lo", ""):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def address_of(interface: str) -> str:
    """The IPv4 address of an interface (eth0); an address or host name is returned as it is.

    Raises JobError where there is no such interface, or it has no address.
    """
    names = [name for _, name in socket.if_nameindex()]
    if interface not in names:
        try:
            return socket.getaddrinfo(interface, None, socket.AF_INET)[0][4][0]  # type: ignore[return-value]
        except OSError:
            raise JobError(f"interface: {interface!r} is no interface, address or host known here; interfaces are "
                           f"{', '.join(names)}") from None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("256s", interface.encode()[:15])
        try:
            return socket.inet_ntoa(fcntl.ioctl(probe.fileno(), SIOCGIFADDR, request)[20:24])
        except OSError as error:
            raise JobError(f"interface: {interface!r} has no IPv4 address ({error.strerror}); choose another") from None


def route_to(address: str, port: int) -> str:
    """The address of this machine that reaches another one: where that one can reach this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, port or 1))     # a datagram socket only chooses a route
        except OSError as error:
            raise JobError(f"address: no route to {address!r}: {error.strerror or error}") from None
        return probe.getsockname()[0]
