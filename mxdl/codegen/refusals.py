"""What of a graph has no C, found before anything is written and told all at once."""
from __future__ import annotations

from collections.abc import Sequence

from ..errors import NotBuiltError
from ..graph import Node, Value
from ..ops.operator import TrainingOnly
from ..passes.infer_types import Types, describe
from .call import C_TYPES, Buffer, CCall


def require_kernels(steps: Sequence[Node], types: Types) -> None:
    """Raises NotBuiltError with every step that cannot be emitted: operator, node, block path and reason."""
    found = [reason for node in steps for reason in [refusal(node, types)] if reason]
    if found:
        count = f"{len(found)} operators: " if len(found) > 1 else ""
        raise NotBuiltError(f"export to C: {count}{'; '.join(dict.fromkeys(found))}; "
                            f"export with --to mxnet, or change the model")


def refusal(node: Node, types: Types) -> str:
    """Why the step has no C; "" where it has."""
    values = [*node.inputs, *(Value(node, i) for i in range(node.num_outputs))]
    for value in values:
        if types[value].dtype not in C_TYPES:
            return f"{describe(node)} works on {types[value]}, which has no C type; cast it to float32"
    if node.op.traits.reshape:
        return ""
    if node.op.emit_c_rule is None or isinstance(node.op.emit_c_rule, TrainingOnly):
        return f"no C kernel for {describe(node)}"
    buffers = [Buffer("p", types[value]) for value in values]
    count = len(node.inputs)
    try:
        node.op.emit_c_rule(CCall(describe(node), buffers[:count], buffers[count:], node.op.filled(node.attrs), {}))
    except NotBuiltError as error:
        return str(error).removeprefix("export to C: ")
    return ""
