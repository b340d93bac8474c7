"""How training scales over machines: simulated from a model of links and the compute of a net, checked against runs.

    python benchmarks/kvstore_scaling.py                 the published table of MXNet on 256 GPUs, simulated
    python benchmarks/kvstore_scaling.py --machines 1000 --net resnet50 --compute-ms 120 --gbps 10
    python benchmarks/kvstore_scaling.py --check         against real runs between two namespaced machines (needs root)

The model.  A transfer of b bytes over a link takes alpha + b / beta.  The backward pass yields the gradients last layer
first; each is summed over a machine's devices on its home device (greedily balanced by bytes), goes over the machine's
one link, and is handed back to the devices.  A device's link and the machine's link carry one transfer at a time; all
overlaps with the rest of the backward pass.  Over the link of a machine among N go, each way,
    all-reduce:          2 b (N - 1) / N,   parameter servers on every machine:  2 b (N - 1) / N
    in 2 (N - 1) rounds of alpha (ring) or 2 rounds (servers).
Not in it: congestion inside switches, garbage collection, slow workers other than `step_ms`.

Fitted for the published table, to its 16-GPU column only: the links' speed inside a machine, and a fixed cost a step;
the columns of 128 and 256 GPUs are predictions.
"""
import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.harness import table  # noqa: E402

MB = 1e6


@dataclass(frozen=True)
class Net:
    """layers: (bytes of the gradient, share of the backward pass), first layer first.   compute_s: of a step alone."""

    name: str
    compute_s: float
    layers: tuple[tuple[float, float], ...]

    @property
    def num_bytes(self) -> float:
        return sum(size for size, _ in self.layers)


@dataclass(frozen=True)
class Links:
    """Seconds and bytes a second: inside a machine (a device's link), between machines.   step_s: fixed cost a step."""

    device_alpha: float = 20e-6
    device_beta: float = 5e9
    alpha: float = 50e-6
    beta: float = 1.25e9
    step_s: float = 0.0


def even(num_bytes: float, count: int, backward: float = 1.0) -> list[tuple[float, float]]:
    return [(num_bytes / count, backward / count)] * count


def net(name: str, compute_s: float) -> Net:
    """The shapes that matter: how large the gradients are and how late each is ready (sizes of the published nets)."""
    layers = {
        "alexnet": [*even(9.9 * MB, 5, 0.9), (151 * MB, 0.06), (67 * MB, 0.03), (16.4 * MB, 0.01)],
        "inception-v3": [*even(87 * MB, 94, 0.99), (8.2 * MB, 0.01)],
        "resnet152": [*even(233 * MB, 155, 0.99), (8.2 * MB, 0.01)],
        "resnet50": [*even(94 * MB, 53, 0.99), (8.2 * MB, 0.01)]}[name]
    return Net(name, compute_s, tuple(layers))


def step_seconds(net: Net, machines: int, devices: int, links: Links, servers: bool = False) -> float:
    """One training step, by playing the transfers through in order."""
    forward = net.compute_s / 3                         # a backward pass costs two forward passes
    ready, home_free, home_bytes, network_free = forward, [0.0] * devices, [0.0] * devices, 0.0
    end = net.compute_s
    rounds = 0 if machines == 1 else 2 if servers else 2 * (machines - 1)
    for size, share in reversed(net.layers):
        ready += share * (net.compute_s - forward)
        home = min(range(devices), key=home_bytes.__getitem__)
        home_bytes[home] += size
        each_way = (devices - 1) * (links.device_alpha + size / links.device_beta)
        home_free[home] = arrived = max(ready, home_free[home]) + each_way
        if machines > 1:
            wire = rounds * links.alpha + 2 * size * (machines - 1) / machines / links.beta
            network_free = arrived = max(arrived, network_free) + wire
        home_free[home] = max(home_free[home], arrived) + each_way
        end = max(end, home_free[home])
    return end + (links.step_s if machines * devices > 1 else 0)


def efficiency(net: Net, machines: int, devices: int, links: Links, servers: bool = False) -> float:
    """Throughput of all devices over that many times the throughput of one."""
    return net.compute_s / step_seconds(net, machines, devices, links, servers)


#: images a second on 1, 16, 128, 256 K80 GPUs (P2.16xlarge, 16 GPUs and 20 Gb/s each; example/image-classification of
#: MXNet 1.5.0), and the batch a GPU that gives a step's seconds
PUBLISHED = {"alexnet": (512, (457.07, 4244, 31334.9, 61938.4)), "inception-v3": (32, (30.4, 447.6, 3416.2, 6661.0)),
             "resnet152": (32, (20.08, 298.0, 2333.5, 4630.4))}
P2_BETA = 20e9 / 8


