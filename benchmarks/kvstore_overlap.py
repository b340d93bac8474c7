"""Do sums over workers hide behind the backward pass?  Two pretended machines over a slow link; needs root.

    python benchmarks/kvstore_overlap.py [--rate 20mbit] [--layers 16] [--compute 1 1.5]

Layers of 1 MiB whose computing is sleeping (a third forward, two thirds backward, as in a usual net), so the link and
not the processor decides.  First the sums are timed alone; then compute is made so many times that, and timed without
a store; and a step is timed by backward() and step(), by backward_and_step() and by backward_and_step(wait=False), each
on the store (update_on_kvstore) and not.  Means over the steps in the middle of a run.  --whole: the net is hybridized
as a whole, its computing custom operators.
"""
from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import time

from harness import ROOT, table
from kvstore_hosts import two_hosts

WIDTH = 512             # a layer is WIDTH * WIDTH float32: 1 MiB
WARMUP = 2


def net_of(layers: int, whole: bool, seconds: list[float]):
    """Layers that sleep.  whole: in one graph, by a custom operator.   seconds: of a layer, forward and backward."""
    import mxdl as mx
    from mxdl import autograd, gluon

    class Computing(autograd.Function):
        def forward(self, x):
            time.sleep(seconds[0])
            return x

        def backward(self, dy):
            time.sleep(seconds[1])
            return dy

    class Operator(mx.operator.CustomOp):
        def forward(self, is_train, req, in_data, out_data, aux):
            time.sleep(seconds[0])
            self.assign(out_data[0], req[0], in_data[0])

        def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
            time.sleep(seconds[1])
            self.assign(in_grad[0], req[0], out_grad[0])

    @mx.operator.register("computing")
    class Prop(mx.operator.CustomOpProp):
        def create_operator(self, ctx, in_shapes, in_dtypes):
            return Operator()

    class Layer(gluon.HybridBlock):
        def __init__(self):
            super().__init__()
            with self.name_scope():
                self.dense = gluon.nn.Dense(WIDTH, in_units=WIDTH, use_bias=False)

        def hybrid_forward(self, F, x):
            y = self.dense(x)
            return F.Custom(y, op_type="computing") if whole else Computing()(y)

    net = gluon.nn.HybridSequential()
    net.add(*(Layer() for _ in range(layers)))
    net.initialize()
    if whole:
        net.hybridize()
    return net


def worker(options: argparse.Namespace) -> None:
    """Times everything; worker 0 prints one JSON object."""
    import mxdl as mx
    from mxdl import autograd, gluon, nd
    layers, seconds = options.layers, [0.0, 0.0]

    def timed(handing_over: bool, on_store: bool | None, over_forward: bool = False) -> float:
        """Seconds of a step.  on_store: whether the store updates; None: there is no store."""
        store = None if on_store is None else mx.kv.create("dist_sync")
        net = net_of(layers, options.whole, seconds)
        trainer = gluon.Trainer(net.collect_params(), "sgd", kvstore=store, update_on_kvstore=on_store)
        x = nd.ones((1, WIDTH))
        for step in range(WARMUP + options.steps):
            if step == WARMUP:
                start = time.perf_counter()     # amid steps, as at the end: what one leaves to the next is there twice
            with autograd.record():
                loss = net(x).sum()
            if handing_over:
                trainer.backward_and_step(loss, 1, wait=not over_forward)
            else:
                loss.backward()
                trainer.step(1)
        wall = time.perf_counter() - start
        trainer.wait()
        if store is not None:
            store.close()
        return wall / options.steps

    found = {}
    for on_store in [name == "store" for name in options.update]:
        seconds[:] = 0, 0
        alone = timed(False, on_store)
        for factor in options.compute:
            seconds[:] = factor * alone / 3 / layers, factor * alone * 2 / 3 / layers
            found[f"{'on the store' if on_store else 'sums only'}, {factor:g}"] = \
                [alone, timed(True, None), timed(False, on_store), timed(True, on_store), timed(True, on_store, True)]
    if os.environ["MXDL_RANK"] == "0":
        print(json.dumps(found), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", default="20mbit", help="of the link, as tc writes it")
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--compute", nargs="+", type=float, default=[1.0, 1.5], help="times the sums' time")
    parser.add_argument("--update", nargs="+", choices=["sums", "store"], default=["sums", "store"])
    parser.add_argument("--whole", action="store_true", help="hybridize the net as a whole")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        worker(options)
        return
    try:
        with two_hosts(options.rate) as hosts:
            token = secrets.token_hex(16)
            workers = [subprocess.Popen(
                host.command([sys.executable, __file__, "--work", *sys.argv[1:]]),
                stdout=subprocess.PIPE, text=True,
                env=dict(os.environ, OMP_NUM_THREADS="1", PYTHONPATH=str(ROOT), MXDL_RANK=str(host.number),
                         MXDL_NUM_WORKERS="2", MXDL_ADDRESS=hosts[0].address, MXDL_PORT="9091", MXDL_TOKEN=token,
                         MXDL_HOST=f"host {host.number}", MXDL_TIMEOUT="60")) for host in hosts]
            text = [process.communicate()[0] for process in workers][0]
    except PermissionError as error:
        print(f"SKIPPED: {error}", file=sys.stderr)
        return
    if any(process.returncode for process in workers):
        raise RuntimeError("a worker failed; its error is above")
    results = json.loads(text.splitlines()[-1])
    what = f"a step of {options.layers} MiB{' in one graph' * options.whole}"
    table(f"{what} over {options.rate}; load {os.getloadavg()[0]:.1f}",
          ["update, compute", "sums ms", "compute ms", "backward, step", "over the larger", "backward_and_step",
           "over the larger", "wait=False", "over the larger"],
          [[name, f"{1e3 * alone:.0f}", f"{1e3 * compute:.0f}",
            *(text for wall in steps for text in (f"{1e3 * wall:.0f}", f"{wall / max(alone, compute):.2f}"))]
           for name, (alone, compute, *steps) in results.items()])
    if options.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
