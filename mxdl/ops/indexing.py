"""Elements chosen by index arrays.  Indices are arrays of any dtype; fractions are cut off."""
from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch

from ..errors import OperatorError, ShapeError
from ..types import DType, TensorType, torch_dtype
from .families import c_literal
from .indices_c import emit_pick, emit_take, whole_index
from .operator import NOT_DIFFERENTIABLE, operator
from .samples import Sample
from .traits import CHEAP, Traits

COPY = Traits(recompute=CHEAP)
LIKE_LAST = Traits(recompute=CHEAP, shape_only=(2,))


def positions(indices: torch.Tensor, length: int, mode: str) -> torch.Tensor:
    """`indices` as int64 within [0, length): cut off at the ends ("clip"), taken modulo ("wrap"), or as they are."""
    index = indices.long()
    if index.is_meta:   # no values; torch's meta kernels of these two import its compiler: seconds, and 60 MB
        return index
    if mode == "clip":
        return index.clamp(0, max(length - 1, 0))
    return index.remainder(length) if mode == "wrap" else index


@operator("take", aliases=("_npi_take",), traits=COPY,
          samples=[Sample((4, 3), np.array([0, 3, 3], "float32"), differentiable=(0,)),
                   Sample((4, 3), np.array([[-1, 7], [1, 2]], "int32"), axis=1, mode="wrap"),
                   Sample((4, 3), np.array([-1.0, 1.9, 9.0], "float32"), axis=-1, differentiable=(0,)),
                   Sample((4, 3), np.array([2, 0], "int32"), mode="raise")])
def take(a, indices, *, axis: int = 0, mode: Literal["clip", "raise", "wrap"] = "clip"):
    """The slices of `a` along `axis` at `indices`.  a: T[..., N, ...]   indices: [...]   out: T[..., *indices, ...]

    Indices outside [0, N): "clip" takes the nearest, "wrap" counts around, "raise" is an error.
    """
    axis = axis % a.dim()
    index = positions(indices, a.shape[axis], mode)
    try:
        picked = a.index_select(axis, index.reshape(-1))
    except (IndexError, RuntimeError) as error:
        raise OperatorError(f"take: an index is out of range; got indices{list(indices.shape)} for axis {axis} of "
                            f"a{list(a.shape)}; give 0 to {a.shape[axis] - 1}, or mode='clip'") from error
    return picked.reshape(*a.shape[:axis], *indices.shape, *a.shape[axis + 1:])


@take.emit_c
def _(call):
    if call.attrs["mode"] == "raise":
        raise call.refuse("take with mode='raise' has no C kernel: there is nobody to raise to")
    shape = call.inputs[0].shape
    axis = call.attrs["axis"] % len(shape)
    return emit_take(call, call.inputs[0], call.inputs[1], math.prod(shape[:axis]), shape[axis],
                     math.prod(shape[axis + 1:]), call.attrs["mode"] == "wrap")


@operator("_backward_take", traits=LIKE_LAST, parity=None)
def take_gradient(dout, indices, like, *, axis: int = 0, mode: str = "clip"):
    """`dout` added up at the places that take read.  out: T[like.shape]"""
    axis = axis % like.dim()
    index = positions(indices, like.shape[axis], mode).reshape(-1)
    out = torch.zeros(like.shape, dtype=dout.dtype, device=dout.device)
    return out.index_add(axis, index, dout.reshape(*like.shape[:axis], index.numel(), *like.shape[axis + 1:]))


@take.gradient
def _(call):
    return [take_gradient(call.douts[0], call.inputs[1], call.inputs[0], axis=call.attrs["axis"],
                          mode=call.attrs["mode"]), None]


def picked_index(data: torch.Tensor, index: torch.Tensor, axis: int, mode: str) -> torch.Tensor:
    """`index` of pick with length 1 at `axis`.  Raises ShapeError."""
    kept = list(data.shape)
    kept[axis] = 1
    if index.numel() != torch.Size(kept).numel():
        raise ShapeError(f"pick: one index for each place; got data{list(data.shape)}, index{list(index.shape)}, "
                         f"axis={axis}; give index{kept}")
    return positions(index, data.shape[axis], mode).reshape(kept)


