"""Several arrays as one, one as several, and one repeated: Concat, stack, split, tile, repeat, Pad, add_n."""
from __future__ import annotations

import math

import torch

from ..errors import ShapeError
from ..types import TensorType
from .blocked import Join
from .c_text import c_text
from .create import zeros_like
from .families import c_literal, equal_shapes
from .operator import operator
from .samples import Sample
from .strided import emit_view
from .traits import CHEAP, Loop, Traits

COPY = Traits(recompute=CHEAP, loop=Loop.READS)
VIEW = Traits(recompute=CHEAP, view=True)


def one_or_all(parts) -> torch.Tensor | tuple[torch.Tensor, ...]:
    """What a kernel returns for `parts`: a tensor alone stands without tuple."""
    return parts[0] if len(parts) == 1 else tuple(parts)


def check_dtypes(name: str, data) -> None:
    if any(x.dtype is not data[0].dtype for x in data):
        raise ShapeError(f"{name}: inputs have different dtypes; got {', '.join(str(x.dtype)[6:] for x in data)}; "
                         "cast them to one")


@operator("Concat", aliases=("concat", "_sparse_concat"), traits=COPY,
          samples=[Sample((2, 1), (2, 3)), Sample((2, 3), (1, 3), (4, 3), dim=0), Sample((2, 3, 1), (2, 3, 2), dim=-1),
                   Sample((2, 3))])
def concat(*data, dim: int = 1):
    """The inputs one after the other along axis `dim`.  data: T[..., C_i, ...]   out: T[..., sum of C_i, ...]"""
    check_dtypes("Concat", data)
    return torch.cat(data, dim)


@operator("_rnn_param_concat", aliases=("_npi_rnn_param_concat",), traits=COPY,
          samples=[Sample((2,), (3,), dim=0)])
def rnn_param_concat(*data, dim: int = 1):
    """Concat, under the name that MXNet's recurrent layers give it.  data: T[..., C_i, ...]   out: T[..., C, ...]"""
    return concat.kernel(*data, dim=dim)


