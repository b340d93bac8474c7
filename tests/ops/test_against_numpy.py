"""Forward values against NumPy, written down a second time: one line an operator, run on all its samples."""
from __future__ import annotations

import math

import numpy as np
import pytest

from mxdl.ops import registry
from tests.ops.calls import call_of
from tests.parity.kernels import forward


def axes_of(x, axis=None, exclude=False, **_):
    axis = () if axis is None else (axis,) if isinstance(axis, int) else axis
    axes = {a % x.ndim for a in axis} or set(range(x.ndim))
    return tuple(set(range(x.ndim)) - axes if exclude and axis else axes)


def reduction(function):
    return lambda x, keepdims=False, **attrs: np.atleast_1d(function(x, axis=axes_of(x, **attrs), keepdims=keepdims))


def comparison(function):
    return lambda x, y: function(x, y).astype(x.dtype)


def with_scalar(function):
    """Scalars do not promote: for integers the number is cut to an integer first, unless is_int=False."""
    def expected(x, scalar=1.0, is_int=True):
        if x.dtype.kind == "f":
            return function(x, x.dtype.type(scalar)).astype(x.dtype)
        if not is_int:
            return function(x.astype("float64"), scalar).astype("float64")
        x = x.astype("int64") if x.dtype.kind == "b" else x
        return function(x, int(scalar)).astype(x.dtype)
    return expected


def divide(x, y):
    return x / y if x.dtype.kind == "f" else np.trunc(x / y).astype(x.dtype)


def indexer(begin, end, step=()):
    step = (*step, *[None] * (len(begin) - len(step)))
    return tuple(slice(b, e, s) for b, e, s in zip(begin, end, step, strict=True))


def assigned(x, value, **part):
    out = x.copy()
    out[indexer(**part)] = value
    return out


def turned(x, yes):
    return np.swapaxes(x, -1, -2) if yes else x


def dot(x, y, transpose_a=False, transpose_b=False):
    return np.atleast_1d(np.tensordot(x, y, (0 if transpose_a else x.ndim - 1, y.ndim - 1 if transpose_b else 0)))


def products(x, y, transpose_a=False, transpose_b=False, alpha=1.0, axis=-2):
    x, y = np.moveaxis(x, axis, -2), np.moveaxis(y, axis, -2)
    return np.moveaxis(alpha * turned(x, transpose_a) @ turned(y, transpose_b), -2, axis)


def triangular(x, transpose=False, lower=True):
    return turned(np.tril(x) if lower else np.triu(x), transpose)


def solved(x, y, rightside=False, alpha=1.0, **attrs):
    inverse = np.linalg.inv(triangular(x, **attrs))
    return alpha * (y @ inverse if rightside else inverse @ y)


def multiplied(x, y, rightside=False, alpha=1.0, **attrs):
    return alpha * (y @ triangular(x, **attrs) if rightside else triangular(x, **attrs) @ y)


def take(x, index, axis=0, mode="clip"):
    return np.take(x, index.astype(int), axis, mode=mode)


def pick(x, index, axis=-1, keepdims=False, mode="clip"):
    index = index.astype(int)
    index = np.clip(index, 0, x.shape[axis] - 1) if mode == "clip" else index % x.shape[axis]
    kept = [1 if k == axis % x.ndim else n for k, n in enumerate(x.shape)]
    out = np.take_along_axis(x, index.reshape(kept), axis)
    return out if keepdims else out.squeeze(axis)


def one_hot(index, depth, on_value=1.0, off_value=0.0, dtype="float32"):
    return np.where(index.astype(int)[..., None] == np.arange(depth), on_value, off_value).astype(dtype)


def top(x, axis=-1, k=1, ret_typ="indices", is_ascend=False, dtype="float32"):
    line, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    order = np.argsort(line if is_ascend else -line, axis, kind="stable").take(range(k or line.shape[axis]), axis)
    values = np.take_along_axis(line, order, axis)
    if ret_typ == "mask":
        mask = np.zeros_like(line)
        np.put_along_axis(mask, order, 1, axis)
        return mask.reshape(x.shape)
    return {"value": values, "indices": order.astype(dtype), "both": (values, order.astype(dtype))}[ret_typ]


def pad(x, mode, pad_width, constant_value=0.0):
    widths = list(zip(pad_width[::2], pad_width[1::2], strict=True))
    return np.pad(x, widths, mode, **({"constant_values": constant_value} if mode == "constant" else {}))


