"""What an operator's kernel takes for itself while it runs, beside inputs and outputs: found by running it.

A kernel made of several torch operators holds what passes between them.  Elementwise ones run on small arrays whose
lengths stand for the real ones, the others on tensors without data, as when types are inferred (infer_types.py).
Operators with a rule of their own, `scratch` or `infer`, are not run: they are torch's kernels called once, and torch
takes seconds to load what runs those without data.
"""
from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..graph import Node
from ..ops import Operator
from ..types import TORCH_DTYPES, TensorType
from .infer_types import Types, reserved_values, small_lengths
from .rewrite import attrs_key

_found: dict[tuple, int] = {}
MOST_FOUND = 100_000
MOST_ELEMENTS = 100_000     # of small arrays: as many axes of different lengths are too many


def scratch_of(node: Node, types: Types) -> int:
    """Bytes that the node's kernel takes for itself."""
    op = node.op
    inputs = tuple(types[v] for v in node.inputs)
    if op.scratch_rule is not None:
        return op.scratch_rule(list(inputs), op.filled(node.attrs))
    if op.infer_rule is not None or op.traits.view or op.traits.shell:
        return 0
    key = op, attrs_key(node.attrs), inputs
    if key not in _found:
        if len(_found) > MOST_FOUND:
            _found.clear()
        _found[key] = _measured(op, node.attrs, inputs)
    return _found[key]


def _measured(op: Operator, attrs: dict, inputs: tuple[TensorType, ...]) -> int:
    """0 where the kernel cannot be run without the values."""
    if op.traits.elementwise:
        small, real = small_lengths(inputs)
        tensors = [torch.ones([small[n] for n in t.shape], dtype=TORCH_DTYPES[t.dtype]) for t in inputs]
        if sum(t.numel() for t in tensors) > MOST_ELEMENTS:
            return 0
        watch = _Watch(tensors, lambda tensor: _bytes(tensor, real))
    else:
        tensors = [torch.empty(t.shape, dtype=TORCH_DTYPES[t.dtype], device="meta") for t in inputs]
        watch = _Watch(tensors, lambda tensor: tensor.untyped_storage().nbytes())
    plain = {name: value for name, value in attrs.items() if name not in op.reserved}
    try:
        with torch.no_grad(), watch:
            results = op.bind(plain)(*tensors, **reserved_values(op, attrs))
    except (RuntimeError, ValueError, IndexError, TypeError):     # NotImplementedError is a RuntimeError
        return 0
    return watch.beside([one for one in tree_leaves(results) if isinstance(one, Tensor)])


def _bytes(tensor: Tensor, real: dict[int, int]) -> int:
    """Of the array that `tensor` stands for: its lengths are small ones."""
    count = tensor.element_size()
    for length in tensor.shape:
        count *= real.get(length, length)
    return count


class _Watch(TorchDispatchMode):
    """Counts the bytes of new arrays.  given: arrays that were there before.   size_of: bytes of an array."""

    def __init__(self, given: Iterable[Tensor], size_of: Callable[[Tensor], int]):
        super().__init__()
        self._size_of = size_of
        self._sizes: dict[int, int] = {}       # of every storage that is alive; 0: it was there before
        self._curve: list[dict[int, int]] = []
        self._keep = [tensor.untyped_storage() for tensor in given]
        for storage in self._keep:
            self._sizes[storage._cdata] = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: torch would load its compiler, which takes a second, to keep it from tracing this."""
        return False

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for one in tree_leaves(result):
            if isinstance(one, Tensor) and (key := one.untyped_storage()._cdata) not in self._sizes:
                self._sizes[key] = self._size_of(one)
                weakref.finalize(one.untyped_storage(), self._sizes.pop, key, None)
        self._curve.append(dict(self._sizes))
        return result

    def beside(self, results: list[Tensor]) -> int:
        """The most bytes at any time, less those of the results."""
        outputs = sum(self._sizes.get(key, 0) for key in {one.untyped_storage()._cdata for one in results})
        return max((sum(sizes.values()) for sizes in self._curve), default=outputs) - outputs
