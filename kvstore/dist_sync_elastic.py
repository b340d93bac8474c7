"""`dist_sync` that outlives its workers (`elastic=True`): a death costs the others some seconds, and no update.

Every worker holds the whole state, the optimizer's too, so any of them can give it to a newcomer.  `rank` and
`num_workers` are those of the present group and change when it does.
"""
from __future__ import annotations

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from . import config, structure
from .array_bytes import cut, parts, view_bytes
from .collective_choice import Task
from .collective_rows import of_rows
from .dist_sync import DistSyncStore
from .dist_sync_elastic_rounds import ElasticRounds
from .dist_sync_rounds import Rounds
from .dist_sync_tasks import Item, Kind, contiguous
from .elastic import Elastic
from .errors import KVStoreError
from .files import write_atomically
from .keys import Key, pairs
from .local import LocalStore
from .rendezvous import connect
from .store import builder

log = logging.getLogger("mxdl.kvstore")

HEAD_BYTES = 8      # of the length before a state's head


class ElasticStore(DistSyncStore):
    """See the module.  A program that newcomers can join calls `next_step` in every worker before each step (Trainer
    and Module do) and begins at the step that it returns."""

    is_elastic = True

    def _begin(self) -> tuple[Rounds, Elastic]:
        elastic = Elastic(self._control, config.least_workers(), config.straggler_timeout())
        self._inherited: dict[str, Any] = {"values": {}, "shared": {}, "states": None, "results": {}}
        self._shared: dict[str, Callable[[], bytes]] = {}
        self._news: tuple[list[Task], Tensor] | None = None
        self._has_begun = False
        state = elastic.begin()
        self.is_replacement = state is not None
        self._meeting = elastic.meeting
        rounds = ElasticRounds(self._meeting, self._values, self._store, self._is_lazy, self._parts())
        self._barriers = self._gathered = 0
        if state is not None:
            self._inherited = _unpacked(state)
            self._barriers, self._gathered = self._inherited["counts"]
            rounds.pushes = Counter(self._inherited["pushes"])
            self._meeting.steps = self._inherited["steps"]
        elastic.settle, elastic.give = rounds.settle, self._give
        self._elastic = elastic
        return rounds, elastic

    @property
    def rank(self) -> int:
        """This worker's number in the present group."""
        return self._machine.rank

    @property
    def num_workers(self) -> int:
        """Workers of the present group."""
        return len(self._machine.places)

    @property
    def steps(self) -> int:
        """Complete steps: the least number of pushes that a key had, of those that were pushed."""
        return self._meeting.steps + 1

    # -- between steps ----------------------------------------------------------------------------------------
    def next_step(self) -> int:
        """Lets newcomers in, if there are any, and returns `steps`.  Every worker calls it before each step.

        All must agree to it, so that they say with one step whether they know of newcomers, and let them in with the
        next.
        """
        self.wait()
        self._has_begun = True
        if self._news is not None:
            tasks, answer = self._news
            self._schedule.wait(tasks)
            if answer.item():
                self._schedule.wait(self._submit(Kind.LET_IN, [("\0let in", torch.empty(0), [])]))
        answer = torch.zeros(1, dtype=torch.int64)
        known = {one.session for one in self._meeting.group.members}
        question = torch.tensor([len(self._control.living_sessions("worker") - known)])
        self._news = self._submit(Kind.NEWS, [("\0news", question, [answer])]), answer
        return self.steps

    def share_state(self, name: str, get: Callable[[], bytes], put: Callable[[bytes], None]) -> None:
        """State of the program that newcomers take over: `get` in a worker that has it, `put` in the newcomer (now, if
        this is one).  `get` is called while every worker is in `next_step`."""
        self._shared[name] = get
        if name in self._inherited["shared"]:
            put(bytes(view_bytes(self._inherited["shared"].pop(name))))

    def _give(self) -> Tensor:
        """All that a newcomer needs.  out: uint8[n]"""
        owner: Any = self._updater
        states = owner.get_states(True) if hasattr(owner, "get_states") else None
        return _packed({
            "values": {key: _parted(value) for key, value in self._values.items()}, "pushes": dict(self._rounds.pushes),
            "results": _by_key(self._rounds.results),
            "steps": self._meeting.steps, "counts": (self._barriers, self._gathered),
            "states": None if states is None else _bytes(states),
            "shared": {name: _bytes(get()) for name, get in self._shared.items()}})

    # -- values and optimizer -----------------------------------------------------------------------------------
    def init(self, key, value) -> None:
        """Gives each new key the value of the group's first worker, or, in a newcomer, the group's present one."""
        call = pairs("init", key, value)
        LocalStore.init(self, key, value)
        fresh: list[Key] = []
        for name, _ in call:
            mine = self._values[name] = contiguous(self._values[name])
            if name not in self._inherited["values"]:
                fresh.append(name)
                continue
            theirs = _whole(self._inherited["values"].pop(name))
            if theirs.shape != mine.shape or theirs.is_sparse != mine.is_sparse:
                raise KVStoreError(f"init: key {name!r} is {_form(theirs)} in the other workers; got {_form(mine)}")
            self._values[name] = theirs.to(mine.dtype)
        if fresh:
            self._spread(fresh)

    def set_optimizer(self, optimizer) -> None:
        """Runs `optimizer` in every worker alike; a newcomer takes over its states and counts."""
        self.wait()
        LocalStore.set_optimizer(self, optimizer)
        states, self._inherited["states"] = self._inherited["states"], None
        if states is not None:
            self._states_owner("set_optimizer").set_states(bytes(view_bytes(states)))
        self.barrier()

    def barrier(self) -> None:
        """Returns when every worker called it; in a newcomer that has not begun, at once: the others were there."""
        if self._has_begun or not self.is_replacement:
            super().barrier()

    def set_gradient_compression(self, compression_params: dict) -> None:
        """As without `elastic`.  A newcomer takes over what the codec keeps of results; its residuals begin with 0."""
        super().set_gradient_compression(compression_params)
        for name, by_start in self._inherited["results"].items():
            for start, state in by_start.items():
                self._rounds.results[name, start] = state
        self._inherited["results"] = {}

    def optimizer_states(self) -> bytes:
        """The states, which every worker has, as `save_optimizer_states` writes them; who calls it calls it alone."""
        self.wait()
        return self._states_owner("optimizer_states").get_states(True)

    def save_optimizer_states(self, fname, dump_optimizer: bool = False) -> None:
        """Writes the states, which every worker has; the first worker writes the file, every worker calls it."""
        owner = self._states_owner("save_optimizer_states")
        self.wait()
        if self.rank == 0:
            write_atomically(fname, owner.get_states(dump_optimizer))
        self.barrier()

    def _begin_sums(self, items: list[Item], priority: int,
                    will_wait: bool = False, early: bool = False) -> tuple[list[Task], list[tuple[Tensor, Tensor]]]:
        """As without `elastic`, but what is summed stays whole until all workers have the sum."""
        kept: list[Item] = []
        for name, one, targets in items:
            if any(target.data_ptr() == one.data_ptr() for target in targets):
                self.wait([name])
                one = self._staged_copy(name, one)
            kept.append((name, one, targets))
        return super()._begin_sums(kept, priority, will_wait, early)

    def close(self) -> None:
        """As without `elastic`; the others go on when this worker leaves before them."""
        end = None
        if not self._schedule.has_failed and not self._meeting.is_leaving:
            end = self._submit(Kind.BARRIER, [("\0end", torch.empty(0), [])])
            if not end[0].done.wait(self._control.job.timeout):
                log.warning("closing a store of worker %d before the others do", self._control.job.rank)
                self._leave()
        super().close()


