"""The store `nccl`: sums over the GPUs of this process, and over processes through NCCL.

Every process makes the same calls in the same order, as NCCL wants it; values stay on the GPUs.
"""
from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from .control_client import Control
from .errors import KVStoreError
from .job import Job
from .keys import Key, pairs
from .local import LocalStore
from .rendezvous import SharedStore, connect
from .store import builder

LOOK_S = 0.25       # how often a waiting worker looks whether the others live


class NcclStore(LocalStore):
    """A `device` store whose sums go over all processes of a job.

    control: membership of the job; None: this process is alone.   make_group: (where to meet, rank, size) to a process
    group of torch's.
    """

    def __init__(self, name: str, control: Control | None, make_group: Callable[[dist.Store, int, int], Any]):
        super().__init__(name, on_device=True)
        self._control, self._group = control, None
        self._barriers = itertools.count(1)
        if control is not None:
            members = control.form()
            self._members = members
            where = SharedStore(control, f"nccl/{members.generation}")
            self._group = make_group(where, control.job.rank, control.job.num_workers)

    @property
    def rank(self) -> int:
        return 0 if self._control is None else self._control.job.rank

    @property
    def num_workers(self) -> int:
        return 1 if self._control is None else self._control.job.num_workers

    def init(self, key, value) -> None:
        """Gives each new key the value that worker 0 has; every worker calls it."""
        super().init(key, value)
        if self._group is not None:
            options = dist.BroadcastOptions()
            options.rootRank = 0
            names = [name for name, _ in pairs("init", key, value)]
            self._finish([self._group.broadcast([self._values[name]], options) for name in names])

    def barrier(self) -> None:
        if self._control is not None:
            self._control.barrier(f"nccl/{self._members.generation}/{next(self._barriers)}", strict=True)

    def set_gradient_compression(self, compression_params: dict) -> None:
        raise KVStoreError("set_gradient_compression: the store 'nccl' does not compress; use 'dist_sync'")

    def _reduce(self, call: list[tuple[Key, list[Tensor]]]) -> list[Tensor]:
        totals = super()._reduce(call)
        if self._group is None:
            return totals
        totals = [one.clone() if one is copies[0] else one for one, (_, copies) in zip(totals, call, strict=True)]
        for (key, _), total in zip(call, totals, strict=True):
            if total.is_sparse:
                raise KVStoreError(f"push: key {key!r} is row-sparse; the store 'nccl' sums dense arrays between "
                                   f"processes; use dist_sync")
        self._finish([self._group.allreduce([total]) for total in totals])
        return totals

    def _finish(self, works: list[Any]) -> None:
        """Waits for sums.  Raises DeadWorkerError and its like when they cannot be completed."""
        assert self._control is not None
        for work in works:
            while not work.is_completed():
                try:
                    work.wait(timedelta(seconds=LOOK_S))
                except RuntimeError as error:
                    if work.is_completed() and work.exception() is not None:
                        raise self._control.explain(error, self._members) from error
                    self._look()
            work.wait()

    def _look(self) -> None:
        assert self._control is not None
        self._control.check()
        living = self._control.living_sessions("worker")
        if not living.issuperset(one.session for one in self._members.members):
            raise self._control.explain(ConnectionError("a worker is gone"), self._members)


def _nccl_group(where: dist.Store, rank: int, size: int) -> Any:
    return dist.ProcessGroupNCCL(where, rank, size)


@builder("nccl")
def _nccl(name: str) -> NcclStore:
    """Raises KVStoreError where there is no GPU or no NCCL."""
    if not torch.cuda.is_available() or not dist.is_nccl_available():
        what = "no CUDA GPU is seen" if not torch.cuda.is_available() else "this build of torch has no NCCL"
        raise KVStoreError(f"kvstore.create: {name!r} sums on GPUs by NCCL; got: {what}; use 'device' in one process, "
                           f"'dist_sync' in several")
    job = Job.from_environment()
    if job.num_workers == 1:
        return NcclStore(name, None, _nccl_group)
    control = connect(job)
    torch.cuda.set_device(max(0, control.job.local_rank) % torch.cuda.device_count())
    return NcclStore(name, control, _nccl_group)