@operator("pick", aliases=("choose_element_0index", "_npx_pick"), traits=COPY,
          samples=[Sample((2, 3), np.array([0, 5], "float32"), differentiable=(0,)),
                   Sample((2, 3), np.array([-1, 4], "float32"), mode="wrap", differentiable=(0,)),
                   Sample((2, 3, 4), np.array([[0, 1, 2, 1], [2, 1, 0, 0]], "int32"), axis=1, keepdims=True),
                   Sample((2, 3), np.array([[1], [2]], "float32"), axis=1, differentiable=(0,))])
def pick(data, index, *, axis: int = -1, keepdims: bool = False, mode: Literal["clip", "wrap"] = "clip"):
    """The element of each line along `axis` at `index`.  data: T[..., C, ...]   index: [...]   out: T[...]"""
    out = data.gather(axis, picked_index(data, index, axis, mode))
    if keepdims:
        return out
    out = out.squeeze(axis)
    return out if out.dim() else out.reshape(1)


@pick.infer
def _(inputs, attrs):
    data, lengths = inputs[0], list(inputs[0].shape)
    lengths[attrs["axis"]] = 1
    if math.prod(lengths) != inputs[1].size:   # the kernel says what is wrong
        return ()
    if not attrs["keepdims"]:
        del lengths[attrs["axis"]]
    return (TensorType(tuple(lengths) or (1,), data.dtype),)


@pick.complete
def _(shapes, *, axis, **_):
    lengths = list(shapes["data"])
    del lengths[axis]
    return {} if shapes["index"] is not None else {"index": tuple(lengths)}


@operator("_backward_pick", traits=LIKE_LAST, parity=None)
def pick_gradient(dout, index, like, *, axis: int = -1, mode: str = "clip"):
    """`dout` at the places that pick read, zeros elsewhere.  out: T[like.shape]"""
    place = picked_index(like, index, axis, mode)
    out = torch.zeros(like.shape, dtype=dout.dtype, device=dout.device)
    return out.scatter_(axis, place, dout.reshape(place.shape))


@pick.gradient
def _(call):
    return [pick_gradient(call.douts[0], call.inputs[1], call.inputs[0], axis=call.attrs["axis"],
                          mode=call.attrs["mode"]), None]


@operator("batch_take", traits=COPY, samples=[Sample((2, 3), np.array([0, 5], "int32"))])
def batch_take(a, indices):
    """a[i, indices[i]] for each row i.  a: T[N, C]   indices: int[N]   out: T[N]"""
    return a.gather(1, positions(indices, a.shape[1], "clip").reshape(-1, 1)).reshape(indices.shape)


@operator("fill_element_0index", traits=COPY, gradient=NOT_DIFFERENTIABLE, parity="MXNet's is no operator of graphs",
          samples=[Sample((2, 3), (2,), np.array([0, 2], "float32"), differentiable=())])
def fill_element_0index(lhs, mhs, rhs):
    """lhs with lhs[i, rhs[i]] = mhs[i].  lhs, out: T[N, C]   mhs: T[N]   rhs: [N]"""
    return lhs.scatter(1, rhs.long().reshape(-1, 1), mhs.reshape(-1, 1))


