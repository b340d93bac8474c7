"""RNNCell, LSTMCell, GRUCell.  Letters: N samples, I input, H hidden, G gates a hidden unit."""
from __future__ import annotations

from typing import Any

from .cell import HybridRecurrentCell


class _Cell(HybridRecurrentCell):
    """What the three share: i2h and h2h weights float[G * H, I], float[G * H, H] and biases float[G * H]."""

    _gates = 1
    _num_states = 1

    def __init__(self, hidden_size: int, i2h_weight_initializer: Any, h2h_weight_initializer: Any,
                 i2h_bias_initializer: Any, h2h_bias_initializer: Any, input_size: int, prefix: str | None,
                 params: Any, projection_size: int = 0, h2r_weight_initializer: Any = None):
        super().__init__(prefix=prefix, params=params)
        self._hidden_size, self._input_size = hidden_size, input_size
        rows = self._gates * hidden_size
        self._register("i2h_weight", (rows, input_size), i2h_weight_initializer)
        self._register("h2h_weight", (rows, projection_size or hidden_size), h2h_weight_initializer)
        if projection_size:
            self._register("h2r_weight", (projection_size, hidden_size), h2r_weight_initializer)
        self._register("i2h_bias", (rows,), i2h_bias_initializer)
        self._register("h2h_bias", (rows,), h2h_bias_initializer)

    def _register(self, name: str, shape: tuple[int, ...], init: Any) -> None:
        setattr(self, name, self.params.get(name, shape=shape, init=init, allow_deferred_init=True))

    def state_info(self, batch_size: int = 0) -> list[dict]:
        return [{"shape": (batch_size, self._hidden_size), "__layout__": "NC"} for _ in range(self._num_states)]

    def _project(self, F: Any, inputs: Any, state: Any, i2h_weight: Any, h2h_weight: Any, i2h_bias: Any,
                 h2h_bias: Any, step: str) -> tuple[Any, Any]:
        """inputs and state times their weights: each float[N, G * H]."""
        rows = self._gates * self._hidden_size
        return (F.FullyConnected(inputs, i2h_weight, i2h_bias, num_hidden=rows, name=step + "i2h"),
                F.FullyConnected(state, h2h_weight, h2h_bias, num_hidden=rows, name=step + "h2h"))

    def _widths(self) -> str:
        rows, inputs = self.i2h_weight.shape
        return f"{inputs or None} -> {rows}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._widths()})"


class RNNCell(_Cell):
    """h' = activation(W x + b + R h + c)   (Elman)."""

    def __init__(self, hidden_size: int, activation: Any = "tanh", i2h_weight_initializer: Any = None,
                 h2h_weight_initializer: Any = None, i2h_bias_initializer: Any = "zeros",
                 h2h_bias_initializer: Any = "zeros", input_size: int = 0, prefix: str | None = None,
                 params: Any = None):
        super().__init__(hidden_size, i2h_weight_initializer, h2h_weight_initializer, i2h_bias_initializer,
                         h2h_bias_initializer, input_size, prefix, params)
        self._activation = activation

    def _alias(self) -> str:
        return "rnn"

    def hybrid_forward(self, F: Any, inputs: Any, states: list, i2h_weight: Any, h2h_weight: Any, i2h_bias: Any,
                       h2h_bias: Any) -> tuple[Any, list]:
        step = f"t{self._counter}_"
        i2h, h2h = self._project(F, inputs, states[0], i2h_weight, h2h_weight, i2h_bias, h2h_bias, step)
        total = F.elemwise_add(i2h, h2h, name=f"{step}plus0")
        output = self._get_activation(F, total, self._activation, name=f"{step}out")
        return output, [output]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._widths()}, {self._activation})"


