"""Starting the processes of a job, keeping their logs, and starting again what fell.

The launcher runs the control server, so no worker's death takes that along.  Each process gets the job by MXDL_* (and
MXNet's DMLC_*) variables; everything it prints is shown with its name before each line and kept in a file of its own.
"""
from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from . import config
from .addresses import is_loopback, route_to
from .control import ControlServer
from .errors import JobError
from .job import Job
from .launch_hosts import HERE, Host, is_here, place, remote_command
from .launch_status import ENDED, FAILED, RUNNING, STOPPED, JobStatus, ProcessStatus
from .membership import DEAD
from .roles import SERVER_COMMAND

log = logging.getLogger("mxdl.kvstore")

POLL_S = 0.1
STOP_S = 10.0           # between a request to end and a kill
RESTART_WAIT_S = 0.5
GRACE_S = 2.0           # for a process that lost its connection because it is ending


@dataclass(frozen=True)
class Launch:
    """What to start.

    command: of each worker.   folder: for logs, journals and the status.   restarts: of each process before the job
    fails.   keep_going: workers that failed for good do not end the others.   elastic: `dist_sync` goes on when a
    worker falls, and the job is well when one worker ends well.   server_imports: Python files that
    register optimizers in the servers.   variables: more environment, for all, workers, servers.
    """

    command: list[str]
    num_workers: int
    folder: Path
    num_servers: int = 0
    hosts: list[Host] = field(default_factory=lambda: [Host(HERE)])
    restarts: int = 3
    keep_going: bool = False
    elastic: bool = False
    journal: bool = True
    interface: str = ""
    port: int = 0
    timeout: float = 10.0
    token: str = ""
    ssh: list[str] = field(default_factory=lambda: ["ssh", "-o", "BatchMode=yes"])
    server_imports: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    worker_variables: dict[str, str] = field(default_factory=dict)
    server_variables: dict[str, str] = field(default_factory=dict)


class Process:
    """One place of the job and whatever process fills it at the moment."""

    def __init__(self, status: ProcessStatus, command: list[str], variables: dict[str, str], token: str, remote: bool):
        self.status, self._command, self._variables = status, command, variables
        self._token, self._remote = token, remote
        self._popen: subprocess.Popen | None = None
        self._pump: threading.Thread | None = None

    @property
    def name(self) -> str:
        return f"{self.status.role} {self.status.rank}"

    def start(self) -> None:
        """Starts it, or starts it again."""
        env = dict(config.environment(), **({} if self._remote else self._variables))
        self._popen = subprocess.Popen(
            self._command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            stdin=subprocess.PIPE if self._remote else subprocess.DEVNULL)
        if self._remote:
            assert self._popen.stdin is not None
            self._popen.stdin.write(f"{self._token}\n".encode())
            self._popen.stdin.flush()
        self.status.pid, self.status.state, self.status.exit_code = self._popen.pid, RUNNING, None
        self._pump = threading.Thread(target=self._show, args=[self._popen], name=f"log of {self.name}", daemon=True)
        self._pump.start()

    def _show(self, popen: subprocess.Popen) -> None:
        """Copies what the process prints to our output, each line with its name, and to its log."""
        assert popen.stdout is not None
        with open(self.status.log, "ab", buffering=0) as file:
            if self.status.restarts:
                file.write(f"--- started again ({self.status.restarts}) ---\n".encode())
            for line in popen.stdout:
                file.write(line)
                with contextlib.suppress(BrokenPipeError):
                    sys.stdout.write(f"[{self.name}] {line.decode(errors='replace')}")
                    sys.stdout.flush()

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        assert self._popen is not None
        code = self._popen.poll()
        if code is not None and self.status.exit_code is None:
            self.status.exit_code = code
            self.status.state = ENDED if code == 0 else FAILED
            if self._pump is not None:
                self._pump.join(2)
        return code

    def signal(self, number: int) -> None:
        """Sends a signal to the process and what it started; a remote one ends when its standard input does."""
        if self._popen is not None and self._popen.stdin is not None and number != signal.SIGCONT:
            with contextlib.suppress(BrokenPipeError):
                self._popen.stdin.close()
        if self._popen is not None and self._popen.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, number)


