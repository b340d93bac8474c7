"""A process's membership of a job: one connection to the control server, on an event loop in a thread of its own.

The thread beats while the training thread computes.  Every call returns, or raises within the time it was given.
"""
from __future__ import annotations

import asyncio
import atexit
import dataclasses
import itertools
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from . import authentication
from .background import Background
from .channel import Channel, client_tls
from .control import CLOSING, HANDSHAKE_S, ControlServer
from .errors import (
    ControlLostError,
    DeadWorkerError,
    EvictedError,
    FrameError,
    JobFailedError,
    JoinRefusedError,
    KVStoreError,
)
from .frames import CONTROL, Frame, Kind, decode, take
from .job import Job
from .membership import ALIVE, LEFT, Member

log = logging.getLogger("mxdl.kvstore")

RETRY_S = 0.2
SLACK_S = 5.0       # the control server answers after the time it was given; the client waits so much longer
LAST_LEAVES_S = 2.0  # a worker that has the control server goes last, if the others are not longer about it


class Group(NamedTuple):
    """Workers that agreed to go on together.

    members: in the order of ranks; `members[i].rank` may skip the dead.   is_rest: what is left of the group before,
    without newcomers, who may still wait.
    """

    generation: int
    members: list[Member]
    is_rest: bool = False

    @property
    def ranks(self) -> list[int]:
        return [one.rank for one in self.members]


