"""RNN, LSTM, GRU: whole sequences through several layers and directions by one fused operator.

Letters: T steps, N samples, C channels, L layers times directions, H hidden, G gates a hidden unit.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ... import ndarray
from ...ndarray import NDArray
from ..hybrid import HybridBlock
from .sequence import functions_for


class _RNNLayer(HybridBlock):
    _gates = 1
    _num_states = 1

    def __init__(self, hidden_size: int, num_layers: int, layout: str, dropout: float, bidirectional: bool,
                 input_size: int, i2h_weight_initializer: Any, h2h_weight_initializer: Any, i2h_bias_initializer: Any,
                 h2h_bias_initializer: Any, mode: str, projection_size: int | None = None,
                 h2r_weight_initializer: Any = None, state_clip_min: float | None = None,
                 state_clip_max: float | None = None, state_clip_nan: bool = False, dtype: Any = "float32",
                 use_sequence_length: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        if layout not in ("TNC", "NTC"):
            raise AssertionError(f"{type(self).__name__}: layout is 'TNC' or 'NTC'; got {layout!r}")
        self._hidden_size, self._num_layers, self._layout = hidden_size, num_layers, layout
        self._mode, self._dropout, self._input_size = mode, dropout, input_size
        self._dir = 2 if bidirectional else 1
        self._projection_size, self._dtype = projection_size, dtype
        self._use_sequence_length = use_sequence_length
        self._clip = {"lstm_state_clip_min": state_clip_min, "lstm_state_clip_max": state_clip_max,
                      "lstm_state_clip_nan": state_clip_nan}
        initializers = {"i2h_weight": i2h_weight_initializer, "h2h_weight": h2h_weight_initializer,
                        "i2h_bias": i2h_bias_initializer, "h2h_bias": h2h_bias_initializer,
                        "h2r_weight": h2r_weight_initializer}
        inputs = input_size
        for layer in range(num_layers):
            for direction in "lr"[:self._dir]:
                for kind, shape in self._shapes(inputs).items():
                    name = f"{direction}{layer}_{kind}"
                    setattr(self, name, self.params.get(name, shape=shape, init=initializers[kind], dtype=dtype,
                                                        allow_deferred_init=True))
            inputs = self._output_size() * self._dir

    def _shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        """Shapes of one layer's parameters in one direction."""
        rows = self._gates * self._hidden_size
        shapes = {"i2h_weight": (rows, inputs), "h2h_weight": (rows, self._output_size()), "i2h_bias": (rows,),
                  "h2h_bias": (rows,)}
        if self._projection_size:
            shapes["h2r_weight"] = (self._projection_size, self._hidden_size)
        return shapes

    def _output_size(self) -> int:
        return self._projection_size or self._hidden_size

    def __repr__(self) -> str:
        rows, inputs = self.l0_i2h_weight.shape
        words = [f"{inputs or None} -> {rows // self._gates}", self._layout]
        if self._num_layers != 1:
            words.append(f"num_layers={self._num_layers}")
        if self._dropout != 0:
            words.append(f"dropout={self._dropout}")
        if self._dir == 2:
            words.append("bidirectional")
        return f"{type(self).__name__}({', '.join(words)})"

    # -- states -----------------------------------------------------------------------------------------------
    def state_info(self, batch_size: int = 0) -> list[dict]:
        """Shape, layout and dtype of each state."""
        rows = self._num_layers * self._dir
        widths = (self._output_size(), self._hidden_size)[:self._num_states]
        return [{"shape": (rows, batch_size, width), "__layout__": "LNC", "dtype": self._dtype} for width in widths]

    def begin_state(self, batch_size: int = 0, func: Callable | None = None, **kwargs: Any) -> list:
        """The states before the first step: zeros, or what ``func(name=, shape=, **kwargs)`` makes."""
        infos = self.state_info(batch_size)
        if func is None or func is ndarray.zeros:
            return [ndarray.zeros(info["shape"], **{"dtype": info["dtype"], **kwargs}) for info in infos]
        return [func(name=f"{self.prefix}h0_{i}", **{**info, **kwargs}) for i, info in enumerate(infos)]

    def cast(self, dtype: Any) -> None:
        super().cast(dtype)
        self._dtype = dtype

    # -- running ----------------------------------------------------------------------------------------------
    def __call__(self, inputs: Any, states: Any = None, sequence_length: Any = None) -> Any:
        if states is not None and not isinstance(states, (list, tuple)):
            states = [states]
        if (sequence_length is not None) != self._use_sequence_length:
            raise AssertionError(f"{self.name}: sequence_length is given if, and only if, the layer was made with "
                                 f"use_sequence_length=True")
        if states is None and not isinstance(inputs, NDArray):
            # A symbol's begin states are named in the scope around the layer, as in MXNet's files.
            begin = self.begin_state(0, func=functions_for(inputs).zeros)
            return super().__call__(inputs, begin, sequence_length)[0]
        return super().__call__(inputs, states, sequence_length)

    def infer_shape(self, inputs: NDArray, *args: Any) -> None:
        """The width of the inputs is the only thing not known."""
        for direction in "lr"[:self._dir]:
            weight = self._reg_params[f"{direction}0_i2h_weight"]
            weight.shape = (weight.shape[0], inputs.shape[2])

    def hybrid_forward(self, F: Any, inputs: Any, states: list | None = None, sequence_length: Any = None,
                       **params: Any) -> Any:
        """inputs: float[T, N, C] (layout TNC).   Returns the outputs, and the states if states were given."""
        given = states is not None
        if isinstance(inputs, NDArray):
            batch = inputs.shape[self._layout.find("N")]
            states = states if given else self.begin_state(batch, ctx=inputs.ctx, dtype=inputs.dtype)
            self._check(states, batch)
        elif not given:
            states = self.begin_state(0, func=F.zeros)
        if self._layout == "NTC":
            inputs = F.swapaxes(inputs, dim1=0, dim2=1)
        extra = [sequence_length] if self._use_sequence_length else []
        outputs, *new_states = F.RNN(
            inputs, self._packed(F, params), *states, *extra, state_size=self._hidden_size,
            projection_size=self._projection_size, num_layers=self._num_layers, bidirectional=self._dir == 2,
            p=self._dropout, state_outputs=True, mode=self._mode, use_sequence_length=self._use_sequence_length,
            **self._clip)
        if self._layout == "NTC":
            outputs = F.swapaxes(outputs, dim1=0, dim2=1)
        return (outputs, new_states) if given else outputs

    def _packed(self, F: Any, params: dict[str, Any]) -> Any:
        """All parameters as one vector, as the operator wants them: the weights layer by layer, then the biases."""
        names = [f"{direction}{layer}_{kind}" for group in (("i2h_weight", "h2h_weight", "h2r_weight"),
                                                            ("i2h_bias", "h2h_bias"))
                 for layer in range(self._num_layers) for direction in "lr"[:self._dir] for kind in group]
        vectors = [F.reshape(params[name], shape=-1) for name in names if name in params]
        return F._internal._rnn_param_concat(*vectors, dim=0)

    def _check(self, states: list, batch: int) -> None:
        infos = self.state_info(batch)
        if len(states) != len(infos):
            raise ValueError(f"{self.name}: needs {len(infos)} states; got {len(states)}; see begin_state()")
        for state, info in zip(states, infos, strict=True):
            if state.shape != info["shape"]:
                raise ValueError(f"{self.name}: a state's shape is {info['shape']}; got {state.shape}; see "
                                 f"begin_state()")


