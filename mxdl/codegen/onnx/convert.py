"""From a predict graph with its parameters to ONNX."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ...errors import MXNetError, NotBuiltError
from ...files import atomic_write
from ...graph import Graph, Node, Value
from ...passes.infer_types import Types, describe, infer_types
from ...passes.merge import merge
from ...passes.pipeline import fill_created
from ...passes.simplify import simplify
from ...passes.specialize import specialize
from ...passes.unroll import unroll
from ...types import TensorType
from ...version import __version__
from ..plan import constants_of
from ..without_casts import in_float32
from . import arrays, elementwise, layers, recurrent  # noqa: F401  they fill RULES
from .call import RULES, Builder, OnnxCall

OPSET, IR_VERSION = 17, 8


def export_onnx(graph: Graph, parameters: Mapping[str, torch.Tensor],
                inputs: Mapping[str, Sequence[int] | TensorType], path: str | os.PathLike[str],
                name: str = "model") -> None:
    """Write `graph` in predict mode as an ONNX file; arguments as for `export_c`.

    Raises NotBuiltError with every operator that has no ONNX here (nothing is then written), MXNetError where the
    package onnx is not installed.
    """
    model = onnx_model(graph, parameters, inputs, name)
    with atomic_write(path) as file:
        file.write(model.SerializeToString(deterministic=True))


def onnx_model(graph: Graph, parameters: Mapping[str, torch.Tensor],
               inputs: Mapping[str, Sequence[int] | TensorType], name: str = "model") -> Any:
    """The model, checked by the package onnx."""
    try:
        from onnx import helper
    except ImportError:
        raise MXNetError("export to onnx: the package onnx is not installed; do pip install 'mxdl[onnx]'") from None
    given = {key: kind if isinstance(kind, TensorType) else TensorType(tuple(kind)) for key, kind in inputs.items()}
    graph, parameters, types_given = in_float32(graph, parameters, given)
    given = dict(types_given)
    known = given | {n.name: _type(parameters[n.name]) for n in graph.inputs if n.name in parameters}
    graph = unroll(graph, known | {key: _type(tensor) for key, tensor in parameters.items()})
    predict = specialize(fill_created(graph, infer_types(graph, known)), training=False).graph
    graph = merge(simplify(Graph(predict.outputs[:len(graph.outputs)])))
    types = infer_types(graph, known)
    constants = constants_of(graph, parameters, types)
    builder = Builder()
    names = {v: builder.constant(_array(t), v.node.name) for v, t in constants.items()}
    names |= {Value(n, 0): n.name for n in graph.inputs if n.name in given}
    _convert(graph, types, builder, names, constants)
    outputs = []
    for i, value in enumerate(graph.outputs):
        outputs.append(builder.add("Identity", [names[value]], [f"output{i}"])[0])
    made = helper.make_model(
        helper.make_graph(builder.nodes, name, [_info(k, given[k]) for k in given],
                          [_info(o, types[v]) for o, v in zip(outputs, graph.outputs, strict=True)], builder.constants),
        opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="mxdl",
        producer_version=__version__)
    if made.ByteSize() < 2**31:
        _check(made)
    return made


def _check(made: Any) -> None:
    """Raises NotBuiltError where an operator of ONNX does not take the dtypes that reach it."""
    import onnx
    try:
        onnx.checker.check_model(made, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise NotBuiltError(f"export to onnx: ONNX has no such form of an operator: {error}; "
                            f"cast the model to float32, or export with --to c") from None


def _convert(graph: Graph, types: Types, builder: Builder, names: dict[Value, str],
             constants: Mapping[Value, torch.Tensor]) -> None:
    """Every node by its rule; refusals of all of them are told at once."""
    refused: dict[str, None] = {}
    for node in graph.nodes:
        values = [Value(node, i) for i in range(node.num_outputs)]
        if node.op is None or all(v in names for v in values) or not _needed(node, names, constants):
            continue
        try:
            found = _by_rule(node, values, types, builder, names, constants)
        except NotBuiltError as error:
            refused[str(error)] = None
            found = [builder.fresh("refused") for _ in values]
        names.update(zip(values, found, strict=False))
    if refused:
        raise NotBuiltError(f"export to onnx: {len(refused)} without ONNX here: {'; '.join(refused)}; "
                            f"export with --to c or --to mxnet, or change the model")


def _needed(node: Node, names: Mapping[Value, str], constants: Mapping[Value, torch.Tensor]) -> bool:
    """Whether the node is computed when the model runs: what is constant and read has a name already."""
    return any(v in names and v not in constants and i not in node.op.traits.shape_only
               for i, v in enumerate(node.inputs))


def _by_rule(node: Node, values: Sequence[Value], types: Types, builder: Builder, names: Mapping[Value, str],
             constants: Mapping[Value, torch.Tensor]) -> list[str]:
    outputs = [types[v] for v in values]
    given = [v for v in node.inputs if v in names]
    call = OnnxCall(node.op.name, describe(node), builder, [names[v] for v in given], [types[v] for v in given],
                    outputs, node.op.filled(node.attrs), [constants.get(v) for v in given])
    if node.op.traits.reshape:
        return [call.reshape(call.names[0], outputs[0].shape)]
    if node.op.name not in RULES:
        raise call.refuse("no ONNX operator is known for it")
    found = RULES[node.op.name](call)
    return [found] if isinstance(found, str) else list(found)


def _type(tensor: torch.Tensor) -> TensorType:
    return TensorType(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def _info(name: str, kind: TensorType) -> Any:
    from onnx import helper
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(kind.dtype)), kind.shape)
