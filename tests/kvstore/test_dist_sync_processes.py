"""`dist_sync` between real processes: one is killed or stopped, and the others say so in bounded time."""
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow

SCRIPT = """
import json, sys, time, torch
from mxdl import kvstore
store = kvstore.create("dist_sync")
store.init("x", torch.zeros(300_000))
try:
    for step in range(100_000):
        store.pushpull("x", torch.ones(300_000))
        if step == 2:
            print("going", flush=True)
except kvstore.DeadWorkerError as error:
    print(json.dumps({"ranks": error.ranks, "last_step": error.last_step, "time": time.time()}), flush=True)
"""
TIMEOUT_S = 3


def workers(hosts):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = []
    for rank, host in enumerate(hosts):
        variables = {"MXDL_RANK": rank, "MXDL_NUM_WORKERS": len(hosts), "MXDL_PORT": port, "MXDL_HOST": host,
                     "MXDL_TIMEOUT": TIMEOUT_S, "OMP_NUM_THREADS": 1}
        environment = dict(os.environ, **{name: str(value) for name, value in variables.items()})
        found.append(subprocess.Popen([sys.executable, "-c", SCRIPT], env=environment, stdout=subprocess.PIPE,
                                      text=True))
    return found


@pytest.mark.parametrize("hosts", [["a", "a", "a"], ["a", "b", "b"]], ids="".join)
@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_the_others_name_the_lost_worker(hosts, signal_number):
    processes = workers(hosts)
    try:
        for process in processes:
            assert process.stdout.readline() == "going\n"
        start = time.time()
        processes[1].send_signal(signal_number)
        for rank in (0, 2):
            told = json.loads(processes[rank].stdout.readline())
            assert told["ranks"] == [1] and told["last_step"] >= 2
            assert told["time"] - start < 3 * TIMEOUT_S + 2
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stdout.close()
