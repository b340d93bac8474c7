"""The order in which the workers carry out what was pushed: the same everywhere, of what everywhere is ready.

A worker writes each task into its log as it submits it.  The leader of the machine looks for tasks that all its
workers have logged (and, with several machines, that all leaders have), takes the most urgent ones and announces
them; then every worker carries them out.  So tasks may be submitted in any order, priorities count, and whatever piles
up while the network is busy goes together in the next round.
"""
from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from .collective import Machine
from .collective_network import Leaders
from .errors import DeadWorkerError, JobFailedError, KVStoreError
from .shared_memory import LOG_ENTRIES, LOGGED, LONGEST_SLEEP_S, LOOK_S, SLEEP_S, STOPPED

MOST_TASKS = 500             # of one round: what is announced fits 8 KiB


@dataclass(eq=False)
class Task:
    """One thing that all workers do together.

    name: 64 bits that are equal for the same key on all workers.   form: 64 bits that must be equal too (shape, dtype,
    kind).   label: for messages.   work: what the store's `run` needs.
    """

    name: int
    form: int
    label: str
    num_bytes: int = 0
    priority: int = 0
    work: Any = None
    number: int = 0
    done: threading.Event = field(default_factory=threading.Event)


class Schedule:
    """Carries out tasks in a thread of its own.

    run: carries out the tasks of a round.   limit_bytes: of one round; a task larger than that has a round of its own.
    """

    def __init__(self, machine: Machine, run: Callable[[list[Task]], None], limit_bytes: int):
        self._machine, self._run, self._limit_bytes = machine, run, limit_bytes
        board = self._board = machine.board
        self._tasks: dict[int, deque[Task]] = defaultdict(deque)     # by name, in the order of submission
        self._submitted = self._finished = 0
        self._failure: BaseException | None = None
        self._changed = threading.Condition()
        self._closing = False
        self._read = [0] * board.size                                # on the leader: entries read of each log
        self._forms: dict[int, list[deque[int]]] = defaultdict(lambda: [deque() for _ in range(board.size)])
        self._thread = threading.Thread(target=self._serve, name="mxdl kvstore", daemon=True)
        self._thread.start()

    # -- the training thread ----------------------------------------------------------------------------------
    def submit(self, tasks: list[Task]) -> None:
        """Hands tasks over.  Raises what stopped an earlier one."""
        with self._changed:
            for task in tasks:
                self._changed.wait_for(lambda: self._failure or self._submitted - self._finished < LOG_ENTRIES)
                self._raise_failure()
                self._tasks[task.name].append(task)
                task.number = self._submitted
                self._board.log(self._submitted, task.name, task.form)
                self._submitted += 1
            self._changed.notify_all()

    def wait(self, tasks: list[Task]) -> None:
        """Returns when the tasks are carried out.  Raises what stopped them."""
        for task in tasks:
            task.done.wait()
        self._raise_failure()

    def close(self) -> bool:
        """Carries out what was submitted, then ends the thread.  Whether everything was carried out."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        return self._failure is None

    def _raise_failure(self) -> None:
        if isinstance(self._failure, DeadWorkerError):      # a new one each time: tracebacks do not pile up
            raise DeadWorkerError(self._failure.ranks, self._failure.last_step, self._failure.reason)
        if self._failure is not None:
            raise JobFailedError(f"kvstore: an earlier call failed: {self._failure}") from self._failure

    # -- the thread -------------------------------------------------------------------------------------------
    def _serve(self) -> None:
        try:
            with torch.no_grad():
                while self._has_work():
                    self._round()
        except BaseException as error:      # whoever waits gets it
            self._fail(error)

    def _has_work(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._finished < self._submitted or self._closing)
            return self._finished < self._submitted

    def _fail(self, error: BaseException) -> None:
        dead = error.ranks[0] + 2 if isinstance(error, DeadWorkerError) else 1
        self._board.tell(STOPPED, dead)
        with self._changed:
            self._failure = error
            for task in (task for tasks in self._tasks.values() for task in tasks):
                task.done.set()
            self._changed.notify_all()

    def _round(self) -> None:
        """Carries out what the leader announces."""
        names = self._choose() if self._board.rank == 0 else self._machine.hear()
        with self._changed:
            tasks = [self._tasks[name][0] for name in names]
        self._run(tasks)
        with self._changed:
            for name in names:
                self._tasks[name].popleft()
            self._finished += len(names)
            self._changed.notify_all()
        for task in tasks:
            task.done.set()

    # -- the leader -------------------------------------------------------------------------------------------
    def _choose(self) -> list[int]:
        """The names of the next round's tasks, which it announces."""
        sleep_s, next_look = SLEEP_S, time.monotonic() + LOOK_S
        while not (ready := self._ready()) or not (tasks := self._agree(ready)):
            time.sleep(sleep_s)
            sleep_s = min(2 * sleep_s, LONGEST_SLEEP_S)
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
        with self._changed:
            first = [tasks[0].name for tasks in self._tasks.values() if tasks]
        for rank in {rank for name in first for rank, forms in enumerate(self._forms[name]) if not forms}:
            self._board.look(rank)

    def _ready(self) -> list[Task]:
        """What every worker of this machine has submitted, the most urgent first."""
        for rank in range(self._board.size):
            for number in range(self._read[rank], self._board.told(LOGGED, rank)):
                name, form = self._board.entry(rank, number)
                self._forms[name][rank].append(form)
                self._read[rank] = number + 1
        with self._changed:
            first = [tasks[0] for tasks in self._tasks.values() if tasks]
        ready = [task for task in first if all(self._forms[task.name])]
        for task in ready:
            self._check(task, [forms[0] for forms in self._forms[task.name]])
        return sorted(ready, key=lambda task: (-task.priority, task.number))

    def _check(self, task: Task, forms: list[int]) -> None:
        if any(form != task.form for form in forms):
            raise KVStoreError(f"{task.label}: the workers gave it different shapes, dtypes, storage types or calls; "
                               f"call the store alike in every worker")

    def _agree(self, ready: list[Task]) -> list[Task]:
        """Those that are ready on every machine, in the order of the first one's, as many as fit a round."""
        if self._machine.leaders is not None:
            ready = self._agreed(ready[:MOST_TASKS], self._machine.leaders)
        taken: list[Task] = []
        num_bytes = 0
        for task in ready[:MOST_TASKS]:
            num_bytes += task.num_bytes
            if taken and num_bytes > self._limit_bytes:
                break
            taken.append(task)
        return taken

    def _agreed(self, ready: list[Task], leaders: Leaders) -> list[Task]:
        rows = [(task.name, task.form) for task in ready]
        told = torch.tensor(rows + [(0, 0)] * (MOST_TASKS - len(rows)), dtype=torch.int64)
        everybody = [dict(numbers.tolist()) for numbers in leaders.gather(told)]
        mine = {task.name: task for task in ready}
        agreed = [mine[name] for name in everybody[0] if all(name in forms for forms in everybody) and name in mine]
        for task in agreed:
            self._check(task, [forms[task.name] for forms in everybody])
        return agreed
