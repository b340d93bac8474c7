"""Who computes a recurrent layer: oneDNN (float32 lstm on CPUs), cuDNN (on GPUs), else plain torch.

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
_CUDNN_MODES = {"rnn_relu": 0, "rnn_tanh": 1, "lstm": 2, "gru": 3}
#: elements of a layer's output up to which the size of oneDNN's workspace is asked for exactly
_PROBE = 1 << 22


def engine(run: Run, x: torch.Tensor) -> Any:
    """The engine for this layer: it has `forward` and `backward` as `recurrent_cells` has."""
    if run.valid is not None or run.clip is not None or not x.numel():
        return plain
    if x.is_cuda and torch.backends.cudnn.is_available() and torch.backends.cudnn.enabled:
        return CuDNN
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


class CuDNN:
    """The recurrences of cuDNN; what it saves is its own reserve, uint8[...].  It walks forward only."""

    @staticmethod
    def forward(run: Run, x: torch.Tensor, weights: Weights, start: State,
                save: bool) -> tuple[torch.Tensor, State, torch.Tensor]:
        h, c = (None if part is None else part[None].contiguous() for part in start)
        x = x.flip(0) if run.reverse else x.contiguous()
        out, h, c, reserve, _ = _aten._cudnn_rnn(x, list(weights), 4, None, h, c, _CUDNN_MODES[run.mode], h.shape[2],
                                                 0, 1, False, 0.0, save, False, [], None)
        return out.flip(0) if run.reverse else out, (h[0], c[0] if run.mode == "lstm" else None), reserve

    @staticmethod
    def backward(run: Run, x: torch.Tensor, weights: Weights, start: State, out: torch.Tensor, end: State,
                 saved: torch.Tensor, dout: torch.Tensor, dend: State, grads: Weights) -> tuple[torch.Tensor, State]:
        (h, c), (dh, dc) = ([None if part is None else part[None].contiguous() for part in pair]
                            for pair in (start, dend))
        x, out, dout = (part.flip(0) if run.reverse else part.contiguous() for part in (x, out, dout))
        mode, size = _CUDNN_MODES[run.mode], out.shape[2]
        packed = _aten._cudnn_rnn_flatten_weight(list(weights), 4, x.shape[2], mode, size, 0, 1, False, False)
        dx, dh, dc, dweights = _aten._cudnn_rnn_backward(
            x, list(weights), 4, packed, h, c, out, dout, dh, dc, mode, size, 0, 1, False, 0.0, True, False, [], None,
            saved, [True] * 4)
        for grad, dweight in zip(grads, dweights, strict=True):
            grad.copy_(dweight)
        return dx.flip(0) if run.reverse else dx, (dh[0], dc[0] if run.mode == "lstm" else None)
