"""The order in which the workers carry out what was pushed: the same everywhere, of what everywhere is ready.

A worker writes each task into its log as it submits it.  The leader of the machine chooses among those that all have
logged (collective_choice.py) and announces them; then every worker carries them out.  So tasks may be submitted in any
order, priorities count, and whatever piles up while the network is busy goes together in the next round.

A worker that has nothing else under way marks its entry: where all have, on one machine, there is nothing to choose,
and the round begins when the last has come.
"""
from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable

import torch

from . import spans
from .collective import Machine
from .collective_choice import Choice, Task
from .elastic import Elastic, NewcomersWait
from .errors import DeadWorkerError, JobFailedError
from .shared_memory import LOG_ENTRIES, LOGGED, STOPPED

IDLE_LOOK_S = 0.25           # how often an elastic worker that has nothing to sum looks whether the others live
# marks of an entry: nothing else is under way here; and its arrays are where the others can read them
ALONE, IS_POSTED = 1, 2


class Schedule:
    """Carries out tasks, in the thread that waits for them or else in one of its own.

    run: carries out the tasks of a round.   limit_bytes: of one round; a task larger than that has a round of its own.
    post: copies a task's arrays, before its round, to where the others read them; False: it does not.
    elastic: goes on when a worker died; None: a death is an error.
    """

    def __init__(self, machine: Machine, run: Callable[[list[Task]], None], limit_bytes: int,
                 elastic: Elastic | None = None, post: Callable[[Task], bool] = lambda task: False):
        self._run, self._limit_bytes, self._elastic, self._post = run, limit_bytes, elastic, post
        self._tasks: dict[int, deque[Task]] = defaultdict(deque)     # by name, in the order of submission
        self._submitted = self._finished = 0
        self._rounds = 0 if elastic is None else elastic.rounds
        self._running: list[Task] = []
        self._under_way: list[Task] = []        # with `elastic`: carried out here, perhaps not everywhere
        self._failure: BaseException | None = None
        lock = threading.RLock()
        self._changed = threading.Condition(lock)      # there is a task, or the end
        self._room = threading.Condition(lock)         # tasks are finished
        self._turns = threading.Lock()          # whoever carries out a round has it
        self._closing = False
        self._take(machine)
        self._thread = threading.Thread(target=self._serve, name="mxdl kvstore", daemon=True)
        self._thread.start()

    def _take(self, machine: Machine) -> None:
        """Goes on with this machine, whose logs are empty."""
        board = machine.board
        self._machine, self._board, self._logged = machine, board, 0
        self._marked: tuple[int, int] | None = None     # name and number of a marked entry, whose round comes next
        self._choice = Choice(machine, self._limit_bytes, self._first)
        waiting = [task for tasks in self._tasks.values() for task in tasks]
        self._log(sorted(waiting, key=lambda task: task.number))

    def _first(self) -> list[Task]:
        """Of each name the task that comes first."""
        with self._changed:
            return [tasks[0] for tasks in self._tasks.values() if tasks]

    def _log(self, tasks: list[Task], mark: int = 0) -> None:
        """Tasks that are logged together are seen together: one round can take them all.  mark: of the only one"""
        if mark:
            self._marked = tasks[0].name, self._logged
        if tasks:
            self._board.log(self._logged, [(task.name, task.form, mark) for task in tasks])
            self._logged += len(tasks)

    def _mark(self, task: Task) -> int:
        """What the entry says of a task that the caller waits for."""
        if self._machine.machines > 1 or self._submitted > self._finished:
            return 0
        return IS_POSTED if self._post(task) else ALONE

    # -- the training thread ----------------------------------------------------------------------------------
    def submit(self, tasks: list[Task], will_wait: bool = False) -> None:
        """Hands tasks over.  Raises what stopped an earlier one.

        will_wait: the caller goes on with `wait`, so that the schedule's own thread need not wake up for them.
        """
        with self._changed:
            waiting: list[Task] = []
            mark = 0
            for task in tasks:
                if self._submitted - self._finished >= LOG_ENTRIES:
                    self._log(waiting)
                    waiting = []
                    self._changed.notify_all()
                    self._room.wait_for(lambda: self._failure or self._submitted - self._finished < LOG_ENTRIES)
                self._raise_failure()
                mark = self._mark(task) if will_wait and len(tasks) == 1 else 0
                self._tasks[task.name].append(task)
                task.number = self._submitted
                self._submitted += 1
                waiting.append(task)
            self._log(waiting, mark)
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

    def _without_choice(self) -> list[int]:
        """The name of the marked task, if everybody has nothing else; none: the leader has to choose."""
        with self._changed:
            marked, self._marked = self._marked, None
        if marked is None:
            return []
        board, (name, number) = self._board, marked
        board.gather(LOGGED, number + 1)      # nothing can be chosen before that
        entries = [board.entry(rank, number) for rank in range(board.size)]
        if any(entry[:2] != entries[0][:2] for entry in entries) or not all(mark for _, _, mark in entries):
            return []
        if all(mark == IS_POSTED for _, _, mark in entries):
            self._machine.all_posted()
        if board.rank == 0:
            self._choice.pass_by(name)
        return [name]

    def _round(self) -> None:
        """Carries out what the leader announces."""
        asked = time.perf_counter()
        names = self._without_choice() or (self._choice.choose() if self._board.rank == 0 else self._machine.hear())
        with self._changed:
            tasks = self._running = [self._tasks[name][0] for name in names]
        began = time.perf_counter()
        self._run(tasks)
        spans.tell("wait for all workers", asked, began)
        spans.tell("; ".join(task.label for task in tasks), began, time.perf_counter(),
                   sum(task.num_bytes for task in tasks))
        self._choice.measure(sum(task.num_bytes for task in tasks), time.perf_counter() - began)
        if self._elastic is not None:
            self._under_way = tasks
            self._machine.meet()
        self._finish(tasks)

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
