"""Every format that a model leaves in: from a graph with its parameters to files."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..errors import NotBuiltError, OperatorError
from ..files import atomic_write
from ..graph import Graph
from ..types import TensorType
from .export import c_source
from .frame import CFile, Options
from .onnx import export_onnx
from .targets import TARGETS, build, find
from .web import js_files, page

FORMATS = ("c", "js", "html", "onnx", *TARGETS)


def export_files(graph: Graph, parameters: Mapping[str, torch.Tensor],
                 inputs: Mapping[str, Sequence[int] | TensorType], to: str, out: str | Path, name: str, *,
                 weights: str = "", nan: str = "accept", precision: str = "float32", max_batch: int = 1,
                 packed: bool = False, threads: int = 1, tune: float = 0, header: bool = False, form: str = "static",
                 compiler: str = "",
                 task: Mapping[str, Any] | None = None, tell: Callable[[str], None] = lambda text: None,
                 provenance: Mapping[str, str] | None = None) -> list[Path]:
    """Write the model in format `to`; returns the paths, the main one first.

    out: the file (c, html, onnx), or the file whose folder takes the lot (js), or a folder (a target).   name: what
    functions and files are called.   weights: "" is inside the file; for c see weights.PLACES, for js also "beside".
    packed: parameters in the kernels' order, in a file beside (c; see `export_c`).   threads: that compute a call (c,
    machines' libraries).   tune: seconds for a search of schedules on this machine (c; see `export_c`).
    precision: of stored parameters (not onnx); what one below float32 loses goes to `tell`.   max_batch: examples that
    one call of the C functions may take.   form: of a target, static, shared or object.   compiler: a clang instead of
    zig's, for WebAssembly.   task: what is known of the model's inputs and outputs, for pages and `mxdl predict`.
    Raises OperatorError, NotBuiltError (before anything is written), ToolchainError.
    """
    require_format(to)
    if to in TARGETS:
        find(to, form)
    if to == "onnx" and precision != "float32":
        raise OperatorError(f"export: onnx files hold parameters in float32; got precision={precision!r}; "
                            f"leave it out")
    if packed and to != "c":
        raise OperatorError(f"export: packed parameters lie in a file that is mapped; got packed with {to}; "
                            f"leave it out, or export c")
    if tune and to != "c":
        raise OperatorError(f"export: tune times this machine, which {to} may not be for; got tune={tune}; "
                            f"leave it out")
    if threads != 1 and (to in ("onnx", "js", "html") or to.startswith("windows")):
        raise NotBuiltError(f"export: threads are built on pthreads, which {to} has not; got threads={threads}; "
                            f"leave it out")
    if to in ("onnx", "js", "html") and max_batch != 1:
        raise OperatorError(f"export: {to} takes one example at a time; got max_batch={max_batch}; leave it out")
    if to == "onnx":
        export_onnx(graph, parameters, inputs, out, name)
        return [Path(out)]
    out, web = Path(out), to in ("js", "html")
    if web and weights not in ("", "inside", "beside") or to == "html" and weights == "beside":
        raise OperatorError(f"export: {to} has no such place for the weights; got {weights!r}; leave it out")
    blob = (out if to == "c" else out.with_name(name)).with_suffix(".bin").name
    options = Options(name, "beside" if web else weights or "inside", blob, nan, dict(provenance or {}),
                      precision=precision, max_batch=max_batch, task=task, packed=packed, threads=threads, tune=tune)
    made = c_source(graph, parameters, inputs, options, tell)
    if "loss" in made.options.provenance:
        tell(f"parameters as {precision}: an output moves by {made.options.provenance['loss']} of its "
             f"greatest at most, on made-up inputs")
    if to in TARGETS:
        return build(made, to, out, form)
    files = _c_files(made, out, header) if to == "c" else _web_files(made, to, out, weights, task, compiler)
    for path, content in files.items():
        with atomic_write(path) as stream:
            stream.write(content)
    return list(files)


def require_format(to: str) -> None:
    """Raises OperatorError for a format that is not known."""
    if to not in FORMATS:
        raise OperatorError(f"export: no such format; got {to!r}; use one of {', '.join(FORMATS)}")


def _c_files(made: CFile, out: Path, header: bool) -> dict[Path, bytes]:
    files = {out: made.text.encode()}
    if header:
        files[out.with_suffix(".h")] = made.header.encode()
    if made.options.weights != "inside":
        files[out.with_suffix(".bin")] = made.blob
    return files


def _web_files(made: CFile, to: str, out: Path, weights: str, task: Mapping[str, Any] | None,
               compiler: str) -> dict[Path, bytes]:
    files = js_files(made, weights != "beside", task, compiler)
    if to == "html":
        return {out: page(files[f"{made.options.name}.js"].decode(), made, task)}
    return {out.with_name(file): content for file, content in files.items()}