def _by_key(results: dict[tuple[Key, int], Any]) -> dict[Key, dict[int, Any]]:
    found: dict[Key, dict[int, Any]] = defaultdict(dict)
    for (key, start), state in results.items():
        found[key][start] = state
    return found


def _parted(value: Tensor) -> Any:
    """A value in dense parts: itself, or of a row-sparse one ids, rows and shape."""
    if not value.is_sparse:
        return value
    value = value.coalesce()
    return value.indices()[0], value.values(), list(value.shape)


def _whole(parted: Any) -> Tensor:
    """What `_parted` took apart."""
    return parted if isinstance(parted, Tensor) else of_rows(*parted)


def _form(value: Tensor) -> str:
    return f"{'row-sparse' if value.is_sparse else 'dense'} of shape {tuple(value.shape)}"


def _bytes(content: bytes | memoryview) -> Tensor:
    return torch.frombuffer(bytearray(content or b"\0"), dtype=torch.uint8)[:len(content)]


def _packed(state: dict[str, Any]) -> Tensor:
    """Nested states as bytes: the length of the head, the head (JSON), the arrays.  out: uint8[n]"""
    skeleton, tensors = structure.flatten(state)
    head = json.dumps(skeleton).encode()
    head += b" " * (-len(head) % 8)
    pieces, _ = parts(tensors)
    return torch.cat([_bytes(len(head).to_bytes(HEAD_BYTES, "little")), _bytes(head),
                      *(_bytes(piece) if piece.readonly else torch.frombuffer(piece, dtype=torch.uint8)
                        for piece in pieces if len(piece))])


def _unpacked(content: Tensor) -> dict[str, Any]:
    """What `_packed` made of nested states."""
    length = int.from_bytes(bytes(view_bytes(content[:HEAD_BYTES])), "little")
    skeleton = json.loads(bytes(view_bytes(content[HEAD_BYTES:HEAD_BYTES + length])))
    return structure.rebuild(skeleton, cut(content[HEAD_BYTES + length:], structure.kinds(skeleton)))


def _store(name: str, elastic: bool | None, **options) -> DistSyncStore:
    kind = ElasticStore if (config.elastic() if elastic is None else elastic) else DistSyncStore
    return kind(name, connect(), **options)


@builder("dist", "dist_sync")
def _on_cpu(name: str, elastic: bool | None = None) -> DistSyncStore:
    return _store(name, elastic)


@builder("dist_device_sync", "dist_sync_device")
def _on_device(name: str, elastic: bool | None = None) -> DistSyncStore:
    return _store(name, elastic, on_device=True)


@builder("p3", "dist_sync_p3")
def _sliced(name: str, elastic: bool | None = None) -> DistSyncStore:
    return _store(name, elastic, slice_elements=config.slice_elements())