def published() -> tuple[list[list], dict]:
    """Rows (net, GPUs, published, simulated efficiency), and the fitted links."""
    nets = {name: net(name, batch / speeds[0]) for name, (batch, speeds) in PUBLISHED.items()}

    def loss(links: Links) -> float:
        return sum((efficiency(one, 1, 16, links) - PUBLISHED[name][1][1] / PUBLISHED[name][1][0] / 16) ** 2
                   for name, one in nets.items())
    candidates = [Links(device_beta=beta * 1e9, beta=P2_BETA, step_s=fixed / 1e3)
                  for beta in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 12) for fixed in range(0, 200, 5)]
    links = min(candidates, key=loss)
    rows = []
    for name, one in nets.items():
        speeds = PUBLISHED[name][1]
        for machines, speed in zip((1, 8, 16), speeds[1:], strict=True):
            rows.append([name, 16 * machines, speed / speeds[0] / 16 / machines,
                         efficiency(one, machines, 16, links, servers=True)])
    return rows, {"device_gb_s": links.device_beta / 1e9, "step_ms": links.step_s * 1e3}


# -- against real runs ----------------------------------------------------------------------------------------------
def worker(folder: str, megabytes: float, compute_ms: float) -> None:
    """A worker of `--check`: steps that compute for a while and then sum an array with the others."""
    import torch

    import mxdl as mx
    store = mx.kv.create("dist_sync")
    arrays = {key: torch.ones(int(megabytes * 1e6 / 4 / 8)) for key in range(8)}
    store.init(list(arrays), list(arrays.values()))

    def step() -> float:
        began = time.perf_counter()
        while time.perf_counter() - began < compute_ms / 1e3:
            torch.ones(100, 100) @ torch.ones(100, 100)
        store.pushpull(list(arrays), list(arrays.values()))
        return time.perf_counter() - began
    step()
    times = sorted(step() for _ in range(7))
    if store.rank == 0:
        Path(folder, "seconds").write_text(json.dumps(times))


def check() -> list[list]:
    """Rows (Mb/s, MB, ms measured, ms simulated)."""
    from mxdl.kvstore.launch import Launch, Launcher
    from tests.kvstore.hosts import namespaced
    rows = []
    for rate, megabytes, compute_ms in (("1gbit", 50, 100), ("1gbit", 10, 50), ("200mbit", 10, 100)):
        with tempfile.TemporaryDirectory() as folder, namespaced(2, Path(folder)) as hosts:
            hosts.shape(rate)
            command = [sys.executable, os.path.abspath(__file__), "--worker", folder, str(megabytes), str(compute_ms)]
            Launcher(Launch(command, 2, Path(folder) / "logs", hosts=hosts.hosts, ssh=[str(hosts.ssh)], restarts=0,
                            interface=hosts.address)).run()
            times = json.loads((Path(folder) / "seconds").read_text())
        bits = float(rate.removesuffix("gbit").removesuffix("mbit")) * (1e9 if rate.endswith("gbit") else 1e6)
        # nothing overlaps here: the computing is over before the first array is pushed
        whole = Net("check", 0.0, tuple(even(megabytes * MB, 8)))
        simulated = compute_ms / 1e3 + step_seconds(whole, 2, 1, Links(beta=bits / 8))
        rows.append([rate, megabytes, compute_ms, times[len(times) // 2] * 1e3, simulated * 1e3])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machines", type=int, help="simulate up to so many")
    parser.add_argument("--devices", type=int, default=1, help="of each machine")
    parser.add_argument("--net", default="resnet50", choices=["alexnet", "inception-v3", "resnet152", "resnet50"])
    parser.add_argument("--compute-ms", type=float, default=500, help="one device's training step, measured")
    parser.add_argument("--gbps", type=float, default=10, help="of a machine's link, Gb/s")
    parser.add_argument("--alpha-us", type=float, default=50, help="latency between machines")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args.worker[0], float(args.worker[1]), float(args.worker[2]))
        return
    result: dict = {}
    if args.check:
        rows = check()
        table("Two machines, one worker each, dist_sync over a shaped link: ms a step",
              ["link", "MB", "compute ms", "measured", "simulated", "ratio"],
              [[*row[:3], f"{row[3]:.0f}", f"{row[4]:.0f}", f"{row[3] / row[4]:.2f}"] for row in rows])
        result["check"] = rows
    elif args.machines:
        one = net(args.net, args.compute_ms / 1e3)
        links = Links(alpha=args.alpha_us / 1e6, beta=args.gbps * 1e9 / 8)
        counts = [count for power in range(12) if (count := 2 ** power) <= args.machines]
        rows = [[count, *(efficiency(one, count, args.devices, links, servers) for servers in (False, True))]
                for count in dict.fromkeys([*counts, args.machines])]
        table(f"{args.net}, {args.compute_ms:g} ms a step on one device, {args.gbps:g} Gb/s: efficiency",
              ["machines", "all-reduce (ring)", "parameter servers"],
              [[row[0], f"{row[1]:.1%}", f"{row[2]:.1%}"] for row in rows])
        result["efficiency"] = rows
    else:
        rows, fitted = published()
        table("MXNet on K80 GPUs, 16 a machine, 20 Gb/s: efficiency", ["net", "GPUs", "published", "simulated"],
              [[row[0], row[1], f"{row[2]:.1%}", f"{row[3]:.1%}"] for row in rows])
        print(f"  fitted to the 16-GPU rows: {fitted}")
        result = {"published": rows, **fitted}
    if args.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
