"""The reference process: MXNet 1.9.1 in a venv of its own, answering the parity tests over stdin and stdout.

Run by client.py as `PARITY_PYTHON server.py`; imports mxnet, numpy and message.py, never mxdl.
Requests are {"do": "op" | "run" | "names", ...}; the answer is {"ok": ...} or {"error": text}.
"""
from __future__ import annotations

import ctypes
import os
import sys
import traceback

import message
import mxnet as mx
import numpy as np
from mxnet._ctypes.ndarray import _imperative_invoke
from mxnet.base import _LIB, NDArrayHandle, c_str, check_call, py_str


class RegisteredOperator:
    """One of MXNet's operators by its registered name, called with strings for attributes as its files hold them."""

    def __init__(self, name):
        self.name = name
        self.handle = NDArrayHandle()
        check_call(_LIB.NNGetOpHandle(c_str(name), ctypes.byref(self.handle)))
        self.count_attribute = self._count_attribute()

    def _count_attribute(self):
        """Name of the attribute that holds the number of inputs ("num_args"), or ""."""
        text = [ctypes.c_char_p() for _ in range(4)]  # name, description, count attribute, return type
        number = ctypes.c_uint()
        lists = [ctypes.POINTER(ctypes.c_char_p)() for _ in range(3)]
        check_call(_LIB.MXSymbolGetAtomicSymbolInfo(
            self.handle, *map(ctypes.byref, (text[0], text[1], number, *lists, text[2], text[3]))))
        return py_str(text[2].value)

    def __call__(self, inputs, attrs):
        if self.count_attribute and self.count_attribute not in attrs:
            attrs = dict(attrs, **{self.count_attribute: str(len(inputs))})
        is_np = self.name.startswith(("_np_", "_npi_", "_npx_"))
        outputs = _imperative_invoke(self.handle.value, inputs, list(attrs), list(attrs.values()), None, is_np, False)
        return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def all_names(_request=None):
    number, names = ctypes.c_uint(), ctypes.POINTER(ctypes.c_char_p)()
    check_call(_LIB.MXListAllOpNames(ctypes.byref(number), ctypes.byref(names)))
    return [py_str(names[i]) for i in range(number.value)]


OPERATORS: dict = {}


def call_operator(request):
    """{"name", "inputs", "attrs", "train", "grad": indices, "head_grads": arrays or None an output}
    -> {"outputs", "inputs": as the call left them, "grads": arrays in the order of "grad", "grad_error": text}
    """
    name, wanted = request["name"], request["grad"]
    if name not in OPERATORS:
        OPERATORS[name] = RegisteredOperator(name)
    arrays = request["inputs"]
    # Legacy semantics read a length of 0 as "unknown": empty arrays and scalars need MXNet's NumPy shapes.
    with mx.util.np_shape(any(a.size == 0 or a.ndim == 0 for a in arrays)):
        make = mx.np.array if name.startswith(("_np_", "_npi_", "_npx_")) else mx.nd.array
        inputs = [make(a, dtype=a.dtype) for a in arrays]
        for i in wanted:
            inputs[i].attach_grad()
        if not wanted:
            with mx.autograd.train_mode() if request["train"] else mx.autograd.predict_mode():
                outputs = OPERATORS[name](inputs, request["attrs"])
            return {"outputs": to_numpy(outputs), "inputs": to_numpy(inputs), "grads": [], "grad_error": ""}
        with mx.autograd.record(train_mode=request["train"]):
            outputs = OPERATORS[name](inputs, request["attrs"])
        answer = {"outputs": to_numpy(outputs), "grads": [], "grad_error": ""}
        heads = [(out, make(dout, dtype=dout.dtype))
                 for out, dout in zip(outputs, request["head_grads"] or []) if dout is not None]
        try:
            mx.autograd.backward([out for out, _ in heads], [dout for _, dout in heads], train_mode=request["train"])
            answer["grads"] = to_numpy([inputs[i].grad for i in wanted])
        except mx.MXNetError as error:
            answer["grad_error"] = str(error).strip().splitlines()[-1]
        answer["inputs"] = to_numpy(inputs)  # after the backward pass: BatchNorm updates its statistics there
        return answer


def run_source(request):
    """{"source": Python text, "values": {name: value}} -> what the text leaves in `result`."""
    space = dict(request["values"], mx=mx, np=np)
    with mx.name.NameManager():        # automatic names count from 0, as on the other side
        exec(compile(request["source"], "<parity source>", "exec"), space)
    return to_numpy(space.get("result"))


def to_numpy(value):
    if isinstance(value, (mx.nd.NDArray, mx.np.ndarray)):
        return value.asnumpy()
    if isinstance(value, dict):
        return {key: to_numpy(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_numpy(item) for item in value]
    return value


ANSWERS = {"op": call_operator, "run": run_source, "names": all_names}


def main():
    # What MXNet or a snippet prints goes to stderr: stdout carries messages only.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests = sys.stdin.buffer
    while True:
        try:
            request = message.receive(requests)
        except EOFError:
            return
        np.random.seed(0)
        mx.random.seed(0)
        try:
            answer = {"ok": ANSWERS[request["do"]](request)}
        except Exception:  # noqa: BLE001 - whatever MXNet raises is the answer
            answer = {"error": traceback.format_exc()}
        message.send(answers, answer)


if __name__ == "__main__":
    main()
