"""NDArray: the mutable array that users hold.  Its tensor belongs to torch, whose autograd is the tape.

The class gets `_apply` (one operator on this array) from invoke.py, Python's operators from arithmetic.py, ``x[...]``
from indexing.py, the protocols of NumPy, DLPack and pickle from protocols.py, and a method for each operator from
register.py: ``mxdl/ndarray/__init__.py`` puts them together.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from ..allocator import zeros_on_demand
from ..autograd.state import state
from ..device import Context, cpu, gpu
from ..errors import MXNetError, NotBuiltError, ShapeError
from ..ops import get
from ..ops.reshape import resolve
from ..types import DTYPE_NAMES, numpy_dtype, torch_dtype


class NDArray:
    """An array on a device.  Made by ``mx.nd.array`` and the other functions of ``mx.nd``.

    _data: the tensor; while recording it carries torch's tape.   _ctx: the context.   _grad: the gradient's NDArray
    after `attach_grad`.   _grad_req: write, add or null.   _fresh_grad: set when backward has written the gradient.
    _value: the graph value it stands for while a block is traced; such an array has a type and no values.

    Two arrays share memory only where MXNet shares it: contiguous basic slices, `reshape`, `detach`, DLPack.
    """

    #: ``_apply(name, **typed attributes)``: the operator of that name on this array
    _apply: Callable[..., Any]
    __getitem__: Callable[..., NDArray]
    __setitem__: Callable[..., None]
    __neg__: Callable[[], NDArray]
    __abs__: Callable[[], NDArray]
    _data: torch.Tensor
    _ctx: Context
    _grad: NDArray | None
    _grad_req: str
    _fresh_grad: bool
    _value: Any

    __slots__ = ("__weakref__", "_ctx", "_data", "_fresh_grad", "_grad", "_grad_req", "_value")
    __array_priority__ = 1000.0

    def __init__(self, data: Any, ctx: Context | None = None):
        self._data = data._data if isinstance(data, NDArray) else data
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
        """NumPy's scalar type (float32 for bfloat16, which NumPy does not have)."""
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
        """How it is stored: always "default" (dense)."""
        return "default"

    @property
    def grad(self) -> NDArray | None:
        """The gradient's array, after `attach_grad`."""
        return self._grad

    @property
    def writable(self) -> bool:
        return True

    @property
    def T(self) -> NDArray:
        return self._apply("transpose")

    def __len__(self) -> int:
        if not self._data.dim():
            raise TypeError("len: an array without axes has no length; got shape ()")
        return self._data.shape[0]

    def __iter__(self) -> Iterator[NDArray]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        name, shape = type(self).__name__, "x".join(map(str, self.shape))
        if self._data.is_meta:
            return f"<{name} {shape} of a trace @{self._ctx}>"
        return f"\n{self.asnumpy()}\n<{name} {shape} @{self._ctx}>"

    # -- values -----------------------------------------------------------------------------------------------
    def asnumpy(self) -> np.ndarray:
        """A NumPy copy (bfloat16 becomes float32); waits for the values."""
        data = self._data.detach()
        if data.is_meta:
            raise MXNetError(f"asnumpy: an array has no values while a block is traced; got shape {self.shape}; "
                             f"compute with operators, or do not hybridize this block")
        fresh = data.is_cuda or data.dtype == torch.bfloat16
        values = (data.float() if data.dtype == torch.bfloat16 else data).cpu().numpy()
        return np.asarray(values, order="C") if fresh else np.array(values, order="C")

    def asscalar(self) -> Any:
        """The only element, as a NumPy scalar."""
        if self._data.numel() != 1:
            raise ValueError(f"asscalar: the array does not have exactly one element; got shape {self.shape}; "
                             f"use asnumpy()")
        return self.asnumpy().reshape(-1)[0]

    item = asscalar

    def __float__(self) -> float:
        return float(self.asscalar())

    def __int__(self) -> int:
        return int(self.asscalar())

    def __index__(self) -> int:
        if self._data.is_floating_point():
            raise TypeError(f"index: only integer arrays of one element are an index; got {self.dtype.__name__}")
        return int(self.asscalar())

    def __bool__(self) -> bool:
        if self._data.numel() > 1:
            raise ValueError(f"bool: the truth value of several elements is ambiguous; got shape {self.shape}; "
                             f"reduce it first")
        return bool(self._data.numel()) and bool(self.asscalar())

    def to_torch(self) -> torch.Tensor:
        """The torch tensor that shares this array's memory, off the tape."""
        return self._data.detach()

    @staticmethod
    def from_torch(tensor: torch.Tensor) -> NDArray:
        """An array that shares the tensor's memory, off the tape."""
        return NDArray._wrap(tensor.detach(), gpu(tensor.device.index or 0) if tensor.is_cuda else cpu(0))

    def wait_to_read(self) -> None:
        """Return when the values are there (only GPUs compute in the background)."""
        if self._data.is_cuda:
            torch.cuda.synchronize(self._data.device)

    wait_to_write = wait_to_read

    # -- copies and views -------------------------------------------------------------------------------------
    def astype(self, dtype: Any, copy: bool = True) -> NDArray:
        """The values in another dtype.  copy: False gives this array itself where it has the dtype already."""
        wanted = torch_dtype(dtype)
        if not copy and self._data.dtype == wanted:
            return self
        return self._apply("Cast", dtype=DTYPE_NAMES[wanted])

    def copyto(self, other: NDArray | Context) -> NDArray:
        """Copy into `other` (casting), or to a new array on the context `other`.  Returns the target."""
        if isinstance(other, Context):
            if state.tracer is not None:
                return self._apply("_copy")
            return NDArray._wrap(self._source().to(other.torch_device, copy=True), other)
        if not isinstance(other, NDArray):
            raise TypeError(f"copyto: the target is neither array nor context; got {type(other).__name__}; "
                            f"give an NDArray or mx.cpu()")
        if other._data.shape != self._data.shape:
            raise ShapeError(f"copyto: shapes differ; got {self.shape} into {other.shape}; reshape one of them")
        if state.tracer is not None:
            return state.tracer.apply(get("Cast"), [self], {"dtype": DTYPE_NAMES[other._data.dtype]}, other)
        other._write(self._source(), "copyto")
        return other

    def copy(self) -> NDArray:
        return self.copyto(self._ctx)

    def as_in_context(self, context: Context) -> NDArray:
        """This array if it lives on `context`, else a copy there."""
        return self if context == self._ctx else self.copyto(context)

    as_in_ctx = to_device = as_in_context

    def as_nd_ndarray(self) -> NDArray:
        return self

    def as_np_ndarray(self) -> NDArray:
        raise NotBuiltError(f"as_np_ndarray: mx.np is not built; got an NDArray of shape {self.shape}; use mx.nd")

    def tostype(self, stype: str) -> NDArray:
        """A copy in another storage; only "default" (dense) is there."""
        if stype != "default":
            raise NotBuiltError(f"tostype: sparse storage is not built; got {stype!r}; keep the array dense")
        return self.copy()

    def reshape(self, *shape: Any, **kwargs: Any) -> NDArray:
        """The same memory in another shape.  ``x.reshape(0, -1)``, ``x.reshape((0, -1))``, ``shape=``, ``reverse=``.

        The codes 0, -1, -2, -3, -4 are those of the operator `Reshape`.
        """
        if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
            shape = tuple(shape[0])
        if not shape:
            given = kwargs.pop("shape", ())
            shape = tuple(given) if isinstance(given, (tuple, list)) else (given,)
        reverse = bool(kwargs.pop("reverse", False))
        if kwargs:
            raise TypeError(f"reshape: unknown argument; got {', '.join(kwargs)}; it takes shape and reverse")
        if not shape:
            raise ValueError("reshape: no shape; got nothing; give the lengths, such as x.reshape(0, -1)")
        if state.tracer is not None:
            return self._apply("Reshape", shape=shape, reverse=reverse)
        return NDArray._wrap(self._contiguous().view(resolve(self.shape, shape, reverse)), self._ctx)

    def broadcast_to(self, shape: tuple[int, ...]) -> NDArray:
        """Stretch axes of length 1; `shape` may have more axes in front."""
        front = len(shape) - self.ndim
        source = self.reshape((1,) * front + self.shape) if front > 0 else self
        return source._apply("broadcast_to", shape=tuple(shape))

    def detach(self) -> NDArray:
        """The same memory, off the tape."""
        if state.tracer is not None:
            return self._apply("BlockGrad")
        return NDArray._wrap(self._data.detach(), self._ctx)

    def _source(self) -> torch.Tensor:
        """The tensor as an operator reads it: on the tape only while recording."""
        return self._data if state.recording or not self._data.requires_grad else self._data.detach()

    def _contiguous(self) -> torch.Tensor:
        """`_source` in C order, so that views can be made of it."""
        if not self._data.is_contiguous():
            self._data = self._data.contiguous()
        return self._source()

    # -- gradients --------------------------------------------------------------------------------------------
    def attach_grad(self, grad_req: str = "write", stype: str | None = None) -> None:
        """Make this array a variable: backward writes or adds its gradient to `.grad`, or ("null") leaves it alone."""
        from ..autograd.tape import attach  # autograd's package imports this file
        if stype not in (None, "default"):
            raise NotBuiltError(f"attach_grad: sparse gradients are not built; got stype={stype!r}; leave it out")
        buffer = NDArray._wrap(zeros_on_demand(self._data), self._ctx)
        attach(self, buffer, grad_req)

    def backward(self, out_grad: NDArray | None = None, retain_graph: bool = False, train_mode: bool = True) -> None:
        """Write the gradients of this array (times `out_grad`) to the variables that it was computed from."""
        from ..autograd.tape import backward
        backward([self], None if out_grad is None else [out_grad], retain_graph, train_mode)

    def _write(self, tensor: torch.Tensor, where: str, index: Any = ...) -> None:
        """Overwrite the values (at a torch index) with `tensor`, which broadcasts.

        Raises MXNetError while recording where this array is in the graph already: its gradient would be wrong.
        """
        data = self._data
        if state.recording:
            if data.requires_grad:
                raise MXNetError(f"{where}: an array in a recorded graph cannot be written in place; got shape "
                                 f"{self.shape}; write to a new array, or outside autograd.record()")
            if tensor.requires_grad:
                data = data.detach()   # the same memory; becomes a part of the graph of `tensor`
                data[index] = tensor
                self._data = data
                return
        if index is ...:
            data.detach().copy_(tensor.detach())
        else:
            data.detach()[index] = tensor.detach()


_new = NDArray.__new__
