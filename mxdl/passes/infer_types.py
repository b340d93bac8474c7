"""Types of every value, by running each kernel on tensors without data; parameter shapes follow from the data's."""
from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeGuard

import torch

from ..errors import MXNetError, NotBuiltError, ShapeError
from ..graph import Graph, Node, Value
from ..graph.graph import postorder
from ..graph.hidden import ORIGIN
from ..ops import Operator
from ..types import DTYPE_NAMES, TORCH_DTYPES, Shape, TensorType, dtype_name
from .rewrite import attrs_key

#: what a caller knows of a variable: shape (0 or -1 for an unknown length, None if unknown) and dtype (None if unknown)
Partial = tuple[Shape | None, str | None]


class Types:
    """The type of every value; None where it could not be told (partial inference only)."""

    __slots__ = ("_of", "created")

    def __init__(self) -> None:
        self._of: dict[Node, tuple[TensorType | None, ...]] = {}
        #: creation nodes whose shape was unknown (a 0 in it) and what it came to be
        self.created: dict[Node, Shape] = {}

    def __getitem__(self, value: Value) -> TensorType:
        found = self._of[value.node][value.index]
        if found is None:
            raise ShapeError(f"{value.node.name}: its shape is not known; give the shapes of more inputs")
        return found

    def get(self, value: Value) -> TensorType | None:
        types = self._of.get(value.node)
        return types[value.index] if types is not None else None

    def __contains__(self, value: Value) -> bool:
        return self.get(value) is not None

    def knows(self, node: Node) -> bool:
        return node in self._of

    def set(self, node: Node, types: tuple[TensorType | None, ...]) -> None:
        self._of[node] = types


def infer_types(graph: Graph, known: Mapping[str, TensorType | Partial], partial: bool = False) -> Types:
    """Types of all values of `graph` from what is known of its variables (by name; hidden ``__shape__`` and
    ``__dtype__`` count too).  Variables that an operator's `.complete` rule tells (weights) are filled in.

    Unknown lengths in creation operators (``zeros(shape=(0, 200))`` for a begin state) become the length that makes
    the graph consistent, tried among the leading lengths of the known inputs.
    Raises ShapeError naming the node; with `partial`, what is unknown stays None.
    """
    unknown = [n for n in graph.nodes if has_open_shape(n)]
    if not unknown:
        return _infer(graph, known, partial, {})
    failure: MXNetError | None = None
    for length in _candidate_lengths(graph, known):
        guess = {n: tuple(length if s == 0 else s for s in n.attrs["shape"]) for n in unknown}
        try:
            return _infer(graph, known, partial, guess)
        except MXNetError as error:
            failure = failure or error
    if failure is not None:
        raise failure
    return _infer(graph, known, partial, {})


def has_open_shape(node: Node) -> bool:
    """Whether the node makes an array of a shape that the rest of the graph has to tell (a 0 in it)."""
    return node.op is not None and not node.inputs and 0 in (node.attrs.get("shape") or ())


def extend_types(types: Types, outputs: Iterable[Value]) -> Types:
    """`types`, completed by the nodes that `outputs` need and whose types are not in it; variables must be."""
    for node in postorder(outputs):
        if not types.knows(node):
            types.set(node, output_types(node.op, node.attrs, tuple(types[v] for v in node.inputs), node))
    return types


def _candidate_lengths(graph: Graph, known: Mapping[str, Any]) -> list[int]:
    lengths: dict[int, None] = {}
    for node in graph.inputs:
        shape, _ = _known_of(node, known)
        for length in (shape or ())[:2]:
            if length > 0:
                lengths[length] = None
    return list(lengths)


def _infer(graph: Graph, known: Mapping[str, Any], partial: bool, guess: dict[Node, Shape]) -> Types:
    types = Types()
    types.created = guess
    for node in graph.inputs:
        shape, dtype = _known_of(node, known)
        if is_complete(shape):
            types.set(node, (TensorType(shape, dtype or "float32"),))
    waiting: list[Node] = [n for n in graph.nodes if n.op is not None]
    while waiting:   # once, unless a later operator tells the shapes of an earlier one's variables (RNN's parameters)
        before = len(waiting)
        waiting = [n for n in waiting if not _typed(n, types, known, guess)]
        if len(waiting) == before:
            break
    if waiting and not partial:
        node = waiting[0]
        raise _unknown_input(node, tuple(types.get(v) for v in node.inputs), graph)
    for node in waiting:
        types.set(node, (None,) * node.num_outputs)
    if partial:
        for node in graph.inputs:
            if types.get(Value(node, 0)) is None:
                types.set(node, (None,))
    else:
        _require_all(graph, types)
    return types


