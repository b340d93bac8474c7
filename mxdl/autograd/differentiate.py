"""The functions of ``mx.autograd`` that work on arrays."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import NotBuiltError
from ..ndarray.ndarray import NDArray
from . import tape


def mark_variables(variables: Any, gradients: Any, grad_reqs: str | Sequence[str] = "write") -> None:
    """Make arrays variables whose gradients go to `gradients` (one array or a list of them, as `variables`)."""
    variables, gradients = _listed(variables), _listed(gradients)
    if isinstance(grad_reqs, str):
        grad_reqs = [grad_reqs] * len(variables)
    for variable, gradient, grad_req in zip(variables, gradients, grad_reqs, strict=True):
        tape.attach(variable, gradient, grad_req)


def backward(heads: Any, head_grads: Any = None, retain_graph: bool = False, train_mode: bool = True) -> None:
    """Write the gradients of all heads to the variables that they were computed from.

    head_grads: what flows into each head; None means ones.   retain_graph: keep the graph for another backward.
    """
    tape.backward(_listed(heads), None if head_grads is None else _listed(head_grads), retain_graph, train_mode)


def grad(heads: Any, variables: Any, head_grads: Any = None, retain_graph: bool | None = None,
         create_graph: bool = False, train_mode: bool = True) -> list[NDArray]:
    """Gradients of the heads for `variables`: a list, also where `variables` is one array.  No buffer is written.

    create_graph: record the gradients too, so that they can be differentiated again.
    retain_graph: default is `create_graph`.
    """
    arrays = _listed(variables)
    found = tape.gradients(_listed(heads), arrays, None if head_grads is None else _listed(head_grads),
                           create_graph if retain_graph is None else retain_graph, create_graph, train_mode)
    return [NDArray._wrap(tensor, array._ctx) for tensor, array in zip(found, arrays, strict=True)]


def get_symbol(x: NDArray) -> Any:
    """MXNet gives the history of `x` as a Symbol; here the tape belongs to the engine."""
    raise NotBuiltError("autograd.get_symbol: the tape cannot be read as a symbol; got an NDArray; trace the "
                        "computation instead: write it as a HybridBlock and hybridize it")


def _listed(arrays: Any) -> Sequence[NDArray]:
    return [arrays] if isinstance(arrays, NDArray) else list(arrays)
