"""HybridBlock: a block that runs on arrays as it is written, or as one traced and compiled graph."""
from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from .. import ndarray, symbol
from ..autograd.state import state
from ..device import cpu, current_context
from ..errors import DeferredInitializationError, NotBuiltError
from ..executor.cached_op import CachedOp, check_flags
from ..graph import Value
from ..ndarray import NDArray
from ..passes.infer_types import Types, infer_types
from ..symbol import Symbol
from ..symbol.contrib import ShapesNeeded
from ..types import TensorType
from .block import Block
from .early_sums import WAITING
from .export_c import export_block
from .parameter import Parameter
from .parameter_dict import ParameterDict
from .partial_shape import known
from .structure import Format, first_array, flatten, regroup
from .trace import Trace, scope_of, trace_deferred, trace_symbolically, type_of


class _Compiled(NamedTuple):
    """A traced block, ready to run on arguments of one structure."""

    trace: Trace
    run: CachedOp


class HybridBlock(Block):
    """A block that can be hybridized: after ``net.hybridize()`` its first call traces it, and calls run the graph.

    Write either ``hybrid_forward(self, F, x, *args, **params)``, which gets its own parameters by keyword and computes
    with ``F.operator`` (F is mx.nd on arrays and mx.sym on symbols), or ``forward(self, x, *args)`` on arrays, which
    is traced by running it once on arrays without data.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._traces_forward = cls.forward is not HybridBlock.forward and \
            cls.hybrid_forward is HybridBlock.hybrid_forward

    def __init__(self, prefix: str | None = None, params: ParameterDict | None = None, **unknown: Any):
        super().__init__(prefix, params, **unknown)
        self._active = False
        self._needs_shapes = False
        self._flags: dict[str, Any] = {}
        self._compiled: dict[Any, _Compiled] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if isinstance(value, HybridBlock):
            self._clear_cached_op()

    def register_child(self, block: Block, name: str | None = None) -> None:
        if not isinstance(block, HybridBlock):
            raise ValueError(f"{type(self).__name__}.register_child: a HybridBlock takes HybridBlocks only; got a "
                             f"{type(block).__name__}; derive it from HybridBlock (nn.HybridSequential for "
                             f"nn.Sequential)")
        super().register_child(block, name)
        self._clear_cached_op()

    def __getstate__(self) -> dict[str, Any]:
        """What is copied and pickled: all but the traces, which are made anew."""
        return {**self.__dict__, "_compiled": {}}

    # -- settings ---------------------------------------------------------------------------------------------
    def hybridize(self, active: bool = True, backend: str | None = None, clear: bool = True,
                  static_alloc: bool = False, static_shape: bool = False, inline_limit: int = 2,
                  forward_bulk_size: int | None = None, backward_bulk_size: int | None = None,
                  mirror: bool | str | int | float = False, max_recompute: float = 1, fold: bool = False,
                  **kwargs: Any) -> None:
        """Run this block and all below as graphs from now on (or, with active=False, as written).

        backend: None or "inductor".   static_alloc, static_shape: the calls keep their memory and shapes.
        mirror: trade memory for time in training, by recomputing in the backward pass: True recomputes cheap operators,
            "sqrt" segments of equal size, "min" what leaves the least memory; bytes ("4GB", "512MiB", an int: the whole
            step's, weights and gradients included) or a fraction between 0 and 1 (of what activations take otherwise)
            recompute as little as fits.   max_recompute: extra forward passes that this may cost (default 1).
        fold: in predict mode, compute batch norms inside the convolutions and products before them, whose folded
            parameters are computed once for each state of the parameters.  Faster, and rounded otherwise.
        clear: forget what was traced.   The others are accepted for MXNet's sake.
        Raises GraphError for an option that is unknown or out of range.
        """
        flags = {"backend": backend, "static_alloc": static_alloc, "static_shape": static_shape,
                 "inline_limit": inline_limit, "forward_bulk_size": forward_bulk_size,
                 "backward_bulk_size": backward_bulk_size, "mirror": mirror, "max_recompute": max_recompute,
                 "fold": fold, **kwargs}
        check_flags(flags)
        if active and (self._forward_hooks or self._forward_pre_hooks):
            warnings.warn(f"{self.name}.hybridize: below another HybridBlock, a forward hook runs on the trace only, "
                          f"not at each call; got hooks on this block; detach them first", stacklevel=2)
        if clear:
            self._clear_cached_op()
        self._active = active
        self._flags = flags
        super().hybridize(active, clear=clear, **self._flags)

    def optimize_for(self, x: Any, *args: Any, backend: str | None = None, clear: bool = False, **flags: Any) -> None:
        """Hybridize for a backend and make the graph now, from the inputs given."""
        self.hybridize(True, backend=backend, clear=clear, **flags)
        self._compiled_for((x, *args), *flatten((x, *args)))

    def cast(self, dtype: Any) -> None:
        self._clear_cached_op()
        super().cast(dtype)

    def _clear_cached_op(self) -> None:
        self._compiled = {}

    def register_op_hook(self, callback: Any, monitor_all: bool = False) -> None:
        raise NotBuiltError("HybridBlock.register_op_hook: hooks on operators are not built; use "
                            "register_forward_hook on the blocks")

    # -- running ----------------------------------------------------------------------------------------------
    def forward(self, x: Any, *args: Any) -> Any:
        """Run `hybrid_forward` on arrays or symbols, or the traced graph if this block is hybridized."""
        first = x if isinstance(x, (NDArray, Symbol)) else first_array((x, *args))
        if isinstance(first, Symbol):
            params = {name: param.var() for name, param in self._reg_params.items()}
            with scope_of(self):
                return self.hybrid_forward(symbol, x, *args, **params)
        if state.tracer is not None:
            params = self._own_data(first.ctx, (x, *args))
            with scope_of(self):
                return self.hybrid_forward(ndarray, x, *args, **params)
        if self._active:
            return self._call_compiled((x, *args))
        ctx = first.ctx
        params = self._own_data(ctx, (x, *args)) if self._reg_params else {}
        if ctx == current_context():
            return self.hybrid_forward(ndarray, x, *args, **params)
        with ctx:
            return self.hybrid_forward(ndarray, x, *args, **params)

    def hybrid_forward(self, F: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        """The computation, with operators of `F`; parameters come by keyword.  Write it in your subclass."""
        raise NotImplementedError(f"{type(self).__name__}: neither forward nor hybrid_forward is written")

    def _forward_traced(self, *args: Any) -> Any:
        """Call of a block that overrides `forward` and is traced by running it."""
        first = first_array(args)
        if isinstance(first, Symbol):
            raise NotBuiltError(f"{type(self).__name__}: overrides forward() and cannot be called on symbols, which "
                                f"have no shape; write hybrid_forward(F, x), or call it on arrays and export it")
        if state.tracer is None and self._active:
            return self._call_compiled(args)
        try:
            return self._forward_in_scope(*args)
        except DeferredInitializationError:
            if type(self).infer_shape is HybridBlock.infer_shape:
                raise
            self._infer_parameters(args)
            return self._forward_in_scope(*args)

    def _forward_in_scope(self, *args: Any) -> Any:
        if state.tracer is None:
            return self.forward(*args)
        with scope_of(self):
            return self.forward(*args)

    def _own_data(self, ctx: Any, args: tuple) -> dict[str, NDArray]:
        try:
            return {name: param.data(ctx) for name, param in self._reg_params.items()}
        except DeferredInitializationError:
            self._infer_parameters(args)
            return {name: param.data(ctx) for name, param in self._reg_params.items()}

    def _call_compiled(self, args: tuple) -> Any:
        flat, fmt = flatten(args)
        compiled = self._compiled_for(args, flat, fmt)
        late: dict[int, Callable[[], None]] = {}
        arrays = self._arrays_for(compiled.trace, args, flat, late if WAITING else None)
        return regroup(compiled.run(*arrays, late=late), compiled.trace.output_format)

    def _arrays_for(self, trace: Trace, args: tuple, flat: list,
                    late: dict[int, Callable[[], None]] | None = None) -> list[NDArray]:
        try:
            return _arrays(trace, flat, late)
        except DeferredInitializationError:  # initialized anew since it was traced
            self._initialize_deferred(trace, args)
            return _arrays(trace, flat, late)

    def _traced_on(self, args: tuple, flat: list, fmt: Format) -> tuple[Trace, list[NDArray]]:
        """The trace for arguments like `args`, and the arrays of its graph's inputs."""
        trace = self._compiled_for(args, flat, fmt).trace
        return trace, self._arrays_for(trace, args, flat)

    # -- tracing ----------------------------------------------------------------------------------------------
    def _compiled_for(self, args: tuple, flat: list, fmt: Format) -> _Compiled:
        compiled = self._compiled.get(fmt)
        if compiled is None:
            compiled = self._compiled.get(self._trace_key(flat, fmt))
            if compiled is None:
                trace = self._trace(args)
                self._initialize_deferred(trace, args)
                compiled = _Compiled(trace, CachedOp(trace.graph, self._flags))
                self._compiled[self._trace_key(flat, fmt)] = compiled   # tracing may have found that it needs shapes
        return compiled

    def _trace_key(self, flat: list, fmt: Format) -> Any:
        # what runs on arrays may look at their shapes, so such a trace holds for these shapes only
        return (fmt, *map(type_of, flat)) if self._is_traced_by_running() else fmt

    def _trace(self, args: tuple) -> Trace:
        """The graph of this block for arguments like `args`: by symbols, or by running where a block needs that."""
        if self._is_traced_by_running():
            return trace_deferred(self, args, self._forward_traced if self._traces_forward else self.forward)
        try:
            return self._trace_symbols(args)
        except ShapesNeeded:
            self._needs_shapes = True
            return self._trace(args)

    def _trace_symbols(self, args: tuple) -> Trace:
        params = {name: param.var() for name, param in self._reg_params.items()}

        def call(*inputs: Any) -> Any:
            with scope_of(self):
                return self.hybrid_forward(symbol, *inputs, **params)
        return trace_symbolically(self, args, call)

    def _is_traced_by_running(self) -> bool:
        return self._needs_shapes or self._traces_forward or \
            any(child._is_traced_by_running() for child in self._children.values())

    def _initialize_deferred(self, trace: Trace, args: tuple) -> None:
        """Initialize the parameters whose shapes waited for data."""
        params = [p for p in trace.sources if isinstance(p, Parameter)]
        if not any(p._data is None and p._deferred_init is not None for p in params):
            return
        if self._has_own_inference():
            # each block tells its parameters' shapes when it is met
            trace_deferred(self, args, self._forward_traced if self._traces_forward else self.forward)
            return
        self._take_shapes(trace, infer_types(trace.graph, _types_of(trace, args)))
        for param in params:
            param._finish_deferred_init()

    def _has_own_inference(self) -> bool:
        return type(self).infer_shape is not HybridBlock.infer_shape or \
            any(child._has_own_inference() for child in self._children.values())

    def _infer_parameters(self, args: tuple) -> None:
        """Tell the shapes of this block's own parameters from the arguments', and initialize them."""
        if type(self).infer_shape is HybridBlock.infer_shape:
            trace = self._trace(args)
            self._take_shapes(trace, infer_types(trace.graph, _types_of(trace, args), partial=True))
        else:
            self.infer_shape(*args)
        for param in self._reg_params.values():
            param._finish_deferred_init()

    @staticmethod
    def _take_shapes(trace: Trace, types: Types) -> None:
        for node, source in zip(trace.graph.inputs, trace.sources, strict=True):
            if isinstance(source, Parameter) and not known(source.shape):
                found = types.get(Value(node, 0))
                if found is not None:
                    source.shape = found.shape

    def infer_shape(self, *args: Any) -> None:
        """Set the shapes of all parameters from the shapes of the arguments, without running anything."""
        trace = self._trace(args)
        self._take_shapes(trace, infer_types(trace.graph, _types_of(trace, args)))

    def memory_plan(self, *inputs: Any, mirror: Any = False, max_recompute: float = 1, hand_over: bool = False,
                    backend: str | None = None) -> Any:
        """What a training step takes, counted from shapes alone: see `gluon.memory_plan.memory_plan`."""
        from .memory_plan import memory_plan  # it stands on this file
        return memory_plan(self, *inputs, mirror=mirror, max_recompute=max_recompute, hand_over=hand_over,
                           backend=backend)

    def infer_type(self, *args: Any) -> None:
        """Set the dtypes of all parameters from the dtypes of the arguments."""
        trace = self._trace(args)
        types = infer_types(trace.graph, _types_of(trace, args))
        for node, source in zip(trace.graph.inputs, trace.sources, strict=True):
            if isinstance(source, Parameter):
                source.dtype = types[Value(node, 0)].dtype

    # -- files ------------------------------------------------------------------------------------------------
    def export(self, path: str, epoch: int = 0, remove_amp_cast: bool = True) -> tuple[str, str]:
        """Write ``PATH-symbol.json`` and ``PATH-EPOCH.params`` for SymbolBlock, Module or `mxdl export`.

        Returns the two names.  Raises RuntimeError before the first call of the hybridized block.
        """
        if not self._compiled:
            raise RuntimeError(f"{type(self).__name__}.export: there is no trace to write yet; got no hybridized call; "
                               f"call hybridize(), then the block on some input")
        trace = list(self._compiled.values())[-1].trace
        files = f"{path}-symbol.json", f"{path}-{epoch:04d}.params"
        trace.output.save(files[0], remove_amp_cast=remove_amp_cast)
        auxiliary = set(trace.output.list_auxiliary_states())
        arrays = {}
        for node, source in zip(trace.graph.inputs, trace.sources, strict=True):
            if type(source) is not int:
                kind = "aux" if node.name in auxiliary else "arg"
                arrays[f"{kind}:{node.name}"] = source._reduce() if isinstance(source, Parameter) \
                    else source.as_in_context(cpu())
        ndarray.save(files[1], arrays)
        return files

    def export_c(self, path: Any, *inputs: Any, name: str = "", **options: Any) -> Any:
        """Write this block in predict mode as one C file for inputs like `inputs`; returns the path.

        name: what the C functions begin with (default: from the file's name).   options: weights, nan, header,
        precision, max_batch, packed, threads, tune, winograd, provenance, task of `mxdl.codegen.export_c`.
        Raises NotBuiltError, before anything is written, where an operator has no C kernel.
        """
        return export_block(self, path, inputs, name, options)


def _types_of(trace: Trace, args: tuple) -> dict[str, TensorType]:
    """What is known of the trace's inputs when it is called with `args`."""
    return {v.name: type_of(x) for v, x in zip(trace.inputs, flatten(args)[0], strict=True)}


def _arrays(trace: Trace, flat: list[NDArray], late: dict[int, Callable[[], None]] | None = None) -> list[NDArray]:
    """The arrays for the graph's inputs, in order, where the arguments are `flat`.

    late: gets, by number of the input, the updates that a step left for later; None: they are made now.
    """
    ctx = flat[0].ctx
    if late is None:
        return [flat[source] if type(source) is int else source.data(ctx) if isinstance(source, Parameter) else source
                for source in trace.sources]
    found = []
    for number, source in enumerate(trace.sources):
        if isinstance(source, Parameter):
            array, update = source.late_data(ctx)
            found.append(array)
            if update is not None:
                late[number] = update
        else:
            found.append(flat[source] if type(source) is int else source)
    return found
