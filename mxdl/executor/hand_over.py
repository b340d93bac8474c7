"""When a program may hand over a gradient to somebody who then overwrites the variable that it belongs to."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..autograd.hand_over import Receive
from ..graph import Value


def hand_over_points(steps: Sequence[Any], outputs: Sequence[Value],
                     variables: Sequence[Value]) -> list[tuple[int, int]]:
    """(number of steps to run first, number of an output), in running order.

    steps: of the program, each with its `node`.   variables: for each output, the variable that its receiver writes
    to.  It may when the output is complete and no later step reads the output or the variable's memory.
    """
    free_after: dict[Value, int] = {}
    for position, step in enumerate(steps, 1):
        for index in range(step.node.num_outputs):
            free_after[Value(step.node, index)] = position
        for value in step.node.inputs:
            free_after[value] = position
            free_after[memory_of(value)] = position
    points = [(max(free_after.get(output, 0), free_after.get(variable, 0)), number)
              for number, (output, variable) in enumerate(zip(outputs, variables, strict=True))]
    return sorted(points)


def memory_of(value: Value) -> Value:
    """The value whose memory `value` may share: through operators whose output is, or aliases, their first input."""
    while value.node.op is not None and value.node.inputs and \
            (value.node.op.traits.view or value.node.op.traits.identity is not None):
        value = value.node.inputs[0]
    return value


def hand_over_all(results: list, receivers: Mapping[int, Receive]) -> list:
    """Give the outputs numbered in `receivers` to them, for programs that give their outputs together; returns the
    outputs, None for those handed over."""
    for number, receive in receivers.items():
        receive(results[number])
        results[number] = None
    return results
