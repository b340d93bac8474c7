"""A straight-line program: kernels with their attributes set, slots for values, and what to free after each step."""
from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from ..autograd.hand_over import Receive
from ..device import wait_for_gpus
from ..errors import MXNetError, OperatorError
from ..graph import Node, Value
from ..passes.infer_types import describe
from ..passes.lifetimes import InPlace, lifetimes
from ..recorder import recorder
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

    __slots__ = ("_first_readers", "_num_slots", "_output_slots", "inputs", "outputs", "steps")

    def __init__(self, outputs: Sequence[Value], inputs: Sequence[Value],
                 in_place: InPlace = True, owned: Iterable[Value] = ()):
        """in_place, owned: as in `lifetimes`."""
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        slot = {value: i for i, value in enumerate(self.inputs)}
        self.steps: list[Step] = []
        for node, (wanted, dying, overwrites) in lifetimes(self.outputs, self.inputs, in_place, owned):
            inputs_ = tuple(slot[v] for v in node.inputs)
            if overwrites == 1:  # of a commutative pair
                inputs_ = inputs_[::-1]
            outputs_ = []
            for i, held in enumerate(wanted):
                outputs_.append(len(slot) if held else -1)
                if held:
                    slot[Value(node, i)] = len(slot)
            self.steps.append(Step(node.op.bind(node.attrs, overwrites >= 0), inputs_, tuple(outputs_),
                                   tuple(slot[v] for v in dying), node.attrs.get("seed", -1), node))
        self._num_slots = len(slot)
        self._output_slots = tuple(slot[v] for v in self.outputs)
        self._first_readers: dict[int, int] | None = None

    def run(self, tensors: list[torch.Tensor], seeds: Sequence[int] = ()) -> list[torch.Tensor]:
        """Run all steps.  `tensors` is emptied, so that an input may be freed at its last use when the caller holds
        it no longer.  Raises MXNetError naming operator, block and input types where a kernel fails."""
        slots = self._slots(tensors)
        _execute(self.steps, slots, seeds)
        return [slots[i] for i in self._output_slots]

    def run_reading_late(self, tensors: list[torch.Tensor], seeds: Sequence[int],
                         late: Mapping[int, Callable[[], None]]) -> list[torch.Tensor]:
        """`run`, where some inputs are not to be read yet: `late[number]()`, called just before the first step that
        reads input `number`, writes it in place."""
        if self._first_readers is None:
            self._first_readers = {slot: position for position in reversed(range(len(self.steps)))
                                   for slot in self.steps[position].inputs}
        slots = self._slots(tensors)
        done = 0
        for begin, number in sorted((self._first_readers.get(number, len(self.steps)), number) for number in late):
            _execute(self.steps[done:begin], slots, seeds)
            done = begin
            late[number]()
        _execute(self.steps[done:], slots, seeds)
        return [slots[i] for i in self._output_slots]

    def _slots(self, tensors: list[torch.Tensor]) -> list:
        slots: list = tensors + [None] * (self._num_slots - len(tensors))
        tensors.clear()
        return slots

    def run_handing_over(self, tensors: list[torch.Tensor], seeds: Sequence[int],
                         receivers: Mapping[int, Receive], points: Sequence[tuple[int, int]]) -> list:
        """`run`, but the outputs numbered in `receivers` are given to them at their `points` and then freed.

        points: (number of steps to run first, number of an output), in running order, as `hand_over_points` tells.
        Returns the outputs, None for those handed over.
        """
        slots = self._slots(tensors)
        waiting = Counter(self._output_slots)
        done = 0
        for end, number in points:
            if number in receivers:
                _execute(self.steps[done:end], slots, seeds)
                done, slot = end, self._output_slots[number]
                waiting[slot] -= 1
                value = slots[slot]
                if not waiting[slot]:
                    slots[slot] = None
                receivers[number](value)
                del value
        _execute(self.steps[done:], slots, seeds)
        return [None if number in receivers else slots[slot] for number, slot in enumerate(self._output_slots)]


def _execute(steps: Sequence[Step], slots: list, seeds: Sequence[int]) -> None:
    if recorder.programs:
        steps = [step._replace(kernel=_timed(step)) for step in steps]
    for kernel, inputs, outputs, frees, seed, node in steps:
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
            tensor = None
        result = None  # else a dead result lives on while the next kernel runs
        for i in frees:
            slots[i] = None


def _timed(step: Step) -> Callable:
    """The step's kernel, which notes when it ran.  On a GPU it is waited for, so its time is its own."""
    def kernel(*tensors: torch.Tensor, **seed: int) -> Any:
        began = time.perf_counter()
        result = step.kernel(*tensors, **seed)
        wait_for_gpus()
        recorder.span(step.node.op.name, "operator", began, time.perf_counter(), {"node": step.node.name})
        return result
    return kernel


def _explain(error: Exception, node: Node, tensors: Sequence[torch.Tensor]) -> MXNetError:
    if isinstance(error, MXNetError):
        return error
    names = node.op.input_names(node.attrs, len(tensors))
    got = ", ".join(f"{name}={DTYPE_NAMES[t.dtype]}{list(t.shape)}" for name, t in zip(names, tensors, strict=True))
    return OperatorError(f"{describe(node)}: {str(error).splitlines()[0]}; got {got}; "
                         f"check what reaches this operator")