class Control:
    """This process's membership of a job.  `connect` makes it; `job` then has rank and place filled in.

    on_change: called (in the control thread, must not block) with each Member whose state changed.
    """

    def __init__(self, job: Job, address: str = "", on_change: Callable[[Member], None] | None = None):
        self.job, self._address, self.on_change = job, address, on_change
        self.server: ControlServer | None = None
        self.generation, self.session = 0, 0
        self._members: dict[tuple[str, int], Member] = {}
        self._questions: dict[int, asyncio.Future] = {}
        self._numbers = itertools.count(1)
        self._failure: JobFailedError | None = None
        self._step, self._left = -1, False
        self._news = threading.Condition()
        if job.hosts_control:
            self.server = ControlServer(job)
            self.server.start()
            self.job = job = dataclasses.replace(job, address=self.server.address, port=self.server.port)
        self._background = Background("mxdl control")
        try:
            welcome = self._background.wait(self._join(), job.join_timeout + SLACK_S)
        except BaseException:
            self._background.stop()
            if self.server is not None:
                self.server.close()
            raise
        self._take_place(welcome)
        atexit.register(self.close)

    # -- joining ----------------------------------------------------------------------------------------------
    async def _join(self) -> dict[str, Any]:
        """Joins, trying again while the server is not there yet or a dead worker still holds the rank."""
        deadline = time.monotonic() + self.job.join_timeout
        while True:
            try:
                return await asyncio.wait_for(self._join_once(), HANDSHAKE_S)
            except CLOSING as error:
                final = isinstance(error, JoinRefusedError) and "alive already" not in str(error)
                if final or isinstance(error, FrameError) or time.monotonic() > deadline:
                    raise self._cannot_join(error) from None
            await asyncio.sleep(RETRY_S)

    def _cannot_join(self, error: BaseException) -> Exception:
        if isinstance(error, JoinRefusedError):
            return error
        return ControlLostError(f"joining: no control server of this job at {self.job.address} port {self.job.port} "
                                f"within {self.job.join_timeout:g} s ({error or type(error).__name__}); start the job "
                                f"with mxdl launch, or set MXDL_ADDRESS and MXDL_PORT")

    async def _join_once(self) -> dict[str, Any]:
        reader, writer = await asyncio.open_connection(self.job.address, self.job.port, ssl=client_tls(self.job))
        channel = Channel(reader, writer)
        try:
            answer = await self._prove(channel)
        except BaseException:
            channel.close()
            raise
        self._channel = channel
        self._heard = time.monotonic()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._read()), loop.create_task(self._beat())]
        return answer

    async def _prove(self, channel: Channel) -> dict[str, Any]:
        hello = await channel.receive(CONTROL)
        theirs, ours = take(hello, bytes)[0], authentication.nonce()
        job = self.job
        about = {"role": job.role, "rank": job.rank, "host": job.host, "pid": os.getpid(), "address": self._address,
                 "generation": job.generation}
        text = json.dumps(about).encode()
        proof = authentication.proof(job.token, "join", theirs, ours, text)
        channel.send(Kind.JOIN, [ours, proof, text])
        answer = await channel.receive(CONTROL)
        if answer.kind is Kind.REFUSED:
            raise JoinRefusedError(take(answer, str)[0])
        proof, text = take(answer, bytes, bytes)
        known = authentication.proves(proof, job.token, "welcome", theirs, ours, text)
        if answer.kind is not Kind.WELCOME or not known:
            raise JoinRefusedError(f"joining: {channel.peer} does not know this job's token; it is not the control "
                                   f"server")
        self.local_address = channel.local_address
        return decode(answer, text, dict)

    def _take_place(self, welcome: dict[str, Any]) -> None:
        self.session, self.instance = welcome["session"], str(welcome["instance"])
        self.is_replacement = bool(welcome["replaces"])
        sizes = {name: welcome[name] for name in ("num_workers", "num_servers", "timeout")}
        self.job = dataclasses.replace(self.job, rank=welcome["rank"], **sizes)

    # -- the control thread -----------------------------------------------------------------------------------
    async def _read(self) -> None:
        try:
            while True:
                frame = await self._channel.receive(CONTROL)
                self._heard = time.monotonic()
                if frame.kind is Kind.EVENT:
                    self._learn(take(frame, dict)[0])
                elif frame.kind is Kind.ERROR and not frame.sequence:
                    raise EvictedError(take(frame, str, str, dict)[1])
                elif frame.sequence in self._questions and not self._questions[frame.sequence].done():
                    self._questions[frame.sequence].set_result(frame)
        except EvictedError as error:
            self._fail(error)
        except CLOSING as error:
            self._fail(ControlLostError(f"the control server at {self.job.address} port {self.job.port} is gone "
                                        f"({error or type(error).__name__}); start the job again from its checkpoint"))

    def _learn(self, event: dict[str, Any]) -> None:
        """Takes in what the server tells of sessions."""
        members = [Member(**one) for one in event["members"]]
        with self._news:
            self.generation = max(self.generation, event["generation"])
            for one in members:
                known = self._members.get((one.role, one.rank))
                if known is None or known.session <= one.session:
                    self._members[one.role, one.rank] = one
            self._news.notify_all()
        for one in members:
            if self.on_change is not None:
                self.on_change(one)

    async def _beat(self) -> None:
        every = min(2.0, self.job.timeout / 5)
        slept = time.monotonic()
        while True:
            self._channel.send(Kind.HEARTBEAT, [self._step], session=self.session)
            await asyncio.sleep(every)
            now = time.monotonic()
            stood_still, slept = now - slept > self.job.timeout / 2, now
            if not stood_still and now - self._heard > self.job.timeout:
                self._fail(ControlLostError(f"the control server at {self.job.address} port {self.job.port} was silent "
                                            f"for {self.job.timeout:g} s; start the job again from its checkpoint"))
                return

    def _fail(self, error: JobFailedError) -> None:
        """No more answers: everybody who waits gets `error`."""
        if self._failure is None and not self._left:
            self._failure = error
        for question in self._questions.values():
            if not question.done():
                question.set_exception(error)
        with self._news:
            self._news.notify_all()
        self._channel.close()

    async def _ask(self, kind: Kind, fields: list[Any], timeout: float) -> Frame:
        if self._failure is not None:
            raise self._failure
        number = next(self._numbers)
        question = self._questions[number] = asyncio.get_running_loop().create_future()
        try:
            self._channel.send(kind, fields, number, self.session)
            return await asyncio.wait_for(question, timeout)
        finally:
            del self._questions[number]

    # -- for the process --------------------------------------------------------------------------------------
    def ask(self, kind: Kind, fields: list[Any], timeout: float | None = None) -> Frame:
        """A question to the control server and its answer.

        Raises TimeoutError, DeadWorkerError, ControlLostError, EvictedError, KVStoreError.
        """
        seconds = self.job.join_timeout if timeout is None else timeout
        answer = self._background.wait(self._ask(kind, fields, seconds + SLACK_S))
        if answer.kind is Kind.OK:
            return answer
        name, message, about = take(answer, str, str, dict)
        if name == "DeadWorkerError":
            raise DeadWorkerError(about["ranks"], about["last_step"], about["reason"])
        raise TimeoutError(message) if name == "TimeoutError" else KVStoreError(f"control server: {message}")

    @property
    def members(self) -> list[Member]:
        """The latest session of each place."""
        with self._news:
            return sorted(self._members.values(), key=lambda one: (one.role, one.rank))

    def living(self, role: str = "worker") -> list[Member]:
        return [one for one in self.members if one.role == role and one.state == ALIVE]

    def living_sessions(self, role: str) -> set[int]:
        with self._news:
            return {one.session for one in self._members.values() if one.role == role and one.state == ALIVE}

    def member(self, role: str, rank: int) -> Member | None:
        with self._news:
            return self._members.get((role, rank))

    def check(self) -> None:
        """Raises what ended this process's membership, if something did."""
        if self._failure is not None:
            raise self._failure

    def wait_for(self, condition: Callable[[], Any], timeout: float) -> Any:
        """Waits until `condition()` is true, looking again at each change; its value, or a false one after the time.

        Raises ControlLostError, EvictedError.
        """
        with self._news:
            found = self._news.wait_for(lambda: self._failure or condition(), timeout)
        self.check()
        return found

    def report_step(self, step: int) -> None:
        """Tells (with the next sign of life) that this worker completed a step."""
        self._step = step

    def form(self, minimum: int | None = None, patience: float | None = None, timeout: float | None = None,
             newcomers: bool = True) -> Group:
        """Agrees with all living workers on a group; call it in every worker, first and after each death.

        minimum: the least number of workers (default: all).   patience: seconds to wait for more than these.
        newcomers: False: with the living of the present group alone; others who ask wait for the next one.
        Raises TimeoutError, which says who is missing.
        """
        timeout = self.job.join_timeout if timeout is None else timeout
        minimum = self.job.num_workers if minimum is None else minimum
        patience = timeout if patience is None else patience
        answer = self.ask(Kind.FORM, [minimum, int(patience * 1e3), int(timeout * 1e3), int(newcomers)], timeout)
        generation, told, is_rest = take(answer, int, list, int)
        group = Group(generation, [Member(**one) for one in told], bool(is_rest))
        self.generation = generation
        self._locate(group.members)
        return group

    def _locate(self, members: list[Member]) -> None:
        here = [one.rank for one in members if one.host == self.job.host]
        if self.job.rank in here:
            self.job = dataclasses.replace(self.job, local_rank=here.index(self.job.rank), local_size=len(here),
                                           leader=here[0])

    def barrier(self, name: str, strict: bool = False, timeout: float | None = None) -> None:
        """Returns when every living worker has called it with this name (use a name once).

        strict: a death since the group formed raises DeadWorkerError instead of being passed over.
        """
        timeout = self.job.join_timeout if timeout is None else timeout
        self.ask(Kind.BARRIER, [name, int(strict), int(timeout * 1e3)], timeout)

    def explain(self, cause: BaseException, group: Group) -> JobFailedError:
        """The one error to raise after `cause` broke a collective call: who of the group died, once that is known.

        Waits for the control server's verdict, at most the time after which a silent process counts as dead.
        """
        def lost():
            return [one for one in group.members if (now := self.member("worker", one.rank)) is not None
                    and (now.session != one.session or now.state != ALIVE)]
        try:
            gone = self.wait_for(lost, self.job.timeout + 2)
        except JobFailedError as error:
            return error
        if not gone:
            return JobFailedError(f"the workers lost each other though all of them live ({cause}); look at the network "
                                  f"between {', '.join(sorted({one.host for one in group.members}))}")
        now = [self.member("worker", one.rank) for one in group.members]
        left = {one.session for one in now if one is not None and one.state == LEFT}
        gone = [one for one in gone if one.session not in left] or gone     # others left because of the dead
        ranks = {one.rank for one in gone}
        reasons = [one.reason for one in now if one is not None and one.rank in ranks and one.reason]
        steps = [one.step for one in (*group.members, *now) if one is not None]
        last = max(self._step, min((one.step for one in now if one is not None), default=-1), min(steps, default=-1))
        return DeadWorkerError([one.rank for one in gone], last, "; ".join(dict.fromkeys(reasons)))

    @property
    def is_closed(self) -> bool:
        return self._left

    def close(self) -> None:
        """Leaves the job: the others do not count this process as dead."""
        if self._left:
            return
        self._left = True
        atexit.unregister(self.close)
        if self._failure is None:
            try:
                self._background.wait(self._ask(Kind.LEAVE, [], SLACK_S), SLACK_S)
            except (JobFailedError, TimeoutError) as error:
                log.warning("leaving the job: %s", error)
        self._background.stop()
        if self.server is not None:
            self.server.close(LAST_LEAVES_S)
