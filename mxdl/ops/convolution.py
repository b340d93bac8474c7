"""Convolution and Deconvolution in one, two and three dimensions.

Letters: N batch, C input channels, O output channels (num_filter), G groups, K... kernel, X... and Y... spatial.
Planes (two spatial axes) are computed in channels-last memory, whatever the memory format of the inputs: on CPUs a
training step of a convolution is 5 to 35 % faster so, and eager and compiled programs then give the same bits.
Filters of one point are matrix products over that memory, whose gradients are up to twice as fast as a convolution's.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

from ..errors import ShapeError
from ..types import TensorType
from .blocked import Convolve
from .c_text import c_text
from .operator import operator
from .registry import get
from .samples import Sample
from .traits import COSTLY, Traits

_IGNORED = ("workspace", "cudnn_tune", "cudnn_off")
_SPATIAL = Traits(recompute=COSTLY, layout="spatial")


def per_axis(values: Sequence[int], rank: int, default: int) -> list[int]:
    """One value an axis: MXNet leaves stride, dilate and pad empty where they are the default."""
    return list(values) if values else [default] * rank


def check_rank(name: str, data: torch.Tensor, rank: int) -> None:
    """Raises ShapeError unless data has a batch axis, a channel axis and the kernel's `rank` axes."""
    if data.dim() != rank + 2:
        raise ShapeError(f"{name}: data should have {rank + 2} axes for a kernel of {rank}; got shape "
                         f"{tuple(data.shape)}; add the missing axes with reshape or expand_dims")


def is_channels_last(layout: str | None) -> bool:
    """Whether a layout attribute ("NHWC") puts the channels last; None means channels first."""
    return layout is not None and layout.endswith("C")


def channels_first(tensor: torch.Tensor) -> torch.Tensor:
    """A view [N, C, X...] of [N, X..., C]: the memory stays, which torch knows as channels-last."""
    return tensor.movedim(-1, 1)


def channels_last(tensor: torch.Tensor) -> torch.Tensor:
    """A view [N, X..., C] of [N, C, X...]."""
    return tensor.movedim(1, -1)


def planes_channels_last(tensor: torch.Tensor) -> torch.Tensor:
    """The same tensor in channels-last memory where it has two spatial axes; itself where it is so already.

    With one channel both formats are the same memory; the strides then say channels-last, so that torch goes on in it.
    """
    if tensor.dim() != 4 or tensor.dtype is torch.float64:   # torch has no channels-last kernels for float64
        return tensor
    tensor = tensor.contiguous(memory_format=torch.channels_last)
    if tensor.shape[1] == 1:
        _, _, height, width = tensor.shape
        tensor = tensor.as_strided(tensor.shape, (height * width, 1, width, 1))
    return tensor


