"""RNN: whole sequences through layers of recurrent cells, with all parameters in one vector.

Letters: T time, N batch, I input, H state_size, L num_layers, D directions (2 if bidirectional, else 1).
The vector holds, for each layer and direction, input weight [G H, I] and state weight [G H, H]; after all of them,
likewise, the two biases [G H].  Gates stand in the order input, forget, cell, output (lstm), reset, update, new (gru).
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from ..errors import NotBuiltError, ShapeError
from . import recurrent_cells as cells
from .dropout import random_mask, thinned
from .generic_gradient import vjp_operator
from .operator import operator
from .recurrent_cells import NUM_GATES, Run, Weights
from .recurrent_engines import engine
from .samples import Sample
from .traits import COSTLY, Traits

Mode = Literal["gru", "lstm", "rnn_relu", "rnn_tanh"]
_COSTLY = Traits(recompute=COSTLY, opaque=True)
_GPU_ONLY = "MXNet reads sequence_length on GPUs only"


def _num_visible(attrs):
    return 1 if not attrs["state_outputs"] else 3 if attrs["mode"] == "lstm" else 2


def _num_outputs(attrs):
    """out, state, (cell,) and hidden: for each layer and direction what its gradient needs, between layers the
    output of the lower one and which elements dropout kept."""
    layers, directions = attrs["num_layers"], 1 + attrs["bidirectional"]
    return 2 + (attrs["mode"] == "lstm") + layers * directions + 2 * (layers - 1)


@operator("RNN", aliases=("_npx_rnn",), traits=_COSTLY, num_outputs=_num_outputs, num_visible=_num_visible,
          output_names=("output", "state_output", "statecell_output"), mxnet_outputs=_num_visible,
          samples=[Sample((4, 2, 3), (144,), (1, 2, 4), (1, 2, 4), state_size=4, num_layers=1, mode="lstm",
                          state_outputs=True, training=True, differentiable=(0, 1, 2)),
                   Sample((3, 2, 5), (2 * 3 * 4 * (5 + 4 + 2) + 2 * 3 * 4 * (8 + 4 + 2),), (4, 2, 4), state_size=4,
                          num_layers=2, mode="gru", bidirectional=True, state_outputs=True, training=True),
                   Sample((4, 3, 2), (2 * 4 * 3 * (2 + 3 + 2),), (2, 3, 3), (2, 3, 3), np.array([4, 1, 2], "float32"),
                          state_size=3, num_layers=1, mode="lstm", bidirectional=True, state_outputs=True,
                          use_sequence_length=True, training=True, differentiable=(0, 1, 2, 3), parity=_GPU_ONLY),
                   Sample((4, 3, 2), (2 * 3 * 3 * (2 + 3 + 2),), (2, 3, 3), np.array([2, 4, 1], "float32"),
                          state_size=3, num_layers=1, mode="gru", bidirectional=True, state_outputs=True,
                          use_sequence_length=True, training=True, differentiable=(0, 1, 2), parity=_GPU_ONLY),
                   Sample((3, 2, 5), (4 * (5 + 4 + 2) + 4 * (4 + 4 + 2),), (2, 2, 4), state_size=4, num_layers=2,
                          mode="rnn_tanh", training=True),
                   Sample((3, 2, 5), (4 * (5 + 4 + 2) + 4 * (4 + 4 + 2),), (2, 2, 4), state_size=4, num_layers=2,
                          mode="rnn_relu", p=0.5, training=True, parity="the random draws are mxdl's own")])
def rnn(data, parameters, state, state_cell=None, sequence_length=None, *, state_size: int, num_layers: int,
        bidirectional: bool = False, mode: Mode, p: float = 0.0, state_outputs: bool = False,
        projection_size: int | None = None, lstm_state_clip_min: float | None = None,
        lstm_state_clip_max: float | None = None, lstm_state_clip_nan: bool = False,
        use_sequence_length: bool = False, training: bool = False, seed: int = 0):
    """A sequence through recurrent layers; dropout with probability p between layers in training.

    data: float[T, N, I];   parameters: float[...] as the module says;   state, state_cell (lstm): float[L D, N, H];
    sequence_length: [N], beyond which out is 0;   out: float[T, N, D H];   last states: float[L D, N, H]
    """
    if projection_size is not None:
        raise NotBuiltError(f"RNN: projections are not built; got projection_size={projection_size}; use "
                            "mx.gluon.contrib.rnn.LSTMPCell, or projection_size=None")
    clip = None
    if lstm_state_clip_min is not None and lstm_state_clip_max is not None:
        clip = (lstm_state_clip_min, lstm_state_clip_max)
    stack = Stack(mode, state_size, num_layers, 1 + bidirectional, p if training else 0.0, clip, data.shape[2])
    if stack.num_parameters != parameters.numel():
        raise ShapeError(f"RNN: wrong number of parameters; got {parameters.numel()} for {num_layers} {mode} layers "
                         f"of {state_size}, {1 + bidirectional} direction(s), input {data.shape[2]}; give "
                         f"{stack.num_parameters}")
    begin = (num_layers * (1 + bidirectional), data.shape[1], state_size)
    for name, given in (("state", state), ("state_cell", state_cell)):
        if given is not None and tuple(given.shape) != begin:
            raise ShapeError(f"RNN: {name} does not fit; got {name}{list(given.shape)} for data{list(data.shape)}; "
                             f"give {list(begin)}")
    inputs = (data, parameters, state, state_cell, sequence_length)
    if torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in inputs):
        return _Recorded.apply(stack, seed, *inputs)
    return _forward(stack, seed, *inputs, save=training)


@rnn.flops
def _(inputs, outputs, attrs):
    steps, batch = inputs[0].shape[:2]
    return 2 * steps * batch * inputs[1].size


@rnn.inputs
def _(attrs):
    names = ["data", "parameters", "state"]
    names += ["state_cell"] if attrs["mode"] == "lstm" else []
    return names + (["sequence_length"] if attrs["use_sequence_length"] else [])


@rnn.complete
def _(shapes, *, state_size, num_layers, bidirectional, mode, **_):
    _, batch, width = shapes["data"]
    directions = 1 + bidirectional
    state = (num_layers * directions, batch, state_size)
    stack = Stack(mode, state_size, num_layers, directions, 0.0, None, width)
    return {"parameters": (stack.num_parameters,), "state": state, "state_cell": state, "sequence_length": (batch,)}


@rnn.gradient
def _(call):
    attrs = {name: value for name, value in call.attrs.items() if name in rnn.attributes}
    given = tuple(dout is not None for dout in call.douts)
    douts = [dout for dout in call.douts if dout is not None]
    if not call.attrs["training"]:  # nothing was saved
        reserved = {name: call.attrs[name] for name in rnn.reserved if name in call.attrs}
        return call.spread(vjp_operator(rnn)(*call.inputs, *douts, needs=call.needs, given=given, **attrs, **reserved))
    num_states = 3 if attrs["mode"] == "lstm" else 2
    grads = rnn_backward(*call.inputs, *call.outputs, *douts, given=given[:num_states], **attrs)
    grads = (*grads, None)[:len(call.inputs)] if attrs["use_sequence_length"] else grads
    return [grad if need else None for grad, need in zip(grads, call.needs, strict=True)]


@operator("_backward_RNN", traits=_COSTLY, num_outputs=lambda attrs: 4 if attrs["mode"] == "lstm" else 3, parity=None)
def rnn_backward(*tensors, given: tuple[bool, ...], state_size: int, num_layers: int, bidirectional: bool = False,
                 mode: Mode, p: float = 0.0, state_outputs: bool = False, projection_size: int | None = None,
                 lstm_state_clip_min: float | None = None, lstm_state_clip_max: float | None = None,
                 lstm_state_clip_nan: bool = False, use_sequence_length: bool = False):
    """Gradients of RNN by data, parameters, state (and state_cell).

    tensors: RNN's inputs in use, all its outputs, then the gradients of those of (out, state, cell) that `given` marks.
    """
    lstm, directions = mode == "lstm", 1 + bidirectional
    rest = iter(tensors)
    data, parameters, state = next(rest), next(rest), next(rest)
    state_cell = next(rest) if lstm else None
    sequence_length = next(rest) if use_sequence_length else None
    outputs = [next(rest) for _ in range(2 + lstm + num_layers * directions + 2 * (num_layers - 1))]
    douts = [next(rest) if has else None for has in given]
    clip = (lstm_state_clip_min, lstm_state_clip_max) if lstm_state_clip_min is not None else None
    stack = Stack(mode, state_size, num_layers, directions, p, clip, data.shape[2])
    grads = _backward(stack, (data, parameters, state, state_cell, sequence_length), outputs, douts)
    return grads


@rnn_backward.flops
def _(inputs, outputs, attrs):
    steps, batch = inputs[0].shape[:2]
    return 4 * steps * batch * inputs[1].size


class Stack(NamedTuple):
    """The layers' sizes and settings; p is 0 outside training."""

    mode: str
    size: int
    layers: int
    directions: int
    p: float
    clip: tuple[float, float] | None
    width: int

    @property
    def num_parameters(self) -> int:
        return sum(rows * (columns + self.size + 2) for rows, columns in self._shapes())

    def weights(self, parameters: torch.Tensor) -> list[Weights]:
        """Views of the vector, one entry a layer and direction."""
        matrices, biases, at = [], [], 0
        for rows, columns in self._shapes():
            for count in (columns, self.size):
                matrices.append(parameters[at:at + rows * count].view(rows, count))
                at += rows * count
        for rows, _ in self._shapes():
            for _ in range(2):
                biases.append(parameters[at:at + rows])
                at += rows
        pairs = zip(matrices[::2], matrices[1::2], biases[::2], biases[1::2], strict=True)
        return [Weights(*pair) for pair in pairs]

    def _shapes(self) -> Iterator[tuple[int, int]]:
        for layer in range(self.layers):
            for _ in range(self.directions):
                yield NUM_GATES[self.mode] * self.size, self.width if layer == 0 else self.directions * self.size

    def run(self, direction: int, valid: torch.Tensor | None) -> Run:
        return Run(self.mode, direction == 1, valid, self.clip)


