"""What a worker of `dist_async` and the servers send each other: values, whole, in few bits, or some of their rows."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from .array_bytes import dtype_name, padded_bytes, parts, view_bytes
from .compression import Codec
from .control_client import Control
from .errors import KVStoreError
from .frames import Kind
from .keys import Key
from .server_link import Answer, Request, ServerLink
from .shards import Layout

CPU = torch.device("cpu")


class Wire:
    """Requests to all servers, each about the pieces of arrays that it holds.

    layouts, dtypes: of the keys that have a value.   traffic: bytes pushed and pulled, by key.
    """

    def __init__(self, control: Control, num_servers: int):
        self.links = [ServerLink(control, rank) for rank in range(num_servers)]
        self.layouts: dict[Key, Layout] = {}
        self.dtypes: dict[Key, torch.dtype] = {}
        self.traffic: defaultdict[Key, list[int]] = defaultdict(lambda: [0, 0])
        self._pool = ThreadPoolExecutor(num_servers, "mxdl worker") if num_servers > 1 else None
        self._wait_ms = int(control.job.join_timeout * 1e3)

    def close(self) -> None:
        for link in self.links:
            link.close()
        if self._pool is not None:
            self._pool.shutdown()

    def _exchange(self, requests: dict[int, list[Request]]) -> dict[int, list[Answer]]:
        """Requests to several servers at once, and their answers by server."""
        if self._pool is None or len(requests) == 1:
            return {server: self.links[server].exchange(some) for server, some in requests.items()}
        futures = {server: self._pool.submit(self.links[server].exchange, some) for server, some in requests.items()}
        return {server: future.result() for server, future in futures.items()}

    def everywhere(self, kind: Kind, fields: list[Any]) -> list[Answer]:
        """The same request to every server; the answers in their order."""
        answers = self._exchange({server: [Request(kind, fields, [])] for server in range(len(self.links))})
        return [answers[server][0] for server in range(len(self.links))]

    def change(self, kind: Kind, arrays: list[tuple[Key, Tensor, list[Any]]], with_shape: bool = False) -> None:
        """Sends the pieces of arrays to their servers, one frame a server."""
        entries: defaultdict[int, list[list[Any]]] = defaultdict(list)
        tensors: defaultdict[int, list[Tensor]] = defaultdict(list)
        for name, tensor, told in arrays:
            place = self.layouts[name]
            for piece, part in zip(place.pieces, place.cut(tensor), strict=True):
                entries[piece.server].append([name, *told, *([list(part.shape)] if with_shape else [])])
                tensors[piece.server].append(part)
            self.traffic[name][0] += tensor.numel() * tensor.element_size()
        self._exchange({server: [Request(kind, [rows], parts(tensors[server])[0])] for server, rows in entries.items()})

    def push_coded(self, codec: Codec, residuals: dict[Key, Tensor], call: list[tuple[Key, Tensor]]) -> None:
        """Sends each piece as a payload of its own; what a payload leaves out waits in the key's residual."""
        entries: defaultdict[int, list[list[Any]]] = defaultdict(list)
        payloads: defaultdict[int, list[Tensor]] = defaultdict(list)
        for name, total in call:
            if total.dtype is not torch.float32:
                raise KVStoreError(f"push: gradient compression takes float32 gradients; key {name!r} has "
                                   f"{dtype_name(total.dtype)}")
            place = self.layouts[name]
            if name not in residuals:
                residuals[name] = torch.zeros(place.shape)
            for piece, part, left in zip(place.pieces, place.cut(total), place.cut(residuals[name]), strict=True):
                payload = torch.empty(codec.payload_bytes(part.numel()), dtype=torch.uint8)
                codec.encode(part.reshape(-1), left.view(-1), payload)
                entries[piece.server].append([name])
                payloads[piece.server].append(payload)
                self.traffic[name][0] += payload.nbytes
        self._exchange({server: [Request(Kind.CODED_PUSH, [rows], parts(payloads[server])[0])]
                        for server, rows in entries.items()})

    def pull(self, call: list[tuple[Key, list[Tensor]]]) -> None:
        """Reads values straight into the first output of each key where its memory allows, then copies to the rest."""
        keys: defaultdict[int, list[Key]] = defaultdict(list)
        into: defaultdict[int, list[memoryview]] = defaultdict(list)
        landed = []
        for name, copies in call:
            place, dtype = self.layouts[name], self.dtypes[name]
            first = copies[0]
            direct = first.device == CPU and first.dtype == dtype and first.is_contiguous() and not first.is_sparse
            landing = first if direct else torch.empty(place.shape, dtype=dtype)
            landed.append((landing, copies[1:] if direct else copies))
            for piece, part in zip(place.pieces, place.cut(landing), strict=True):
                keys[piece.server].append(name)
                memory = view_bytes(part)
                gap = padded_bytes(part.shape, dtype) - len(memory)
                into[piece.server] += [memory, *([memoryview(bytearray(gap))] if gap else [])]
            self.traffic[name][1] += landing.numel() * landing.element_size()
        self._exchange({server: [Request(Kind.PULL, [names, self._wait_ms], [], into[server])]
                        for server, names in keys.items()})
        for landing, copies in landed:
            for copy in copies:
                copy.copy_(landing)

    def push_rows(self, call: list[tuple[Key, Tensor]]) -> None:
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
                self.traffic[name][0] += len(local) * 8 + part.numel() * part.element_size()
        self._exchange({server: [Request(Kind.ROW_PUSH, [rows], parts(tensors[server])[0])]
                        for server, rows in entries.items()})

    def pull_rows(self, name: Key, ids: Tensor, out: Tensor) -> None:
        """Rows of one value, straight into `out` where it is row-sparse and has as many already.

        ids: int64[n], sorted and distinct.
        """
        place, dtype = self.layouts[name], self.dtypes[name]
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
        self.traffic[name][1] += rows.numel() * rows.element_size()
        if direct:
            out._indices()[0].copy_(ids)
            return
        found = torch.sparse_coo_tensor(ids[None], rows, place.shape, is_coalesced=True, check_invariants=False)
        out.copy_(found if out.is_sparse else found.to_dense())

    def _by_server(self, where: str, name: Key, ids: Tensor) -> Iterator[tuple[int, int, Tensor]]:
        """(server, position of its first id, ids counted from its first row) of sorted row ids."""
        place = self.layouts[name]
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
