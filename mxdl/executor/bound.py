"""Executors: a symbol bound to arrays, run forward and backward by hand (MXNet's bind and simple_bind)."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from .. import config
from ..autograd.state import state
from ..device import Context, current_context
from ..errors import GraphError, MXNetError, ShapeError, suggest
from ..graph import Graph, Node
from ..ndarray.ndarray import NDArray
from ..passes.low_precision import with_casts
from ..passes.pipeline import inference_plan, training_plan
from ..passes.place import placed
from ..random import reserve
from ..symbol.symbol import Symbol
from ..types import DTYPE_NAMES, TensorType
from .arguments import gradient_requests, named_arrays, new_arrays
from .cached_op import Runner

Monitor = Callable[[str, NDArray], None]


class Executor:
    """Arrays for every argument, gradient and auxiliary state of a symbol, and the programs over them.

    Made by `Symbol.bind` and `Symbol.simple_bind`.   arg_dict, grad_dict, aux_dict, output_dict: arrays by name;
    arg_arrays, grad_arrays, aux_arrays, outputs: the same in order.   A gradient array is None where its request is
    "null".
    """

    def __init__(self, symbol: Symbol, ctx: Context, args: Mapping[str, NDArray],
                 grads: Mapping[str, NDArray | None], requests: Mapping[str, str], aux: Mapping[str, NDArray]):
        self._symbol, self._ctx = symbol, ctx
        self.arg_dict, self.grad_dict, self.aux_dict = dict(args), dict(grads), dict(aux)
        self._requests = dict(requests)
        self.outputs: list[NDArray] = []
        self._monitor: Monitor | None = None
        self._monitor_inputs = False
        self._runners: dict[tuple, Runner] = {}
        self._pass: _ForwardPass | None = None

    # -- arrays -----------------------------------------------------------------------------------------------
    @property
    def arg_arrays(self) -> list[NDArray]:
        return list(self.arg_dict.values())

    @property
    def grad_arrays(self) -> list[NDArray | None]:
        return list(self.grad_dict.values())

    @property
    def aux_arrays(self) -> list[NDArray]:
        return list(self.aux_dict.values())

    @property
    def output_dict(self) -> dict[str, NDArray]:
        return dict(zip(self._symbol.list_outputs(), self.outputs, strict=False))

    # -- running ----------------------------------------------------------------------------------------------
    def forward(self, is_train: bool = False, **kwargs: Any) -> list[NDArray]:
        """Run the symbol; keywords are new values of arguments (arrays).  Returns the outputs.

        Raises TypeError for an unknown argument, ValueError for what is no array, ShapeError for another shape.
        """
        for name, value in kwargs.items():
            self._assign(name, value)
        wanted = [name for name, request in self._requests.items() if request != "null"] if is_train else []
        runner = self._runner(is_train, tuple(wanted))
        tensors = [self._array(node)._data.detach() for node in runner.plan.inputs]
        seeds = reserve(runner.plan.num_seeds) if runner.plan.num_seeds else []
        with torch.no_grad():
            results = runner.forward.run(list(tensors), seeds)
            for position, new in zip(runner.updated, results[runner.num_outputs:], strict=False):
                tensors[position].copy_(new)
        self._pass = _ForwardPass(runner, tensors, results[runner.num_outputs + len(runner.updated):], seeds,
                                  results[:runner.num_outputs])
        values = [t.clone() if any(t is x for x in tensors) else t for t in self._pass.outputs]
        self.outputs = [NDArray._wrap(t, self._ctx) for t in values[:len(self._symbol)]]
        self._report(values[len(self._symbol):])
        return self.outputs

    def backward(self, out_grads: Any = None, is_train: bool = True) -> None:
        """Write the gradients, as `grad_req` says, of the last forward(is_train=True).

        out_grads: gradients of the outputs; may be left out where every output is a loss (SoftmaxOutput, MakeLoss).
        Raises GraphError without such a forward.
        """
        if self._pass is None or (self._pass.runner.backward is None and self._wants_gradients()):
            raise GraphError("Executor.backward: no forward pass to differentiate; got none with is_train=True; "
                             "call forward(is_train=True) first")
        done = self._pass
        if done.runner.backward is None:
            return
        heads = self._head_gradients(out_grads, done.outputs)
        given = [done.tensors[i] for i in done.runner.saved_inputs]
        with torch.no_grad():
            grads = iter(done.runner.backward.run([*heads, *done.residuals, *given], done.seeds))
            for node, value in zip(done.runner.plan.wrt, done.runner.plan.grads, strict=True):
                self._write_gradient(node.name, None if value is None else next(grads))

    def _wants_gradients(self) -> bool:
        return any(request != "null" for request in self._requests.values())

    def _write_gradient(self, name: str, grad: torch.Tensor | None) -> None:
        array = self.grad_dict[name]
        if array is None:
            return
        target = array._data.detach()
        if self._requests[name] == "add":
            if grad is not None:
                target.add_(grad)
        elif grad is None:
            target.zero_()
        else:
            target.copy_(grad)

    def _head_gradients(self, out_grads: Any, outputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        count = len(self._symbol)
        if isinstance(out_grads, NDArray):
            out_grads = [out_grads]
        elif isinstance(out_grads, Mapping):
            out_grads = [out_grads[name] for name in self._symbol.list_outputs()]
        given = list(out_grads or [None] * count)
        if len(given) != count:
            raise GraphError(f"Executor.backward: one gradient an output is needed; got {len(given)} for "
                             f"{', '.join(self._symbol.list_outputs())}")
        heads = []
        for value, grad, out in zip(self._symbol._outputs, given, outputs, strict=False):
            if grad is None and not (value.node.op is not None and value.node.op.is_loss):
                raise GraphError(f"Executor.backward: {value.node.name!r} is no loss; got no gradient for it; give "
                                 f"out_grads, or end the symbol in a loss (SoftmaxOutput, MakeLoss)")
            heads.append(torch.ones_like(out) if grad is None else grad._data.detach())
        return heads + [torch.zeros_like(out) for out in outputs[count:]]

    def _array(self, node: Node) -> NDArray:
        return self.arg_dict[node.name] if node.name in self.arg_dict else self.aux_dict[node.name]

    def _assign(self, name: str, value: Any) -> None:
        if name not in self.arg_dict:
            raise TypeError(f"Executor.forward: unknown argument; got {name!r}; it has {', '.join(self.arg_dict)}"
                            f"{suggest(name, self.arg_dict)}")
        if not isinstance(value, (NDArray, np.ndarray)):
            raise ValueError(f"Executor.forward: {name} must be an array; got {type(value).__name__}; "
                             f"give an NDArray or a numpy array")
        target = self.arg_dict[name]._data.detach()
        if tuple(value.shape) != tuple(target.shape):
            raise ShapeError(f"Executor.forward: {name} was bound with another shape; got {tuple(value.shape)}, need "
                             f"{tuple(target.shape)}; give that shape, or use reshape()")
        target.copy_(value._data.detach() if isinstance(value, NDArray) else torch.as_tensor(value))

    def _runner(self, is_train: bool, wanted: tuple[str, ...]) -> Runner:
        key = (is_train, wanted, self._monitor is not None, state.policy, state.policy and state.policy.loss_scale)
        if key not in self._runners:
            graph = self._watched_graph() if self._monitor is not None else self._symbol.graph()
            if self._ctx.device_type == "gpu":
                graph = placed(graph, str(self._ctx))
            known = {name: TensorType(tuple(a.shape), DTYPE_NAMES[a._data.dtype])
                     for name, a in (self.arg_dict | self.aux_dict).items()}
            casts = None if state.policy is None else partial(with_casts, policy=state.policy, types=known)
            wrt = [node for node in graph.inputs if node.name in wanted]
            plan = (training_plan(graph, is_train, wrt, config.backward_do_mirror(), known, casts) if wrt
                    else inference_plan(graph, is_train, known, casts=casts))
            self._runners[key] = Runner(plan, None)
        return self._runners[key]

    # -- monitoring -------------------------------------------------------------------------------------------
    def set_monitor_callback(self, callback: Monitor, monitor_all: bool = False) -> None:
        """`callback(name, array)` after each forward, for every node's outputs; with `monitor_all` also for the
        variables."""
        self._monitor, self._monitor_inputs = callback, monitor_all

    def _watched_graph(self) -> Graph:
        internals = self._symbol.get_internals()
        return Graph([*self._symbol._outputs, *internals._outputs], self._symbol.graph().inputs)

    def _report(self, values: Sequence[torch.Tensor]) -> None:
        if self._monitor is None:
            return
        internals = self._symbol.get_internals()
        for value, name, tensor in zip(internals._outputs, internals.list_outputs(), values, strict=True):
            if value.node.op is not None or self._monitor_inputs:
                self._monitor(name, NDArray._wrap(tensor, self._ctx))

    # -- changing ---------------------------------------------------------------------------------------------
    def copy_params_from(self, arg_params: Mapping[str, NDArray], aux_params: Mapping[str, NDArray] | None = None,
                         allow_extra_params: bool = False) -> None:
        """Copy values into the arguments and auxiliary states of those names.  Raises ValueError for other names."""
        for given, own, kind in ((arg_params, self.arg_dict, "arguments"), (aux_params or {}, self.aux_dict,
                                                                            "auxiliary states")):
            for name, array in given.items():
                if name in own:
                    _copy_checked(name, array, own[name])
                elif not allow_extra_params:
                    raise ValueError(f"copy_params_from: {name!r} is not among the {kind}; got it with an array of "
                                     f"shape {tuple(array.shape)}; pass allow_extra_params=True to skip it"
                                     f"{suggest(name, own)}")

    def reshape(self, partial_shaping: bool = False, allow_up_sizing: bool = False, **kwargs: Any) -> Executor:
        """An executor for other input shapes that shares every array whose shape stays.

        partial_shaping: shapes that are not given may change too.   allow_up_sizing: accepted, arrays are made new.
        """
        shapes, _, aux_shapes = self._symbol.infer_shape(**kwargs)
        if shapes is None:
            raise ShapeError(f"Executor.reshape: the shapes given do not tell all; got {kwargs}; give more of them")
        args: dict[str, NDArray] = {}
        grads: dict[str, NDArray | None] = {}
        for (name, array), shape in zip(self.arg_dict.items(), shapes, strict=True):
            same = tuple(array.shape) == tuple(shape)
            if not same and name not in kwargs and not partial_shaping:
                raise ShapeError(f"Executor.reshape: {name} would change from {tuple(array.shape)} to {shape}; "
                                 f"pass partial_shaping=True if that is meant")
            args[name] = array if same else _zeros_like(array, shape)
            grad = self.grad_dict[name]
            grads[name] = grad if same or grad is None else _zeros_like(grad, shape)
        aux = {name: array if tuple(array.shape) == tuple(shape) else _zeros_like(array, shape)
               for (name, array), shape in zip(self.aux_dict.items(), aux_shapes, strict=True)}
        return Executor(self._symbol, self._ctx, args, grads, self._requests, aux)

    def get_optimized_symbol(self) -> Symbol:
        """The symbol that was bound: mxdl's passes work on programs, not on what users see."""
        return self._symbol

    def debug_str(self) -> str:
        """The graph, one line a node."""
        return self._symbol.debug_str()


