"""From gradients to new parameters: sum over devices (through a kvstore where there are several), then optimize."""
from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from .. import kvstore as kv
from .. import optimizer as opt
from ..files import atomic_write
from ..ndarray.ndarray import NDArray


class Updates:
    """The optimizer of a module.

    Gradients of several devices (or workers) are summed by the kvstore; every device then makes the same update with
    states of its own.  Keys of states are position * devices + device, as in MXNet.
    """

    def __init__(self, names: Sequence[str], num_devices: int, batch_size: int, store: Any, optimizer: Any,
                 settings: Mapping[str, Any], symbol: Any, logger: logging.Logger):
        self.names, self.num_devices = list(names), num_devices
        self.store = _store(store, num_devices)
        workers = self.store.num_workers if self.store is not None and "_sync" in self.store.type else 1
        scale = 1.0 / (batch_size * workers)
        indices = {i * num_devices + k: name for i, name in enumerate(names) for k in range(num_devices)}
        if isinstance(optimizer, str):
            optimizer = opt.create(optimizer, **{"rescale_grad": scale, "sym": symbol, "param_idx2name": indices,
                                                 **settings})
        elif optimizer.rescale_grad != scale:
            logger.warning("the optimizer's rescale_grad is %g; one over the batch size would be %g",
                           optimizer.rescale_grad, scale)
        if not optimizer.idx2name:
            optimizer.idx2name = indices
        self.optimizer = optimizer
        self.updater = opt.get_updater(optimizer)
        self._known: set[str] = set()

    def step(self, weights: Sequence[Sequence[NDArray]], grads: Sequence[Sequence[NDArray | None]]) -> None:
        """Update each parameter (a list a device) from its gradients; parameters without gradient stay."""
        trained = [(i, w, g) for i, (w, g) in enumerate(zip(weights, grads, strict=True)) if g[0] is not None]
        if self.store is not None and trained:
            self._reduce([self.names[i] for i, _, _ in trained], [w for _, w, _ in trained], [g for _, _, g in trained])
        for device in range(self.num_devices):
            self.updater([i * self.num_devices + device for i, _, _ in trained], [g[device] for _, _, g in trained],
                         [w[device] for _, w, _ in trained])

    def _reduce(self, names: list[str], weights: list[Sequence[NDArray]], grads: list[Sequence[Any]]) -> None:
        """Sum gradients over devices and workers; before the first time, every worker takes worker 0's weights."""
        for name, weight in zip(names, weights, strict=True):
            if name not in self._known:
                self.store.broadcast(name, weight[0], out=list(weight))
                self._known.add(name)
        if isinstance(self.store, kv.KVStore):
            self.store.allreduce(list(names), [list(grad) for grad in grads])
            return
        for position, (name, grad) in enumerate(zip(names, grads, strict=True)):
            self.store.pushpull(name, list(grad), out=list(grad), priority=-position)

    def save_states(self, fname: str) -> None:
        """Write the optimizer's states."""
        with atomic_write(fname, "wb") as stream:
            stream.write(self.updater.get_states())

    def load_states(self, fname: str) -> None:
        """Read what `save_states` wrote."""
        with open(fname, "rb") as stream:
            self.updater.set_states(stream.read())


def _store(wanted: Any, num_devices: int) -> Any:
    """The kvstore that is needed, None where there is nothing to sum."""
    if isinstance(wanted, str):
        return None if num_devices == 1 and not kv.is_for_workers(wanted) else kv.create(wanted)
    return wanted
