"""RNN in the single-file build: each layer and direction on parameters packed for its kernel.

Letters as in `recurrent`; G gates.  Hidden units stand in blocks of 16, filled up with zeros, and in a block the gates
one after the other, so that a vector of units has all its gates in registers: columns are [H / 16, G, 16].
"""
from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import NotBuiltError
from ..types import TensorType
from . import recurrent_cells as cells
from .c_text import c_text
from .combine import concat
from .dense_panels import from_panels, panels
from .families import c_literal
from .operator import NOT_DIFFERENTIABLE, operator
from .recurrent import Mode, Stack, rnn
from .recurrent_cells import NUM_GATES, Run, Weights
from .samples import Sample
from .traits import COSTLY, Traits

BLOCK = 16
_COSTLY = Traits(recompute=COSTLY)


def columns(rows: Tensor, gates: int) -> Tensor:
    """[G H, ...] as [H / 16, G, 16, ...], with zeros for the units beyond the last."""
    split = rows.unflatten(0, (gates, -1))
    padding = -split.shape[1] % BLOCK
    split = F.pad(split, (0, 0) * (rows.dim() - 1) + (0, padding))
    return split.unflatten(1, (-1, BLOCK)).transpose(0, 1)


def rows(packed: Tensor, size: int) -> Tensor:
    """The reverse of `columns`: [G H, ...]."""
    return packed.transpose(0, 1).flatten(1, 2)[:, :size].flatten(0, 1)


@operator("_rnn_pack", traits=Traits(), num_outputs=3, parity=None, gradient=NOT_DIFFERENTIABLE,
          samples=[Sample((144,), mode="lstm", size=4, layers=1, directions=1, width=3, index=0, resizable=False),
                   Sample((384,), mode="gru", size=4, layers=1, directions=2, width=10, index=1, resizable=False)])
def rnn_pack(parameters, *, mode: Mode, size: int, layers: int, directions: int, width: int, index: int):
    """Layer and direction number `index` of RNN's parameters, packed: w [columns, I] in `panels`, u [H / 16, H, G, 16],
    and biases [2, columns]: what the gates start from, and (gru) the state's part of `new`."""
    weights = Stack(mode, size, layers, directions, 0.0, None, width).weights(parameters)[index]
    gates = NUM_GATES[mode]
    w = panels.kernel(columns(weights.w, gates).flatten(0, 2))
    u = columns(weights.u, gates).permute(0, 3, 1, 2).contiguous()
    start, other = weights.bw + weights.bu, torch.zeros_like(weights.bu)
    if mode == "gru":
        start = torch.cat([start[:2 * size], weights.bw[2 * size:]])
        other[2 * size:] = weights.bu[2 * size:]
    return w, u, torch.stack([columns(part, gates).flatten() for part in (start, other)])


def unpacked(mode: str, size: int, w: Tensor, u: Tensor, bias: Tensor) -> Weights:
    """The weights that `rnn_pack` was given; biases that are added up stand in the first, and only `new` has two."""
    gates = NUM_GATES[mode]
    blocks = (-1, gates, BLOCK)
    start, other = (rows(part.unflatten(0, blocks), size) for part in bias)
    other = other.clone()
    other[:2 * size if mode == "gru" else None] = 0
    w = from_panels(w, bias.shape[1])
    return Weights(rows(w.unflatten(0, blocks), size), rows(u.permute(0, 2, 3, 1), size), start, other)


def _num_outputs(attrs):
    return 4 if attrs["mode"] == "lstm" else 3


@operator("_rnn_layer", traits=_COSTLY, num_outputs=_num_outputs, num_visible=lambda attrs: _num_outputs(attrs) - 1,
          parity=None, gradient=NOT_DIFFERENTIABLE,
          samples=[Sample((3, 2, 5), (1, 5, 64), (1, 4, 4, 16), (2, 64), (1, 2, 4), (1, 2, 4), mode="lstm", index=0,
                          resizable=False),
                   Sample((3, 2, 5), (2, 5, 64), (2, 20, 3, 16), (2, 96), (2, 2, 20), np.array([1, 3], "int32"),
                          mode="gru", index=1, reverse=True, use_sequence_length=True, resizable=False)])
