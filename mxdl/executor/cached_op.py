"""CachedOp: a graph as one function of arrays and one node of the tape (MXNet's CachedOp, src/imperative)."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import torch

from .. import allocator
from ..autograd.hand_over import Receive, early_receiver_of, is_handing_over
from ..autograd.state import state
from ..autograd.tape import free_old_gradients
from ..device import Context
from ..errors import GraphError, suggest
from ..graph import Graph, Node, Value
from ..ndarray.ndarray import NDArray
from ..ops.precision import is_scaled_by_attribute
from ..passes.goal import BACKENDS, Goal, goal_of
from ..passes.hoist import parameters_folded
from ..passes.infer_types import has_open_shape
from ..passes.layout import channels_last_parameters
from ..passes.low_precision import with_casts
from ..passes.pipeline import Plan, inference_plan, training_plan
from ..passes.place import creates, placed
from ..passes.unroll import has_control_flow
from ..random import reserve
from ..types import DTYPE_NAMES, TensorType
from .cuda_graph import CapturedProgram
from .folded import FoldedProgram
from .hand_over import hand_over_points
from .inductor import CompiledPieces, CompiledProgram
from .program import Program

#: flags of ``hybridize``.  static_alloc with static_shape replays CUDA graphs on a GPU; one alone, inline_limit and the
#: bulk sizes are MXNet's hints to its own engine: programs here always know their buffers' lifetimes.
FLAGS: Mapping[str, Any] = {
    "static_alloc": False, "static_shape": False, "inline_limit": 2, "forward_bulk_size": None,
    "backward_bulk_size": None, "backend": None, "mirror": False, "max_recompute": 1, "fold": False,
}


Late = Callable[[], None]


def check_flags(flags: Mapping[str, Any]) -> Goal:
    """The goal of memory mirroring that `flags` of ``hybridize`` ask for.  Raises GraphError."""
    unknown = [name for name in flags if name not in FLAGS]
    if unknown:
        raise GraphError(f"hybridize: unknown option; got {', '.join(unknown)}; use {', '.join(FLAGS)}"
                         f"{suggest(unknown[0], FLAGS)}")
    backend = flags.get("backend")
    if backend not in BACKENDS:
        raise GraphError(f"hybridize: unknown backend; got {backend!r}; use None or 'inductor'")
    return goal_of(flags.get("mirror", FLAGS["mirror"]), flags.get("max_recompute", FLAGS["max_recompute"]))


class Runner:
    """The programs of one way to run a graph: training or not, with gradients of `wrt` or without."""

    __slots__ = ("_points", "_taped", "backward", "forward", "num_outputs", "plan", "saved_inputs", "updated", "wrt")

    def __init__(self, plan: Plan, backend: str | None, folded: set[Node] | None = None,
                 captured: bool = False):
        """folded: see `FoldedProgram`.   captured: replay the programs as CUDA graphs."""
        inputs = [Value(node, 0) for node in plan.inputs]
        position = {node: i for i, node in enumerate(plan.inputs)}
        self.plan = plan
        self._taped: Program | None = None
        self._points: list[tuple[int, int]] | None = None
        self.num_outputs = len(plan.outputs)
        self.updated = [position[node] for node in plan.updated]
        self.wrt = [position[node] for node in plan.wrt]
        variables = _variables_read(plan)
        self.saved_inputs = [position[node] for node in variables]
        def program(outputs: Sequence[Value], given: Sequence[Value]):
            if backend == "inductor":
                return CompiledProgram(outputs, given) if given is inputs else CompiledPieces(outputs, given)
            made = Program(outputs, given)
            return CapturedProgram(made) if captured else made

        results = [*plan.outputs, *plan.updates, *plan.saved]
        self.forward = program(results, inputs) if folded is None else FoldedProgram(results, inputs, folded,
                                                                                     program)
        self.backward = None
        if plan.wrt:
            given = [v for v in plan.grads if v is not None]
            self.backward = program(given, [*plan.heads, *plan.saved, *(Value(n, 0) for n in variables)])

    @property
    def taped(self) -> Program:
        """The outputs by kernels that overwrite nothing, so that torch's tape can follow them."""
        if self._taped is None:
            self._taped = Program(self.plan.outputs, [Value(node, 0) for node in self.plan.inputs], in_place=False)
        return self._taped

    def receivers(self, tensors: Sequence[torch.Tensor]) -> dict[int, Receive]:
        """Those who take a gradient as soon as the backward program has it, by the number of its output."""
        computed = [p for p, v in zip(self.wrt, self.plan.grads, strict=True) if v is not None]
        found = {number: early_receiver_of(tensors[p]) for number, p in enumerate(computed)}
        return {number: receive for number, receive in found.items() if receive is not None}

    @property
    def points(self) -> list[tuple[int, int]]:
        """When the backward program's outputs may be handed over: see `hand_over_points`."""
        if self._points is None:
            variables = [Value(n, 0) for n, v in zip(self.plan.wrt, self.plan.grads, strict=True) if v is not None]
            self._points = hand_over_points(self.backward.steps, self.backward.outputs, variables)
        return self._points


