"""Errors of the parameter store."""
from __future__ import annotations


class KVStoreError(ValueError):
    """A call that the store cannot carry out: an unknown or repeated key, a wrong shape, mixed key types.

    The message names the call, what is wrong and what to do.
    """


class StoreNotBuiltError(NotImplementedError):
    """A store or a feature that MXNet has and this package does not have yet (``dist_sync``, ``nccl``, ...)."""


class JobError(KVStoreError):
    """The description of a job (environment variables, arguments) does not hold together; says everything at once."""


class JobFailedError(RuntimeError):
    """A job of several processes cannot go on: base of what follows.  Nothing waits for ever; this is raised."""


class DeadWorkerError(JobFailedError):
    """A worker died, was stopped or was cut off while others needed it.

    ranks: the dead workers.   last_step: the last step that every worker completed, -1 where none was told.
    Fix: start the job again from its checkpoint (`mxdl launch` does), or run it with `dist_async`, which goes on.
    """

    def __init__(self, ranks: list[int], last_step: int = -1, reason: str = ""):
        who = f"worker {ranks[0]} is" if len(ranks) == 1 else f"workers {', '.join(map(str, ranks))} are"
        step = f"the last complete step is {last_step}" if last_step >= 0 else "no step was complete"
        super().__init__(f"{who} dead{f' ({reason})' if reason else ''}; {step}; start the job again from its last "
                         f"checkpoint, or use dist_async, which goes on without the dead")
        self.ranks, self.last_step, self.reason = ranks, last_step, reason


class DeadServerError(JobFailedError):
    """A parameter server is gone and no successor came in time.  Fix: `mxdl launch`, which restarts servers."""


class ControlLostError(JobFailedError):
    """The control server (the launcher, or worker 0) is gone or silent.  Fix: start the job again."""


class EvictedError(JobFailedError):
    """This process was declared dead by the others (it was silent for too long), or belongs to an older start."""


class JoinRefusedError(JobFailedError):
    """The control server or a parameter server refused this process: wrong token, rank taken, old generation."""


class FrameError(ConnectionError):
    """Bytes that are no frame, or one over its bounds; the connection that brought them is closed."""
