"""Who computes a recurrent layer: oneDNN (float32 lstm on CPUs), torch's own (on GPUs, and without a gradient), else
`recurrent_cells`.

Each engine has the two functions of `recurrent_cells`, `forward` and `backward`, for one direction of one layer.
"""
from __future__ import annotations

import functools
from typing import Any

import torch

from . import recurrent_cells as plain
from .recurrent_cells import Run, State, Weights

_aten = torch.ops.aten
_LSTM = 2
#: elements of a layer's output up to which the size of oneDNN's workspace is asked for exactly
_PROBE = 1 << 22


def engine(run: Run, x: torch.Tensor, save: bool = True) -> Any:
    """The engine for this layer: it has `forward` and `backward` as `recurrent_cells` has.

    save: whether a gradient will follow; without one torch's own gru is faster, which keeps no gates.
    """
    if run.valid is not None or run.clip is not None or not x.numel():
        return plain
    if x.is_cuda or (not save and run.mode != "lstm"):
        return Native
    if run.mode == "lstm" and x.dtype == torch.float32 and x.device.type in ("cpu", "meta") \
            and torch.backends.mkldnn.is_available():
        return OneDNN
    return plain


class OneDNN:
    """The lstm of oneDNN; what it saves is its own workspace, uint8[...]."""

    @staticmethod
    def forward(run: Run, x: torch.Tensor, weights: Weights, start: State,
                save: bool) -> tuple[torch.Tensor, State, torch.Tensor]:
        h, c = start
        if x.device.type == "meta":
            size = _workspace_bytes(*x.shape, h.shape[1]) if save else 0
            return (x.new_empty((*x.shape[:2], h.shape[1])), (torch.empty_like(h), torch.empty_like(h)),
                    x.new_empty((size,), dtype=torch.uint8))
        tensors = [part.detach().contiguous() for part in (x, *weights, h, c)]
        with torch.set_grad_enabled(save):  # torch gives the workspace away in this mode only
            out, h, c, workspace = _aten.mkldnn_rnn_layer(*tensors, run.reverse, [], _LSTM, h.shape[1], 1, True,
                                                          False, False, save)
        return out, (h, c), workspace

    @staticmethod
    def backward(run: Run, x: torch.Tensor, weights: Weights, start: State, out: torch.Tensor, end: State,
                 saved: torch.Tensor, dout: torch.Tensor, dend: State, grads: Weights) -> tuple[torch.Tensor, State]:
        if x.device.type == "meta":
            return torch.empty_like(x), (torch.empty_like(start[0]), torch.empty_like(start[0]))
        tensors = [part.contiguous() for part in (x, *weights, *start, out, *end, dout, *dend, saved)]
        dx, *dweights, dh, dc = _aten.mkldnn_rnn_layer_backward(
            *tensors[:-1], run.reverse, _LSTM, out.shape[2], 1, True, True, False, [], False, tensors[-1])
        for grad, dweight in zip(grads, dweights, strict=True):
            grad.copy_(dweight)
        return dx, (dh, dc)


@functools.lru_cache(maxsize=256)
def _workspace_bytes(steps: int, batch: int, width: int, size: int) -> int:
    """Bytes that oneDNN saves: asked by running the layer, or by extending two short runs, as it grows by the step."""
    if steps > 4 and steps * batch * size > _PROBE:
        two, four = (_workspace_bytes(n, batch, width, size) for n in (2, 4))
        return two + (four - two) // 2 * (steps - 2)
    gates = 4 * size
    shapes = ((gates, width), (gates, size), (gates,), (gates,), (steps, batch, width), (batch, size), (batch, size))
    *weights, x, h, c = (torch.zeros(shape, device="cpu") for shape in shapes)
    return OneDNN.forward(Run("lstm"), x, Weights(*weights), (h, c), True)[2].numel()


class Native:
    """torch's own recurrences, which are cuDNN's on GPUs.  They save nothing: the gradient runs the layer once more."""

    @staticmethod
    def forward(run: Run, x: torch.Tensor, weights: Weights, start: State,
                save: bool) -> tuple[torch.Tensor, State, torch.Tensor]:
        out, *end = _native(run, x, weights, start)
        return out, (end[0], end[1] if run.mode == "lstm" else None), x.new_empty((0,))

    @staticmethod
    def backward(run: Run, x: torch.Tensor, weights: Weights, start: State, out: torch.Tensor, end: State,
                 saved: torch.Tensor, dout: torch.Tensor, dend: State, grads: Weights) -> tuple[torch.Tensor, State]:
        with torch.enable_grad():
            leaves = [part.detach().requires_grad_() for part in (x, *weights, *start) if part is not None]
            outs = _native(run, leaves[0], Weights(*leaves[1:5]), (*leaves[5:], None)[:2])
        douts = [part for part in (dout, *dend) if part is not None]
        dx, *rest = torch.autograd.grad(outs, leaves, douts)
        for grad, dweight in zip(grads, rest[:4], strict=True):
            grad.copy_(dweight)
        return dx, (*rest[4:], None)[:2]


def _native(run: Run, x: torch.Tensor, weights: Weights, start: State) -> list[torch.Tensor]:
    """[states of all steps, last state, (last cell)]"""
    first = [part[None].contiguous() for part in start if part is not None]
    settings = (list(weights), True, 1, 0.0, torch.is_grad_enabled(), False, False)
    x = x.flip(0) if run.reverse else x.contiguous()  # a transposed view multiplies to other bits than its copy
    out, *end = getattr(torch, run.mode)(x, first if len(first) > 1 else first[0], *settings)
    return [out.flip(0) if run.reverse else out, *[part[0] for part in end]]