def rnn_layer(data, w, u, bias, state, *rest, mode: Mode, index: int, reverse: bool = False,
              clip_min: float | None = None, clip_max: float | None = None, use_sequence_length: bool = False):
    """One direction of one layer of RNN: out [T, N, H], last state (and cell) [1, N, H], working memory.

    w, u, bias: of `_rnn_pack`;   state, rest: RNN's state (and cell) [L D, N, H], read at `index`, (and lengths [N])
    """
    rest = list(rest)
    cell = rest.pop(0)[index] if mode == "lstm" else None
    valid = (torch.arange(len(data))[:, None] < rest[0])[..., None] if use_sequence_length else None
    clip = None if clip_min is None or clip_max is None else (clip_min, clip_max)
    weights = unpacked(mode, state.shape[2], w, u, bias)
    out, end, _ = cells.forward(Run(mode, reverse, valid, clip), data, weights, (state[index], cell), False)
    return (out, *(part[None] for part in end if part is not None), data.new_zeros(_work_floats(mode, data.shape,
                                                                                                 state.shape[2])))


def _work_floats(mode: str, shape: tuple[int, ...], size: int) -> int:
    """The gates of every step, two states and the cell."""
    padded = math.ceil(size / BLOCK) * BLOCK
    return shape[0] * shape[1] * NUM_GATES[mode] * padded + 3 * shape[1] * padded


@rnn_layer.infer
def _(inputs, attrs):
    data, state, mode = inputs[0], inputs[4], attrs["mode"]
    end = TensorType((1, *state.shape[1:]), data.dtype)
    return (TensorType((*data.shape[:2], state.shape[2]), data.dtype), *[end] * (_num_outputs(attrs) - 2),
            TensorType((_work_floats(mode, data.shape, state.shape[2]),), data.dtype))


@rnn.lower_c
def _(inputs, types, attrs):
    if attrs["projection_size"] is not None:
        raise NotBuiltError(f"RNN: projections are not built; got projection_size={attrs['projection_size']}")
    data, parameters, *states = inputs
    directions = 1 + attrs["bidirectional"]
    sizes = {"mode": attrs["mode"], "size": attrs["state_size"], "layers": attrs["num_layers"],
             "directions": directions, "width": types[0].shape[2]}
    settings = {"mode": attrs["mode"], "clip_min": attrs["lstm_state_clip_min"],
                "clip_max": attrs["lstm_state_clip_max"], "use_sequence_length": attrs["use_sequence_length"]}
    ends = []
    for layer in range(attrs["num_layers"]):
        outs = []
        for direction in range(directions):
            index = layer * directions + direction
            packed = rnn_pack(parameters, index=index, **sizes)
            out, *end, _ = rnn_layer(data, *packed, *states, index=index, reverse=direction == 1, **settings)
            outs.append(out)
            ends.append(end)
        data = outs[0] if directions == 1 else concat(*outs, dim=2)
    joined = [parts[0] if len(parts) == 1 else concat(*parts, dim=0) for parts in zip(*ends, strict=True)]
    return [data, *joined]


@rnn_layer.emit_c
def _(call):
    data, w, u, bias, state, *rest = call.inputs
    attrs, mode = call.attrs, call.attrs["mode"]
    out, *ends, work = call.outputs
    (steps, batch, width), size = data.shape, out.shape[2]
    cell = rest.pop(0) if mode == "lstm" else None
    lengths = rest[0] if rest else None
    start = attrs["index"] * batch * size
    call.function("cell_units", c_text("recurrent_cell"))
    call.function(mode, call.fill(c_text("recurrent_step"), mode=mode, MODE=mode.upper()))
    name = f"{mode}_layer_within_{lengths.dtype}" if lengths else f"{mode}_layer"
    text = call.fill(c_text("recurrent"), name=name, index=lengths.element if lengths else "float", mode=mode,
                     gates=NUM_GATES[mode])
    clipped = attrs["clip_min"] is not None and attrs["clip_max"] is not None
    return call.call(name, text, data.pointer, w.pointer, u.pointer, bias.pointer, f"{state.pointer} + {start}",
                     f"{cell.pointer} + {start}" if cell else "NULL", lengths.address if lengths else "NULL",
                     out.pointer, ends[0].pointer, ends[1].pointer if cell else "NULL", work.pointer, steps, batch,
                     width, size, int(attrs["reverse"]), c_literal(float(attrs["clip_min"] if clipped else "-inf")),
                     c_literal(float(attrs["clip_max"] if clipped else "inf")))
