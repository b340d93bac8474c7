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
        (Path(folder) / f"acknowledged-{store.rank}-{os.getpid()}").write_text(str(step + 1))
        time.sleep(float(pause))
    store.barrier()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