class RNN(_RNNLayer):
    """h' = act(W x + b + R h + c) over a sequence, act relu or tanh (Elman)."""

    def __init__(self, hidden_size: int, num_layers: int = 1, activation: str = "relu", layout: str = "TNC",
                 dropout: float = 0, bidirectional: bool = False, i2h_weight_initializer: Any = None,
                 h2h_weight_initializer: Any = None, i2h_bias_initializer: Any = "zeros",
                 h2h_bias_initializer: Any = "zeros", input_size: int = 0, dtype: Any = "float32", **kwargs: Any):
        super().__init__(hidden_size, num_layers, layout, dropout, bidirectional, input_size, i2h_weight_initializer,
                         h2h_weight_initializer, i2h_bias_initializer, h2h_bias_initializer, f"rnn_{activation}",
                         dtype=dtype, **kwargs)


class LSTM(_RNNLayer):
    """c' = f c + i g, h' = o tanh(c') over a sequence (Hochreiter, Schmidhuber 1997); states [h, c].

    projection_size: h' is projected to that width (arXiv 1402.1128).   state_clip_min, _max: bounds on c'.
    """

    _gates, _num_states = 4, 2

    def __init__(self, hidden_size: int, num_layers: int = 1, layout: str = "TNC", dropout: float = 0,
                 bidirectional: bool = False, input_size: int = 0, i2h_weight_initializer: Any = None,
                 h2h_weight_initializer: Any = None, i2h_bias_initializer: Any = "zeros",
                 h2h_bias_initializer: Any = "zeros", projection_size: int | None = None,
                 h2r_weight_initializer: Any = None, state_clip_min: float | None = None,
                 state_clip_max: float | None = None, state_clip_nan: bool = False, dtype: Any = "float32",
                 **kwargs: Any):
        super().__init__(hidden_size, num_layers, layout, dropout, bidirectional, input_size, i2h_weight_initializer,
                         h2h_weight_initializer, i2h_bias_initializer, h2h_bias_initializer, "lstm", projection_size,
                         h2r_weight_initializer, state_clip_min, state_clip_max, state_clip_nan, dtype, **kwargs)


class GRU(_RNNLayer):
    """h' = (1 - z) tanh(W x + b + r (R h + c)) + z h over a sequence (Cho 2014)."""

    _gates = 3

    def __init__(self, hidden_size: int, num_layers: int = 1, layout: str = "TNC", dropout: float = 0,
                 bidirectional: bool = False, input_size: int = 0, i2h_weight_initializer: Any = None,
                 h2h_weight_initializer: Any = None, i2h_bias_initializer: Any = "zeros",
                 h2h_bias_initializer: Any = "zeros", dtype: Any = "float32", **kwargs: Any):
        super().__init__(hidden_size, num_layers, layout, dropout, bidirectional, input_size, i2h_weight_initializer,
                         h2h_weight_initializer, i2h_bias_initializer, h2h_bias_initializer, "gru", dtype=dtype,
                         **kwargs)
