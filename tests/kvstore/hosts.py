"""Machines made of network namespaces on one machine: a bridge, a link for each, shaped or cut at will."""
import contextlib
import itertools
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mxdl.kvstore.launch_hosts import Host

_numbers = itertools.count()


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True, timeout=20)


class Hosts:
    """`count` namespaces; `address` is this machine's on their network, `ssh` a program that runs commands in one."""

    def __init__(self, count: int, folder: Path):
        mark = f"{os.getpid() % 10000}{next(_numbers)}"
        self.bridge = f"kvb{mark}"
        self.names = [f"kv{mark}h{number}" for number in range(count)]
        self.links = [f"kv{mark}v{number}" for number in range(count)]
        self.network = f"10.{88 + os.getpid() % 100}.{next(_numbers) % 250}"
        self.address = f"{self.network}.1"
        self.ssh = folder / "ssh"
        self.ssh.write_text('#!/bin/sh\nhost=$1\nshift\nexec ip netns exec "$host" sh -c "$*"\n')
        self.ssh.chmod(self.ssh.stat().st_mode | stat.S_IXUSR)

    @property
    def hosts(self) -> list[Host]:
        return [Host(name) for name in self.names]

    def make(self) -> None:
        _run("ip", "link", "add", self.bridge, "type", "bridge")
        _run("ip", "addr", "add", f"{self.address}/24", "dev", self.bridge)
        _run("ip", "link", "set", self.bridge, "up")
        for number, (name, link) in enumerate(zip(self.names, self.links, strict=True)):
            _run("ip", "netns", "add", name)
            _run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
            _run("ip", "link", "set", link, "master", self.bridge, "up")
            self.inside(name, "ip", "addr", "add", f"{self.network}.{10 + number}/24", "dev", "eth0")
            self.inside(name, "ip", "link", "set", "eth0", "up")
            self.inside(name, "ip", "link", "set", "lo", "up")

    def inside(self, name: str, *words: str) -> None:
        _run("ip", "netns", "exec", name, *words)

    def shape(self, rate: str) -> None:
        """Limits both directions of every link: 1gbit, 100mbit."""
        for name, link in zip(self.names, self.links, strict=True):
            for place, device in ((["tc"], link), (["ip", "netns", "exec", name, "tc"], "eth0")):
                _run(*place, "qdisc", "replace", "dev", device, "root", "tbf", "rate", rate, "burst", "256kb",
                     "latency", "50ms")

    def lose(self, percent: int) -> None:
        """Every machine loses so many of the packets that come to it, at random; skips the test where nft cannot."""
        rules = ("add table inet loss; add chain inet loss in { type filter hook input priority 0; policy accept; }; "
                 f"add rule inet loss in iifname eth0 numgen random mod 100 < {percent} counter drop")
        try:
            for name in self.names:
                self.inside(name, "nft", rules)
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no random loss by nft here: {getattr(error, 'stderr', None) or error}")

    def lost(self) -> int:
        """Packets lost so far, on all machines."""
        told = [subprocess.run(["ip", "netns", "exec", name, "nft", "list", "ruleset"], check=True, capture_output=True,
                               text=True, timeout=20).stdout for name in self.names]
        return sum(int(text.split("counter packets ")[1].split()[0]) for text in told)

    def cut(self, number: int) -> None:
        """Takes the link of one machine down."""
        _run("ip", "link", "set", self.links[number], "down")

    def remove(self) -> None:
        for words in (*(("netns", "del", name) for name in self.names), ("link", "del", self.bridge)):
            subprocess.run(["ip", *words], capture_output=True, timeout=20)


@contextlib.contextmanager
def namespaced(count: int, folder: Path) -> Iterator[Hosts]:
    """Hosts, or a skipped test where this machine does not allow them."""
    if os.geteuid() or not shutil.which("ip") or not shutil.which("tc"):
        pytest.skip("network namespaces need root, ip and tc")
    hosts = Hosts(count, folder)
    try:
        try:
            hosts.make()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces are not permitted here: {error.stderr.strip()}")
        yield hosts
    finally:
        hosts.remove()
