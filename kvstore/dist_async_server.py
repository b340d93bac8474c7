"""The parameter server that a worker of `dist_async` runs in its own process, where the job has none of its own."""
from __future__ import annotations

import dataclasses
import logging
import time

from . import config
from .control_client import Control
from .errors import JobFailedError
from .job import UNKNOWN, Job
from .server import ParameterServer

log = logging.getLogger("mxdl.kvstore")


def server_of(job: Job) -> Job:
    """The job as the server sees it that runs in a worker's process."""
    return dataclasses.replace(job, role="server", rank=0, local_rank=UNKNOWN, local_size=UNKNOWN, leader=UNKNOWN,
                               hosts_control=False)


def let_others_end(server: ParameterServer, control: Control) -> None:
    """Serves until the other workers have ended, or ask for nothing any more."""
    others = [one.rank for one in control.living() if one.session != control.session]
    if others:
        log.info("worker %d is done and serves on until workers %s end", control.job.rank, others)
    patience = config.straggler_timeout()
    try:
        while not control.wait_for(lambda: control.living_sessions("worker") <= {control.session}, 1):
            if time.monotonic() - server.last_request > patience:
                log.warning("the other workers asked for nothing in %g s; the server ends", patience)
                return
    except JobFailedError as error:
        log.warning("the server ends: %s", error)
