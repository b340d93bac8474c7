"""Whole jobs inside a test's process: a control server, parameter servers in threads, one store a worker."""
import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from mxdl.kvstore.control import ControlServer
from mxdl.kvstore.dist_async import AsyncStore
from mxdl.kvstore.job import Job
from mxdl.kvstore.server import ParameterServer


def together(*calls):
    """Runs calls at once, each in a thread; their results."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(60) for future in [pool.submit(call) for call in calls]]


class RunningJob:
    """A control server, and what joined it."""

    def __init__(self, num_workers: int, num_servers: int, max_delay: int | None = None, **options):
        self.about = dict(num_workers=num_workers, num_servers=num_servers, hosts_control=False, **options)
        self.max_delay = max_delay
        self.control = ControlServer(Job(port=0, **self.about))
        address, port = self.control.start()
        self.about |= dict(address=address, port=port)
        self.servers = [self.server(rank) for rank in range(num_servers)]
        self.stores: list[AsyncStore] = []

    def server(self, rank: int) -> ParameterServer:
        server = ParameterServer(Job(role="server", rank=rank, **self.about), self.max_delay)
        server.start()
        return server

    def worker(self, rank: int) -> AsyncStore:
        store = AsyncStore(Job(rank=rank, **self.about), self.max_delay)
        self.stores.append(store)
        return store

    def close(self) -> None:
        together(*[store.close for store in self.stores], *[server.close for server in self.servers])
        self.control.close()


@contextlib.contextmanager
def running(num_workers: int, num_servers: int, **options) -> Iterator[RunningJob]:
    job = RunningJob(num_workers, num_servers, **options)
    try:
        yield job
    finally:
        job.close()