class Launcher:
    """Runs one job from start to end."""

    def __init__(self, launch: Launch):
        self.launch = launch
        launch.folder.mkdir(parents=True, exist_ok=True)
        self._hosts = place(launch.hosts, launch.num_workers)
        self._token = launch.token or config.token_of(config.environment()) or secrets.token_hex(16)
        address = self._address()
        self._control = ControlServer(Job(
            role="scheduler", num_workers=launch.num_workers, num_servers=launch.num_servers, address=address,
            port=launch.port, timeout=launch.timeout, token=self._token))
        self.address, self.port = self._control.start()
        self.status = JobStatus(launch.command, self.address, self.port, os.getpid())
        servers = [self._process("server", rank, self._hosts[rank % len(self._hosts)])
                   for rank in range(launch.num_servers)]
        self.workers = [self._process("worker", rank, host) for rank, host in enumerate(self._hosts)]
        self.processes = [*servers, *self.workers]
        self.status.processes = [one.status for one in self.processes]
        self._due: dict[Process, float] = {}
        self._started: dict[Process, float] = {}
        self._seen_dead: dict[int, float] = {}      # session -> when its death was noticed here
        self._stopping = 0

    def _address(self) -> str:
        """Where the control server listens: loopback, unless a process runs elsewhere."""
        if self.launch.interface:
            return self.launch.interface
        elsewhere = [host for host in self._hosts if not is_here(host)]
        if not elsewhere:
            return "127.0.0.1"
        address = route_to(elsewhere[0].rpartition("@")[2], 22)
        if is_loopback(address) and len(set(self._hosts)) > 1:
            raise JobError(f"launch: {elsewhere[0]} is reached by loopback, other machines are not; give --interface")
        return address

    def _process(self, role: str, rank: int, host: str) -> Process:
        launch = self.launch
        variables = {**self._job_variables(role, rank, host), **launch.variables,
                     **(launch.worker_variables if role == "worker" else launch.server_variables)}
        command = launch.command if role == "worker" else [*SERVER_COMMAND, *launch.server_imports]
        status = ProcessStatus(role, rank, host, log=str(launch.folder / f"{role}-{rank}.log"))
        if not is_here(host):
            command = remote_command(launch.ssh, host, command, variables, os.getcwd())
        else:
            variables["MXDL_TOKEN"] = self._token
        return Process(status, command, variables, self._token, not is_here(host))

    def _job_variables(self, role: str, rank: int, host: str) -> dict[str, str]:
        launch = self.launch
        here = self._hosts.count(host)
        found = {
            "MXDL_ROLE": role, "MXDL_RANK": str(rank), "MXDL_NUM_WORKERS": str(launch.num_workers),
            "MXDL_NUM_SERVERS": str(launch.num_servers), "MXDL_ADDRESS": self.address, "MXDL_PORT": str(self.port),
            "MXDL_CONTROL": "external", "MXDL_TIMEOUT": str(launch.timeout),
            "MXDL_HOST": socket.gethostname() if is_here(host) else host,
            "DMLC_ROLE": role, "DMLC_NUM_WORKER": str(launch.num_workers), "DMLC_NUM_SERVER": str(launch.num_servers),
            "DMLC_PS_ROOT_URI": self.address, "DMLC_PS_ROOT_PORT": str(self.port),
            "DMLC_WORKER_ID" if role == "worker" else "DMLC_SERVER_ID": str(rank), "PYTHONUNBUFFERED": "1"}
        if role == "worker":
            found["MXDL_LOCAL_RANK"] = str(self._hosts[:rank].count(host))
            found["MXDL_LOCAL_SIZE"] = str(here)
        if launch.elastic:
            found["MXDL_ELASTIC"] = "1"
        if launch.journal:
            found["MXDL_JOURNAL"] = str(launch.folder.absolute() / "journal")
        if "OMP_NUM_THREADS" not in config.environment():       # all of them at once would fight for the cores
            found["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // here))
        return found

    # -- running ----------------------------------------------------------------------------------------------
    def run(self) -> int:
        """Starts everything and waits for the end; the exit code: 0, that of a worker that failed, 128 + signal."""
        with self._signals():
            try:
                for process in self.processes:
                    self._start(process)
                code = self._watch()
            finally:
                self._end()
        self.status.state = STOPPED if self._stopping else ENDED if code == 0 else FAILED
        self.status.write(self.launch.folder)
        if code == 0:
            shutil.rmtree(self.launch.folder / "journal", ignore_errors=True)
        return code

    def _start(self, process: Process) -> None:
        self._started[process] = time.monotonic()
        process.start()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        def note(number, _frame):
            self._stopping = number
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        old = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

    def stop(self) -> None:
        """Asks `run` (in another thread) to end the job."""
        self._stopping = signal.SIGTERM

    def _watch(self) -> int:
        written: list[ProcessStatus] = []
        while not self._stopping:
            for process in self.processes:
                self._look_after(process)
            self._take_steps()
            self._kill_the_silent()
            failed = [one for one in self.processes if one.status.state == FAILED and one not in self._due]
            workers_failed = [one for one in failed if one.status.role == "worker"]
            if failed and not ((self.launch.keep_going or self.launch.elastic) and failed == workers_failed):
                return _code(failed[0])
            # as they were when looked after: who ends just now is started again first, if it fell
            if all(one.status.exit_code is not None and one not in self._due for one in self.workers):
                return (min if self.launch.elastic else max)(map(_code, self.workers))
            if self.launch.elastic and self._is_well():
                self._end_latecomers()
            now = [dataclasses.replace(one) for one in self.status.processes]
            if now != written:
                self.status.write(self.launch.folder)
                written = now
            time.sleep(POLL_S)
        return 128 + self._stopping

    def _look_after(self, process: Process) -> None:
        """Starts a process that fell again, a moment later; a server that ended early counts as fallen too."""
        if process in self._due:
            if time.monotonic() >= self._due[process]:
                del self._due[process]
                process.status.restarts += 1
                self._start(process)
            return
        before = process.status.exit_code
        code = process.poll()
        if code is None or code == 0 or before is not None:
            return
        status = process.status
        if self.launch.elastic and self._is_well() and status.role == "worker":
            return      # the others are at the end
        what = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"failed with exit code {code}"
        if status.restarts < self.launch.restarts:
            log.warning("launch: %s %s; starting it again (%d of %d)", process.name, what, status.restarts + 1,
                        self.launch.restarts)
            self._due[process] = time.monotonic() + RESTART_WAIT_S
        else:
            log.error("launch: %s %s; its log is %s", process.name, what, status.log)

    def _kill_the_silent(self) -> None:
        """Ends processes that the control server declared dead but that exist still: stopped or cut off."""
        latest = {(one.role, one.rank): one for one in list(self._control.members.members.values())}
        for process in self.processes:
            member = latest.get((process.status.role, process.status.rank))
            if member is None or member.state != DEAD:
                continue
            seen = self._seen_dead.setdefault(member.session, time.monotonic())
            if process.status.state != RUNNING or process in self._due:
                continue
            if time.monotonic() - seen > GRACE_S and self._started[process] < seen:
                log.warning("launch: %s is dead (%s) but still there; killing it", process.name, member.reason)
                process.signal(signal.SIGKILL)

    def _is_well(self) -> bool:
        """Whether a worker has ended well: then the job is done but for those who still end."""
        return any(one.status.state == ENDED for one in self.workers)

    def _end_latecomers(self) -> None:
        """Ends workers that were started again too late to be let in."""
        group = set(self._control.members.group)
        latest = {one.rank: one.session for one in list(self._control.members.members.values()) if one.role == "worker"}
        for process in self.workers:
            if process.status.state == RUNNING and latest.get(process.status.rank) not in group:
                self._due.pop(process, None)
                process.signal(signal.SIGKILL)

    def _take_steps(self) -> None:
        latest = {(one.role, one.rank): one.step for one in list(self._control.members.members.values())}
        for status in self.status.processes:
            status.step = latest.get((status.role, status.rank), -1)

    def _end(self) -> None:
        """Ends what is left: servers, and after a failure or a stop workers too."""
        for number, seconds in ((signal.SIGTERM, STOP_S), (signal.SIGKILL, STOP_S)):
            left = [one for one in self.processes if one.status.pid and one.poll() is None]
            for process in left:
                process.signal(signal.SIGCONT)
                process.signal(number)
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline and any(one.poll() is None for one in left):
                time.sleep(POLL_S)
        self._control.close()


def _code(process: Process) -> int:
    """The exit code as a shell tells it."""
    code = process.status.exit_code or 0
    return 128 - code if code < 0 else code
