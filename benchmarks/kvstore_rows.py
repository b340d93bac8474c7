"""Rows of a large table in and out of parameter servers: mxdl's dist_async, MXNet 1.9.1's dist_sync.

    python benchmarks/kvstore_rows.py [--workers 1] [--runs 40]

Workers pull 4,096 rows of a 1,000,000 x 64 table and push as many to SGD on one server.  Peers take turns, call by
call.  MXNet's Python runs this file too.
"""
import argparse
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import time

from kvstore_hosts import ask, end

TABLE, WIDTH, ROWS, RATE = 1_000_000, 64, 4096, 0.5
PEERS = ["mxdl", "mxnet"]
WARMUP = 4


def mxdl(ids):
    """(pull, push, the pulled rows, the store)"""
    import torch

    import mxdl as mx
    torch.set_num_threads(1)
    store = mx.kv.create("dist_async")
    store.init("table", mx.nd.ones((TABLE, WIDTH)))
    store.set_optimizer(mx.optimizer.create("sgd", learning_rate=RATE, wd=0.0))
    ids = torch.tensor(ids)
    out = torch.sparse_coo_tensor(size=(TABLE, WIDTH), check_invariants=False)
    grad = torch.sparse_coo_tensor(ids[None], torch.ones(ROWS, WIDTH), (TABLE, WIDTH), is_coalesced=True,
                                   check_invariants=False)
    return (lambda: store.row_sparse_pull("table", out, row_ids=ids), lambda: store.push("table", grad),
            lambda: out._values().numpy(), store)


def mxnet(ids):
    import mxnet as mx
    import numpy as np
    store = mx.kv.create("dist_sync")
    store.init("table", mx.nd.ones((TABLE, WIDTH)).tostype("row_sparse"))
    store.set_optimizer(mx.optimizer.create("sgd", learning_rate=RATE, wd=0.0, lazy_update=True))
    wanted = mx.nd.array(ids, dtype="int64")
    grad = mx.nd.sparse.row_sparse_array((np.ones((ROWS, WIDTH), "float32"), ids), shape=(TABLE, WIDTH))
    out = mx.nd.sparse.zeros("row_sparse", (TABLE, WIDTH))

    def pull():
        store.row_sparse_pull("table", out=out, row_ids=wanted)
        mx.nd.waitall()

    def push():
        store.push("table", grad)
        mx.nd.waitall()

    return pull, push, lambda: out.data.asnumpy(), store


def serve(peer, workers):
    """Answers each line, `pull` or `push`, with the seconds that it took, and whether the last pull was right."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)      # whatever a library prints must not look like an answer
    import numpy as np
    ids = np.sort(np.random.RandomState(0).permutation(TABLE)[:ROWS])
    pull, push, rows, store = globals()[peer](ids)
    pushes = 0
    for line in sys.stdin:
        what = line.strip()
        store._barrier()
        cpu, wall = time.process_time(), time.perf_counter()
        (pull if what == "pull" else push)()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        store._barrier()
        pushes += what == "push"
        right = what == "push" or bool((rows() == 1 - RATE * workers * pushes).all())
        answers.write(json.dumps({"wall_s": wall, "cpu_s": cpu, "right": right}) + "\n")
        answers.flush()
    if peer != "mxnet":
        store.close()


class Peer:
    """The processes of one peer."""

    def __init__(self, peer, workers, python):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        if peer == "mxnet":
            common = {"DMLC_PS_ROOT_URI": "127.0.0.1", "DMLC_PS_ROOT_PORT": port, "DMLC_NUM_WORKER": str(workers),
                      "DMLC_NUM_SERVER": "1", "DMLC_NODE_HOST": "127.0.0.1"}
            servers = [({"DMLC_ROLE": role}, [python, "-c", "import mxnet"]) for role in ("scheduler", "server")]
            roles = [{"DMLC_ROLE": "worker"}] * workers
        else:
            common = {"MXDL_PORT": port, "MXDL_NUM_WORKERS": str(workers), "MXDL_TOKEN": secrets.token_hex(16),
                      "MXDL_NUM_SERVERS": "1", "MXDL_TIMEOUT": "30"}
            command = [sys.executable, "-m", "mxdl.tools.parameter_server"]
            servers = [({"MXDL_ROLE": "server", "MXDL_RANK": "0"}, command)]
            roles = [{"MXDL_RANK": str(rank)} for rank in range(workers)]
        common = dict(os.environ, OMP_NUM_THREADS="1", MXNET_CPU_WORKER_NTHREADS="1", **common)
        self.servers = [subprocess.Popen(command, env={**common, **role}) for role, command in servers]
        self.workers = [subprocess.Popen([python if peer == "mxnet" else sys.executable, __file__, "--serve", peer,
                                          "--workers", str(workers)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         text=True, env={**common, **role}) for role in roles]
        self.walls = {"pull": [], "push": []}
        self.right = True

    def run(self, what, counts):
        answers = ask(self.workers, what)
        self.right &= all(answer["right"] for answer in answers)
        if counts:
            self.walls[what].append(1e3 * max(answer["wall_s"] for answer in answers))

    def close(self):
        end(self.workers, self.servers)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--serve", choices=PEERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.workers)
        return
    from harness import PARITY_VARIABLE, reference_python, table
    python, peers = reference_python(), PEERS[:]
    if python is None:
        print(f"MXNet 1.9.1 IS LEFT OUT: run `make parity-env`, or set {PARITY_VARIABLE}", file=sys.stderr)
        peers.remove("mxnet")
    groups = {}
    try:
        for peer in peers:
            groups[peer] = Peer(peer, options.workers, python)
        for count in range(-WARMUP, options.runs):
            for what in ("push", "pull"):
                for group in groups.values():
                    group.run(what, count >= 0)
    finally:
        for group in groups.values():
            group.close()
    found = {peer: {what: [statistics.median(walls), min(walls)] for what, walls in group.walls.items()}
             for peer, group in groups.items()}
    table(f"{ROWS:,} rows of {TABLE:,} x {WIDTH}, {options.workers} workers; ms, load {os.getloadavg()[0]:.1f}",
          ["peer", "pull", "least", "push", "least", "right"],
          [[peer, *(f"{number:.2f}" for what in ("pull", "push") for number in found[peer][what]),
            "yes" if groups[peer].right else "NO"] for peer in peers])
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