def on_gpu(tensors: Sequence[torch.Tensor]) -> bool:
    return bool(tensors) and all(t.is_cuda for t in tensors)


def _variables_read(plan: Plan) -> list[Node]:
    """Variables of the graph that the backward program reads, in the order of the plan's inputs."""
    stop = {v.node for v in plan.saved} | {v.node for v in plan.heads}
    seen: set[Node] = set()
    stack = [v for v in plan.grads if v is not None]
    saved = set(plan.saved)
    while stack:
        value = stack.pop()
        if value in saved or value.node in seen or (value.node in stop and value.node.op is None):
            continue
        seen.add(value.node)
        stack.extend(value.node.inputs)
    return [node for node in plan.inputs if node in seen]


class CachedOp:
    """A graph that is called with NDArrays in the order of `graph.inputs` and returns a list of NDArrays.

    Programs are made at the first call of each kind (training, which inputs want gradients) and, where they depend on
    shapes, of each signature.  Under autograd.record() a call is one node of the tape.
    """

    def __init__(self, graph: Graph, flags: Mapping[str, Any] | None = None):
        self.graph = graph
        self.flags = {**FLAGS, **(flags or {})}
        self._goal = check_flags(self.flags)
        self._runners: dict[tuple, Runner] = {}
        self._creates = any(creates(node) for node in graph.nodes)
        self._has_loss_outputs = any(node.op is not None and is_scaled_by_attribute(node.op) for node in graph.nodes)
        self._replays = bool(self.flags["static_alloc"] and self.flags["static_shape"])
        self._needs_types = self._goal.needs_types or has_control_flow(graph) or any(
            has_open_shape(node) for node in graph.nodes)

    def __call__(self, *arrays: NDArray, late: Mapping[int, Late] = MappingProxyType({})) -> list[NDArray]:
        """late: of inputs that are written in place once they are about to be read: what writes them."""
        if len(arrays) != len(self.graph.inputs):
            raise GraphError(f"CachedOp: wrong number of inputs; got {len(arrays)}, expected {len(self.graph.inputs)}: "
                             f"{', '.join(n.name for n in self.graph.inputs)}")
        tensors = [a._data for a in arrays]
        context = arrays[0]._ctx if arrays else None
        wrt: tuple[int, ...] = ()
        if state.recording:
            wrt = tuple(i for i, t in enumerate(tensors) if t.requires_grad)
        runner = self._runner(state.training, wrt, tensors, context)
        seeds = reserve(runner.plan.num_seeds) if runner.plan.num_seeds else ()
        if late and not (wrt and type(runner.forward) is Program):
            for write in late.values():
                write()
            late = {}
        if wrt:
            results = TapeNode.apply(self, runner, seeds, late, [arrays[i] for i in wrt if arrays[i]._grad is not None],
                                     *tensors)
        else:
            with torch.no_grad():
                results = runner.forward.run([t.detach() if t.requires_grad else t for t in tensors], seeds)
                self._write_back(runner, results, tensors)
                results = results[:runner.num_outputs]
        return [NDArray._wrap(t, context) for t in results]

    def _runner(self, training: bool, wrt: tuple[int, ...], tensors: Sequence[torch.Tensor],
                context: Context | None) -> Runner:
        device = str(context) if self._creates and context is not None and context.device_type == "gpu" else ""
        captured = self._replays and on_gpu(tensors)
        key: tuple = (training, wrt, device, captured)
        policy = state.policy
        if self._needs_types:
            key += tuple((t.shape, t.dtype) for t in tensors)
        elif policy is not None:
            key += tuple(t.dtype for t in tensors)
        if policy is not None:
            key += (policy, policy.loss_scale if self._has_loss_outputs else 1)
        runner = self._runners.get(key)
        if runner is None:
            self._lay_out(tensors)
            types = {n.name: TensorType(tuple(t.shape), DTYPE_NAMES[t.dtype])
                     for n, t in zip(self.graph.inputs, tensors, strict=True)}
            known = types if self._needs_types else None
            nodes = [self.graph.inputs[i] for i in wrt]
            graph = placed(self.graph, device) if device else self.graph
            casts = None if policy is None else partial(with_casts, policy=policy, types=types)
            fold = bool(self.flags["fold"]) and not training and not wrt
            fused = self.flags["backend"] == "inductor"
            plan = (training_plan(graph, training, nodes, self._goal, known, casts, fused) if wrt
                    else inference_plan(graph, training, known, fold, casts))
            runner = self._runners[key] = Runner(plan, self.flags["backend"],
                                                 parameters_folded(graph) if fold else None, captured)
            if self._goal.needs_types:
                allocator.trim()   # planning has left holes
        return runner

    def _lay_out(self, tensors: Sequence[torch.Tensor]) -> None:
        """Store parameters as the layout pass says.  Same array, same values, other strides."""
        stored = set(channels_last_parameters(self.graph))
        for node, tensor in zip(self.graph.inputs, tensors, strict=True):
            if node in stored and tensor.dim() == 4 and tensor.is_contiguous():
                tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)

    @staticmethod
    def _write_back(runner: Runner, results: Sequence[torch.Tensor], inputs: Sequence[torch.Tensor]) -> None:
        """Overwrite the auxiliary states with their new values."""
        if runner.updated:
            new = results[runner.num_outputs:runner.num_outputs + len(runner.updated)]
            torch._foreach_copy_([inputs[position].detach() for position in runner.updated], new)


