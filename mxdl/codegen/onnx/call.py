"""What a rule of the ONNX export is given: names and types of a node's inputs, and where to put ONNX's nodes."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ...errors import NotBuiltError
from ...types import TensorType

Rule = Callable[["OnnxCall"], str | Sequence[str]]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Registers a rule for the operators of these names.  It returns the name, or names, of its outputs."""
    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function
    return register


class Builder:
    """ONNX's nodes and constants, as they are made."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._count = 0

    def fresh(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._count}"

    def constant(self, value: np.ndarray, stem: str = "constant") -> str:
        from onnx import numpy_helper
        name = self.fresh(stem)
        self.constants.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def add(self, kind: str, inputs: Iterable[str], outputs: int | Sequence[str], **attributes: Any) -> list[str]:
        from onnx import helper
        names = [self.fresh(kind.lower()) for _ in range(outputs)] if isinstance(outputs, int) else list(outputs)
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names


class OnnxCall:
    """One node to convert.  op: the operator's name.   names: of its inputs.   inputs, outputs: their types.
    attrs: with defaults.   values: the tensors of inputs that are known now, else None."""

    def __init__(self, op: str, where: str, builder: Builder, names: Sequence[str], inputs: Sequence[TensorType],
                 outputs: Sequence[TensorType], attrs: Mapping[str, Any], values: Sequence[torch.Tensor | None]):
        self.op, self.where, self.builder, self.names, self.inputs = op, where, builder, names, inputs
        self.outputs, self.attrs, self.values = outputs, attrs, values

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """An ONNX node of one output; its name."""
        return self.builder.add(kind, inputs, 1, **attributes)[0]

    def add_many(self, kind: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        return self.builder.add(kind, inputs, count, **attributes)

    def ints(self, *values: int) -> str:
        """A constant int64 vector."""
        return self.builder.constant(np.array(values, np.int64))

    def scalar(self, value: float, dtype: str = "") -> str:
        """A constant of the first input's dtype, or of `dtype`."""
        return self.builder.constant(np.array(value, dtype or self.inputs[0].dtype))

    def array(self, value: np.ndarray) -> str:
        return self.builder.constant(value)

    def cast(self, name: str, dtype: str) -> str:
        from onnx import helper
        return self.add("Cast", name, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def reshape(self, name: str, shape: Sequence[int]) -> str:
        return self.add("Reshape", name, self.ints(*shape), allowzero=1)

    def index(self, name: str, length: int) -> str:
        """`name` as positions along an axis of `length`; what lies outside is the nearest one, as MXNet has it."""
        return self.add("Clip", self.cast(name, "int64"), self.scalar(0, "int64"), self.scalar(length - 1, "int64"))

    def axis(self, value: int, ndim: int | None = None) -> int:
        """`value` counted from the front."""
        return value % (ndim or len(self.inputs[0].shape) or 1)

    def refuse(self, reason: str) -> NotBuiltError:
        return NotBuiltError(f"{self.where}: {reason}")
