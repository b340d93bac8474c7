"""Messages between the tests and MXNet's process: a JSON header that may name arrays, then the arrays' bytes.

Both ends import this file, under NumPy 2 and under NumPy 1.23, so arrays travel as dtype, shape and raw bytes:
pickles of the one are not readable by the other.  Runs on Python 3.8 and later.

    u64 length of header | header: {"body": ..., "arrays": [[dtype, shape], ...]} | raw bytes of each array
In "body" an array is {"__array__": index} and a tuple is a list.
"""
from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO

import numpy as np


def send(stream: BinaryIO, body: Any) -> None:
    """Write one message; `body` is built of dict, list, tuple, str, numbers, None and NumPy arrays."""
    arrays: list = []

    def pack(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            arrays.append(value if value.flags.c_contiguous else value.copy(order="C"))
            return {"__array__": len(arrays) - 1}
        if isinstance(value, dict):
            return {str(key): pack(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [pack(item) for item in value]
        return value.item() if isinstance(value, np.generic) else value

    packed = pack(body)
    header = json.dumps({"body": packed, "arrays": [[a.dtype.str, a.shape] for a in arrays]}).encode()
    stream.write(struct.pack("<Q", len(header)) + header)
    for array in arrays:
        stream.write(array.tobytes())
    stream.flush()


def receive(stream: BinaryIO) -> Any:
    """Read one message.  Raises EOFError when the other end has gone."""
    length, = struct.unpack("<Q", _exactly(stream, 8))
    header = json.loads(_exactly(stream, length))
    arrays = []
    for dtype, shape in header["arrays"]:
        count = int(np.prod(shape, dtype=np.int64))
        raw = _exactly(stream, count * np.dtype(dtype).itemsize)
        arrays.append(np.frombuffer(raw, dtype).reshape(shape).copy())

    def unpack(value: Any) -> Any:
        if isinstance(value, dict):
            return arrays[value["__array__"]] if "__array__" in value else {k: unpack(v) for k, v in value.items()}
        return [unpack(item) for item in value] if isinstance(value, list) else value

    return unpack(header["body"])


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise EOFError(f"message: the stream ended; got {len(data)} of {count} bytes")
    return data
