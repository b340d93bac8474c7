"""Elementwise operators: rows of (mxdl's names, ONNX's name)."""
from __future__ import annotations

from .call import OnnxCall, rule

BINARY = {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "power": "Pow", "maximum": "Max", "minimum": "Min"}
COMPARED = {"equal": "Equal", "greater": "Greater", "greater_equal": "GreaterOrEqual", "lesser": "Less",
            "lesser_equal": "LessOrEqual"}
SCALAR = {"_plus_scalar": "Add", "_minus_scalar": "Sub", "_mul_scalar": "Mul", "_div_scalar": "Div",
          "_power_scalar": "Pow", "_maximum_scalar": "Max", "_minimum_scalar": "Min"}
REVERSED = {"_rminus_scalar": "Sub", "_rdiv_scalar": "Div", "_rpower_scalar": "Pow"}
UNARY = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "exp": "Exp", "log": "Log", "sqrt": "Sqrt",
         "abs": "Abs", "negative": "Neg", "erf": "Erf", "floor": "Floor", "ceil": "Ceil", "sign": "Sign",
         "reciprocal": "Reciprocal", "sin": "Sin", "cos": "Cos", "tan": "Tan", "arctan": "Atan", "arcsin": "Asin",
         "arccos": "Acos", "sinh": "Sinh", "cosh": "Cosh", "arcsinh": "Asinh", "arccosh": "Acosh",
         "arctanh": "Atanh", "softsign": "Softsign", "rint": "Round"}
ACTIVATION = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softrelu": "Softplus", "softsign": "Softsign"}


def _binary(kind: str):
    return lambda call: call.add(kind, *call.names)


def _compared(kind: str):
    return lambda call: call.cast(call.add(kind, *call.names), call.outputs[0].dtype)


def _with_scalar(kind: str, reverse: bool):
    def convert(call: OnnxCall) -> str:
        pair = [call.names[0], call.scalar(call.attrs["scalar"])]
        return call.add(kind, *(reversed(pair) if reverse else pair))
    return convert


def _scalar_compared(kind: str):
    """In double precision: 2 is less than 2.5 among integers too, unless the scalar is to be one of them."""
    def convert(call: OnnxCall) -> str:
        whole = call.attrs["is_int"] and "int" in call.inputs[0].dtype
        scalar = call.scalar(int(call.attrs["scalar"]) if whole else call.attrs["scalar"], "float64")
        return call.cast(call.add(kind, call.cast(call.names[0], "float64"), scalar), call.outputs[0].dtype)
    return convert


for _name, _kind in BINARY.items():
    rule(f"elemwise_{_name}", f"broadcast_{_name}", f"_{_name}")(_binary(_kind))
for _name, _kind in COMPARED.items():
    rule(f"broadcast_{_name}", f"_{_name}")(_compared(_kind))
    rule(f"_{_name}_scalar")(_scalar_compared(_kind))
for _name, _kind in SCALAR.items():
    rule(_name)(_with_scalar(_kind, False))
for _name, _kind in REVERSED.items():
    rule(_name)(_with_scalar(_kind, True))
for _name, _kind in UNARY.items():
    rule(_name)(_binary(_kind))


@rule("_copy", "BlockGrad", "make_loss", "Dropout")
def identity(call: OnnxCall) -> str:
    if call.attrs.get("mode") == "always":
        raise call.refuse("mode='always' draws at each call")
    return call.add("Identity", call.names[0])


@rule("square")
def square(call: OnnxCall) -> str:
    return call.add("Mul", call.names[0], call.names[0])


@rule("rsqrt")
def rsqrt(call: OnnxCall) -> str:
    return call.add("Reciprocal", call.add("Sqrt", call.names[0]))


@rule("clip")
def clip(call: OnnxCall) -> str:
    return call.add("Clip", call.names[0], call.scalar(call.attrs["a_min"]), call.scalar(call.attrs["a_max"]))


@rule("add_n")
def add_n(call: OnnxCall) -> str:
    return call.add("Sum", *call.names)


@rule("where")
def where(call: OnnxCall) -> str:
    return call.add("Where", call.cast(call.names[0], "bool"), *call.names[1:])


@rule("Cast", "amp_cast")
def cast(call: OnnxCall) -> str:
    return call.cast(call.names[0], call.outputs[0].dtype)


@rule("hard_sigmoid")
def hard_sigmoid(call: OnnxCall) -> str:
    return call.add("HardSigmoid", call.names[0], alpha=call.attrs["alpha"], beta=call.attrs["beta"])


@rule("Activation")
def activation(call: OnnxCall) -> str:
    kind = call.attrs["act_type"]
    if kind not in ACTIVATION:
        raise call.refuse(f"act_type={kind!r} has no ONNX operator here")
    return call.add(ACTIVATION[kind], call.names[0])


@rule("LeakyReLU")
def leaky_relu(call: OnnxCall) -> str:
    kind, x = call.attrs["act_type"], call.names[0]
    if kind in ("leaky", "rrelu"):
        slope = call.attrs["slope"] if kind == "leaky" else (call.attrs["lower_bound"] + call.attrs["upper_bound"]) / 2
        return call.add("LeakyRelu", x, alpha=slope)
    if kind == "elu":
        return call.add("Elu", x, alpha=call.attrs["slope"])
    if kind == "selu":
        return call.add("Selu", x)
    if kind == "gelu":
        half = call.add("Mul", x, call.scalar(0.5))
        erf = call.add("Erf", call.add("Mul", x, call.scalar(2 ** -0.5)))
        return call.add("Mul", half, call.add("Add", erf, call.scalar(1.0)))
    shape = call.inputs[1].shape   # prelu: a slope for each channel
    return call.add("PRelu", x, call.reshape(call.names[1], (*shape, *(1,) * (len(call.inputs[0].shape) - 2))))