def in_memory_of(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """`tensor` in the memory format of `like`, of the same rank: mixed formats are up to ten times slower."""
    if like.dim() == 4 and tensor.stride() != like.stride() and like.is_contiguous(memory_format=torch.channels_last):
        return tensor.contiguous(memory_format=torch.channels_last)
    return tensor


#: fewer places (N * X...) than these leave a matrix product's forward pass slower than a convolution's
_FEWEST_ROWS = 256


def is_product(data: torch.Tensor, weight: torch.Tensor, stride: Sequence[int], pad: Sequence[int],
               num_group: int) -> bool:
    """Whether the convolution is computed as a product of the rows [N * X..., C] with the filters [O, C]."""
    return (data.dim() == 4 and data.dtype is torch.float32 and data.is_cpu and num_group == 1
            and weight.shape[2] == weight.shape[3] == stride[0] == stride[1] == 1 and not any(pad)
            and data.shape[0] * data.shape[2] * data.shape[3] >= _FEWEST_ROWS)


def filter_copies(data: TensorType, weight: TensorType, stride: Sequence[int], pad: Sequence[int], num_group: int,
                  layout: str | None) -> int:
    """Bytes that a convolution of planes takes on CPUs for its filters in oneDNN's own order, while it runs.

    Measured (torch 2.13, AVX-512): one copy forward and for the gradient by the data, two for the gradient by the
    filters; none where the convolution is a product.  Of other ranks nothing is said: there data are copied too.
    """
    if len(weight.shape) != 4 or weight.dtype == "float64":
        return 0
    kernel, spatial = (t.shape[1:-1] if is_channels_last(layout) else t.shape[2:] for t in (weight, data))
    places = data.shape[0] * math.prod(spatial)
    product = (weight.dtype == "float32" and num_group == 1 and set((*kernel, *per_axis(stride, 2, 1))) == {1}
               and not any(pad) and places >= _FEWEST_ROWS)
    return 0 if product else weight.num_bytes


def rows(tensor: torch.Tensor) -> torch.Tensor:
    """[N * X..., C] of [N, C, X...]: a view where the memory is channels-last."""
    return channels_last(tensor).reshape(-1, tensor.shape[1])


def plane(matrix: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """[N, O, X...] in channels-last memory of a matrix [N * X..., O]; N and X... as in `like`, without a copy."""
    return matrix.view(like.shape[0], *like.shape[2:], matrix.shape[1]).permute(0, 3, 1, 2)


@operator("Convolution", aliases=("Convolution_v1", "_npx_convolution"), traits=_SPATIAL, ignored=_IGNORED,
          samples=[Sample((2, 4, 6, 5), (6, 4, 3, 3), (6,), kernel=(3, 3), num_filter=6, pad=(1, 1), stride=(2, 1)),
                   Sample((2, 4, 6, 6), (6, 2, 3, 2), (6,), kernel=(3, 2), num_filter=6, num_group=2, dilate=(2, 1)),
                   Sample((2, 4, 5, 5), (4, 1, 3, 3), kernel=(3, 3), num_filter=4, num_group=4, no_bias=True),
                   Sample((2, 3, 7), (5, 3, 3), (5,), kernel=(3,), num_filter=5, stride=(2,), pad=(1,)),
                   Sample((2, 5, 6, 4), (6, 3, 3, 2), (6,), kernel=(3, 3), num_filter=6, num_group=2, layout="NHWC",
                          parity="MXNet has channels-last layouts on GPUs only"),
                   Sample((1, 2, 4, 5, 4), (3, 2, 2, 3, 2), (3,), kernel=(2, 3, 2), num_filter=3)])
def convolution(data, weight, bias=None, *, kernel: tuple[int, ...], stride: tuple[int, ...] = (),
                dilate: tuple[int, ...] = (), pad: tuple[int, ...] = (), num_filter: int, num_group: int = 1,
                no_bias: bool = False, layout: str | None = None):
    """Cross-correlation of data with weight, plus bias.

    data: float[N, C, X...];   weight: float[O, C / G, K...];   bias: float[O];   out: float[N, O, Y...]
    Under a layout that ends in C: data float[N, X..., C], weight float[O, K..., C / G], out float[N, Y..., O].
    """
    last, rank = is_channels_last(layout), len(kernel)
    check_rank("Convolution", data, rank)
    if last:
        data, weight = channels_first(data), channels_first(weight)
    data, weight = planes_channels_last(data), planes_channels_last(weight)
    bias, stride, pad = None if no_bias else bias, per_axis(stride, rank, 1), per_axis(pad, rank, 0)
    if is_product(data, weight, stride, pad, num_group):
        out = plane(F.linear(rows(data), weight.reshape(weight.shape[:2]), bias), data)
    else:
        out = torch.convolution(data, weight, bias, stride, pad, per_axis(dilate, rank, 1), False, [0] * rank,
                                num_group)
    return channels_last(out) if last else out


@convolution.flops
def _(inputs, outputs, attrs):
    return 2 * outputs[0].size * (inputs[1].size // attrs["num_filter"])


@convolution.scratch
def _(inputs, attrs):
    return filter_copies(*inputs[:2], attrs["stride"], attrs["pad"], attrs["num_group"], attrs["layout"])


@convolution.inputs
def _(attrs):
    return ("data", "weight") if attrs["no_bias"] else ("data", "weight", "bias")


@convolution.complete
def _(shapes, *, kernel, num_filter, num_group, layout, **_):
    channels = shapes["data"][-1 if is_channels_last(layout) else 1] // num_group
    weight = (num_filter, *kernel, channels) if is_channels_last(layout) else (num_filter, channels, *kernel)
    return {"weight": weight, "bias": (num_filter,)}


@convolution.infer
def _(inputs, attrs):
    """By the formula; nothing where inputs do not fit, so that the kernel's error is seen."""
    data, rank, last = inputs[0], len(attrs["kernel"]), is_channels_last(attrs["layout"])
    if len(data.shape) != rank + 2 or any(t.dtype != data.dtype for t in inputs):
        return ()
    spatial, channels = (data.shape[1:-1], data.shape[-1]) if last else (data.shape[2:], data.shape[1])
    groups, filters = attrs["num_group"], attrs["num_filter"]
    if channels % groups or filters % groups or 0 in data.shape:
        return ()
    each = channels // groups
    fits = ((filters, *attrs["kernel"], each) if last else (filters, each, *attrs["kernel"]), (filters,))
    if any(t.shape != fit for t, fit in zip(inputs[1:], fits, strict=False)):
        return ()
    settings = [per_axis(attrs[name], rank, default) for name, default in (("stride", 1), ("dilate", 1), ("pad", 0))]
    out = [(x + 2 * p - d * (k - 1) - 1) // s + 1
           for x, k, s, d, p in zip(spatial, attrs["kernel"], *settings, strict=True)]
    if min(out) < 1:
        return ()
    return (TensorType((data.shape[0], *out, filters) if last else (data.shape[0], filters, *out), data.dtype),)


@convolution.gradient
def _(call):
    data, weight = call.inputs[:2]
    wanted = ("stride", "dilate", "pad", "num_group", "layout")
    return call.spread(convolution_backward(call.douts[0], data, weight, needs=call.needs,
                                            **{name: call.attrs[name] for name in wanted}))


@operator("_backward_Convolution", traits=_SPATIAL, num_outputs=lambda attrs: sum(attrs["needs"]), parity=None)
def convolution_backward(dout, data, weight, *, needs: tuple[bool, ...], stride: tuple[int, ...] = (),
                         dilate: tuple[int, ...] = (), pad: tuple[int, ...] = (), num_group: int = 1,
                         layout: str | None = None):
    """Gradients of Convolution for the inputs marked in `needs` (data, weight, bias)."""
    rank = weight.dim() - 2
    return _gradients(dout, data, weight, needs, per_axis(stride, rank, 1), per_axis(pad, rank, 0),
                      per_axis(dilate, rank, 1), None, num_group, is_channels_last(layout))


@convolution_backward.infer
def _(inputs, attrs):
    dout, data, weight = inputs
    bias = TensorType((weight.shape[0],), weight.dtype)
    return [kind for kind, need in zip((data, weight, bias), attrs["needs"], strict=False) if need]


@convolution_backward.flops
def _(inputs, outputs, attrs):
    dout, _, weight = inputs
    return sum(attrs["needs"][:2]) * 2 * dout.size * (weight.size // weight.shape[0])


@convolution_backward.scratch
def _(inputs, attrs):
    _, data, weight = inputs
    copy = filter_copies(data, weight, attrs["stride"], attrs["pad"], attrs["num_group"], attrs["layout"])
    return 2 * copy if attrs["needs"][1] else copy   # the filters' gradient too is made in oneDNN's order first


@operator("Deconvolution", aliases=("_npx_deconvolution",), traits=_SPATIAL, ignored=_IGNORED,
          samples=[Sample((2, 4, 5, 4), (4, 3, 3, 3), kernel=(3, 3), num_filter=3, stride=(2, 2), pad=(1, 1),
                          adj=(1, 1)),
                   Sample((2, 4, 4, 4), (4, 3, 3, 2), (6,), kernel=(3, 2), num_filter=6, num_group=2, no_bias=False),
                   Sample((2, 3, 4, 4), (3, 2, 4, 4), kernel=(4, 4), num_filter=2, stride=(2, 2),
                          target_shape=(8, 7),
                          parity="MXNet refuses it with float32 on CPUs; equal with float64"),
                   Sample((2, 3, 5), (3, 4, 3), kernel=(3,), num_filter=4, stride=(2,)),
                   Sample((2, 5, 4, 3), (3, 3, 2, 4), kernel=(3, 2), num_filter=4, stride=(2, 1), layout="NHWC",
                          parity="MXNet has channels-last layouts on GPUs only"),
                   Sample((1, 2, 3, 3, 3), (2, 3, 2, 2, 2), kernel=(2, 2, 2), num_filter=3, stride=(2, 2, 2))])
def deconvolution(data, weight, bias=None, *, kernel: tuple[int, ...], stride: tuple[int, ...] = (),
                  dilate: tuple[int, ...] = (), pad: tuple[int, ...] = (), adj: tuple[int, ...] = (),
                  target_shape: tuple[int, ...] = (), num_filter: int, num_group: int = 1, no_bias: bool = True,
                  layout: str | None = None):
    """Transposed convolution: the gradient of Convolution by its data, as a forward operator.

    data: float[N, C, X...];   weight: float[C, O / G, K...];   bias: float[O];   out: float[N, O, Y...]
    Y = (X - 1) stride - 2 pad + dilate (K - 1) + 1 + adj, or target_shape, from which pad and adj then follow.
    """
    last, rank = is_channels_last(layout), len(kernel)
    check_rank("Deconvolution", data, rank)
    if last:
        data, weight = channels_first(data), channels_first(weight)
    stride, dilate = per_axis(stride, rank, 1), per_axis(dilate, rank, 1)
    pad, adj = _margins(data.shape[2:], kernel, stride, dilate, pad, adj, target_shape)
    out = torch.convolution(data, weight, None if no_bias else bias, stride, pad, dilate, True, adj, num_group)
    return channels_last(out) if last else out


@deconvolution.flops
def _(inputs, outputs, attrs):
    return 2 * inputs[0].size * (inputs[1].size // inputs[1].shape[0])


@deconvolution.inputs
def _(attrs):
    return ("data", "weight") if attrs["no_bias"] else ("data", "weight", "bias")


@deconvolution.complete
def _(shapes, *, kernel, num_filter, num_group, layout, **_):
    channels = shapes["data"][-1 if is_channels_last(layout) else 1]
    filters = num_filter // num_group
    weight = (channels, *kernel, filters) if is_channels_last(layout) else (channels, filters, *kernel)
    return {"weight": weight, "bias": (num_filter,)}


@deconvolution.gradient
def _(call):
    data, weight = call.inputs[:2]
    wanted = ("kernel", "stride", "dilate", "pad", "adj", "target_shape", "num_group", "layout")
    return call.spread(deconvolution_backward(call.douts[0], data, weight, needs=call.needs,
                                              **{name: call.attrs[name] for name in wanted}))


@operator("_backward_Deconvolution", traits=_SPATIAL, num_outputs=lambda attrs: sum(attrs["needs"]), parity=None)
def deconvolution_backward(dout, data, weight, *, needs: tuple[bool, ...], kernel: tuple[int, ...],
                           stride: tuple[int, ...] = (), dilate: tuple[int, ...] = (), pad: tuple[int, ...] = (),
                           adj: tuple[int, ...] = (), target_shape: tuple[int, ...] = (), num_group: int = 1,
                           layout: str | None = None):
    """Gradients of Deconvolution for the inputs marked in `needs` (data, weight, bias)."""
    last, rank = is_channels_last(layout), len(kernel)
    stride, dilate = per_axis(stride, rank, 1), per_axis(dilate, rank, 1)
    spatial = data.shape[1:-1] if last else data.shape[2:]
    pad, adj = _margins(spatial, kernel, stride, dilate, pad, adj, target_shape)
    return _gradients(dout, data, weight, needs, stride, pad, dilate, adj, num_group, last)


def _margins(spatial: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilate: Sequence[int],
             pad: Sequence[int], adj: Sequence[int], target_shape: Sequence[int]) -> tuple[list[int], list[int]]:
    """(pad, adj) of a Deconvolution: as given, or what gives the target shape."""
    rank = len(kernel)
    if not any(target_shape):
        return per_axis(pad, rank, 0), per_axis(adj, rank, 0)
    pads, adjs = [], []
    for x, k, s, d, target in zip(spatial, kernel, stride, dilate, target_shape, strict=True):
        surplus = (x - 1) * s + d * (k - 1) + 1 - target
        if surplus < 0:
            raise ShapeError(f"Deconvolution: target_shape is larger than kernel and stride reach; got "
                             f"target_shape={tuple(target_shape)} for data of {tuple(spatial)}; give at most "
                             f"{target + surplus} where it says {target}")
        pads.append((surplus + 1) // 2)
        adjs.append(surplus % 2)
    return pads, adjs


def _gradients(dout: torch.Tensor, data: torch.Tensor, weight: torch.Tensor, needs: Sequence[bool],
               stride: list[int], pad: list[int], dilate: list[int], adj: list[int] | None, num_group: int,
               last: bool) -> tuple[torch.Tensor, ...] | torch.Tensor:
    """Gradients by data, weight and bias, those that are needed; `adj` is given for a transposed convolution."""
    back: Callable[[torch.Tensor], torch.Tensor] = channels_last if last else lambda tensor: tensor
    if last:
        dout, data, weight = channels_first(dout), channels_first(data), channels_first(weight)
    if adj is None:
        dout, data, weight = (planes_channels_last(tensor) for tensor in (dout, data, weight))
    mask = [needs[0], needs[1], len(needs) > 2 and needs[2]]
    if adj is None and is_product(data, weight, stride, pad, num_group):
        dx, dw, db = _product_gradients(dout, data, weight, mask)
    else:
        by_sum = mask[2] and adj is not None   # torch's own takes longer than the two other gradients together
        dx, dw, db = torch.ops.aten.convolution_backward(
            dout, data, weight, [dout.shape[1]] if mask[2] else None, stride, pad, dilate, adj is not None,
            adj or [0] * len(stride), num_group, [*mask[:2], mask[2] and not by_sum])
        db = dout.sum([0, *range(2, dout.dim())]) if by_sum else db
    grads = (back(dx) if mask[0] else None, back(dw) if mask[1] else None, db if mask[2] else None)
    needed = tuple(grad for grad, need in zip(grads, mask, strict=True) if need)
    return needed if len(needed) > 1 else needed[0]


def _product_gradients(dout: torch.Tensor, data: torch.Tensor, weight: torch.Tensor,
                       mask: Sequence[bool]) -> tuple[torch.Tensor | None, ...]:
    """Gradients by data, weight and bias of a convolution that is a product; None where none is needed."""
    douts = rows(dout)
    return (plane(douts @ weight.reshape(weight.shape[:2]), data) if mask[0] else None,
            (douts.t() @ rows(data)).reshape(weight.shape) if mask[1] else None,
            douts.sum(0) if mask[2] else None)


@convolution.absorb
def _(inputs, attrs, scale, shift):
    if is_channels_last(attrs["layout"]):
        return None
    per_filter = get("Reshape")(scale, shape=(-1, *[1] * (len(attrs["kernel"]) + 1)))
    weight = get("broadcast_mul")(inputs[1], per_filter)
    bias = shift if attrs["no_bias"] else get("broadcast_add")(get("broadcast_mul")(inputs[2], scale), shift)
    return (inputs[0], weight, bias), {**attrs, "no_bias": False}


@convolution.blocked
def _(inputs, attrs):
    if len(attrs["kernel"]) != 2 or is_channels_last(attrs["layout"]):
        return None
    return Convolve(tuple(attrs["kernel"]), *(tuple(per_axis(attrs[name], 2, default)) for name, default in (
        ("stride", 1), ("pad", 0), ("dilate", 1))), attrs["num_group"])


@convolution.emit_c
def _(call):
    attrs, (data, weight, *bias), out = call.attrs, call.inputs, call.outputs[0]
    if len(attrs["kernel"]) != 2 or is_channels_last(attrs["layout"]):
        raise call.refuse(f"only 2-D convolutions of layout NCHW have a C kernel; got kernel={attrs['kernel']}, "
                          f"layout={attrs['layout']}")
    return call.call("convolution_2d", c_text("convolution"), data.pointer, weight.pointer,
                     bias[0].pointer if bias else "NULL", out.pointer, *data.shape, *out.shape[1:], *attrs["kernel"],
                     *per_axis(attrs["stride"], 2, 1), *per_axis(attrs["pad"], 2, 0), *per_axis(attrs["dilate"], 2, 1),
                     attrs["num_group"])


@deconvolution.emit_c
def _(call):
    attrs, (data, weight, *bias), out = call.attrs, call.inputs, call.outputs[0]
    if len(attrs["kernel"]) != 2 or is_channels_last(attrs["layout"]):
        raise call.refuse(f"only 2-D transposed convolutions of layout NCHW have a C kernel; got kernel="
                          f"{attrs['kernel']}, layout={attrs['layout']}")
    stride, dilate = per_axis(attrs["stride"], 2, 1), per_axis(attrs["dilate"], 2, 1)
    pad, _ = _margins(data.shape[2:], attrs["kernel"], stride, dilate, attrs["pad"], attrs["adj"],
                      attrs["target_shape"])
    return call.call("deconvolution_2d", c_text("deconvolution"), data.pointer, weight.pointer,
                     bias[0].pointer if bias else "NULL", out.pointer, *data.shape, *out.shape[1:], *attrs["kernel"],
                     *stride, *pad, *dilate, attrs["num_group"])