FIRST_TENSOR = 5     # of the arguments of `TapeNode.apply`


class TapeNode(torch.autograd.Function):
    """A CachedOp's call on torch's tape: forward and backward run the two programs."""

    @staticmethod
    def forward(ctx: Any, cached: CachedOp, runner: Runner, seeds: Sequence[int], late: Mapping[int, Late],
                variables: Sequence[NDArray], *tensors: torch.Tensor):
        if late:
            results = runner.forward.run_reading_late(list(tensors), seeds, late)
        else:
            results = runner.forward.run(list(tensors), seeds)
        cached._write_back(runner, results, tensors)
        outputs = tuple(results[:runner.num_outputs])
        written = set(runner.updated)
        ctx.save_for_backward(*(t for i, t in enumerate(tensors) if i not in written))
        ctx.written = {i: tensors[i] for i in written}
        ctx.residuals = results[runner.num_outputs + len(runner.updated):]
        ctx.runner, ctx.seeds, ctx.cached, ctx.variables = runner, seeds, cached, variables
        ctx.mark_non_differentiable(*(t for t in outputs if not t.is_floating_point()))
        return outputs

    @staticmethod
    def backward(ctx: Any, *douts: torch.Tensor):
        runner: Runner = ctx.runner
        tensors = _merge_inputs(ctx.saved_tensors, ctx.written)
        if torch.is_grad_enabled():
            grads = _differentiable_backward(runner, tensors, ctx.seeds, douts)
        else:
            if ctx.residuals is None:
                raise GraphError("backward: this hybridized block was already differentiated; got a second backward; "
                                 "pass retain_graph=True to the first one")
            values = [*douts, *ctx.residuals, *(tensors[i] for i in runner.saved_inputs)]
            if not state.retain_graph:
                ctx.residuals = None
            free_old_gradients(ctx.variables)
            receivers = runner.receivers(tensors) if is_handing_over() else {}
            if receivers:
                grads = runner.backward.run_handing_over(values, ctx.seeds, receivers, runner.points)
            else:
                grads = runner.backward.run(values, ctx.seeds)
        result: list = [None] * (FIRST_TENSOR + len(tensors))
        rest = iter(grads)
        for position, value in zip(runner.wrt, runner.plan.grads, strict=True):
            result[FIRST_TENSOR + position] = torch.zeros_like(tensors[position]) if value is None else next(rest)
        return tuple(result)


def _merge_inputs(saved: Sequence[torch.Tensor], written: Mapping[int, torch.Tensor]) -> list[torch.Tensor]:
    rest = iter(saved)
    return [written[i] if i in written else next(rest) for i in range(len(saved) + len(written))]


def _differentiable_backward(runner: Runner, tensors: Sequence[torch.Tensor], seeds: Sequence[int],
                             douts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Gradients that can be differentiated again (create_graph): the forward kernels once more under torch's tape."""
    outputs = runner.taped.run(list(tensors), seeds)
    pairs = [(o, d) for o, d in zip(outputs, douts, strict=True) if o.requires_grad]
    wanted = [tensors[p] for p, v in zip(runner.wrt, runner.plan.grads, strict=True) if v is not None]
    grads = torch.autograd.grad([o for o, _ in pairs], wanted, [d for _, d in pairs], create_graph=True,
                                allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(wanted, grads, strict=True)]
