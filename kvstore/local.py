"""The stores of one process: ``local`` reduces on the CPU, ``device`` on the devices that hold the values."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import compression
from .errors import KVStoreError, StoreNotBuiltError
from .files import write_atomically
from .keys import Key, check_one_kind, pairs, with_row_ids
from .placement import Placement
from .reduction import reduce_many, rows
from .store import KVStore, Updater, builder
from .values import as_kind, as_tensor, kind_of

CPU = torch.device("cpu")


class LocalStore(KVStore):
    """Values in this process.

    Args:
        name: what `type` says.
        on_device: reduce where the values are (each key on one device, spread by bytes); else on the CPU.
    """

    def __init__(self, name: str = "local", on_device: bool = False) -> None:
        self._name = name
        self._placement = Placement() if on_device else None
        self._values: dict[Key, Tensor] = {}
        self._kinds: dict[Key, type | None] = {}
        self._key_kind: type | None = None
        self._updater: Updater | None = None
        self._codec: compression.Codec | None = None
        self._residuals: dict[Any, Tensor] = {}

    @property
    def type(self) -> str:
        return self._name

    @property
    def rank(self) -> int:
        return 0

    @property
    def num_workers(self) -> int:
        return 1

    @staticmethod
    def is_capable(capability: str) -> bool:
        if capability != KVStore.OPTIMIZER:
            raise KVStoreError(f"is_capable: there is one capability, {KVStore.OPTIMIZER!r}; got {capability!r}")
        return True

    def init(self, key, value) -> None:
        call = pairs("init", key, value)
        self._key_kind = check_one_kind("init", self._key_kind, [name for name, _ in call])
        for name, copies in call:
            if len(copies) != 1:
                raise KVStoreError(f"init: key {name!r} needs one value; got {len(copies)}")
            if name in self._values:
                raise KVStoreError(f"init: key {name!r} has a value already; a key is initialised once, then pushed")
            first = as_tensor("init", name, copies[0]).detach()
            self._values[name] = first.to(self._home(name, [first]), copy=True)
            self._kinds[name] = kind_of(copies[0])

    @torch.no_grad()
    def push(self, key, value, priority: int = 0) -> None:
        call = self._known("push", key, value)
        self._store(call, self._reduce(call))

    @torch.no_grad()
    def pull(self, key, out=None, priority: int = 0, ignore_sparse: bool = True) -> None:
        for name, copies in self._known("pull", key, out):
            value = self._values[name]
            if value.is_sparse and ignore_sparse:
                continue
            _write(value, copies)

    @torch.no_grad()
    def pushpull(self, key, value, out=None, priority: int = 0) -> None:
        call = self._known("pushpull", key, value)
        targets = call if out is None else self._known("pushpull", key, out)
        self._store(call, self._reduce(call))
        for name, copies in targets:
            _write(self._values[name], copies)

    @torch.no_grad()
    def overwrite(self, key, value) -> None:
        for name, copies in self._known("overwrite", key, value):
            self._replace(name, copies[0])

    def broadcast(self, key, value, out, priority: int = 0) -> None:
        self.init(key, value)
        self.pull(key, out, priority, ignore_sparse=False)

    @torch.no_grad()
    def row_sparse_pull(self, key, out=None, priority: int = 0, row_ids=None) -> None:
        """Rows `row_ids` of the value into `out`: row-sparse, or dense (its other rows become 0)."""
        targets = self._known("row_sparse_pull", key, out)
        wanted = pairs("row_sparse_pull", key, row_ids)
        for name, copy, ids in with_row_ids(targets, wanted):
            part = rows(self._values[name], as_tensor("row_sparse_pull", name, ids))
            _write(part if copy.is_sparse else part.to_dense(), [copy])

    def set_updater(self, updater: Updater | None) -> None:
        self._updater = updater

    def set_optimizer(self, optimizer) -> None:
        """Runs `optimizer` on every push; it must have ``make_updater()``, which returns an `Updater`."""
        self.set_updater(optimizer.make_updater())

    def set_gradient_compression(self, compression_params: dict) -> None:
        """Where several devices push, takes from each what fits few bits, and the rest the next time."""
        if self._placement is None:
            raise KVStoreError(f"set_gradient_compression: the store {self._name!r} does not compress; use 'device' or "
                               "'dist_sync'")
        self._codec, self._residuals = compression.create(compression_params), {}

    def barrier(self) -> None:
        """Nothing to wait for: one worker."""

    def save_optimizer_states(self, fname, dump_optimizer: bool = False) -> None:
        write_atomically(fname, self._states_owner("save_optimizer_states").get_states(dump_optimizer))

    def load_optimizer_states(self, fname) -> None:
        self._states_owner("load_optimizer_states").set_states(Path(fname).read_bytes())

    def _states_owner(self, where: str):
        if not hasattr(self._updater, "get_states"):
            raise KVStoreError(f"{where}: this store runs no optimizer; call set_optimizer first")
        return self._updater

    def _known(self, where: str, key, value) -> list[tuple[Key, list[Tensor]]]:
        """The pairs of a call, every key initialised and every value of its key's shape."""
        call = pairs(where, key, value)
        check_one_kind(where, self._key_kind, [name for name, _ in call])
        return [(name, self._checked(where, name, copies)) for name, copies in call]

    def _checked(self, where: str, key: Key, copies: list) -> list[Tensor]:
        if key not in self._values:
            raise KVStoreError(f"{where}: key {key!r} has no value yet; call init first")
        shape = self._values[key].shape
        tensors = [as_tensor(where, key, copy) for copy in copies]
        for tensor in tensors:
            if tensor.shape != shape:
                raise KVStoreError(f"{where}: key {key!r} has shape {tuple(shape)}; got {tuple(tensor.shape)}")
        return tensors

    def _home(self, key: Key, copies: list[Tensor]) -> torch.device:
        """Where the values of `key` are reduced."""
        if self._placement is None:
            return CPU
        num_bytes = copies[0].numel() * copies[0].element_size()
        return self._placement.device(key, [copy.device for copy in copies], num_bytes)

    def _reduce(self, call: list[tuple[Key, list[Tensor]]]) -> list[Tensor]:
        """The reduced value of each pair of `call`, in its order."""
        if self._codec is not None:
            call = [(name, self._compressed(self._codec, name, copies)) for name, copies in call]
        if self._placement is None and all(len(copies) == 1 and copies[0].is_cpu for _, copies in call):
            return [copies[0] for _, copies in call]
        places = [self._home(name, copies) for name, copies in call]
        results: dict[int, Tensor] = {}
        for place in dict.fromkeys(places):
            here = [position for position, other in enumerate(places) if other == place]
            results.update(zip(here, reduce_many([call[position][1] for position in here], place), strict=True))
        return [results[position] for position in range(len(call))]

    def _compressed(self, codec: compression.Codec, key: Key, copies: list[Tensor]) -> list[Tensor]:
        """What gets through of each device's value."""
        if len(copies) == 1 or copies[0].is_sparse:
            return copies
        through = []
        for device, copy in enumerate(copies):
            if copy.dtype is not torch.float32:
                raise KVStoreError(f"push: gradient compression takes float32 gradients; got {copy.dtype}")
            if (key, device) not in self._residuals:
                self._residuals[key, device] = torch.zeros(copy.numel())
            sent = compression.decoded(codec, copy.detach().reshape(-1).cpu(), self._residuals[key, device])
            through.append(sent.view(copy.shape).to(copy.device))
        return through

    def _store(self, call: list[tuple[Key, list[Tensor]]], reduced: list[Tensor]) -> None:
        """Runs the updater on the reduced values, or takes them in: the store never aliases a caller's array."""
        if self._updater is None:
            for (key, copies), value in zip(call, reduced, strict=True):
                if value is copies[0]:
                    self._replace(key, value)
                else:      # a new tensor, which nobody else holds
                    self._values[key] = value.to(self._values[key].dtype)
            return
        dense = [position for position, value in enumerate(reduced)
                 if not (value.is_sparse and self._update_rows(call[position][0], value))]
        keys, reduced = [call[position][0] for position in dense], [reduced[position] for position in dense]
        grads = [as_kind(value, self._kinds[key]) for key, value in zip(keys, reduced, strict=True)]
        weights = [as_kind(self._values[key], self._kinds[key]) for key in keys]
        if getattr(self._updater, "takes_lists", False):
            self._updater(keys, grads, weights)
        else:
            for arguments in zip(keys, grads, weights, strict=True):
                self._updater(*arguments)

    def _update_rows(self, key: Key, grad: Tensor) -> bool:
        """Updates the rows of a row-sparse gradient.  False: the updater takes sparse tensors itself."""
        kind = self._kinds[key]
        if kind is None:
            return False
        updater: Any = self._updater
        if not hasattr(updater, "update_rows"):
            raise StoreNotBuiltError(f"push: key {key!r}: an updater of one's own takes dense {kind.__name__}; got a "
                                     f"row-sparse gradient; use set_optimizer, or push dense arrays")
        grad = grad.coalesce()
        rows = as_kind(grad.values().contiguous(), kind)
        updater.update_rows(key, grad.indices()[0], rows, as_kind(self._values[key], kind))
        return True

    def _replace(self, key: Key, value: Tensor) -> None:
        if value.is_sparse or self._values[key].is_sparse:
            self._values[key] = value.clone()
        else:
            self._values[key].copy_(value)


def _write(value: Tensor, copies: list[Tensor]) -> None:
    """Copies `value` into each array, over its device and dtype."""
    for copy in copies:
        copy.copy_(value, non_blocking=copy.is_cuda)      # a copy to the CPU must have arrived before it is read


@builder("local", "local_update_cpu", "local_allreduce_cpu")
def _on_cpu(name: str) -> LocalStore:
    return LocalStore(name)


@builder("device", "local_allreduce_device")
def _on_device(name: str) -> LocalStore:
    return LocalStore(name, on_device=True)
