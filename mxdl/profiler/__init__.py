"""``mx.profiler``: what operators, stores and a program's own tasks take, as a table or for Chrome's tracing.

    mx.profiler.set_config(profile_all=True, filename="profile.json")
    mx.profiler.set_state("run")
    ...
    mx.profiler.set_state("stop")
    print(mx.profiler.dumps())      # totals by operator
    mx.profiler.dump()              # profile.json, for chrome://tracing or Perfetto

Noted are operators of eager code and of hybridized blocks and executors (each gradient's kernel by its own name),
`backward()` as a whole where the tape computes it, rounds and exchanges of a kvstore with the bytes they moved and the
time that a worker waited for others, and whatever tasks, frames, events, counters and markers the program makes.
Times are wall time; on a GPU each operator is waited for while the profiler runs, which makes the program slower and
its times true.  Compiled blocks (`backend="inductor"`, CUDA graphs) are not looked into.  Source: MXNet's profiler.py.
"""
from __future__ import annotations

import atexit
import json
import warnings
from typing import Any

from ..errors import MXNetError, suggest
from ..files import atomic_write
from ..kvstore import spans
from ..recorder import MOST_EVENTS, recorder
from .objects import Counter as Counter
from .objects import Domain as Domain
from .objects import Event as Event
from .objects import Frame as Frame
from .objects import Marker as Marker
from .objects import Task as Task
from .running import run
from .table import as_json, as_table

#: MXNet's options with their defaults.  `profile_api` and `aggregate_stats` change nothing: there is no C interface to
#: time, and totals come from the events.
_DEFAULTS: dict[str, Any] = {
    "filename": "profile.json", "profile_all": False, "profile_symbolic": False, "profile_imperative": False,
    "profile_memory": False, "profile_api": False, "continuous_dump": False, "dump_period": 1.0,
    "aggregate_stats": False, "profile_process": "worker"}
_PROCESSES = ("worker", "server")
_config: dict[str, dict[str, Any]] = {process: dict(_DEFAULTS) for process in _PROCESSES}


def set_config(**kwargs: Any) -> None:
    """Choose what is profiled, and the file.

    filename: where `dump` writes.   profile_symbolic: operators of hybridized blocks and executors.
    profile_imperative: operators of eager code.   profile_memory: what the process, or the GPU's tensors, take after
    each operator of eager code.   profile_all: all of these.   Without any of the three both kinds of operators are.
    continuous_dump: `stop` and the program's end write the file too.   profile_process: "server" for the servers of a
    `dist_async` store.   Raises MXNetError for other names.
    """
    process = _process(kwargs.pop("profile_process", "worker"))
    for name in kwargs:
        if name not in _DEFAULTS:
            raise MXNetError(f"profiler.set_config: unknown option; got {name!r}; use {', '.join(_DEFAULTS)}"
                             f"{suggest(name, _DEFAULTS)}")
    _config[process].update(kwargs)
    if process == "worker":
        chosen = _config[process]
        every = chosen["profile_all"]
        nothing = not any(chosen[f"profile_{kind}"] for kind in ("all", "symbolic", "imperative", "memory"))
        run.symbolic = bool(every or nothing or chosen["profile_symbolic"])
        run.imperative = bool(every or nothing or chosen["profile_imperative"] or chosen["profile_memory"])
        run.memory = bool(every or chosen["profile_memory"])
        run.listen()


def set_state(state: str = "stop", profile_process: str = "worker") -> None:
    """ "run": events are noted from now on, beside those that are there; "stop": no more."""
    if state not in ("run", "stop"):
        raise MXNetError(f"profiler.set_state: a state is 'run' or 'stop'; got {state!r}")
    if _process(profile_process) == "server":
        _store().set_server_profiler(state)
        return
    was_running = run.is_running
    run.is_running, run.is_paused = state == "run", False
    run.listen()
    if was_running and state == "stop" and _config["worker"]["continuous_dump"]:
        _write()


def pause(profile_process: str = "worker") -> None:
    """Notes nothing until `resume`."""
    _hold(True, profile_process)


def resume(profile_process: str = "worker") -> None:
    """Goes on after `pause`."""
    _hold(False, profile_process)


def dump(finished: bool = True, profile_process: str = "worker") -> None:
    """Write the events to `filename`, for Chrome's tracing; the servers' for "server".

    finished: the profiler stops, and the next run begins with no events.
    """
    if _process(profile_process) == "server":
        _warn_of(_store().dump_server_profile(_config["server"]["filename"]))
        return
    if finished:
        run.is_running = False
        run.listen()
    _write()
    if finished:
        recorder.clear()


def dumps(reset: bool = False, format: str = "table", sort_by: str = "total", ascending: bool = False) -> str:
    """Totals by operator, task and counter: how often, milliseconds in all, least, most and average.

    format: "table" or "json".   sort_by: "total", "avg", "min", "max" or "count".   reset: the events are forgotten.
    """
    if format not in ("table", "json"):
        raise MXNetError(f"profiler.dumps: a format is 'table' or 'json'; got {format!r}")
    text = (as_table if format == "table" else as_json)(recorder.events, sort_by, ascending)
    if reset:
        recorder.clear()
    return text


def profiler_set_config(mode: str = "symbolic", filename: str = "profile.json") -> None:
    """The old `set_config`.  mode: "symbolic", "imperative", "api", "memory" or "all"."""
    if mode not in ("symbolic", "imperative", "api", "memory", "all"):
        raise MXNetError(f"profiler_set_config: a mode is symbolic, imperative, api, memory or all; got {mode!r}")
    set_config(**{f"profile_{kind}": kind == mode for kind in ("symbolic", "imperative", "api", "memory", "all")},
               filename=filename)


def profiler_set_state(state: str = "stop") -> None:
    """The old `set_state`."""
    set_state(state)


def dump_profile() -> None:
    """The old `dump`."""
    dump()


def set_kvstore_handle(handle: Any) -> None:
    """The store whose servers `profile_process="server"` means, instead of the last one that was created."""
    spans.created(handle)


def _process(name: str) -> str:
    if name not in _PROCESSES:
        raise MXNetError(f"profiler: profile_process is 'worker' or 'server'; got {name!r}")
    return name


def _store() -> Any:
    store = spans.newest()
    if store is None:
        raise MXNetError("profiler: no store was created whose servers could be profiled; create 'dist_async' first")
    return store


def _hold(is_paused: bool, profile_process: str) -> None:
    if _process(profile_process) == "server":
        _store().set_server_profiler("pause" if is_paused else "resume")
        return
    run.is_paused = is_paused
    run.listen()


def _write() -> None:
    with atomic_write(_config["worker"]["filename"], "w") as file:
        json.dump({"traceEvents": recorder.events, "displayTimeUnit": "ms"}, file)
    _warn_of(recorder.left_out)


def _warn_of(left_out: int) -> None:
    if left_out:
        warnings.warn(f"profiler: {left_out} events came after the most that are kept ({MOST_EVENTS}) and are missing; "
                      f"profile a shorter part", stacklevel=3)


def _at_exit() -> None:
    if run.is_running and _config["worker"]["continuous_dump"]:
        dump()


atexit.register(_at_exit)
