"""``mx.nd.contrib``'s loops and branches: Python's own, run at once.

While a block is traced, `foreach` unrolls, `while_loop` unrolls to `max_iterations`, and `cond` computes both branches
(see control_flow_traced.py), so that the graph has only operators and can be exported.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..autograd.state import state
from ..device import Context
from ..errors import OperatorError
from . import control_flow_traced as traced
from . import random
from .create import zeros
from .invoke import invoke_by_name
from .ndarray import NDArray


def foreach(body: Callable, data: Any, init_states: Any) -> tuple[Any, Any]:
    """Call ``body(slice, states) -> (outputs, new states)`` for each slice of the first axis of `data`.

    data, states, outputs: an array or a list.   Returns (the outputs of all calls stacked, the last states).
    """
    arrays = _listed(data)
    if not arrays or len({len(x) for x in arrays}) != 1:
        raise OperatorError(f"foreach: the arrays of data must have one length; got "
                            f"{[x.shape for x in arrays]}; slice them first")
    states, outputs = init_states, []
    single = True
    for i in range(len(arrays[0])):
        parts = [x[i] for x in arrays]
        out, states = body(parts[0] if isinstance(data, NDArray) else parts, states)
        single = isinstance(out, NDArray)
        outputs.append(_listed(out))
    stacked = [invoke_by_name("stack", *column, axis=0) for column in zip(*outputs, strict=True)]
    return stacked[0] if single else stacked, states


def while_loop(cond: Callable, func: Callable, loop_vars: Any, max_iterations: int | None = None) -> tuple[Any, Any]:
    """While ``cond(*loop_vars)`` holds, ``outputs, loop_vars = func(*loop_vars)``; at most `max_iterations` times.

    Returns (outputs stacked along a new first axis of length `max_iterations`, zeros after the last iteration; the last
    loop_vars).  Without an iteration the outputs are an empty list, since their shapes are not known; in a traced
    block, which calls `func` anyway, they are zeros.
    """
    if max_iterations is None:
        raise OperatorError("while_loop: no max_iterations; got None; give the length of the outputs")
    one_variable, variables = isinstance(loop_vars, NDArray), _listed(loop_vars)
    outputs: list[list[NDArray]] = []
    single = False
    if state.tracer is not None:
        outputs, single, variables = traced.while_steps(cond, func, variables, max_iterations)
    while state.tracer is None and len(outputs) < max_iterations and bool(cond(*variables)):
        out, new = func(*variables)
        single = isinstance(out, NDArray)
        outputs.append([] if out is None else _listed(out))
        if len(_listed(new)) != len(variables):
            raise OperatorError(f"while_loop: func returns other loop_vars than it takes; got {len(_listed(new))} for "
                                f"{len(variables)}; return one for each")
        variables = _listed(new)
    rest = max_iterations - len(outputs)
    stacked = []
    for column in zip(*outputs, strict=True):
        filler = [zeros(column[0].shape, column[0].ctx, column[0].dtype)] * rest
        stacked.append(invoke_by_name("stack", *column, *filler, axis=0))
    return stacked[0] if single else stacked, variables[0] if one_variable else variables


def cond(pred: NDArray, then_func: Callable, else_func: Callable) -> Any:
    """``then_func()`` where the only element of `pred` is not 0, else ``else_func()``."""
    if state.tracer is not None:
        return traced.cond(pred, then_func, else_func)
    return then_func() if bool(pred) else else_func()


def rand_zipfian(true_classes: NDArray, num_sampled: int, range_max: int,
                 ctx: Context | None = None) -> tuple[NDArray, NDArray, NDArray]:
    """Draw classes with P(k) = log((k + 2) / (k + 1)) / log(range_max + 1), frequent classes first.

    Returns (int64[num_sampled] classes, the expected counts of `true_classes` and of the drawn classes).
    """
    log_range = math.log(range_max + 1)
    draws = random.uniform(0, log_range, (num_sampled,), "float64", ctx)
    classes = (draws._apply("exp") - 1).astype("int64") % range_max

    def expected(x: NDArray) -> NDArray:
        k: Any = x.astype("float64")
        return ((k + 2) / (k + 1))._apply("log") / log_range * num_sampled
    return classes, expected(true_classes), expected(classes)


def _listed(arrays: Any) -> list[NDArray]:
    return [arrays] if isinstance(arrays, NDArray) else list(arrays)