def _valid(data: torch.Tensor, sequence_length: torch.Tensor | None) -> torch.Tensor | None:
    """bool[T, N, 1]: inside each sequence."""
    if sequence_length is None:
        return None
    return (torch.arange(data.shape[0], device=data.device)[:, None] < sequence_length)[..., None]


def _forward(stack: Stack, seed: int, data, parameters, state, state_cell, sequence_length, *,
             save: bool) -> tuple[torch.Tensor, ...]:
    """All outputs of RNN; the hidden ones are empty unless `save`."""
    valid, weights = _valid(data, sequence_length), stack.weights(parameters)
    empty = data.new_empty((0,))
    x, ends, kept, between = data, [], [], []
    for layer in range(stack.layers):
        mask = empty.to(torch.bool)
        if layer:
            below = x
            if stack.p > 0:
                mask = random_mask(list(x.shape), stack.p, seed + layer, x.device)
                x = thinned(x, mask, stack.p)
            between += [below, mask] if save else [empty, empty.to(torch.bool)]
        outs = []
        for direction in range(stack.directions):
            k, run = layer * stack.directions + direction, stack.run(direction, valid)
            start = state[k], None if state_cell is None else state_cell[k]
            out, end, saved = engine(run, x, save).forward(run, x, weights[k], start, save)
            outs.append(out)
            ends.append(end)
            kept.append(saved if save else empty)
        x = outs[0] if len(outs) == 1 else torch.cat(outs, 2)
    lasts = [torch.stack(last) for last in zip(*ends, strict=True) if last[0] is not None]
    return (x, *lasts, *kept, *between)


