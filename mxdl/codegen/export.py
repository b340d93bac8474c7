"""Export doors: a graph with its parameters, or MXNet's pair of files, to one C file."""
from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..errors import OperatorError
from ..files import atomic_write
from ..graph import Graph
from ..graph.serialize import to_json
from ..passes.unroll import unroll
from ..types import TensorType
from ..version import __version__
from .emit import c_text
from .frame import CFile, Options
from .packed import filled, require_packable
from .plan import export_plan, type_of
from .precision import loss, outputs_of
from .schedules import Choose, cost_model, direct
from .selftest import expected_outputs, first_values, formula_input
from .shares import require_threads
from .tune import search
from .without_casts import in_float32


def export_c(graph: Graph, parameters: Mapping[str, torch.Tensor], inputs: Mapping[str, Sequence[int] | TensorType],
             path: str | os.PathLike[str], name: str = "model", *, weights: str = "inside", nan: str = "accept",
             header: str | os.PathLike[str] | None = None, provenance: Mapping[str, str] | None = None,
             winograd: bool = True, precision: str = "float32", max_batch: int = 1,
             task: Mapping[str, Any] | None = None, packed: bool = False, threads: int = 1,
             tune: float = 0, tell: Callable[[str], None] = lambda text: None) -> str:
    """Write `graph` in predict mode as one C file at `path`; returns the text.

    parameters: by variable name.   inputs: shape (float32) or type of every other variable.   name: prefix of the C
    functions.   weights: "inside" the file, "beside" it in a file of the same name that ends in .bin, or taken from
    that file by the assembler ("incbin") or the compiler ("embed").   nan: what becomes of NaN and infinity in an
    input: "accept", "refuse" or "zero".   header: also write the interface there.   provenance: facts for the banner.
    precision: in which parameters are stored: "float32", "float16", "bfloat16" or "int8" (a scale for each channel);
    what that loses stands in the banner (see `precision.loss`).
    max_batch: examples that one call may take; `inputs` are the shapes of one example, which the others do not touch.
    winograd: False computes 3x3 convolutions directly, slower and with less rounding.
    task: what inputs and outputs mean, in plain JSON, for `mxdl predict` (see `web.page`).
    packed: also store parameters in the kernels' order, for the best instruction set of this machine, whose C compiler
    it takes; there a handle is made at once, and the first forward or `verify` compares them with their checksum.
    threads: that compute a call together (pthreads; link with -lpthread), with the same bits as one.
    tune: seconds that may pass in searching, on this machine with its C compiler, how each 3x3 convolution is best
    computed; what was found is kept for the next time and stands in the banner.   tell: gets what the search says.
    The file needs only libm.  Raises NotBuiltError (before anything is written) where an operator has no C kernel.
    """
    target = Path(path)
    weight_file = f"{name}.bin" if weights == "inside" else target.with_suffix(".bin").name
    options = Options(name, weights, weight_file, nan, dict(provenance or {}), winograd, precision, max_batch,
                      task, packed, threads, tune)
    made = c_source(graph, parameters, inputs, options, tell)
    if weights != "inside":
        _write(target.with_suffix(".bin"), made.blob)
    if header is not None:
        _write(header, made.header.encode())
    _write(target, made.text.encode())
    return made.text


def _write(path: str | os.PathLike[str], content: bytes) -> None:
    with atomic_write(path) as file:
        file.write(content)


def c_source(graph: Graph, parameters: Mapping[str, torch.Tensor], inputs: Mapping[str, Sequence[int] | TensorType],
             options: Options, tell: Callable[[str], None] = lambda text: None) -> CFile:
    """What `export_c` writes, in memory."""
    types: Mapping[str, TensorType] = {
        key: given if isinstance(given, TensorType) else TensorType(tuple(int(n) for n in given))
        for key, given in inputs.items()}
    graph, parameters, types = in_float32(graph, parameters, types)
    variables = {n.name for n in graph.inputs}
    strangers = sorted(set(types) - variables)
    if strangers:
        raise OperatorError(f"export to C: no such input; got {', '.join(strangers)}; "
                            f"the graph's inputs are {', '.join(sorted(variables - set(parameters)))}")
    source = hashlib.sha256(to_json(graph).encode()).hexdigest()[:16]
    names = output_names(graph)
    graph = unroll(graph, {**{key: type_of(tensor) for key, tensor in parameters.items()}, **types})
    if options.packed:
        require_packable(options.weights, options.precision)
    require_threads(options.threads)
    choose, schedule = _schedule(graph, parameters, types, options, tell)
    plan = export_plan(graph, parameters, types, choose, options.precision, options.threads)
    facts = {"graph": source, **schedule, **options.provenance}
    expected = expected_outputs(graph, parameters, types)
    if plan.reduced:
        given = {value: formula_input(types[value.node.name], i) for i, value in enumerate(plan.inputs)}
        exact = outputs_of(plan.outputs, given, plan.constants)
        rounded = outputs_of(plan.outputs, given, {**plan.constants, **{v: one.restored()
                                                                       for v, one in plan.reduced.items()}})
        expected = [first_values(result) for result in rounded]
        facts |= {"precision": options.precision, "loss": f"{loss(exact, rounded):.1e}"}
    made = c_text(plan, names, __version__, options._replace(provenance=facts), expected)
    return filled(made) if options.packed else made


def _schedule(graph: Graph, parameters: Mapping[str, torch.Tensor], types: Mapping[str, TensorType], options: Options,
              tell: Callable[[str], None]) -> tuple[Choose, dict[str, str]]:
    """How convolutions are computed, and what the banner says of it."""
    if not options.tune:
        return (cost_model if options.winograd else direct), {}
    if options.tune < 0 or not options.winograd:
        raise OperatorError(f"export to C: tune chooses where Winograd's algorithm is used, in so many seconds; got "
                            f"tune={options.tune}, winograd={options.winograd}; give seconds and leave winograd out")
    found = search(graph, parameters, types, options.tune, tell)
    return found.choose, {"schedule": found.text}


def c_name(target: str | os.PathLike[str]) -> str:
    """A C identifier from a file's name: `my-net.c` is my_net."""
    name = re.sub(r"\W", "_", Path(target).stem, flags=re.ASCII)
    return name if name[:1].isalpha() else f"model_{name}"


def output_names(graph: Graph) -> list[str]:
    return [f"{v.node.name}_{v.node.op.output_names(v.node.attrs)[v.index]}" if v.node.op else v.node.name
            for v in graph.outputs]


def load_files(prefix: str, epoch: int = 0) -> tuple[Graph, dict[str, torch.Tensor]]:
    """Graph and parameters of `prefix-symbol.json` and `prefix-%04d.params`, as HybridBlock.export writes them."""
    from ..ndarray import load as load_arrays
    from ..symbol import load as load_symbol
    arrays = load_arrays(f"{prefix}-{epoch:04d}.params")
    named = arrays.items() if arrays else ()   # a file of nothing says not that it would have had names
    return (load_symbol(f"{prefix}-symbol.json").graph(),
            {key.split(":", 1)[-1]: array.to_torch() for key, array in named})


def export_c_files(prefix: str, epoch: int, inputs: Mapping[str, Sequence[int]],
                   path: str | os.PathLike[str], name: str = "model", **options) -> str:
    """As `export_c`, from the pair of files that HybridBlock.export writes."""
    return export_c(*load_files(prefix, epoch), inputs, path, name, **options)
