"""The symbol: a lazy tensor, or several, that a graph of operators computes."""
from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .. import wiring
from ..errors import GraphError, MXNetError, NotBuiltError, NotImplementedForSymbol, suggest
from ..files import atomic_write, existing
from ..graph import Graph, Node, Value, variable
from ..graph.auxiliary import auxiliary_nodes
from ..graph.hidden import HIDDEN_KEYS, hidden_key
from ..graph.printer import graph_text
from ..graph.serialize import attribute_texts, from_json, to_json
from ..graph.substitute import bypassed, substituted
from ..ops import registry
from . import inference
from .arithmetic import Arithmetic
from .compose import make_node, visible_outputs

_AMP_CASTS = ("amp_cast", "amp_multicast")


class Symbol(Arithmetic):
    """One or several graph values.  Made by `mx.sym.var`, by operators (`mx.sym.FullyConnected(x, ...)`), by `Group`.

    Operators are also methods (`x.reshape(shape=(0, -1))`); those of the registry are added by `mxdl.symbol.register`.
    """

    __slots__ = ("_cached_graph", "_outputs")
    __array_priority__ = 1000.0  # numpy scalars on the left give way to __radd__ and the like

    def __init__(self, outputs: Iterable[Value]):
        self._outputs = tuple(outputs)
        self._cached_graph: Graph | None = None

    def graph(self) -> Graph:
        """The graph that computes this symbol's outputs."""
        if self._cached_graph is None:
            self._cached_graph = Graph(self._outputs)
        return self._cached_graph

    def _apply(self, name: str, hint: str, *inputs: Symbol, **attrs: Any) -> Symbol:
        op = registry.get(name)
        named = dict(zip(op.parameters, (one_value(s, f"{name}: an operand") for s in inputs), strict=True))
        return Symbol(visible_outputs(make_node(op, hint, named, attrs)))

    # -- outputs ----------------------------------------------------------------------------------------------
    def __len__(self) -> int:
        return len(self._outputs)

    def __iter__(self) -> Iterator[Symbol]:
        return (Symbol([value]) for value in self._outputs)

    def __getitem__(self, index: int | slice | str) -> Symbol:
        """Output by position or by name (see `list_outputs`).  Raises IndexError, ValueError."""
        if isinstance(index, str):
            names = self.list_outputs()
            found = [i for i, name in enumerate(names) if name == index]
            if not found:
                raise ValueError(f"Symbol: no output of that name; got {index!r}; see list_outputs()"
                                 f"{suggest(index, names)}")
            if len(found) > 1:
                raise ValueError(f"Symbol: several outputs of that name; got {index!r}; ask by position")
            return Symbol([self._outputs[found[0]]])
        if isinstance(index, slice):
            return Symbol(self._outputs[index])
        try:
            return Symbol([self._outputs[index]])
        except IndexError:
            raise IndexError(f"Symbol: no output {index}; it has {len(self)}") from None

    @property
    def name(self) -> str | None:
        """The name of the node, None for a group of several."""
        node = self._only_node()
        return node.name if node is not None else None

    def _only_node(self) -> Node | None:
        nodes = {value.node for value in self._outputs}
        return nodes.pop() if len(nodes) == 1 else None

    def list_outputs(self) -> list[str]:
        """The outputs' names: ``fc1_output``; a variable's own name."""
        return [output_name(value) for value in self._outputs]

    def list_arguments(self) -> list[str]:
        """Names of the variables that are no auxiliary states, in the order of a depth-first walk."""
        states = auxiliary_nodes(self.graph())
        return [n.name for n in self.graph().inputs if n not in states]

    def list_auxiliary_states(self) -> list[str]:
        """Names of the variables that operators write to (running statistics)."""
        states = auxiliary_nodes(self.graph())
        return [n.name for n in self.graph().inputs if n in states]

    def list_inputs(self) -> list[str]:
        """Names of all variables."""
        return [n.name for n in self.graph().inputs]

    def get_internals(self) -> Symbol:
        """A group of every output of every node: ``net.get_internals()['fc1_output']``."""
        return Symbol(value for node in self.graph().nodes for value in visible_outputs(node))

    def get_children(self) -> Symbol | None:
        """The inputs of the output nodes as a group, None for a variable."""
        nodes = dict.fromkeys(value.node for value in self._outputs)
        inputs = [value for node in nodes for value in node.inputs]
        return Symbol(inputs) if inputs else None

    # -- attributes -------------------------------------------------------------------------------------------
    def attr(self, key: str) -> str | None:
        """An attribute of the node as a string, None where it has none of that name."""
        return self.list_attr().get(key)

    def list_attr(self, recursive: bool = False) -> dict[str, str]:
        """The node's attributes as strings; hidden ones under both spellings (``lr_mult``, ``__lr_mult__``)."""
        if recursive:
            raise NotBuiltError("list_attr: recursive listing was removed from MXNet; got recursive=True; "
                                "use attr_dict()")
        node = self._only_node()
        return _shown(node) if node is not None else {}

    def attr_dict(self) -> dict[str, dict[str, str]]:
        """Attributes of every node that has any, by node name."""
        shown = {node.name: _shown(node) for node in self.graph().nodes}
        return {name: attrs for name, attrs in shown.items() if attrs}

    def _set_attr(self, **attrs: str) -> None:
        """Set hidden attributes of the node.  Raises ValueError for values that are not strings."""
        node = self._only_node()
        if node is None:
            raise GraphError(f"_set_attr: a group has no attributes; got {self!r}; set them on one of its outputs")
        for key, value in attrs.items():
            if not isinstance(value, str):
                raise ValueError(f"_set_attr: attributes are strings; got {key}={value!r}; give {str(value)!r}")
            node.hidden[hidden_key(key)] = value

    # -- composing --------------------------------------------------------------------------------------------
    def __call__(self, *args: Symbol, name: str | None = None, **symbols: Symbol) -> Symbol:
        """A copy in which variables are replaced: ``net(data=other)``; `name` renames a single output node."""
        if args:
            raise GraphError(f"Symbol: composing takes keywords; got {len(args)} positional arguments; "
                             f"write net({', '.join(self.list_arguments()[:1])}=...)")
        by_name = {node.name: node for node in self.graph().inputs}
        unknown = [key for key in symbols if key not in by_name]
        if unknown:
            raise GraphError(f"Symbol: no such argument; got {', '.join(unknown)}; it has {', '.join(by_name)}"
                             f"{suggest(unknown[0], by_name)}")
        replace = {by_name[key]: one_value(value, f"Symbol: {key}") for key, value in symbols.items()}
        outputs = substituted(self._outputs, replace)
        head = Symbol(outputs)._only_node()
        if name is not None and head is not None:
            renamed = Node(head.op, name, head.attrs, head.inputs, head.hidden)
            outputs = [Value(renamed, value.index) for value in outputs]
        return Symbol(outputs)

    def __copy__(self) -> Symbol:
        return Symbol(substituted(self._outputs, {}))

    def __deepcopy__(self, memo: object = None) -> Symbol:
        return self.__copy__()

    def __reduce__(self) -> tuple:
        return load_json, (self.tojson(remove_amp_cast=False),)

    # -- types ------------------------------------------------------------------------------------------------
    def infer_shape(self, *args: Any, **kwargs: Any) -> tuple:
        """(argument shapes, output shapes, auxiliary shapes) from the shapes given by position or by name; three
        Nones, with a warning, where they do not suffice.  Raises ShapeError where shapes contradict each other."""
        return inference.infer_shape(self, args, kwargs, partial=False)

    def infer_shape_partial(self, *args: Any, **kwargs: Any) -> tuple:
        """As `infer_shape`, with what is not known as () or as shapes with zeros."""
        return inference.infer_shape(self, args, kwargs, partial=True)

    def infer_type(self, *args: Any, **kwargs: Any) -> tuple:
        """(argument dtypes, output dtypes, auxiliary dtypes) as NumPy types; three Nones where not known."""
        return inference.infer_type(self, args, kwargs, partial=False)

    def infer_type_partial(self, *args: Any, **kwargs: Any) -> tuple:
        """As `infer_type`, with None for each that is not known."""
        return inference.infer_type(self, args, kwargs, partial=True)

    # -- files ------------------------------------------------------------------------------------------------
    def tojson(self, remove_amp_cast: bool = True) -> str:
        """The text of a ``-symbol.json`` file."""
        graph = Graph(bypassed(self._outputs, _AMP_CASTS)) if remove_amp_cast and self._has_amp_casts() \
            else self.graph()
        return to_json(graph)

    def _has_amp_casts(self) -> bool:
        return any(n.op is not None and n.op.name in _AMP_CASTS for n in self.graph().nodes)

    def save(self, fname: str | os.PathLike, remove_amp_cast: bool = True) -> None:
        """Write the ``-symbol.json`` file; an older one is replaced only once the new one is whole."""
        with atomic_write(fname, "w", encoding="utf-8") as stream:
            stream.write(self.tojson(remove_amp_cast))

    # -- running ----------------------------------------------------------------------------------------------
    def bind(self, ctx: Any, args: Any, args_grad: Any = None, grad_req: Any = "write", aux_states: Any = None,
             group2ctx: Any = None, shared_exec: Any = None) -> Any:
        """An `Executor` over the arrays given (lists in argument order, or dicts by name)."""
        return wiring.find("bind")(self, ctx, args, args_grad, grad_req, aux_states)

    def simple_bind(self, ctx: Any = None, grad_req: Any = "write", type_dict: Mapping[str, Any] | None = None,
                    stype_dict: Any = None, group2ctx: Any = None, shared_arg_names: Sequence[str] | None = None,
                    shared_exec: Any = None, shared_buffer: dict | None = None, **kwargs: Any) -> Any:
        """An `Executor` over new arrays, of the shapes that follow from those given by name.

        shared_exec: take its arrays where name, shape and dtype are the same; of the arguments only those in
        `shared_arg_names`, if given.   shared_buffer: take arrays from it, and put new ones into it.
        """
        return wiring.find("simple_bind")(self, ctx, grad_req, type_dict, shared_exec, shared_arg_names,
                                          shared_buffer, kwargs)

    def eval(self, ctx: Any = None, **kwargs: Any) -> list:
        """The outputs as NDArrays, from the arguments given by name."""
        return self.bind(ctx, kwargs, grad_req="null").forward()

    def gradient(self, wrt: Sequence[str]) -> Symbol:
        """Not built, as in MXNet: bind the symbol and call backward()."""
        raise NotBuiltError(f"Symbol.gradient: not built (nor in MXNet); got wrt={wrt}; bind and call backward()")

    def optimize_for(self, backend: str, *args: Any, **kwargs: Any) -> Symbol:
        """Not built: mxdl has no partitioning backends; its own passes run when a symbol is bound."""
        raise NotBuiltError(f"Symbol.optimize_for: no partitioning backends; got {backend!r}; leave it out")

    get_backend_symbol = optimize_for

    def debug_str(self) -> str:
        """The graph, one line a node."""
        return graph_text(self.graph())

    # -- what only arrays can do ------------------------------------------------------------------------------
    def __bool__(self) -> bool:
        raise NotImplementedForSymbol("Symbol: it has no truth value before it runs; got bool(symbol); compare with "
                                      "`is None`, or use mx.sym.where")

    def reshape(self, *shape: Any, **kwargs: Any) -> Symbol:
        """The `Reshape` operator: ``x.reshape((0, -1))``, ``x.reshape(0, -1)``, ``x.reshape(shape=(0, -1))``."""
        if shape:
            kwargs["shape"] = shape[0] if len(shape) == 1 else shape
        node = make_node(registry.get("Reshape"), "reshape", {"data": one_value(self, "reshape")},
                         {k: v for k, v in kwargs.items() if k != "name"}, kwargs.get("name"))
        return Symbol(visible_outputs(node))

    def astype(self, dtype: Any) -> Symbol:
        """The `Cast` operator."""
        return self._apply("Cast", "cast", self, dtype=dtype)

    def __repr__(self) -> str:
        if self._only_node() is not None:
            return f"<Symbol {self.name}>"
        return f"<Symbol group [{', '.join(value.node.name for value in self._outputs)}]>"


