"""`dist_sync`: every worker's push is summed before anybody goes on; there is no server.

Without an optimizer every worker gets the sums.  With one, each key has an owner among the workers: the sum goes to
the owner, which holds the optimizer's state of that key, updates the weight and hands it to the others.  Between
machines every machine owns a share of each array where the optimizer allows that (dist_sync_parts.py).
"""
from __future__ import annotations

import atexit
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor

from . import compression, config
from .collective import Machine
from .collective_choice import Task
from .collective_group import Meeting
from .collective_schedule import Schedule
from .control_client import Control
from .dist_sync_parts import Parts
from .dist_sync_rounds import Rounds
from .dist_sync_tasks import EARLY_BYTES, Bundles, Item, Kind, contiguous, flat
from .elastic import Elastic
from .errors import KVStoreError
from .files import write_atomically
from .keys import Key, pairs
from .local import LocalStore, _write
from .membership import DEAD
from .sum_plans import SumPlans


class DistSyncStore(LocalStore):
    """Values that all workers of a job agree on.

    name: what `type` says.   control: this worker's membership of the job.   on_device: reduce over this worker's
    devices where the values are.   slice_elements: larger arrays go in slices of so many; urgent keys pass them.
    """

    def __init__(self, name: str, control: Control, on_device: bool = False, slice_elements: int | None = None):
        super().__init__(name, on_device)
        self._control = control
        self._rounds, elastic = self._begin()
        bucket_bytes = config.bucket_bytes()
        self._bundles = Bundles(bucket_bytes if slice_elements is None else 4 * slice_elements, slice_elements)
        round_bytes = 4 * bucket_bytes if slice_elements is None else bucket_bytes // 4
        self._schedule = Schedule(self._machine, self._rounds.run, round_bytes, elastic, self._rounds.post)
        self._pending: dict[Key, list[Task]] = defaultdict(list)
        self._late: list[tuple[list[Task], list[tuple[Tensor, Tensor]]]] = []     # arrays that take sums after tasks
        self._staged: dict[Key, Tensor] = {}
        self._whole: set[Key] = set()       # keys whose optimizer states do not lie in parts any more
        self._plans, self._plans_calls = SumPlans(), elastic is None      # which needs the arrays unchanged
        atexit.register(self.close)

    def _begin(self) -> tuple[Rounds, Elastic | None]:
        self._meeting = Meeting(self._control)
        self._barriers = self._gathered = 0
        return Rounds(self._meeting, self._values, self._store, self._is_lazy, self._parts()), None

    def _parts(self) -> Parts:
        return Parts(self._meeting, self._values, self._kinds, lambda: self._updater)

    def _is_lazy(self) -> bool | None:
        return getattr(self._updater, "is_lazy", None)

    @property
    def _machine(self) -> Machine:
        return self._meeting.machine

    @property
    def rank(self) -> int:
        return self._control.job.rank

    @property
    def num_workers(self) -> int:
        return self._control.job.num_workers

    def get_num_dead_node(self, node_id: int = 0, timeout: float = 60) -> int:
        """How many workers are dead.  The arguments are MXNet's and change nothing."""
        return sum(one.state == DEAD for one in self._control.members if one.role == "worker")

    num_dead_node = get_num_dead_node

    # -- values -----------------------------------------------------------------------------------------------
    def init(self, key, value) -> None:
        """Gives each new key the value that worker 0 has; every worker calls it."""
        call = pairs("init", key, value)
        super().init(key, value)
        for name, _ in call:
            self._values[name] = contiguous(self._values[name])
            self._rounds.own(name)
        self._spread([name for name, _ in call])

    def _spread(self, names: list[Key]) -> None:
        """Gives everybody the first worker's values."""
        rows = [name for name in names if self._values[name].is_sparse]
        tasks = self._bundles.tasks(Kind.INIT_ROWS, [(name, self._values[name], []) for name in rows], 0)
        tasks += self._bundles.tasks(Kind.INIT, [(name, flat(self._values[name]), [])
                                                 for name in names if name not in rows], 0)
        self._schedule.submit(tasks, will_wait=True)
        self._schedule.wait(tasks)

    @torch.no_grad()
    def push(self, key, value, priority: int = 0) -> None:
        """Sums over devices and workers, then runs the updater or keeps the sum.  Returns before that is done."""
        call = self._known("push", key, value)
        self._start(self._staged_sums(call), priority)

    @torch.no_grad()
    def gradient_ready(self, key, value, priority: int = 0, early: bool = False) -> None:
        """A push that reads the arrays later: leave them alone until `pull`, `barrier` or `wait` returns.

        early: what is handed over later is likely more urgent, so these go in small parts that it can pass.
        """
        call = self._known("gradient_ready", key, value)
        self._start(list(zip([name for name, _ in call], self._reduce(call), strict=True)), priority, early)

    @torch.no_grad()
    def pull(self, key, out=None, priority: int = 0, ignore_sparse: bool = True) -> None:
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
        tasks = self._plans.tasks(key, value, priority)
        if tasks:
            self._schedule.submit(tasks, will_wait=True)
            self._schedule.wait(tasks)
            return
        call = self._known("allreduce", key, value)
        reduced = self._reduce(call)
        tasks, late = self._begin_sums([(name, one, copies) for (name, copies), one in
                                        zip(call, reduced, strict=True)], priority, will_wait=True)
        if not late and self._plans_calls:
            self._plans.learn(key, value, tasks, self._machine.sum_bytes)
        self._schedule.wait(tasks)
        _copy_late(late)

    @torch.no_grad()
    def reduce_ready(self, key, value, priority: int = 0, early: bool = False) -> None:
        """As `allreduce`, but returns at once: leave the arrays alone until `wait` returns.  early: as above."""
        call = self._known("reduce_ready", key, value)
        tasks, late = self._begin_sums([(name, one, copies) for (name, copies), one in
                                        zip(call, self._reduce(call), strict=True)], priority, early=early)
        for task in tasks:
            for work in task.work:
                self._pending[work.key].append(task)
        if late:
            self._late.append((tasks, late))

    def first_of(self, content: bytes) -> bytes:
        """The first worker's bytes; every worker calls it."""
        return self._gather(content)[0]

    def row_sparse_pull(self, key, out=None, priority: int = 0, row_ids=None) -> None:
        self.wait(name for name, _ in pairs("row_sparse_pull", key, out))
        super().row_sparse_pull(key, out, priority, row_ids)

    def overwrite(self, key, value) -> None:
        """Replaces the value in every worker by worker 0's; every worker calls it."""
        call = self._known("overwrite", key, value)
        self.wait(name for name, _ in call)
        super().overwrite(key, value)
        self._spread([name for name, _ in call])

    def wait(self, keys: Iterable[Key] | None = None) -> None:
        """Returns when what was pushed to these keys (default: all) is summed."""
        for name in list(self._pending) if keys is None else keys:
            self._schedule.wait(self._pending.pop(name, []))
        for tasks, late in [one for one in self._late if all(task.done.is_set() for task in one[0])]:
            _copy_late(late)
            self._late.remove((tasks, late))

    def barrier(self) -> None:
        self.wait()
        self._barriers += 1
        nothing: Item = (f"\0barrier {self._barriers}", torch.empty(0), [])
        self._schedule.wait(self._submit(Kind.BARRIER, [nothing], will_wait=True))

    def close(self) -> None:
        """Ends the store's thread, once what was pushed is summed, and waits a while for the others to come here too.

        Leaving at once would cut off those who still read the last sums, or the control server that worker 0 runs.
        """
        atexit.unregister(self.close)
        try:
            if self._schedule.close(self._control.job.timeout, self._leave):
                self._meeting.part(self.is_elastic)
        finally:
            self._machine.close()

    def _leave(self) -> None:
        """Makes the thread's waiting end."""
        self._meeting.is_leaving = True

    # -- optimizer --------------------------------------------------------------------------------------------
    def set_updater(self, updater) -> None:
        self.wait()
        super().set_updater(updater)
        self._rounds.parts.forget()
        self._whole.clear()

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
        self._rounds.parts.forget()
        for key, worker in self._rounds.owners.items():
            if self._goes_in_parts(key):
                self._rounds.parts.begin(key)
            elif worker != self.rank:
                owner.states.pop(key, None)
        self.barrier()

    def _gather(self, mine: bytes) -> list[bytes]:
        """Every worker's bytes, in the order of ranks."""
        self._gathered += 1
        values = torch.frombuffer(bytearray(mine or b"\0"), dtype=torch.uint8)
        found: list[Tensor] = []
        self._schedule.wait(self._submit(Kind.BYTES, [(f"\0bytes {self._gathered}", values, found)],
                                         will_wait=True))
        return [bytes(part.numpy()) for part in found]

    def set_gradient_compression(self, compression_params: dict) -> None:
        """Sends dense float32 gradients in few bits (docs/compression.md); every worker calls it alike."""
        codec = compression.create(compression_params)
        self.barrier()
        self._plans_calls = False
        self._plans.clear()
        self._bundles.coding = repr(sorted(compression_params.items()))
        self._rounds.compress(codec)

    # -- tasks ------------------------------------------------------------------------------------------------
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

    def _start(self, sums: list[tuple[Key, Tensor]], priority: int, early: bool = False) -> None:
        kinds = [self._kind(name, one) for name, one in sums]
        for kind in dict.fromkeys(kinds):
            call = [one for one, other in zip(sums, kinds, strict=True) if other is kind]
            items = [(name, one if kind is Kind.ROWS else flat(one),
                      [flat(self._values[name])] if kind is Kind.SUM else []) for name, one in call]
            for task in self._submit(kind, items, priority, early=early):
                for work in task.work:
                    self._pending[work.key].append(task)

    def _kind(self, key: Key, value: Tensor) -> Kind:
        """What happens to a value that is pushed.

        A key that was once updated otherwise than in parts stays so: its state would move to and fro.
        """
        kind = self._kind_of(value)
        if kind in (Kind.UPDATE, Kind.ROWS) and self._goes_in_parts(key):
            if kind is Kind.UPDATE and self._rounds.codec is None and value.dtype is self._values[key].dtype:
                return Kind.PARTS
            self.wait([key])
            self._whole.add(key)
        return kind

    def _goes_in_parts(self, key: Key) -> bool:
        return self._rounds.parts.are_possible and key not in self._whole and not self._values[key].is_sparse

    def _kind_of(self, value: Tensor) -> Kind:
        if value.is_sparse:
            return Kind.ROWS
        if self._rounds.codec is not None and value.dtype is not torch.float32:
            raise KVStoreError(f"push: gradient compression takes float32 gradients; got {value.dtype}")
        return Kind.SUM if self._updater is None else Kind.UPDATE

    def _sum_into(self, items: list[Item], priority: int) -> None:
        """Writes the sum over workers of each array into its targets, and waits."""
        tasks, late = self._begin_sums(items, priority, will_wait=True)
        self._schedule.wait(tasks)
        _copy_late(late)

    def _begin_sums(self, items: list[Item], priority: int,
                    will_wait: bool = False, early: bool = False) -> tuple[list[Task], list[tuple[Tensor, Tensor]]]:
        """Tasks that sum each array, and (target, sum) for the targets that take it from another array then."""
        tasks, late = [], []
        for name, one, targets in items:
            self._kind_of(one)
            arrays = []
            for target in targets:
                if target.dtype == one.dtype and not target.is_cuda and target.is_contiguous():
                    arrays.append(flat(target))
                else:
                    arrays.append(torch.empty(one.numel(), dtype=one.dtype))
                    late.append((target, arrays[-1]))
            tasks.append((name, flat(one), arrays))
        return self._submit(Kind.SUM, tasks, priority, will_wait, early), late

    def _submit(self, kind: Kind, items: list[Item], priority: int = 0, will_wait: bool = False,
                early: bool = False) -> list[Task]:
        if self._rounds.codec is not None and kind in (Kind.SUM, Kind.UPDATE):
            self.wait(name for name, _, _ in items)      # what is left out of the last push goes into this one
        tasks = self._bundles.tasks(kind, items, priority, self._slices(kind, items) if early else None)
        if kind is Kind.UPDATE and self._rounds.codec is None:
            for task in tasks:
                task.loads = self._rounds.loads_of(task.work)
        self._schedule.submit(tasks, will_wait)
        return tasks


    def _slices(self, kind: Kind, items: list[Item]) -> Callable[[Key], int] | None:
        """How long slices of early keys are; None: they go whole, as only a network is slow enough for slices."""
        if self._machine.machines == 1 or self._rounds.codec is not None or kind not in (Kind.SUM, Kind.PARTS):
            return None
        if kind is Kind.SUM:
            sizes = {name: EARLY_BYTES // source.itemsize for name, source, _ in items}
            return sizes.__getitem__
        self.wait(name for name, _, _ in items)      # an update is counted with its first slice
        return self._rounds.parts.slice_elements


def _copy_late(late: list[tuple[Tensor, Tensor]]) -> None:
    for target, array in late:
        target.copy_(array.view(target.shape))
