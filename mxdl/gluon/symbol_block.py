"""SymbolBlock: a symbol, composed by hand or read from a file, as a block."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from .. import symbol
from ..symbol import Symbol
from ..types import dtype_name
from .block import indent
from .hybrid import HybridBlock
from .parameter import Parameter
from .parameter_dict import ParameterDict
from .structure import first_array, flatten
from .trace import Trace


class SymbolBlock(HybridBlock):
    """A block that computes `outputs` (a symbol or a list of them) from `inputs` (variables).

    params: where parameters of the symbol's other variables are taken from, by name, if they are there.
    """

    def __init__(self, outputs: Symbol | Sequence, inputs: Symbol | Sequence[Symbol],
                 params: ParameterDict | dict | None = None):
        super().__init__()
        self._prefix = ""
        self._params = ParameterDict("", _shared(params))
        flat, self._output_format = flatten(outputs, "output")
        self._output = flat[0] if len(flat) == 1 else symbol.Group(flat)
        self._inputs = _variables(inputs)
        self._make_parameters()
        self._active = True

    def _make_parameters(self) -> None:
        inputs = {v.name for v in self._inputs}
        auxiliary = self._output.list_auxiliary_states()
        declared = {node.name: node.hidden for node in self._output.graph().inputs}
        for name in self._output.list_arguments() + auxiliary:
            if name in inputs:
                continue
            known: dict[str, Any] = _declared_dtype(declared[name])
            if name in auxiliary:
                known["grad_req"] = "null"
            if self._params._find(name) is None:
                self._params.get(name, allow_deferred_init=True, **known)
        common = len(os.path.commonprefix(list(self._params.keys()))) if len(self._params) > 1 else 0
        self._reg_params = {name[common:]: param for name, param in self._params.items()}

    @staticmethod
    def imports(symbol_file: str, input_names: str | Sequence[str], param_file: str | None = None, ctx: Any = None,
                allow_missing: bool = False, ignore_extra: bool = False) -> SymbolBlock:
        """The block in files that `HybridBlock.export` (or MXNet's Module) wrote.

        input_names: which variables are the data.   Without `param_file`, parameters wait for `initialize` or load.
        """
        names = [input_names] if isinstance(input_names, str) else list(input_names)
        block = SymbolBlock(symbol.load(symbol_file), [symbol.var(name) for name in names])
        if param_file is not None:
            block.collect_params().load(param_file, ctx, allow_missing, ignore_extra, cast_dtype=True,
                                        dtype_source="saved")
        return block

    def __repr__(self) -> str:
        return (f"{type(self).__name__}(\n{indent(repr(self._output))} : {len(self._inputs)} -> "
                f"{len(self._output)}\n)")

    def _trace(self, args: tuple) -> Trace:
        graph = self._output.graph()
        position = {v.name: i for i, v in enumerate(self._inputs)}
        sources: list = [position[n.name] if n.name in position else self._params[n.name] for n in graph.inputs]
        return Trace(graph, self._inputs, self._output, self._output_format, sources)

    def forward(self, x: Any, *args: Any) -> Any:
        """Run the symbol on arrays, or put symbols in the place of its inputs."""
        if isinstance(first_array((x, *args)), Symbol):
            given, _ = flatten((x, *args))
            return self._output(**{v.name: arg for v, arg in zip(self._inputs, given, strict=True)})
        return self._call_compiled((x, *args))

    def hybrid_forward(self, F: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("SymbolBlock runs its symbol; it has no hybrid_forward")

    def reset_ctx(self, ctx: Any) -> None:
        """Move all parameters to `ctx`."""
        self.collect_params().reset_ctx(ctx)


def _variables(inputs: Symbol | Sequence[Symbol]) -> list[Symbol]:
    variables = [inputs] if isinstance(inputs, Symbol) and len(inputs) == 1 else list(inputs)
    for v in variables:
        if not v._outputs[0].node.is_variable:
            raise ValueError(f"SymbolBlock: inputs must be variables; got {v}, the output of an operator; "
                             f"pass the symbol.var that was used")
    return variables


def _shared(params: ParameterDict | Mapping[str, Parameter] | None) -> ParameterDict | None:
    if params is None or isinstance(params, ParameterDict):
        return params
    shared = ParameterDict()
    shared.update(params)
    return shared


def _declared_dtype(hidden: Mapping[str, str]) -> dict[str, str]:
    text = hidden.get("__dtype__", "")
    return {"dtype": dtype_name(int(text) if text.isdigit() else text)} if text else {}