def coordinates(indices: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """indices[M, ...] as one int64 array for each of M axes."""
    return tuple(indices.long().unbind(0))


@operator("gather_nd", aliases=("_npi_gather_nd", "_npx_gather_nd"), traits=COPY,
          samples=[Sample((2, 3), np.array([[0, 1], [2, 0]], "float32"), differentiable=(0,)),
                   Sample((2, 3), np.array([[0, 1, 1]], "int32"))])
def gather_nd(data, indices):
    """data[indices[0], indices[1], ...].  data: T[...]   indices: [M, ...], M axes of data   out: T[..., rest]"""
    return data[coordinates(indices)]


@operator("_backward_gather_nd", traits=LIKE_LAST, parity=None)
def gather_nd_gradient(dout, indices, like):
    """`dout` added up at the places that gather_nd read.  out: T[like.shape]"""
    out = torch.zeros(like.shape, dtype=dout.dtype, device=dout.device)
    return out.index_put(coordinates(indices), dout, accumulate=True)


@gather_nd.gradient
def _(call):
    return [gather_nd_gradient(call.douts[0], call.inputs[1], call.inputs[0]), None]


@operator("scatter_nd", traits=COPY,
          samples=[Sample((2,), np.array([[0, 1], [2, 0]], "float32"), shape=(2, 3), differentiable=(0,)),
                   Sample((2, 3), np.array([[2, 0]], "int32"), shape=(4, 3))])
def scatter_nd(data, indices, *, shape: tuple[int, ...]):
    """Zeros with data written at indices: the reverse of gather_nd.  data: T[..., rest]   out: T[shape]"""
    return torch.zeros(shape, dtype=data.dtype, device=data.device).index_put(coordinates(indices), data)


@scatter_nd.gradient
def _(call):
    return [gather_nd(call.douts[0], call.inputs[1]), None]


@operator("_scatter_set_nd", aliases=("_npi_scatter_set_nd",), traits=COPY, parity="MXNet's writes into lhs itself",
          samples=[Sample((2, 3), (2,), np.array([[0, 1], [2, 0]], "int32"), shape=(2, 3))])
def scatter_set_nd(lhs, rhs, indices, *, shape: tuple[int, ...]):
    """lhs with rhs written at indices.  lhs, out: T[shape]   rhs: T[..., rest]   indices: [M, ...]"""
    return lhs.index_put(coordinates(indices), rhs)


@operator("one_hot", aliases=("_npx_one_hot",), traits=COPY, gradient=NOT_DIFFERENTIABLE,
          samples=[Sample(np.array([0, 2, -1, 5], "float32"), depth=3, differentiable=()),
                   Sample(np.array([[0, 2]], "int32"), depth=3, on_value=8, off_value=1, dtype="int32")])
def one_hot(indices, *, depth: int, on_value: float = 1.0, off_value: float = 0.0, dtype: DType = "float32"):
    """on_value at position indices[...] of a new last axis, off_value elsewhere.
    indices: [...]   out: dtype[..., depth]"""
    hit = indices.long().unsqueeze(-1) == torch.arange(depth, device=indices.device)
    if (on_value, off_value) == (1.0, 0.0):
        return hit.to(torch_dtype(dtype))
    return torch.where(hit, on_value, off_value).to(torch_dtype(dtype))


@operator("_ravel_multi_index", aliases=("ravel_multi_index",), traits=COPY, gradient=NOT_DIFFERENTIABLE,
          samples=[Sample(np.array([[0, 1], [2, 0]], "float32"), shape=(2, 3), differentiable=())])
def ravel_multi_index(data, *, shape: tuple[int, ...] = ()):
    """The position in order of elements, in an array of `shape`, of each column of data.  data: T[M, ...]   out: T[...]
    """
    flat = torch.zeros(data.shape[1:], dtype=data.dtype, device=data.device)
    for row, length in zip(data, shape, strict=True):
        flat = flat * length + row
    return flat


@operator("_unravel_index", aliases=("unravel_index",), traits=COPY, gradient=NOT_DIFFERENTIABLE,
          samples=[Sample(np.array([2, 3], "float32"), shape=(2, 3), differentiable=()),
                   Sample(np.array([5, 3], "int32"), shape=(-1, 3))])
def unravel_index(data, *, shape: tuple[int, ...] = ()):
    """The position along each axis, in an array of `shape`, of flat positions.  data: T[...]   out: T[M, ...]"""
    rows, rest = [], data.long()
    for length in reversed(shape[1:]):
        rows.append(rest % length)
        rest = torch.div(rest, length, rounding_mode="floor")
    return torch.stack([rest, *reversed(rows)]).to(data.dtype)


@operator("_contrib_boolean_mask", aliases=("_npi_boolean_mask",), traits=Traits(recompute=CHEAP, dynamic=True),
          samples=[Sample((3, 2), np.array([1, 0, 1], "float32"), differentiable=(0,)),
                   Sample((2, 3), np.array([0, 0], "float32"), differentiable=(0,))])
def boolean_mask(data, index, *, axis: int = 0):
    """The slices of data along `axis` where index is not 0.  data: T[..., N, ...]   index: [N]   out: T[..., n, ...]"""
    return data.index_select(axis, index.reshape(-1).nonzero().reshape(-1))


@operator("_contrib_index_copy", traits=COPY,
          samples=[Sample((3, 2), np.array([2, 0], "int32"), (2, 2))])
def index_copy(old_tensor, index_vector, new_tensor):
    """old_tensor with its rows index_vector replaced.  old_tensor, out: T[N, ...]   new_tensor: T[n, ...]"""
    return old_tensor.index_copy(0, index_vector.long(), new_tensor)


def row_condition(condition: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """`condition` as truth values that broadcast: one for each element, or one for each row."""
    if condition.dim() == 1 and like.dim() > 1:
        condition = condition.reshape(-1, *[1] * (like.dim() - 1))
    return condition if condition.dtype is torch.bool else condition != 0


@operator("where", aliases=("_sparse_where",), traits=COPY,
          samples=[Sample(((2, 3), "int32"), (2, 3), (2, 3), low=-1, high=2),
                   Sample(np.array([1, 0], "float32"), (2, 3), (2, 3), differentiable=(1, 2))])
def where(condition, x, y):
    """x where condition is not 0, y elsewhere; a condition with one axis chooses rows.  x, y, out: T[...]"""
    if x.shape != y.shape or x.dtype is not y.dtype:
        raise ShapeError(f"where: x and y differ; got x{list(x.shape)}, y{list(y.shape)} of {x.dtype} and {y.dtype}; "
                         "broadcast or cast one of them")
    return torch.where(row_condition(condition, x), x, y)


@operator("_backward_where", traits=COPY, parity=None)
def where_gradient(dout, condition, *, chosen: bool):
    """`dout` where condition is not 0 (chosen) or where it is 0, zeros elsewhere."""
    hit = row_condition(condition, dout)
    return torch.where(hit, dout, 0.0) if chosen else torch.where(hit, 0.0, dout)


@where.gradient
def _(call):
    return [None, *(where_gradient(call.douts[0], call.inputs[0], chosen=chosen) if need else None
                    for chosen, need in zip((True, False), call.needs[1:], strict=True))]


@where.complete
def _(shapes):
    known = shapes["x"] or shapes["y"]
    return {} if known is None else {"x": known, "y": known}


@where.emit_c
def _(call):
    condition, out = call.inputs[0], call.outputs[0]
    if len(condition.shape) == 1 and len(out.shape) > 1:   # one for each row
        call.inputs[0] = condition._replace(type=condition.type._replace(shape=(*condition.shape,
                                                                                *[1] * (len(out.shape) - 1))))
    return call.elementwise("x != 0 ? y : z")


@pick.emit_c
def _(call):
    data = call.inputs[0]
    axis = call.attrs["axis"] % len(data.shape)
    return emit_pick(call, math.prod(data.shape[:axis]), data.shape[axis], math.prod(data.shape[axis + 1:]),
                     call.attrs["mode"] == "wrap")


@batch_take.emit_c
def _(call):
    return emit_pick(call, *call.inputs[0].shape, 1, False)


@gather_nd.emit_c
def _(call):
    (data, indices), out = call.inputs, call.outputs[0]
    axes = indices.shape[0]
    count = indices.size // axes
    inner = math.prod(data.shape[axes:])
    terms = []
    for m in range(axes):
        index = whole_index(call, indices, f"at[{m} * {count} + i]")
        terms.append(f"(size_t)place_from_end({index}, {data.shape[m]}) * {math.prod(data.shape[m + 1:axes])}")
    return (f"const {indices.element} *at = {indices.address}; {out.element} *to = {out.address}; "
            f"for (size_t i = 0; i < {count}; ++i, to += {inner}) "
            f"memcpy(to, {data.address} + ({' + '.join(terms)}) * {inner}, {inner} * sizeof *to);")


@one_hot.emit_c
def _(call):
    indices, out, depth = call.inputs[0], call.outputs[0], call.attrs["depth"]
    on, off = (c_literal(float(call.attrs[name])) for name in ("on_value", "off_value"))
    return (f"{out.element} *to = {out.address}; for (size_t i = 0; i < {indices.size}; ++i) "
            f"for (int k = 0; k < {depth}; ++k) *to++ = ({out.element})("
            f"{whole_index(call, indices, f'{indices.address}[i]')} == k ? {on} : {off});")
