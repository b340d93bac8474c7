"""MXNet's ``.params`` files (``mx.nd.save`` and ``load``), all little-endian.

    u64 0x112, u64 0, u64 N, N records, u64 M, M names of (u64 length, bytes)      M is N for a dict, 0 for a list

A record (V2): u32 magic, i32 storage type, shape, i32 device type, i32 device number, i32 dtype flag, raw data; a shape
is i32 ndim, i64 lengths.  V3 (written for arrays without axes): ndim 0 is a scalar, not "no array".  V1 has no storage
type; before it the magic is the number of axes, and lengths are u32.  Sparse records are read as dense arrays.
"""
from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
import torch

from ..device import Context, cpu, current_context, gpu, num_gpus
from ..errors import FileFormatError
from ..files import atomic_write, existing
from ..types import DTYPE_NAMES, FLAG_DTYPES, TORCH_DTYPES, TYPE_FLAGS
from .ndarray import NDArray

LIST_MAGIC = 0x112
V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
DENSE, ROW_SPARSE, CSR = 0, 1, 2
#: arrays have at most so many axes; more in a file means that it is none of these files
MAX_AXES = 32


def save(fname: str | os.PathLike, data: Any) -> None:
    """Write an array, a list of arrays or a dict from names to arrays, as MXNet 1.x does.

    The old file stays whole until the new one is.  Raises TypeError for anything else.
    """
    arrays, names = _arrays_and_names(data)
    with atomic_write(fname, "wb") as stream:
        _write(stream, arrays, names)


def load(fname: str | os.PathLike) -> Any:
    """The list or dict of arrays in a file.  Raises FileFormatError, which names the offset, for a damaged one,
    FileMissingError where there is none."""
    path = existing(fname, "load")
    if not path.stat().st_size:
        return _load(b"", str(fname))   # an empty file cannot be mapped
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _load(data, str(fname))


def load_frombuffer(buf: bytes) -> Any:
    """The list or dict of arrays in the bytes of a file."""
    return _load(bytes(buf), "buffer")


def dump_bytes(data: Any) -> bytes:
    """The bytes that `save` writes."""
    stream = BytesIO()
    _write(stream, *_arrays_and_names(data))
    return stream.getvalue()


def _arrays_and_names(data: Any) -> tuple[list[NDArray], list[str]]:
    if isinstance(data, NDArray):
        data = [data]
    if isinstance(data, Mapping):
        arrays, names = list(data.values()), [str(name) for name in data]
    elif isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        arrays, names = list(data), []
    else:
        arrays, names = [None], []
    for array in arrays:
        if not isinstance(array, NDArray):
            raise TypeError(f"save: only an NDArray, a list or a dict of them can be saved; got {type(data).__name__} "
                            f"holding {type(array).__name__}; make arrays with mx.nd.array")
    return arrays, names


# -- writing --------------------------------------------------------------------------------------------------
def _write(stream: BinaryIO, arrays: Sequence[NDArray], names: Sequence[str]) -> None:
    stream.write(struct.pack("<QQQ", LIST_MAGIC, 0, len(arrays)))
    for array in arrays:
        _write_record(stream, array)
    stream.write(struct.pack("<Q", len(names)))
    for name in names:
        text = name.encode()
        stream.write(struct.pack("<Q", len(text)) + text)


def _write_record(stream: BinaryIO, array: NDArray) -> None:
    shape, context = array.shape, array.context
    magic = V2 if shape else V3   # V2 has no word for an array without axes; MXNet reads V3 under np_shape only
    stream.write(struct.pack(f"<Iii{len(shape)}qiii", magic, DENSE, len(shape), *shape, context.device_typeid,
                             context.device_id, TYPE_FLAGS[DTYPE_NAMES[array._data.dtype]]))
    tensor = array._data.detach().cpu().contiguous()
    if tensor.numel():
        stream.write(memoryview(tensor.reshape(-1).view(torch.uint8).numpy()))


# -- reading --------------------------------------------------------------------------------------------------
class _Reader:
    """Bytes, a position, and errors that name both."""

    def __init__(self, data: bytes | mmap.mmap, name: str):
        self.data, self.name, self.offset = data, name, 0

    def fail(self, what: str, advice: str) -> FileFormatError:
        return FileFormatError(f"load {self.name}: {what} at byte {self.offset} of {len(self.data)}; {advice}")

    def read(self, form: str, what: str) -> tuple:
        size = struct.calcsize(f"<{form}")
        if self.offset + size > len(self.data):
            raise self.fail(f"the file ends inside {what}; got {len(self.data) - self.offset} bytes of {size}",
                            "it is truncated: copy it again")
        values = struct.unpack_from(f"<{form}", self.data, self.offset)
        self.offset += size
        return values

    def tensor(self, shape: Sequence[int], dtype: str, what: str) -> torch.Tensor:
        kind = TORCH_DTYPES[dtype]
        size = kind.itemsize
        for length in shape:
            size *= length
        if self.offset + size > len(self.data):
            raise self.fail(f"the file ends inside the values of {what}; got {len(self.data) - self.offset} bytes of "
                            f"{size}", "it is truncated: copy it again")
        result = torch.empty(tuple(shape), dtype=kind)
        if size:
            result.reshape(-1).view(torch.uint8).numpy()[:] = np.frombuffer(self.data, np.uint8, size, self.offset)
        self.offset += size
        return result

    def shape(self, what: str, ndim: int | None = None, length: str = "q") -> tuple[int, ...] | None:
        """Lengths; None where ndim is -1 or a length is."""
        if ndim is None:
            ndim, = self.read("i", f"the shape of {what}")
        if not -1 <= ndim <= MAX_AXES:
            raise self.fail(f"{what} has an impossible number of axes; got {ndim}", "the file is damaged")
        lengths = self.read(f"{max(ndim, 0)}{length}", f"the shape of {what}")
        if ndim < 0 or -1 in lengths:
            return None
        if any(n < 0 for n in lengths):
            raise self.fail(f"{what} has an impossible shape; got {lengths}", "the file is damaged")
        return lengths

    def dtype(self, what: str) -> str:
        flag, = self.read("i", f"the dtype of {what}")
        if flag not in FLAG_DTYPES:
            raise self.fail(f"{what} has an unknown dtype flag; got {flag}", "the file is damaged or newer than mxdl")
        return FLAG_DTYPES[flag]


