"""Pretended machines: network namespaces joined by two virtual interfaces, whose rate `tc` limits (needs root); and a
peer's workers: asking them all, ending them all.

    python benchmarks/kvstore_hosts.py   ResNet-50's gradients between two hosts over 1 Gb/s, one and two workers each:
                                         the link itself, mxdl, torch, MXNet; `kvstore.py`'s arguments may follow
"""
from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager


class Host:
    """Where commands run.  namespace: "" is this machine itself."""

    def __init__(self, number: int, namespace: str = "", address: str = "127.0.0.1", interface: str = "lo"):
        self.number, self.namespace, self.address, self.interface = number, namespace, address, interface

    def command(self, arguments: list[str]) -> list[str]:
        return ["ip", "netns", "exec", self.namespace, *arguments] if self.namespace else arguments

    def sent_bytes(self) -> int:
        """Bytes that left through the interface, headers included."""
        path = f"/sys/class/net/{self.interface}/statistics/tx_bytes"
        return int(subprocess.run(self.command(["cat", path]), capture_output=True, text=True, check=True).stdout)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@contextmanager
def two_hosts(rate: str = "1gbit"):
    """Two namespaces with one link of `rate` each way.

    Raises PermissionError where this user may not make namespaces or shape links.
    """
    hosts = [Host(number, f"mxdl-bench-{number}", f"10.77.0.{number + 1}", f"mxdlb{number}") for number in range(2)]
    try:
        try:
            for host in hosts:
                _ip("netns", "add", host.namespace)
            _ip("link", "add", hosts[0].interface, "netns", hosts[0].namespace, "type", "veth", "peer", "name",
                hosts[1].interface, "netns", hosts[1].namespace)
            for host in hosts:
                _ip("-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", host.interface)
                _ip("-n", host.namespace, "link", "set", host.interface, "up")
                _ip("-n", host.namespace, "link", "set", "lo", "up")
                subprocess.run(host.command(["tc", "qdisc", "add", "dev", host.interface, "root", "tbf", "rate", rate,
                                             "burst", "256kb", "latency", "100ms"]), check=True, capture_output=True)
        except (subprocess.CalledProcessError, FileNotFoundError) as error:
            raise PermissionError(f"two hosts: no namespaces or no shaped links here: "
                                  f"{getattr(error, 'stderr', None) or error}") from error
        yield hosts
    finally:
        for host in hosts:
            subprocess.run(["ip", "netns", "del", host.namespace], capture_output=True)


def ask(workers: list[subprocess.Popen], what: str) -> list[dict]:
    """What each worker answers, all being asked at once.  Raises RuntimeError where one ended."""
    for worker in workers:
        worker.stdin.write(what + "\n")
        worker.stdin.flush()
    answers = [json.loads(worker.stdout.readline() or '{"dead": 1}') for worker in workers]
    if any("dead" in answer for answer in answers):
        raise RuntimeError("a worker ended; its error is above")
    return answers


def end(workers: list[subprocess.Popen], helpers: list[subprocess.Popen]) -> None:
    """Lets the workers end, which read no more, and after them the helpers; kills whoever takes 20 s."""
    for worker in workers:
        worker.stdin.close()
    for process in [*workers, *helpers]:
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


if __name__ == "__main__":
    import kvstore  # which imports this file
    sys.argv[1:1] = ["--hosts", "2", "--workers", "2", "4", "--case", "resnet50", "--runs", "15"]
    kvstore.main()
