"""Attention on interleaved projections, as GluonNLP's BERT calls it.

Letters: L, S lengths of the sequences, B batch, H heads, D length of a head.
"""
from __future__ import annotations

import torch

from .operator import operator
from .products_c import Matrices, emit_products, packed
from .samples import Sample
from .traits import COSTLY, Traits

PRODUCT = Traits(recompute=COSTLY)


def heads_of(data: torch.Tensor, heads: int, parts: int) -> tuple[torch.Tensor, ...]:
    """data[L, B, H * parts * D] as `parts` arrays [B * H, L, D]."""
    length, batch, width = data.shape
    split = data.reshape(length, batch * heads, parts, width // heads // parts)
    return tuple(split[:, :, i].transpose(0, 1) for i in range(parts))


def heads_in_c(buffer, heads: int, parts: int, part: int) -> tuple[Matrices, int, int, int]:
    """Part number `part` of `heads_of` in the C build: the matrices [L, D], how many, L and D."""
    length, batch, width = buffer.shape
    depth = width // heads // parts
    offset = f"({buffer.pointer} + {part * depth})"
    return Matrices(offset, parts * depth, batch * width, 1), batch * heads, length, depth


def together(parts: list[torch.Tensor], batch: int) -> torch.Tensor:
    """The reverse of `heads_of`: arrays [B * H, L, D] as one [L, B, H * parts * D]."""
    joined = torch.stack([part.transpose(0, 1) for part in parts], 2)
    return joined.reshape(joined.shape[0], batch, -1)


@operator("_contrib_interleaved_matmul_selfatt_qk", traits=PRODUCT, samples=[Sample((4, 2, 18), heads=3,
          resizable=False)])
def selfatt_qk(queries_keys_values, *, heads: int):
    """Scaled products of queries and keys.  queries_keys_values: float[L, B, H*3*D]   out: float[B*H, L, L]"""
    q, k, _ = heads_of(queries_keys_values, heads, 3)
    return torch.bmm(q * q.shape[-1] ** -0.5, k.transpose(1, 2))


@selfatt_qk.flops
def _(inputs, outputs, attrs):
    return 2 * outputs[0].size * (inputs[0].shape[-1] // (3 * attrs["heads"]))


@operator("_backward_interleaved_selfatt_qk", traits=PRODUCT, parity=None)
def selfatt_qk_gradient(dout, queries_keys_values, *, heads: int):
    """Gradient of selfatt_qk; zero for the values.  out: float[L, B, H*3*D]"""
    q, k, v = heads_of(queries_keys_values, heads, 3)
    scale = q.shape[-1] ** -0.5
    parts = [torch.bmm(dout, k) * scale, torch.bmm(dout.transpose(1, 2), q) * scale, torch.zeros_like(v)]
    return together(parts, queries_keys_values.shape[1])


@selfatt_qk_gradient.flops
def _(inputs, outputs, attrs):
    return 4 * inputs[0].size * (inputs[1].shape[-1] // (3 * attrs["heads"]))


@selfatt_qk.gradient
def _(call):
    return [selfatt_qk_gradient(call.douts[0], call.inputs[0], heads=call.attrs["heads"])]


@operator("_contrib_interleaved_matmul_selfatt_valatt", traits=PRODUCT,
          samples=[Sample((4, 2, 18), (6, 4, 4), heads=3, resizable=False)])
def selfatt_valatt(queries_keys_values, attention, *, heads: int):
    """Values weighted by attention.  queries_keys_values: float[L, B, H*3*D]   attention: float[B*H, L, L]
    out: float[L, B, H*D]"""
    value = heads_of(queries_keys_values, heads, 3)[2]
    return together([torch.bmm(attention, value)], queries_keys_values.shape[1])


@selfatt_valatt.flops
def _(inputs, outputs, attrs):
    return 2 * outputs[0].size * inputs[1].shape[-1]


@operator("_backward_interleaved_selfatt_valatt", traits=PRODUCT, parity=None, num_outputs=2)
def selfatt_valatt_gradient(dout, queries_keys_values, attention, *, heads: int):
    """Gradients of selfatt_valatt: zero for queries and keys.  outs: float[L, B, H*3*D], float[B*H, L, L]"""
    value = heads_of(queries_keys_values, heads, 3)[2]
    weighted, = heads_of(dout, heads, 1)
    dvalue = torch.bmm(attention.transpose(1, 2), weighted)
    zeros = torch.zeros_like(dvalue)
    return together([zeros, zeros, dvalue], queries_keys_values.shape[1]), torch.bmm(weighted, value.transpose(1, 2))


@selfatt_valatt_gradient.flops
def _(inputs, outputs, attrs):
    return 4 * inputs[0].size * inputs[2].shape[-1]


@selfatt_valatt.gradient
def _(call):
    return list(selfatt_valatt_gradient(call.douts[0], *call.inputs, heads=call.attrs["heads"]))


@operator("_contrib_interleaved_matmul_encdec_qk", traits=PRODUCT, samples=[Sample((4, 2, 6), (5, 2, 12), heads=3,
          resizable=False)])
def encdec_qk(queries, keys_values, *, heads: int):
    """Scaled products of queries and another sequence's keys.
    queries: float[L, B, H*D]   keys_values: float[S, B, H*2*D]   out: float[B*H, L, S]"""
    q, = heads_of(queries, heads, 1)
    k, _ = heads_of(keys_values, heads, 2)
    return torch.bmm(q * q.shape[-1] ** -0.5, k.transpose(1, 2))


@operator("_contrib_interleaved_matmul_encdec_valatt", traits=PRODUCT,
          samples=[Sample((5, 2, 12), (6, 4, 5), heads=3, resizable=False)])
def encdec_valatt(keys_values, attention, *, heads: int):
    """Another sequence's values weighted by attention.
    keys_values: float[S, B, H*2*D]   attention: float[B*H, L, S]   out: float[L, B, H*D]"""
    value = heads_of(keys_values, heads, 2)[1]
    return together([torch.bmm(attention, value)], keys_values.shape[1])


@encdec_qk.flops
def _(inputs, outputs, attrs):
    return 2 * outputs[0].size * (inputs[0].shape[-1] // attrs["heads"])


@encdec_valatt.flops
def _(inputs, outputs, attrs):
    return 2 * outputs[0].size * inputs[1].shape[-1]


@selfatt_qk.emit_c
@encdec_qk.emit_c
def _(call):
    heads, own = call.attrs["heads"], len(call.inputs) == 1
    queries, count, length, depth = heads_in_c(call.inputs[0], heads, 3 if own else 1, 0)
    keys, _, steps, _ = heads_in_c(call.inputs[0 if own else 1], heads, 3 if own else 2, 1 if own else 0)
    out = packed(call.outputs[0].pointer, length, steps)
    return emit_products(call, queries, keys.turned, out, count, length, depth, steps, depth ** -0.5)


def emit_weighted_values(call, parts: int) -> str:
    """C of attention times values, which are the last of `parts` parts."""
    heads, (data, attention) = call.attrs["heads"], call.inputs
    values, count, steps, depth = heads_in_c(data, heads, parts, parts - 1)
    length = attention.shape[1]
    out = heads_in_c(call.outputs[0], heads, 1, 0)[0]
    return emit_products(call, packed(attention.pointer, length, steps), values, out, count, length, steps, depth)


selfatt_valatt.emit_c(lambda call: emit_weighted_values(call, 3))
encdec_valatt.emit_c(lambda call: emit_weighted_values(call, 2))
