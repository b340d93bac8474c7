"""Other libraries' protocols on arrays: NumPy, DLPack, pickle."""
from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ..autograd.state import state
from ..device import Context
from ..errors import MXNetError
from . import files
from .ndarray import NDArray

#: NumPy's functions that are Python operators: a NumPy number beside an NDArray gives an NDArray
OPERATORS: dict[np.ufunc, Callable] = {
    np.add: operator.add, np.subtract: operator.sub, np.multiply: operator.mul, np.divide: operator.truediv,
    np.remainder: operator.mod, np.power: operator.pow, np.equal: operator.eq, np.not_equal: operator.ne,
    np.greater: operator.gt, np.greater_equal: operator.ge, np.less: operator.lt, np.less_equal: operator.le,
    np.negative: operator.neg, np.absolute: operator.abs,
}


def _array(self: NDArray, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
    """A NumPy copy: what ``np.asarray(x)`` gives."""
    value = self.asnumpy()
    return value if dtype is None else value.astype(dtype)


def _array_ufunc(self: NDArray, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """``np.float32(2) + x`` is an NDArray; any other NumPy function computes on NumPy copies."""
    if ufunc in OPERATORS and method == "__call__" and not kwargs \
            and all(isinstance(x, NDArray) or np.ndim(x) == 0 for x in inputs):
        return OPERATORS[ufunc](*[x if isinstance(x, NDArray) else x.item() if hasattr(x, "item") else x
                                  for x in inputs])
    if kwargs.get("out") is not None and any(isinstance(x, NDArray) for x in kwargs["out"]):
        return NotImplemented
    return getattr(ufunc, method)(*_numpy(inputs, ufunc), **kwargs)


def _array_function(self: NDArray, function: Callable, types: Any, args: Any, kwargs: Any) -> Any:
    """``np.mean(x)`` computes on NumPy copies."""
    return function(*_numpy(args, function), **{name: _as_numpy(x, function) for name, x in kwargs.items()})


def _numpy(values: Sequence, function: Callable) -> list:
    return [_as_numpy(x, function) for x in values]


def _as_numpy(value: Any, function: Callable) -> Any:
    if isinstance(value, NDArray):
        if state.recording and value._data.requires_grad:
            raise MXNetError(f"numpy.{function.__name__}: NumPy does not record gradients; got an array of a recorded "
                             f"graph; use the operator of mx.nd, or x.detach()")
        return value.asnumpy()
    if isinstance(value, (list, tuple)):
        return type(value)(_numpy(value, function))
    return value


def _dlpack(self: NDArray, stream: Any = None, **kwargs: Any) -> Any:
    """A capsule that shares the memory."""
    return self._contiguous().detach().__dlpack__(stream=stream, **kwargs)


def _dlpack_device(self: NDArray) -> tuple[int, int]:
    return self._data.__dlpack_device__()


def to_dlpack_for_read(data: NDArray) -> Any:
    """A DLPack capsule that shares the array's memory."""
    return torch.utils.dlpack.to_dlpack(data._contiguous().detach())


to_dlpack_for_write = to_dlpack_for_read


def from_dlpack(dlpack: Any) -> NDArray:
    """An array that shares the memory of a DLPack capsule, or of any object with ``__dlpack__``."""
    return NDArray.from_torch(torch.utils.dlpack.from_dlpack(dlpack))


def _reduce(self: NDArray) -> tuple:
    """Pickle as the bytes of a .params file and the context: restoring runs no code of the pickle."""
    return _restore, (files.dump_bytes([self]), self._ctx)


def _restore(data: bytes, context: Context) -> NDArray:
    return files.load_frombuffer(data)[0].as_in_context(context)


def _deepcopy(self: NDArray, memo: dict) -> NDArray:
    return NDArray._wrap(self._data.detach().clone(), self._ctx)


def install() -> None:
    """Give NDArray the protocols."""
    for name, method in {
        "__array__": _array, "__array_ufunc__": _array_ufunc, "__array_function__": _array_function,
        "__dlpack__": _dlpack, "__dlpack_device__": _dlpack_device, "__reduce__": _reduce, "__deepcopy__": _deepcopy,
        "to_dlpack_for_read": to_dlpack_for_read, "to_dlpack_for_write": to_dlpack_for_write,
    }.items():
        setattr(NDArray, name, method)