class _ForwardPass:
    """What backward needs of a forward."""

    __slots__ = ("outputs", "residuals", "runner", "seeds", "tensors")

    def __init__(self, runner: Runner, tensors: list[torch.Tensor], residuals: list[torch.Tensor],
                 seeds: Sequence[int], outputs: list[torch.Tensor]):
        self.runner, self.tensors, self.residuals = runner, tensors, residuals
        self.seeds, self.outputs = seeds, outputs


def _zeros_like(array: NDArray, shape: Sequence[int]) -> NDArray:
    return NDArray._wrap(torch.zeros(tuple(shape), dtype=array._data.dtype, device=array._data.device), array._ctx)


def _copy_checked(name: str, source: NDArray, target: NDArray) -> None:
    if tuple(source.shape) != tuple(target.shape):
        raise ShapeError(f"copy_params_from: {name} has another shape; got {tuple(source.shape)}, need "
                         f"{tuple(target.shape)}; was the file saved from another network?")
    target._data.detach().copy_(source._data.detach())


def bind(symbol: Symbol, ctx: Context | None, args: Any, args_grad: Any, grad_req: Any, aux_states: Any) -> Executor:
    """See `Symbol.bind`."""
    names, states = symbol.list_arguments(), symbol.list_auxiliary_states()
    arrays = named_arrays("args", args, names)
    grads = named_arrays("args_grad", args_grad, names, required=False)
    requests = gradient_requests(grad_req, names)
    requests = {name: request if grads.get(name) is not None else "null" for name, request in requests.items()}
    aux = named_arrays("aux_states", aux_states, states)
    return Executor(symbol, _context(ctx), arrays, {n: grads.get(n) for n in names}, requests, aux)


