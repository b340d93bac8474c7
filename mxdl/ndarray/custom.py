"""``mx.nd.Custom``: an operator that was registered with ``mx.operator.register``."""
from __future__ import annotations

from typing import Any

from ..errors import OperatorError
from ..ops.custom import operator_of
from .invoke import invoke
from .ndarray import NDArray


def Custom(*data: NDArray, op_type: str, out: Any = None, name: str | None = None, **options: Any) -> Any:
    """Apply the operator that is registered as `op_type`.

    data: its arguments and then its states, by position or by name.   options: strings for its CustomOpProp.
    """
    named = {key: options.pop(key) for key, value in list(options.items()) if isinstance(value, NDArray)}
    op = operator_of({"op_type": op_type, **options})
    given = dict(zip(op.parameters, data, strict=False)) | named
    if set(given) != set(op.parameters) or len(data) + len(named) != len(op.parameters):
        raise OperatorError(f"Custom {op_type}: it takes {', '.join(op.parameters)}; got {len(data)} arrays by "
                            f"position and {', '.join(named) or 'none'} by name; give each one once")
    return invoke(op, [given[parameter] for parameter in op.parameters], op.parse({}), out)
