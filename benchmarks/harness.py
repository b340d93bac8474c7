"""Side-by-side timing: each peer in a process of its own, pinned to one core, timed in turn, round after round.

A benchmark script is both sides.  Called plainly it is the parent: it starts itself once a peer (with the peer's
own Python) as `SCRIPT --serve PEER CASE`, and the peers are timed in turn so that a busy machine disturbs all alike.
This file imports nothing outside the standard library and runs on MXNet's Python too (3.8 and later).
"""
from __future__ import annotations

import argparse
import functools
import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARITY_VARIABLE = "MXDL_PARITY_PYTHON"  # a Python that has MXNet 1.9.1; the default is `make parity-env`'s
PEER_VARIABLE = "MXDL_PEER_PYTHON"  # a Python that has the packages of PACKAGES beside torch; the default is this one
PACKAGES = {"openvino": ("openvino",), "ncnn": ("ncnn", "pnnx"), "mnn": ("MNN",),
            "onnxruntime": ("onnxruntime", "onnx")}
WARMUP = 3  # untimed calls before the timed ones
MIN_RUN_S = 0.1  # a timed run repeats the call until it takes about this long


def reference_python() -> str | None:
    """The interpreter that has MXNet 1.9.1, or None."""
    path = Path(os.environ.get(PARITY_VARIABLE) or ROOT / ".parity-venv/bin/python")
    return str(path) if path.exists() else None


def python_of(peer: str) -> str | None:
    """The interpreter of a peer, whose name may go on with what it is to do ("mxnet:mirror")."""
    if peer.partition(":")[0] == "mxnet":
        return reference_python()
    return sys.executable if not missing(peer, sys.executable) else os.environ.get(PEER_VARIABLE) or sys.executable


@functools.lru_cache(None)
def missing(peer: str, python: str) -> tuple:
    """The packages of a peer that an interpreter lacks."""
    names = PACKAGES.get(peer, ())
    if not names:
        return ()
    script = "import sys, importlib.util as u; print(*[n for n in sys.argv[1:] if u.find_spec(n) is None])"
    done = subprocess.run([python, "-c", script, *names], stdout=subprocess.PIPE, text=True, check=True)
    return tuple(done.stdout.split())


# -- the peer's side ------------------------------------------------------------------------------------------------
def serve(prepare, warmup: int = WARMUP) -> None:
    """Answer the parent.  `prepare() -> (call, tell)`: the function to time; tell() -> a dict about it.  `call.before`,
    where there is one, is called before the clock starts.
    warmup: untimed calls before the timed ones.

    Lines written: what it tells and "first_call_s"; then {"wall_s", "cpu_s"} of one call for each line read, which says
    how many calls follow each other (0: as many as take about MIN_RUN_S).
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not look like an answer

    def say(answer: dict) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    def timed(repeats: int) -> dict:   # repeats: at least 1
        getattr(call, "before", lambda: None)()
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(repeats):
            call()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return {"wall_s": wall / repeats, "cpu_s": cpu / repeats}

    call, tell = prepare()
    first = timed(1)["wall_s"]
    say(dict(tell(), first_call_s=first))
    repeats = 0
    for line in sys.stdin:
        if not repeats:
            if warmup:
                timed(warmup)
            repeats = max(1, math.ceil(MIN_RUN_S / timed(1)["wall_s"]))
        say(timed(int(line) or repeats))


# -- the parent's side ----------------------------------------------------------------------------------------------
class Worker:
    """A peer's process, prepared for one case; its first call is done.  `info` is what it told of itself."""

    def __init__(self, script: str, peer: str, case: str, threads: int = 1, environment: dict | None = None):
        cores = sorted(os.sched_getaffinity(0))[-threads:]
        env = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads),
                   MXNET_CPU_WORKER_NTHREADS=str(threads), **(environment or {}))
        self.process = subprocess.Popen(
            [python_of(peer), script, "--serve", peer, case], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=env, preexec_fn=lambda: os.sched_setaffinity(0, cores))
        self.info = self._answer()

    def run(self, calls: int = 0) -> dict:
        self.process.stdin.write(f"{calls}\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()

    def _answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(self.process.args[1:])}: the peer's process ended with status "
                               f"{self.process.wait()}; its error is above")
        return json.loads(line)


