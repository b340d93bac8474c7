"""Programs that run in every role, as MXNet's do: as a server or the scheduler, who asks for a store serves instead."""
from __future__ import annotations

import logging
import os
import sys
from typing import Any, NoReturn

from .control import ControlServer
from .errors import JobError
from .job import Job

SERVER_COMMAND = [sys.executable, "-m", "mxdl.tools.parameter_server"]


def serve_other_roles() -> None:
    """Returns in a worker.  A server's process becomes a parameter server; the scheduler's runs the control server and
    ends with the job.

    Raises JobError.
    """
    job = Job.from_environment()
    if job.role == "server":
        sys.stdout.flush()
        os.execv(SERVER_COMMAND[0], SERVER_COMMAND)
    if job.role == "scheduler":
        _schedule(job)


class KVStoreServer:
    """MXNet's program of a server, ``KVStoreServer(store).run()``; here asking for the store serves already."""

    def __init__(self, kvstore: Any):
        self.kvstore = kvstore

    def run(self) -> None:
        """Serves until the job ends.  Raises JobError in a worker."""
        serve_other_roles()
        raise JobError("KVStoreServer.run: this process is a worker; set DMLC_ROLE=server or MXDL_ROLE=server to serve")


def _schedule(job: Job) -> NoReturn:
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    server = ControlServer(job)
    server.start()
    server.wait(job.join_timeout)
    server.close()
    sys.exit(0)
