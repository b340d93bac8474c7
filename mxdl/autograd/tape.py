"""Variables and backward: torch's tape with MXNet's gradient buffers."""
from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import torch

from ..errors import MXNetError
from .state import state

GRAD_REQS = ("write", "add", "null")


def attach(array: Any, grad: Any, grad_req: str = "write") -> None:
    """Make `array` a leaf whose gradient goes to the NDArray `grad`."""
    if grad_req not in GRAD_REQS:
        raise MXNetError(f"attach_grad: unknown grad_req; got {grad_req!r}; use one of {', '.join(GRAD_REQS)}")
    array._data = array._data.detach()
    array._grad, array._grad_req = grad, grad_req
    if grad_req == "null":
        return
    array._data.requires_grad_(True)
    owner = weakref.ref(array)

    def deliver(leaf: torch.Tensor) -> None:
        holder = owner()
        if holder is None or leaf.grad is None:
            return
        new, leaf.grad = leaf.grad, None
        if holder._grad_req == "add":
            holder._grad._data.add_(new)
        else:
            # the buffer object stays the same; its tensor is the fresh one, so nothing is copied
            holder._grad._data = new
        holder._fresh_grad = True

    array._data.register_post_accumulate_grad_hook(deliver)


def backward(heads: Sequence[Any], head_grads: Sequence[Any] | None = None, retain_graph: bool = False,
             train_mode: bool = True) -> None:
    """Gradients of sum(head * head_grad) for every variable that the heads were computed from."""
    for head in heads:
        if not head._data.requires_grad:
            raise MXNetError("backward: the array was not computed from a variable while recording; "
                             f"got shape {head.shape}; call it on a result of autograd.record()")
    grads = [torch.ones_like(h._data) if g is None else g._data.detach().reshape(h._data.shape)
             for h, g in zip(heads, head_grads or [None] * len(heads), strict=True)]
    before = state.training, state.recording, state.retain_graph
    state.training, state.recording, state.retain_graph = train_mode, False, retain_graph
    try:
        torch.autograd.backward([h._data for h in heads], grads, retain_graph=retain_graph)
    except RuntimeError as error:
        if "backward through the graph a second time" in str(error):
            raise MXNetError("backward: these arrays were already differentiated; got a second backward; "
                             "pass retain_graph=True to the first one") from error
        raise
    finally:
        state.training, state.recording, state.retain_graph = before
