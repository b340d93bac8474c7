"""Variables and backward: torch's tape with MXNet's gradient buffers."""
from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from ..errors import MXNetError, ShapeError
from .hand_over import is_stand_in, receiver_of, stand_in
from .state import state

if TYPE_CHECKING:
    from ..ndarray import NDArray

GRAD_REQS = ("write", "add", "null")
#: what torch counts of a tensor whose memory no other tensor shares (itself and the question)
_UNSHARED = 2
_listener: Callable[[float, float], None] | None = None


def attach(array: NDArray, grad: NDArray | None, grad_req: str = "write") -> None:
    """Make `array` a variable whose gradient goes to `grad`.  It leaves the graph that it was computed in.

    Integer arrays get a buffer and no gradient.  Raises MXNetError for an unknown grad_req.
    """
    if grad_req not in GRAD_REQS:
        raise MXNetError(f"attach_grad: unknown grad_req; got {grad_req!r}; use one of {', '.join(GRAD_REQS)}")
    array._data = array._data.detach().contiguous()
    array._grad, array._grad_req, array._fresh_grad = grad, grad_req, False
    if grad_req == "null" or not array._data.is_floating_point():
        return
    array._data.requires_grad_(True)
    # weak: the tensor's hook must not keep the array alive that keeps the tensor alive
    owner = weakref.ref(array)

    def deliver(leaf: torch.Tensor) -> None:
        holder = owner()
        gradient, leaf.grad = leaf.grad, None
        if holder is None or gradient is None or holder._data is not leaf:
            return
        receive = receiver_of(leaf)
        if receive is None:
            _deliver(holder, gradient)
        else:
            receive(gradient)

    array._data.register_post_accumulate_grad_hook(deliver)


def _deliver(array: NDArray, gradient: torch.Tensor) -> None:
    """Write or add a gradient to the buffer of `array`.

    The buffer's NDArray keeps its identity.  On "write" it takes torch's tensor over, without a copy, unless a view
    of the old memory is held somewhere (``x.grad[0:2]``, DLPack, NumPy), which must see the new values.
    """
    buffer = array._grad
    assert buffer is not None   # attach() gave it one
    if array._grad_req == "add":
        buffer._data.add_(gradient)
    elif buffer._data.dtype is gradient.dtype and (is_unshared(buffer._data) or is_stand_in(buffer._data)):
        buffer._data = gradient
    else:
        buffer._data.copy_(gradient)
    array._fresh_grad = True


def free_old_gradients(variables: Iterable[NDArray]) -> None:
    """Free what an earlier backward pass wrote for these, where the pass that runs now will write new gradients: the
    old ones need not live beside its activations.  They stay where a view of their memory is held somewhere."""
    for array in variables if state.delivering else ():
        buffer = array._grad
        if buffer is not None and array._grad_req == "write" and is_unshared(buffer._data):
            buffer._data = stand_in(buffer._data)
            array._fresh_grad = False   # should this pass fail, there is no gradient


def is_unshared(tensor: torch.Tensor) -> bool:
    """Whether no view or other tensor lies in the same memory."""
    return torch._C._storage_Use_Count(tensor.untyped_storage()._cdata) == _UNSHARED


def listen(listener: Callable[[float, float], None] | None) -> None:
    """`listener` is told when a backward pass began and ended (`time.perf_counter`) from now on; None: nobody is."""
    global _listener
    _listener = listener


def backward(heads: Sequence[NDArray], head_grads: Sequence[NDArray | None] | None = None, retain_graph: bool = False,
             train_mode: bool = True) -> None:
    """Gradients of sum(head * head_grad) for every variable that the heads were computed from."""
    tensors = [head._data for head in heads]
    _check_heads(tensors)
    grads = _head_gradients(tensors, head_grads)
    before = state.training, state.recording
    state.training, state.recording, state.delivering = train_mode, False, True
    began = time.perf_counter()
    try:
        torch.autograd.backward(tensors, grads, retain_graph=retain_graph)
    except RuntimeError as error:
        raise _explain(error) from error
    finally:
        state.training, state.recording = before
        state.delivering = False
        if _listener is not None:
            _listener(began, time.perf_counter())
    _mark_used(tensors, retain_graph)
    if not retain_graph:
        _let_go(heads)


