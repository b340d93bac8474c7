"""A job: which process this is among which others, where they meet, and what proves that it belongs to them."""
from __future__ import annotations

import dataclasses
import math
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from . import config
from .addresses import is_loopback
from .errors import JobError
from .launchers import recognise

ROLES = ("worker", "server", "scheduler")
UNKNOWN = -1
LONGEST_NAME = 255


@dataclass(frozen=True)
class Job:
    """What a process knows of its job.  `Job()` is a job of one worker.

    role: worker, server or scheduler.   rank: number among those of its role; -1: given at the joining.
    num_workers, num_servers: of the job; no server process means that worker 0 serves in a thread.
    local_rank, local_size, leader: place on this machine, and the rank of the machine's first worker; -1: found at the
    joining.   host: the machine's name.   address, port: of the control server.   hosts_control: this process runs it.
    interface: interface or address to listen on, "" for the one that reaches the control server.
    token: the secret of the job.   generation: starts of the whole job before this one.
    timeout: seconds of silence after which a process is dead.   join_timeout: seconds to wait for others to come.
    """

    role: str = "worker"
    rank: int = UNKNOWN
    num_workers: int = 1
    num_servers: int = 0
    local_rank: int = UNKNOWN
    local_size: int = UNKNOWN
    leader: int = UNKNOWN
    host: str = dataclasses.field(default_factory=socket.gethostname)
    address: str = "127.0.0.1"
    port: int = 9091
    hosts_control: bool = True
    interface: str = ""
    token: str = dataclasses.field(default="", repr=False)
    generation: int = 0
    timeout: float = 10.0
    join_timeout: float = 60.0
    tls_cert: str = ""
    tls_key: str = ""
    tls_ca: str = ""
    journal: str = ""
    launcher: str = "none"

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise JobError("; ".join([f"job: {problems[0]}", *problems[1:]]))

    @property
    def is_leader(self) -> bool:
        """Whether this worker speaks for its machine."""
        return self.rank == self.leader

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] | None = None) -> Job:
        """The job that the environment describes: by our variables, DMLC_*, torchrun, Slurm or Open MPI.

        Raises JobError, which tells every problem at once.
        """
        variables = config.environment() if variables is None else variables
        found, problems = recognise(variables)
        try:
            found["token"] = config.token_of(variables)
        except OSError as error:
            problems.append(f"MXDL_TOKEN_FILE: {error.strerror}; got {error.filename}")
        try:
            job = cls(**found)
        except JobError as error:
            problems.append(str(error).removeprefix("job: "))
        if problems:
            raise JobError(f"job ({found['launcher']}): {'; '.join(problems)}")
        return job

    def _problems(self):
        if self.role not in ROLES:
            yield f"role is one of {', '.join(ROLES)}; got {self.role!r}"
        if self.num_workers < 1:
            yield f"num_workers is at least 1; got {self.num_workers}"
        if self.num_servers < 0:
            yield f"num_servers is at least 0; got {self.num_servers}"
        size = {"worker": self.num_workers, "server": max(1, self.num_servers)}.get(self.role, 1)
        if not UNKNOWN <= self.rank < max(1, size):
            yield f"rank of a {self.role} is below {size}; got {self.rank}"
        if self.local_size != UNKNOWN and not 0 <= self.local_rank < self.local_size <= self.num_workers:
            yield (f"local_rank < local_size <= num_workers; got {self.local_rank}, {self.local_size} and "
                   f"{self.num_workers}")
        if not 0 <= self.port < 65536:
            yield f"port is 0 to 65535; got {self.port}"
        if not 0 < len(self.host) <= LONGEST_NAME:
            yield f"host is a name of 1 to {LONGEST_NAME} letters; got {len(self.host)}"
        for name, value in (("timeout", self.timeout), ("join_timeout", self.join_timeout)):
            if not (math.isfinite(value) and value > 0):
                yield f"{name} is a number of seconds above 0; got {value}"
        if self.generation < 0:
            yield f"generation is at least 0; got {self.generation}"
        if bool(self.tls_cert) != bool(self.tls_key):
            yield "TLS needs a certificate and its key; got one of MXDL_TLS_CERT and MXDL_TLS_KEY"
        if not self.token and not (is_loopback(self.address) and is_loopback(self.interface or self.address)):
            yield (f"a job that leaves this machine needs a token (MXDL_TOKEN or MXDL_TOKEN_FILE), or anybody could "
                   f"join; got address {self.address!r}, interface {self.interface!r} and no token")