def _typed(node: Node, types: Types, known: Mapping[str, Any], guess: dict[Node, Shape]) -> bool:
    """Set the types of the node's outputs; False where those of its inputs are not known yet."""
    if node.op.complete_rule is not None:
        _complete(node, types, known)
    inputs = tuple(t for v in node.inputs if (t := types.get(v)) is not None)
    if len(inputs) < len(node.inputs):
        return False
    attrs = node.attrs if node not in guess else {**node.attrs, "shape": guess[node]}
    types.set(node, output_types(node.op, attrs, inputs, node))
    return True


def is_complete(shape: Shape | None) -> TypeGuard[Shape]:
    return shape is not None and all(length > 0 for length in shape)


def _known_of(node: Node, known: Mapping[str, Any]) -> Partial:
    given = known.get(node.name)
    shape, dtype = (given.shape, given.dtype) if isinstance(given, TensorType) else given or (None, None)
    if shape is None and "__shape__" in node.hidden:
        shape = tuple(ast.literal_eval(node.hidden["__shape__"]))
    if dtype is None and "__dtype__" in node.hidden:
        text = node.hidden["__dtype__"]
        dtype = dtype_name(int(text)) if text.lstrip("-").isdigit() else dtype_name(text)
    return shape, dtype


def _complete(node: Node, types: Types, known: Mapping[str, Any]) -> None:
    """Fill the types of this node's variables that are not known, by its `.complete` rule."""
    inputs = [types.get(v) for v in node.inputs]
    if all(t is not None and v.node.op is not None for t, v in zip(inputs, node.inputs, strict=True)):
        return
    first = next((t for t in inputs if t is not None), None)
    if first is None:
        return
    op = node.op
    names = op.input_names(node.attrs, len(node.inputs))
    shapes = {name: t.shape if t is not None else None for name, t in zip(names, inputs, strict=True)}
    attrs = {k: v for k, v in op.filled(node.attrs).items() if k in op.attributes}
    try:
        completed = op.complete_rule(shapes, **attrs)
    except (TypeError, IndexError, KeyError):
        return  # the rule needs an input that is unknown; the caller reports what stays unknown
    for name, value, found in zip(names, node.inputs, inputs, strict=True):
        want = completed.get(name) if completed else None
        if want is None:
            continue
        want = want if isinstance(want, TensorType) else TensorType(tuple(want), "")
        if found is None:
            _expect(node, name, value, TensorType(want.shape, want.dtype or first.dtype), types, known)
        elif value.node.op is None and found.shape != want.shape:
            raise ShapeError(f"{describe(node)}: {name} has the wrong shape; got {value.node.name}={found}, expected "
                             f"shape {want.shape} from {_call_text(op, names, inputs)}; "
                             f"give {name} that shape or change the attributes")


def _expect(reader: Node, name: str, value: Value, want: TensorType, types: Types, known: Mapping[str, Any]) -> None:
    """`reader` needs `value` of type `want`: fill the variable, or the variables that it is made of."""
    node = value.node
    if node.op is None:
        partial_shape, dtype = _known_of(node, known)
        _check_partial(reader, name, node, partial_shape, want.shape)
        types.set(node, (TensorType(want.shape, dtype or want.dtype),))
        return
    rule = node.op.invert_rule or (_same_shape if node.op.traits.elementwise and len(node.inputs) == 1 else None)
    if rule is None:
        return
    inputs = [_shape_so_far(v, types, known) for v in node.inputs]
    names = node.op.input_names(node.attrs, len(node.inputs))
    for input_name, v, shape in zip(names, node.inputs, rule(want.shape, inputs, node.op.filled(node.attrs)),
                                    strict=True):
        if types.get(v) is None and is_complete(shape):
            _expect(node, input_name, v, TensorType(shape, want.dtype), types, known)
    given = [t for v in node.inputs if (t := types.get(v)) is not None]
    if len(given) == len(node.inputs):
        types.set(node, output_types(node.op, node.attrs, tuple(given), node))


def _same_shape(out: Shape, inputs: list[Shape | None], attrs: Mapping[str, Any]) -> list[Shape]:
    return [out]


def _shape_so_far(value: Value, types: Types, known: Mapping[str, Any]) -> Shape | None:
    found = types.get(value)
    if found is not None:
        return found.shape
    return _known_of(value.node, known)[0] if value.node.op is None else None


def _check_partial(node: Node, name: str, variable: Node, partial: Shape | None, want: Shape) -> None:
    if partial is not None and (len(partial) != len(want)
                                or any(p > 0 and p != w for p, w in zip(partial, want, strict=False))):
        raise ShapeError(f"{describe(node)}: {name} has the wrong shape; got {variable.name} of shape {partial}, "
                         f"expected {want}; mend the declared shape (in_units, in_channels) or the data")


def describe(node: Node) -> str:
    """Operator, node and, where the trace recorded it, the block and the user's line."""
    block = node.hidden.get(ORIGIN)
    return f"{node.op.name if node.op else 'variable'} {node.name!r}" + (f" in {block}" if block else "")


