"""Sums of gradients over workers: mxdl's dist_sync, MXNet 1.9.1's (ps-lite), torch's all-reduce as DDP does it.

    python benchmarks/kvstore.py                         workers of one machine: 2 and 4, three sets of arrays
    python benchmarks/kvstore.py --hosts 2 --workers 2 4 two network namespaces over a 1 Gb/s link (needs root), beside
                                                         plain sockets (`link`), which are what the link can do

Every process of a peer (workers, servers) counts in its CPU time.  Peers take turns, round after round.
"""
from __future__ import annotations

import argparse
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
from contextlib import nullcontext

from harness import PARITY_VARIABLE, ROOT, reference_python, table
from kvstore_hosts import Host, ask, end, two_hosts
from kvstore_peers import CASES

PEERS = ["mxdl", "torch", "mxnet"]
LINK = "link"       # no peer: plain sockets that exchange the bytes, between two hosts
SCRIPT = str(ROOT / "benchmarks/kvstore_peers.py")
TICKS = os.sysconf("SC_CLK_TCK")
WARMUP = 2


class Group:
    """The processes of one peer, ready for one case.  hosts: of each worker."""

    def __init__(self, peer: str, case: str, hosts: list[Host]):
        self.helpers: list[subprocess.Popen] = []
        self.workers: list[subprocess.Popen] = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        python = reference_python() if peer == "mxnet" else sys.executable
        token, size = secrets.token_hex(16), len(hosts)
        if peer == "mxnet":
            for role, host in [("scheduler", hosts[0]), *(("server", host) for host in hosts)]:
                environment = self._environment(host, hosts, port, DMLC_ROLE=role)
                self.helpers.append(subprocess.Popen(host.command([python, "-c", "import mxnet"]), env=environment))
        for rank, host in enumerate(hosts):
            environment = self._environment(
                host, hosts, port, DMLC_ROLE="worker", RANK=rank, WORLD_SIZE=size, MASTER_ADDR=hosts[0].address,
                MASTER_PORT=port, GLOO_SOCKET_IFNAME=host.interface)
            if peer == "mxdl":
                environment = self._environment(
                    host, None, port, MXDL_RANK=rank, MXDL_NUM_WORKERS=size, MXDL_ADDRESS=hosts[0].address,
                    MXDL_PORT=port, MXDL_TOKEN=token, MXDL_HOST=f"host {host.number}", MXDL_TIMEOUT=30)
            self.workers.append(subprocess.Popen(
                host.command([python, SCRIPT, peer, case, str(size)]), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                text=True, env=environment))
        self.walls: list[float] = []
        self.cpus: list[float] = []
        self.right = True

    def _environment(self, host: Host, hosts: list[Host] | None, port: int, **variables) -> dict[str, str]:
        found = dict(os.environ, OMP_NUM_THREADS="1", MXNET_CPU_WORKER_NTHREADS="1")
        if hosts is not None:
            found.update(DMLC_PS_ROOT_URI=hosts[0].address, DMLC_PS_ROOT_PORT=str(port), DMLC_NODE_HOST=host.address,
                         DMLC_NUM_WORKER=str(len(hosts)), DMLC_NUM_SERVER=str(len(hosts)))
        return {**found, **{name: str(value) for name, value in variables.items()}}

    def run(self, counts: bool) -> None:
        """One round: every worker sums once.  counts: whether it is a timed one."""
        before = self._cpu_s()
        answers = ask(self.workers, "run")
        self.right &= all(answer["right"] for answer in answers)
        if counts:
            self.walls.append(max(answer["wall_s"] for answer in answers))
            helpers = [process.pid for process in self.helpers]
            self.cpus.append(sum(answer["cpu_s"] for answer in answers)
                             + sum(now - before[pid] for pid, now in self._cpu_s().items() if pid in helpers))

    def _cpu_s(self) -> dict[int, float]:
        """CPU seconds of the helpers so far, by process."""
        found = {}
        for process in self.helpers:
            fields = open(f"/proc/{process.pid}/stat").read().rpartition(")")[2].split()
            found[process.pid] = (int(fields[11]) + int(fields[12])) / TICKS
        return found

    def result(self) -> dict:
        walls, cpus = [1e3 * wall for wall in self.walls], [1e3 * cpu for cpu in self.cpus]
        return {"ms": statistics.median(walls), "spread_ms": [min(walls), max(walls)], "least_ms": min(walls),
                "cpu_ms": statistics.mean(cpus), "spread_cpu_ms": [min(cpus), max(cpus)], "right": self.right}

    def close(self) -> None:
        end(self.workers, self.helpers)