def _only_for_arrays(name: str) -> Any:
    def method(self: Symbol, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedForSymbol(f"Symbol.{name}: a symbol holds no numbers; got {self!r}; run it first: "
                                      f"sym.eval(...), or bind it")
    method.__name__ = name
    return method


for _name in ("asnumpy", "asscalar", "wait_to_read", "as_in_context", "copy", "detach", "backward", "as_np_ndarray",
              "as_nd_ndarray"):
    setattr(Symbol, _name, _only_for_arrays(_name))


def one_value(symbol: Any, where: str) -> Value:
    """The only output of `symbol`.  Raises TypeError for no symbol, GraphError for several outputs."""
    if not isinstance(symbol, Symbol):
        raise TypeError(f"{where}: not a Symbol; got {type(symbol).__name__} {symbol!r:.60}; wrap it in mx.sym.var")
    if len(symbol._outputs) != 1:
        raise GraphError(f"{where}: a single output is needed; got {symbol!r} with {len(symbol)}; "
                         f"choose one, as in s[0]")
    return symbol._outputs[0]


def output_name(value: Value) -> str:
    """``NAME_output``, ``NAME_output0``; a variable's own name."""
    node = value.node
    if node.op is None:
        return node.name
    names = node.op.output_names(node.attrs)
    return f"{node.name}_{names[value.index] if value.index < len(names) else f'output{value.index}'}"


def _shown(node: Node) -> dict[str, str]:
    texts = attribute_texts(node)
    return texts | {key: texts[hidden_key(key)] for key in HIDDEN_KEYS if hidden_key(key) in texts}


def group(symbols: Sequence[Symbol]) -> Symbol:
    """One symbol with the outputs of all."""
    if not symbols or not all(isinstance(s, Symbol) for s in symbols):
        raise TypeError(f"Group: a list of symbols is needed; got {symbols!r}; give at least one")
    return Symbol(value for s in symbols for value in s._outputs)


def load_json(json_str: str) -> Symbol:
    """The symbol in the text of a symbol file.  Raises FileFormatError, OperatorError (see `graph.serialize`)."""
    if not isinstance(json_str, str):
        raise TypeError(f"load_json: text is needed; got {type(json_str).__name__}; use load(path) for files")
    return Symbol(from_json(json_str).outputs)


def load(fname: str | os.PathLike) -> Symbol:
    """The symbol in a ``-symbol.json`` file, of any version of MXNet.  Raises MXNetError where it cannot be read."""
    path = existing(fname, "load")
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
    except OSError as error:
        raise MXNetError(f"load: cannot read {os.fspath(fname)!r}: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise MXNetError(f"load: {os.fspath(fname)!r} is not text (byte {error.start}); is it a .params file?"
                         ) from error
    return Symbol(from_json(text, os.fspath(fname)).outputs)


def symbol_of(name: str, hidden: dict[str, str]) -> Symbol:
    """A variable with hidden attributes."""
    return Symbol([variable(name, hidden)])
