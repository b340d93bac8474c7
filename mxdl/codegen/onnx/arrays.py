"""Moving, joining, multiplying and reducing arrays."""
from __future__ import annotations

import math

import numpy as np

from .call import OnnxCall, rule

REDUCED = {"mean": "ReduceMean", "max": "ReduceMax", "min": "ReduceMin", "prod": "ReduceProd"}


@rule("Concat")
def concat(call: OnnxCall) -> str:
    return call.add("Concat", *call.names, axis=call.attrs["dim"])


@rule("stack")
def stack(call: OnnxCall) -> str:
    axis = call.axis(call.attrs["axis"], len(call.outputs[0].shape))
    return call.add("Concat", *(call.add("Unsqueeze", name, call.ints(axis)) for name in call.names), axis=axis)


@rule("transpose")
def transpose(call: OnnxCall) -> str:
    ndim = len(call.inputs[0].shape)
    return call.add("Transpose", call.names[0], perm=[a % ndim for a in call.attrs["axes"]] or [*range(ndim)][::-1])


@rule("SwapAxis")
def swap_axis(call: OnnxCall) -> str:
    order = [*range(len(call.inputs[0].shape))]
    a, b = call.axis(call.attrs["dim1"]), call.axis(call.attrs["dim2"])
    order[a], order[b] = order[b], order[a]
    return call.add("Transpose", call.names[0], perm=order)


@rule("slice")
def slice_(call: OnnxCall) -> str:
    attrs, begin = call.attrs, call.attrs["begin"]
    step = [s or 1 for s in attrs["step"]] or [1] * len(begin)
    if min(step) < 0:
        raise call.refuse("a negative step")
    end = [2**31 if e is None else e for e in attrs["end"]]
    return call.add("Slice", call.names[0], call.ints(*(b or 0 for b in begin)), call.ints(*end),
                    call.ints(*range(len(begin))), call.ints(*step))


@rule("slice_axis")
def slice_axis(call: OnnxCall) -> str:
    end = 2**31 if call.attrs["end"] is None else call.attrs["end"]
    return call.add("Slice", call.names[0], call.ints(call.attrs["begin"]), call.ints(end),
                    call.ints(call.attrs["axis"]))


@rule("slice_like")
def slice_like(call: OnnxCall) -> str:
    shape = call.outputs[0].shape
    return call.add("Slice", call.names[0], call.ints(*[0] * len(shape)), call.ints(*shape))


@rule("SliceChannel")
def slice_channel(call: OnnxCall) -> list[str]:
    axis, count = call.axis(call.attrs["axis"]), call.attrs["num_outputs"]
    length = call.inputs[0].shape[axis] // count
    parts = call.add_many("Split", count, call.names[0], call.ints(*[length] * count), axis=axis)
    return [call.add("Squeeze", part, call.ints(axis)) for part in parts] if call.attrs["squeeze_axis"] else parts


@rule("dot", "batch_dot")
def product(call: OnnxCall) -> str:
    sides = []
    for name, kind, turned in zip(call.names, call.inputs, ("transpose_a", "transpose_b"), strict=True):
        ndim = len(kind.shape)
        if call.op == "dot" and ndim > 2:
            raise call.refuse("dot of more than two axes")
        order = [*range(ndim - 2), ndim - 1, ndim - 2]
        sides.append(call.add("Transpose", name, perm=order) if call.attrs[turned] and ndim > 1 else name)
    return call.add("MatMul", *sides)


@rule("sum", *REDUCED)
def reduce(call: OnnxCall) -> str:
    attrs, ndim = call.attrs, len(call.inputs[0].shape)
    axis = attrs["axis"]
    given = [axis] if isinstance(axis, int) else axis or range(ndim)
    axes = {a % ndim for a in given}
    if attrs["exclude"]:
        axes = {*range(ndim)} - axes
    keep = int(attrs["keepdims"])
    if call.op == "sum":
        out = call.add("ReduceSum", call.names[0], call.ints(*sorted(axes)), keepdims=keep)
    else:
        out = call.add(REDUCED[call.op], call.names[0], axes=sorted(axes), keepdims=keep)
    return call.reshape(out, call.outputs[0].shape)   # of all axes, MXNet leaves one


@rule("take")
def take(call: OnnxCall) -> str:
    if call.attrs["mode"] == "wrap":
        raise call.refuse("mode='wrap'")
    axis = call.axis(call.attrs["axis"])
    return call.add("Gather", call.names[0], call.index(call.names[1], call.inputs[0].shape[axis]), axis=axis)


