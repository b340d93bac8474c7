"""What a launcher knows of its job, kept in a file that `mxdl launch --status` reads."""
from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .errors import JobError
from .files import write_atomically

FILE = "launch.json"
STARTING, RUNNING, ENDED, FAILED, STOPPED = "starting", "running", "ended", "failed", "stopped"


@dataclass
class ProcessStatus:
    """One place of the job.  restarts: how often it was started again.   step: the last complete step it told."""

    role: str
    rank: int
    host: str
    state: str = STARTING
    pid: int = 0
    restarts: int = 0
    exit_code: int | None = None
    step: int = -1
    log: str = ""


@dataclass
class JobStatus:
    """A job as its launcher sees it."""

    command: list[str]
    address: str
    port: int
    launcher_pid: int
    began: float = field(default_factory=time.time)
    state: str = RUNNING
    processes: list[ProcessStatus] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        write_atomically(folder / FILE, json.dumps(asdict(self), indent=1).encode())


def read(folder: str | Path) -> JobStatus:
    """The status that a launcher wrote.  Raises JobError where there is none."""
    path = Path(folder) / FILE
    try:
        told = json.loads(path.read_text())
        return JobStatus(**{**told, "processes": [ProcessStatus(**one) for one in told["processes"]]})
    except FileNotFoundError:
        raise JobError(f"status: no job was launched into {folder}; give the folder that mxdl launch named") from None
    except (ValueError, TypeError, KeyError) as error:
        raise JobError(f"status: {path} is damaged: {error}") from None


def is_running(status: JobStatus) -> bool:
    """Whether the launcher still lives (on this machine)."""
    if status.state != RUNNING:
        return False
    try:
        os.kill(status.launcher_pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def table(status: JobStatus) -> str:
    """The status as a table for people."""
    rows: list[list[Any]] = [["process", "host", "pid", "state", "restarts", "step"]]
    for one in status.processes:
        state = one.state if one.exit_code is None else f"{one.state} ({one.exit_code})"
        rows.append([f"{one.role} {one.rank}", one.host, one.pid or "-", state, one.restarts,
                     one.step if one.step >= 0 else "-"])
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
             for row in rows]
    state = status.state if status.state != RUNNING or is_running(status) else "its launcher is gone"
    title = f"{' '.join(status.command)}: {state}; control server {status.address} port {status.port}"
    return "\n".join([title, *lines])
