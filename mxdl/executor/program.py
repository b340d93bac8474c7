"""A straight-line program: kernels with their attributes set, slots for values, and what to free after each step."""
from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from typing import NamedTuple

import torch

from ..errors import MXNetError, OperatorError
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

    def __init__(self, outputs: Sequence[Value], inputs: Sequence[Value], in_place: bool = True):
        """in_place: write a result over an input that nothing reads any more, where the operator can."""
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        nodes = schedule(self.outputs, self.inputs)
        slot = {value: i for i, value in enumerate(self.inputs)}
        last_use = _last_uses(nodes, self.outputs, slot)
        owner = _Owners(self.inputs)
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
            dying = dict.fromkeys(v for v in node.inputs if last_use.get(v) == position)
            overwrite = in_place and owner.may_overwrite(node, 0, dying)
            if in_place and not overwrite and node.op.traits.commutative and len(inputs_) == 2 \
                    and owner.may_overwrite(node, 1, dying):
                overwrite, inputs_ = True, inputs_[::-1]
            owner.step(node, outputs_, dying)
            self.steps.append(Step(node.op.bind(node.attrs, overwrite), inputs_, tuple(outputs_),
                                   tuple(slot[v] for v in dying), node.attrs.get("seed", -1), node))
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


class _Owners:
    """Which values share memory, and how many live values hold each memory; inputs' memory is the caller's."""

    def __init__(self, inputs: Sequence[Value]):
        self._memory: dict[Value, Value | None] = dict.fromkeys(inputs)
        self._holders: dict[Value, int] = {}

    def may_overwrite(self, node: Node, position: int, dying: Container[Value]) -> bool:
        """Whether that input is read for the last time, once, and no other live value shares its memory."""
        value = node.inputs[position] if node.inputs else None
        if node.op.in_place_kernel is None or value not in dying or node.inputs.count(value) > 1:
            return False
        memory = self._memory[value]
        return memory is not None and self._holders[memory] == 1

    def step(self, node: Node, slots: Sequence[int], dying: Iterable[Value]) -> None:
        """Account for the node's outputs (a view shares its first input's memory) and for the values freed."""
        for i, place in enumerate(slots):
            value = Value(node, i)
            shares = node.inputs and (node.op.traits.view or node.op.traits.identity is not None)
            memory = self._memory[node.inputs[0]] if shares else value
            self._memory[value] = memory
            if memory is not None and place >= 0:
                self._holders[memory] = self._holders.get(memory, 0) + 1
        for value in dying:
            memory = self._memory[value]
            if memory is not None:
                self._holders[memory] -= 1


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
    return OperatorError(f"{describe(node)}: {str(error).splitlines()[0]}; got {got}; "
                         f"check what reaches this operator")
