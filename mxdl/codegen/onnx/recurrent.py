"""The fused recurrent operator, layer by layer."""
from __future__ import annotations

from typing import Any

import numpy as np

from .call import OnnxCall, rule

#: mode: ONNX's operator, how many gates, and where ONNX's gates are among ours (LSTM i f g o, GRU r z n)
MODES = {"lstm": ("LSTM", 4, (0, 3, 1, 2)), "gru": ("GRU", 3, (1, 0, 2)), "rnn_tanh": ("RNN", 1, (0,)),
         "rnn_relu": ("RNN", 1, (0,))}


@rule("RNN")
def rnn(call: OnnxCall) -> list[str]:
    attrs, flat = call.attrs, call.values[1]
    if flat is None:
        raise call.refuse("parameters that depend on the input")
    if attrs["use_sequence_length"] or attrs["projection_size"] or attrs["lstm_state_clip_min"] is not None:
        raise call.refuse("lengths of sequences, projections or clipped states")
    directions = 2 if attrs["bidirectional"] else 1
    x, states = call.names[0], [_split(call, name, directions) for name in call.names[2:4]]
    finals: list[list[str]] = [[] for _ in states]
    for layer, (weights, recurrent, biases) in enumerate(_layers(flat.numpy(), call, directions)):
        x, *last = _layer(call, x, (weights, recurrent, biases), [state[layer] for state in states], directions)
        for found, name in zip(finals, last, strict=True):
            found.append(name)
    return [x, *(call.add("Concat", *found, axis=0) for found in finals)]


def _split(call: OnnxCall, name: str, directions: int) -> list[str]:
    """The state float[L * D, N, H] as one array float[D, N, H] a layer."""
    layers = call.attrs["num_layers"]
    return call.add_many("Split", layers, name, call.ints(*[directions] * layers), axis=0) if layers > 1 else [name]


def _layer(call: OnnxCall, x: str, arrays: tuple[np.ndarray, ...], states: list[str], directions: int) -> list[str]:
    kind, _, _ = MODES[call.attrs["mode"]]
    more: dict[str, Any] = {"hidden_size": call.attrs["state_size"],
                            "direction": "bidirectional" if directions == 2 else "forward"}
    if kind == "GRU":
        more["linear_before_reset"] = 1
    if call.attrs["mode"] == "rnn_relu":
        more["activations"] = ["Relu"] * directions
    out, *last = call.add_many(kind, 1 + len(states), x, *(call.array(a) for a in arrays), "", *states, **more)
    steps, batch = call.inputs[0].shape[:2]     # out: float[T, D, N, H]
    turned = call.add("Transpose", out, perm=[0, 2, 1, 3])
    return [call.reshape(turned, (steps, batch, directions * call.attrs["state_size"])), *last]


def _layers(flat: np.ndarray, call: OnnxCall, directions: int) -> list[tuple[np.ndarray, ...]]:
    """W[D, G * H, in], R[D, G * H, H] and B[D, 2 * G * H] of each layer, in ONNX's order of gates.

    flat holds all matrices (for each layer and direction: of the input, of the state), then all biases likewise.
    """
    hidden, (_, gates, order) = call.attrs["state_size"], MODES[call.attrs["mode"]]
    widths = [call.inputs[0].shape[2], *[hidden * directions] * (call.attrs["num_layers"] - 1)]
    at = 0

    def cut(*shape: int) -> np.ndarray:
        nonlocal at
        block = flat[at:at + int(np.prod((gates, hidden, *shape)))].reshape(gates, hidden, *shape)
        at += block.size
        return block[list(order)].reshape(gates * hidden, *shape)

    matrices = [[(cut(width), cut(hidden)) for _ in range(directions)] for width in widths]
    biases = [[np.concatenate([cut(), cut()]) for _ in range(directions)] for _ in widths]
    return [(np.stack([w for w, _ in m]), np.stack([r for _, r in m]), np.stack(b))
            for m, b in zip(matrices, biases, strict=True)]
