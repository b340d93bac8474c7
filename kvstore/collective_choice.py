"""What a machine's leader takes into the next round: tasks that all workers (and all leaders) have, the most urgent."""
from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from .collective import Machine
from .collective_network import Leaders
from .errors import KVStoreError
from .shared_memory import BELL, LOGGED, LOOK_S

ROUND_S = 0.05               # how long a round between machines may keep more urgent tasks waiting
EARLY_ROUND_S = 0.01         # the same of early tasks, after which more urgent ones are sure to come
LEAST_ROUND_BYTES = 1 << 18  # of a round that tells how fast the network is
RETRY_S = 1e-3               # how soon leaders ask each other again whether they have a task in common
EQUAL_ROUNDS = 4             # between machines, where a meeting costs more, what is equally urgent goes together
MOST_TASKS = 500             # of one round: what is announced fits 8 KiB


@dataclass(eq=False)
class Task:
    """One thing that all workers do together.

    name: 64 bits that are equal for the same key on all workers.   form: 64 bits that must be equal too (shape, dtype,
    kind).   label: for messages.   work: what the store's `run` needs.   loads: of num_bytes, those that go to each
    machine and come back from it; none: they go everywhere.   is_early: what comes later is likely more urgent.
    """

    name: int
    form: int
    label: str
    num_bytes: int = 0
    priority: int = 0
    work: Any = None
    number: int = 0
    loads: tuple[int, ...] = ()
    is_early: bool = False
    done: threading.Event = field(default_factory=threading.Event)


class Limits(NamedTuple):
    """Bytes of a round of tasks that are equally urgent, of others, and of early ones."""

    equal: int
    urgent: int
    early: int


def most_urgent(ready: list[Task], machines: int, limits: Limits) -> list[Task]:
    """The first of `ready`, and what fits a round with it.

    What goes to different machines does not wait for each other, so the most that one machine gets counts.
    """
    taken: list[Task] = []
    everywhere, each = 0, [0] * machines
    for task in ready:
        is_equal = not taken or task.priority == taken[0].priority
        limit = limits.early if task.is_early else limits.equal if is_equal else limits.urgent
        now = everywhere + max(each)
        loads = [a + b for a, b in zip(each, task.loads, strict=True)] if task.loads else each
        total = everywhere + (0 if task.loads else task.num_bytes)
        if not taken or total + max(loads) <= max(limit, now):
            taken.append(task)
            everywhere, each = total, loads
        elif not task.loads:
            break
    return taken


class Choice:
    """limit_bytes: of one round; a task larger than that has a round of its own.   first: of each name the task that
    this worker submitted first and that is not carried out.
    """

    def __init__(self, machine: Machine, limit_bytes: int, first: Callable[[], list[Task]]):
        self._machine, self._board, self._limit_bytes, self._first = machine, machine.board, limit_bytes, first
        size = self._board.size
        self._read = [0] * size                 # entries read of each worker's log
        self._forms: dict[int, list[deque[int]]] = defaultdict(lambda: [deque() for _ in range(size)])
        self._rate = 0.0                        # bytes a second of rounds between machines

    def choose(self) -> list[int]:
        """The names of the next round's tasks, which it announces."""
        next_look = time.monotonic() + LOOK_S
        while True:
            heard = self._board.told(BELL, 0)
            ready = self._ready()
            if ready and (tasks := self._agree(ready)):
                break
            if ready:
                time.sleep(RETRY_S)      # another machine is not ready for these
            else:
                self._board.wait_for_bell(heard)
            if time.monotonic() > next_look:
                self._look()
                next_look = time.monotonic() + LOOK_S
        names = [task.name for task in tasks]
        for name in names:
            for forms in self._forms[name]:
                forms.popleft()
        self._machine.announce(names)
        return names

    def _look(self) -> None:
        """Whether those live for whom the first tasks wait."""
        names = [task.name for task in self._first()]
        for rank in {rank for name in names for rank, forms in enumerate(self._forms[name]) if not forms}:
            self._board.look(rank)

    def pass_by(self, name: int) -> None:
        """A task is carried out that needed no choice."""
        self._read_logs()
        for forms in self._forms[name]:
            forms.popleft()

    def _read_logs(self) -> None:
        for rank in range(self._board.size):
            for number in range(self._read[rank], self._board.told(LOGGED, rank)):
                name, form, _ = self._board.entry(rank, number)
                self._forms[name][rank].append(form)
                self._read[rank] = number + 1

    def _ready(self) -> list[Task]:
        """What every worker of this machine has submitted, the most urgent first."""
        self._read_logs()
        ready = [task for task in self._first() if all(self._forms[task.name])]
        for task in ready:
            self._check(task, [forms[0] for forms in self._forms[task.name]])
        return sorted(ready, key=lambda task: (-task.priority, task.number))

    def _check(self, task: Task, forms: list[int]) -> None:
        if any(form != task.form for form in forms):
            raise KVStoreError(f"{task.label}: the workers gave it different shapes, dtypes, storage types, "
                               f"compression or calls; call the store alike in every worker")

    def _agree(self, ready: list[Task]) -> list[Task]:
        """Those that are ready on every machine, in the order of the first one's, as many as fit a round.

        Between machines what is less urgent than the first task waits for another round if this one would take long:
        something urgent may come meanwhile.  What goes to another machine than the first task's takes no time of its.
        """
        limits = Limits(*[self._limit_bytes] * 3)
        if self._machine.leaders is not None:
            ready, rate = self._agreed(ready[:MOST_TASKS], self._machine.leaders)
            limits = Limits(self._limit_bytes * EQUAL_ROUNDS, int(rate * ROUND_S), int(rate * EARLY_ROUND_S))
        return most_urgent(ready[:MOST_TASKS], self._machine.machines, limits)

    def _agreed(self, ready: list[Task], leaders: Leaders) -> tuple[list[Task], int]:
        """Tasks that are ready on every machine, and how many bytes a second the first machine's leader moves."""
        rows = [(int(self._rate), 0), *((task.name, task.form) for task in ready)]
        told = torch.tensor(rows + [(0, 0)] * (1 + MOST_TASKS - len(rows)), dtype=torch.int64)
        gathered = leaders.gather(told)
        everybody = [dict(numbers[1:].tolist()) for numbers in gathered]
        mine = {task.name: task for task in ready}
        agreed = [mine[name] for name in everybody[0] if all(name in forms for forms in everybody) and name in mine]
        for task in agreed:
            self._check(task, [forms[task.name] for forms in everybody])
        return agreed, int(gathered[0][0, 0])

    def measure(self, num_bytes: int, seconds: float) -> None:
        """Takes note of a round."""
        if self._machine.leaders is not None and num_bytes >= LEAST_ROUND_BYTES:
            rate = num_bytes / seconds
            self._rate = 0.5 * (self._rate + rate) if self._rate else rate
