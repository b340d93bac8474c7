"""Operators whose result is their input, in another dtype or with another gradient."""
from __future__ import annotations

import torch

from ..errors import OperatorError
from ..types import DType, torch_dtype
from .combine import one_or_all
from .operator import operator
from .samples import Sample
from .scalar import mul_scalar
from .traits import CHEAP, Traits


def always(attrs) -> bool:
    return True


IDENTITY = Traits(recompute=CHEAP, elementwise=True, inplace=((0, 0),), identity=always)
#: An identity whose gradient is special: passes that look at gradients must see it.
BARRIER = Traits(recompute=CHEAP, elementwise=True, inplace=((0, 0),))
CAST = Traits(recompute=CHEAP, elementwise=True)


@operator("_copy", aliases=("identity",), traits=IDENTITY, samples=[Sample((2, 3)), Sample(((2, 3), "int32"))])
def copy(data):
    """data.  data, out: T[...]"""
    return data.clone()


@operator("_identity_with_attr_like_rhs", traits=IDENTITY, samples=[Sample((2, 3), (2, 3))])
def identity_like(lhs, rhs):
    """lhs; says that rhs has the same shape.  lhs, rhs, out: T[...]"""
    return lhs.clone()


@operator("BlockGrad", aliases=("stop_gradient", "_sparse_stop_gradient"), traits=BARRIER, samples=[Sample((2, 3))])
def block_grad(data):
    """data; no gradient flows back through it.  data, out: T[...]"""
    return data.clone()


@operator("make_loss", aliases=("_sparse_make_loss",), traits=BARRIER, output_names=("loss",),
          samples=[Sample((2, 3))])
def make_loss(data):
    """data as a loss: its gradient is 1 whatever comes from above.  data, out: T[...]"""
    return data.clone()


@operator("MakeLoss", traits=BARRIER,
          samples=[Sample((2, 3), grad_scale=2.0), Sample((2, 3), normalization="batch"),
                   Sample((2, 3), normalization="valid", valid_thresh=0.1)])
def make_loss_scaled(data, *, grad_scale: float = 1.0, valid_thresh: float = 0.0, normalization: str = "null"):
    """data as a loss: its gradient is grad_scale, divided by the batch size (normalization="batch") or by the number
    of elements over valid_thresh ("valid").  data, out: T[N, ...]"""
    return data.clone()


@operator("_backward_MakeLoss", traits=Traits(recompute=CHEAP), parity=None)
def make_loss_gradient(data, *, grad_scale: float = 1.0, valid_thresh: float = 0.0, normalization: str = "null"):
    """Gradient of MakeLoss: a constant.  out: T[data.shape]"""
    if normalization == "batch":
        return torch.full_like(data, grad_scale / max(data.shape[0], 1))
    if normalization == "valid":
        return torch.ones_like(data) * (grad_scale / (data > valid_thresh).sum().clamp(min=1))
    return torch.full_like(data, grad_scale)


@operator("_contrib_gradientmultiplier", traits=BARRIER, samples=[Sample((2, 3), scalar=-0.5)])
def gradient_multiplier(data, *, scalar: float = 1.0, is_int: bool = True):
    """data; its gradient is multiplied by scalar (negative: gradient reversal).  data, out: T[...]"""
    return data.clone()


@copy.gradient
def _(call):
    return [call.douts[0]]


@identity_like.gradient
def _(call):
    return [call.douts[0], None]


@block_grad.surrogate_gradient
def _(call):
    return [None]


@make_loss.surrogate_gradient
def _(call):
    return [make_loss_gradient(call.inputs[0])]


@make_loss_scaled.surrogate_gradient
def _(call):
    names = ("grad_scale", "valid_thresh", "normalization")
    return [make_loss_gradient(call.inputs[0], **{name: call.attrs[name] for name in names})]


@gradient_multiplier.surrogate_gradient
def _(call):
    return [mul_scalar(call.douts[0], scalar=call.attrs["scalar"])]


for op in (copy, identity_like, block_grad, make_loss, make_loss_scaled, gradient_multiplier):
    op.emit_c(lambda call: call.elementwise("x"))


def convert(data: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """data in `dtype`; floats go to unsigned integers through signed ones, so that -1.7 wraps to 255 in uint8."""
    if dtype is torch.uint8 and data.is_floating_point():
        return data.to(torch.int64).to(dtype)
    return data.to(dtype, copy=True)


@operator("Cast", aliases=("cast", "_npi_cast", "_npx_cast"), traits=CAST,
          samples=[Sample((2, 3), dtype="float64"), Sample((2, 3), dtype="int32", low=-5, high=5),
                   Sample((2, 3), dtype="uint8", low=-5, high=400), Sample(((2, 3), "int32"), dtype="float16"),
                   Sample((2, 3), dtype="bool")])
def cast(data, *, dtype: DType):
    """data in another dtype; fractions are cut off, integers wrap.  data: T[...]   out: dtype[...]"""
    return convert(data, torch_dtype(dtype))


@operator("amp_cast", traits=CAST, parity="on a CPU MXNet casts to bfloat16 only",
          samples=[Sample((2, 3), dtype="float16"), Sample(((2, 3), "int32"), dtype="float16")])
def amp_cast(data, *, dtype: DType):
    """A float array in another dtype of floats; integers stay as they are.  data: T[...]   out: dtype[...] or T[...]"""
    return data.to(torch_dtype(dtype), copy=True) if data.is_floating_point() else data.clone()


@cast.emit_c
@amp_cast.emit_c
def _(call):
    """Floats go to unsigned integers through signed ones, as in `convert`."""
    (data,), out = call.inputs, call.outputs[0]
    return call.elementwise("(int64_t)x" if data.is_float and out.dtype == "uint8" else "x")


@operator("_backward_cast", traits=Traits(recompute=CHEAP, elementwise=True, view=True, shape_only=(1,)), parity=None)
def cast_gradient(dout, like):
    """`dout` in the dtype of `like`.  out: T[...]"""
    return dout.to(like.dtype)


@cast.gradient
@amp_cast.gradient
def _(call):
    return [cast_gradient(call.douts[0], call.inputs[0])]


@operator("amp_multicast", traits=CAST, num_outputs=lambda attrs: attrs["num_outputs"],
          parity="on a CPU MXNet casts to bfloat16 only",
          samples=[Sample((2, 3), ((2, 3), "float16"), num_outputs=2),
                   Sample((2, 3), ((2, 3), "float16"), num_outputs=2, cast_narrow=True)])
def amp_multicast(*data, num_outputs: int, cast_narrow: bool = False):
    """All inputs in the widest of their dtypes of floats, or in the narrowest.  data: T_i[...]   outs: T[...]"""
    if len(data) != num_outputs:
        raise OperatorError(f"amp_multicast: one output an input; got {len(data)} inputs, num_outputs={num_outputs}; "
                            f"give num_outputs={len(data)}")
    choose = min if cast_narrow else max
    dtype = choose((x.dtype for x in data), key=lambda dtype: dtype.itemsize)
    return one_or_all([x.to(dtype, copy=True) for x in data])
