"""Models in mixed precision: the casts written into the symbol, to predict, save or train with."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...errors import GraphError
from ...gluon import HybridBlock, Parameter, SymbolBlock
from ...graph import Node, Value, variable
from ...graph.substitute import substituted
from ...initializer import Zero
from ...module import BucketingModule
from ...ndarray import NDArray
from ...ops.precision import Condition, Policy
from ...passes.low_precision import with_casts_by_dtype
from ...symbol import Symbol
from ...types import DTYPE_NAMES, TYPE_FLAGS, dtype_name, torch_dtype
from .lists import check_target

Names = Sequence[str] | None


def convert_symbol(sym: Symbol, target_dtype: str = "float16", target_dtype_ops: Iterable[str] | None = None,
                   fp32_ops: Iterable[str] | None = None, conditional_fp32_ops: Iterable[Condition] | None = None,
                   excluded_sym_names: Names = None, data_names: Names = None,
                   cast_optional_params: bool = False) -> Symbol:
    """`sym` with the casts of mixed precision, and outputs in float32.

    The lists of operators take the place of ours.   excluded_sym_names: nodes that stay in float32.
    data_names: the inputs that are no parameters; the others are declared float32.   cast_optional_params: parameters
    (with a declared dtype) that are read in `target_dtype` only are declared that instead of cast.
    Raises AssertionError for another dtype, OperatorError for unknown operators, GraphError for unknown nodes.
    """
    target = torch_dtype(check_target(target_dtype))
    policy = Policy(target, target_dtype_ops, fp32_ops, conditional_fp32_ops)
    graph = sym.graph()
    excluded = frozenset(excluded_sym_names or ())
    unknown = excluded - {node.name for node in graph.nodes}
    if unknown:
        raise GraphError(f"amp.convert_symbol: excluded_sym_names holds nodes that the symbol does not have; got "
                         f"{', '.join(sorted(unknown))}")
    if data_names is not None:
        sym = _declared(sym, {n.name: "float32" for n in graph.inputs
                              if n.name not in data_names and "__dtype__" not in n.hidden})
        graph = sym.graph()
    declared = {n.name: dtype_name(int(text)) for n in graph.inputs
                if (text := n.hidden.get("__dtype__", "")).isdigit()}
    converted = Symbol(with_casts_by_dtype(graph, policy, declared, excluded).outputs)
    if cast_optional_params:
        converted = _without_casts(converted, DTYPE_NAMES[target], declared.keys() - set(data_names or ()))
    return converted


def convert_model(sym: Symbol, arg_params: Mapping[str, NDArray], aux_params: Mapping[str, NDArray],
                  target_dtype: str = "float16", target_dtype_ops: Iterable[str] | None = None,
                  fp32_ops: Iterable[str] | None = None, conditional_fp32_ops: Iterable[Condition] | None = None,
                  excluded_sym_names: Names = None, cast_optional_params: bool = False) -> tuple[Symbol, dict, dict]:
    """A symbol with its parameters, as `mx.model.load_checkpoint` gives them, converted; see `convert_symbol`."""
    data_names = [name for name in sym.list_inputs() if name not in arg_params and name not in aux_params]
    converted = convert_symbol(sym, target_dtype, target_dtype_ops, fp32_ops, conditional_fp32_ops, excluded_sym_names,
                               data_names, cast_optional_params)
    dtypes = _declared_dtypes(converted)

    def cast(params: Mapping[str, NDArray]) -> dict[str, NDArray]:
        return {name: array.astype(dtypes.get(name) or dtype_name(array._data.dtype)) for name, array in params.items()}
    return converted, cast(arg_params), cast(aux_params)


def convert_hybrid_block(block: HybridBlock, target_dtype: str = "float16",
                         target_dtype_ops: Iterable[str] | None = None, fp32_ops: Iterable[str] | None = None,
                         conditional_fp32_ops: Iterable[Condition] | None = None, excluded_sym_names: Names = None,
                         ctx: Any = None, cast_optional_params: bool = False) -> SymbolBlock:
    """A hybridized block that has run, as a SymbolBlock with copies of its parameters; see `convert_symbol`.

    ctx: where its parameters are (MXNet's default is a GPU); None: where the block's are.
    Raises RuntimeError before the block's first call, GraphError where its graph holds arrays of its own.
    """
    if not isinstance(block, HybridBlock):
        raise TypeError(f"amp.convert_hybrid_block: a HybridBlock is needed; got {type(block).__name__}; "
                        f"convert_model takes symbols")
    if not block._compiled:
        raise RuntimeError(f"amp.convert_hybrid_block: there is no trace; got {type(block).__name__} without "
                           f"a hybridized call; call hybridize(), then the block on some input")
    trace = list(block._compiled.values())[-1].trace
    params = {n.name: s for n, s in zip(trace.graph.inputs, trace.sources, strict=True) if isinstance(s, Parameter)}
    fixed = [n.name for n, s in zip(trace.graph.inputs, trace.sources, strict=True) if isinstance(s, NDArray)]
    if fixed:
        raise GraphError(f"amp.convert_hybrid_block: the graph holds arrays that are no parameters; got "
                         f"{', '.join(fixed)}; make them Constants")
    data_names = [v._outputs[0].node.name for v in trace.inputs]
    converted = convert_symbol(trace.output, target_dtype, target_dtype_ops, fp32_ops, conditional_fp32_ops,
                               excluded_sym_names, data_names, cast_optional_params)
    made = SymbolBlock(converted, trace.inputs)
    dtypes = _declared_dtypes(converted)
    for name, param in made.collect_params().items():
        source = params[name]
        param.grad_req = source.grad_req
        param.shape = source.shape
        param.cast(dtypes[name])
        param.initialize(ctx=source.list_ctx() if ctx is None else ctx, init=Zero())
        param.set_data(source.data().astype(dtypes[name]))
    return made


def convert_bucketing_module(bucketing_mod: BucketingModule, target_dtype: str = "float16",
                             target_dtype_ops: Iterable[str] | None = None, fp32_ops: Iterable[str] | None = None,
                             conditional_fp32_ops: Iterable[Condition] | None = None, excluded_sym_names: Names = None,
                             cast_optional_params: bool = False) -> BucketingModule:
    """A bound BucketingModule with every bucket's symbol converted, and its parameters; bind it, then predict."""
    old = bucketing_mod
    arg_params, aux_params = old.get_params()
    dtypes: dict[str, str] = {}

    def converted(key: Any) -> tuple:
        symbol, data_names, label_names = old._sym_gen(key)
        inputs = [*data_names, *(label_names or ())]
        made = convert_symbol(symbol, target_dtype, target_dtype_ops, fp32_ops, conditional_fp32_ops,
                              excluded_sym_names, inputs, cast_optional_params)
        dtypes.update(_declared_dtypes(made))
        return made, data_names, label_names
    made = BucketingModule(converted, old._default, **old._settings)
    made.bind(old.data_shapes, old.label_shapes, old.for_training, old.inputs_need_grad, grad_req=old._grad_req)
    made.set_params({name: array.astype(dtypes[name]) for name, array in arg_params.items()},
                    {name: array.astype(dtypes[name]) for name, array in aux_params.items()})
    return made


def _declared(sym: Symbol, dtypes: Mapping[str, str]) -> Symbol:
    """`sym` with these variables declared to be of these dtypes."""
    replace = {node: variable(node.name, {**node.hidden, "__dtype__": str(TYPE_FLAGS[dtypes[node.name]])})
               for node in sym.graph().inputs if node.name in dtypes}
    return Symbol(substituted(sym._outputs, replace))


def _declared_dtypes(sym: Symbol) -> dict[str, str]:
    return {n.name: dtype_name(int(n.hidden["__dtype__"])) for n in sym.graph().inputs if "__dtype__" in n.hidden}


def _without_casts(sym: Symbol, target: str, optional: Iterable[str]) -> Symbol:
    """`sym` in which those of the variables `optional` that only a cast to `target` reads have that dtype."""
    readers: dict[Node, set[Node]] = {}
    for node in sym.graph().nodes:
        for value in node.inputs:
            readers.setdefault(value.node, set()).add(node)
    replace: dict[Node, Value] = {}
    names = frozenset(optional)
    for node in sym.graph().inputs:
        reading = readers.get(node, set())
        if node.name in names and len(reading) == 1:
            (cast,) = reading
            if cast.op.name == "amp_cast" and cast.attrs["dtype"] == target and Value(node, 0) not in sym._outputs:
                replace[cast] = variable(node.name, {**node.hidden, "__dtype__": str(TYPE_FLAGS[target])})
    return Symbol(substituted(sym._outputs, replace))
