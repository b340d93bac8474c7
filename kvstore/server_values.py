"""What one parameter server holds, and how a frame changes it: the same code runs live and when a journal is replayed.

A frame is judged by its head before its payload is taken in (`payload_bytes`), then applied whole or not at all.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from . import compression, structure
from .array_bytes import cut, dtype_name, dtype_of, padded_bytes, shape_of
from .errors import FrameError, KVStoreError
from .frames import Frame, Kind, encode, take
from .keys import Key
from .server_updater import ServerUpdater, build_updater

#: kinds that change the values, and so are journalled and applied once
CHANGES = frozenset({Kind.INIT, Kind.PUSH, Kind.ROW_PUSH, Kind.OVERWRITE, Kind.OPTIMIZER, Kind.SETTINGS,
                     Kind.SET_STATES, Kind.APPLIED, Kind.CODING, Kind.CODED_PUSH})
MAX_KEY_LETTERS = 1024
#: what an optimizer raises on settings, states or gradients that make no sense to it
FAILURES = (TypeError, RuntimeError, LookupError, AttributeError, ArithmeticError)
Kinds = list[tuple[tuple[int, ...], torch.dtype]]


class ServerValues:
    """Values by key, the optimizer, and the last change of each session.

    limit_bytes: the most that the values may take together.
    """

    def __init__(self, limit_bytes: int):
        self.limit_bytes, self.held_bytes = limit_bytes, 0
        self.values: dict[Key, Tensor] = {}
        self.optimizer: tuple[str, dict[str, Any]] | None = None
        self.updater: ServerUpdater | None = None
        self.coding: dict[str, Any] | None = None
        self._codec: compression.Codec | None = None
        self._coding_states: dict[Key, dict[str, Tensor]] = {}
        self.applied: dict[int, int] = {}

    # -- judging ----------------------------------------------------------------------------------------------
    def arrays(self, frame: Frame) -> Kinds:
        """Shapes and dtypes of the arrays in a frame's payload.  Raises FrameError, KVStoreError."""
        if frame.kind is Kind.INIT:
            rows = [(_key(key), shape_of(shape), dtype_of(name)) for key, name, shape in _entries(frame, 3)]
            self._check_room(rows)
            return [(shape, dtype) for _, shape, dtype in rows]
        if frame.kind in (Kind.PUSH, Kind.OVERWRITE):
            return [(tuple(self.value(key).shape), dtype_of(name)) for key, name in _entries(frame, 2)]
        if frame.kind is Kind.CODED_PUSH:
            codec = self._need_codec()
            return [((codec.payload_bytes(self._coded(key).numel()),), torch.uint8) for key, in _entries(frame, 1)]
        if frame.kind is Kind.ROW_PUSH:
            return [kind for key, name, count in _entries(frame, 3)
                    for kind in self._row_arrays(key, count, dtype_of(name))]
        if frame.kind is Kind.ROW_PULL:
            return [((self._count(key, count),), torch.int64) for key, count in _entries(frame, 2)]
        if frame.kind is Kind.SET_STATES:
            return structure.kinds(take(frame, dict)[0])
        if frame.kind is Kind.CODING:
            return structure.kinds(take(frame, dict, dict)[1])
        return []

    def payload_bytes(self, frame: Frame) -> int:
        """The bytes that the payload of a frame must have; nothing is allocated for any other number."""
        size = sum(padded_bytes(shape, dtype) for shape, dtype in self.arrays(frame))
        if size != frame.payload_bytes:
            raise FrameError(f"{frame.kind.name}: its arrays take {size} bytes; got a payload of {frame.payload_bytes}")
        if size > 2 * self.limit_bytes:
            raise FrameError(f"{frame.kind.name}: {size} bytes are over this server's bound of {self.limit_bytes}")
        return size

    def value(self, key: Any) -> Tensor:
        if _key(key) not in self.values:
            raise KVStoreError(f"key {key!r} has no value on this server; call init first")
        return self.values[key]

    def _check_room(self, rows: list[tuple[Key, tuple[int, ...], torch.dtype]]) -> None:
        size = self.held_bytes + sum(padded_bytes(shape, dtype) for key, shape, dtype in rows if key not in self.values)
        if size > self.limit_bytes:
            raise KVStoreError(f"init: {size} bytes are over this server's bound of {self.limit_bytes}; use more "
                               f"servers, or raise MXDL_SERVER_LIMIT_BYTES")
        for key, shape, dtype in rows:
            known = self.values.get(key)
            if known is not None and (tuple(known.shape) != shape or known.dtype != dtype):
                raise KVStoreError(f"init: key {key!r} is {dtype_name(known.dtype)}{list(known.shape)} already; got "
                                   f"{dtype_name(dtype)}{list(shape)}")

    def _count(self, key: Any, count: Any) -> int:
        """A number of distinct rows of a key."""
        value = self.value(key)
        if not isinstance(count, int) or not 0 <= count <= (value.shape[0] if value.ndim else 0):
            raise FrameError(f"key {key!r}: no number of rows: {count!r:.40}")
        return count

    def _row_arrays(self, key: Any, count: Any, dtype: torch.dtype) -> Kinds:
        rows = self._count(key, count)
        return [((rows,), torch.int64), ((rows, *self.value(key).shape[1:]), dtype)]

    # -- applying ---------------------------------------------------------------------------------------------
    def is_done(self, frame: Frame) -> bool:
        """Whether this change was applied already: its answer was lost, and it was sent again."""
        return frame.sequence <= self.applied.get(frame.session, -1)

    def apply(self, frame: Frame, payload: Tensor) -> None:
        """Makes the change of a frame.  payload: uint8[payload_bytes].  Raises KVStoreError, FrameError."""
        arrays = cut(payload, self.arrays(frame))
        change = {Kind.INIT: self._init, Kind.PUSH: self._push, Kind.OVERWRITE: self._overwrite,
                  Kind.ROW_PUSH: self._row_push, Kind.CODING: self._set_coding, Kind.CODED_PUSH: self._coded_push,
                  Kind.OPTIMIZER: self._set_optimizer, Kind.SETTINGS: self._set_settings,
                  Kind.SET_STATES: self._set_states, Kind.APPLIED: self._set_applied}[frame.kind]
        try:
            change(frame, arrays)
        except FAILURES as error:
            raise KVStoreError(f"{frame.kind.name}: the server's optimizer failed: {type(error).__name__}: "
                               f"{error}") from error
        if frame.session:
            self.applied[frame.session] = frame.sequence

    def _init(self, frame: Frame, arrays: list[Tensor]) -> None:
        for (key, _, _), array in zip(_entries(frame, 3), arrays, strict=True):
            if key not in self.values:
                self.values[key] = array.clone()
                self.held_bytes += padded_bytes(array.shape, array.dtype)

    def _push(self, frame: Frame, arrays: list[Tensor]) -> None:
        keys = [key for key, _ in _entries(frame, 2)]
        self._need_updater().update(keys, arrays, [self.values[key] for key in keys])

    def _set_coding(self, frame: Frame, arrays: list[Tensor]) -> None:
        wanted, states = take(frame, dict, dict)
        if wanted != self.coding:
            self._codec, self.coding = compression.create(wanted), wanted
            self._coding_states = structure.rebuild(states, arrays)

    def _coded_push(self, frame: Frame, arrays: list[Tensor]) -> None:
        """The gradients that payloads stand for, given to the optimizer."""
        updater, codec = self._need_updater(), self._need_codec()
        keys = [key for key, in _entries(frame, 1)]
        grads = []
        for key, payload in zip(keys, arrays, strict=True):
            value = self.values[key]
            total = torch.zeros(value.numel())
            codec.add(payload, len(total), 0, total)
            codec.finish(total)
            codec.settle(total, self._coding_states.setdefault(key, {}))
            grads.append(total.view(value.shape))
        updater.update(keys, grads, [self.values[key] for key in keys])

    def _coded(self, key: Any) -> Tensor:
        """The value of a key whose gradients may come compressed."""
        value = self.value(key)
        if value.dtype is not torch.float32:
            raise KVStoreError(f"push: gradient compression takes float32; key {key!r} is {dtype_name(value.dtype)}")
        return value

    def _need_codec(self) -> compression.Codec:
        if self._codec is None:
            raise KVStoreError("push: compressed gradients before set_gradient_compression")
        return self._codec

    def _row_push(self, frame: Frame, arrays: list[Tensor]) -> None:
        updater = self._need_updater()
        keys = [key for key, _, _ in _entries(frame, 3)]
        for key, ids in zip(keys, arrays[::2], strict=True):
            self._check_ids(key, ids)
        for key, ids, rows in zip(keys, arrays[::2], arrays[1::2], strict=True):
            if len(ids):
                updater.update_rows(key, ids, rows, self.values[key])

    def _overwrite(self, frame: Frame, arrays: list[Tensor]) -> None:
        for (key, _), array in zip(_entries(frame, 2), arrays, strict=True):
            self.values[key].copy_(array)

    def _set_optimizer(self, frame: Frame, arrays: list[Tensor]) -> None:
        wanted = tuple(take(frame, str, dict))
        if wanted != self.optimizer:    # every worker says the same; the states stay
            self.updater = build_updater(*wanted)
            self.optimizer = wanted

    def _set_settings(self, frame: Frame, arrays: list[Tensor]) -> None:
        self._need_updater().set_settings(take(frame, dict)[0])

    def _set_states(self, frame: Frame, arrays: list[Tensor]) -> None:
        self._need_updater().set_states(structure.rebuild(take(frame, dict)[0], arrays))

    def _set_applied(self, frame: Frame, arrays: list[Tensor]) -> None:
        """A snapshot's record of what was applied before it; written by this server only."""
        self.applied = {int(session): int(number) for session, number in take(frame, list)[0]}

    def _need_updater(self) -> ServerUpdater:
        if self.updater is None:
            raise KVStoreError("push: the servers have no optimizer to apply it with; call set_optimizer first")
        return self.updater

    def _check_ids(self, key: Key, ids: Tensor) -> None:
        if not len(ids):
            return
        least, most = (int(one) for one in ids.aminmax())
        if not 0 <= least <= most < self.values[key].shape[0]:
            raise KVStoreError(f"key {key!r}: row ids are 0 to {self.values[key].shape[0] - 1} on this server; got "
                               f"{least} to {most}")

    # -- reading ----------------------------------------------------------------------------------------------
    def rows(self, frame: Frame, ids: list[Tensor], memory: Callable[[int], Tensor]) -> list[Tensor]:
        """The rows that a ROW_PULL asks for.  memory: gives uint8[n] for so many bytes, where they are put."""
        keys = [key for key, _ in _entries(frame, 2)]
        for key, wanted in zip(keys, ids, strict=True):
            self._check_ids(key, wanted)
        kinds = [((len(wanted), *self.values[key].shape[1:]), self.values[key].dtype)
                 for key, wanted in zip(keys, ids, strict=True)]
        found = cut(memory(sum(padded_bytes(shape, dtype) for shape, dtype in kinds)), kinds)
        for key, wanted, rows in zip(keys, ids, found, strict=True):
            torch.index_select(self.values[key], 0, wanted, out=rows)
        return found

    def snapshot(self) -> list[tuple[Frame, list[Tensor]]]:
        """Frames that bring an empty server to this state."""
        found = [(_frame(Kind.INIT, [[[key, dtype_name(value.dtype), list(value.shape)]]]), [value])
                 for key, value in self.values.items()]
        if self.optimizer is not None and self.updater is not None:
            skeleton, tensors = structure.flatten(self.updater.get_states())
            found += [(_frame(Kind.OPTIMIZER, self.optimizer), []), (_frame(Kind.SET_STATES, [skeleton]), tensors)]
        if self.coding is not None:
            skeleton, tensors = structure.flatten(self._coding_states)
            found.append((_frame(Kind.CODING, [self.coding, skeleton]), tensors))
        return [*found, (_frame(Kind.APPLIED, [[list(pair) for pair in self.applied.items()]]), [])]


def _frame(kind: Kind, fields: Any) -> Frame:
    return Frame(kind, 0, 0, tuple(encode(field) for field in fields))


def _key(key: Any) -> Key:
    if isinstance(key, bool) or not isinstance(key, (int, str)) or isinstance(key, str) and len(key) > MAX_KEY_LETTERS:
        raise FrameError(f"a key is an int or a text of at most {MAX_KEY_LETTERS} letters; got {key!r:.40}")
    return key


def _entries(frame: Frame, width: int) -> list[list[Any]]:
    """The rows of the list in a frame's only field, each of `width` entries that begin with a key."""
    rows = take(frame, list)[0]
    for row in rows:
        if not isinstance(row, list) or len(row) != width:
            raise FrameError(f"{frame.kind.name}: an entry has {width} parts; got {row!r:.80}")
        _key(row[0])
    if len({(type(row[0]), row[0]) for row in rows}) != len(rows):
        raise FrameError(f"{frame.kind.name}: a key stands twice")
    return rows