def blocks_to_space(x, block_size):
    b, (n, c, h, w) = block_size, x.shape
    out = np.empty((n, c // b ** 2, h * b, w * b), x.dtype)
    for i, j in np.ndindex(b, b):
        out[:, :, i::b, j::b] = x[:, (i * b + j) * (c // b ** 2):(i * b + j + 1) * (c // b ** 2)]
    return out


def stepped(start, stop=None, step=1.0, repeat=1, dtype="float32"):
    start, stop = (0, start) if stop is None else (start, stop)
    return np.repeat(np.arange(start, stop, step), repeat).astype(dtype)


def masked(x, lengths=None, use_sequence_length=False, value=0.0, axis=0):
    out = x.copy()
    for n, length in enumerate(lengths if use_sequence_length else ()):
        (out if axis == 0 else out.swapaxes(0, 1))[int(length):, n] = value
    return out


def last_steps(x, lengths=None, use_sequence_length=False, axis=0):
    steps = x if axis == 0 else x.swapaxes(0, 1)
    lengths = lengths if use_sequence_length else [len(steps)] * steps.shape[1]
    return np.stack([steps[int(length) - 1, n] for n, length in enumerate(lengths)])


def reversed_steps(x, lengths=None, use_sequence_length=False, axis=0):
    out = x.copy()
    for n, length in enumerate(lengths if use_sequence_length else [len(x)] * x.shape[1]):
        out[:int(length), n] = x[:int(length), n][::-1]
    return out


ARITHMETIC = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": divide}
PAIRS = {"mod": np.mod, "power": np.power, "maximum": np.maximum, "minimum": np.minimum,
         "hypot": lambda x, y: np.hypot(x, y).astype(x.dtype)}
COMPARED = {"equal": np.equal, "not_equal": np.not_equal, "greater": np.greater, "greater_equal": np.greater_equal,
            "lesser": np.less, "lesser_equal": np.less_equal, "logical_and": np.logical_and,
            "logical_or": np.logical_or, "logical_xor": np.logical_xor}
NUMPY = {
    **{f"elemwise_{name}": f for name, f in ARITHMETIC.items()},
    **{f"broadcast_{name}": f for name, f in (ARITHMETIC | PAIRS).items()},
    **{f"_{name}": f for name, f in PAIRS.items()},
    **{f"{prefix}_{name}": comparison(f) for name, f in COMPARED.items() for prefix in ("", "broadcast")},
    **{f"_{name}_scalar": with_scalar(f) for name, f in (PAIRS | COMPARED).items()},
    "_plus_scalar": with_scalar(np.add), "_minus_scalar": with_scalar(np.subtract),
    "_mul_scalar": with_scalar(np.multiply), "_div_scalar": with_scalar(divide),
    "_rminus_scalar": with_scalar(lambda x, s: s - x), "_rdiv_scalar": with_scalar(lambda x, s: divide(s + 0 * x, x)),
    "_rmod_scalar": with_scalar(lambda x, s: s % x), "_rpower_scalar": with_scalar(lambda x, s: s ** x),
    "sum": reduction(np.sum), "prod": reduction(np.prod), "max": reduction(np.max), "min": reduction(np.min),
    "mean": reduction(lambda x, **axes: np.trunc(np.mean(x, **axes)) if x.dtype.kind == "i" else np.mean(x, **axes)),
    "norm": lambda x, ord=2, **a: reduction(
        lambda x, **axes: np.sum(abs(x) ** ord, **axes) ** (1 / ord))(x, **a),
    "argmax": lambda x, axis=None, keepdims=False: np.atleast_1d(np.argmax(x, axis, keepdims=keepdims)),
    "argmin": lambda x, axis=None, keepdims=False: np.atleast_1d(np.argmin(x, axis, keepdims=keepdims)),
    "_np_cumsum": lambda a, axis=None: np.cumsum(a, axis),
    "moments": lambda x, axes, keepdims=False: (x.mean(axes, keepdims=keepdims), x.var(axes, keepdims=keepdims)),
    "clip": lambda x, a_min, a_max: np.clip(x, *(a_min, a_max) if x.dtype.kind == "f" else (int(a_min), int(a_max))),
    "broadcast_to": lambda x, shape: np.broadcast_to(x, [n or m for n, m in zip(shape, x.shape, strict=True)]),
    "transpose": lambda x, axes=None: np.transpose(x, axes), "SwapAxis": lambda x, dim1, dim2: x.swapaxes(dim1, dim2),
    "reverse": lambda x, axis: np.flip(x, axis), "depth_to_space": blocks_to_space,
    "diag": lambda x, k=0, axis1=0, axis2=1: np.diag(x, k) if x.ndim == 1 else np.diagonal(x, k, axis1, axis2),
    "expand_dims": lambda x, axis: np.expand_dims(x, axis), "Flatten": lambda x: x.reshape(len(x), -1),
    "squeeze": lambda x, axis=None: np.atleast_1d(np.squeeze(x, axis)),
    "slice": lambda x, **part: x[indexer(**part)],
    "slice_axis": lambda x, axis, begin, end: x.swapaxes(0, axis)[begin:end].swapaxes(0, axis),
    "_slice_assign": assigned, "_slice_assign_scalar": lambda x, scalar, **part: assigned(x, scalar, **part),
    "Concat": lambda *x, dim=1: np.concatenate(x, dim), "stack": lambda *x, axis=0: np.stack(x, axis),
    "SliceChannel": lambda x, num_outputs, axis=1, squeeze_axis=False: tuple(
        part.squeeze(axis) if squeeze_axis else part for part in np.split(x, num_outputs, axis)),
    "add_n": lambda *x: sum(x), "tile": lambda x, reps: np.tile(x, reps), "Pad": pad,
    "repeat": lambda x, repeats, axis=None: np.repeat(x, repeats, axis),
    "_arange": stepped, "_linspace": lambda start, stop, num, endpoint=True: np.linspace(start, stop, num, endpoint),
    "_eye": lambda N, M=0, k=0, dtype="float32": np.eye(N, M or N, k, dtype),
    "_full": lambda shape, value, dtype="float32": np.full(shape, value).astype(dtype),
    "take": take, "pick": pick, "one_hot": one_hot, "topk": top,
    "gather_nd": lambda x, index: x[tuple(index.astype(int))],
    "where": lambda c, x, y: np.where((c != 0).reshape(c.shape + (1,) * (x.ndim - c.ndim)), x, y),
    "_ravel_multi_index": lambda x, shape: np.ravel_multi_index(tuple(x.astype(int)), shape),
    "_unravel_index": lambda x, shape: np.stack([x // math.prod(shape[1:]), x % math.prod(shape[1:])]),
    "sort": lambda x, axis=-1, is_ascend=True: np.sort(x, axis) if is_ascend else -np.sort(-x, axis),
    "argsort": lambda x, axis=-1, is_ascend=True, dtype=None: np.argsort(x if is_ascend else -x, axis, kind="stable"),
    "dot": dot, "batch_dot": products, "_linalg_gemm2": products,
    "khatri_rao": lambda *x: np.stack([kron_of_all(*columns) for columns in zip(*(m.T for m in x), strict=True)], 1),
    "_linalg_trmm": multiplied, "_linalg_trsm": solved, "_linalg_inverse": np.linalg.inv,
    "_linalg_potrf": np.linalg.cholesky, "_linalg_potri": lambda x: np.linalg.inv(x @ turned(x, True)),
    "_linalg_syrk": lambda x, transpose=False, alpha=1.0: alpha * turned(x, transpose) @ turned(x, not transpose),
    "_linalg_det": lambda x: np.atleast_1d(np.linalg.det(x)),
    "_linalg_sumlogdiag": lambda x: np.atleast_1d(np.log(np.diagonal(x, 0, -2, -1)).sum(-1)),
    "SequenceMask": masked, "SequenceLast": last_steps, "SequenceReverse": reversed_steps,
}


def kron_of_all(first, *rest):
    for column in rest:
        first = np.kron(first, column)
    return first


@pytest.mark.parametrize("name", NUMPY)
def test_forward_equals_numpy(name):
    op = registry.get(name)
    for index in range(len(op.samples)):
        call = call_of(op, index)
        expected = NUMPY[name](*call.inputs, **call.attrs)
        expected = expected if isinstance(expected, tuple) else (expected,)
        for ours, theirs in zip(forward(op, call).outputs, expected, strict=True):
            assert tuple(ours.shape) == theirs.shape, op.samples[index]
            np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-5, atol=1e-6, err_msg=repr(op.samples[index]))