class LSTMCell(_Cell):
    """c' = f c + i g,  h' = o act(c'),  gates i, f, g, o = act(W x + b + R h + c)   (Hochreiter, Schmidhuber 1997).

    states: [h, c], each float[N, H]
    """

    _gates, _num_states = 4, 2

    def __init__(self, hidden_size: int, i2h_weight_initializer: Any = None, h2h_weight_initializer: Any = None,
                 i2h_bias_initializer: Any = "zeros", h2h_bias_initializer: Any = "zeros", input_size: int = 0,
                 prefix: str | None = None, params: Any = None, activation: Any = "tanh",
                 recurrent_activation: Any = "sigmoid"):
        super().__init__(hidden_size, i2h_weight_initializer, h2h_weight_initializer, i2h_bias_initializer,
                         h2h_bias_initializer, input_size, prefix, params)
        self._activation, self._recurrent_activation = activation, recurrent_activation

    def _alias(self) -> str:
        return "lstm"

    def hybrid_forward(self, F: Any, inputs: Any, states: list, i2h_weight: Any, h2h_weight: Any, i2h_bias: Any,
                       h2h_bias: Any) -> tuple[Any, list]:
        step = f"t{self._counter}_"
        i2h, h2h = self._project(F, inputs, states[0], i2h_weight, h2h_weight, i2h_bias, h2h_bias, step)
        gates = F.elemwise_add(i2h, h2h, name=f"{step}plus0")
        i, f, g, o = F.SliceChannel(gates, num_outputs=4, name=f"{step}slice")
        i = self._get_activation(F, i, self._recurrent_activation, name=f"{step}i")
        f = self._get_activation(F, f, self._recurrent_activation, name=f"{step}f")
        g = self._get_activation(F, g, self._activation, name=f"{step}c")
        o = self._get_activation(F, o, self._recurrent_activation, name=f"{step}o")
        c = F.elemwise_add(F.elemwise_mul(f, states[1], name=f"{step}mul0"), F.elemwise_mul(i, g, name=f"{step}mul1"),
                           name=f"{step}state")
        h = F.elemwise_mul(o, F.Activation(c, act_type=self._activation, name=f"{step}activation0"), name=f"{step}out")
        return h, [h, c]


class GRUCell(_Cell):
    """h' = (1 - z) tanh(W x + b + r (R h + c)) + z h,  gates r, z = sigmoid(...)   (Cho 2014, as cuDNN computes it)."""

    _gates = 3

    def __init__(self, hidden_size: int, i2h_weight_initializer: Any = None, h2h_weight_initializer: Any = None,
                 i2h_bias_initializer: Any = "zeros", h2h_bias_initializer: Any = "zeros", input_size: int = 0,
                 prefix: str | None = None, params: Any = None):
        super().__init__(hidden_size, i2h_weight_initializer, h2h_weight_initializer, i2h_bias_initializer,
                         h2h_bias_initializer, input_size, prefix, params)

    def _alias(self) -> str:
        return "gru"

    def hybrid_forward(self, F: Any, inputs: Any, states: list, i2h_weight: Any, h2h_weight: Any, i2h_bias: Any,
                       h2h_bias: Any) -> tuple[Any, list]:
        step = f"t{self._counter}_"
        before = states[0]
        i2h, h2h = self._project(F, inputs, before, i2h_weight, h2h_weight, i2h_bias, h2h_bias, step)
        i2h_r, i2h_z, i2h = F.SliceChannel(i2h, num_outputs=3, name=f"{step}i2h_slice")
        h2h_r, h2h_z, h2h = F.SliceChannel(h2h, num_outputs=3, name=f"{step}h2h_slice")
        r = F.Activation(F.elemwise_add(i2h_r, h2h_r, name=f"{step}plus0"), act_type="sigmoid", name=f"{step}r_act")
        z = F.Activation(F.elemwise_add(i2h_z, h2h_z, name=f"{step}plus1"), act_type="sigmoid", name=f"{step}z_act")
        candidate = F.Activation(
            F.elemwise_add(i2h, F.elemwise_mul(r, h2h, name=f"{step}mul0"), name=f"{step}plus2"),
            act_type="tanh", name=f"{step}h_act")
        keep = F.elemwise_sub(F.ones_like(z, name=f"{step}ones_like0"), z, name=f"{step}minus0")
        h = F.elemwise_add(F.elemwise_mul(keep, candidate, name=f"{step}mul1"),
                           F.elemwise_mul(z, before, name=f"{step}mul20"), name=f"{step}out")
        return h, [h]
