"""Symbols of constants: zeros, ones, ranges."""
from __future__ import annotations

from typing import Any

from ..ops import registry
from .compose import make_node, visible_outputs
from .symbol import Symbol


def create(op_name: str, name: str | None = None, attr: dict[str, str] | None = None, **attrs: Any) -> Symbol:
    """A node without inputs."""
    node = make_node(registry.get(op_name), op_name.lower(), {}, attrs, name, attr)
    return Symbol(visible_outputs(node))


def zeros(shape: Any, dtype: Any = None, **kwargs: Any) -> Symbol:
    """Zeros of `shape` (0 in it: a length that follows from the rest of the graph) and `dtype` (float32)."""
    return create("_zeros", shape=shape, dtype=dtype or "float32", **kwargs)


def ones(shape: Any, dtype: Any = None, **kwargs: Any) -> Symbol:
    """Ones of `shape` and `dtype` (float32)."""
    return create("_ones", shape=shape, dtype=dtype or "float32", **kwargs)


def full(shape: Any, val: float, dtype: Any = None, **kwargs: Any) -> Symbol:
    """`val` everywhere, of `shape` and `dtype` (float32)."""
    return create("_full", shape=shape, dtype=dtype or "float32", value=float(val), **kwargs)


def eye(N: int, M: int = 0, k: int = 0, dtype: Any = None, **kwargs: Any) -> Symbol:
    """Ones on diagonal `k` of an N x M matrix (M = 0: square)."""
    return create("_eye", N=N, M=M, k=k, dtype=dtype or "float32", **kwargs)


def arange(start: float, stop: float | None = None, step: float = 1.0, repeat: int = 1, infer_range: bool = False,
           name: str | None = None, dtype: Any = None) -> Symbol:
    """start, start + step, ... below stop, each `repeat` times; one argument is the stop."""
    return create("_arange", name, start=start, stop=stop, step=step, repeat=repeat, infer_range=infer_range,
                  dtype=dtype or "float32")


def linspace(start: float, stop: float, num: int, endpoint: bool = True, name: str | None = None,
             dtype: Any = None) -> Symbol:
    """`num` equally spaced numbers from `start` to `stop`."""
    return create("_linspace", name, start=start, stop=stop, num=num, endpoint=endpoint, dtype=dtype or "float32")
