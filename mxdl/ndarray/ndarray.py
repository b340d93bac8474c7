"""NDArray: the mutable array that users hold.  Its tensor belongs to torch, whose autograd is the tape."""
from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..autograd.state import state
from ..device import Context, cpu
from ..errors import MXNetError, OperatorError
from ..types import DTYPE_NAMES, numpy_dtype, torch_dtype


class NDArray:
    """An array on a device.  Made by ``mx.nd.array`` and the other functions of ``mx.nd``.

    _data: the tensor; while recording it carries torch's tape.   _ctx: the context.   _grad: the gradient's NDArray
    after `attach_grad`.   _grad_req: write, add or null.   _fresh_grad: set when backward has written the gradient.
    _value: the graph value it stands for while a block is traced.
    """

    __slots__ = ("__weakref__", "_ctx", "_data", "_fresh_grad", "_grad", "_grad_req", "_value")
    __array_priority__ = 1000.0

    def __init__(self, data: Any, ctx: Context | None = None):
        self._data: torch.Tensor = data._data if isinstance(data, NDArray) else data
        self._ctx = ctx if ctx is not None else (data._ctx if isinstance(data, NDArray) else cpu(0))
        self._grad = self._value = None
        self._grad_req = "null"
        self._fresh_grad = False

    @staticmethod
    def _wrap(tensor: torch.Tensor, context: Context) -> NDArray:
        array = _new(NDArray)
        array._data = tensor
        array._ctx = context
        array._grad = array._value = None
        array._grad_req = "null"
        array._fresh_grad = False
        return array

    # -- what it is -------------------------------------------------------------------------------------------
    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._data.shape)

    @property
    def dtype(self) -> type:
        return numpy_dtype(DTYPE_NAMES[self._data.dtype])

    @property
    def size(self) -> int:
        return self._data.numel()

    @property
    def ndim(self) -> int:
        return self._data.dim()

    @property
    def context(self) -> Context:
        return self._ctx

    ctx = context

    @property
    def stype(self) -> str:
        return "default"

    @property
    def grad(self) -> NDArray | None:
        return self._grad

    @property
    def T(self) -> NDArray:
        return self.transpose()  # type: ignore[attr-defined]  # generated from the registry

    def __len__(self) -> int:
        if not self._data.dim():
            raise TypeError("len() of an array without axes")
        return self._data.shape[0]

    def __repr__(self) -> str:
        return f"\n{self.asnumpy()}\n<{type(self).__name__} {'x'.join(map(str, self.shape))} @{self._ctx}>"

    # -- conversions ------------------------------------------------------------------------------------------
    def to_torch(self) -> torch.Tensor:
        """The torch tensor that shares this array's memory, off the tape."""
        return self._data.detach()

    def asnumpy(self) -> np.ndarray:
        """A NumPy copy (bfloat16 becomes float32)."""
        data = self._data.detach()
        if data.dtype == torch.bfloat16:
            data = data.float()
        if data.device.type == "meta":
            raise MXNetError("asnumpy: this array has no values while a block is traced; "
                             "got a traced array; compute with operators instead")
        return np.array(data.cpu().numpy())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        value = self.asnumpy()
        return value if dtype is None else value.astype(dtype)

    def asscalar(self) -> Any:
        if self._data.numel() != 1:
            raise ValueError(f"asscalar: the array must have one element; got shape {self.shape}")
        return self.asnumpy().reshape(-1)[0]

    item = asscalar

    def __float__(self) -> float:
        return float(self.asscalar())

    def __int__(self) -> int:
        return int(self.asscalar())

    def __index__(self) -> int:
        if self._data.is_floating_point():
            raise TypeError(f"only integer arrays of one element are an index; got {self.dtype.__name__}")
        return int(self.asscalar())

    def __bool__(self) -> bool:
        if self._data.numel() == 0:
            return False
        if self._data.numel() == 1:
            return bool(self.asscalar())
        raise ValueError(f"the truth value of an array of several elements is ambiguous; got shape {self.shape}")

    def astype(self, dtype: Any, copy: bool = True) -> NDArray:
        wanted = torch_dtype(dtype)
        if not copy and self._data.dtype == wanted:
            return self
        from . import op_cast
        return op_cast(self, dtype)

    def copyto(self, other: NDArray | Context) -> NDArray:
        """Copy into `other`, or to a new array on the context `other`."""
        if isinstance(other, Context):
            return NDArray._wrap(self._source().to(other.torch_device, copy=True), other)
        other._assign(self._source(), "copyto")
        return other

    def copy(self) -> NDArray:
        return self.copyto(self._ctx)

    def as_in_context(self, context: Context) -> NDArray:
        return self if context == self._ctx else self.copyto(context)

    as_in_ctx = as_in_context

    def _source(self) -> torch.Tensor:
        return self._data if state.recording else self._data.detach()

    def wait_to_read(self) -> None:
        """Return when the values are there (only GPUs compute in the background)."""
        if self._data.is_cuda:
            torch.cuda.synchronize(self._data.device)

    wait_to_write = wait_to_read

    # -- gradients --------------------------------------------------------------------------------------------
    def attach_grad(self, grad_req: str = "write", stype: str | None = None) -> None:
        """Make this array a variable: backward writes (adds) its gradient to `.grad`."""
        from ..autograd.tape import attach
        attach(self, NDArray._wrap(torch.zeros_like(self._data.detach()), self._ctx), grad_req)

    def detach(self) -> NDArray:
        return NDArray._wrap(self._data.detach(), self._ctx)

    def backward(self, out_grad: NDArray | None = None, retain_graph: bool = False, train_mode: bool = True) -> None:
        from ..autograd.tape import backward
        backward([self], None if out_grad is None else [out_grad], retain_graph, train_mode)

    def _assign(self, tensor: torch.Tensor, where: str) -> None:
        """Overwrite the values (broadcasting).  Raises MXNetError where the tape needs the old ones."""
        if state.recording and self._data.grad_fn is not None:
            raise MXNetError(f"{where}: an array that was computed while recording cannot be written in place; "
                             f"write to a new array, or outside autograd.record()")
        target = self._data.detach()
        if tuple(torch.broadcast_shapes(target.shape, tensor.shape)) != tuple(target.shape):
            raise OperatorError(f"{where}: the values do not fit; got shape {tuple(tensor.shape)} for an array of "
                                f"shape {self.shape}")
        with torch.no_grad():
            target.copy_(tensor)


_new = NDArray.__new__
