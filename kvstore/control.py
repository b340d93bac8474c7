"""The control server of a job: a small store of keys, the membership, and the points where workers wait for others.

One for a job, in the launcher or in a thread of worker 0.  It listens on the chosen address only, admits who proves the
job's token, and answers every wait: by what was waited for, by an error, or after the time that the caller gave.
"""
from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from . import authentication
from .addresses import address_of
from .background import Background
from .channel import Channel, server_tls
from .errors import DeadWorkerError, FrameError, JobError, JoinRefusedError
from .frames import CONTROL, STRANGER, Frame, Kind, take
from .job import Job
from .membership import ALIVE, LEFT, Membership
from .shared_keys import SharedKeys

log = logging.getLogger("mxdl.kvstore")

HANDSHAKE_S = 5.0
QUIET_S = 2.0               # without a worker, once all have left
MAX_STRANGERS = 256         # connections that have not proved themselves yet
MAX_UNANSWERED = 1024       # questions of one member that wait
MAX_NAMES = 10_000          # of barriers that are remembered
MAX_WAITING_BYTES = 64 << 20
CLOSING = (FrameError, JoinRefusedError, asyncio.IncompleteReadError, TimeoutError, OSError)


class ControlServer:
    """Serves from `start` to `close`; `address` and `port` are where."""

    def __init__(self, job: Job):
        self.job = job
        self.members = Membership(job)
        self.keys = SharedKeys()
        self.address, self.port = job.address, job.port
        self.instance = secrets.token_hex(8)     # of this server: sessions of another one mean nothing here
        self._channels: dict[int, Channel] = {}
        self._strangers = 0
        self._passed: dict[str, None] = {}
        self._waiting: dict[str, set[int]] = {}
        self._forming: dict[int, bool] = {}      # who asks for a group, and whether it would have newcomers
        self._formed_alone = False
        self._answers: dict[Kind, Callable[[int, Frame], Awaitable[list[Any]]]] = {
            Kind.HEARTBEAT: self._heartbeat, Kind.FORM: self._form, Kind.BARRIER: self._barrier, **self.keys.answers}

    # -- life -------------------------------------------------------------------------------------------------
    def start(self) -> tuple[str, int]:
        """Listens; (address, port).  Raises JobError where that is not possible."""
        self._background = Background("mxdl control server")
        try:
            return self._background.wait(self._listen())
        except BaseException:
            self._background.stop()
            raise

    async def _listen(self) -> tuple[str, int]:
        self.address = address_of(self.job.interface or self.job.address)
        self._changed = asyncio.Condition()
        self.keys.changed = asyncio.Condition()
        try:
            tls = server_tls(self.job)
            self._server = await asyncio.start_server(self._serve, self.address, self.job.port, ssl=tls)
        except OSError as error:
            raise JobError(f"control server: cannot listen on {self.address} port {self.job.port}: {error.strerror}; "
                           f"choose another MXDL_PORT or MXDL_INTERFACE") from None
        self.port = self._server.sockets[0].getsockname()[1]
        self._watcher = asyncio.get_running_loop().create_task(self._watch())
        return self.address, self.port

    def close(self, patience: float = 0.0) -> None:
        """Stops serving; members see their connections end.

        patience: seconds for those who are alive to leave by themselves before.
        """
        if self._background.is_running:
            self._background.wait(self._until_all_left(patience), patience + 5)
            self._background.wait(self._shut(), 5)
            self._background.stop()

    async def _until_all_left(self, patience: float) -> None:
        until = time.monotonic() + patience
        while (self.members.living("worker") or self.members.living("server")) and time.monotonic() < until:
            await asyncio.sleep(0.01)

    def wait(self, patience: float) -> None:
        """Serves until all workers came and went, and for `patience` seconds nobody took the place of a dead one."""
        quiet_since = time.monotonic()
        while True:
            time.sleep(0.2)
            if self.members.never_came() or self.members.living():
                quiet_since = time.monotonic()
            states = {one.state for one in list(self.members.members.values()) if one.role == "worker"}
            if time.monotonic() - quiet_since > (QUIET_S if states == {LEFT} else patience):
                return

    async def _shut(self) -> None:
        self._server.close()
        self._watcher.cancel()
        for channel in self._channels.values():
            channel.close()

    async def _watch(self) -> None:
        """Declares the silent dead; after a time in which this server itself stood still, nobody is silent."""
        every = min(0.5, self.job.timeout / 8)
        looked = time.monotonic()
        while True:
            await asyncio.sleep(every)
            now = time.monotonic()
            if now - looked > every + self.job.timeout / 2:
                log.warning("control server: stood still for %.1f s; every member's silence begins anew", now - looked)
                self.members.forgive()
            looked = now
            for session in self.members.expire():
                await self._announce(session)
                self._evict(session)

    def _evict(self, session: int) -> None:
        channel = self._channels.get(session)
        if channel is not None:
            reason = self.members.members[session].reason
            channel.send(Kind.ERROR, ["EvictedError", f"the others went on without this process: {reason}", {}])
            channel.close()

    # -- connections ------------------------------------------------------------------------------------------
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        channel = Channel(reader, writer)
        peer = channel.peer
        if self._strangers >= MAX_STRANGERS:
            log.warning("control server: closed %s: %d others have not said who they are", peer, self._strangers)
            channel.abort()
            return
        self._strangers += 1
        try:
            session = await asyncio.wait_for(self._admit(channel), HANDSHAKE_S)
        except CLOSING as error:
            log.warning("control server: closed %s: %s", peer, _told(error))
            channel.close()
            return
        finally:
            self._strangers -= 1
        try:
            await self._talk(channel, session)
        except CLOSING as error:
            if self.members.lose(session, _why(error)):
                member = self.members.members[session]
                log.warning("control server: %s %d (%s) is gone: %s", member.role, member.rank, peer, _told(error))
                await self._announce(session)
        finally:
            del self._channels[session]
            channel.close()

    async def _admit(self, channel: Channel) -> int:
        """The session of a peer that proved itself.  Raises FrameError, JoinRefusedError."""
        ours = authentication.nonce()
        channel.send(Kind.HELLO, [ours])
        frame = await channel.receive(STRANGER)
        if frame.kind is not Kind.JOIN:
            raise FrameError(f"the first frame is JOIN; got {frame.kind.name}")
        theirs, proof, text = take(frame, bytes, bytes, bytes)
        try:
            if not authentication.proves(proof, self.job.token, "join", ours, theirs, text):
                raise JoinRefusedError("join: the token is not this job's")
            member = self.members.join(take(frame, bytes, bytes, dict)[2])
        except JoinRefusedError as error:
            channel.send(Kind.REFUSED, [str(error)])
            raise
        answer = {"session": member.session, "rank": member.rank, "timeout": self.job.timeout,
                  "replaces": member.replaces, "instance": self.instance,
                  "num_workers": self.job.num_workers, "num_servers": self.job.num_servers}
        known = {"generation": self.members.generation, "members": [one.told() for one in self._recent()]}
        text = json.dumps(answer).encode()
        channel.send(Kind.WELCOME, [authentication.proof(self.job.token, "welcome", ours, theirs, text), text])
        channel.send(Kind.EVENT, [known])
        self._channels[member.session] = channel
        await self._announce(member.session)
        return member.session

    def _recent(self):
        """The latest session of each place: what a newcomer needs to know."""
        return {(one.role, one.rank): one for one in self.members.members.values()}.values()

    async def _talk(self, channel: Channel, session: int) -> None:
        """Answers a member until it leaves or its connection ends."""
        tasks: set[asyncio.Task] = set()
        try:
            while True:
                frame = await channel.receive(CONTROL)
                if self.members.members[session].state != ALIVE:
                    raise JoinRefusedError("this session is over")
                self.members.heard(session)
                if frame.kind is Kind.LEAVE:
                    self.members.leave(session)
                    channel.send(Kind.OK, [], frame.sequence)
                    await self._announce(session)
                    return
                if len(tasks) >= MAX_UNANSWERED or channel.waiting_bytes > MAX_WAITING_BYTES:
                    raise FrameError("too many questions at once")
                task = asyncio.get_running_loop().create_task(self._answer(channel, session, frame))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        finally:
            for task in tasks:
                task.cancel()

    async def _answer(self, channel: Channel, session: int, frame: Frame) -> None:
        answer = self._answers.get(frame.kind)
        try:
            if answer is None:
                raise FrameError(f"the control server does not answer {frame.kind.name}")
            channel.send(Kind.OK, await answer(session, frame), frame.sequence)
        except DeadWorkerError as error:
            about = {"ranks": error.ranks, "last_step": error.last_step, "reason": error.reason}
            channel.send(Kind.ERROR, ["DeadWorkerError", str(error), about], frame.sequence)
        except (TimeoutError, FrameError, KeyError) as error:
            channel.send(Kind.ERROR, [type(error).__name__, str(error), {}], frame.sequence)

    async def _announce(self, session: int) -> None:
        """Tells every member, and whoever waits here, what became of one session."""
        event = {"generation": self.members.generation, "members": [self.members.members[session].told()]}
        for channel in self._channels.values():
            channel.send(Kind.EVENT, [event])
        async with self._changed:
            self._changed.notify_all()

    # -- answers ----------------------------------------------------------------------------------------------
    async def _heartbeat(self, session: int, frame: Frame) -> list[Any]:
        self.members.heard(session, take(frame, int)[0])
        return []

    async def _form(self, session: int, frame: Frame) -> list[Any]:
        """Fields: least number of workers, ms to wait for more than these, ms until TimeoutError, whether newcomers may
        come in (0: the living of the present group, where this session belongs, go on alone).

        Answers the generation and the members, in the order of ranks, once all who are to be in it ask for it.
        """
        minimum, patience_ms, timeout_ms, newcomers = take(frame, int, int, int, int)
        before, asking = self.members.generation, self._forming
        asking[session] = bool(newcomers)
        await self._notify()
        full = self.job.num_workers

        def done(least: int) -> bool:
            if self.members.generation > before and session in self.members.group:
                return True
            return session in self.members.to_form(asking, least)
        try:
            if not await self._until(lambda: done(full), min(patience_ms, timeout_ms)):
                if not await self._until(lambda: done(min(minimum, full)), timeout_ms - min(patience_ms, timeout_ms)):
                    raise TimeoutError(self._who_is_missing(timeout_ms, set(asking)))
            if session in asking:      # nobody has formed it yet
                group = self.members.to_form(asking, min(minimum, full))
                self._formed_alone = not all(asking[one] for one in group)
                self.members.form(group)
                for one in group:
                    del asking[one]
                await self._notify()
        finally:
            asking.pop(session, None)
        told = [self.members.members[one].told() for one in self.members.group]
        return [self.members.generation, told, int(self._formed_alone)]

    async def _barrier(self, session: int, frame: Frame) -> list[Any]:
        """Fields: name, strict, ms until TimeoutError.

        strict: it is one of the present group only, and a death since that formed is an error; else of all the living,
        who first must all have come.  A barrier that was passed stays open: a replacement comes to those of the time
        before it.
        """
        name, strict, timeout_ms = take(frame, str, int, int)
        if name in self._passed:
            return []
        waiting = self._wait_list(name)
        waiting.add(session)
        await self._notify()

        def lost() -> bool:
            return bool(strict) and self.members.gone() is not None

        def complete() -> bool:
            if strict and self.members.group:
                return name in self._passed or waiting.issuperset(self.members.group)
            here = {one.session for one in self.members.living()} <= waiting
            return name in self._passed or here and not self.members.never_came()
        if not await self._until(lambda: complete() or lost(), timeout_ms):
            raise TimeoutError(self._who_is_missing(timeout_ms, waiting))
        if strict and name not in self._passed and (error := self.members.gone()):
            raise error
        self._passed[name] = None
        while len(self._passed) > MAX_NAMES:
            del self._passed[next(iter(self._passed))]
        return []

    def _wait_list(self, name: str) -> set[int]:
        if len(self._waiting) > MAX_NAMES:         # names are used once: forget the oldest
            del self._waiting[next(iter(self._waiting))]
        return self._waiting.setdefault(name, set())

    def _who_is_missing(self, timeout_ms: int, waiting: set[int]) -> str:
        never = self.members.never_came()
        late = [one.rank for one in self.members.living() if one.session not in waiting]
        parts = [f"workers {never} never joined"] * bool(never) + [f"workers {late} did not come here"] * bool(late)
        dead = sorted({one.rank for one in self.members.members.values() if one.role == "worker"}
                      - {one.rank for one in self.members.living()})
        parts += [f"workers {dead} are gone"] * bool(dead)
        return f"waited {timeout_ms / 1e3:g} s for the other workers: {', '.join(parts) or 'too few'}"

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _until(self, condition: Callable[[], bool], timeout_ms: int) -> bool:
        """Whether the condition came true in time."""
        async with self._changed:
            try:
                await asyncio.wait_for(self._changed.wait_for(condition), timeout_ms / 1e3)
            except TimeoutError:
                return condition()
            return True


def _told(error: BaseException) -> str:
    if isinstance(error, asyncio.IncompleteReadError):
        return f"it ended within a frame ({len(error.partial)} bytes)" if error.partial else "it ended"
    return str(error) or ("it said nothing in time" if isinstance(error, TimeoutError) else type(error).__name__)


def _why(error: BaseException) -> str:
    return "its connection ended" if isinstance(error, (asyncio.IncompleteReadError, OSError)) \
        and not isinstance(error, FrameError) else str(error)