def _backward(stack: Stack, inputs, outputs, douts) -> tuple[torch.Tensor, ...]:
    """Gradients of data, parameters, state, state_cell by those of out, last state, last cell (None: zero)."""
    data, parameters, state, state_cell, sequence_length = inputs
    directions, count = stack.directions, stack.layers * stack.directions
    num_states = len(outputs) - count - 2 * (stack.layers - 1)
    out, lasts, hidden = outputs[0], outputs[1:num_states], outputs[num_states:]
    kept, below, masks = hidden[:count], hidden[count::2], hidden[count + 1::2]
    outs = [*below, out]
    dout, *dlasts = [torch.zeros_like(x) if dx is None else dx
                     for x, dx in zip(outputs, [*douts, None, None][:num_states], strict=False)]
    dstarts: list[cells.State | None] = [None] * count
    dparameters = torch.empty_like(parameters)
    weights, grads = stack.weights(parameters), stack.weights(dparameters)
    valid = _valid(data, sequence_length)
    for layer in reversed(range(stack.layers)):
        thin = layer > 0 and stack.p > 0
        x = data if layer == 0 else below[layer - 1]
        x = thinned(x, masks[layer - 1], stack.p) if thin else x
        parts, dparts = outs[layer].chunk(directions, 2), dout.chunk(directions, 2)
        dxs = []
        for direction in range(directions):
            k, run = layer * directions + direction, stack.run(direction, valid)
            start = state[k], None if state_cell is None else state_cell[k]
            end, dend = ((*(part[k] for part in pair), None)[:2] for pair in (lasts, dlasts))
            dx, dstarts[k] = engine(run, x).backward(run, x, weights[k], start, parts[direction], end, kept[k],
                                                     dparts[direction], dend, grads[k])
            dxs.append(dx)
        dout = dxs[0] if directions == 1 else dxs[0] + dxs[1]
        dout = thinned(dout, masks[layer - 1], stack.p) if thin else dout
    dstates = [torch.stack(part) for part in zip(*dstarts, strict=True) if part[0] is not None]
    return dout, dparameters, *dstates


class _Recorded(torch.autograd.Function):
    """RNN on the eager tape: torch's own record of the steps would cost three times as much."""

    @staticmethod
    def forward(ctx: Any, stack: Stack, seed: int, *inputs: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
        outputs = _forward(stack, seed, *inputs, save=True)
        ctx.stack, ctx.num_states = stack, 3 if stack.mode == "lstm" else 2
        ctx.save_for_backward(*inputs, *outputs)
        ctx.set_materialize_grads(False)
        return outputs

    @staticmethod
    def backward(ctx: Any, *douts: torch.Tensor | None) -> tuple:
        saved = ctx.saved_tensors
        grads = _backward(ctx.stack, saved[:5], saved[5:], douts[:ctx.num_states])
        return None, None, *grads, *[None] * (5 - len(grads))
