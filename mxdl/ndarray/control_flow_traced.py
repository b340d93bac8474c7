"""Loops and branches while a block is traced, where no condition has a value yet: all is computed and then selected.

Right for what the framework runs anyway, pure operators; what is not taken costs its time. `where` selects, so a NaN
or an infinity of the part that is not taken reaches no output.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import OperatorError
from .invoke import invoke_by_name
from .ndarray import NDArray


def selected(taken: NDArray, yes: NDArray, no: NDArray) -> NDArray:
    """`yes` where the only element of `taken` is not 0, else `no`.   Raises OperatorError where they differ in type."""
    if yes.shape != no.shape or yes.dtype != no.dtype:
        raise OperatorError(f"control flow in a traced block: both ways must give the same type; got "
                            f"{yes.dtype.__name__}{list(yes.shape)} and {no.dtype.__name__}{list(no.shape)}; "
                            f"reshape or cast one")
    one = taken.reshape((1,) * max(len(yes.shape), 1))
    return invoke_by_name("where", invoke_by_name("broadcast_to", one, shape=yes.shape), yes, no)


def single(pred: Any, where: str) -> NDArray:
    """`pred` if it is an array of one element."""
    if not isinstance(pred, NDArray) or pred.size != 1:
        got = f"shape {pred.shape}" if isinstance(pred, NDArray) else type(pred).__name__
        raise OperatorError(f"{where}: the condition is an array of one element while a block is traced; got {got}; "
                            f"reduce it with sum, max or min")
    return pred.reshape((1,))


def cond(pred: NDArray, then_func: Callable, else_func: Callable) -> Any:
    """Both branches, and the one that holds."""
    taken, yes, no = single(pred, "cond"), then_func(), else_func()
    if isinstance(yes, NDArray) != isinstance(no, NDArray) or not isinstance(yes, NDArray) and len(yes) != len(no):
        raise OperatorError("cond: both branches must return as many arrays; got different ones; return one for each")
    if isinstance(yes, NDArray):
        return selected(taken, yes, no)
    return [selected(taken, a, b) for a, b in zip(yes, no, strict=True)]


def while_steps(holds: Callable, func: Callable, variables: Sequence[NDArray],
                count: int) -> tuple[list[list[NDArray]], bool, list[NDArray]]:
    """`count` iterations, those after the condition fails without effect.

    Returns (each iteration's outputs, 0 where it had no effect; whether they are single arrays; the last variables).
    """
    alive = None
    outputs, lone, variables = [], False, list(variables)
    for _ in range(count):
        now = invoke_by_name("_not_equal_scalar", single(holds(*variables), "while_loop"), scalar=0.0)
        alive = now if alive is None else alive * now.astype(alive.dtype)
        out, new = func(*variables)
        lone = isinstance(out, NDArray)
        outs = [] if out is None else [out] if lone else list(out)
        outputs.append([selected(alive, x, invoke_by_name("zeros_like", x)) for x in outs])
        given = [new] if isinstance(new, NDArray) else list(new)
        if len(given) != len(variables):
            raise OperatorError(f"while_loop: func returns other loop_vars than it takes; got {len(given)} for "
                                f"{len(variables)}; return one for each")
        variables = [selected(alive, x, old) for x, old in zip(given, variables, strict=True)]
    return outputs, lone, variables
