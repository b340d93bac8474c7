"""Values that follow from what the parameter does."""
from __future__ import annotations

import numpy as np

from .. import ndarray
from ..ndarray import NDArray
from .base import InitDesc, Initializer, create, register


@register
class Bilinear(Initializer):
    """The kernel of bilinear interpolation, for a transposed convolution that enlarges.  arr: T[*, *, H, W]"""

    def __init__(self):
        super().__init__()

    def _init_weight(self, name: str, arr: NDArray) -> None:
        height, width = arr.shape[-2:]
        factor = np.ceil(width / 2)
        centre = (2 * factor - 1 - factor % 2) / (2 * factor)
        across, down = (1 - np.abs(np.arange(length) / factor - centre) for length in (width, height))
        arr[:] = np.broadcast_to(np.outer(down, across), arr.shape).astype("float32")


@register
class LSTMBias(Initializer):
    """0 but for the forget gate's quarter, which gets `forget_bias`.  arr: T[4 * H], gates in, forget, cell, out"""

    def __init__(self, forget_bias: float = 1.0):
        super().__init__(forget_bias=forget_bias)
        self.forget_bias = forget_bias

    def _init_weight(self, name: str, arr: NDArray) -> None:
        num_hidden = arr.shape[0] // 4
        arr[:] = 0
        arr[num_hidden:2 * num_hidden] = self.forget_bias

    def _init_bias(self, name: str, arr: NDArray) -> None:
        self._init_weight(name, arr)


#: gates of a cell, in the order of the packed vector
_GATES = {"rnn_relu": 1, "rnn_tanh": 1, "lstm": 4, "gru": 3}


@register
class FusedRNN(Initializer):
    """The packed parameters of the fused RNN operator: all matrices (per layer and direction: input, hidden), then all
    biases in the same order.

    Args:
        init: fills the matrices; None: the model's own initializer.
        num_hidden, num_layers, mode, bidirectional: as given to the operator.
        forget_bias: for mode "lstm", the value of the forget gate's biases.
    """

    def __init__(self, init, num_hidden: int, num_layers: int, mode: str, bidirectional: bool = False,
                 forget_bias: float = 1.0):
        init = create(init) if isinstance(init, str) else init
        super().__init__(init=None if init is None else init.dumps(), num_hidden=num_hidden, num_layers=num_layers,
                         mode=mode, bidirectional=bidirectional, forget_bias=forget_bias)
        if mode not in _GATES:
            raise ValueError(f"FusedRNN: mode is one of {', '.join(_GATES)}; got {mode!r}")
        self._init = init
        self._num_hidden = num_hidden
        self._num_layers = num_layers
        self._gates = _GATES[mode]
        self._num_directions = 2 if bidirectional else 1
        self._forget_bias = forget_bias if mode == "lstm" else 0.0

    def _init_weight(self, name: str, arr: NDArray) -> None:
        init = self._init or getattr(name, "global_init", None)
        if init is None:
            raise ValueError(f"FusedRNN: no initializer for the matrices of {str(name)!r}; give init")
        rows = self._gates * self._num_hidden
        packed = np.empty(arr.shape, np.float32)
        offset = 0
        for shape in self._matrices(arr.size):
            part = ndarray.zeros(shape)
            init._init_weight(InitDesc(f"{name}_weight"), part)
            packed[offset:offset + part.size] = part.asnumpy().ravel()
            offset += part.size
        bias = np.zeros(rows, np.float32)
        if self._forget_bias:
            bias[self._num_hidden:2 * self._num_hidden] = self._forget_bias
        packed[offset:] = np.tile(bias, 2 * self._num_layers * self._num_directions)
        arr[:] = packed

    def _matrices(self, size: int) -> list[tuple[int, int]]:
        """Shapes of the matrices in packed order; the input's length follows from the vector's size."""
        rows, hidden, directions = self._gates * self._num_hidden, self._num_hidden, self._num_directions
        deeper = (self._num_layers - 1) * directions * rows * (hidden * directions + hidden + 2)
        num_inputs = (size - deeper) // (directions * rows) - hidden - 2
        shapes = []
        for layer in range(self._num_layers):
            inputs = num_inputs if layer == 0 else hidden * directions
            shapes += [(rows, inputs), (rows, hidden)] * directions
        return shapes
