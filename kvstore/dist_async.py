"""`dist_async`: parameter servers hold the values and run the optimizer; each worker pushes and pulls at its own pace.

An update is atomic per key and in no order among workers.  A dead worker is not waited for, a replacement joins at any
time; a dead server's successor goes on from its journal.
"""
from __future__ import annotations

import atexit
import itertools
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import compression, config, structure
from .array_bytes import dtype_name
from .dist_async_server import let_others_end, server_of
from .dist_async_states import frames, joined
from .dist_async_wire import CPU, Wire
from .errors import KVStoreError
from .files import write_atomically
from .frames import Kind, take
from .job import Job
from .keys import Key, check_one_kind, pairs, with_row_ids
from .membership import ALIVE
from .reduction import reduce_many
from .rendezvous import connect
from .server import ParameterServer
from .server_updater import describe
from .shards import layout
from .store import KVStore, Updater, builder
from .values import as_tensor

WORKERS, SERVERS, SCHEDULER = 4, 2, 1       # MXNet's node groups, added up in num_dead_node's node_id


class AsyncStore(KVStore):
    """A worker's side.

    job: default: what the environment describes.   max_delay: pushes that a worker may be ahead of the slowest.
    """

    def __init__(self, job: Job | None = None, max_delay: int | None = None):
        self._server: ParameterServer | None = None
        max_delay = config.max_delay() if max_delay is None else max_delay
        self._control = connect(job)
        job = self._control.job
        if job.num_servers == 0 and job.rank == 0:
            self._server = ParameterServer(server_of(job), max_delay)
            self._server.start()
            atexit.register(self.close)
        self._wire = Wire(self._control, max(1, job.num_servers))
        self._links = self._wire.links
        self._bound = config.bigarray_bound()
        self._key_kind: type | None = None
        self._codec: compression.Codec | None = None
        self._residuals: dict[Key, Tensor] = {}
        self._optimizer: Any = None
        self._settings: dict[str, Any] = {}
        self._barriers = itertools.count()

    # -- who ---------------------------------------------------------------------------------------------------
    @property
    def type(self) -> str:
        return "dist_async"

    @property
    def rank(self) -> int:
        return self._control.job.rank

    @property
    def num_workers(self) -> int:
        return self._control.job.num_workers

    @property
    def is_replacement(self) -> bool:
        """Whether this worker took the place of one that is gone."""
        return self._control.is_replacement

    @staticmethod
    def is_capable(capability: str) -> bool:
        if capability != KVStore.OPTIMIZER:
            raise KVStoreError(f"is_capable: there is one capability, {KVStore.OPTIMIZER!r}; got {capability!r}")
        return True

    def num_dead_node(self, node_id: int = WORKERS | SERVERS, timeout: float = 0) -> int:
        """How many members of the groups in `node_id` (workers 4, servers 2) are dead now.

        timeout: seconds to wait for the number to be above 0.
        """
        roles = [role for role, bit in (("worker", WORKERS), ("server", SERVERS)) if node_id & bit]

        def dead() -> int:
            return sum(one.state != ALIVE for one in self._control.members if one.role in roles)
        return self._control.wait_for(dead, timeout) if timeout else dead()

    get_num_dead_node = num_dead_node

    def barrier(self) -> None:
        """Returns when every living worker called it as often; the first time, when all have joined."""
        self._control.barrier(f"dist_async/{next(self._barriers)}", timeout=config.straggler_timeout())

    # -- values -----------------------------------------------------------------------------------------------
    def init(self, key, value) -> None:
        """The first worker's values become the servers'; in the others it returns once they are there."""
        call = [(name, as_tensor("init", name, _one("init", name, copies)).detach().to(CPU).contiguous())
                for name, copies in pairs("init", key, value)]
        self._key_kind = check_one_kind("init", self._key_kind, [name for name, _ in call])
        for name, tensor in call:
            if name in self._wire.layouts:
                raise KVStoreError(f"init: key {name!r} has a value already; a key is initialised once, then pushed")
            self._wire.layouts[name] = layout(name, tuple(tensor.shape), len(self._links), self._bound)
            self._wire.dtypes[name] = tensor.dtype
        if self._is_first():
            self._wire.change(Kind.INIT, [(name, tensor, [dtype_name(tensor.dtype)]) for name, tensor in call], True)
        else:
            self._wire.pull([(name, [torch.empty_like(tensor)]) for name, tensor in call])

    def _is_first(self) -> bool:
        """Whether this is the first of the workers that live or are still to come."""
        members = {one.rank: one for one in self._control.members if one.role == "worker"}
        return self.rank == min(rank for rank in range(self.num_workers)
                                if rank not in members or members[rank].state == ALIVE)

    @torch.no_grad()
    def push(self, key, value, priority: int = 0) -> None:
        """Sums the values of the devices and hands the sum to the servers' optimizer; returns when it is applied."""
        call = self._known("push", key, value)
        self._follow_settings()
        dense = [(name, copies) for name, copies in call if not copies[0].is_sparse]
        if dense:
            totals = reduce_many([copies for _, copies in dense], CPU)
        if dense and self._codec is not None:
            self._wire.push_coded(self._codec, self._residuals,
                                  [(name, total) for (name, _), total in zip(dense, totals, strict=True)])
        elif dense:
            self._wire.change(Kind.PUSH, [(name, total, [dtype_name(total.dtype)])
                                          for (name, _), total in zip(dense, totals, strict=True)])
        sparse = [(name, copies) for name, copies in call if copies[0].is_sparse]
        if sparse:
            self._wire.push_rows([(name, total) for (name, _), total in zip(
                sparse, reduce_many([copies for _, copies in sparse], CPU), strict=True)])

    @torch.no_grad()
    def pull(self, key, out=None, priority: int = 0, ignore_sparse: bool = True) -> None:
        self._wire.pull([(name, copies) for name, copies in self._known("pull", key, out)
                         if not (ignore_sparse and copies[0].is_sparse)])

    def pushpull(self, key, value, out=None, priority: int = 0) -> None:
        self.push(key, value, priority)
        self.pull(key, value if out is None else out, priority)

    def broadcast(self, key, value, out, priority: int = 0) -> None:
        self.init(key, value)
        self.pull(key, out, priority, ignore_sparse=False)

    @torch.no_grad()
    def overwrite(self, key, value) -> None:
        self._wire.change(Kind.OVERWRITE, [(name, copies[0].to(CPU), [dtype_name(copies[0].dtype)])
                                           for name, copies in self._known("overwrite", key, value)])

    @torch.no_grad()
    def row_sparse_pull(self, key, out=None, priority: int = 0, row_ids=None) -> None:
        """Rows `row_ids` of the values into `out`: row-sparse, or dense (its other rows become 0)."""
        targets = self._known("row_sparse_pull", key, out)
        wanted = pairs("row_sparse_pull", key, row_ids)
        for name, copy, ids in with_row_ids(targets, wanted):
            one = as_tensor("row_sparse_pull", name, ids)
            self._wire.pull_rows(name, _in_order(one.detach().to(CPU, torch.int64).flatten()), copy)

    def set_updater(self, updater: Updater | None) -> None:
        raise KVStoreError("set_updater: the servers run the optimizer, and a function cannot travel; use "
                           "set_optimizer with an optimizer that is registered by name")

    def set_optimizer(self, optimizer) -> None:
        """Runs `optimizer` on the servers: it travels as its registered name and JSON.

        Its numbers (learning rate, rescale_grad, ...) are followed: the first worker sends those that changed.
        """
        name, settings = describe(optimizer)
        self._optimizer, self._settings = optimizer, settings
        if self._is_first():
            self._wire.everywhere(Kind.OPTIMIZER, [name, settings])
        self.barrier()

    def _follow_settings(self) -> None:
        if self._optimizer is None or not self._is_first():
            return
        settings = describe(self._optimizer)[1]
        if settings != self._settings:
            changed = {name: value for name, value in settings.items() if self._settings.get(name) != value}
            self._wire.everywhere(Kind.SETTINGS, [changed])
            self._settings = settings

    def set_gradient_compression(self, compression_params: dict) -> None:
        """Pushes dense float32 gradients in few bits (docs/compression.md); every worker calls it alike."""
        self._codec, self._residuals = compression.create(compression_params), {}
        if self._is_first():
            self._wire.everywhere(Kind.CODING, [dict(compression_params), structure.flatten({})[0]])
        self.barrier()

    # -- optimizer states --------------------------------------------------------------------------------------
    def save_optimizer_states(self, fname, dump_optimizer: bool = False) -> None:
        """Writes the states of all servers (always with the optimizer's counts) to one file of frames."""
        answers = self._wire.everywhere(Kind.GET_STATES, [])
        write_atomically(fname, joined(answers))

    def load_optimizer_states(self, fname) -> None:
        """Reads what `save_optimizer_states` wrote, with as many servers; the first worker does it for all."""
        found = list(frames(Path(fname).read_bytes(), str(fname)))
        if len(found) != len(self._links):
            raise KVStoreError(f"load_optimizer_states: {fname} holds the states of {len(found)} servers; this job "
                               f"has {len(self._links)}")
        if self._is_first():
            for link, (fields, payload) in zip(self._links, found, strict=True):
                link.ask(Kind.SET_STATES, fields, [payload])
        self.barrier()

    # -- figures -----------------------------------------------------------------------------------------------
    def traffic(self) -> dict[str, Any]:
        """Bytes by key (pushed, pulled), bytes on the wire with frames, and seconds spent in exchanges."""
        return {"keys": {key: tuple(counts) for key, counts in self._wire.traffic.items()},
                "sent_bytes": sum(link.sent_bytes for link in self._links),
                "received_bytes": sum(link.received_bytes for link in self._links),
                "network_s": max(link.network_s for link in self._links)}

    def server_figures(self) -> list[dict[str, Any]]:
        """What each server counted: requests and bytes by kind, seconds in the optimizer, in the journal, and waiting
        for stragglers."""
        return [take(answer.frame, dict)[0] for answer in self._wire.everywhere(Kind.PROFILE, [])]

    def set_server_profiler(self, state: str) -> None:
        """"run": the servers begin anew to note every request; "stop", "pause": they stop; "resume": they go on.
        Called by mx.profiler with profile_process="server"."""
        self._wire.everywhere(Kind.PROFILE, [state])

    def dump_server_profile(self, fname) -> int:
        """Writes what the servers noted as one file for Chrome's tracing or Perfetto; how many requests were too many
        to be kept."""
        found = [take(answer.frame, dict)[0] for answer in self._wire.everywhere(Kind.PROFILE, ["dump"])]
        write_atomically(fname, json.dumps({"traceEvents": [one for part in found for one in part["events"]]}).encode())
        return sum(part["left_out"] for part in found)

    def close(self) -> None:
        """Leaves the job.  A server in this process goes on serving until the other workers have left."""
        self._wire.close()
        server, self._server = self._server, None
        atexit.unregister(self.close)
        if server is not None:
            let_others_end(server, self._control)
            server.close()
        self._control.close()

    # -- the wire ----------------------------------------------------------------------------------------------
    def _known(self, where: str, key, value) -> list[tuple[Key, list[Tensor]]]:
        call = pairs(where, key, value)
        check_one_kind(where, self._key_kind, [name for name, _ in call])
        return [(name, [self._checked(where, name, copy) for copy in copies]) for name, copies in call]

    def _checked(self, where: str, key: Key, value: Any) -> Tensor:
        if key not in self._wire.layouts:
            raise KVStoreError(f"{where}: key {key!r} has no value yet; call init first")
        tensor = as_tensor(where, key, value)
        shape = self._wire.layouts[key].shape
        if tuple(tensor.shape) != shape:
            raise KVStoreError(f"{where}: key {key!r} has shape {shape}; got {tuple(tensor.shape)}")
        return tensor


def _one(where: str, key: Key, copies: list) -> Any:
    if len(copies) != 1:
        raise KVStoreError(f"{where}: key {key!r} needs one value; got {len(copies)}")
    return copies[0]


def _in_order(ids: Tensor) -> Tensor:
    """The distinct ids, sorted; mostly they are so already, which is cheaper to see than to do.  int64[n]"""
    return ids if bool((ids[1:] > ids[:-1]).all()) else ids.unique()


@builder("dist_async")
def _asynchronous(name: str) -> AsyncStore:
    return AsyncStore()
