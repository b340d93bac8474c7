"""Programs that the tests launch as workers:  python tests/kvstore/programs.py NAME [arguments]"""
import os
import sys
import time
from pathlib import Path

import torch

import mxdl as mx


def push_ones(folder: str, steps: str, pause: str = "0.02") -> None:
    """Pushes 1 to a value `steps` times; writes how many were acknowledged, and at the end the value."""
    store = mx.kv.create("dist_async")
    note = Path(folder) / f"acknowledged-{store.rank}-{os.getpid()}"
    store.init("w", torch.zeros(1000))
    store.set_optimizer(mx.optimizer.create("test"))
    for step in range(int(steps)):
        store.push("w", torch.ones(1000))
        note.write_text(str(step + 1))
        store._control.report_step(step)
        time.sleep(float(pause))
    store.barrier()
    out = torch.empty(1000)
    store.pull("w", out)
    (Path(folder) / f"value-{store.rank}").write_text(f"{out.min().item()} {out.max().item()}")
    store.close()


def sum_steps(folder: str, steps: str, pause: str = "0.02") -> None:
    """Sums arrays with the other workers, `steps` times."""
    store = mx.kv.create("dist_sync")
    value = torch.ones(100_000)
    store.init("w", value)
    for step in range(int(steps)):
        out = torch.empty(100_000)
        store.pushpull("w", value, out=out)
        assert (out == store.num_workers).all()
        (Path(folder) / f"acknowledged-{store.rank}-{os.getpid()}").write_text(str(step + 1))
        time.sleep(float(pause))
    store.barrier()


def sum_and_grow(folder: str) -> None:
    """Sums without end; worker 1 takes 4 MiB more in each step."""
    store = mx.kv.create("dist_sync")
    value, held = torch.ones(1000), []
    store.init("w", value)
    (Path(folder) / f"ready-{store.rank}").touch()
    while True:
        store.pushpull("w", value, out=torch.empty(1000))
        if store.rank == 1:
            held.append(torch.ones(1 << 20))


def elastic_steps(folder: str, steps: str, workers: str, slow_to_come: str = "0", limit_mb: str = "0") -> None:
    """Pushes 1 in each step of SGD with momentum; writes a line a step: step, value, workers.

    Ends after `steps` steps or more, in one that `workers` workers made.
    slow_to_come: seconds that the first process of worker 1 waits before it joins.   limit_mb: worker 1's first process
    takes ever more memory, until it has that much more than at the beginning.
    """
    rank, pid = os.environ["MXDL_RANK"], os.getpid()
    is_first = not list(Path(folder).glob(f"course-{rank}-*"))
    note = Path(folder) / f"course-{rank}-{pid}"
    note.touch()
    if rank == "1" and is_first:
        time.sleep(float(slow_to_come))
    store = mx.kv.create("dist_sync")
    store.init("w", mx.nd.zeros(100_000))
    store.set_optimizer(mx.optimizer.create("sgd", learning_rate=1.0, momentum=0.5, wd=0.0))
    ones, out, held = mx.nd.ones(100_000), mx.nd.zeros(100_000), []
    if rank == "1" and is_first and int(limit_mb):
        limit_memory(int(limit_mb))
    with note.open("a", buffering=1) as lines:
        done = False
        while not done:
            step = store.next_step()
            store.push("w", ones)
            store.pull("w", out)
            found = out.asnumpy()
            assert found.min() == found.max()
            lines.write(f"{step} {found[0]} {store.num_workers}\n")
            done = step + 1 >= int(steps) and step % 10 == 0 and store.num_workers >= int(workers)
            if rank == "1" and is_first and int(limit_mb):
                held.append(torch.ones(1 << 21))
            time.sleep(0.02)
    store.close()


def limit_memory(more_mb: int) -> None:
    """No more than so many MiB beyond what this process maps now: an allocation over that fails."""
    import resource
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (more_mb << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
