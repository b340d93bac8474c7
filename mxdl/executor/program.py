"""A straight-line program: kernels with their attributes set, slots for values, and what to free after each step."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from ..errors import MXNetError
from ..graph import Node, Value
from ..passes.infer_types import describe
from ..passes.schedule import schedule
from ..types import DTYPE_NAMES


class Step(NamedTuple):
    """Call `kernel` on the slots `inputs`, store to the slots `outputs` (-1: not wanted), then empty `frees`."""

    kernel: Callable
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    frees: tuple[int, ...]
    seed: int            # which of the call's seeds the kernel takes, -1 for none
    node: Node


class Program:
    """Computes `outputs` from `inputs` (graph values).  `run` takes tensors in the order of `inputs`."""

    __slots__ = ("_num_slots", "_output_slots", "inputs", "outputs", "steps")

    def __init__(self, outputs: Sequence[Value], inputs: Sequence[Value]):
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        nodes = schedule(self.outputs, self.inputs)
        slot = {value: i for i, value in enumerate(self.inputs)}
        last_use = _last_uses(nodes, self.outputs, slot)
        self.steps: list[Step] = []
        for position, node in enumerate(nodes):
            inputs_ = tuple(slot[v] for v in node.inputs)
            outputs_ = []
            for i in range(node.num_outputs):
                value = Value(node, i)
                wanted = value in last_use
                outputs_.append(len(slot) if wanted else -1)
                if wanted:
                    slot[value] = len(slot)
            frees = tuple(dict.fromkeys(slot[v] for v in node.inputs if last_use.get(v) == position))
            self.steps.append(Step(node.op.bind(node.attrs), inputs_, tuple(outputs_), frees,
                                   node.attrs.get("seed", -1), node))
        self._num_slots = len(slot)
        self._output_slots = tuple(slot[v] for v in self.outputs)

    def run(self, tensors: list[torch.Tensor], seeds: Sequence[int] = ()) -> list[torch.Tensor]:
        """Run all steps.  `tensors` is emptied, so that an input may be freed at its last use when the caller holds
        it no longer.  Raises MXNetError naming operator, block and input types where a kernel fails."""
        slots: list = tensors + [None] * (self._num_slots - len(tensors))
        tensors.clear()
        for kernel, inputs, outputs, frees, seed, node in self.steps:
            try:
                if seed < 0:
                    result = kernel(*[slots[i] for i in inputs])
                else:
                    result = kernel(*[slots[i] for i in inputs], seed=seeds[seed])
            except (RuntimeError, ValueError, TypeError, IndexError) as error:
                raise _explain(error, node, [slots[i] for i in inputs]) from error
            if len(outputs) == 1:
                slots[outputs[0]] = result
            else:
                for out, tensor in zip(outputs, result, strict=True):
                    if out >= 0:
                        slots[out] = tensor
            for i in frees:
                slots[i] = None
        return [slots[i] for i in self._output_slots]


def _last_uses(nodes: Sequence[Node], outputs: Sequence[Value], inputs: dict[Value, int]) -> dict[Value, int]:
    """The position of each value's last consumer; len(nodes) for outputs, which are never freed."""
    last: dict[Value, int] = dict.fromkeys(inputs, -1)
    for position, node in enumerate(nodes):
        for value in node.inputs:
            last[value] = position
    for value in outputs:
        last[value] = len(nodes)
    return last


def _explain(error: Exception, node: Node, tensors: Sequence[torch.Tensor]) -> MXNetError:
    if isinstance(error, MXNetError):
        return error
    names = node.op.input_names(node.attrs, len(tensors))
    got = ", ".join(f"{name}={DTYPE_NAMES[t.dtype]}{list(t.shape)}" for name, t in zip(names, tensors, strict=True))
    return MXNetError(f"{describe(node)}: {str(error).splitlines()[0]}; got {got}; check what reaches this operator")
