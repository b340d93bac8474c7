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
from .elastic import Elastic, NewcomersWait
from .errors import DeadWorkerError, JobFailedError, KVStoreError
from .shared_memory import BELL, LOG_ENTRIES, LOGGED, LOOK_S, STOPPED

IDLE_LOOK_S = 0.25           # how often an elastic worker that has nothing to sum looks whether the others live
ROUND_S = 0.05               # how long a round between machines may keep more urgent tasks waiting
LEAST_ROUND_BYTES = 1 << 18  # of a round that tells how fast the network is
RETRY_S = 1e-3               # how soon leaders ask each other again whether they have a task in common
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
    """Carries out tasks, in the thread that waits for them or else in one of its own.

    run: carries out the tasks of a round.   limit_bytes: of one round; a task larger than that has a round of its own.
    elastic: goes on when a worker died; None: a death is an error.
    """

    def __init__(self, machine: Machine, run: Callable[[list[Task]], None], limit_bytes: int,
                 elastic: Elastic | None = None):
        self._run, self._limit_bytes, self._elastic = run, limit_bytes, elastic
        self._tasks: dict[int, deque[Task]] = defaultdict(deque)     # by name, in the order of submission
        self._submitted = self._finished = 0
        self._rounds = 0 if elastic is None else elastic.rounds
        self._running: list[Task] = []
        self._under_way: list[Task] = []        # with `elastic`: carried out here, perhaps not everywhere
        self._failure: BaseException | None = None
        lock = threading.RLock()
        self._changed = threading.Condition(lock)      # there is a task, or the end
        self._room = threading.Condition(lock)         # tasks are finished
        self._rate = 0.0                        # bytes a second of rounds between machines
        self._turns = threading.Lock()          # whoever carries out a round has it
        self._closing = False
        self._take(machine)
        self._thread = threading.Thread(target=self._serve, name="mxdl kvstore", daemon=True)
        self._thread.start()

    def _take(self, machine: Machine) -> None:
        """Goes on with this machine, whose logs are empty."""
        board = machine.board
        self._machine, self._board, self._logged = machine, board, 0
        self._read = [0] * board.size                                # on the leader: entries read of each log
        self._forms: dict[int, list[deque[int]]] = defaultdict(lambda: [deque() for _ in range(board.size)])
        waiting = [task for tasks in self._tasks.values() for task in tasks]
        for task in sorted(waiting, key=lambda task: task.number):
            self._log(task)

    def _log(self, task: Task) -> None:
        self._board.log(self._logged, task.name, task.form)
        self._logged += 1

    # -- the training thread ----------------------------------------------------------------------------------
    def submit(self, tasks: list[Task], will_wait: bool = False) -> None:
        """Hands tasks over.  Raises what stopped an earlier one.

        will_wait: the caller goes on with `wait`, so that the schedule's own thread need not wake up for them.
        """
        with self._changed:
            for task in tasks:
                if self._submitted - self._finished >= LOG_ENTRIES:
                    self._changed.notify_all()
                    self._room.wait_for(lambda: self._failure or self._submitted - self._finished < LOG_ENTRIES)
                self._raise_failure()
                self._tasks[task.name].append(task)
                task.number = self._submitted
                self._submitted += 1
                self._log(task)
            if not will_wait:
                self._changed.notify_all()

    @property
    def has_failed(self) -> bool:
        return self._failure is not None

    def wait(self, tasks: list[Task]) -> None:
        """Returns when the tasks are carried out: here, unless the schedule's thread is at it.  Raises what stopped
        them.
        """
        for task in tasks:
            while not task.done.is_set():
                if self._turns.acquire(blocking=False):
                    try:
                        self._help(task)
                    finally:
                        self._turns.release()
                else:
                    with self._changed:
                        self._changed.notify_all()      # whoever is at it may be waiting for another task only
                    task.done.wait()
        self._raise_failure()

    def _help(self, task: Task) -> None:
        """Carries out rounds until this task is done."""
        try:
            with torch.no_grad():
                while not task.done.is_set():
                    self._turn()
        except BaseException as error:
            self._fail(error)
            if not isinstance(error, Exception):      # the user interrupts
                raise

    def close(self, patience: float, give_up: Callable[[], None]) -> bool:
        """Carries out what was submitted, then ends the thread.  Whether everything was carried out.

        patience: seconds without progress after which `give_up` is called, which makes the thread's waiting raise.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        finished = -1
        while self._thread.is_alive():
            if finished == self._finished:
                give_up()
            finished = self._finished
            self._thread.join(patience)
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
                    with self._turns:
                        self._turn()
        except BaseException as error:      # whoever waits gets it
            self._fail(error)

    def _has_work(self) -> bool:
        """Waits for a task; with `elastic` only a while.  False: the thread is to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._failure or self._finished < self._submitted or self._closing,
                                   IDLE_LOOK_S if self._elastic else None)
            return self._failure is None and (self._finished < self._submitted or not self._closing)

    def _turn(self) -> None:
        """One round, or the forming of a new group.  Without a task: with `elastic`, looks whether the others live."""
        try:
            if self._finished < self._submitted:
                self._round()
            elif self._elastic is not None:
                self._board.check()
        except (DeadWorkerError, NewcomersWait) as error:
            if self._elastic is None or self._closing and self._finished == self._submitted:
                raise
            self._go_on(self._elastic, error)

    def _go_on(self, elastic: Elastic, error: DeadWorkerError | NewcomersWait) -> None:
        """Forms a group of those who live, and logs anew what is yet to be carried out, or was not everywhere."""
        letting_in, came = self._running if isinstance(error, NewcomersWait) else [], False
        while True:
            try:
                came |= elastic.form(error)
                if elastic.compare(self._rounds) > self._rounds:
                    self._finish(self._under_way)
                elastic.share()
                break
            except DeadWorkerError as another:
                error = another
        self._under_way = []
        if came:
            self._end(letting_in)
        with self._changed:
            self._take(elastic.machine)

    def _fail(self, error: BaseException) -> None:
        if self._elastic is None or not isinstance(error, JobFailedError):     # else the others go on without this one
            self._board.tell(STOPPED, error.ranks[0] + 2 if isinstance(error, DeadWorkerError) else 1)
        with self._changed:
            self._failure = error
            for task in (task for tasks in self._tasks.values() for task in tasks):
                task.done.set()
            self._changed.notify_all()
            self._room.notify_all()

    def _round(self) -> None:
        """Carries out what the leader announces."""
        names = self._choose() if self._board.rank == 0 else self._machine.hear()
        with self._changed:
            tasks = self._running = [self._tasks[name][0] for name in names]
        began = time.monotonic()
        self._run(tasks)
        self._measure(sum(task.num_bytes for task in tasks), time.monotonic() - began)
        if self._elastic is not None:
            self._under_way = tasks
            self._machine.meet()
        self._finish(tasks)

    def _measure(self, num_bytes: int, seconds: float) -> None:
        if self._machine.leaders is not None and num_bytes >= LEAST_ROUND_BYTES:
            rate = num_bytes / seconds
            self._rate = 0.5 * (self._rate + rate) if self._rate else rate

    def _finish(self, tasks: list[Task]) -> None:
        if self._elastic is not None:
            self._elastic.settle(tasks)
        self._under_way = []
        self._rounds += 1
        self._end(tasks)

    def _end(self, tasks: list[Task]) -> None:
        with self._changed:
            for task in tasks:
                self._tasks[task.name].popleft()
            self._finished += len(tasks)
            self._room.notify_all()
        for task in tasks:
            task.done.set()

    # -- the leader -------------------------------------------------------------------------------------------
    def _choose(self) -> list[int]:
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
        """Those that are ready on every machine, in the order of the first one's, as many as fit a round.

        Between machines what is less urgent than the first task waits for another round if this one would take long:
        something urgent may come meanwhile.
        """
        urgent_bytes = self._limit_bytes
        if self._machine.leaders is not None:
            ready, urgent_bytes = self._agreed(ready[:MOST_TASKS], self._machine.leaders)
        taken: list[Task] = []
        num_bytes = 0
        for task in ready[:MOST_TASKS]:
            num_bytes += task.num_bytes
            if taken and num_bytes > (self._limit_bytes if task.priority == taken[0].priority else urgent_bytes):
                break
            taken.append(task)
        return taken

    def _agreed(self, ready: list[Task], leaders: Leaders) -> tuple[list[Task], int]:
        """Tasks that are ready on every machine, and how many bytes the first machine's leader moves in ROUND_S."""
        rows = [(int(self._rate * ROUND_S), 0), *((task.name, task.form) for task in ready)]
        told = torch.tensor(rows + [(0, 0)] * (1 + MOST_TASKS - len(rows)), dtype=torch.int64)
        gathered = leaders.gather(told)
        everybody = [dict(numbers[1:].tolist()) for numbers in gathered]
        mine = {task.name: task for task in ready}
        agreed = [mine[name] for name in everybody[0] if all(name in forms for forms in everybody) and name in mine]
        for task in agreed:
            self._check(task, [forms[task.name] for forms in everybody])
        return agreed, int(gathered[0][0, 0])
