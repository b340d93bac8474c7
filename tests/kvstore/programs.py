"""Programs that the tests launch as workers:  python tests/kvstore/programs.py NAME [arguments]"""
import json
import os
import signal
import sys
import time
import zlib
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


def update_steps(folder: str, steps: str, last: str) -> None:
    """Steps of an optimizer on the store; worker 1 kills itself amid its share of the update after `last` steps."""
    store = mx.kv.create("dist_sync")
    store.init("w", mx.nd.zeros(300_000))
    store.set_optimizer(mx.optimizer.create("sgd", learning_rate=1.0, momentum=0.9))
    out = mx.nd.zeros(300_000)
    for step in range(int(steps)):
        if store.rank == 1 and step == int(last):
            store._updater.update_parts = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
        store.push("w", mx.nd.ones(300_000))
        store.pull("w", out)
        (Path(folder) / f"acknowledged-{store.rank}-{os.getpid()}").write_text(str(step + 1))
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


def train_over_horovod(folder: str) -> None:
    """30 steps of a small net on this worker's part of each batch; writes its weights."""
    store = mx.kv.create("horovod")
    rank, workers = store.rank, store.num_workers
    out = mx.nd.zeros((3,))
    store.broadcast("w", mx.nd.full((3,), rank + 1), out)
    values = [mx.nd.full((5,), rank + 1), mx.nd.full((5,), 10 * (rank + 1))]
    sums = [mx.nd.zeros((5,)), mx.nd.zeros((5,))]
    store.pushpull("two", values, sums)
    assert (out == 1).asnumpy().all() and all((one == 5.5 * workers * (workers + 1)).asnumpy().all() for one in sums)
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(60, 8, generator=generator)
    labels = (data[:, 0] > 0).float()
    mx.random.seed(1)
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Dense(16, activation="relu", in_units=8), mx.gluon.nn.Dense(2, in_units=16))
    net.initialize(mx.init.Xavier())
    net.hybridize()
    loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    trainer = mx.gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1, "momentum": 0.9}, kvstore=store)
    for _ in range(30):
        with mx.autograd.record():
            cost = loss(net(mx.nd.array(data[rank::workers])), mx.nd.array(labels[rank::workers]))
        cost.backward()
        trainer.step(60)
    torch.save([one.data().to_torch() for one in net.collect_params().values()], Path(folder) / f"end-{workers}-{rank}")


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


CODED_SIZES = {"w": 300_000, "small": 5}      # two payloads; the last is shared
TABLE = 500, 3


def gradient(name, step: int) -> torch.Tensor:
    """A worker's: float32[n] on a grid of 1/8, so that every sum is exact."""
    generator = torch.Generator().manual_seed(zlib.crc32(f"{name} {step}".encode()))
    return torch.randint(-8, 9, (sum(CODED_SIZES.values()),), generator=generator) / 8


def gradient_of_rows(name, step: int) -> torch.Tensor:
    """The same of some rows of a table: row-sparse float32[500, 3]."""
    generator = torch.Generator().manual_seed(zlib.crc32(f"{name} {step}".encode()))
    ids = torch.randperm(TABLE[0], generator=generator)[:20].sort().values
    return torch.sparse_coo_tensor(ids[None], torch.randint(-8, 9, (20, TABLE[1]), generator=generator) / 8, TABLE,
                                   is_coalesced=True, check_invariants=True)


def table_optimizer():
    return mx.optimizer.create("sgd", learning_rate=0.5, momentum=0.5, wd=0.0)


def elastic_pushes(folder: str, steps: str, workers: str, killed_at: str, what: str) -> None:
    """Pushes gradients of its own; writes a line a step: step, rank, workers, CRC of the weights, time.

    The first process of worker 1 kills itself with -9 amid step `killed_at`: when it has encoded the first of two
    payloads, or told its rows' ids and not the rows.   what: a codec (JSON), or "rows".
    """
    rank, pid, is_coded = os.environ["MXDL_RANK"], os.getpid(), what != "rows"
    dies = rank == "1" and not list(Path(folder).glob("course-1-*"))
    note = Path(folder) / f"course-{rank}-{pid}"
    note.touch()
    store = mx.kv.create("dist_sync")
    if is_coded:
        store.init(list(CODED_SIZES), [mx.nd.zeros(size) for size in CODED_SIZES.values()])
        store.set_gradient_compression(json.loads(what))
        store.set_optimizer(mx.optimizer.create("test"))
    else:
        store.init("table", mx.nd.ones(TABLE))
        store.set_optimizer(table_optimizer())
    outs = [torch.zeros(size) for size in CODED_SIZES.values()] if is_coded else [mx.nd.zeros(TABLE)]
    done = False
    while not done:
        step = store.next_step()
        if dies and step >= int(killed_at):
            if is_coded:
                second_call_kills(store._rounds.codec, "encode")
            else:
                second_call_kills(store._machine, "spread")
        if is_coded:
            store.push(list(CODED_SIZES), list(gradient(pid, step).split(list(CODED_SIZES.values()))))
            store.pull(list(CODED_SIZES), outs)
            weight = torch.cat(outs)
        else:
            store.push("table", gradient_of_rows(pid, step))
            store.pull("table", outs[0])
            weight = torch.from_numpy(outs[0].asnumpy())
        with note.open("a") as lines:
            lines.write(f"{step} {store.rank} {store.num_workers} {crc_of(weight)} {time.monotonic()}\n")
        done = step + 1 >= int(steps) and step % 10 == 0 and store.num_workers >= int(workers)
        time.sleep(0.02)
    if is_coded:
        left_out = torch.cat([store._rounds._residuals[key] for key in CODED_SIZES])
        torch.save((weight, left_out), Path(folder) / f"end-{pid}")
    store.close()


def crc_of(weight: torch.Tensor) -> int:
    return zlib.crc32(weight.numpy().tobytes())


def second_call_kills(owner, name: str) -> None:
    """The second call of a method from now on ends the process as `kill -9` does."""
    call, calls = getattr(owner, name), []

    def counted(*arguments):
        if calls:
            os.kill(os.getpid(), signal.SIGKILL)
        calls.append(name)
        return call(*arguments)
    setattr(owner, name, counted)


def limit_memory(more_mb: int) -> None:
    """No more than so many MiB beyond what this process maps now: an allocation over that fails."""
    import resource
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (more_mb << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
