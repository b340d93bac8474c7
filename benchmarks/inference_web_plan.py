"""An ONNX file of the zoo's convolutional nets as a list of fused steps, for a peer that reads no ONNX (tfjs).

What a converter would fold is folded here, to the peer's good: batch norms into filters, relu and relu6 into the step
before.  Tensors are NHWC, filters [H, W, in, out] (depthwise [H, W, channels, 1]).
"""
from __future__ import annotations

import json
from collections import Counter

import numpy as np


class Plan:
    """steps: dicts of plain JSON.   weights: float32 arrays, one after the other, by offset in elements."""

    def __init__(self) -> None:
        self.steps: list[dict] = []
        self.parts: list[np.ndarray] = []
        self.count = 0

    def keep(self, array: np.ndarray) -> dict:
        kept = {"at": self.count, "shape": list(array.shape)}
        self.parts.append(np.ascontiguousarray(array, "<f4").reshape(-1))
        self.count += array.size
        return kept

    def files(self) -> tuple[str, bytes]:
        return json.dumps(self.steps), b"".join(part.tobytes() for part in self.parts)


def plan_of(model) -> Plan:
    """model: onnx.ModelProto of one input and one output.   Raises ValueError for an operator not known here."""
    from onnx import helper, numpy_helper
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    nodes = list(model.graph.node)
    readers = Counter(name for node in nodes for name in node.input)
    attributes = {node.output[0]: {a.name: helper.get_attribute_value(a) for a in node.attribute} for node in nodes}
    constants |= {node.output[0]: numpy_helper.to_array(attributes[node.output[0]]["value"])
                  for node in nodes if node.op_type == "Constant"}
    next_of = {node.input[0]: node for node in nodes if readers[node.input[0]] == 1}
    plan, taken = Plan(), set()
    for node in nodes:
        if id(node) in taken or node.op_type == "Constant":
            continue
        step = {"op": node.op_type, "in": [n for n in node.input if n not in constants], "out": node.output[0]}
        more = attributes[node.output[0]]
        if node.op_type == "Conv":
            w = constants[node.input[1]]
            bias = constants[node.input[2]] if len(node.input) > 2 else np.zeros(len(w), "float32")
            after = next_of.get(node.output[0])
            if after is not None and after.op_type == "BatchNormalization":
                gamma, beta, mean, var = (constants[name] for name in after.input[1:5])
                scale = gamma / np.sqrt(var + attributes[after.output[0]]["epsilon"])
                w, bias = w * scale[:, None, None, None], (bias - mean) * scale + beta
                step["out"] = after.output[0]
                taken.add(id(after))
            groups = more["group"]
            if groups not in (1, len(w)) or groups > 1 and w.shape[1] != 1:
                raise ValueError(f"{node.name}: grouped convolutions are not known here; got {groups} groups")
            step |= {"depthwise": groups > 1, "strides": more["strides"], "pads": more["pads"],
                     "w": plan.keep(w.transpose(2, 3, 0, 1) if groups > 1 else w.transpose(2, 3, 1, 0)),
                     "b": plan.keep(bias), "then": "linear"}
        elif node.op_type == "MaxPool":
            step |= {"size": more["kernel_shape"], "strides": more["strides"], "pads": more["pads"]}
        elif node.op_type == "Gemm":
            step |= {"w": plan.keep(constants[node.input[1]].T), "b": plan.keep(constants[node.input[2]]),
                     "then": "linear"}
        elif node.op_type == "Clip":
            low, high = (float(constants[name]) for name in node.input[1:3])
            if (low, high) != (0, 6):
                raise ValueError(f"{node.name}: of Clip relu6 alone is known here; got {low} to {high}")
        elif node.op_type not in ("Relu", "Add", "GlobalAveragePool", "Reshape", "Identity"):
            raise ValueError(f"{node.name}: {node.op_type} is not known here")
        after = next_of.get(step["out"])
        if "then" in step and after is not None and after.op_type in ("Relu", "Clip"):
            step |= {"then": "relu" if after.op_type == "Relu" else "relu6", "out": after.output[0]}
            taken.add(id(after))
        plan.steps.append(step)
    return plan
