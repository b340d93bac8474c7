"""ONNX by MXNet's names: `export_model` writes a model, `get_model_metadata` tells its inputs and outputs."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from .. import ndarray, symbol
from ..codegen.onnx import export_onnx
from ..errors import MXNetError, NotBuiltError, ShapeError
from ..ndarray import NDArray
from ..symbol import Symbol
from ..types import TensorType, dtype_name


def export_model(sym: Symbol | str, params: Mapping[str, NDArray] | str,
                 in_shapes: Sequence[Sequence[int]] | None = None, in_types: Any = np.float32,
                 onnx_file_path: str = "model.onnx", verbose: bool = False, dynamic: bool = False,
                 dynamic_input_shapes: Any = None, run_shape_inference: bool = False, input_type: Any = None,
                 input_shape: Any = None) -> str:
    """Write a symbol with its parameters (objects, or the names of their files) as ONNX; returns the path.

    in_shapes: of the inputs, in the symbol's order.   in_types: their dtype, or one for each.
    Raises NotBuiltError for dynamic shapes and for operators that ONNX has no form of.
    """
    if dynamic or dynamic_input_shapes:
        raise NotBuiltError("contrib.onnx.export_model: shapes are fixed when the model is written; got dynamic ones; "
                            "export once for each shape")
    sym = sym if isinstance(sym, Symbol) else symbol.load(os.fspath(sym))
    arrays = params if isinstance(params, Mapping) else ndarray.load(os.fspath(params))
    tensors = {name.split(":", 1)[-1]: array._data.detach() for name, array in arrays.items()}
    names = [n for n in sym.list_inputs() if n not in tensors]
    shapes = input_shape if in_shapes is None else in_shapes
    types = in_types if input_type is None else input_type
    types = list(types) if isinstance(types, (list, tuple)) else [types] * len(names)
    if shapes is not None and len(names) > len(shapes):
        labels = [n for n in names if n.endswith("_label")]    # of loss layers, which predict without them
        names = [n for n in names if n not in labels]
    if shapes is None or len(shapes) != len(names) or len(types) < len(names):
        raise ShapeError(f"contrib.onnx.export_model: a shape is needed for each input; got in_shapes={shapes} for "
                         f"{', '.join(names)}")
    inputs = {n: TensorType(tuple(s), dtype_name(t)) for n, s, t in zip(names, shapes, types, strict=False)}
    export_onnx(sym.graph(), tensors, inputs, onnx_file_path)
    return onnx_file_path


def get_model_metadata(model_file: str) -> dict[str, list[tuple[str, tuple[int, ...]]]]:
    """The names and shapes of an ONNX file's inputs ("input_tensor_data") and outputs ("output_tensor_data")."""
    try:
        import onnx
    except ImportError:
        raise MXNetError("contrib.onnx.get_model_metadata: the package onnx is not installed; do pip install "
                         "'mxdl[onnx]'") from None
    graph = onnx.load(model_file).graph
    inside = {tensor.name for tensor in graph.initializer}

    def told(values: Any) -> list[tuple[str, tuple[int, ...]]]:
        return [(v.name, tuple(d.dim_value for d in v.type.tensor_type.shape.dim)) for v in values
                if v.name not in inside]
    return {"input_tensor_data": told(graph.input), "output_tensor_data": told(graph.output)}


def _refuse(name: str) -> NoReturn:
    raise NotBuiltError(f"contrib.onnx.{name}: reading ONNX models is not built; run them with onnxruntime, or export "
                        f"the model from MXNet as -symbol.json and .params")


def import_model(model_file: str) -> NoReturn:
    """Not built: raises NotBuiltError."""
    _refuse("import_model")


def import_to_gluon(model_file: str, ctx: Any) -> NoReturn:
    """Not built: raises NotBuiltError."""
    _refuse("import_to_gluon")
