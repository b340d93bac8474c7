"""Operators of MXNet that files contain and that mxdl cannot run yet: such files load, print and save."""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import NotBuiltError
from .operator import Operator

#: Families by pattern, and what to do instead.
_FAMILIES = (
    (re.compile(r"_sg_mkldnn_\w+|_contrib_(quantize|quantize_v2|dequantize|requantize|quantized_\w+|calibrate_entropy)"),
     "load the model's float32 version instead"),
    (re.compile(r"_foreach|_while_loop|_cond"), "write it with nd.contrib in a hybridized block, which unrolls it"),
)


def not_built_reason(name: str) -> str | None:
    """What to do instead of operator `name`, where it is one of these; None for every other name."""
    return next((advice for pattern, advice in _FAMILIES if pattern.fullmatch(name)), None)


class NotBuiltOperator(Operator):
    """Stands for one node's operator: takes any inputs and attributes, and raises when it is run.

    subgraphs: graphs that the file holds inside the node (control flow, fused convolutions), kept for saving.
    inputs: names of the first inputs, where known.   auxiliary: which of them are auxiliary states.
    """

    def __init__(self, name: str, node_name: str, num_outputs: int = 1, subgraphs: Sequence[Any] = (),
                 inputs: Sequence[str] = (), auxiliary: Sequence[str] = ()):
        advice = not_built_reason(name) or "use another operator"

        def kernel(*data: Any) -> Any:
            raise NotBuiltError(f"{name}: mxdl can load this operator but not run it yet; got it at node "
                                f"{node_name!r}; {advice}")
        kernel.__doc__ = f"MXNet's {name}, which mxdl cannot run."
        super().__init__(name, kernel, num_outputs=num_outputs, auxiliary=auxiliary)
        self._inputs = list(inputs)
        self.subgraphs = tuple(subgraphs)

    def parse(self, attrs: Mapping[str, Any]) -> dict[str, Any]:
        """Nothing is known of its attributes: their texts stay in the node's `hidden`."""
        return {}

    def input_names(self, attrs: Mapping[str, Any], count: int | None = None) -> list[str]:
        """The names that are known, then arg0, arg1, ..."""
        return [*self._inputs, *(f"arg{i}" for i in range((count or 0) - len(self._inputs)))]
