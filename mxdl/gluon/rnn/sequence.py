"""Sequences as one tensor or as a list of steps, and what padding (valid_length) asks of them.

Letters: N samples, T steps, C channels.   F is mx.nd or mx.sym, by what the sequence holds.
"""
from __future__ import annotations

from typing import Any

from ... import ndarray, symbol
from ...ndarray import NDArray
from ...symbol import Symbol


def functions_for(inputs: Any) -> Any:
    """mx.sym for symbols, mx.nd for arrays."""
    first = inputs[0] if isinstance(inputs, (list, tuple)) else inputs
    return symbol if isinstance(first, Symbol) else ndarray


def is_tensor(inputs: Any) -> bool:
    return isinstance(inputs, (NDArray, Symbol))


def batch_size_of(inputs: Any, layout: str) -> int:
    """N; 0 for symbols, which do not know it yet."""
    if is_tensor(inputs):
        return inputs.shape[layout.find("N")] if isinstance(inputs, NDArray) else 0
    return inputs[0].shape[0] if isinstance(inputs[0], NDArray) else 0


def as_steps(inputs: Any, length: int, layout: str) -> list:
    """The list of steps [N, C]; raises AssertionError where there are not `length` of them."""
    axis = layout.find("T")
    if is_tensor(inputs):
        found = inputs.shape[axis] if isinstance(inputs, NDArray) else length
    else:
        found = len(inputs)
    if found != length:
        raise AssertionError(f"unroll: the sequence is not as long as length; got {found} steps along axis {axis} of "
                             f"layout {layout}, length={length}")
    if not is_tensor(inputs):
        return list(inputs)
    steps = functions_for(inputs).split(inputs, axis=axis, num_outputs=length, squeeze_axis=True)
    return [steps] if length == 1 else list(steps)


def as_tensor(steps: Any, layout: str) -> Any:
    """The steps as one tensor in `layout`; a tensor is given back."""
    return steps if is_tensor(steps) else functions_for(steps).stack(*steps, axis=layout.find("T"))


def mask_after(steps: Any, length: int, valid_length: Any, layout: str, merge: bool) -> Any:
    """The sequence with zeros from step valid_length[n] on: a tensor (merge) or a list of steps."""
    F = functions_for(steps)
    masked = F.SequenceMask(as_tensor(steps, layout), valid_length, use_sequence_length=True, axis=layout.find("T"))
    return masked if merge else as_steps(masked, length, layout)


def reversed_steps(steps: list, length: int, valid_length: Any = None) -> list:
    """The steps in reverse order; with valid_length only the valid ones of each sample turn round."""
    if valid_length is None:
        return list(reversed(steps))
    F = functions_for(steps)
    turned = F.SequenceReverse(F.stack(*steps, axis=0), valid_length, use_sequence_length=True)
    return as_steps(turned, length, "TNC")


def last_valid(steps: list, valid_length: Any) -> Any:
    """Of each sample the step valid_length[n] - 1."""
    F = functions_for(steps)
    return F.SequenceLast(F.stack(*steps, axis=0), valid_length, use_sequence_length=True, axis=0)