def _call_text(op: Operator, names: list[str], inputs: Any) -> str:
    return f"{op.name}({', '.join(f'{n}={t or None}' for n, t in zip(names, inputs, strict=True))})"


def _unknown_input(node: Node, inputs: tuple, graph: Graph) -> ShapeError:
    missing = [v.node.name for v, t in zip(node.inputs, inputs, strict=True) if t is None]
    names = node.op.input_names(node.attrs, len(node.inputs))
    return ShapeError(f"{describe(node)}: the shape of {', '.join(missing)} is not known; "
                      f"got {_call_text(node.op, names, inputs)}; give the shapes of {', '.join(missing)}")


def _require_all(graph: Graph, types: Types) -> None:
    missing = [n.name for n in graph.inputs if types.get(Value(n, 0)) is None]
    if missing and any(v.node.op is None and types.get(v) is None for v in graph.outputs):
        raise ShapeError(f"infer_types: the shapes of {', '.join(missing)} are not known; give them")


_memo: dict[tuple, tuple[TensorType, ...]] = {}


def output_types(op: Operator, attrs: dict, inputs: tuple[TensorType, ...], node: Node | None = None
                 ) -> tuple[TensorType, ...]:
    """Types of an operator's outputs; remembered, since deep graphs repeat themselves."""
    key = (op, attrs_key(attrs), inputs)
    found = _memo.get(key)
    if found is None:
        if len(_memo) > 100_000:
            _memo.clear()
        found = _memo[key] = (_by_rule(op, attrs, inputs) or _by_small_arrays(op, attrs, inputs)
                              or tuple(_run_on_meta(op, attrs, inputs, node)))
    return found


def _by_rule(op: Operator, attrs: dict, inputs: tuple[TensorType, ...]) -> tuple[TensorType, ...] | None:
    return tuple(op.infer_rule(inputs, op.filled(attrs))) if op.infer_rule is not None else None


def _by_small_arrays(op: Operator, attrs: dict, inputs: tuple[TensorType, ...]) -> tuple[TensorType, ...] | None:
    """Types of an elementwise operator by running it on arrays in which every length is renamed to a small one.

    Meta tensors would tell too, but most of torch's meta kernels first import its compiler, which takes seconds.
    None where the operator is not elementwise, or fails (meta tensors then make the message).
    """
    if not op.traits.elementwise or op.num_outputs(attrs) != 1:
        return None
    small, back = small_lengths(inputs)
    tensors = [torch.ones([small[n] for n in t.shape], dtype=TORCH_DTYPES[t.dtype]) for t in inputs]
    if sum(t.numel() for t in tensors) > 100_000:
        return None
    plain = {name: value for name, value in attrs.items() if name not in op.reserved}
    try:
        with torch.no_grad():
            out = op.bind(plain)(*tensors, **reserved_values(op, attrs))
    except (RuntimeError, ValueError, IndexError, TypeError):
        return None
    return (TensorType(tuple(back[n] for n in out.shape), DTYPE_NAMES[out.dtype]),)


def small_lengths(inputs: Iterable[TensorType]) -> tuple[dict[int, int], dict[int, int]]:
    """A small length for every length of the inputs' shapes, and back.  0 and 1 stay."""
    lengths = sorted({n for t in inputs for n in t.shape if n > 1})
    small = {0: 0, 1: 1} | {n: i for i, n in enumerate(lengths, 2)}
    return small, {i: n for n, i in small.items()}


def reserved_values(op: Operator, attrs: dict) -> dict[str, Any]:
    """What a kernel is given beside attributes, with harmless defaults."""
    given = {name: default for name, default in (("training", False), ("seed", 0)) if name in op.reserved}
    return given | {name: attrs[name] for name in given if name in attrs}


def _run_on_meta(op: Operator, attrs: dict, inputs: tuple[TensorType, ...], node: Node | None) -> Iterator[TensorType]:
    reserved = reserved_values(op, attrs)
    plain = {name: value for name, value in attrs.items() if name not in reserved}
    tensors = [torch.empty(t.shape, dtype=TORCH_DTYPES[t.dtype], device="meta") for t in inputs]
    try:
        with torch.no_grad(), torch.device("meta"):
            outputs = op.bind(plain)(*tensors, **reserved)
    except NotBuiltError:   # of a file from MXNet: no shape is at fault
        raise
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        names = op.input_names(attrs, len(inputs))
        where = describe(node) if node is not None else op.name
        raise ShapeError(f"{where}: the inputs do not fit; got {_call_text(op, names, inputs)} with {plain}: "
                         f"{str(error).splitlines()[0]}; check the shapes that reach this operator") from error
    for out in outputs if isinstance(outputs, (tuple, list)) else (outputs,):
        yield TensorType(tuple(out.shape), DTYPE_NAMES[out.dtype])