@rnn_param_concat.invert
def _(out, inputs, attrs):
    """What the known parts leave is shared out evenly: the weights that read a layer's input all have one size."""
    unknown = [shape for shape in inputs if shape is None or 0 in shape]
    if not unknown or len(out) != 1:
        return list(inputs)
    left = out[0] - sum(shape[0] for shape in inputs if shape is not None and 0 not in shape)
    return [(left // len(unknown),) if shape is None or 0 in shape else shape for shape in inputs]


@operator("_backward_Concat", traits=Traits(recompute=CHEAP, view=True, shape_only=range(1, 1 << 30)), parity=None,
          num_outputs=lambda attrs: attrs["count"])
def concat_gradient(dout, *likes, dim: int, count: int):
    """The part of `dout` that belongs to each of the `count` inputs.  outs: T[likes[i].shape]"""
    return one_or_all(torch.split(dout, [x.shape[dim] for x in likes], dim))


@concat.gradient
@rnn_param_concat.gradient
def _(call):
    grads = concat_gradient(call.douts[0], *call.inputs, dim=call.attrs["dim"], count=len(call.inputs))
    return list(grads) if len(call.inputs) > 1 else [grads]


@operator("stack", traits=COPY,
          samples=[Sample((2, 3), (2, 3)), Sample((2, 3), (2, 3), (2, 3), axis=1), Sample((2,), (2,), axis=-1),
                   Sample((2, 3))])
def stack(*data, axis: int = 0):
    """The inputs along a new axis.  data: T[...]   out: T[..., number of inputs, ...]"""
    check_dtypes("stack", data)
    return torch.stack(data, axis)


@operator("SliceChannel", aliases=("split",), traits=VIEW, num_outputs=lambda attrs: attrs["num_outputs"],
          output_names=lambda attrs: [f"output{i}" for i in range(attrs["num_outputs"])],
          samples=[Sample((2, 6), num_outputs=3), Sample((2, 3, 4), num_outputs=2, axis=-1),
                   Sample((2, 3, 4), num_outputs=3, squeeze_axis=True), Sample((2, 3), num_outputs=1)])
def split(data, *, num_outputs: int, axis: int = 1, squeeze_axis: bool = False):
    """data in `num_outputs` equal parts along `axis`; squeeze_axis drops an axis that is left with length 1.
    data: T[..., C, ...]   outs: T[..., C / num_outputs, ...]"""
    length = data.shape[axis]
    if length % num_outputs or squeeze_axis and length != num_outputs:
        raise ShapeError(f"SliceChannel: axis {axis} does not divide; got data{list(data.shape)}, num_outputs="
                         f"{num_outputs}, squeeze_axis={squeeze_axis}; change num_outputs, or use split_v2")
    if squeeze_axis:
        return one_or_all(torch.unbind(data, axis))
    size = length // num_outputs
    return one_or_all([data.narrow(axis, i * size, size) for i in range(num_outputs)])


@stack.gradient
def _(call):
    grads = split(call.douts[0], num_outputs=len(call.inputs), axis=call.attrs["axis"], squeeze_axis=True)
    return list(grads) if len(call.inputs) > 1 else [grads]


def joined(call, axis: int, squeezed: bool):
    """The gradient of a split: its outputs' gradients put together, zeros where none flows."""
    douts = [zeros_like(out) if dout is None else dout for out, dout in zip(call.outputs, call.douts, strict=True)]
    return [stack(*douts, axis=axis) if squeezed else concat(*douts, dim=axis)]


@split.gradient
def _(call):
    return joined(call, call.attrs["axis"], call.attrs["squeeze_axis"])


@operator("_split_v2", aliases=("_npi_split",), traits=VIEW,
          num_outputs=lambda attrs: attrs["sections"] or len(attrs["indices"]),
          samples=[Sample((2, 4), indices=(0, 1, 3), axis=1), Sample((4, 3), indices=(), sections=2, axis=0),
                   Sample((2, 3), indices=(0, 1, 2), axis=-1, squeeze_axis=True)])
def split_v2(data, *, indices: tuple[int, ...], axis: int = 1, squeeze_axis: bool = False, sections: int = 0):
    """data cut along `axis` into `sections` parts, the first ones longer by 1 where it does not divide, or into
    parts that begin at `indices` (the first is 0).
    data: T[..., C, ...]   outs: T[..., c_i, ...]"""
    length = data.shape[axis]
    if sections:
        size, longer = divmod(length, sections)
        indices = tuple(i * size + min(i, longer) for i in range(sections))
    bounds = [min(i, length) for i in (*indices, length)]
    parts = [data.narrow(axis, b, max(e - b, 0)) for b, e in zip(bounds, bounds[1:], strict=False)]
    if squeeze_axis and any(part.shape[axis] != 1 for part in parts):
        raise ShapeError(f"_split_v2: squeeze_axis needs parts of length 1; got {[p.shape[axis] for p in parts]}; "
                         "change the indices, or leave squeeze_axis out")
    return one_or_all([part.squeeze(axis) for part in parts] if squeeze_axis else parts)


@split_v2.gradient
def _(call):
    return joined(call, call.attrs["axis"], call.attrs["squeeze_axis"])


@operator("add_n", aliases=("ElementWiseSum", "_sparse_add_n", "_sparse_ElementWiseSum"),
          traits=Traits(recompute=CHEAP, elementwise=True, inplace=((0, 0),)),
          samples=[Sample((2, 3), (2, 3), (2, 3)), Sample((2, 3)), Sample(((2, 3), "int32"), ((2, 3), "int32"))])
def add_n(*args):
    """The sum of all inputs.  args, out: T[...]"""
    check_dtypes("add_n", args)
    if any(x.shape != args[0].shape for x in args):
        raise ShapeError(f"add_n: shapes differ; got {', '.join(str(list(x.shape)) for x in args)}; "
                         "use broadcast_add to broadcast")
    total = args[0].clone() if len(args) == 1 else args[0] + args[1]
    for x in args[2:]:
        total = total + x
    return total


@add_n.in_place
def _(*args):
    if len(args) == 1 or any(x.shape != args[0].shape or x.dtype is not args[0].dtype for x in args):
        return add_n.kernel(*args)
    for x in args[1:]:
        args[0].add_(x)
    return args[0]


add_n.complete(equal_shapes)
add_n.gradient(lambda call: [call.douts[0]] * len(call.inputs))


@operator("tile", aliases=("_npi_tile",), traits=COPY,
          samples=[Sample((2, 3), reps=(2, 2)), Sample((2, 3), reps=(2,)), Sample((3,), reps=(2, 2)),
                   Sample((2, 3), reps=())])
def tile(data, *, reps: tuple[int, ...]):
    """data repeated as a whole, reps[i] times along axis i, counted from the last.  data, out: T[...]"""
    return torch.tile(data, reps) if reps else data.clone()


def tiles(data, *, reps: tuple[int, ...]):
    """The elements of tile's result, in order: a view with an axis for each repetition."""
    axes = max(len(reps), data.dim())
    lengths = (1,) * (axes - data.dim()) + tuple(data.shape)
    times = (1,) * (axes - len(reps)) + tuple(reps)
    apart = data.reshape([n for length in lengths for n in (1, length)])
    return apart.expand([n for pair in zip(times, lengths, strict=True) for n in pair])


@operator("repeat", aliases=("_np_repeat",), traits=COPY,
          samples=[Sample((2, 3), repeats=2), Sample((2, 3), repeats=3, axis=1), Sample((2, 3), repeats=2, axis=-2)])
def repeat(data, *, repeats: int, axis: int | None = None):
    """Each element `repeats` times along `axis`, or of the array as one axis.  data, out: T[...]"""
    return torch.repeat_interleave(data, repeats, axis)


def repetitions(data, *, repeats: int, axis: int | None = None):
    """The elements of repeat's result, in order: a view with one more axis."""
    line, along = (data.reshape(-1), 0) if axis is None else (data, axis % data.dim())
    shape = list(line.shape)
    return line.unsqueeze(along + 1).expand(*shape[:along + 1], repeats, *shape[along + 1:])


@operator("Pad", aliases=("pad",), traits=COPY,
          samples=[Sample((1, 2, 3, 4), mode="constant", pad_width=(0, 0, 0, 0, 1, 2, 0, 1), constant_value=7.0),
                   Sample((1, 2, 3, 4), mode="edge", pad_width=(0, 0, 0, 0, 1, 2, 0, 1)),
                   Sample((1, 2, 3, 4), mode="reflect", pad_width=(0, 0, 0, 0, 1, 2, 0, 1)),
                   Sample((1, 2, 3, 2, 2), mode="edge", pad_width=(0, 0, 0, 0, 1, 2, 0, 1, 1, 1))])
def pad(data, *, mode: str, pad_width: tuple[int, ...], constant_value: float = 0.0):
    """data with pad_width[2*i] elements before and pad_width[2*i+1] after axis i.  data, out: T[...]

    mode: "constant" (any axes), "edge" or "reflect" (not the first two axes).
    """
    modes = {"constant": "constant", "edge": "replicate", "reflect": "reflect"}
    if mode not in modes or len(pad_width) != 2 * data.dim():
        raise ShapeError(f"Pad: got mode={mode!r}, pad_width={pad_width} for data{list(data.shape)}; "
                         f"give one of {[*modes]} and {2 * data.dim()} widths")
    widths = [w for i in range(data.dim() - 1, -1, -1) for w in pad_width[2 * i:2 * i + 2]]
    if mode == "constant":
        return torch.nn.functional.pad(data, widths, value=constant_value)
    return torch.nn.functional.pad(data, widths[:-4], mode=modes[mode])


def emit_side_by_side(call, rows: int, lengths: list[int]) -> str:
    """C that puts blocks of `lengths` elements, one an input, side by side in each of `rows` rows."""
    out, lines, offset = call.outputs[0], [], 0
    size = out.type.num_bytes // max(out.size, 1)
    for part, length in zip(call.inputs, lengths, strict=True):
        lines.append(call.call("copy_block", c_text("copy_block"), part.address, f"{out.address} + {offset}", rows,
                               length * size, length * size, sum(lengths) * size))
        offset += length
    return " ".join(lines)


@concat.blocked
def _(inputs, attrs):
    return Join() if len(inputs[0].shape) == 4 and attrs["dim"] in (1, -3) else None


@concat.emit_c
@rnn_param_concat.emit_c
def _(call):
    shape = call.outputs[0].shape
    axis = call.attrs["dim"] % len(shape)
    return emit_side_by_side(call, math.prod(shape[:axis]), [math.prod(part.shape[axis:]) for part in call.inputs])


@stack.emit_c
def _(call):
    shape = call.outputs[0].shape
    axis = call.attrs["axis"] % len(shape)
    return emit_side_by_side(call, math.prod(shape[:axis]), [math.prod(shape[axis + 1:])] * len(call.inputs))


@add_n.emit_c
def _(call):
    out = call.outputs[0]
    terms = " + ".join(f"{part.address}[i]" for part in call.inputs)
    return f"for (size_t i = 0; i < {out.size}; ++i) {out.address}[i] = ({out.element})({terms});"


split.emit_c(emit_view(split))
split_v2.emit_c(emit_view(split_v2))
tile.emit_c(emit_view(tiles))
repeat.emit_c(emit_view(repetitions))


@pad.emit_c
def _(call):
    data, out = call.inputs[0], call.outputs[0]
    width = call.attrs["pad_width"]
    if len(data.shape) < 2 or any(width[:-4]):
        raise call.refuse(f"padding of other axes than the last two has no C kernel; got pad_width={width}")
    mode = ("constant", "edge", "reflect").index(call.attrs["mode"])
    return call.call("pad_planes", c_text("pad"), data.pointer, out.pointer, math.prod(data.shape[:-2]),
                     *data.shape[-2:], *out.shape[-2:], width[-4], width[-2], mode,
                     c_literal(call.attrs["constant_value"]))


@rnn_param_concat.infer
@concat.infer
def _(inputs, attrs):
    first, axis = inputs[0], attrs["dim"] % max(len(inputs[0].shape), 1)
    rest = [t.shape[:axis] + t.shape[axis + 1:] for t in inputs]
    if any(r != rest[0] for r in rest) or any(t.dtype != first.dtype for t in inputs):
        raise ShapeError(f"Concat: inputs differ beside axis {attrs['dim']}; got {', '.join(map(str, inputs))}; "
                         f"give equal dtypes and equal lengths on the other axes")
    joined = sum(t.shape[axis] for t in inputs)
    return (TensorType((*first.shape[:axis], joined, *first.shape[axis + 1:]), first.dtype),)
