"""`dist_sync`: every worker's push is summed before anybody goes on; there is no server.

Without an optimizer every worker gets the sums.  With one, each key has an owner among the workers: the sum goes to
the owner, which holds the optimizer's state of that key, updates the weight and hands it to the others.
"""
from __future__ import annotations

import atexit
import enum
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from . import compression, config
from .collective import Share
from .collective_coded import Coded
from .collective_group import Meeting
from .collective_rows import gathered, sum_of_rows
from .collective_schedule import Schedule, Task
from .control_client import Control
from .errors import KVStoreError
from .files import write_atomically
from .keys import Key, pairs
from .local import LocalStore, _write
from .membership import DEAD
from .rendezvous import connect
from .store import builder


class Kind(enum.Enum):
    """What workers do together with a key."""

    INIT = "init"
    SUM = "sum"             # everybody gets the sum
    UPDATE = "update"       # the owner gets the sum, everybody the new weight
    ROWS = "rows"           # row-sparse: everybody gets the sum
    BARRIER = "barrier"
    BYTES = "bytes"         # everybody gets everybody's bytes


@dataclass(slots=True)
class Work:
    """A task's arrays, flat.  source: T[n] (row-sparse: as pushed).   targets: T[n] each.   start: of a slice."""

    kind: Kind
    key: Key
    source: Tensor
    targets: list[Tensor]
    start: int = 0


