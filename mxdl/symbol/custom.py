"""``mx.sym.Custom``: an operator that was registered with ``mx.operator.register``."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import OperatorError
from ..ops.custom import operator_of
from .compose import make_node, visible_outputs
from .symbol import Symbol, one_value


def Custom(*data: Symbol, op_type: str, name: str | None = None, attr: Mapping[str, str] | None = None,
           **options: Any) -> Symbol:
    """A node that applies the operator registered as `op_type`.

    data: its arguments and then its states, by position or by name; those not given become variables.
    options: strings for its CustomOpProp.
    """
    named = {key: options.pop(key) for key, value in list(options.items()) if isinstance(value, Symbol)}
    op = operator_of({"op_type": op_type, **options})
    if len(data) > len(op.parameters):
        raise OperatorError(f"Custom {op_type}: too many inputs; got {len(data)}; it takes {', '.join(op.parameters)}")
    unknown = [key for key in named if key not in op.parameters[len(data):]]
    if unknown:
        raise OperatorError(f"Custom {op_type}: an input that it does not take, or has by position; got "
                            f"{', '.join(unknown)}; it takes {', '.join(op.parameters)}")
    inputs = {parameter: one_value(symbol, f"Custom {op_type}: {parameter!r}")
              for parameter, symbol in [*zip(op.parameters, data, strict=False), *named.items()]}
    return Symbol(visible_outputs(make_node(op, "custom", inputs, {"op_type": op_type, **options}, name, attr)))
