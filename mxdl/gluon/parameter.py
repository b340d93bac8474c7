"""Parameters: the arrays that a block trains, one copy a context, made when their shape is known."""
from __future__ import annotations

import contextlib
import importlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import initializer, ndarray, symbol
from ..allocator import zeros_on_demand
from ..autograd import pause
from ..autograd.hand_over import is_stand_in
from ..autograd.state import state
from ..autograd.tape import is_unshared
from ..device import Context, cpu, current_context
from ..errors import DeferredInitializationError, NotBuiltError
from ..graph.hidden import ORIGIN
from ..ndarray import NDArray
from ..types import Shape, dtype_name
from .partial_shape import compatible, known

GRAD_REQS = ("write", "add", "null")


class _Deferred(NamedTuple):
    """What `initialize` asked for while the shape was not known yet."""

    init: Any
    contexts: list[Context]
    default_init: Any
    data: NDArray | None


class Parameter:
    """A trained array.

    shape: dimensions that are 0 or -1 are not known yet; the first forward pass fills them in (deferred init).
    grad_req: "write", "add" or "null" (no gradient).   lr_mult, wd_mult: factors for the optimizer.
    init: this parameter's initializer; None takes the one given to `initialize`.
    differentiable: False for running statistics: no gradient whatever grad_req says.

    Names that begin with an underscore are MXNet's where libraries' own parameters use them (GluonNLP's weight drop).
    """

    def __init__(self, name: str, grad_req: str = "write", shape: int | Sequence[int] | None = None,
                 dtype: Any = np.float32, lr_mult: float = 1.0, wd_mult: float = 1.0, init: Any = None,
                 allow_deferred_init: bool = False, differentiable: bool = True, stype: str = "default",
                 grad_stype: str = "default"):
        for what, value in (("stype", stype), ("grad_stype", grad_stype)):
            if value != "default":
                raise NotBuiltError(f"Parameter {name!r}: sparse storage is not built; got {what}={value!r}; "
                                    f"use {what}='default' (a dense array gives the same values)")
        self.name = name
        self._shape: Shape | None = (shape,) if isinstance(shape, int) else None if shape is None else tuple(shape)
        self._dtype = dtype
        self.lr_mult, self.wd_mult = lr_mult, wd_mult
        self.init = init
        self._allow_deferred_init = allow_deferred_init
        self._differentiable = differentiable
        self._stype = self._grad_stype = "default"
        self._update_first: Callable[[], None] | None = None
        self._arrays: list[NDArray] | None = None
        self._grad: list[NDArray] | None = None
        self._ctx_map: dict[Context, int] = {}
        self._deferred_init: _Deferred | None = None
        self._var: symbol.Symbol | None = None
        self._trainer: Any = None
        self._grad_req = ""
        self.grad_req = grad_req

    @property
    def _data(self) -> list[NDArray] | None:
        """The arrays, one a context; whoever reads them first after a step that did not wait makes the update."""
        if self._update_first is not None:
            self._update_first()
        return self._arrays

    @_data.setter
    def _data(self, arrays: list[NDArray] | None) -> None:
        self._arrays = arrays

    def __getstate__(self) -> dict[str, Any]:
        """What is copied and pickled: all but the gradients, the variable and the trainer, which are the original's."""
        if self._update_first is not None:
            self._update_first()
        return {**self.__dict__, "_grad": None, "_var": None, "_trainer": None}

    def __setstate__(self, content: dict[str, Any]) -> None:
        self.__dict__.update(content)
        if self._data is not None:
            self._make_gradients()

    def __repr__(self) -> str:
        return f"Parameter {self.name} (shape={self.shape}, dtype={self.dtype})"

    # -- description ------------------------------------------------------------------------------------------
    @property
    def grad_req(self) -> str:
        return self._grad_req

    @grad_req.setter
    def grad_req(self, req: str) -> None:
        if req not in GRAD_REQS:
            raise AssertionError(f"Parameter {self.name!r}: grad_req is one of {', '.join(GRAD_REQS)}; got {req!r}")
        if not self._differentiable:
            req = "null"
        if req == self._grad_req:
            return
        self._grad_req = req
        if self._data is not None:
            self._make_gradients()

    @property
    def allow_deferred_init(self) -> bool:
        return self._allow_deferred_init

    @property
    def _ctx_list(self) -> list[Context] | None:
        return list(self._ctx_map) or None

    @_ctx_list.setter
    def _ctx_list(self, contexts: list[Context] | None) -> None:
        self._ctx_map = {ctx: i for i, ctx in enumerate(contexts or ())}

    @property
    def dtype(self) -> Any:
        return self._dtype

    @dtype.setter
    def dtype(self, dtype: Any) -> None:
        self.cast(dtype)

    @property
    def shape(self) -> Shape | None:
        return self._shape

    @shape.setter
    def shape(self, shape: Sequence[int]) -> None:
        if self._shape is not None and not compatible(self._shape, shape):
            raise AssertionError(f"Parameter {self.name!r}: its shape {self._shape} cannot change; got {tuple(shape)}; "
                                 f"only unknown dimensions (0) can be filled in")
        self._shape = tuple(shape)

    @property
    def stype(self) -> str:
        return self._stype

    def var(self) -> symbol.Symbol:
        """The variable that stands for this parameter in symbols."""
        if self._var is None:
            self._var = symbol.var(self.name, shape=self._shape, dtype=self._dtype, lr_mult=self.lr_mult,
                                   wd_mult=self.wd_mult, init=self.init, stype=self._stype)
            self._var._outputs[0].node.hidden.pop(ORIGIN, None)  # it belongs to no line of a trace
        return self._var

    # -- initialization ---------------------------------------------------------------------------------------
    def initialize(self, init: Any = None, ctx: Context | Sequence[Context] | None = None, default_init: Any = None,
                   force_reinit: bool = False) -> None:
        """Make the arrays, or note how to make them once the shape is known.

        Raises ValueError where the shape is not known and may not be deferred.
        """
        if self._data is not None and not force_reinit:
            warnings.warn(f"Parameter {self.name!r}: initialized before and left as it is; force_reinit=True draws it "
                          f"anew", stacklevel=2)
            return
        self._data = self._grad = None
        default_init = initializer.Uniform() if default_init is None else default_init
        init = init or self.init or default_init
        self._deferred_init = _Deferred(init, contexts_of(ctx), default_init, None)
        if known(self._shape):
            self._finish_deferred_init()
        elif not self._allow_deferred_init:
            self._deferred_init = None
            raise ValueError(f"Parameter {self.name!r}: only a whole shape can be initialized; got {self._shape}; give "
                             f"the missing dimensions, or allow_deferred_init=True")

    def _finish_deferred_init(self) -> None:
        """Make what was deferred; the shape must be known now."""
        if self._deferred_init is None:
            return
        if not known(self._shape):
            raise DeferredInitializationError(
                f"Parameter {self.name!r}: shape is still not known; got {self._shape}; give in_units, in_channels, "
                f"etc. to the layer, or run it on data")
        init, contexts, default_init, data = self._deferred_init
        self._deferred_init = None
        with _at_once():
            self._make_arrays(self._initial_value(init, default_init) if data is None else data, contexts)

    def _initial_value(self, init: Any, default_init: Any) -> NDArray:
        data = ndarray.zeros(self._shape, ctx=cpu(), dtype=dtype_name(self._dtype))
        initializer.create(default_init)(initializer.InitDesc(self.name, {"__init__": init}), data)
        return data

    def _make_arrays(self, data: NDArray, contexts: list[Context]) -> None:
        self._data = [data.copyto(ctx) for ctx in contexts]
        self._ctx_map = {ctx: i for i, ctx in enumerate(contexts)}
        self._make_gradients()

    def _make_gradients(self) -> None:
        self._grad = None
        if self._grad_req == "null":
            self._data = [x.detach() for x in self._data]
            return
        for x in self._data:
            x.attach_grad(self._grad_req)
        self._grad = [x.grad for x in self._data]

    def _load_init(self, data: NDArray, ctx: Any, cast_dtype: bool = False, dtype_source: str = "current") -> None:
        """Take `data` from a file: checks the shape and the dtype, then sets or initializes."""
        if cast_dtype and dtype_source not in ("current", "saved"):
            raise AssertionError(f"dtype_source must be 'current' or 'saved'; got {dtype_source!r}")
        if self._shape is not None and not compatible(self._shape, data.shape):
            raise AssertionError(f"load: the shape of parameter {self.name!r} is {self._shape}; got {data.shape}; read "
                                 f"a file of the same architecture")
        if dtype_name(self._dtype) != dtype_name(data.dtype):
            if not cast_dtype:
                raise AssertionError(
                    f"load: the dtype of parameter {self.name!r} is {dtype_name(self._dtype)}; got "
                    f"{dtype_name(data.dtype)}; cast_dtype=True converts it")
            if dtype_source == "current":
                data = data.astype(self._dtype)
            else:
                self.cast(data.dtype)
        self._shape = tuple(data.shape)
        wanted = None if ctx is None else contexts_of(ctx)
        if self._data is not None:
            if wanted is not None and set(wanted) != set(self.list_ctx()):
                raise AssertionError(f"load: parameter {self.name!r} lives on {self.list_ctx()}; got ctx={wanted}; "
                                     f"leave ctx out, or call reset_ctx() first")
            self.set_data(data)
            return
        if self._deferred_init is not None:
            if wanted is not None and set(wanted) != set(self._deferred_init.contexts):
                raise AssertionError(f"load: parameter {self.name!r} is to live on {self._deferred_init.contexts}; got "
                                     f"ctx={wanted}; leave ctx out, or call reset_ctx() first")
            wanted = self._deferred_init.contexts
            self._deferred_init = None
        self._make_arrays(data, wanted or [cpu()])

    # -- data and gradients -----------------------------------------------------------------------------------
    def data(self, ctx: Context | None = None) -> NDArray:
        """This parameter's array on `ctx` (default: where it is, or the current context if on several)."""
        if state.tracer is not None:
            return state.tracer.parameter(self)
        return self._check_and_get(self._data, ctx)

    def late_data(self, ctx: Context | None = None) -> tuple[NDArray, Callable[[], None] | None]:
        """`data`, and what to call before it is read: the update that a step left for later."""
        late = None if state.tracer is not None else self._update_first
        return (self.data(ctx), None) if late is None else (self._check_and_get(self._arrays, ctx), late)

    def list_data(self) -> list[NDArray]:
        """This parameter's arrays, one a context."""
        return self._all(self._data)

    def grad(self, ctx: Context | None = None) -> NDArray:
        """The gradient on `ctx`."""
        self._refuse_without_gradient()
        return self._check_and_get(self._grad, ctx)

    def list_grad(self) -> list[NDArray]:
        """The gradients, one a context."""
        self._refuse_without_gradient()
        return self._all(self._grad)

    def list_ctx(self) -> list[Context]:
        """The contexts that this parameter is, or will be, initialized on."""
        if self._data is None:
            if self._deferred_init is not None:
                return self._deferred_init.contexts
            raise RuntimeError(f"Parameter {self.name!r}: not initialized, so on no context; call initialize()")
        return list(self._ctx_map)

    def row_sparse_data(self, row_id: NDArray) -> NDArray:
        raise NotBuiltError(f"Parameter {self.name!r}: sparse storage is not built; use data() and take()")

    def list_row_sparse_data(self, row_id: NDArray) -> list[NDArray]:
        raise NotBuiltError(f"Parameter {self.name!r}: sparse storage is not built; use list_data() and take()")

    def set_data(self, data: Any) -> None:
        """Overwrite the array on every context."""
        self.shape = data.shape
        if self._data is None:
            if self._deferred_init is None:
                raise AssertionError(f"Parameter {self.name!r}: not initialized, so without data to set; call "
                                     f"initialize() first")
            self._deferred_init = self._deferred_init._replace(data=as_array(data, self._dtype))
            return
        for x in self._data:
            x[:] = data
        if self._trainer is not None:
            self._trainer._overwrite(self)

    def zero_grad(self) -> None:
        """Set the gradient to zero on every context.  One that backward writes anew takes no memory until then."""
        for grad in self._grad or ():
            if is_stand_in(grad._data) or (self.grad_req == "write" and is_unshared(grad._data)):
                grad._data = zeros_on_demand(grad._data)
            else:
                grad[:] = 0

    def reset_ctx(self, ctx: Context | Sequence[Context]) -> None:
        """Move to other contexts; the value is the mean over the present ones."""
        contexts = contexts_of(ctx)
        if self._data is not None:
            self._make_arrays(self._reduce(), contexts)
        elif self._deferred_init is not None:
            self._deferred_init = self._deferred_init._replace(contexts=contexts)
        else:
            raise ValueError(f"Parameter {self.name!r}: not initialized, so there is nothing to move; give ctx to "
                             f"initialize()")

    def cast(self, dtype: Any) -> None:
        """Convert the data and the gradient to another dtype."""
        self._dtype = dtype
        self._var = None
        if self._data is not None:
            self._data = [x.detach().astype(dtype) for x in self._data]
            self._make_gradients()

    def _reduce(self) -> NDArray:
        """The mean over contexts, on the CPU: what a file holds."""
        arrays = [x.detach().as_in_context(cpu()) for x in self.list_data()]
        return arrays[0] if len(arrays) == 1 else sum(arrays[1:], arrays[0]) / len(arrays)

    # -- checks -----------------------------------------------------------------------------------------------
    def _check_and_get(self, arrays: list[NDArray] | None, ctx: Context | None) -> NDArray:
        if arrays is None:
            self._raise_uninitialized()
        if ctx is None:
            if len(arrays) == 1:
                return arrays[0]
            ctx = current_context()
        index = self._ctx_map.get(ctx)
        if index is None:
            raise RuntimeError(f"Parameter {self.name!r}: lives on {self.list_ctx()}; got ctx={ctx}; pass that context "
                               f"to initialize() or reset_ctx()")
        return arrays[index]

    def _all(self, arrays: list[NDArray] | None) -> list[NDArray]:
        if arrays is None:
            self._raise_uninitialized()
        return list(arrays)

    def _raise_uninitialized(self) -> None:
        if self._deferred_init is not None:
            raise DeferredInitializationError(
                f"Parameter {self.name!r}: initialization waits for the first call, since shape {self._shape} is not "
                f"known; run the block on data once, or give in_units, in_channels, etc. to its layers")
        raise RuntimeError(
            f"Parameter {self.name!r}: not initialized, so without data; call initialize() on its block (a Trainer "
            f"takes collect_params(); params holds the block's own only)")

    def _refuse_without_gradient(self) -> None:
        if self._grad_req == "null":
            raise RuntimeError(f"Parameter {self.name!r}: keeps no gradient; got grad_req='null'; set grad_req to "
                               f"'write' or 'add'")


@contextlib.contextmanager
def _at_once() -> Iterator[None]:
    """Operators run now, whatever is traced or recorded around."""
    with state.traced_by(None), pause():
        yield


def contexts_of(ctx: Context | Sequence[Context] | None) -> list[Context]:
    """A list of contexts from what callers give: none (the current one), one, or several."""
    if ctx is None:
        return [current_context()]
    return [ctx] if isinstance(ctx, Context) else list(ctx)


def as_array(value: Any, dtype: Any) -> NDArray:
    """An NDArray on the CPU from an NDArray, a NumPy array or nested lists."""
    if isinstance(value, NDArray):
        return value if dtype is None else value.astype(dtype, copy=False)
    return ndarray.array(value, ctx=cpu(), dtype=dtype)


def __getattr__(name: str) -> Any:
    """Classes that MXNet has in this module: ``from mxnet.gluon.parameter import ParameterDict``."""
    places = {"ParameterDict": "parameter_dict", "Constant": "constant"}
    if name not in places:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__package__}.{places[name]}"), name)
