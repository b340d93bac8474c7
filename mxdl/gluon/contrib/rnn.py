"""More recurrent cells: LSTM with projection, dropout that is the same at every step."""
from __future__ import annotations

from typing import Any

from ..rnn.basic_cells import _Cell
from ..rnn.modifiers import ModifierCell
from ..rnn.stacked_cells import BidirectionalCell, SequentialRNNCell


class LSTMPCell(_Cell):
    """LSTM whose output is a projection of its hidden units (arXiv 1402.1128).

    states: [r, c]: float[N, P], float[N, H];   h2r_weight: float[P, H]
    """

    _gates = 4

    def __init__(self, hidden_size: int, projection_size: int, i2h_weight_initializer: Any = None,
                 h2h_weight_initializer: Any = None, h2r_weight_initializer: Any = None,
                 i2h_bias_initializer: Any = "zeros", h2h_bias_initializer: Any = "zeros", input_size: int = 0,
                 prefix: str | None = None, params: Any = None):
        self._projection_size = projection_size
        super().__init__(hidden_size, i2h_weight_initializer, h2h_weight_initializer, i2h_bias_initializer,
                         h2h_bias_initializer, input_size, prefix, params, projection_size, h2r_weight_initializer)

    def state_info(self, batch_size: int = 0) -> list[dict]:
        return [{"shape": (batch_size, width), "__layout__": "NC"}
                for width in (self._projection_size, self._hidden_size)]

    def _alias(self) -> str:
        return "lstmp"

    def hybrid_forward(self, F: Any, inputs: Any, states: list, i2h_weight: Any, h2h_weight: Any, h2r_weight: Any,
                       i2h_bias: Any, h2h_bias: Any) -> tuple[Any, list]:
        step = f"t{self._counter}_"
        i2h, h2h = self._project(F, inputs, states[0], i2h_weight, h2h_weight, i2h_bias, h2h_bias, step)
        i, f, g, o = F.SliceChannel(i2h + h2h, num_outputs=4, name=f"{step}slice")
        i = F.Activation(i, act_type="sigmoid", name=f"{step}i")
        f = F.Activation(f, act_type="sigmoid", name=f"{step}f")
        g = F.Activation(g, act_type="tanh", name=f"{step}c")
        o = F.Activation(o, act_type="sigmoid", name=f"{step}o")
        c = F.elemwise_add(f * states[1], i * g, name=f"{step}state")
        hidden = F.elemwise_mul(o, F.Activation(c, act_type="tanh"), name=f"{step}hidden")
        r = F.FullyConnected(hidden, h2r_weight, no_bias=True, num_hidden=self._projection_size, name=f"{step}out")
        return r, [r, c]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._widths()} -> {self._projection_size})"


class VariationalDropoutCell(ModifierCell):
    """Dropout with one draw for all steps of a sequence (arXiv 1512.05287), until `reset`."""

    def __init__(self, base_cell: Any, drop_inputs: float = 0.0, drop_states: float = 0.0, drop_outputs: float = 0.0):
        if drop_states and isinstance(base_cell, BidirectionalCell):
            raise AssertionError("VariationalDropoutCell: drop_states has no single state to act on; got a "
                                 "BidirectionalCell; wrap the two cells in it")
        if drop_states and isinstance(base_cell, SequentialRNNCell):
            raise AssertionError("VariationalDropoutCell: drop_states has no single state to act on; got a "
                                 "SequentialRNNCell; wrap the cells of the stack")
        super().__init__(base_cell)
        self.drop_inputs, self.drop_states, self.drop_outputs = drop_inputs, drop_states, drop_outputs

    def _alias(self) -> str:
        return "vardrop"

    def reset(self) -> None:
        """Draw anew at the next step."""
        super().reset()
        self._masks: dict[str, Any] = {}

    def _drop(self, F: Any, what: str, rate: float, x: Any) -> Any:
        if not rate:
            return x
        if what not in self._masks:
            self._masks[what] = F.Dropout(F.ones_like(x), p=rate)
        return x * self._masks[what]

    def hybrid_forward(self, F: Any, inputs: Any, states: list) -> tuple[Any, list]:
        # only the output state is dropped, as in MXNet: an LSTM's memory is kept whole
        first = self._drop(F, "states", self.drop_states, states[0]) if states else None
        inputs = self._drop(F, "inputs", self.drop_inputs, inputs)
        output, states = self.base_cell(inputs, states if first is None else [first, *states[1:]])
        return self._drop(F, "outputs", self.drop_outputs, output), states

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p_out = {self.drop_outputs}, p_state = {self.drop_states})"
