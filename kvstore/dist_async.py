"""`dist_async`: parameter servers hold the values and run the optimizer; each worker pushes and pulls at its own pace.

An update is atomic per key and in no order among workers.  A dead worker is not waited for, a replacement joins at any
time; a dead server's successor goes on from its journal.
"""
from __future__ import annotations

import atexit
import dataclasses
import itertools
import json
import logging
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import compression, config, structure
from .array_bytes import dtype_name, padded_bytes, parts, view_bytes
from .connection import DATA
from .control_client import Control
from .errors import JobFailedError, KVStoreError
from .files import write_atomically
from .frames import HEADER, Kind, pack, take, unpack_fields, unpack_header
from .job import UNKNOWN, Job
from .keys import Key, check_one_kind, pairs, with_row_ids
from .membership import ALIVE
from .reduction import reduce_many
from .rendezvous import connect
from .server import ParameterServer
from .server_link import Answer, Request, ServerLink
from .server_updater import describe
from .shards import Layout, layout
from .store import KVStore, Updater, builder
from .values import as_tensor

log = logging.getLogger("mxdl.kvstore")

CPU = torch.device("cpu")
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
            self._server = ParameterServer(_server_of(job), max_delay)
            self._server.start()
            atexit.register(self.close)
        self._links = [ServerLink(self._control, rank) for rank in range(max(1, job.num_servers))]
        self._pool = ThreadPoolExecutor(len(self._links), "mxdl worker") if len(self._links) > 1 else None
        self._bound = config.bigarray_bound()
        self._layouts: dict[Key, Layout] = {}
        self._dtypes: dict[Key, torch.dtype] = {}
        self._key_kind: type | None = None
        self._codec: compression.Codec | None = None
        self._residuals: dict[Key, Tensor] = {}
        self._optimizer: Any = None
        self._settings: dict[str, Any] = {}
        self._barriers = itertools.count()
        self._traffic: defaultdict[Key, list[int]] = defaultdict(lambda: [0, 0])

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
            if name in self._layouts:
                raise KVStoreError(f"init: key {name!r} has a value already; a key is initialised once, then pushed")
            self._layouts[name] = layout(name, tuple(tensor.shape), len(self._links), self._bound)
            self._dtypes[name] = tensor.dtype
        if self._is_first():
            self._change(Kind.INIT, [(name, tensor, [dtype_name(tensor.dtype)]) for name, tensor in call], True)
        else:
            self._pull([(name, [torch.empty_like(tensor)]) for name, tensor in call])

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
            self._push_coded(self._codec, [(name, total) for (name, _), total in zip(dense, totals, strict=True)])
        elif dense:
            self._change(Kind.PUSH, [(name, total, [dtype_name(total.dtype)])
                                     for (name, _), total in zip(dense, totals, strict=True)])
        sparse = [(name, copies) for name, copies in call if copies[0].is_sparse]
        if sparse:
            self._push_rows([(name, total) for (name, _), total in zip(
                sparse, reduce_many([copies for _, copies in sparse], CPU), strict=True)])

    @torch.no_grad()
    def pull(self, key, out, priority: int = 0, ignore_sparse: bool = True) -> None:
        self._pull([(name, copies) for name, copies in self._known("pull", key, out)
                    if not (ignore_sparse and copies[0].is_sparse)])

    def pushpull(self, key, value, out=None, priority: int = 0) -> None:
        self.push(key, value, priority)
        self.pull(key, value if out is None else out, priority)

    def broadcast(self, key, value, out, priority: int = 0) -> None:
        self.init(key, value)
        self.pull(key, out, priority, ignore_sparse=False)

    @torch.no_grad()
    def overwrite(self, key, value) -> None:
        self._change(Kind.OVERWRITE, [(name, copies[0].to(CPU), [dtype_name(copies[0].dtype)])
                                      for name, copies in self._known("overwrite", key, value)])

    @torch.no_grad()
    def row_sparse_pull(self, key, out, row_ids, priority: int = 0) -> None:
        """Rows `row_ids` of the values into `out`: row-sparse, or dense (its other rows become 0)."""
        targets = self._known("row_sparse_pull", key, out)
        wanted = pairs("row_sparse_pull", key, row_ids)
        for name, copy, ids in with_row_ids(targets, wanted):
            one = as_tensor("row_sparse_pull", name, ids)
            self._pull_rows(name, _in_order(one.detach().to(CPU, torch.int64).flatten()), copy)

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
            self._everywhere(Kind.OPTIMIZER, [name, settings])
        self.barrier()

    def _follow_settings(self) -> None:
        if self._optimizer is None or not self._is_first():
            return
        settings = describe(self._optimizer)[1]
        if settings != self._settings:
            changed = {name: value for name, value in settings.items() if self._settings.get(name) != value}
            self._everywhere(Kind.SETTINGS, [changed])
            self._settings = settings

    def set_gradient_compression(self, compression_params: dict) -> None:
        """Pushes dense float32 gradients in few bits (docs/compression.md); every worker calls it alike."""
        self._codec, self._residuals = compression.create(compression_params), {}
        if self._is_first():
            self._everywhere(Kind.CODING, [dict(compression_params), structure.flatten({})[0]])
        self.barrier()

    # -- optimizer states --------------------------------------------------------------------------------------
    def save_optimizer_states(self, fname, dump_optimizer: bool = False) -> None:
        """Writes the states of all servers (always with the optimizer's counts) to one file of frames."""
        answers = self._everywhere(Kind.GET_STATES, [])
        content = b"".join(pack(Kind.SET_STATES, answer.frame.fields, payload_bytes=answer.payload.numel())
                           + bytes(view_bytes(answer.payload)) for answer in answers)
        write_atomically(fname, content)

    def load_optimizer_states(self, fname) -> None:
        """Reads what `save_optimizer_states` wrote, with as many servers; the first worker does it for all."""
        frames = list(_frames(Path(fname).read_bytes(), str(fname)))
        if len(frames) != len(self._links):
            raise KVStoreError(f"load_optimizer_states: {fname} holds the states of {len(frames)} servers; this job "
                               f"has {len(self._links)}")
        if self._is_first():
            for link, (fields, payload) in zip(self._links, frames, strict=True):
                link.ask(Kind.SET_STATES, fields, [payload])
        self.barrier()

    # -- figures -----------------------------------------------------------------------------------------------
    def traffic(self) -> dict[str, Any]:
        """Bytes by key (pushed, pulled), bytes on the wire with frames, and seconds spent in exchanges."""
        return {"keys": {key: tuple(counts) for key, counts in self._traffic.items()},
                "sent_bytes": sum(link.sent_bytes for link in self._links),
                "received_bytes": sum(link.received_bytes for link in self._links),
                "network_s": max(link.network_s for link in self._links)}

    def server_figures(self) -> list[dict[str, Any]]:
        """What each server counted: requests and bytes by kind, seconds in the optimizer, in the journal, and waiting
        for stragglers."""
        return [take(answer.frame, dict)[0] for answer in self._everywhere(Kind.PROFILE, [])]

    def set_server_profiler(self, state: str) -> None:
        """"run": the servers begin to note every request; "stop": they stop.  MXNet's profiler.set_state does it with
        profile_process="server"."""
        self._everywhere(Kind.PROFILE, [state])

    def dump_server_profile(self, fname) -> int:
        """Writes what the servers noted as one file for Chrome's tracing or Perfetto; how many requests were too many
        to be kept."""
        found = [take(answer.frame, dict)[0] for answer in self._everywhere(Kind.PROFILE, ["dump"])]
        write_atomically(fname, json.dumps({"traceEvents": [one for part in found for one in part["events"]]}).encode())
        return sum(part["left_out"] for part in found)

    def close(self) -> None:
        """Leaves the job.  A server in this process goes on serving until the other workers have left."""
        for link in self._links:
            link.close()
        if self._pool is not None:
            self._pool.shutdown()
        server, self._server = self._server, None
        atexit.unregister(self.close)
        if server is not None:
            _let_others_end(server, self._control)
            server.close()
        self._control.close()

    # -- the wire ----------------------------------------------------------------------------------------------
    def _known(self, where: str, key, value) -> list[tuple[Key, list[Tensor]]]:
        call = pairs(where, key, value)
        check_one_kind(where, self._key_kind, [name for name, _ in call])
        return [(name, [self._checked(where, name, copy) for copy in copies]) for name, copies in call]

    def _checked(self, where: str, key: Key, value: Any) -> Tensor:
        if key not in self._layouts:
            raise KVStoreError(f"{where}: key {key!r} has no value yet; call init first")
        tensor = as_tensor(where, key, value)
        if tuple(tensor.shape) != self._layouts[key].shape:
            raise KVStoreError(f"{where}: key {key!r} has shape {self._layouts[key].shape}; got {tuple(tensor.shape)}")
        return tensor

    def _exchange(self, requests: dict[int, list[Request]]) -> dict[int, list[Answer]]:
        """Requests to several servers at once, and their answers by server."""
        if self._pool is None or len(requests) == 1:
            return {server: self._links[server].exchange(some) for server, some in requests.items()}
        futures = {server: self._pool.submit(self._links[server].exchange, some) for server, some in requests.items()}
        return {server: future.result() for server, future in futures.items()}

    def _everywhere(self, kind: Kind, fields: list[Any]) -> list[Answer]:
        """The same request to every server; the answers in their order."""
        answers = self._exchange({server: [Request(kind, fields, [])] for server in range(len(self._links))})
        return [answers[server][0] for server in range(len(self._links))]

    def _change(self, kind: Kind, arrays: list[tuple[Key, Tensor, list[Any]]], with_shape: bool = False) -> None:
        """Sends the pieces of arrays to their servers, one frame a server."""
        entries: defaultdict[int, list[list[Any]]] = defaultdict(list)
        tensors: defaultdict[int, list[Tensor]] = defaultdict(list)
        for name, tensor, told in arrays:
            place = self._layouts[name]
            for piece, part in zip(place.pieces, place.cut(tensor), strict=True):
                entries[piece.server].append([name, *told, *([list(part.shape)] if with_shape else [])])
                tensors[piece.server].append(part)
            self._traffic[name][0] += tensor.numel() * tensor.element_size()
        self._exchange({server: [Request(kind, [rows], parts(tensors[server])[0])] for server, rows in entries.items()})

    def _push_coded(self, codec: compression.Codec, call: list[tuple[Key, Tensor]]) -> None:
        """Sends each piece as a payload of its own; what a payload leaves out waits in the key's residual."""
        entries: defaultdict[int, list[list[Any]]] = defaultdict(list)
        payloads: defaultdict[int, list[Tensor]] = defaultdict(list)
        for name, total in call:
            if total.dtype is not torch.float32:
                raise KVStoreError(f"push: gradient compression takes float32 gradients; key {name!r} has "
                                   f"{dtype_name(total.dtype)}")
            place = self._layouts[name]
            if name not in self._residuals:
                self._residuals[name] = torch.zeros(place.shape)
            for piece, part, left in zip(place.pieces, place.cut(total), place.cut(self._residuals[name]), strict=True):
                payload = torch.empty(codec.payload_bytes(part.numel()), dtype=torch.uint8)
                codec.encode(part.reshape(-1), left.view(-1), payload)
                entries[piece.server].append([name])
                payloads[piece.server].append(payload)
                self._traffic[name][0] += payload.nbytes
        self._exchange({server: [Request(Kind.CODED_PUSH, [rows], parts(payloads[server])[0])]
                        for server, rows in entries.items()})

    def _pull(self, call: list[tuple[Key, list[Tensor]]]) -> None:
        """Reads values straight into the first output of each key where its memory allows, then copies to the rest."""
        keys: defaultdict[int, list[Key]] = defaultdict(list)
        into: defaultdict[int, list[memoryview]] = defaultdict(list)
        landed = []
        for name, copies in call:
            place, dtype = self._layouts[name], self._dtypes[name]
            first = copies[0]
            direct = first.device == CPU and first.dtype == dtype and first.is_contiguous() and not first.is_sparse
            landing = first if direct else torch.empty(place.shape, dtype=dtype)
            landed.append((landing, copies[1:] if direct else copies))
            for piece, part in zip(place.pieces, place.cut(landing), strict=True):
                keys[piece.server].append(name)
                memory = view_bytes(part)
                gap = padded_bytes(part.shape, dtype) - len(memory)
                into[piece.server] += [memory, *([memoryview(bytearray(gap))] if gap else [])]
            self._traffic[name][1] += landing.numel() * landing.element_size()
        wait_ms = int(self._control.job.join_timeout * 1e3)
        self._exchange({server: [Request(Kind.PULL, [names, wait_ms], [], into[server])]
                        for server, names in keys.items()})
        for landing, copies in landed:
            for copy in copies:
                copy.copy_(landing)

    def _push_rows(self, call: list[tuple[Key, Tensor]]) -> None:
        """call: row-sparse totals."""
        entries: defaultdict[int, list[list[Any]]] = defaultdict(list)
        tensors: defaultdict[int, list[Tensor]] = defaultdict(list)
        for name, total in call:
            total = total.coalesce()
            ids, rows = total.indices()[0], total.values()
            for server, start, local in self._by_server("push", name, ids):
                part = rows[start:start + len(local)]
                entries[server].append([name, dtype_name(part.dtype), len(local)])
                tensors[server] += [local, part]
                self._traffic[name][0] += len(local) * 8 + part.numel() * part.element_size()
        self._exchange({server: [Request(Kind.ROW_PUSH, [rows], parts(tensors[server])[0])]
                        for server, rows in entries.items()})

    def _pull_rows(self, name: Key, ids: Tensor, out: Tensor) -> None:
        """Rows of one value, straight into `out` where it is row-sparse and has as many already.

        ids: int64[n], sorted and distinct.
        """
        place, dtype = self._layouts[name], self._dtypes[name]
        direct = out.is_sparse and out.is_cpu and out.dtype == dtype and out.is_coalesced() and \
            out._nnz() == len(ids) and out._values().is_contiguous()
        rows = out._values() if direct else torch.empty((len(ids), *place.shape[1:]), dtype=dtype)
        requests, gaps = {}, []
        for server, start, local in self._by_server("row_sparse_pull", name, ids):
            part = rows[start:start + len(local)]
            gaps.append(memoryview(bytearray(padded_bytes(part.shape, dtype) - part.numel() * dtype.itemsize)))
            requests[server] = [Request(Kind.ROW_PULL, [[[name, len(local)]]], parts([local])[0],
                                        [view_bytes(part), gaps[-1]])]
        if requests:
            self._exchange(requests)
        self._traffic[name][1] += rows.numel() * rows.element_size()
        if direct:
            out._indices()[0].copy_(ids)
            return
        found = torch.sparse_coo_tensor(ids[None], rows, place.shape, is_coalesced=True, check_invariants=False)
        out.copy_(found if out.is_sparse else found.to_dense())

    def _by_server(self, where: str, name: Key, ids: Tensor) -> Iterator[tuple[int, int, Tensor]]:
        """(server, position of its first id, ids counted from its first row) of sorted row ids."""
        place = self._layouts[name]
        if not place.by_rows:
            raise KVStoreError(f"{where}: key {name!r} of shape {place.shape} lies in pieces smaller than a row; use "
                               f"fewer servers than it has rows, or dense arrays")
        if len(ids) and not 0 <= int(ids[0]) <= int(ids[-1]) < place.shape[0]:
            raise KVStoreError(f"{where}: key {name!r} has rows 0 to {place.shape[0] - 1}; got {int(ids[0])} to "
                               f"{int(ids[-1])}")
        bounds = torch.searchsorted(ids, torch.tensor([[piece.start, piece.stop] for piece in place.pieces])).tolist()
        for piece, (start, stop) in zip(place.pieces, bounds, strict=True):
            if stop > start:
                yield piece.server, start, ids[start:stop] - piece.start