def side_by_side(script: str, case: str, peers: list, runs: int, environments: dict | None = None,
                 block: int = 0, apart: bool = False) -> dict:
    """{peer: {"ms", "spread_ms": [least, greatest], "cpu_ms", "first_call_s", ...}}; a peer that fails has "error".
    block: also time blocks of so many calls, under "block": {"ms", "spread_ms", "cpu_ms"}; else nothing is added.
    apart: one peer after the other, where the memory does not hold all of them."""
    if apart and len(peers) > 1:
        return {name: found for peer in peers
                for name, found in side_by_side(script, case, [peer], runs, environments, block).items()}
    workers, results = {}, {}
    for peer in peers:
        try:
            workers[peer] = Worker(script, peer, case, environment=(environments or {}).get(peer))
        except RuntimeError as error:
            results[peer] = {"error": str(error)}
    times = {peer: [] for peer in workers}
    for _ in range(runs):
        for peer, worker in workers.items():
            times[peer].append(worker.run())
    blocks = {peer: [] for peer in workers}
    for _ in range(runs if block else 0):
        for peer, worker in workers.items():
            blocks[peer].append(worker.run(block))
    for peer, worker in workers.items():
        worker.close()
        results[peer] = dict(worker.info, **summary(times[peer]), **({"block": summary(blocks[peer])} if block else {}))
    return results


def summary(times: list) -> dict:
    wall = [1e3 * t["wall_s"] for t in times]
    cpu = [1e3 * t["cpu_s"] for t in times]
    return {"ms": statistics.median(wall), "spread_ms": [min(wall), max(wall)], "cpu_ms": statistics.median(cpu),
            "cpu_least_ms": min(cpu), "runs": len(times)}


def geometric_mean(values) -> float:
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values))


def table(title: str, header: list, rows: list) -> None:
    """Print rows of texts as an aligned table."""
    texts = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in texts) for i in range(len(header))]
    print(f"\n{title}")
    for row in texts:
        cells = [cell.rjust(width) if i else cell.ljust(width) for i, (cell, width) in enumerate(zip(row, widths))]
        print("  " + "  ".join(cells).rstrip())


def arguments(about: str, cases: list, peers: list, default_cases: list | None = None) -> argparse.Namespace:
    """The options that every benchmark takes.  Leaves out, aloud, the peers that are not installed."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", choices=cases, default=default_cases or cases, metavar="CASE",
                        help=", ".join(cases))
    parser.add_argument("--peer", nargs="+", choices=peers, default=peers, metavar="PEER", help=", ".join(peers))
    parser.add_argument("--runs", type=int, default=5, help="timed runs of each; the median counts (default 5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--apart", action="store_true",
                        help="one peer after the other instead of in turn, where the memory does not hold all of them")
    options = parser.parse_args()
    if reference_python() is None and any(peer.partition(":")[0] == "mxnet" for peer in options.peer):
        print(f"MXNet 1.9.1 IS LEFT OUT: run `make parity-env`, or set {PARITY_VARIABLE}", file=sys.stderr)
        options.peer = [peer for peer in options.peer if peer.partition(":")[0] != "mxnet"]
    for peer in list(options.peer):
        lacking = peer.partition(":")[0] != "mxnet" and missing(peer, python_of(peer))
        if lacking:
            print(f"{peer} IS LEFT OUT: pip install {' '.join(lacking)}, or set {PEER_VARIABLE} to a Python that has "
                  f"it and torch", file=sys.stderr)
            options.peer.remove(peer)
    return options


def serving() -> tuple | None:
    """(peer, case) when this process was started by `Worker`, else None."""
    return tuple(sys.argv[2:4]) if sys.argv[1:2] == ["--serve"] else None


def run(main, prepare, warmup: int = WARMUP) -> None:
    """What a benchmark's script does: serve one (peer, case) where `Worker` started it, else compare them all."""
    served = serving()
    if served:
        serve(lambda: prepare(*served), warmup)
    else:
        main()