def compare(case: str, hosts: list[Host], peers: list[str], runs: int) -> dict:
    """{peer: figures}; the peers take turns."""
    groups, results = {}, {}
    try:
        for peer in peers:
            groups[peer] = Group(peer, case, hosts)
        for count in range(-WARMUP, runs):
            for peer in peers:
                sent = hosts[0].sent_bytes() if hosts[0].namespace else 0
                groups[peer].run(counts=count >= 0)
                if hosts[0].namespace:
                    groups[peer].sent = hosts[0].sent_bytes() - sent
        for peer in peers:
            results[peer] = groups[peer].result()
            if hosts[0].namespace:
                results[peer]["sent_over_size"] = groups[peer].sent / (4 * sum(CASES[case]))
    finally:
        for group in groups.values():
            group.close()
    return results


def report(title: str, results: dict) -> None:
    base, floor = results.get("mxnet"), results.get(LINK)
    rows = []
    for peer, one in results.items():
        faster = f"{base['ms'] / one['ms']:.1f}x" if base else "-"
        cpu = f"{base['cpu_ms'] / one['cpu_ms']:.1f}x" if base else "-"
        low, high = one["spread_ms"]
        sent = f"{one['sent_over_size']:.3f}" if "sent_over_size" in one else "-"
        over = f"{one['ms'] / floor['ms']:.3f}" if floor else "-"
        least, most = one["spread_cpu_ms"]
        rows.append([peer, f"{one['ms']:.2f}", f"{low:.2f}-{high:.2f}", faster, over, f"{one['cpu_ms']:.1f}",
                     f"{least:.1f}-{most:.1f}", cpu, sent, "yes" if one["right"] else "NO"])
    table(title, ["peer", "ms", "spread", "MXNet/ms", "ms/link", "CPU ms, all", "spread", "MXNet/CPU", "sent/size",
                  "right"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--peer", nargs="+", choices=[*PEERS, LINK], help="default: all that there are")
    parser.add_argument("--workers", nargs="+", type=int, default=[2, 4])
    parser.add_argument("--hosts", type=int, choices=[1, 2], default=1)
    parser.add_argument("--rate", default="1gbit", help="of the link between two hosts, as tc writes it")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    options.peer = options.peer or [*([LINK] if options.hosts == 2 else []), *PEERS]
    if "mxnet" in options.peer and reference_python() is None:
        print(f"MXNet 1.9.1 IS LEFT OUT: run `make parity-env`, or set {PARITY_VARIABLE}", file=sys.stderr)
        options.peer.remove("mxnet")
    results = {}
    try:
        with two_hosts(options.rate) if options.hosts == 2 else nullcontext([Host(0)]) as hosts:
            for workers in options.workers:
                for case in options.case:
                    places = [hosts[rank * len(hosts) // workers] for rank in range(workers)]
                    title = f"{case}, {workers} workers on {len(hosts)} host(s)"
                    results[title] = compare(case, places, options.peer, options.runs)
                    report(f"{title}; load {os.getloadavg()[0]:.1f}", results[title])
    except PermissionError as error:
        print(f"SKIPPED: {error}", file=sys.stderr)
    if options.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