@rule("repeat")
def repeat(call: OnnxCall) -> str:
    shape, given = call.inputs[0].shape, call.attrs["axis"]
    if given is None:
        shape, given = (math.prod(shape),), 0
    axis = given % len(shape)
    x = call.reshape(call.names[0], (*shape[:axis + 1], 1, *shape[axis + 1:]))
    reps = (*(1,) * (axis + 1), call.attrs["repeats"], *(1,) * (len(shape) - axis - 1))
    return call.reshape(call.add("Tile", x, call.ints(*reps)), call.outputs[0].shape)


@rule("tile")
def tile(call: OnnxCall) -> str:
    reps, ndim = call.attrs["reps"], len(call.outputs[0].shape)
    x = call.reshape(call.names[0], (1,) * (ndim - len(call.inputs[0].shape)) + call.inputs[0].shape)
    return call.add("Tile", x, call.ints(*(1,) * (ndim - len(reps)), *reps))


@rule("broadcast_to", "broadcast_like", "broadcast_axis")
def broadcast(call: OnnxCall) -> str:
    return call.add("Expand", call.names[0], call.ints(*call.outputs[0].shape))


@rule("Pad")
def pad(call: OnnxCall) -> str:
    width, mode = call.attrs["pad_width"], {"constant": "constant", "edge": "edge", "reflect": "reflect"}
    return call.add("Pad", call.names[0], call.ints(*width[0::2], *width[1::2]),
                    call.scalar(call.attrs["constant_value"]), mode=mode[call.attrs["mode"]])


@rule("one_hot")
def one_hot(call: OnnxCall) -> str:
    places = call.add("Unsqueeze", call.cast(call.names[0], "int64"), call.ints(-1))
    hit = call.add("Equal", places, call.ints(*range(call.attrs["depth"])))   # OneHot counts -1 from the end
    on, off = (call.scalar(call.attrs[f"{side}_value"], "float32") for side in ("on", "off"))
    return call.cast(call.add("Where", hit, on, off), call.outputs[0].dtype)


@rule("UpSampling")
def upsampling(call: OnnxCall) -> str:
    if call.attrs["sample_type"] != "nearest" or len(call.names) != 1:
        raise call.refuse("other than the nearest point of one array")
    scale = call.array(np.array([1, 1, call.attrs["scale"], call.attrs["scale"]], np.float32))
    return call.add("Resize", call.names[0], "", scale, mode="nearest", coordinate_transformation_mode="asymmetric",
                    nearest_mode="floor")


@rule("L2Normalization")
def l2_normalization(call: OnnxCall) -> str:
    ndim, mode = len(call.inputs[0].shape), call.attrs["mode"]
    axes = {"instance": [*range(1, ndim)], "channel": [1], "spatial": [*range(2, ndim)]}[mode]
    squares = call.add("ReduceSum", call.add("Mul", call.names[0], call.names[0]), call.ints(*axes), keepdims=1)
    return call.add("Div", call.names[0], call.add("Sqrt", call.add("Add", squares, call.scalar(call.attrs["eps"]))))


@rule("_contrib_div_sqrt_dim")
def div_sqrt_dim(call: OnnxCall) -> str:
    return call.add("Div", call.names[0], call.scalar(call.inputs[0].shape[-1] ** 0.5))


def _parts(call: OnnxCall, heads: int) -> list[str]:
    """Queries, keys and values of float[T, N, H * 3 * d], each float[N * H, T, d]."""
    steps, batch, width = call.inputs[0].shape
    split = call.reshape(call.names[0], (steps, batch * heads, 3, width // heads // 3))
    turned = call.add("Transpose", split, perm=[2, 1, 0, 3])
    return [call.add("Squeeze", part, call.ints(0))
            for part in call.add_many("Split", 3, turned, call.ints(1, 1, 1), axis=0)]


@rule("_contrib_interleaved_matmul_selfatt_qk")
def selfatt_qk(call: OnnxCall) -> str:
    queries, keys, _ = _parts(call, call.attrs["heads"])
    scale = (call.inputs[0].shape[2] // call.attrs["heads"] // 3) ** -0.5
    return call.add("MatMul", call.add("Mul", queries, call.scalar(scale)),
                    call.add("Transpose", keys, perm=[0, 2, 1]))


@rule("_contrib_interleaved_matmul_selfatt_valatt")
def selfatt_valatt(call: OnnxCall) -> str:
    out = call.add("MatMul", call.names[1], _parts(call, call.attrs["heads"])[2])
    return call.reshape(call.add("Transpose", out, perm=[1, 0, 2]), call.outputs[0].shape)