def _one(where: str, key: Key, copies: list) -> Any:
    if len(copies) != 1:
        raise KVStoreError(f"{where}: key {key!r} needs one value; got {len(copies)}")
    return copies[0]


def _in_order(ids: Tensor) -> Tensor:
    """The distinct ids, sorted; mostly they are so already, which is cheaper to see than to do.  int64[n]"""
    return ids if bool((ids[1:] > ids[:-1]).all()) else ids.unique()


def _server_of(job: Job) -> Job:
    """The job as the server sees it that runs in a worker's process."""
    return dataclasses.replace(job, role="server", rank=0, local_rank=UNKNOWN, local_size=UNKNOWN, leader=UNKNOWN,
                               hosts_control=False)


def _let_others_end(server: ParameterServer, control: Control) -> None:
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


def _frames(content: bytes, name: str) -> Iterator[tuple[list[bytes], memoryview]]:
    """The fields and payloads of a file of frames.  Raises KVStoreError where it is none."""
    place = 0
    while place < len(content):
        try:
            header = unpack_header(content[place:place + HEADER.size].ljust(HEADER.size, b"\0"), DATA)
            body = place + HEADER.size
            frame = unpack_fields(header, content[body:body + header.head_bytes])
        except ConnectionError as error:
            raise KVStoreError(f"load_optimizer_states: {name} is no file of this store, or is damaged: "
                               f"{error}") from None
        place = body + header.head_bytes + header.payload_bytes
        if place > len(content):
            raise KVStoreError(f"load_optimizer_states: {name} is cut short")
        yield list(frame.fields), memoryview(content)[body + header.head_bytes:place]


@builder("dist_async")
def _asynchronous(name: str) -> AsyncStore:
    return AsyncStore()