def _load(data: bytes | mmap.mmap, name: str) -> Any:
    reader = _Reader(data, name)
    magic, _, count = reader.read("QQQ", "the header")
    if magic != LIST_MAGIC:
        reader.offset = 0
        raise reader.fail(f"this is not a .params file; got {magic:#x} for {LIST_MAGIC:#x}",
                          "give a file of mx.nd.save or save_parameters")
    arrays: list = []
    for number in range(count):
        arrays.append(_read_record(reader, f"array {number} of {count}"))
    num_names, = reader.read("Q", "the number of names")
    if num_names not in (0, count):
        raise reader.fail(f"arrays and names differ in number; got {count} and {num_names}", "the file is damaged")
    if not num_names:
        return arrays
    return dict(zip([_read_name(reader, i) for i in range(num_names)], arrays, strict=True))


def _read_name(reader: _Reader, number: int) -> str:
    length, = reader.read("Q", f"the length of name {number}")
    raw = reader.data[reader.offset:reader.offset + length]
    if len(raw) < length:
        raise reader.fail(f"the file ends inside name {number}; got {len(raw)} bytes of {length}",
                          "it is truncated or damaged: copy it again")
    reader.offset += length
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise reader.fail(f"name {number} is not text; got {raw[:16]!r}", "the file is damaged") from None


def _read_record(reader: _Reader, what: str) -> NDArray | None:
    magic, = reader.read("I", what)
    stype = DENSE
    if magic in (V2, V3):
        stype, = reader.read("i", what)
        if stype not in (DENSE, ROW_SPARSE, CSR, -1):
            raise reader.fail(f"{what} has an unknown storage type; got {stype}", "the file is damaged")
    if stype in (ROW_SPARSE, CSR):
        reader.shape(what)   # of the stored values; MXNet writes (0,) at times, so the auxiliary shapes are asked
    if magic in (V1, V2, V3):
        shape = reader.shape(what)
    else:
        shape = reader.shape(what, min(magic, MAX_AXES + 1), "I")   # before V1 the first number is ndim
    if shape is None or (not shape and magic != V3):
        return None   # an array that was never given a shape
    context = _context(*reader.read("ii", f"the context of {what}"))
    dtype = reader.dtype(what)
    if stype in (DENSE, -1):
        tensor = reader.tensor(shape, dtype, what)
    else:
        tensor = _read_sparse(reader, what, stype, shape, dtype)
    return NDArray._wrap(tensor.to(context.torch_device), context)


def _context(device_type: int, device_id: int) -> Context:
    """Where the array was saved, if this machine has it, else the current context."""
    name = Context.devtype2str.get(device_type, "cpu")
    if name == "gpu" and device_id >= num_gpus():
        return current_context()
    return gpu(device_id) if name == "gpu" else cpu(0)


def _read_sparse(reader: _Reader, what: str, stype: int, shape: tuple[int, ...], dtype: str) -> torch.Tensor:
    """A row_sparse array (values and row numbers) or a csr matrix (values, row starts, columns), as a dense one."""
    types = [(reader.dtype(what), reader.shape(what) or ()) for _ in range(1 if stype == ROW_SPARSE else 2)]
    count = types[-1][1][:1]   # of stored rows, or of stored elements
    values = reader.tensor((*count, *shape[1:]) if stype == ROW_SPARSE else count, dtype, what)
    auxiliary = [reader.tensor(aux_shape, aux_dtype, what).long() for aux_dtype, aux_shape in types]
    dense = torch.zeros(shape, dtype=values.dtype)
    try:
        if stype == ROW_SPARSE:
            dense[auxiliary[0]] = values
        else:
            starts, columns = auxiliary
            rows = torch.repeat_interleave(torch.arange(shape[0]), starts.diff())
            dense[rows, columns] = values
    except (RuntimeError, IndexError) as error:
        raise reader.fail(f"{what} has indices that do not fit its shape {shape}", "the file is damaged") from error
    return dense