def simple_bind(symbol: Symbol, ctx: Context | None, grad_req: Any, type_dict: Mapping[str, Any] | None,
                shared_exec: Executor | None, shared_names: Sequence[str] | None,
                shared_buffer: dict[str, NDArray] | None, shapes: Mapping[str, Sequence[int]]) -> Executor:
    """See `Symbol.simple_bind`."""
    ctx = _context(ctx)
    names, states = symbol.list_arguments(), symbol.list_auxiliary_states()
    arg_shapes, _, aux_shapes = symbol.infer_shape(**shapes)
    if arg_shapes is None:
        raise MXNetError(f"simple_bind: the shapes given do not tell all arguments; got {dict(shapes)}; "
                         f"it has {', '.join(names)}: give the shapes of the inputs")
    dtypes = _dtypes(symbol, type_dict)
    shared: dict[str, NDArray] = {}
    if shared_exec is not None:
        shared = {n: a for n, a in shared_exec.arg_dict.items() if shared_names is None or n in shared_names}
        shared |= shared_exec.aux_dict
    args = new_arrays(zip(names, arg_shapes, strict=True), dtypes, ctx, shared, shared_buffer)
    requests = gradient_requests(grad_req, names)
    grads: dict[str, NDArray | None] = {n: _zeros_like(a, a.shape) if requests[n] != "null" else None
                                        for n, a in args.items()}
    aux = new_arrays(zip(states, aux_shapes, strict=True), dtypes, ctx, shared, None)
    return Executor(symbol, ctx, args, grads, requests, aux)


def _dtypes(symbol: Symbol, type_dict: Mapping[str, Any] | None) -> dict[str, Any]:
    arguments, _, states = symbol.infer_type_partial(**(type_dict or {}))
    names = [*symbol.list_arguments(), *symbol.list_auxiliary_states()]
    return {name: dtype for name, dtype in zip(names, [*arguments, *states], strict=True) if dtype is not None}


def _context(ctx: Context | Sequence[Context] | None) -> Context:
    if ctx is None:
        return current_context()
    return ctx if isinstance(ctx, Context) else ctx[0]
