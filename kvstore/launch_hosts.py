"""Where the processes of a job run: this machine, or machines reached by ssh."""
from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from .errors import JobError

HERE = "localhost"
#: The secret is read on the remote side from standard input, so that it is in no list of processes; when the launcher
#: goes, standard input ends and the command is ended too.
_REMOTE = ("read -r MXDL_TOKEN; export MXDL_TOKEN; cd {folder} || exit 1; exec 3<&0; "
           "env {variables} {command} 3<&- </dev/null & child=$!; "
           "(cat <&3 >/dev/null; kill $child 2>/dev/null; sleep 5; kill -9 $child 2>/dev/null) & "
           "wait $child; code=$?; kill $! 2>/dev/null; exit $code")


class Host(NamedTuple):
    """A machine and how many workers it takes before the next one."""

    name: str
    slots: int = 1


def read_hosts(path: str | Path) -> list[Host]:
    """The machines in a file: one a line, `name` or `name slots=4`; # begins a comment.  Raises JobError."""
    found, problems = [], []
    for number, line in enumerate(Path(path).read_text().splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        slots = re.fullmatch(r"slots=([1-9]\d*)", words[1]) if len(words) == 2 else None
        if len(words) > 1 and slots is None or words[0].startswith("-"):
            problems.append(f"{path}:{number}: a line is `name` or `name slots=4`; got {line.strip()!r}")
            continue
        found.append(Host(words[0], int(slots[1]) if slots else 1))
    if problems or not found:
        raise JobError("; ".join(problems) or f"{path}: names no machine")
    return found


def place(hosts: list[Host], count: int) -> list[str]:
    """The machine of each of `count` processes: every machine's slots in turn, then from the first again."""
    row = [host.name for host in hosts for _ in range(host.slots)]
    return [row[number % len(row)] for number in range(count)]


def is_here(host: str) -> bool:
    return host in (HERE, "127.0.0.1")


def remote_command(ssh: list[str], host: str, command: list[str], variables: Mapping[str, str],
                   folder: str) -> list[str]:
    """The local command that runs `command` on `host`; its standard input takes the token and then stays open."""
    pairs = " ".join(f"{name}={shlex.quote(value)}" for name, value in sorted(variables.items()))
    text = _REMOTE.format(folder=shlex.quote(folder), variables=pairs, command=shlex.join(command))
    return [*ssh, host, text]