def gradients(heads: Sequence[NDArray], variables: Sequence[NDArray], head_grads: Sequence[NDArray | None] | None,
              retain_graph: bool, create_graph: bool, train_mode: bool) -> list[torch.Tensor]:
    """The same gradients for `variables` only, returned instead of written to buffers."""
    tensors = [head._data for head in heads]
    _check_heads(tensors)
    wanted = [x._data for x in variables]
    for position, x in enumerate(wanted):
        if not x.requires_grad:
            raise MXNetError(f"grad: variable {position} needs no gradient; got shape {tuple(x.shape)}; "
                             f"call attach_grad() on it before recording")
    grads = _head_gradients(tensors, head_grads)
    before = state.training, state.recording
    state.training, state.recording = train_mode, create_graph
    try:
        found = torch.autograd.grad(tensors, wanted, grads, retain_graph=retain_graph, create_graph=create_graph,
                                    allow_unused=True)
    except RuntimeError as error:
        raise _explain(error) from error
    finally:
        state.training, state.recording = before
    for position, gradient in enumerate(found):
        if gradient is None:
            raise MXNetError(f"grad: the heads do not depend on variable {position}; got shape "
                             f"{variables[position].shape}; leave it out, or use it while recording")
    _mark_used(tensors, retain_graph)
    return list(found)


def _check_heads(tensors: Sequence[torch.Tensor]) -> None:
    for position, tensor in enumerate(tensors):
        if getattr(tensor, "_differentiated", False):
            raise _used_up()
        if not tensor.requires_grad:
            raise MXNetError(f"backward: head {position} was not computed from a variable while recording; got shape "
                             f"{tuple(tensor.shape)}; call attach_grad() on the variables and compute the head inside "
                             f"autograd.record()")


def _mark_used(tensors: Sequence[torch.Tensor], retain_graph: bool) -> None:
    """torch notices a second backward only where a node had saved something; MXNet always does."""
    if not retain_graph:
        for tensor in tensors:
            if tensor.grad_fn is not None:
                tensor._differentiated = True


def _let_go(heads: Sequence[NDArray]) -> None:
    """Take the heads out of their used graph: losses that are kept then hold no nodes.  These are small, but where one
    was made in the place of a freed large block, the block of the next step no longer fits there."""
    for head in heads:
        if head._data.grad_fn is not None:
            head._data = head._data.detach()
            head._data._differentiated = True


def _head_gradients(tensors: Sequence[torch.Tensor], head_grads: Sequence[NDArray | None] | None) -> list:
    if head_grads is None:
        head_grads = [None] * len(tensors)
    if len(head_grads) != len(tensors):
        raise MXNetError(f"backward: heads and head_grads differ in number; got {len(tensors)} and {len(head_grads)}; "
                         f"give one (or None) for each head")
    return [torch.ones_like(t) if g is None else _head_gradient(t, g)
            for t, g in zip(tensors, head_grads, strict=True)]


def _head_gradient(tensor: torch.Tensor, grad: Any) -> torch.Tensor:
    given = grad._data
    if given.shape != tensor.shape:
        raise ShapeError(f"backward: a head's gradient has another shape than the head; got {tuple(given.shape)} for "
                         f"{tuple(tensor.shape)}; give one of the same shape")
    return given.to(tensor.dtype)


def _used_up() -> MXNetError:
    return MXNetError("backward: this graph was already differentiated and is freed; got a second backward; pass "
                      "retain_graph=True to the first one")


def _explain(error: RuntimeError) -> RuntimeError:
    text = str(error)
    if isinstance(error, MXNetError):
        return error
    if "second time" in text:
        return _used_up()
    if "modified by an inplace operation" in text:
        return MXNetError("backward: an array that the gradient needs was written in place after it was used; got "
                          f"{text.split('. ')[0]}; write to a new array, or after backward()")
    return MXNetError(f"backward: {text.splitlines()[0]}")
