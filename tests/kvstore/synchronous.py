"""Workers of one job as threads of the test's process, on one or several pretended machines."""
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager

import torch

from mxdl.kvstore.control import ControlServer
from mxdl.kvstore.control_client import Control
from mxdl.kvstore.dist_sync import DistSyncStore
from mxdl.kvstore.job import Job


@contextmanager
def job(hosts, **options):
    """Controls of one worker for each name in `hosts`; equal names share a machine."""
    server = ControlServer(Job(num_workers=len(hosts), port=0, hosts_control=False, **options))
    address, port = server.start()
    controls = []
    try:
        for rank, host in enumerate(hosts):
            controls.append(Control(Job(rank=rank, num_workers=len(hosts), address=address, port=port, host=host,
                                        hosts_control=False, **options)))
        yield controls
    finally:
        for control in controls:
            control.close()
        server.close()


def run(hosts, work, name="dist_sync", on_device=False, timeout=10, **options):
    """`work(store)` in a worker for each name in `hosts`; what they return, in the order of ranks."""
    def worker(control):
        try:
            store = DistSyncStore(name, control, on_device=on_device, **options)
            try:
                return work(store)
            finally:
                store.close()
        finally:
            control.close()     # as the end of a process would

    with job(hosts, timeout=timeout) as controls, ThreadPoolExecutor(len(hosts)) as pool:
        futures = [pool.submit(worker, control) for control in controls]
        done, late = wait(futures, 60, FIRST_EXCEPTION)
        for future in done:
            future.result()
        assert not late, f"{len(late)} of {len(hosts)} workers still run after 60 s"
        return [future.result() for future in futures]


def bytes_on_the_wire(hosts, compression, length):
    """For each worker, (sent, received) between machines by one compressed pushpull of `length` values."""
    def work(store):
        store.set_gradient_compression(compression)
        store.init("x", torch.zeros(length))
        store.barrier()
        before = store._machine.leaders.sent_bytes, store._machine.leaders.received_bytes
        store.pushpull("x", torch.randn(length))
        after = store._machine.leaders.sent_bytes, store._machine.leaders.received_bytes
        return [later - sooner for later, sooner in zip(after, before, strict=True)]
    return run(hosts, work)
