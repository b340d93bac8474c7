"""Shapes that nobody thought of: Reshape's codes, slices, broadcasting and splits on drawn shapes."""
from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mxdl.errors import ShapeError
from mxdl.ops import get
from mxdl.ops.broadcasting import sum_to
from mxdl.ops.combine import concat, split_v2
from mxdl.ops.reshape import reshape, resolve
from mxdl.ops.slicing import slice_, slice_assign, slice_gradient

shapes = st.lists(st.integers(0, 4), min_size=1, max_size=4).map(tuple)
lengths = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)
drawn = settings(deadline=None, max_examples=60)  # the machine may be busy
bound = st.none() | st.integers(-6, 6)


def numbers(shape) -> torch.Tensor:
    return torch.arange(float(math.prod(shape))).reshape(shape)


@st.composite
def codes(draw):
    """(a shape, codes for Reshape, the shape that they mean)."""
    shape, spelt, meant = [], [], []
    inferred = False
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["keep", "same", "infer", "merge", "split"]))
        a, b = draw(st.integers(1, 4)), draw(st.integers(1, 4))
        if kind == "merge":
            shape += [a, b]
            spelt.append(-3)
            meant.append(a * b)
        elif kind == "split":
            shape.append(a * b)
            spelt += [-4, a, draw(st.sampled_from([b, -1]))]
            meant += [a, b]
        else:
            shape.append(a)
            meant.append(a)
            spelt.append({"keep": 0, "same": a, "infer": a if inferred else -1}[kind])
            inferred |= kind == "infer"
    rest = draw(lengths) if draw(st.booleans()) else ()
    return (*shape, *rest), (*spelt, *([-2] if rest else [])), (*meant, *rest)


@drawn
@given(codes())
def test_reshape_codes(case):
    shape, spelt, meant = case
    assert resolve(shape, spelt, False) == meant
    out = reshape(numbers(shape), shape=spelt)
    assert torch.equal(out, numbers(shape).reshape(meant))


@drawn
@given(codes())
def test_reshape_codes_from_the_right(case):
    shape, spelt, meant = case
    if -4 in spelt:
        return  # MXNet reads the lengths after -4 from the left all the same
    assert resolve(shape[::-1], spelt[::-1], True) == meant[::-1]


@pytest.mark.parametrize("spelt, what", [
    ((-1, -1), "-1 stands twice"), ((5, 5), "number of elements"), ((-4, 5), "two lengths"), ((0, 0, 0, 0), "an axis"),
    ((-4, 2, 2, -2), "cannot split"), ((-7,), "unknown code"), ((2, 3, 4, -3), "an axis")])
def test_reshape_refuses(spelt, what):
    with pytest.raises(ShapeError, match=what):
        reshape(numbers((2, 3, 4)), shape=spelt)


@drawn
@given(shapes.flatmap(lambda shape: st.tuples(st.just(shape), *[st.tuples(
    bound, bound, st.sampled_from([None, 1, 2, 3, -1, -2])) for _ in shape])))
def test_slices(case):
    shape, *parts = case
    begin, end, step = zip(*parts, strict=True)
    x = numbers(shape)
    index = tuple(slice(*part) for part in parts)
    expected = x.numpy()[index]
    np.testing.assert_array_equal(slice_(x, begin=begin, end=end, step=step).numpy(), expected)
    dout = torch.from_numpy(np.array(expected + 1))
    grad = np.zeros(shape)
    grad[index] = dout.numpy()
    np.testing.assert_array_equal(slice_gradient(dout, x, begin=begin, end=end, step=step).numpy(), grad)
    written = x.numpy().copy()
    written[index] = dout.numpy()
    np.testing.assert_array_equal(slice_assign(x, dout, begin=begin, end=end, step=step).numpy(), written)


@st.composite
def broadcastable(draw):
    out = draw(lengths)
    left, right = ([1 if draw(st.booleans()) else n for n in out] for _ in range(2))
    cut = draw(st.integers(0, len(out) - 1))
    return tuple(left), tuple(right[cut:]), tuple(np.broadcast_shapes(tuple(left), tuple(right[cut:])))


@drawn
@given(broadcastable())
def test_broadcasting_and_its_gradient(case):
    left, right, out = case
    x, y = numbers(left) + 1, numbers(right) + 2
    np.testing.assert_array_equal(get("broadcast_mul")(x, y).numpy(), x.numpy() * y.numpy())
    dout = torch.rand(out)
    for like, other in ((x, y), (y, x)):
        grad = sum_to(dout * other, like)
        assert grad.shape == like.shape
        leaf = like.clone().requires_grad_()
        (leaf * other).backward(dout)
        torch.testing.assert_close(grad, leaf.grad)


@drawn
@given(st.integers(1, 8), st.integers(1, 4), st.integers(0, 2))
def test_parts_together_are_the_whole(length, sections, axis):
    shape = [2, 3, 2]
    shape[axis] = length
    x = numbers(tuple(shape))
    parts = split_v2(x, indices=(), sections=sections, axis=axis)
    parts = parts if isinstance(parts, tuple) else (parts,)
    assert [p.shape[axis] for p in parts] == [len(p) for p in np.array_split(np.arange(length), sections)]
    assert torch.equal(concat(*parts, dim=axis), x)


@pytest.mark.parametrize("name, inputs, attrs, what", [
    ("elemwise_add", [(2, 1), (2, 3)], {}, r"lhs=float32\[2, 1\], rhs=float32\[2, 3\]"),
    ("broadcast_add", [(2,), (3,)], {}, "equal or 1"),
    ("dot", [(2, 3), (4, 5)], {}, "inner lengths differ: 3 != 4"),
    ("batch_dot", [(2, 3, 4), (1, 4, 5)], {}, "leading axes"),
    ("SliceChannel", [(2, 5)], {"num_outputs": 3}, "does not divide"),
    ("slice_axis", [(2, 5)], {"axis": 1, "begin": 0, "end": 9}, "0 <= begin <= end <= 5"),
    ("squeeze", [(2, 1)], {"axis": (0,)}, "length 1"),
    ("expand_dims", [(2, 1)], {"axis": 5}, "no such position"),
    ("sum", [(2, 1)], {"axis": (3,)}, "no such axis"),
    ("pick", [(2, 3), (3,)], {"axis": 1}, r"give index\[2, 1\]"),
    ("topk", [(2, 3)], {"k": 7}, "at most 3"),
    ("broadcast_to", [(2, 3)], {"shape": (4, 3)}, "length 1 stretch"),
    ("SequenceMask", [(2, 3)], {"axis": 2}, "axis 0 or 1"),
    ("depth_to_space", [(1, 3, 2, 2)], {"block_size": 2}, "do not fit"),
])
def test_what_does_not_fit_is_said_in_words(name, inputs, attrs, what):
    op = get(name)
    tensors = [torch.zeros(shape) for shape in inputs]
    if name == "SequenceMask":
        tensors, attrs = [*tensors, torch.ones(3)], {**attrs, "use_sequence_length": True}
    with pytest.raises(ShapeError, match=what):
        op(*tensors, **attrs)


def test_two_dtypes_do_not_mix():
    with pytest.raises(Exception, match="different dtypes"):
        get("elemwise_add")(torch.zeros(2), torch.zeros(2, dtype=torch.float64))
