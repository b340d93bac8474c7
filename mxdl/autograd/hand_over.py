"""Gradients handed over as soon as they are complete, instead of written to buffers: what a step inside of the
backward pass needs, so that no two gradients have to live at once."""
from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from ..ndarray import NDArray

#: takes a variable's complete gradient; it may write to the variable
Receive = Callable[[torch.Tensor], None]
_ATTRIBUTE = "_mxdl_receive"
#: how many `handing_over` are open: where none is, nobody asks each variable whether it has a receiver
_open: list[None] = []
_ONE_USE = "_mxdl_one_use"


@contextlib.contextmanager
def handing_over(heads: Sequence[NDArray], receivers: Mapping[NDArray, Receive]) -> Iterator[set[NDArray]]:
    """While it lasts, backward from `heads` gives the gradients of the variables in `receivers` to them.

    Yields the variables among them that the heads were computed from; each is called once.  A receiver is called when
    no step of the backward pass that is yet to run reads the variable or adds to its gradient.
    """
    uses = uses_of_leaves([head._data for head in heads])
    reached = {array: receive for array, receive in receivers.items() if array._data in uses}
    _open.append(None)
    try:
        for array, receive in reached.items():
            setattr(array._data, _ATTRIBUTE, receive)
            setattr(array._data, _ONE_USE, uses[array._data] == 1)
        yield set(reached)
    finally:
        _open.pop()
        for array in reached:
            delattr(array._data, _ATTRIBUTE)
            delattr(array._data, _ONE_USE)


def receiver_of(leaf: torch.Tensor) -> Receive | None:
    """Who takes the gradient of this variable; None where it is written to its buffer."""
    return getattr(leaf, _ATTRIBUTE, None) if _open else None


def is_handing_over() -> bool:
    """Whether any variable may have a receiver now."""
    return bool(_open)


def early_receiver_of(leaf: torch.Tensor) -> Receive | None:
    """`receiver_of`, if what one node of the tape computes for the variable is the whole gradient: the node may then
    hand it over before it has ended."""
    return receiver_of(leaf) if getattr(leaf, _ONE_USE, False) else None


def stand_in(gradient: torch.Tensor) -> torch.Tensor:
    """What a buffer holds whose gradient was handed over: the same shape, NaN, no memory of its own."""
    return torch.full((), float("nan"), dtype=gradient.dtype, device=gradient.device).expand(gradient.shape)


def is_stand_in(gradient: torch.Tensor) -> bool:
    return gradient.numel() > 1 and 0 in gradient.stride()


def uses_of_leaves(heads: Sequence[torch.Tensor]) -> dict[torch.Tensor, int]:
    """How many inputs of nodes on the tape each variable is, for all that `heads` were computed from."""
    uses: dict[torch.Tensor, int] = {}
    stack = [head.grad_fn for head in heads if head.grad_fn is not None]
    seen = set(stack)
    while stack:
        for node, _ in stack.pop().next_functions:
            if node is None:
                continue
            leaf = getattr(node, "variable", None)
            if leaf is not None:
                uses[leaf] = uses.get(leaf, 0) + 1
            elif node not in seen:
                seen.add(node)
                stack.append(node)
    return uses
