"""Making nodes the way MXNet's symbols do: names, attribute texts, variables for the inputs that are not given."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..attribute import AttrScope
from ..errors import OperatorError
from ..graph import Node, Value, variable
from ..graph.hidden import HIDDEN_KEYS, hidden_key
from ..name import NameManager
from ..ops import Operator
from ..types import dtype_name

#: attributes that say how many inputs an operator is given, where it is not `num_args`
_COUNTS = ("num_arrays", "num_outputs", "num_tensors", "num_weights")


def make_node(op: Operator, hint: str, inputs: Mapping[str, Value] | Sequence[Value], attrs: Mapping[str, Any],
              name: str | None = None, attr: Mapping[str, str] | None = None) -> Node:
    """A node applying `op`.

    inputs: by name (missing ones become variables ``NAME_input``), or a list where the operator takes any number.
    attrs: the operator's attributes and, among them, hidden ones (``__shape__``, ``lr_mult``); `attr`: more of them.
    Raises OperatorError for unknown and missing attributes.
    """
    texts = {hidden_key(key): attribute_text(value) for key, value in AttrScope.current.get(attr).items()}
    for key, value in attrs.items():
        _refuse_parameter_attribute(op, key, value)
        texts[hidden_key(key)] = attribute_text(value)
    named = not isinstance(inputs, Sequence)
    if not named and op.variadic:
        texts.setdefault(next((c for c in _COUNTS if c in op.attributes), "num_args"), str(len(inputs)))
    typed = op.parse({k: attrs.get(k, text) for k, text in texts.items() if not _is_hidden(k)})
    name = NameManager.current.get(name, hint)
    if named:
        inputs = _with_variables(op, name, inputs, typed, texts)
    elif op.inputs_rule is not None:
        missing = op.input_names(typed, len(inputs))[len(inputs):]
        inputs = [*inputs, *(variable(f"{name}_{n}", dict(texts)) for n in missing)]
    for parameter, value in zip(op.input_names(typed, len(inputs)), inputs, strict=False):
        if parameter in op.initializers and value.node.op is None:
            value.node.hidden.setdefault("__init__", op.initializers[parameter])
    return Node(op, name, typed, inputs, texts)


def visible_outputs(node: Node) -> list[Value]:
    """What the user of `node` sees."""
    count = 1 if node.op is None else node.op.num_visible(node.attrs)
    return [Value(node, i) for i in range(count)]


def attribute_text(value: Any) -> str:
    """What a symbol file holds for an attribute given in Python: ``str(value)``, dtypes by their names."""
    if isinstance(value, str):
        return value
    if isinstance(value, (type, np.dtype, torch.dtype)):
        return dtype_name(value)
    if isinstance(value, (list, tuple)):
        return str(type(value)(v.item() if isinstance(v, np.generic) else v for v in value))
    return str(value.item() if isinstance(value, np.generic) else value)


def _is_hidden(key: str) -> bool:
    return key.startswith("__") and key.endswith("__")


def _refuse_parameter_attribute(op: Operator, key: str, value: Any) -> None:
    for hidden in HIDDEN_KEYS:
        if key.endswith(f"_{hidden}") and not key.startswith("__") and key not in op.attributes:
            parameter = key.removesuffix(f"_{hidden}")
            raise OperatorError(f"{op.name}: an operator does not carry its parameters' {hidden}; got {key}={value!r}; "
                                f"make the parameter: {parameter}=mx.sym.var(..., {hidden}={value!r})")


def _with_variables(op: Operator, name: str, given: Mapping[str, Value], typed: Mapping[str, Any],
                    texts: Mapping[str, str]) -> list[Value]:
    """The inputs in use, in order; those not given become variables that carry the operator's attributes."""
    wanted = op.input_names(typed)
    unused = [n for n in given if n not in wanted]
    if unused:
        raise OperatorError(f"{op.name}: an input that its attributes switch off; got {', '.join(unused)}; "
                            f"with these attributes it takes {', '.join(wanted)}")
    if op.inputs_rule is None:  # optional inputs at the end are left out
        while wanted and wanted[-1] in op.optional and wanted[-1] not in given:
            wanted = wanted[:-1]
    return [given[n] if n in given else variable(f"{name}_{n}", dict(texts)) for n in wanted]
