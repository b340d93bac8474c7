"""Further calls made from an operator's sample: other dtypes, the axis spelt from the other end, short axes.

A variant that MXNet refuses is not compared, so these may be bold; what MXNet takes, mxdl must take.
"""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tests.parity.kernels import Call

AXIS_NAMES = ("axis", "dim")


def variants(call: Call, resizable: bool = True) -> Iterator[tuple[str, Call]]:
    """(what was changed, the changed call), without the sample itself; with other lengths where `resizable`."""
    for dtype in ("float64", "float16"):
        if any(a.dtype == np.float32 for a in call.inputs):
            cast = [a.astype(dtype) if a.dtype == np.float32 else a for a in call.inputs]
            yield dtype, call._replace(inputs=cast)
    yield from other_end_of_axis(call)
    if resizable:
        yield from short_axes(call)


def other_end_of_axis(call: Call) -> Iterator[tuple[str, Call]]:
    """axis=1 of three as axis=-2, and the reverse."""
    for name in AXIS_NAMES:
        axis = call.attrs.get(name)
        if isinstance(axis, int) and not isinstance(axis, bool) and call.inputs:
            rank = call.inputs[0].ndim
            other = axis - rank if axis >= 0 else axis + rank
            yield f"{name}={other}", call._replace(attrs={**call.attrs, name: other})


def short_axes(call: Call) -> Iterator[tuple[str, Call]]:
    """Where all inputs have one shape: each axis cut to length 1, then the last cut to 0; of two inputs, one cut."""
    shapes = {a.shape for a in call.inputs}
    if len(shapes) != 1 or not call.inputs[0].ndim or "shape" in call.attrs:
        return
    for axis in range(call.inputs[0].ndim):
        short = [np.ascontiguousarray(a.take(range(min(1, a.shape[axis])), axis)) for a in call.inputs]
        yield f"axis {axis} of length 1", call._replace(inputs=short)
        if len(call.inputs) == 2:
            yield f"second input's axis {axis} of length 1", call._replace(inputs=[call.inputs[0], short[1]])
    yield "last axis of length 0", call._replace(inputs=[np.ascontiguousarray(a[..., :0]) for a in call.inputs])