class DistSyncStore(LocalStore):
    """Values that all workers of a job agree on.

    name: what `type` says.   control: this worker's membership of the job.   on_device: reduce over this worker's
    devices where the values are.   slice_elements: larger arrays go in slices of so many; urgent keys pass them.
    """

    def __init__(self, name: str, control: Control, on_device: bool = False, slice_elements: int | None = None):
        super().__init__(name, on_device)
        self._control, self._slice_elements = control, slice_elements
        self._meeting = Meeting(control)
        self._machine = self._meeting.machine
        self._bucket_bytes = config.bucket_bytes() if slice_elements is None else 4 * slice_elements
        round_bytes = 4 * config.bucket_bytes() if slice_elements is None else config.bucket_bytes() // 4
        self._schedule = Schedule(self._machine, self._run, round_bytes)
        self._numbers: dict[tuple, int] = {}
        self._pending: dict[Key, list[Task]] = defaultdict(list)
        self._staged: dict[Key, Tensor] = {}
        self._sums: dict[Key, Tensor] = {}
        self._owners: dict[Key, int] = {}
        self._loads = [0] * self.num_workers
        self._pushes: dict[Key, int] = {}
        self._barriers = self._gathered = 0
        self._coded: Coded | None = None
        self._states: dict[tuple[Key, int], dict[str, Tensor]] = defaultdict(dict)
        atexit.register(self.close)

    @property
    def rank(self) -> int:
        return self._control.job.rank

    @property
    def num_workers(self) -> int:
        return self._control.job.num_workers

    def get_num_dead_node(self, node_id: int = 0, timeout: int = 60) -> int:
        """How many workers are dead.  The arguments are MXNet's and change nothing."""
        return sum(one.state == DEAD for one in self._control.members if one.role == "worker")

    num_dead_node = get_num_dead_node

    # -- values -----------------------------------------------------------------------------------------------
    def init(self, key, value) -> None:
        """Gives each new key the value that worker 0 has; every worker calls it."""
        call = pairs("init", key, value)
        super().init(key, value)
        for name, _ in call:
            self._values[name] = self._values[name].to("cpu").contiguous()
            self._own(name)
        dense = [name for name, _ in call if not self._values[name].is_sparse]
        self._wait_for(self._submit(Kind.INIT, [(name, _flat(self._values[name]), []) for name in dense], 0))

    @torch.no_grad()
    def push(self, key, value, priority: int = 0) -> None:
        """Sums over devices and workers, then runs the updater or keeps the sum.  Returns before that is done."""
        call = self._known("push", key, value)
        self._start(self._staged_sums(call), priority)

    @torch.no_grad()
    def gradient_ready(self, key, value, priority: int = 0) -> None:
        """A push that reads the arrays later: leave them alone until `pull`, `barrier` or `wait` returns."""
        call = self._known("gradient_ready", key, value)
        self._start(list(zip([name for name, _ in call], self._reduce(call), strict=True)), priority)

    @torch.no_grad()
    def pull(self, key, out, priority: int = 0, ignore_sparse: bool = True) -> None:
        self.wait(name for name, _ in pairs("pull", key, out))
        super().pull(key, out, priority, ignore_sparse)

    @torch.no_grad()
    def pushpull(self, key, value, out=None, priority: int = 0) -> None:
        call = self._known("pushpull", key, value)
        targets = call if out is None else self._known("pushpull", key, out)
        reduced = self._reduce(call)
        if self._updater is not None or any(one.is_sparse for one in reduced):
            self._start(list(zip([name for name, _ in call], reduced, strict=True)), priority)
            for name, copies in targets:
                self.wait([name])
                _write(self._values[name], copies)
            return
        arrays = dict(targets)
        self._sum_into([(name, one, [self._values[name], *arrays[name]])
                        for (name, _), one in zip(call, reduced, strict=True)], priority)

    @torch.no_grad()
    def allreduce(self, key, value, priority: int = 0) -> None:
        """Replaces the arrays of each key by their sum over devices and workers; the store's values stay."""
        call = self._known("allreduce", key, value)
        reduced = self._reduce(call)
        self._sum_into([(name, one, copies) for (name, copies), one in zip(call, reduced, strict=True)], priority)

    def row_sparse_pull(self, key, out, row_ids, priority: int = 0) -> None:
        self.wait(name for name, _ in pairs("row_sparse_pull", key, out))
        super().row_sparse_pull(key, out, row_ids, priority)

    def overwrite(self, key, value) -> None:
        """Replaces the value in every worker by worker 0's; every worker calls it."""
        call = self._known("overwrite", key, value)
        self.wait(name for name, _ in call)
        super().overwrite(key, value)
        self._wait_for(self._submit(Kind.INIT, [(name, _flat(self._values[name]), []) for name, _ in call], 0))

    def wait(self, keys: Iterable[Key] | None = None) -> None:
        """Returns when what was pushed to these keys (default: all) is summed."""
        for name in list(self._pending) if keys is None else keys:
            self._wait_for(self._pending.pop(name, []))

    def barrier(self) -> None:
        self.wait()
        self._barriers += 1
        self._wait_for(self._submit(Kind.BARRIER, [(f"barrier {self._barriers}", torch.empty(0), [])], 0))

    def close(self) -> None:
        """Ends the store's thread, once what was pushed is summed, and waits a while for the others to come here too.

        Leaving at once would cut off those who still read the last sums, or the control server that worker 0 runs.
        """
        atexit.unregister(self.close)
        try:
            if self._schedule.close():
                self._meeting.part()
        finally:
            self._machine.close()

    # -- optimizer --------------------------------------------------------------------------------------------
    def set_optimizer(self, optimizer) -> None:
        """Runs `optimizer`; each worker updates the keys that it owns, by its own copy, which all make alike."""
        self.wait()
        super().set_optimizer(optimizer)
        self.barrier()

    def save_optimizer_states(self, fname, dump_optimizer: bool = False) -> None:
        """Writes the states of all keys, gathered from their owners, as one process would; every worker calls it.

        Worker 0 writes the file.
        """
        owner = self._states_owner("save_optimizer_states")
        self.wait()
        parts = self._gather(owner.get_states(dump_optimizer))
        if self.rank == 0:
            write_atomically(fname, owner.merge_states(parts))
        self.barrier()

    def load_optimizer_states(self, fname) -> None:
        """Reads what `save_optimizer_states` wrote, here or in one process; each worker keeps the keys that it owns."""
        owner = self._states_owner("load_optimizer_states")
        self.wait()
        owner.set_states(Path(fname).read_bytes())
        for key, worker in self._owners.items():
            if worker != self.rank:
                owner.states.pop(key, None)
        self.barrier()

    def _gather(self, mine: bytes) -> list[bytes]:
        """Every worker's bytes, in the order of ranks."""
        self._gathered += 1
        values = torch.frombuffer(bytearray(mine or b"\0"), dtype=torch.uint8)
        work = Work(Kind.BYTES, f"bytes {self._gathered}", values, [])
        task = Task(_number(str(work.key)), 0, str(work.key), 0, 0, [work])
        self._schedule.submit([task])
        self._wait_for([task])
        return [bytes(part.numpy()) for part in work.targets]

    def set_gradient_compression(self, compression_params: dict) -> None:
        """Sends dense float32 gradients in few bits (docs/compression.md); every worker calls it alike."""
        codec = compression.create(compression_params)
        self.barrier()
        self._coded, self._residuals = self._meeting.coded(codec), {}

    # -- tasks ------------------------------------------------------------------------------------------------
    def _own(self, key: Key) -> None:
        """Gives the key an owner: the worker with the least to hold."""
        owner = min(range(self.num_workers), key=lambda rank: self._loads[rank])
        self._owners[key] = owner
        self._loads[owner] += self._values[key].numel() * self._values[key].element_size()

    def _staged_sums(self, call) -> list[tuple[Key, Tensor]]:
        """The sums over this worker's devices, in arrays that no caller holds."""
        staged = []
        for (name, copies), one in zip(call, self._reduce(call), strict=True):
            if one is copies[0]:
                self.wait([name])
                one = one.clone() if one.is_sparse else self._staged_copy(name, one)
            staged.append((name, one))
        return staged

    def _staged_copy(self, key: Key, value: Tensor) -> Tensor:
        if key not in self._staged or self._staged[key].dtype != value.dtype:
            self._staged[key] = torch.empty(value.shape, dtype=value.dtype)
        return self._staged[key].copy_(value)

    def _start(self, sums: list[tuple[Key, Tensor]], priority: int) -> None:
        for kind in Kind.ROWS, Kind.UPDATE, Kind.SUM:
            call = [(name, one) for name, one in sums if self._kind(one) is kind]
            items = [(name, one if kind is Kind.ROWS else _flat(one),
                      [_flat(self._values[name])] if kind is Kind.SUM else []) for name, one in call]
            for task in self._submit(kind, items, priority):
                for work in task.work:
                    self._pending[work.key].append(task)

    def _kind(self, value: Tensor) -> Kind:
        if value.is_sparse:
            return Kind.ROWS
        if self._coded is not None and value.dtype is not torch.float32:
            raise KVStoreError(f"push: gradient compression takes float32 gradients; got {value.dtype}")
        return Kind.SUM if self._updater is None else Kind.UPDATE

    def _sum_into(self, items: list[tuple[Key, Tensor, list[Tensor]]], priority: int) -> None:
        """Writes the sum over workers of each array into its targets, and waits."""
        tasks, late = [], []
        for name, one, targets in items:
            self._kind(one)
            flat = []
            for target in targets:
                if target.dtype == one.dtype and not target.is_cuda and target.is_contiguous():
                    flat.append(_flat(target))
                else:
                    flat.append(torch.empty(one.numel(), dtype=one.dtype))
                    late.append((target, flat[-1]))
            tasks.append((name, _flat(one), flat))
        self._wait_for(self._submit(Kind.SUM, tasks, priority))
        for target, array in late:
            target.copy_(array.view(target.shape))

    def _submit(self, kind: Kind, items: list[tuple[Key, Tensor, list[Tensor]]], priority: int) -> list[Task]:
        tasks = [self._task(kind, works, priority) for works in self._bundles(kind, items)]
        self._schedule.submit(tasks)
        return tasks

    def _bundles(self, kind: Kind, items: list[tuple[Key, Tensor, list[Tensor]]]) -> Iterator[list[Work]]:
        """What goes together: keys of one call, as many as fit a bucket; row-sparse ones by themselves."""
        if kind is Kind.ROWS:
            yield from ([Work(kind, *item)] for item in items)
            return
        works = [Work(kind, *item) for item in items]
        if self._slice_elements is not None and kind is Kind.SUM:
            works = [part for work in works for part in self._slices(work, self._slice_elements)]
        bundle: list[Work] = []
        num_bytes = 0
        for work in works:
            size = work.source.nbytes
            if bundle and num_bytes + size > self._bucket_bytes:
                yield bundle
                bundle, num_bytes = [], 0
            bundle.append(work)
            num_bytes += size
        if bundle:
            yield bundle

    def _slices(self, work: Work, length: int) -> list[Work]:
        kind, key, source, targets = work.kind, work.key, work.source, work.targets
        if source.numel() <= length:
            return [work]
        return [Work(kind, key, source[at:at + length], [one[at:at + length] for one in targets], at)
                for at in range(0, source.numel(), length)]

    def _task(self, kind: Kind, works: list[Work], priority: int) -> Task:
        """The task of a bundle; it is the same one on every worker that puts the same keys together."""
        keys = tuple((work.key, work.start) for work in works)
        form = kind, tuple((work.source.dtype, work.source.shape) for work in works)
        for told in keys, form:
            if told not in self._numbers:
                self._numbers[told] = _number(repr(told))
        label = f"key {keys[0][0]!r}" + (f" and {len(keys) - 1} others" if len(keys) > 1 else "")
        num_bytes = 0 if kind is Kind.ROWS else sum(work.source.nbytes for work in works)
        return Task(self._numbers[keys], self._numbers[form], label, num_bytes, priority, works)

    def _wait_for(self, tasks: list[Task]) -> None:
        self._schedule.wait(tasks)

    # -- in the store's thread --------------------------------------------------------------------------------
    def _run(self, tasks: list[Task]) -> None:
        groups: dict[tuple, list[Work]] = defaultdict(list)
        for work in (work for task in tasks for work in task.work):
            groups[work.kind, work.source.dtype].append(work)
        for (kind, _), works in groups.items():
            self._RUN[kind](self, works)

    def _run_init(self, works: list[Work]) -> None:
        values = [work.source for work in works]
        self._machine.spread([Share(0, values, [[] if self.rank == 0 else [value] for value in values])])

    def _run_sum(self, works: list[Work]) -> None:
        if self._coded is None:
            self._machine.allreduce([work.source for work in works], [work.targets for work in works])
        else:
            self._sum_coded(self._coded, works, [work.targets for work in works])
        self._count(works)

    def _sum_coded(self, coded: Coded, works: list[Work], targets: list[list[Tensor]]) -> None:
        """Sums in few bits; what was left out waits in the key's residual."""
        residuals = []
        for work in works:
            if work.key not in self._residuals:
                self._residuals[work.key] = torch.zeros(self._values[work.key].numel())
            residuals.append(self._residuals[work.key][work.start:work.start + work.source.numel()])
        coded.allreduce([work.source for work in works], targets, residuals)
        for work, arrays in zip(works, targets, strict=True):
            for position, array in enumerate(arrays):
                if position:
                    array.copy_(arrays[0])
                else:
                    coded.codec.settle(array, self._states[work.key, work.start])

    def _run_update(self, works: list[Work]) -> None:
        mine = [work for work in works if self._owners[work.key] == self.rank]
        sums = {work.key: self._sum_of(work) for work in mine}
        if self._coded is None:
            self._machine.reduce([Share(owner, [work.source for work in part],
                                        [[sums[work.key]] if work.key in sums else [] for work in part])
                                  for owner, part in self._by_owner(works)])
        else:
            self._sum_coded(self._coded, works, [[sums[work.key]] if work.key in sums else [] for work in works])
        keys = [work.key for work in mine]
        self._store([(key, [self._values[key]]) for key in keys],
                    [sums[key].view(self._values[key].shape) for key in keys])
        weights = {work.key: _flat(self._values[work.key]) for work in works}
        for dtype in dict.fromkeys(weight.dtype for weight in weights.values()):
            self._machine.spread([self._share(owner, [weights[work.key] for work in part])
                                  for owner, part in self._by_owner(works) if weights[part[0].key].dtype == dtype])
        self._count(works)

    def _share(self, owner: int, weights: list[Tensor]) -> Share:
        return Share(owner, weights, [[] if owner == self.rank else [weight] for weight in weights])

    def _by_owner(self, works: list[Work]) -> list[tuple[int, list[Work]]]:
        """Works by owner and dtype of the weight, owners in order."""
        groups: dict[tuple, list[Work]] = defaultdict(list)
        for work in works:
            groups[self._owners[work.key], self._values[work.key].dtype].append(work)
        return [(owner, part) for (owner, _), part in sorted(groups.items(), key=lambda group: group[0][0])]

    def _sum_of(self, work: Work) -> Tensor:
        """An array for the sum of a key that this worker owns."""
        if work.key not in self._sums or self._sums[work.key].dtype != work.source.dtype:
            self._sums[work.key] = torch.empty_like(work.source)
        return self._sums[work.key]

    def _run_rows(self, works: list[Work]) -> None:
        for work in works:
            total = sum_of_rows(self._machine, work.source)
            self._store([(work.key, [self._values[work.key]])], [total])
        self._count(works)

    def _run_barrier(self, works: list[Work]) -> None:
        """All workers have come: the round itself was the meeting."""

    def _run_bytes(self, works: list[Work]) -> None:
        for work in works:
            work.targets[:] = gathered(self._machine, work.source)

    _RUN = {Kind.BYTES: _run_bytes, Kind.INIT: _run_init, Kind.SUM: _run_sum, Kind.UPDATE: _run_update,
            Kind.ROWS: _run_rows, Kind.BARRIER: _run_barrier}

    def _count(self, works: list[Work]) -> None:
        """Counts complete steps: a step is complete when every key that takes part in training was pushed in it."""
        for key in (work.key for work in works if not work.start):
            self._pushes[key] = self._pushes.get(key, 0) + 1
        self._meeting.completed(min(self._pushes.values()) - 1)


def _flat(value: Tensor) -> Tensor:
    """T[*S] as T[n] on the CPU, sharing memory where it lies so already."""
    if value.is_cuda:
        value = value.cpu()
    return value if value.dim() == 1 and value.is_contiguous() else value.reshape(-1)


def _number(text: str) -> int:
    """64 bits that stand for `text` on every worker."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


@builder("dist", "dist_sync")
def _on_cpu(name: str) -> DistSyncStore:
    return DistSyncStore(name, connect())


@builder("dist_device_sync", "dist_sync_device")
def _on_device(name: str) -> DistSyncStore:
    return DistSyncStore(name, connect(), on_device=True)


@builder("p3", "dist_sync_p3")
def _sliced(name: str) -> DistSyncStore:
    return DistSyncStore(name, connect(), slice_elements=config.slice_elements())
