"""The store `horovod`: sums and broadcasts by Horovod, where it is installed with support for torch.

As in MXNet it holds no values and runs no optimizer: `broadcast` hands out the first worker's array, `pushpull` sums.
"""
from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor

from .errors import KVStoreError
from .keys import pairs
from .reduction import reduce
from .store import KVStoreBase, builder
from .values import as_tensor


class HorovodStore(KVStoreBase):
    """hvd: the module `horovod.torch`, initialised."""

    def __init__(self, hvd: Any):
        self._hvd = hvd

    @property
    def type(self) -> str:
        return "horovod"

    @property
    def rank(self) -> int:
        return self._hvd.rank()

    @property
    def local_rank(self) -> int:
        """This worker's number on its machine."""
        return self._hvd.local_rank()

    @property
    def num_workers(self) -> int:
        return self._hvd.size()

    @staticmethod
    def is_capable(capability: str) -> bool:
        """It cannot run the optimizer: Trainer updates the sums itself."""
        return False

    @torch.no_grad()
    def broadcast(self, key, value, out, priority: int = 0) -> None:
        """Writes the first worker's `value` to every array of `out`."""
        targets = dict(pairs("broadcast", key, out))
        for name, copies in pairs("broadcast", key, value):
            found = as_tensor("broadcast", name, copies[0]).detach().clone()
            found = self._hvd.broadcast_(found, root_rank=0, name=f"mxdl broadcast {name}")
            _write(found, [as_tensor("broadcast", name, one) for one in targets[name]])

    @torch.no_grad()
    def pushpull(self, key, value, out=None, priority: int = 0) -> None:
        """Writes the sum over devices and workers to `out` (default: over `value`).  Keys of one call go at once."""
        call = [(name, [as_tensor("pushpull", name, one) for one in copies])
                for name, copies in pairs("pushpull", key, value)]
        targets = dict(call if out is None else
                       [(name, [as_tensor("pushpull", name, one) for one in copies])
                        for name, copies in pairs("pushpull", key, out)])
        handles = []
        for name, copies in call:
            if copies[0].is_sparse:
                raise KVStoreError(f"pushpull: key {name!r} is row-sparse; the store 'horovod' sums dense arrays; use "
                                   f"dist_sync")
            total = reduce(copies, copies[0].device)
            total = total.clone() if total is copies[0] else total
            handles.append((name, self._hvd.allreduce_async_(total, name=f"mxdl {name}", op=self._hvd.Sum)))
        for name, handle in handles:
            _write(self._hvd.synchronize(handle), targets[name])


def _write(found: Tensor, targets: list[Tensor]) -> None:
    for target in targets:
        target.copy_(found)


@builder("horovod")
def _horovod(name: str) -> HorovodStore:
    """Raises KVStoreError where Horovod is not there."""
    try:
        hvd = importlib.import_module("horovod.torch")
    except ImportError as error:
        raise KVStoreError(f"kvstore.create: {name!r} needs Horovod with support for torch; got {error}; install it "
                           f"(HOROVOD_WITH_PYTORCH=1 pip install horovod), or use 'dist_sync'") from error
    hvd.init()
    return HorovodStore(hvd)
