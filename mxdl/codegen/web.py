"""The browser: one .js file with the model's WebAssembly inside, and one .html page around it."""
from __future__ import annotations

import base64
import json
import re
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import OperatorError
from . import toolchain
from .frame import CFile, Row
from .web_text import script_literal

#: kinds of code, the best last: what an engine without SIMD runs, what browsers since 2021 run, and since 2023
KINDS = {"plain": (), "simd": ("-msimd128",), "relaxed": ("-msimd128", "-mrelaxed-simd")}
_EXPORTED = ("init", "set_input", "forward", "get_output", "last_error")
_ARRAYS = {"float32": "Float32Array", "float64": "Float64Array", "int8": "Int8Array", "int16": "Int16Array",
           "int32": "Int32Array", "int64": "BigInt64Array", "uint8": "Uint8Array", "uint16": "Uint16Array",
           "uint32": "Uint32Array", "uint64": "BigUint64Array", "bool": "Uint8Array"}


def wasm(made: CFile, kind: str, compiler: str = "") -> bytes:
    """`made` (its parameters beside it) as a WebAssembly module without imports.  Raises ToolchainError."""
    name = made.options.name
    target = "wasm32-unknown-unknown" if compiler else "wasm32-freestanding"
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch, "model.c").write_text(made.text)
        toolchain.run([*toolchain.cross(target, compiler), "-std=c11", "-ffreestanding", f"-D{name.upper()}_NO_MALLOC",
                       *KINDS[kind], "-c", "model.c", "-o", "model.o"], scratch)
        # one C library for every kind of code: zig builds it for each set of flags, which takes a minute
        toolchain.run([*toolchain.cross("wasm32-wasi"), "-mexec-model=reactor", "model.o", "-o", "model.wasm",
                       "-Wl,--strip-all", "-Wl,--export=__heap_base",
                       *(f"-Wl,--export={name}_{function}" for function in _EXPORTED)], scratch)
        return Path(scratch, "model.wasm").read_bytes()


def js_files(made: CFile, weights_inside: bool = True, task: Mapping[str, Any] | None = None,
             compiler: str = "") -> dict[str, bytes]:
    """NAME.js, its wrapper NAME.mjs and its types NAME.d.ts, and the parameters where they are not inside.

    made: with its parameters beside it.   task: what the page around the model should know of it (see `page`).
    Raises OperatorError, ToolchainError.
    """
    if made.options.weights != "beside":
        raise OperatorError(f"export to js: the C file must hold no parameters; "
                            f"got weights={made.options.weights!r}; make it with weights='beside'")
    name = made.options.name
    modules = {kind: base64.b64encode(wasm(made, kind, compiler)).decode() for kind in KINDS}
    values = {"BANNER": f"{made.version}, made by mxdl", "NAME": name, "FILE": f"{name}.js",
              "BLOB": made.options.weight_file, "FACTS": _facts(made, task),
              "WEIGHTS": script_literal(made.blob) if weights_inside else "null",
              **{kind.upper(): text for kind, text in modules.items()}}
    names = "create, supported, inputs, outputs, version, task"
    files = {f"{name}.js": fill("web.js.in", values), f"{name}.d.ts": fill("web.d.ts.in", values | _types(made)),
             f"{name}.mjs": f'import "./{name}.js";\nexport const {{{names}}} = globalThis.{name};\n'}
    blob = {} if weights_inside else {made.options.weight_file: made.blob}
    return {file: text.encode() for file, text in files.items()} | blob


def page(script: str, made: CFile, task: Mapping[str, Any] | None = None) -> bytes:
    """One .html page that holds `script` (of `js_files`) and runs the model on what its reader gives.

    task: {"kind": "image", "classes", "shape", "mean", "std", "white"}, {"kind": "text", "vocabulary"}, or None for
    numbers (CSV).
    """
    title = made.options.name if not task else f"{made.options.name}: {task['kind']}"
    safe = script.replace("</script", "<\\/script")
    return fill("page.html.in", {"TITLE": title, "NAME": made.options.name, "SCRIPT": safe}).encode()


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template's text with each @NAME@ replaced, once: what is put in is not looked at again."""
    text = resources.files(__package__).joinpath(template).read_text()
    return re.sub(r"@([A-Z_]+)@", lambda found: values[found[1]], text)


def _facts(made: CFile, task: Mapping[str, Any] | None) -> str:
    facts = {"version": made.version, "arenaBytes": made.arena_bytes, "weightBytes": len(made.blob),
             "inputs": [_tensor(row) for row in made.inputs], "outputs": [_tensor(row) for row in made.outputs],
             "task": task}
    return json.dumps(facts).replace("</", "<\\/")


def _tensor(row: Row) -> dict[str, Any]:
    kind = row.type
    return {"name": row.name, "shape": list(kind.shape), "dtype": kind.dtype, "size": kind.size,
            "bytes": kind.num_bytes}


def _types(made: CFile) -> dict[str, str]:
    def rows(found: tuple[Row, ...], more: str) -> str:
        return " ".join(f"{json.dumps(r.name)}: {_ARRAYS[r.type.dtype]}{more};" for r in found)
    lone = f" | {_ARRAYS[made.inputs[0].type.dtype]} | number[]" if len(made.inputs) == 1 else ""
    return {"INPUT_TYPES": rows(made.inputs, " | number[]"), "OUTPUT_TYPES": rows(made.outputs, ""),
            "LONE_INPUT": lone}
